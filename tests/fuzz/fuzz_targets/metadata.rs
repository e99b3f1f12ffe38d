//! The customer metadata and the description of a version: what the train writes there comes back, and what others write there breaks
//! nothing.

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use fuzz::{Hostile, Time, Vote, model, package, release};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use regex::Regex;
use signalbox_model::decision::{Asked, Decided, Decision, vote};
use signalbox_model::names::ReleaseId;
use signalbox_model::package::{
    APPROVAL_DESCRIPTION_CHARS_MAX, ApprovalStatus, METADATA_VALUE_CHARS_MAX, ModelPackage, Outcome,
    approval_description, key, metadata_value, of_release,
};
use signalbox_model::undo;

/// The API's pattern for a value, and that of a description: <https://docs.aws.amazon.com/sagemaker/latest/APIReference/>,
/// UpdateModelPackage. What Unicode has given out since this crate's tables were made (`Cn` to them) is no finding.
static VALUE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{Z}\p{N}\p{Cn}_.:/=+\-@]*$").ok());
/// Where a dot stops, in Java.
const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
/// What the train reads.
const KEYS: [&str; 16] = [
    key::TRIGGER,
    key::COMMIT,
    key::TRAINED_SECONDS,
    key::TRIGGERED_AT,
    key::GATE,
    key::OUTCOME,
    key::REASON,
    key::ALARM,
    key::FAILURE,
    key::DEPLOYED_AT,
    key::UNDONE_BY,
    key::RELEASE,
    key::DECISION,
    key::ASKED,
    key::DECIDED_BY,
    key::DECIDED_AT,
];

#[derive(Debug, Arbitrary)]
struct Input {
    text: Hostile,
    vote: Vote,
    ended: Option<Time>,
    now: Time,
    digest: [u8; 16],
    /// What somebody wrote, under which key.
    foreign: Vec<(u8, Foreign)>,
    description: Option<Hostile>,
    modified_by: Option<Hostile>,
    approval: u8,
}

/// What somebody writes: anything, or nearly what the train does.
#[derive(Debug, Arbitrary)]
enum Foreign {
    Words(Hostile),
    Release,
    OfRelease(Hostile),
    Time(Time),
    Number(u64),
    Asked(Time, Hostile),
    Outcome(u8),
}

fuzz_target!(|input: Input| {
    let (Some(release), Some(mut package)) = (release(), version()) else {
        return;
    };
    fit(input.text.as_str());
    written(&input, &release, package.clone());
    for (of, foreign) in &input.foreign {
        let key = KEYS.get(usize::from(*of) % KEYS.len()).copied().unwrap_or(key::ASKED);
        // As SageMaker gives it back: no longer, but for one that somebody else has written of any characters.
        let value: String = foreign.text(&release).chars().take(METADATA_VALUE_CHARS_MAX).collect();
        package.metadata.insert(key.to_owned(), value);
    }
    package.approval_description = input.description.as_ref().map(|text| text.0.clone());
    package.modified_by = input.modified_by.as_ref().map(|text| text.0.clone());
    package.approval = match input.approval % 3 {
        0 => ApprovalStatus::Approved,
        1 => ApprovalStatus::Rejected,
        _ => ApprovalStatus::PendingManualApproval,
    };
    read(&input, &release, &package);
});

/// What is made fit is what the API takes, and stays what it is when it is made fit again.
fn fit(text: &str) {
    let value = metadata_value(text);
    assert!(
        VALUE.as_ref().is_some_and(|pattern| pattern.is_match(&value)),
        "{value:?}"
    );
    assert!(value.chars().count() <= METADATA_VALUE_CHARS_MAX);
    assert_eq!(metadata_value(&value), value);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.:/=+-@ ".contains(c);
    if text.chars().all(plain) && text.len() <= METADATA_VALUE_CHARS_MAX {
        assert_eq!(value, text, "nothing that fits is changed");
    }
    let description = approval_description(text);
    assert!(!description.contains(LINE_ENDS));
    assert!(description.chars().count() <= APPROVAL_DESCRIPTION_CHARS_MAX);
    // A reason goes through a variable that stands inside of JSON, and back.
    let variable = undo::reason_variable(text);
    let parameters = format!(r#"{{"reason": "{variable}"}}"#);
    let parameters: Option<BTreeMap<String, String>> = serde_json::from_str(&parameters).ok();
    assert_eq!(
        parameters.and_then(|mut parameters| parameters.remove("reason")),
        Some(variable.clone())
    );
    assert!((1..=300).contains(&variable.chars().count()) && !variable.contains('#'));
    assert_eq!(
        undo::Cause::of(&undo::reason_variable(&undo::alarm_fired(text, text, text))),
        undo::Cause::Alarm
    );
    assert_eq!(
        undo::Cause::of(&undo::reason_variable(&undo::was_rejected(text))),
        undo::Cause::Rejected
    );
}

/// What the train writes, and the API gives back as it was made fit, is read as what it was.
fn written(input: &Input, release: &ReleaseId, mut package: ModelPackage) {
    let now = input.now.0;
    let digest: String = input.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let asked = Asked::now(release, now, &digest);
    let keep = |package: &mut ModelPackage, name: &str, text: &str| {
        package.metadata.insert(name.to_owned(), metadata_value(text));
    };
    for asked in [
        asked.clone(),
        Asked {
            reminded: true,
            ..asked.clone()
        },
    ] {
        keep(&mut package, key::ASKED, &asked.to_text());
        assert_eq!(package.asked().as_ref(), Some(&asked));
        assert!(asked.saw(&digest));
    }
    // The address is the template's.
    let approver = "ada@example.com".to_owned();
    let decided = input.vote.decided();
    keep(
        &mut package,
        &signalbox_model::decision::vote_key(&approver),
        &vote(&asked, now, &decided.comment),
    );
    let votes = package.votes_on(&asked, std::slice::from_ref(&approver));
    let [counted] = votes.as_slice() else {
        panic!("{votes:?}")
    };
    assert_eq!((&counted.by, counted.at), (&approver, Some(now)));
    assert!(
        metadata_value(&decided.comment).trim().starts_with(&counted.comment) || counted.comment.chars().count() > 150
    );
    assert_eq!(package.votes(release, std::slice::from_ref(&approver)), votes);

    for (name, value) in decided.metadata(release, input.ended.map(|ended| ended.0)) {
        keep(&mut package, &name, &value);
    }
    assert_eq!(package.decision_of(release), Some(decided.decision));
    assert_eq!(package.decided_at(), decided.at);
    assert_eq!(package.is_being_released(), decided.decision == Decision::Approve);
    assert_eq!(
        Decided::from_description(&decided.description(), decided.at).map(|read| read.decision),
        Some(decided.decision)
    );
    keep(&mut package, key::RELEASE, release.as_str());
    keep(&mut package, key::DEPLOYED_AT, &now.to_string());
    for outcome in OUTCOMES {
        keep(&mut package, key::OUTCOME, outcome.as_str());
        assert_eq!(package.outcome_of(release), Some(outcome));
        assert_eq!(
            package.deployed_at(release),
            (outcome == Outcome::Deployed).then_some(now)
        );
    }
    assert!(!package.is_being_released(), "it has ended");
    let kept = of_release(release.short(), input.text.as_str());
    keep(&mut package, key::FAILURE, &kept);
    assert_eq!(
        package.failure_of(release).map(str::to_owned),
        metadata_value(&kept).split_once(": ").map(|(_, text)| text.to_owned())
    );
}

/// Whatever is read there, it is of the release that is asked for, and no other's.
fn read(input: &Input, release: &ReleaseId, package: &ModelPackage) {
    let of = package.metadata.get(key::RELEASE).map(String::as_str);
    if package.outcome_of(release).is_some() || package.deployed_at(release).is_some() {
        assert_eq!(of, Some(release.as_str()));
    }
    if let Some(asked) = package.asked() {
        assert_eq!(Asked::from_text(&asked.to_text()), Some(asked));
    }
    let of_this = |name: &str| {
        package
            .metadata
            .get(name)
            .is_some_and(|value| value.starts_with(release.short()))
    };
    assert!(package.failure_of(release).is_none() || of_this(key::FAILURE));
    assert!(package.alarm_of(release).is_none() || of_this(key::ALARM));
    assert!(package.decision_of(release).is_none() || of_this(key::DECISION));
    assert!(!package.decided_since(release, input.now.0) || !of_this(key::DECISION));
    if package.way(release, input.now.0).is_some() {
        assert!(of.is_none_or(|of| of == release.as_str()));
    }
    let Some(model) = model() else { return };
    let decided = package.decided(&model).map(|decided| decided.decision);
    let expected = match package.approval {
        ApprovalStatus::Approved => Some(Decision::Approve),
        ApprovalStatus::Rejected => Some(Decision::Reject),
        ApprovalStatus::PendingManualApproval => None,
    };
    assert_eq!(
        decided, expected,
        "the registry's word counts, whatever else is written"
    );
}

const OUTCOMES: [Outcome; 7] = [
    Outcome::Deployed,
    Outcome::RolledBack,
    Outcome::Rejected,
    Outcome::Expired,
    Outcome::GateNotMet,
    Outcome::Failed,
    Outcome::Superseded,
];

impl Foreign {
    fn text(&self, release: &ReleaseId) -> String {
        match self {
            Self::Words(words) => words.0.clone(),
            Self::Release => release.to_string(),
            Self::OfRelease(words) => of_release(release.short(), words.as_str()),
            Self::Time(time) => time.0.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Asked(time, words) => format!("{release} {} {}", time.0, words.as_str()),
            Self::Outcome(outcome) => OUTCOMES
                .get(usize::from(outcome % 7))
                .map_or("", |outcome| outcome.as_str())
                .to_owned(),
        }
    }
}

fn version() -> Option<ModelPackage> {
    Some(ModelPackage {
        arn: package()?,
        approval: ApprovalStatus::PendingManualApproval,
        approval_description: None,
        metrics_uri: None,
        generated_by: None,
        metadata: BTreeMap::new(),
        containers: Vec::new(),
        created_at: None,
        modified_at: None,
        modified_by: None,
    })
}
