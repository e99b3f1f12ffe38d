use proptest::prelude::*;

use super::*;
use crate::package::APPROVAL_DESCRIPTION_CHARS_MAX;

const ADA: &str = "ada@example.com";
const GRACE: &str = "grace@example.com";
const BOB: &str = "arn:aws:iam::123456789012:user/bob";
const FUNCTION: &str = "arn:aws:sts::123456789012:assumed-role/stack-DecideApprovalRole-1AB/churn-decide-approval";
const DIGEST: &str = "3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea";

fn model() -> ModelName {
    "churn".parse().unwrap()
}

fn release() -> ReleaseId {
    "01234567-89ab-cdef-0123-456789abcdef".parse().unwrap()
}

fn another() -> ReleaseId {
    "11111111-89ab-cdef-0123-456789abcdef".parse().unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ten() -> Timestamp {
    time("2026-03-02T10:00:00Z")
}

fn decided(decision: Decision, by: &str, comment: &str) -> Decided {
    Decided {
        decision,
        by: by.to_owned(),
        at: Some(ten()),
        comment: comment.to_owned(),
    }
}

fn package() -> ModelPackage {
    let arn = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7";
    ModelPackage {
        arn: arn.parse().unwrap(),
        approval: ApprovalStatus::PendingManualApproval,
        approval_description: None,
        metrics_uri: None,
        generated_by: None,
        metadata: BTreeMap::new(),
        containers: Vec::new(),
        created_at: None,
        modified_at: Some(ten()),
        modified_by: Some(BOB.to_owned()),
    }
}

/// The metadata as SageMaker keeps it.
fn kept(metadata: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let value = |(key, value): (String, String)| (key, metadata_value(&value));
    metadata.into_iter().map(value).collect()
}

/// The version after somebody has decided through one of the train's functions.
fn written(decided: &Decided) -> ModelPackage {
    let approval = match decided.decision {
        Decision::Approve => ApprovalStatus::Approved,
        Decision::Reject => ApprovalStatus::Rejected,
    };
    ModelPackage {
        approval,
        approval_description: Some(decided.description()),
        metadata: kept(decided.metadata(&release(), decided.at)),
        modified_by: Some(FUNCTION.to_owned()),
        ..package()
    }
}

#[test]
fn descriptions_say_who_and_with_which_words() {
    for (decided, expected) in [
        (decided(Decision::Approve, ADA, ""), "approved by ada@example.com"),
        (
            decided(Decision::Reject, ADA, "too slow: 2 s"),
            "rejected by ada@example.com: too slow: 2 s",
        ),
        (
            decided(Decision::Reject, "bob in the model registry", "by hand"),
            "rejected by bob in the model registry: by hand",
        ),
    ] {
        assert_eq!(decided.description(), expected);
        assert_eq!(Decided::from_description(expected, decided.at), Some(decided));
    }
}

#[test]
fn what_anybody_else_writes_is_no_description() {
    for text in [
        "",
        "approved",
        "approved by",
        "approved by ",
        "Approved by ada@example.com",
        "rolled back by the alarm churn-5xx: 0.2 was greater",
        "superseded by v8",
        "approve by ada@example.com",
        "fine by me",
    ] {
        let read = Decided::from_description(text, None);
        // A name that is nobody's has no words either.
        assert!(read.is_none_or(|read| read.by.is_empty()), "{text}");
    }
}

proptest! {
    #[test]
    fn descriptions_are_read_back(approve: bool, by in "[a-z@. ]{1,80}", comment in "(?s).{0,400}") {
        let decision = if approve { Decision::Approve } else { Decision::Reject };
        let decided = decided(decision, &by, &comment);
        prop_assert_eq!(Decided::from_description(&decided.description(), decided.at), Some(decided));
    }

    #[test]
    fn the_registry_gives_back_what_the_train_wrote(approve: bool, by in "[a-z@.]{1,300}", comment in "(?s).{0,400}") {
        let decision = if approve { Decision::Approve } else { Decision::Reject };
        let decided = decided(decision, &by, &comment);
        let package = written(&decided);
        prop_assert_eq!(package.decided(&model()), Some(decided));
        prop_assert_eq!(package.decision_of(&release()), Some(decision));
        prop_assert_eq!(package.decision_of(&another()), None);
    }
}

#[test]
fn several_approvals_are_one_of_the_last_time_and_of_all_names_and_words() {
    assert_eq!(Decided::together(&[]), None);
    let early = Decided {
        at: Some(time("2026-03-02T09:00:00Z")),
        ..decided(Decision::Approve, ADA, "fine")
    };
    let late = decided(Decision::Approve, GRACE, "");
    let later = Decided {
        at: None,
        ..decided(Decision::Approve, "hal@example.com", "so be it")
    };
    assert_eq!(Decided::together(std::slice::from_ref(&early)), Some(early.clone()));
    let together = Decided::together(&[late, later, early]).unwrap();
    assert_eq!(together.at, Some(ten()));
    assert_eq!(
        together.description(),
        "approved by grace@example.com and hal@example.com and ada@example.com: so be it / fine"
    );
}

#[test]
fn the_metadata_says_which_release_when_its_approval_ended_who_and_when() {
    let decided = decided(Decision::Reject, ADA, "too slow");
    let metadata = decided.metadata(&release(), Some(time("2026-03-02T10:00:01Z")));
    let pairs: Vec<_> = metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        pairs,
        [
            (key::DECIDED_AT, "2026-03-02T10:00:00Z"),
            (key::DECIDED_BY, ADA),
            (key::DECISION, "01234567: rejected 2026-03-02T10:00:01Z"),
        ]
    );
    assert_eq!(kept(metadata.clone()), metadata, "SageMaker takes it as it is");
    let timeless = Decided { at: None, ..decided };
    assert_eq!(timeless.metadata(&release(), None).get(key::DECIDED_AT), None);
    assert_eq!(timeless.metadata(&release(), None)[key::DECISION], "01234567: rejected");
}

fn marked(mark: &str) -> ModelPackage {
    ModelPackage {
        metadata: BTreeMap::from([(key::DECISION.to_owned(), mark.to_owned())]),
        ..package()
    }
}

#[test]
fn a_mark_is_of_one_release_and_of_its_time() {
    let (before, after) = (time("2026-03-02T09:59:59Z"), time("2026-03-02T10:00:01Z"));
    for (mark, mine, since_before, since_then, since_after) in [
        (
            "01234567: approved 2026-03-02T10:00:00Z",
            Some(Decision::Approve),
            false,
            false,
            false,
        ),
        ("01234567: rejected", Some(Decision::Reject), false, false, false),
        ("11111111: approved 2026-03-02T10:00:00Z", None, true, true, false),
        ("11111111: rejected", None, false, false, false),
        ("01234567: perhaps", None, false, false, false),
        ("01234567", None, false, false, false),
        ("", None, false, false, false),
    ] {
        let package = marked(mark);
        assert_eq!(package.decision_of(&release()), mine, "{mark}");
        let since = [before, ten(), after].map(|ended| package.decided_since(&release(), ended));
        assert_eq!(since, [since_before, since_then, since_after], "{mark}");
    }
    assert_eq!(package().decision_of(&release()), None);
    assert!(!package().decided_since(&release(), before));
}

#[test]
fn a_release_that_is_approved_goes_on_until_it_has_an_outcome() {
    let ended = |mark: &str, release: &ReleaseId, outcome: &str| {
        let mut package = marked(mark);
        package
            .metadata
            .insert(key::RELEASE.to_owned(), release.as_str().to_owned());
        package.metadata.insert(key::OUTCOME.to_owned(), outcome.to_owned());
        package
    };
    let (mine, another) = (release(), another());
    for (package, expected) in [
        (package(), false),
        (marked("01234567: rejected"), false),
        (marked("01234567: approved"), true),
        (ended("01234567: approved", &mine, "deployed"), false),
        (ended("01234567: approved", &another, "rolled-back"), true),
        (ended("01234567: rejected", &another, "rolled-back"), false),
        (ended("01234567: approved", &mine, ""), true),
    ] {
        assert_eq!(package.is_being_released(), expected, "{:?}", package.metadata);
    }
}

#[test]
fn what_approvers_were_asked_is_read_back() {
    let asked = Asked::now(&release(), ten(), DIGEST);
    assert_eq!(asked.shown, "3f79bb7b435b0532");
    for (asked, text) in [
        (
            asked.clone(),
            "01234567-89ab-cdef-0123-456789abcdef 2026-03-02T10:00:00Z 3f79bb7b435b0532",
        ),
        (
            Asked {
                reminded: true,
                ..asked
            },
            "01234567-89ab-cdef-0123-456789abcdef 2026-03-02T10:00:00Z 3f79bb7b435b0532 reminded",
        ),
    ] {
        assert_eq!(asked.to_text(), text);
        assert_eq!(metadata_value(text), text, "SageMaker takes it as it is");
        assert_eq!(Asked::from_text(text), Some(asked.clone()));
        let package = ModelPackage {
            metadata: BTreeMap::from([(key::ASKED.to_owned(), text.to_owned())]),
            ..package()
        };
        assert_eq!(package.asked(), Some(asked));
    }
}

#[test]
fn what_is_no_note_of_asking_is_none() {
    for text in [
        "",
        "01234567-89ab-cdef-0123-456789abcdef",
        "01234567-89ab-cdef-0123-456789abcdef 2026-03-02T10:00:00Z",
        "01234567-89ab-cdef-0123-456789abcdef 2026-03-02T10:00:00Z ",
        "01234567-89ab-cdef-0123-456789abcdef 2026-03-02T10:00:00Z 3f79",
        "01234567-89ab-cdef-0123-456789abcdef tomorrow 3f79bb7b435b0532",
        "01234567 2026-03-02T10:00:00Z 3f79bb7b435b0532",
    ] {
        assert_eq!(Asked::from_text(text), None, "{text}");
    }
}

#[test]
fn approvers_saw_what_has_the_same_digest() {
    let asked = Asked::now(&release(), ten(), DIGEST);
    assert!(asked.saw(DIGEST));
    assert!(!asked.saw(&DIGEST.replacen('3', "4", 1)));
    assert!(!asked.saw(""));
}

/// A version on which the approvers were asked, with those votes on it.
fn voted(votes: &[(&str, String)]) -> ModelPackage {
    let asked = Asked::now(&release(), ten(), DIGEST).to_text();
    let mut metadata = BTreeMap::from([(key::ASKED.to_owned(), asked)]);
    metadata.extend(votes.iter().map(|(by, vote)| (vote_key(by), vote.clone())));
    ModelPackage {
        metadata: kept(metadata),
        ..package()
    }
}

#[test]
fn votes_are_read_back_in_the_order_of_the_approvers() {
    let asked = Asked::now(&release(), ten(), DIGEST);
    let (nine, ten) = (time("2026-03-02T09:00:00Z"), ten());
    let package = voted(&[(GRACE, vote(&asked, nine, "fine: by me")), (ADA, vote(&asked, ten, ""))]);
    let approvers = [ADA, "hal@example.com", GRACE].map(str::to_owned);
    let votes = package.votes(&release(), &approvers);
    let expected = [
        decided(Decision::Approve, ADA, ""),
        Decided {
            at: Some(nine),
            ..decided(Decision::Approve, GRACE, "fine: by me")
        },
    ];
    assert_eq!(votes, expected);
    assert!(package.votes(&another(), &approvers).is_empty());
    assert!(
        package.votes(&release(), &[]).is_empty(),
        "who is no longer asked does not count"
    );
}

#[test]
fn votes_on_another_release_or_other_evidence_do_not_count() {
    let approvers = [ADA.to_owned()];
    let asked = Asked::now(&release(), ten(), DIGEST);
    let count = |vote: String| voted(&[(ADA, vote)]).votes(&release(), &approvers).len();
    assert_eq!(count(vote(&asked, ten(), "fine")), 1);
    assert_eq!(count(vote(&Asked::now(&another(), ten(), DIGEST), ten(), "fine")), 0);
    let shown = Asked::now(&release(), ten(), &DIGEST.replacen('3', "4", 1));
    assert_eq!(count(vote(&shown, ten(), "fine")), 0);
    for text in ["", "01234567", "01234567: ", "01234567: 3f79bb7b435b0532"] {
        assert_eq!(count(text.to_owned()), 0, "{text}");
    }
    let mut unasked = voted(&[(ADA, vote(&asked, ten(), "fine"))]);
    unasked.metadata.remove(key::ASKED);
    assert!(unasked.votes(&release(), &approvers).is_empty());
    // Whoever knows what is shown now need not know what was asked.
    assert_eq!(unasked.votes_on(&asked, &approvers).len(), 1);
    assert!(unasked.votes_on(&shown, &approvers).is_empty());
}

proptest! {
    #[test]
    fn a_vote_fits_and_counts_whatever_its_words(comment in "(?s).{0,400}", approver in "[a-z@.]{1,320}") {
        let asked = Asked::now(&release(), ten(), DIGEST);
        let vote = vote(&asked, ten(), &comment);
        prop_assert!(vote.chars().count() <= METADATA_VALUE_CHARS_MAX);
        let key = vote_key(&approver);
        prop_assert!(key.len() <= 128 && key.starts_with("signalbox:vote:"));
        let package = voted(&[(&approver, vote)]);
        let votes = package.votes(&release(), std::slice::from_ref(&approver));
        prop_assert_eq!(votes.len(), 1);
        prop_assert_eq!(&votes[0].by, &approver);
        prop_assert_eq!(votes[0].at, Some(ten()));
    }
}

#[test]
fn everybody_has_a_vote_of_their_own() {
    assert_ne!(vote_key(ADA), vote_key(GRACE));
    assert_eq!(vote_key(ADA), vote_key(ADA));
}

#[test]
fn only_the_functions_that_speak_for_others_are_the_train() {
    let session = |session: &str| format!("arn:aws:sts::123456789012:assumed-role/stack-role/{session}");
    for function in SPEAKERS {
        assert!(is_train(&model(), &session(&format!("churn-{function}"))), "{function}");
        assert!(
            !is_train(&model(), &session(&format!("other-{function}"))),
            "{function}"
        );
        assert!(
            !is_train(&model(), &session(&format!("churn-{function}-2"))),
            "{function}"
        );
        assert!(!is_train(&model(), &format!("churn-{function}")), "{function}");
    }
    for identity in [
        BOB,
        "",
        "bob",
        "arn:aws:iam::123456789012:user/churn-decide-approval",
        "arn:aws:sts::123456789012:assumed-role/churn-decide-approval",
        "arn:aws:sts::123456789012:assumed-role/churn-decide-approval/bob",
        "arn:aws:sts::123456789012:assumed-role/stack-role/churn",
        "arn:aws:sts::123456789012:assumed-role/stack-role/churndecide-approval",
        "arn:aws:sts::123456789012:assumed-role/stack-role/churn-start-training",
    ] {
        assert!(!is_train(&model(), identity), "{identity}");
    }
}

#[test]
fn a_person_is_the_last_part_of_an_identity() {
    for (identity, expected) in [
        (BOB, "bob"),
        (
            "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_1/bob@example.com",
            "bob@example.com",
        ),
        ("arn:aws:iam::123456789012:root", "root"),
        ("bob-studio", "bob-studio"),
        ("", ""),
    ] {
        assert_eq!(person(identity), expected);
    }
}

#[test]
fn nothing_is_decided_while_the_registry_waits() {
    let mut package = written(&decided(Decision::Approve, ADA, ""));
    package.approval = ApprovalStatus::PendingManualApproval;
    assert_eq!(package.decided(&model()), None);
}

#[test]
fn a_decision_in_the_registry_is_of_whoever_wrote_there() {
    let by = |modified_by: Option<&str>, words: Option<&str>| ModelPackage {
        approval: ApprovalStatus::Rejected,
        approval_description: words.map(str::to_owned),
        modified_by: modified_by.map(str::to_owned),
        ..package()
    };
    for (package, who, comment) in [
        (by(Some(BOB), Some("too slow")), "bob in the model registry", "too slow"),
        (by(Some("bob-studio"), None), "bob-studio in the model registry", ""),
        (by(None, Some("too slow")), "somebody in the model registry", "too slow"),
        // The train has marked something since: who decided is not known any more.
        (
            by(Some(FUNCTION), Some("too slow")),
            "somebody in the model registry",
            "too slow",
        ),
        // Nobody is put words into their mouth: the train has not written that.
        (
            by(Some(BOB), Some("rejected by ada@example.com: no")),
            "bob in the model registry",
            "rejected by ada@example.com: no",
        ),
    ] {
        assert_eq!(package.decided(&model()), Some(decided(Decision::Reject, who, comment)));
    }
}

/// Studio and the CLI keep the description where none is given.
#[test]
fn words_about_an_earlier_decision_are_not_those_of_the_later_one() {
    let changed = |earlier: ModelPackage, words: Option<&str>| {
        let mut package = ModelPackage {
            approval: ApprovalStatus::Approved,
            modified_at: Some(time("2026-03-02T11:00:00Z")),
            modified_by: Some(BOB.to_owned()),
            ..earlier
        };
        package.approval_description = words.map(str::to_owned).or(package.approval_description);
        package.decided(&model()).unwrap()
    };
    let by_bob = |comment: &str| Decided {
        at: Some(time("2026-03-02T11:00:00Z")),
        ..decided(Decision::Approve, "bob in the model registry", comment)
    };
    let rejected = || written(&decided(Decision::Reject, ADA, "too slow"));
    assert_eq!(changed(rejected(), None), by_bob(""));
    assert_eq!(changed(rejected(), Some("fast enough")), by_bob("fast enough"));
    let reason = "rolled back by the alarm churn-5xx: 0.2 > 0.02";
    let rolled_back = || {
        let mut package = rejected();
        package.approval_description = Some(reason.to_owned());
        package.metadata.insert(key::REASON.to_owned(), metadata_value(reason));
        package
    };
    assert_eq!(changed(rolled_back(), None), by_bob(""));
    assert_eq!(
        changed(rolled_back(), Some("an outage elsewhere")),
        by_bob("an outage elsewhere")
    );
}

#[test]
fn how_a_release_ended_where_nobody_decided_is_the_trains() {
    let ended = |reason: &str, decided_by: &str, modified_by: Option<&str>| {
        let why = reason.strip_prefix("rolled back: ").unwrap_or(reason);
        let metadata = [
            (key::DECIDED_AT, "2026-03-02T09:00:00Z"),
            (key::DECIDED_BY, decided_by),
            (key::REASON, &metadata_value(why)),
        ];
        ModelPackage {
            approval: ApprovalStatus::Rejected,
            approval_description: Some(reason.to_owned()),
            metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            modified_by: modified_by.map(str::to_owned),
            ..package()
        }
    };
    let expired = "expired: nobody decided in time";
    let rolled_back = "rolled back by the alarm churn-5xx: 0.2 > 0.02";
    let taken_back = &format!("rolled back: the alarm churn-5xx: {}", "0.2 > 0.02 ".repeat(30));
    let session = |function: &str| format!("arn:aws:sts::123456789012:assumed-role/stack-role/churn-{function}");
    let (sync, update) = (session("sync-approval"), session("update-endpoint"));
    for (reason, decided_by, modified_by, by, at, comment) in [
        (
            expired,
            TRAIN,
            Some(sync.as_str()),
            TRAIN,
            "2026-03-02T09:00:00Z",
            expired,
        ),
        (expired, TRAIN, None, TRAIN, "2026-03-02T09:00:00Z", expired),
        // Ada approved it; who took it back, and when, is another matter.
        (
            rolled_back,
            ADA,
            Some(&update),
            TRAIN,
            "2026-03-02T10:00:00Z",
            rolled_back,
        ),
        (
            taken_back,
            ADA,
            Some(&update),
            TRAIN,
            "2026-03-02T10:00:00Z",
            taken_back,
        ),
        (
            expired,
            TRAIN,
            Some(BOB),
            "bob in the model registry",
            "2026-03-02T10:00:00Z",
            "",
        ),
    ] {
        let expected = Decided {
            at: Some(time(at)),
            ..decided(Decision::Reject, by, comment)
        };
        let package = ended(reason, decided_by, modified_by);
        assert_eq!(package.decided(&model()), Some(expected), "{reason} {modified_by:?}");
    }
}

#[test]
fn nobody_approves_twice() {
    let votes = [
        decided(Decision::Approve, ADA, "first"),
        decided(Decision::Reject, "eve@example.com", ""),
        decided(Decision::Approve, ADA, "again"),
        decided(Decision::Approve, GRACE, ""),
    ];
    assert_eq!(approvals(&votes), [&votes[0], &votes[3]]);
    assert!(approvals(&[]).is_empty());
}

#[test]
fn a_long_decision_keeps_who_took_it_where_it_is_cut() {
    let long = decided(Decision::Approve, ADA, &"ä".repeat(2000));
    let cut: String = long
        .description()
        .chars()
        .take(APPROVAL_DESCRIPTION_CHARS_MAX)
        .collect();
    let read = Decided::from_description(&cut, long.at).unwrap();
    assert_eq!((read.decision, read.by), (Decision::Approve, ADA.to_owned()));
}
