use std::collections::BTreeMap;
use std::fmt::Write;

use super::*;
use crate::decision::{Asked, vote, vote_key};
use crate::package::{ApprovalStatus, key, of_release};

const PERSON: &str = "arn:aws:iam::123456789012:user/bob";
const FUNCTION: &str = "arn:aws:sts::123456789012:assumed-role/stack-role/churn-decide-approval";

fn model() -> ModelName {
    "churn".parse().unwrap()
}

fn release() -> ReleaseId {
    "01234567-89ab-cdef-0123-456789abcdef".parse().unwrap()
}

fn another() -> ReleaseId {
    "11111111-89ab-cdef-0123-456789abcdef".parse().unwrap()
}

/// The approval ended at ten o'clock.
fn at(minutes: i64) -> Timestamp {
    let ten: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
    ten + jiff::SignedDuration::from_mins(minutes)
}

fn approvers() -> Vec<String> {
    vec!["ada@example.com".into(), "grace@example.com".into()]
}

fn package() -> ModelPackage {
    let arn = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7";
    ModelPackage {
        arn: arn.parse().unwrap(),
        approval: ApprovalStatus::PendingManualApproval,
        approval_description: None,
        metrics_uri: None,
        generated_by: None,
        metadata: BTreeMap::from([(key::GATE.to_owned(), "held: 0.9 > 0.85".to_owned())]),
        containers: Vec::new(),
        created_at: None,
        modified_at: Some(at(-60)),
        modified_by: None,
    }
}

fn answered(decision: Decision) -> Approval {
    Approval::Answered(Decided {
        decision,
        by: "ada@example.com".into(),
        at: Some(at(0)),
        comment: String::new(),
    })
}

fn next(package: &ModelPackage, approval: &Approval) -> Step {
    settle(&model(), package, &release(), approval, &approvers(), 1)
}

/// Every state of the registry that a person can bring about, with when.
fn registries() -> Vec<(String, ModelPackage)> {
    let mut registries = vec![("pending".to_owned(), package())];
    for (status, word) in [
        (ApprovalStatus::Approved, "approved"),
        (ApprovalStatus::Rejected, "rejected"),
    ] {
        for (minutes, order) in [(-1, "before"), (0, "then"), (1, "after")] {
            let mut package = package();
            package.approval = status;
            package.approval_description = Some("so be it".into());
            package.modified_at = Some(at(minutes));
            package.modified_by = Some(PERSON.into());
            registries.push((format!("{word} {order}"), package));
        }
    }
    registries
}

fn approvals() -> [(&'static str, Approval); 6] {
    [
        ("waiting", Approval::Waiting),
        ("approved", answered(Decision::Approve)),
        ("rejected", answered(Decision::Reject)),
        ("superseded", Approval::Superseded { by: 8, at: at(0) }),
        ("expired", Approval::Expired { at: at(0) }),
        ("stopped", Approval::Stopped { at: at(0) }),
    ]
}

type Mark = fn(&mut ModelPackage);

fn set(package: &mut ModelPackage, key: &str, value: impl Into<String>) {
    package.metadata.insert(key.to_owned(), value.into());
}

/// What the train may have written on the version.
fn marks() -> [(&'static str, Mark); 7] {
    [
        ("", |_| {}),
        ("ungated", |package| set(package, key::GATE, "not held: 0.8 < 0.85")),
        ("marked approved", |package| {
            set(package, key::DECISION, of_release(release().short(), "approved"));
        }),
        ("marked rejected", |package| {
            set(package, key::DECISION, of_release(release().short(), "rejected"));
        }),
        ("ended", |package| {
            set(package, key::RELEASE, release().as_str());
            set(package, key::OUTCOME, "rejected");
        }),
        ("another since", |package| {
            set(
                package,
                key::DECISION,
                of_release(another().short(), &format!("approved {}", at(30))),
            );
        }),
        ("another before", |package| {
            set(
                package,
                key::DECISION,
                of_release(another().short(), &format!("rejected {}", at(-30))),
            );
            set(package, key::RELEASE, another().as_str());
            set(package, key::OUTCOME, "rejected");
        }),
    ]
}

fn words(step: &Step) -> String {
    let who = |decided: &Decided| decided.description();
    let lost = |lost: &Option<Decided>| {
        lost.as_ref()
            .map_or_else(String::new, |lost| format!("; lost: {}", who(lost)))
    };
    match step {
        Step::Undecided => "undecided".into(),
        Step::Settled => "settled".into(),
        Step::Answer(decided) => format!("answer: {}", who(decided)),
        Step::Approve { stands, lost: other } => format!("approve: {}{}", who(stands), lost(other)),
        Step::End { ending, lost: other } => {
            format!("end {}: {}{}", ending.outcome().as_str(), ending.reason(), lost(other))
        }
        Step::Restart { stands, lost: other } => format!("restart: {}{}", who(stands), lost(other)),
    }
}

#[test]
fn the_whole_domain() {
    let mut table = String::new();
    for (mark, marked) in marks() {
        for (registry, package) in registries() {
            for (pipeline, approval) in approvals() {
                let mut package = package.clone();
                marked(&mut package);
                let step = words(&next(&package, &approval));
                writeln!(table, "{mark:15} {registry:15} {pipeline:10} => {step}").unwrap();
            }
        }
    }
    insta::assert_snapshot!(table);
}

/// What AWS is like after the step was done as sync-approval does it.
fn act(package: &mut ModelPackage, approval: &mut Approval, step: &Step) {
    let mut write = |status, description: String, metadata: BTreeMap<String, String>| {
        package.approval = status;
        package.approval_description = Some(description);
        package.metadata.extend(metadata);
        package.modified_at = Some(at(5));
        package.modified_by = Some(FUNCTION.into());
    };
    let ended = approval.ended();
    match step {
        Step::Undecided | Step::Settled => {}
        Step::Answer(decided) => {
            *approval = Approval::Answered(Decided {
                at: Some(at(2)),
                ..decided.clone()
            });
        }
        Step::Approve { stands, .. } | Step::Restart { stands, .. } => {
            write(
                ApprovalStatus::Approved,
                stands.description(),
                stands.metadata(&release(), ended),
            );
        }
        Step::End { ending, .. } => {
            let mut metadata = BTreeMap::from([
                (key::DECISION.to_owned(), of_release(release().short(), "rejected")),
                (key::DECIDED_BY.to_owned(), "the release train".to_owned()),
                (key::RELEASE.to_owned(), release().to_string()),
                (key::OUTCOME.to_owned(), ending.outcome().as_str().to_owned()),
                (key::REASON.to_owned(), ending.reason()),
            ]);
            if let Ending::Rejected(decided) = ending {
                metadata.extend(decided.metadata(&release(), ended));
            }
            write(ApprovalStatus::Rejected, ending.reason(), metadata);
        }
    }
}

/// From wherever it begins, it comes to rest; and then registry and pipeline say the same, unless the version is released anew or
/// somebody changed the registry after all was settled.
#[test]
fn it_comes_to_rest_agreed() {
    for (mark, marked) in marks() {
        for (registry, package) in registries() {
            for (pipeline, approval) in approvals() {
                let (mut package, mut approval) = (package.clone(), approval);
                marked(&mut package);
                let case = format!("{mark} / {registry} / {pipeline}");
                let mut steps = Vec::new();
                let last = loop {
                    let step = next(&package, &approval);
                    if matches!(step, Step::Settled | Step::Undecided) {
                        break step;
                    }
                    act(&mut package, &mut approval, &step);
                    steps.push(step);
                    assert!(steps.len() <= 3, "{case}: {steps:?}");
                };
                if last == Step::Undecided {
                    assert_eq!(approval, Approval::Waiting, "{case}");
                    continue;
                }
                let restarted = steps.iter().any(|step| matches!(step, Step::Restart { .. }));
                if mark.is_empty() && !restarted {
                    let approved =
                        matches!(&approval, Approval::Answered(answer) if answer.decision == Decision::Approve);
                    let first = steps.iter().any(
                        |step| matches!(step, Step::End { lost: Some(lost), .. } if lost.decision == Decision::Approve),
                    );
                    // An approval in the pipeline after a rejection in the registry does not count: the mark says so.
                    let says = package.decision_of(&release()) == Some(Decision::Approve);
                    assert_eq!(says, approved && !first, "{case}: {steps:?}");
                    assert_eq!(package.approval == ApprovalStatus::Approved, says, "{case}");
                }
            }
        }
    }
}

#[test]
fn as_many_approvals_are_counted_as_are_needed() {
    let asked = Asked::now(&release(), at(600), &"e".repeat(64));
    let changed = Asked::now(&release(), at(600), &"f".repeat(64));
    let of_another = Asked::now(&another(), at(600), &"e".repeat(64));
    for (votes, needed, expected) in [
        (vec![], 1, "undecided"),
        (vec![("ada@example.com", &asked)], 2, "undecided"),
        (
            vec![("ada@example.com", &asked)],
            1,
            "answer: approved by ada@example.com: fine",
        ),
        (
            vec![("ada@example.com", &asked), ("grace@example.com", &asked)],
            2,
            "answer: approved by ada@example.com and grace@example.com: fine / fine",
        ),
        // Who is no longer asked, was shown something else, or approved another release does not count.
        (
            vec![("ada@example.com", &asked), ("eve@example.com", &asked)],
            2,
            "undecided",
        ),
        (
            vec![("ada@example.com", &asked), ("grace@example.com", &changed)],
            2,
            "undecided",
        ),
        (
            vec![("ada@example.com", &asked), ("grace@example.com", &of_another)],
            2,
            "undecided",
        ),
        (vec![], 0, "undecided"),
    ] {
        let mut package = package();
        set(&mut package, key::ASKED, asked.to_text());
        for (by, asked) in &votes {
            set(&mut package, &vote_key(by), vote(asked, at(-5), "fine"));
        }
        let step = settle(&model(), &package, &release(), &Approval::Waiting, &approvers(), needed);
        assert_eq!(words(&step), expected, "{votes:?}");
    }
}

#[test]
fn the_pipelines_answer_says_who() {
    let seen = |status, summary: &str, identity: Option<&str>| Seen {
        since: None,
        status,
        summary: summary.to_owned(),
        identity: identity.map(str::to_owned),
        at: at(0),
    };
    use ActionStatus::{Abandoned, Failed, InProgress, Succeeded};
    for (seen, expected) in [
        (seen(InProgress, "", None), "waiting"),
        (
            seen(Succeeded, "approved by ada@example.com: fine", Some(FUNCTION)),
            "approved by ada@example.com: fine",
        ),
        (
            seen(Failed, "rejected by ada@example.com", Some(FUNCTION)),
            "rejected by ada@example.com",
        ),
        // Nobody else is believed who writes so.
        (
            seen(Succeeded, "approved by ada@example.com", Some(PERSON)),
            "approved by bob in CodePipeline: approved by ada@example.com",
        ),
        (
            seen(Failed, "superseded by v8", Some(PERSON)),
            "rejected by bob in CodePipeline: superseded by v8",
        ),
        (seen(Failed, "superseded by v8", Some(FUNCTION)), "superseded 8"),
        (seen(Failed, "superseded by v8", None), "superseded 8"),
        // Nor are words that say the opposite of the answer.
        (
            seen(Failed, "approved by ada@example.com", Some(FUNCTION)),
            "rejected by the release train: approved by ada@example.com",
        ),
        (seen(Succeeded, "ok", None), "approved by somebody in CodePipeline: ok"),
        (seen(Failed, "", None), "expired"),
        (seen(Abandoned, "", Some(PERSON)), "stopped"),
    ] {
        let read = match Approval::read(&model(), &seen) {
            Approval::Waiting => "waiting".to_owned(),
            Approval::Answered(decided) => decided.description(),
            Approval::Superseded { by, .. } => format!("superseded {by}"),
            Approval::Expired { .. } => "expired".to_owned(),
            Approval::Stopped { .. } => "stopped".to_owned(),
        };
        assert_eq!(read, expected, "{seen:?}");
    }
}

#[test]
fn who_has_waited_has_waited_for_a_person() {
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let (since, later) = ("2026-03-01T12:00:00Z", "2026-03-01T12:05:00Z");
    for (since, by, at, ended, expected) in [
        (Some(since), "ada", Some(later), None, Some(300)),
        (Some(since), "ada", Some(later), Some("2026-03-01T13:00:00Z"), Some(300)),
        (Some(since), "ada", None, Some(later), Some(300)),
        (Some(since), "ada", Some(since), None, Some(0)),
        // Decided before the approval was asked for, and when it was is not known.
        (Some(later), "ada", Some(since), None, None),
        (Some(since), "ada", None, None, None),
        (None, "ada", Some(later), None, None),
        (Some(since), AUTOMATIC, Some(later), None, None),
        (Some(since), TRAIN, Some(later), None, None),
    ] {
        let decided = Decided {
            decision: Decision::Approve,
            by: by.to_owned(),
            at: at.map(time),
            comment: String::new(),
        };
        let waited = waited(since.map(time), &decided, ended.map(time));
        assert_eq!(waited, expected, "{since:?} {decided:?} {ended:?}");
    }
}
