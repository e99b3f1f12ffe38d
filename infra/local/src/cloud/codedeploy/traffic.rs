//! The predefined deployment configurations for functions.

use jiff::SignedDuration;

/// How traffic is shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shift {
    /// The share that each step adds, in percent.
    step_percent: u32,
    /// How many steps come before all traffic is shifted; none is all at once.
    steps: u32,
    /// How long each step is watched.
    pub(super) wait: SignedDuration,
}

impl Shift {
    /// What a configuration's name stands for, where it is one of CodeDeploy's own.
    pub(super) fn predefined(name: &str) -> Option<Self> {
        let kind = name.strip_prefix("CodeDeployDefault.Lambda")?;
        if kind == "AllAtOnce" {
            return Some(Self {
                step_percent: 100,
                steps: 0,
                wait: SignedDuration::ZERO,
            });
        }
        let (steps, minutes) = match kind {
            "Canary10Percent5Minutes" => (1, 5),
            "Canary10Percent10Minutes" => (1, 10),
            "Canary10Percent15Minutes" => (1, 15),
            "Canary10Percent30Minutes" => (1, 30),
            "Linear10PercentEvery1Minute" => (9, 1),
            "Linear10PercentEvery2Minutes" => (9, 2),
            "Linear10PercentEvery3Minutes" => (9, 3),
            "Linear10PercentEvery10Minutes" => (9, 10),
            _ => return None,
        };
        Some(Self {
            step_percent: 10,
            steps,
            wait: SignedDuration::from_mins(minutes),
        })
    }

    /// The new version's share of the traffic after so many steps, in percent.
    pub(super) fn percent(self, steps_taken: u32) -> u32 {
        if steps_taken > self.steps {
            100
        } else {
            self.step_percent.saturating_mul(steps_taken).min(100)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_from_the_name() {
        for (name, minutes, percents) in [
            ("LambdaAllAtOnce", 0, &[100][..]),
            ("LambdaCanary10Percent5Minutes", 5, &[10, 100]),
            ("LambdaCanary10Percent30Minutes", 30, &[10, 100]),
            (
                "LambdaLinear10PercentEvery1Minute",
                1,
                &[10, 20, 30, 40, 50, 60, 70, 80, 90, 100],
            ),
        ] {
            let shift = Shift::predefined(&format!("CodeDeployDefault.{name}")).unwrap();
            assert_eq!(shift.wait, SignedDuration::from_mins(minutes), "{name}");
            let found: Vec<u32> = (1..).zip(percents).map(|(step, _)| shift.percent(step)).collect();
            assert_eq!(found, percents, "{name}");
        }
        for name in [
            "mine",
            "CodeDeployDefault.AllAtOnce",
            "CodeDeployDefault.LambdaCanary10Percent7Minutes",
        ] {
            assert_eq!(Shift::predefined(name), None, "{name}");
        }
    }
}
