//! The strategies by which a version takes over, and what each lets expect of a rollout.
//!
//! What is expected is worked out here anew from the template's parameters, not asked of the functions that are looked at.

use anyhow::Context;

use crate::cloud::Cloud;

/// How a version takes over: the template's parameter `RolloutStrategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Strategy {
    /// All traffic at once, and the old fleet is gone; an alarm soon after brings the version before back
    AllAtOnce,
    /// All traffic at once; the old fleet is kept through a bake
    BlueGreen,
    /// A step of the traffic first, then the rest; then a bake
    Canary,
    /// In equal steps; then a bake
    Linear,
    /// Batch after batch, without a second fleet
    Rolling,
}

impl Strategy {
    /// All of them.
    const ALL: [Self; 5] = [
        Self::AllAtOnce,
        Self::BlueGreen,
        Self::Canary,
        Self::Linear,
        Self::Rolling,
    ];

    /// The template's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllAtOnce => "all-at-once",
            Self::BlueGreen => "blue-green",
            Self::Canary => "canary",
            Self::Linear => "linear",
            Self::Rolling => "rolling",
        }
    }

    /// The strategy of that word.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == word)
    }

    /// The template's parameters where the local ones, made for a canary, don't suit.
    pub(crate) fn parameters(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::AllAtOnce | Self::Canary => &[],
            // The bake is all the watching there is: as long as the canary is watched.
            Self::BlueGreen => &[("BakeSeconds", "300")],
            // Watched three or four times instead of once: shorter each, so that the story stays about as long. The alarm looks at
            // whole minutes, so that two fit into a step with room to spare.
            Self::Linear | Self::Rolling => &[("RolloutWaitSeconds", "180")],
        }
    }
}

/// One share of the traffic, and for how long it stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    /// Up to 1.
    pub(crate) share: f64,
    pub(crate) seconds: f64,
}

/// What the stack's parameters let expect of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expected {
    pub(crate) strategy: Strategy,
    /// The shares of the new fleet in turn, and for how long alarms watch each; the last is all.
    pub(crate) steps: Vec<Step>,
    /// How long after the rollout an alarm still brings the version before back.
    pub(crate) guard_minutes: f64,
}

impl Expected {
    /// Reads the stack's parameters.
    ///
    /// # Errors
    /// Where one is missing or none of those that the template takes.
    pub(crate) fn of(cloud: &Cloud) -> anyhow::Result<Self> {
        Self::from(|name| cloud.stack().parameters.get(name).cloned())
    }

    fn from(parameter: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let word = parameter("RolloutStrategy").context("the stack has no RolloutStrategy")?;
        let strategy = Strategy::of(&word).with_context(|| format!("`{word}` is no RolloutStrategy"))?;
        let number = |name: &str| {
            let value = parameter(name).and_then(|value| value.parse::<f64>().ok());
            value.with_context(|| format!("the stack has no number {name}"))
        };
        let (instances, percent) = (number("EndpointInstanceCount")?.max(1.0), number("RolloutStepPercent")?);
        let (wait, bake) = (number("RolloutWaitSeconds")?, number("BakeSeconds")?);
        // SageMaker shifts whole instances.
        let step = (instances * percent / 100.0).ceil().clamp(1.0, instances);
        let before: Vec<f64> = match strategy {
            Strategy::AllAtOnce | Strategy::BlueGreen => Vec::new(),
            Strategy::Canary => vec![step],
            Strategy::Linear | Strategy::Rolling => {
                let steps = (1_u32..).map(|count| f64::from(count) * step);
                steps.take_while(|count| *count < instances).collect()
            }
        };
        let last = match strategy {
            Strategy::AllAtOnce => 0.0,
            Strategy::BlueGreen | Strategy::Canary | Strategy::Linear => bake,
            Strategy::Rolling => wait,
        };
        let mut steps: Vec<Step> = before
            .into_iter()
            .filter(|count| *count < instances)
            .map(|count| Step {
                share: count / instances,
                seconds: wait,
            })
            .collect();
        steps.push(Step {
            share: 1.0,
            seconds: last,
        });
        Ok(Self {
            strategy,
            steps,
            guard_minutes: number("GuardMinutes")?,
        })
    }

    /// How long the last step is watched, in seconds: 0 where the old fleet goes at once.
    pub(crate) fn last_seconds(&self) -> f64 {
        self.steps.last().map_or(0.0, |step| step.seconds)
    }

    /// Whether SageMaker itself watches the alarms, so that a version that fails is never deployed.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched_seconds() > 0.0
    }

    /// How long the rollout is watched in all, in seconds.
    pub(crate) fn watched_seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.seconds).sum()
    }

    /// The most of the traffic that the new fleet may have had, so many seconds after it got the first.
    pub(crate) fn share_after(&self, seconds: f64) -> f64 {
        let (mut begins, mut most) = (0.0, 0.0_f64);
        for step in &self.steps {
            if begins <= seconds {
                most = most.max(step.share);
            }
            begins += step.seconds;
        }
        most
    }

    /// In one line, what will be seen.
    pub(crate) fn describe(&self) -> String {
        let shares = in_words(&self.steps);
        let last = duration(self.last_seconds());
        let then = match self.strategy {
            _ if !self.is_watched() => format!(
                "the old fleet is gone, and for {} an alarm brings the version before back",
                duration(self.guard_minutes * 60.0)
            ),
            Strategy::Rolling => format!("without a second fleet; the last batch is watched for {last} too"),
            _ => format!("the old fleet is kept for {last}"),
        };
        format!("{}: {shares}; {then}", self.strategy.as_str())
    }
}

/// `25 % for 5 min, then 100 %`. Steps of the same length are told together; how long the last one stays is not told.
pub(crate) fn in_words(steps: &[Step]) -> String {
    let percent = |step: &Step| format!("{:.0}", step.share * 100.0);
    let Some((last, before)) = steps.split_last() else {
        return "no traffic".to_owned();
    };
    if before.is_empty() {
        return format!("{} % at once", percent(last));
    }
    let alike = |one: &Step, other: &Step| (one.seconds - other.seconds).abs() <= one.seconds.max(other.seconds) / 10.0;
    let mut parts: Vec<String> = before
        .chunk_by(alike)
        .map(|steps| {
            let seconds = steps.iter().map(|step| step.seconds).sum::<f64>() / steps.len() as f64;
            let (each, length) = (if steps.len() > 1 { " each" } else { "" }, duration(seconds));
            let shares: Vec<String> = steps.iter().map(percent).collect();
            let shares = match shares.as_slice() {
                [first, second, _, _, .., last] => format!("{first}, {second}, … {last}"),
                _ => shares.join(", "),
            };
            format!("{shares} % for {length}{each}")
        })
        .collect();
    parts.push(format!("then {} %", percent(last)));
    parts.join(", ")
}

/// Seconds as people say them: `18 s`, `5 min`, `3.2 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let minutes = seconds / 60.0;
    // Five seconds are nothing at the speed of the demo.
    let whole = (minutes - minutes.round()).abs() < 5.0 / 60.0;
    match seconds {
        ..100.0 if !(whole && seconds >= 58.0) => format!("{seconds:.0} s"),
        _ if whole => format!("{minutes:.0} min"),
        _ => format!("{minutes:.1} min"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::ValueEnum;

    use super::*;
    use crate::{binaries, front};

    /// The parameters that the demo deploys with, and the template's defaults of those that it leaves out.
    fn parameters(strategy: Strategy) -> BTreeMap<String, String> {
        let mut parameters: BTreeMap<String, String> = [("GuardMinutes", "60"), ("RolloutTimeoutSeconds", "3600")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        parameters.extend(front::default_parameters(&binaries::workspace().unwrap()).unwrap());
        parameters.insert("RolloutStrategy".to_owned(), strategy.as_str().to_owned());
        for (name, value) in strategy.parameters() {
            parameters.insert((*name).to_owned(), (*value).to_owned());
        }
        parameters
    }

    fn expected(strategy: Strategy, changes: &[(&str, &str)]) -> Expected {
        let mut parameters = parameters(strategy);
        parameters.extend(
            changes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Expected::from(|name| parameters.get(name).cloned()).unwrap()
    }

    #[test]
    fn the_words_are_the_templates() {
        let template = std::fs::read_to_string(binaries::workspace().unwrap().join("infra/template.yaml")).unwrap();
        let words: Vec<&str> = Strategy::ALL.iter().map(|strategy| strategy.as_str()).collect();
        assert!(
            template.contains(&format!("AllowedValues: [{}]", words.join(", "))),
            "{words:?}"
        );
        for (strategy, word) in Strategy::value_variants().iter().zip(words) {
            assert_eq!(strategy.to_possible_value().unwrap().get_name(), word);
            assert_eq!(Strategy::of(word), Some(*strategy));
        }
    }

    #[test]
    fn the_demos_numbers_suit_every_strategy() {
        for strategy in Strategy::ALL {
            let number = |name: &str| parameters(strategy)[name].parse::<f64>().unwrap();
            let expected = expected(strategy, &[]);
            assert!((10.0..=50.0).contains(&number("RolloutStepPercent")), "{strategy:?}");
            assert!(
                expected.watched_seconds() + 300.0 < number("RolloutTimeoutSeconds"),
                "{strategy:?}"
            );
            // The alarms look at whole minutes: one that begins after the first request, and then some for the notice to arrive.
            let first = expected.steps[0].seconds;
            let watched = if expected.is_watched() {
                first
            } else {
                expected.guard_minutes * 60.0
            };
            assert!(watched >= 180.0, "{strategy:?}: {watched}");
        }
    }

    #[test]
    fn steps_follow_from_the_parameters() {
        let percents = |expected: &Expected| -> Vec<(f64, f64)> {
            let steps = expected.steps.iter();
            steps.map(|step| ((step.share * 100.0).round(), step.seconds)).collect()
        };
        let numbers = [("RolloutWaitSeconds", "300"), ("BakeSeconds", "180")];
        for (strategy, instances, percent, steps) in [
            (Strategy::AllAtOnce, "4", "25", &[(100.0, 0.0)][..]),
            (Strategy::BlueGreen, "4", "25", &[(100.0, 180.0)]),
            (Strategy::Canary, "4", "25", &[(25.0, 300.0), (100.0, 180.0)]),
            (Strategy::Canary, "3", "10", &[(33.0, 300.0), (100.0, 180.0)]),
            (Strategy::Linear, "3", "50", &[(67.0, 300.0), (100.0, 180.0)]),
            (
                Strategy::Linear,
                "4",
                "25",
                &[(25.0, 300.0), (50.0, 300.0), (75.0, 300.0), (100.0, 180.0)],
            ),
            (Strategy::Rolling, "4", "50", &[(50.0, 300.0), (100.0, 300.0)]),
            (Strategy::Rolling, "1", "50", &[(100.0, 300.0)]),
        ] {
            let mut changes = numbers.to_vec();
            changes.extend([("EndpointInstanceCount", instances), ("RolloutStepPercent", percent)]);
            assert_eq!(
                percents(&expected(strategy, &changes)),
                steps,
                "{strategy:?} {instances} {percent}"
            );
        }
    }

    #[test]
    fn the_share_grows_as_the_steps_go_by() {
        let linear = expected(Strategy::Linear, &[("RolloutWaitSeconds", "180")]);
        for (seconds, share) in [(0.0, 0.25), (179.0, 0.25), (180.0, 0.5), (400.0, 0.75), (5000.0, 1.0)] {
            assert!((linear.share_after(seconds) - share).abs() < 1e-9, "{seconds}");
        }
        let at_once = expected(Strategy::AllAtOnce, &[]);
        assert!((at_once.share_after(0.0) - 1.0).abs() < 1e-9 && !at_once.is_watched());
    }

    #[test]
    fn described() {
        let lines: Vec<String> = Strategy::ALL
            .iter()
            .map(|strategy| expected(*strategy, &[]).describe())
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn steps_in_words() {
        let steps = |steps: &[(f64, f64)]| -> Vec<Step> {
            let steps = steps.iter();
            steps
                .map(|(share, seconds)| Step {
                    share: *share,
                    seconds: *seconds,
                })
                .collect()
        };
        for (of, words) in [
            (&[][..], "no traffic"),
            (&[(1.0, 600.0)], "100 % at once"),
            (&[(0.25, 301.0), (1.0, 9.0)], "25 % for 5 min, then 100 %"),
            (
                &[(0.25, 300.0), (0.5, 310.0), (0.75, 305.0), (1.0, 0.0)],
                "25, 50, 75 % for 5 min each, then 100 %",
            ),
            (
                &[
                    (0.1, 60.0),
                    (0.2, 60.0),
                    (0.3, 60.0),
                    (0.4, 60.0),
                    (0.5, 60.0),
                    (1.0, 0.0),
                ],
                "10, 20, … 50 % for 1 min each, then 100 %",
            ),
            (
                &[(0.25, 60.0), (0.5, 200.0), (1.0, 0.0)],
                "25 % for 1 min, 50 % for 3.3 min, then 100 %",
            ),
        ] {
            assert_eq!(in_words(&steps(of)), words, "{of:?}");
        }
    }

    #[test]
    fn durations() {
        for (seconds, words) in [
            (0.0, "0 s"),
            (18.4, "18 s"),
            (57.0, "57 s"),
            (59.7, "1 min"),
            (62.0, "1 min"),
            (90.0, "90 s"),
            (192.0, "3.2 min"),
            (303.0, "5 min"),
        ] {
            assert_eq!(duration(seconds), words);
        }
    }
}
