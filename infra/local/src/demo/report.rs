//! What the demo reports: one record for each release, and whether each stop of the story held.

use std::collections::BTreeMap;

use serde::Serialize;

use super::chart::Rollout;

/// Calls of AWS APIs: by function's name, by `service:Operation`.
pub type Calls = BTreeMap<String, BTreeMap<String, u64>>;

/// The report of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// The releases, in the order in which they began.
    pub releases: Vec<Release>,
    /// The stops of the story.
    pub stops: Vec<Stop>,
    /// What the template's policies refused to functions and services, which is nothing where the template is right.
    pub refused: Vec<String>,
    /// How long the run took, in seconds of the wall clock.
    pub seconds: f64,
}

/// One stop of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// What is shown.
    pub name: String,
    /// Whether everything that was looked at was as it should be.
    pub held: bool,
}

/// What an approver decided, or that none did in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It may be deployed.
    Approved,
    /// It may not.
    Rejected,
    /// Nobody decided in time.
    Expired,
}

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The endpoint serves it.
    Deployed,
    /// An alarm took it back.
    RolledBack,
    /// An approver refused it.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// The build or its tests failed.
    BuildFailed,
    /// The training failed, or never ended.
    TrainingFailed,
    /// Its metrics were not good enough.
    GateNotMet,
}

/// The requests to the endpoint from the approval of a release until the approval of the next, or until it was taken back.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// Requests that were answered.
    pub served: u64,
    /// Requests that were answered with an error, or not at all.
    pub failed: u64,
    /// How the traffic shifted: virtual seconds since the release began, and the share that the new version takes from then on.
    pub shares: Vec<(f64, f64)>,
}

/// One release: from a push, or what else set off a training, to its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Release {
    /// The version in the registry, if one was registered.
    pub version: Option<u64>,
    /// `push`, `schedule`, `data`, `drift` or `registry`.
    pub trigger: String,
    /// The commit that was trained.
    pub commit: Option<String>,
    /// What the evaluation measured.
    pub metrics: BTreeMap<String, f64>,
    /// The decision, if it came to one.
    pub decision: Option<Decision>,
    /// How the traffic was moved: `create` for the first version, or the strategy's word as in the template.
    pub strategy: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended so.
    pub reason: String,
    /// The requests meanwhile.
    pub traffic: Traffic,
    /// The API calls that the functions made meanwhile.
    pub calls: Calls,
    /// How often each function was invoked meanwhile.
    pub invocations: BTreeMap<String, u64>,
    /// How long it took, in seconds of the wall clock.
    #[serde(skip)]
    pub seconds: f64,
    /// What the chart shows, if it reached the endpoint.
    #[serde(skip)]
    pub(crate) rollout: Option<Rollout>,
}

impl Release {
    /// A release of which nothing is known but what set it off. It counts as a failed training until more is seen.
    #[must_use]
    pub fn new(trigger: &str) -> Self {
        Self {
            version: None,
            trigger: trigger.to_owned(),
            commit: None,
            metrics: BTreeMap::new(),
            decision: None,
            strategy: None,
            outcome: Outcome::TrainingFailed,
            reason: String::new(),
            traffic: Traffic::default(),
            calls: Calls::new(),
            invocations: BTreeMap::new(),
            seconds: 0.0,
            rollout: None,
        }
    }

    /// All API calls.
    #[must_use]
    pub fn calls_made(&self) -> u64 {
        self.calls.values().flat_map(BTreeMap::values).sum()
    }
}

impl Outcome {
    /// The word of the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::RolledBack => "rolled-back",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::BuildFailed => "build-failed",
            Self::TrainingFailed => "training-failed",
            Self::GateNotMet => "gate-not-met",
        }
    }
}

impl Decision {
    /// The word of the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}

/// What was counted since `before`; what didn't change is left out.
#[must_use]
pub fn counted_since(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let since = |(name, count): (&String, &u64)| {
        let more = count.saturating_sub(before.get(name).copied().unwrap_or_default());
        (more > 0).then(|| (name.clone(), more))
    };
    after.iter().filter_map(since).collect()
}

/// The calls since `before`; functions that made none are left out.
#[must_use]
pub fn calls_since(before: &Calls, after: &Calls) -> Calls {
    let none = BTreeMap::new();
    let since = |(function, calls): (&String, &BTreeMap<String, u64>)| {
        let more = counted_since(before.get(function).unwrap_or(&none), calls);
        (!more.is_empty()).then(|| (function.clone(), more))
    };
    after.iter().filter_map(since).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    /// A short run: one version deployed, one taken back, one that broke its tests.
    pub(crate) fn sample() -> Report {
        let before = Calls::from([(
            "tumour-update-endpoint".to_owned(),
            counts(&[("sagemaker:DescribeEndpoint", 4)]),
        )]);
        let after = Calls::from([
            (
                "tumour-update-endpoint".to_owned(),
                counts(&[("sagemaker:DescribeEndpoint", 9), ("sagemaker:UpdateEndpoint", 1)]),
            ),
            ("tumour-retrain".to_owned(), counts(&[("s3:ListObjectsV2", 2)])),
        ]);
        let deployed = Release {
            version: Some(1),
            commit: Some("1f0c9a7be1".to_owned()),
            metrics: [("accuracy".to_owned(), 0.9123), ("recall".to_owned(), 0.88)].into(),
            decision: Some(Decision::Approved),
            strategy: Some("create".to_owned()),
            outcome: Outcome::Deployed,
            reason: "the first version".to_owned(),
            traffic: Traffic {
                served: 640,
                failed: 0,
                shares: vec![(312.0, 1.0)],
            },
            calls: Calls::from([(
                "tumour-update-endpoint".to_owned(),
                counts(&[("sagemaker:DescribeEndpoint", 4)]),
            )]),
            invocations: counts(&[("tumour-update-endpoint", 3)]),
            seconds: 11.24,
            ..Release::new("push")
        };
        let rolled_back = Release {
            version: Some(3),
            commit: Some("c0ffee0123".to_owned()),
            metrics: [("accuracy".to_owned(), 0.9737)].into(),
            decision: Some(Decision::Approved),
            strategy: Some("canary".to_owned()),
            outcome: Outcome::RolledBack,
            reason: "alarm tumour-5xx fired: share of requests answered with 5xx over 0.02".to_owned(),
            traffic: Traffic {
                served: 188,
                failed: 12,
                shares: vec![(430.5, 0.25), (520.0, 0.0)],
            },
            calls: calls_since(&before, &after),
            invocations: counted_since(
                &counts(&[("tumour-update-endpoint", 3), ("tumour-retrain", 1)]),
                &counts(&[("tumour-update-endpoint", 9), ("tumour-retrain", 1)]),
            ),
            seconds: 14.0,
            ..Release::new("push")
        };
        let broken = Release {
            commit: Some("deadbeef42".to_owned()),
            outcome: Outcome::BuildFailed,
            reason: "COMMAND_EXECUTION_ERROR: Error while executing command: python3 -m unittest discover".to_owned(),
            ..Release::new("push")
        };
        let stop = |name: &str, held| Stop {
            name: name.to_owned(),
            held,
        };
        Report {
            releases: vec![deployed, rolled_back, broken],
            stops: vec![
                stop("the first model goes live", true),
                stop("alarms roll it back", false),
            ],
            refused: Vec::new(),
            seconds: 42.5,
        }
    }

    #[test]
    fn the_report_has_what_is_promised() {
        insta::assert_json_snapshot!(sample());
    }

    #[test]
    fn only_what_was_counted_meanwhile_is_left() {
        for (before, after, expected) in [
            (&[][..], &[("a", 2)][..], &[("a", 2)][..]),
            (&[("a", 2)], &[("a", 2), ("b", 1)], &[("b", 1)]),
            (&[("a", 2)], &[("a", 5)], &[("a", 3)]),
            // Counters don't fall; one that did counts for nothing.
            (&[("a", 5)], &[("a", 2)], &[]),
        ] {
            assert_eq!(
                counted_since(&counts(before), &counts(after)),
                counts(expected),
                "{before:?} {after:?}"
            );
        }
    }
}
