//! How a training ended: what a SageMaker pipeline execution means for the train.

use crate::lineage::{Lineage, Told};
use crate::names::ModelPackageArn;

/// `PipelineExecutionStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "SageMaker's own words")]
pub enum Status {
    Executing,
    Stopping,
    Stopped,
    Failed,
    Succeeded,
}

impl Status {
    /// Reads the API's word, which the events use too.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "Executing" => Some(Self::Executing),
            "Stopping" => Some(Self::Stopping),
            "Stopped" => Some(Self::Stopped),
            "Failed" => Some(Self::Failed),
            "Succeeded" => Some(Self::Succeeded),
            _ => None,
        }
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed | Self::Succeeded)
    }
}

/// One execution of the SageMaker pipeline, as a list of them shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Its ARN.
    pub arn: String,
    /// What became of it so far.
    pub status: Status,
    /// Its description as it is.
    pub description: Option<String>,
    /// When it started.
    pub started_at: Option<jiff::Timestamp>,
    /// SageMaker's words for its failure.
    pub failure_reason: Option<String>,
}

impl Execution {
    /// Why it was started.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        Lineage::from_description(self.description.as_deref())
    }

    /// Until when data belongs to it: the end of its window, or its start where it has none.
    #[must_use]
    pub fn data_until(&self) -> Option<jiff::Timestamp> {
        let window = self.lineage().window;
        window.map(|window| window.until).or(self.started_at)
    }

    /// Whether its data was learnt from, or will be, as far as is known; otherwise that data still waits for a training.
    ///
    /// One that was stopped counts: somebody has decided about it. One that failed counts only where its training step ended well:
    /// then the model was not good enough, and the same data makes it no better.
    #[must_use]
    pub fn has_learnt(&self) -> bool {
        self.status != Status::Failed || self.lineage().trained
    }

    /// The description that notes that the train has dealt with the execution, and keeps what it said before, as far as that fits.
    #[must_use]
    pub fn handled_description(&self, trained: bool, told: Option<Told>) -> String {
        let mut lineage = self.lineage();
        (lineage.trained, lineage.told) = (trained, told);
        lineage.handled = true;
        if let Some(foreign) = self.description.as_deref().filter(|text| Lineage::read(text).is_none()) {
            lineage.keep_foreign(foreign);
        }
        lineage.to_description()
    }
}

/// One step of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The step's name in the definition.
    pub name: String,
    /// `StepStatus`.
    pub status: String,
    /// Why it failed.
    pub failure_reason: Option<String>,
    /// The ARN of the version that it registered.
    pub registered: Option<String>,
    /// When it started.
    pub started_at: Option<jiff::Timestamp>,
    /// When it ended.
    pub ended_at: Option<jiff::Timestamp>,
    /// Whether it trains: its metadata names a training job.
    pub trains: bool,
    /// The ARN of its job, where it has one: the job's log says what the step's reason leaves out.
    pub job: Option<String>,
}

/// What an execution means for the train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It goes on.
    Running,
    /// It has registered these versions.
    Registered(Vec<ModelPackageArn>),
    /// It has ended well and registered nothing.
    Nothing,
    /// It has failed.
    Failed {
        /// The step that failed, where one did.
        step: Option<String>,
        /// Why.
        reason: String,
        /// The ARN of the step's job, where it has one.
        job: Option<String>,
    },
    /// Somebody stopped it.
    Stopped,
}

/// Reads what an execution means.
#[must_use]
pub fn ending(execution: &Execution, steps: &[Step]) -> Ending {
    match execution.status {
        Status::Executing | Status::Stopping => Ending::Running,
        Status::Stopped => Ending::Stopped,
        Status::Succeeded => {
            let registered: Vec<_> = steps
                .iter()
                .filter_map(|step| step.registered.as_deref()?.parse().ok())
                .collect();
            if registered.is_empty() {
                Ending::Nothing
            } else {
                Ending::Registered(registered)
            }
        }
        Status::Failed => {
            let failed = steps.iter().find(|step| step.status == "Failed");
            let reason = failed.and_then(|step| step.failure_reason.clone());
            let reason = reason.or_else(|| execution.failure_reason.clone());
            Ending::Failed {
                step: failed.map(|step| step.name.clone()),
                job: failed.and_then(|step| step.job.clone()),
                reason: reason.unwrap_or_else(|| "SageMaker gives no reason".to_owned()),
            }
        }
    }
}

/// Whether a model came of it, good or not: its training steps ended well.
#[must_use]
pub fn has_trained(steps: &[Step]) -> bool {
    let mut trainings = steps.iter().filter(|step| step.trains).peekable();
    trainings.peek().is_some() && trainings.all(|step| step.status == "Succeeded")
}

/// How long the training steps took in all, in seconds; nothing where there is none, or one of them is not seen to have ended.
#[must_use]
pub fn trained_seconds(steps: &[Step]) -> Option<u64> {
    let mut trainings = steps.iter().filter(|step| step.trains).peekable();
    trainings.peek()?;
    let seconds = trainings.map(|step| {
        let took = step.ended_at?.duration_since(step.started_at?);
        u64::try_from(took.as_secs()).ok()
    });
    // Some `None` is `None` in all: a part of the time would pass for the whole.
    seconds.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::{DESCRIPTION_CHARS_MAX, Trigger};

    fn execution(status: Status, description: Option<&str>) -> Execution {
        Execution {
            arn: "arn".into(),
            status,
            description: description.map(str::to_owned),
            started_at: None,
            failure_reason: Some("Step failure: One or multiple steps failed.".into()),
        }
    }

    fn step(status: &str, reason: Option<&str>, registered: Option<&str>) -> Step {
        Step {
            name: "S".into(),
            status: status.into(),
            failure_reason: reason.map(str::to_owned),
            registered: registered.map(str::to_owned),
            started_at: None,
            ended_at: None,
            trains: false,
            job: None,
        }
    }

    #[test]
    fn words_of_sagemaker() {
        for (word, status, ended) in [
            ("Executing", Status::Executing, false),
            ("Stopping", Status::Stopping, false),
            ("Stopped", Status::Stopped, true),
            ("Failed", Status::Failed, true),
            ("Succeeded", Status::Succeeded, true),
        ] {
            assert_eq!(Status::parse(word), Some(status));
            assert_eq!(status.has_ended(), ended, "{word}");
        }
        assert_eq!(Status::parse("Pondering"), None);
    }

    #[test]
    fn endings() {
        let arn = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7";
        let failed = |step: Option<&str>, reason: &str| Ending::Failed {
            step: step.map(str::to_owned),
            reason: reason.into(),
            job: None,
        };
        for (status, step, expected) in [
            (Status::Executing, step("Executing", None, None), Ending::Running),
            (Status::Stopping, step("Stopping", None, None), Ending::Running),
            (Status::Stopped, step("Stopped", None, None), Ending::Stopped),
            (
                Status::Succeeded,
                step("Succeeded", None, Some(arn)),
                Ending::Registered(vec![arn.parse().unwrap()]),
            ),
            (Status::Succeeded, step("Succeeded", None, None), Ending::Nothing),
            (
                Status::Failed,
                step("Failed", Some("exit code: 1"), None),
                failed(Some("S"), "exit code: 1"),
            ),
            (
                Status::Failed,
                step("Succeeded", None, None),
                failed(None, "Step failure: One or multiple steps failed."),
            ),
        ] {
            assert_eq!(ending(&execution(status, None), &[step]), expected);
        }
    }

    #[test]
    fn a_failure_names_the_job_and_a_model_may_have_come_of_it() {
        let job = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/pipelines-x-Train-y";
        let trains = |status: &str| Step {
            trains: true,
            job: Some(job.into()),
            ..step(status, Some("exit code: 1"), None)
        };
        let Ending::Failed { job: named, .. } = ending(&execution(Status::Failed, None), &[trains("Failed")]) else {
            panic!("it failed")
        };
        assert_eq!(named.as_deref(), Some(job));
        for (steps, expected) in [
            (vec![], false),
            (vec![step("Succeeded", None, None)], false),
            (vec![trains("Failed")], false),
            (vec![trains("Succeeded"), trains("Executing")], false),
            (vec![trains("Succeeded"), step("Failed", None, None)], true),
        ] {
            assert_eq!(has_trained(&steps), expected, "{steps:?}");
        }
    }

    #[test]
    fn training_times_are_added_up() {
        let second = |second: i64| jiff::Timestamp::from_second(second).ok();
        let took = |trains, started, ended| Step {
            started_at: second(started),
            ended_at: second(ended),
            trains,
            ..step("Succeeded", None, None)
        };
        let endless = Step {
            ended_at: None,
            ..took(true, 0, 0)
        };
        for (steps, expected) in [
            (vec![], None),
            (vec![took(false, 0, 60)], None),
            (vec![took(true, 100, 160), took(false, 0, 1000)], Some(60)),
            (vec![took(true, 0, 60), took(true, 60, 100)], Some(100)),
            (vec![took(true, 0, 60), endless], None),
            // A clock that was set back is no time at all.
            (vec![took(true, 60, 0)], None),
        ] {
            assert_eq!(trained_seconds(&steps), expected, "{steps:?}");
        }
    }

    #[test]
    fn noting_that_it_was_handled_keeps_what_was_there() {
        let mut lineage = Lineage::of(Trigger::Push);
        lineage.commit = Some("0f3c".into());
        let handled = |description: &str| {
            let text = execution(Status::Failed, Some(description)).handled_description(true, Some(Told::Counted));
            Lineage::from_description(Some(&text))
        };
        let ours = handled(&lineage.to_description());
        assert!(ours.handled && ours.commit == lineage.commit && ours.trigger == Trigger::Push);
        assert_eq!((ours.trained, ours.told), (true, Some(Told::Counted)));
        let foreign = handled("by hand");
        assert!(foreign.handled && foreign.evidence["description"] == "by hand");
        // JSON is not ours for being JSON.
        let foreign = handled(r#"{"ticket": "ML-7"}"#);
        assert!(foreign.handled && foreign.evidence["description"] == r#"{"ticket": "ML-7"}"#);
    }

    #[test]
    fn what_is_noted_fits_whatever_the_description_said() {
        let long = "a\"".repeat(1500);
        let commit = format!(r#"{{"trigger":"push","commit":"{}"}}"#, "a".repeat(3030));
        let data = format!(r#"{{"trigger":"push","commit":"0f3c","data":"{}"}}"#, "a".repeat(3010));
        for (description, commit, kept) in [(&*long, None, 1900), (&*commit, None, 0), (&*data, Some("0f3c"), 0)] {
            let noted = execution(Status::Failed, Some(description)).handled_description(true, Some(Told::Notice));
            assert!(noted.chars().count() <= DESCRIPTION_CHARS_MAX);
            let lineage = Lineage::from_description(Some(&noted));
            assert!(lineage.handled && lineage.trained);
            assert_eq!(lineage.commit.as_deref(), commit);
            let words = lineage.evidence.get("description").map_or("", String::as_str);
            assert!(words.len() >= kept && description.starts_with(words), "{}", words.len());
        }
    }
}
