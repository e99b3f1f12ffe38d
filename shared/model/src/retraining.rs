//! Whether a training starts without a push.

use jiff::{SignedDuration, Timestamp};

use crate::lineage::{Lineage, Trigger};
use crate::names::digest;
use crate::training::Execution;

/// What asks for a training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The schedule fell due.
    Schedule {
        /// The time that it was due at.
        due: Timestamp,
    },
    /// New data was counted.
    Data {
        /// How many objects are newer than the last training.
        new_objects: u32,
        /// How many it takes.
        threshold: u32,
    },
    /// An alarm fired.
    Drift {
        /// The alarm's name.
        alarm: String,
        /// The alarm's reason, with its value.
        reason: String,
        /// When it fired.
        fired: Timestamp,
    },
}

/// Whether to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Start it.
    Start {
        /// `ClientRequestToken`: the same cause delivered twice starts one training.
        token: String,
        /// Its lineage, for the execution's description.
        lineage: Lineage,
    },
    /// Not now.
    Suppressed(String),
}

/// Decides, from the pipeline's executions, newest first.
#[must_use]
pub fn decide(cause: &Cause, executions: &[Execution], cooldown: SignedDuration, now: Timestamp) -> Decision {
    let Some(last) = executions.first() else {
        return Decision::Suppressed("nothing was trained yet: the first training is a push's".to_owned());
    };
    if let Cause::Data { new_objects, threshold } = cause
        && new_objects < threshold
    {
        return Decision::Suppressed(format!(
            "{new_objects} new objects of the {threshold} that start a training"
        ));
    }
    if let Some(running) = executions.iter().find(|execution| !execution.status.has_ended()) {
        return Decision::Suppressed(format!("a training is running: {}", running.arn));
    }
    if let Some(started) = last.started_at {
        let since = now.duration_since(started);
        if since < cooldown {
            let (since, cooldown) = (since.as_mins(), cooldown.as_mins());
            return Decision::Suppressed(format!(
                "the last training started {since} min ago, less than the cool-down of {cooldown} min"
            ));
        }
    }
    // The commit is that of the version which the pipeline has now: the last push that got as far as training.
    let pushed = executions
        .iter()
        .map(Execution::lineage)
        .find(|lineage| lineage.commit.is_some());
    let (trigger, name, evidence) = match cause {
        Cause::Schedule { due } => (Trigger::Schedule, due.to_string(), vec![("due", due.to_string())]),
        // However often it is counted, one training follows another.
        Cause::Data { new_objects, .. } => (
            Trigger::Data,
            last.arn.clone(),
            vec![("newObjects", new_objects.to_string())],
        ),
        Cause::Drift { alarm, reason, fired } => {
            let reason = reason.chars().take(500).collect();
            (
                Trigger::Drift,
                format!("{alarm} {fired}"),
                vec![("alarm", alarm.clone()), ("reason", reason)],
            )
        }
    };
    let mut lineage = Lineage::of(trigger);
    if let Some(pushed) = pushed {
        lineage.commit = pushed.commit;
        lineage.author = pushed.author;
        lineage.message = pushed.message;
        lineage.data = pushed.data;
    }
    lineage.evidence = evidence
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let token = digest(&[b"retrain", trigger.as_str().as_bytes(), name.as_bytes()]);
    Decision::Start { token, lineage }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::Status;

    fn time(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn execution(status: Status, started: i64) -> Execution {
        let mut lineage = Lineage::of(Trigger::Push);
        lineage.commit = Some("0f3c".into());
        lineage.set_commit_words(Some("Ada"), Some("Weigh recent calls more"));
        Execution {
            arn: format!("execution-{started}"),
            status,
            description: Some(lineage.to_description()),
            started_at: Some(time(started)),
            failure_reason: None,
        }
    }

    fn data(new_objects: u32) -> Cause {
        Cause::Data {
            new_objects,
            threshold: 10,
        }
    }

    fn at(cause: &Cause, executions: &[Execution], now: i64) -> Decision {
        decide(cause, executions, SignedDuration::from_mins(60), time(now))
    }

    #[test]
    fn suppressions_say_why() {
        let ended = execution(Status::Succeeded, 0);
        let running = execution(Status::Executing, 0);
        for (cause, executions, now, words) in [
            (data(10), vec![], 100, "nothing was trained yet"),
            (data(9), vec![ended.clone()], 100, "9 new objects of the 10"),
            (data(10), vec![running], 100, "a training is running: execution-0"),
            (data(10), vec![ended.clone()], 59, "59 min ago"),
        ] {
            let Decision::Suppressed(reason) = at(&cause, &executions, now) else {
                panic!("{words}")
            };
            assert!(reason.contains(words), "{reason}");
        }
        assert!(
            matches!(at(&data(10), &[ended], 60), Decision::Start { .. }),
            "exactly at the end of the cool-down"
        );
    }

    #[test]
    fn one_cause_has_one_token() {
        let executions = [execution(Status::Succeeded, 0)];
        let token = |cause: &Cause, now| match at(cause, &executions, now) {
            Decision::Start { token, lineage } => {
                assert_eq!(lineage.commit.as_deref(), Some("0f3c"));
                assert_eq!(lineage.author.as_deref(), Some("Ada"));
                assert_eq!(lineage.message.as_deref(), Some("Weigh recent calls more"));
                token
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(
            token(&data(10), 100),
            token(&data(12), 200),
            "counted again before anything was started"
        );
        let due = |minutes| Cause::Schedule { due: time(minutes) };
        assert_eq!(token(&due(90), 100), token(&due(90), 101));
        assert_ne!(token(&due(90), 100), token(&due(91), 100));
        assert!((32..=128).contains(&token(&due(90), 100).len()), "what SageMaker takes");
    }
}
