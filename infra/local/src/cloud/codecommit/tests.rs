//! Branches, differences, pull requests, comments and approvals.

use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::cloud::effect::Effect;
use crate::cloud::testing::{call, deploy, differs, events};
use crate::cloud::{ApiError, Caller, Cloud, Push, PushedCommit, Service};
use crate::jobs::archive::test_zip;

const TEMPLATE: &str = r"
Resources:
  Repository:
    Type: AWS::CodeCommit::Repository
    Properties: {RepositoryName: fraud}
  Other:
    Type: AWS::CodeCommit::Repository
    Properties: {RepositoryName: other}
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: reviewer
      AssumeRolePolicyDocument: {Statement: []}
      Policies:
        - PolicyName: review
          PolicyDocument:
            Statement:
              - Effect: Allow
                Action: ['codecommit:*PullRequest*', 'codecommit:GetDifferences']
                Resource: !GetAtt Repository.Arn
";

const ADMINISTRATOR: &str = "arn:aws:iam::123456789012:user/administrator";
const REVIEWER: &str = "arn:aws:sts::123456789012:assumed-role/reviewer/fraud-reviews";

fn reviewer() -> Caller {
    Caller::Function {
        name: "fraud-reviews".into(),
        role_arn: "arn:aws:iam::123456789012:role/reviewer".into(),
    }
}

struct Bench {
    cloud: Cloud,
}

impl Bench {
    /// `main` at commit 1, and `topic` at commit 3, which is two commits further.
    fn new() -> Self {
        let cloud = deploy(TEMPLATE).unwrap();
        let mut bench = Self { cloud };
        bench.push("main", 1, None);
        bench.push("topic", 2, Some(1));
        bench.push("topic", 3, Some(2));
        bench
    }

    fn push(&mut self, branch: &str, commit: u8, parent: Option<u8>) {
        let read_me = format!("about {commit}\n");
        let files = [
            ("train.py", "import one\nimport two\n"),
            ("README.md", read_me.as_str()),
        ];
        self.push_files(branch, commit, parent, &files);
    }

    fn push_files(&mut self, branch: &str, commit: u8, parent: Option<u8>, files: &[(&str, &str)]) {
        let push = Push {
            repository: "fraud".into(),
            branch: branch.into(),
            commit: id(commit),
            parent: parent.map(id),
            author: "Ada <ada@example.com>".into(),
            message: "Try".into(),
            zip: test_zip(files),
        };
        self.cloud.push(push).unwrap();
    }

    fn call(&mut self, operation: &str, input: Value) -> Result<Value, ApiError> {
        call(&mut self.cloud, Service::CodeCommit, operation, &input)
    }

    /// A call of a function whose role may do everything with pull requests of the repository `fraud`.
    fn review(&mut self, operation: &str, input: Value) -> Result<Value, ApiError> {
        self.cloud.call(&reviewer(), Service::CodeCommit, operation, &input)
    }

    fn propose(&mut self) -> Value {
        let answer = self.call("CreatePullRequest", proposal("topic", "main")).unwrap();
        answer["pullRequest"].clone()
    }

    fn shown(&mut self) -> Value {
        let answer = self.call("GetPullRequest", json!({"pullRequestId": "1"})).unwrap();
        answer["pullRequest"].clone()
    }

    fn target(&mut self) -> Value {
        self.shown()["pullRequestTargets"][0].clone()
    }

    fn approvals(&mut self, revision: &Value) -> Value {
        let input = json!({"pullRequestId": "1", "revisionId": revision});
        self.call("GetPullRequestApprovalStates", input).unwrap()["approvals"].clone()
    }

    fn wait(&mut self, seconds: i64) {
        let now = self.cloud.now() + SignedDuration::from_secs(seconds);
        self.cloud.advance(now);
    }

    /// The events told since the bench was made, each against AWS's sample of it.
    fn told(&self) -> Vec<String> {
        let made = 3;
        let told = events(&self.cloud).into_iter().skip(made);
        told.map(|(kind, detail)| {
            let event = detail["event"].as_str().unwrap().to_owned();
            let sample = match event.as_str() {
                "referenceCreated" => {
                    include_str!("../codepipeline/samples/codecommit_repository_reference_created.json")
                }
                "referenceUpdated" => {
                    include_str!("../codepipeline/samples/codecommit_repository_reference_updated.json")
                }
                "referenceDeleted" => include_str!("samples/reference_deleted.json"),
                "commentOnPullRequestCreated" => include_str!("samples/comment_on_pull_request_created.json"),
                "pullRequestCreated" => include_str!("samples/pull_request_created.json"),
                "pullRequestSourceBranchUpdated" => include_str!("samples/pull_request_source_branch_updated.json"),
                "pullRequestStatusChanged" => include_str!("samples/pull_request_status_changed.json"),
                "pullRequestMergeStatusUpdated" => include_str!("samples/pull_request_merge_status_updated.json"),
                "pullRequestApprovalStateChanged" => include_str!("samples/pull_request_approval_state_changed.json"),
                other => panic!("no sample of {other}"),
            };
            let sample: Value = serde_json::from_str(sample).unwrap();
            assert_eq!(kind, sample["detail-type"].as_str().unwrap());
            let sample = &sample["detail"];
            assert_eq!(differs("detail", &detail, &[sample]), None, "{event}: {detail:#}");
            // What merges tell is only there after one.
            let missing = sample
                .as_object()
                .unwrap()
                .keys()
                .find(|name| detail.get(name.as_str()).is_none());
            if event != "referenceUpdated" {
                assert_eq!(missing, None, "{event}: {detail:#}");
            }
            event
        })
        .collect()
    }

    fn last(&self) -> Value {
        events(&self.cloud).pop().unwrap().1
    }

    fn noted(&mut self) -> Vec<&'static str> {
        self.cloud.take_happenings().iter().map(|noted| noted.what).collect()
    }
}

fn id(commit: u8) -> String {
    format!("{commit:040x}")
}

fn proposal(source: &str, destination: &str) -> Value {
    json!({
        "title": "Use all ten means",
        "description": "Instead of two.",
        "targets": [{"repositoryName": "fraud", "sourceReference": source, "destinationReference": destination}],
    })
}

fn on_the_tips(content: &str) -> Value {
    json!({"pullRequestId": "1", "repositoryName": "fraud", "beforeCommitId": id(1), "afterCommitId": id(3), "content": content})
}

// ---- Branches and differences

#[test]
fn a_branch_is_deleted() {
    let mut bench = Bench::new();
    bench.cloud.delete_branch("fraud", "topic").unwrap();
    bench.cloud.delete_branch("fraud", "topic").unwrap();
    assert_eq!(bench.told(), ["referenceDeleted"]);
    let detail = bench.last();
    assert_eq!(
        (&detail["oldCommitId"], &detail["referenceFullName"]),
        (&json!(id(3)), &json!("refs/heads/topic"))
    );
    let branch = json!({"repositoryName": "fraud", "branchName": "topic"});
    assert_eq!(
        bench.call("GetBranch", branch).unwrap_err().code,
        "BranchDoesNotExistException"
    );
    for (repository, branch, code) in [
        ("fraud", "main", "DefaultBranchCannotBeDeletedException"),
        ("nope", "main", "RepositoryDoesNotExistException"),
    ] {
        assert_eq!(bench.cloud.delete_branch(repository, branch).unwrap_err().code, code);
    }
    bench.push("topic", 3, Some(2));
    assert_eq!(bench.told(), ["referenceDeleted", "referenceCreated"]);
}

#[test]
fn files_of_two_commits_are_compared() {
    let mut bench = Bench::new();
    let files = [
        ("README.md", "about 1\n"),
        ("model/train.py", "import one\nimport two\n"),
        ("model/new.py", ""),
    ];
    bench.push_files("topic", 4, Some(3), &files);
    let input = json!({"repositoryName": "fraud", "beforeCommitSpecifier": "main", "afterCommitSpecifier": id(4)});
    let answer = bench.call("GetDifferences", input.clone()).unwrap();
    // The ids are git's own: those of an empty file and of these lines.
    let empty = json!({"blobId": "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "path": "model/new.py", "mode": "100644"});
    let train =
        |path: &str| json!({"blobId": "07a1c0fdae54fc3b26a1ca6b38ea592806b18614", "path": path, "mode": "100644"});
    let expected = json!([
        {"changeType": "A", "afterBlob": empty},
        {"changeType": "A", "afterBlob": train("model/train.py")},
        {"changeType": "D", "beforeBlob": train("train.py")},
    ]);
    assert_eq!(answer, json!({ "differences": expected }));

    let changed = |bench: &mut Bench, input: Value| {
        let answer = bench.call("GetDifferences", input)?;
        let name = |difference: &Value| {
            let path = difference["afterBlob"]["path"]
                .as_str()
                .or(difference["beforeBlob"]["path"].as_str());
            format!("{} {}", difference["changeType"].as_str().unwrap(), path.unwrap())
        };
        Ok::<_, ApiError>(
            answer["differences"]
                .as_array()
                .unwrap()
                .iter()
                .map(name)
                .collect::<Vec<_>>(),
        )
    };
    for (more, expected) in [
        (
            json!({"beforeCommitSpecifier": "main", "afterCommitSpecifier": "topic", "afterPath": "model"}),
            &["A model/new.py", "A model/train.py"][..],
        ),
        (
            json!({"beforeCommitSpecifier": "HEAD", "afterCommitSpecifier": "refs/heads/topic", "afterPath": "model/new.py"}),
            &["A model/new.py"],
        ),
        (
            json!({"beforeCommitSpecifier": "main", "afterCommitSpecifier": "topic", "beforePath": "/", "afterPath": "model/"}),
            &["D README.md", "A model/new.py"],
        ),
        (
            json!({"beforeCommitSpecifier": id(1), "afterCommitSpecifier": id(3)}),
            &["M README.md"],
        ),
        (json!({"afterCommitSpecifier": "main"}), &["A README.md", "A train.py"]),
        (
            json!({"beforeCommitSpecifier": "main", "afterCommitSpecifier": "main"}),
            &[],
        ),
    ] {
        let mut input = more.clone();
        input["repositoryName"] = json!("fraud");
        assert_eq!(changed(&mut bench, input).unwrap(), expected, "{more}");
    }

    // One page at a time.
    let (mut token, mut pages) = (Value::Null, Vec::new());
    loop {
        let mut input = input.clone();
        input["MaxResults"] = json!(2);
        if token.is_string() {
            input["NextToken"] = token;
        }
        let answer = bench.call("GetDifferences", input).unwrap();
        pages.extend(answer["differences"].as_array().unwrap().clone());
        token = answer["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(Value::from(pages), expected);

    // A commit without files has a place in the history only.
    let past = PushedCommit {
        commit: id(9),
        parents: Vec::new(),
        author: "Ada".into(),
        message: "Old".into(),
        zip: None,
    };
    bench.cloud.add_commits("fraud", vec![past]).unwrap();
    for (more, code) in [
        (json!({"afterCommitSpecifier": id(8)}), "CommitDoesNotExistException"),
        (json!({"afterCommitSpecifier": id(9)}), "CommitDoesNotExistException"),
        (json!({"afterCommitSpecifier": "nope"}), "CommitDoesNotExistException"),
        (
            json!({"beforeCommitSpecifier": "nope", "afterCommitSpecifier": "main"}),
            "CommitDoesNotExistException",
        ),
        (
            json!({"afterCommitSpecifier": "main", "afterPath": "nope"}),
            "PathDoesNotExistException",
        ),
        (
            json!({"afterCommitSpecifier": "main", "MaxResults": 0}),
            "InvalidMaxResultsException",
        ),
        (
            json!({"afterCommitSpecifier": "main", "NextToken": "x"}),
            "InvalidContinuationTokenException",
        ),
        (
            json!({"afterCommitSpecifier": "main", "NextToken": "99"}),
            "InvalidContinuationTokenException",
        ),
    ] {
        let mut input = more.clone();
        input["repositoryName"] = json!("fraud");
        assert_eq!(bench.call("GetDifferences", input).unwrap_err().code, code, "{more}");
    }
    let input = json!({"repositoryName": "nope", "afterCommitSpecifier": "main"});
    assert_eq!(
        bench.call("GetDifferences", input).unwrap_err().code,
        "RepositoryDoesNotExistException"
    );
    // The commit gets its files when it is pushed.
    bench.push("late", 9, None);
    let input = json!({"repositoryName": "fraud", "afterCommitSpecifier": id(9)});
    assert_eq!(changed(&mut bench, input).unwrap().len(), 2);
}

// ---- Pull requests

#[test]
fn a_pull_request_follows_its_branches() {
    let mut bench = Bench::new();
    let made = bench.propose();
    for (member, value) in [
        ("pullRequestId", json!("1")),
        ("title", json!("Use all ten means")),
        ("description", json!("Instead of two.")),
        ("pullRequestStatus", json!("OPEN")),
        ("authorArn", json!(ADMINISTRATOR)),
        ("approvalRules", json!([])),
    ] {
        assert_eq!(made[member], value, "{member}");
    }
    let target = |source: u8, destination: u8, base: u8| {
        json!({
            "repositoryName": "fraud", "mergeMetadata": {"isMerged": false}, "mergeBase": id(base),
            "sourceReference": "refs/heads/topic", "sourceCommit": id(source),
            "destinationReference": "refs/heads/main", "destinationCommit": id(destination),
        })
    };
    assert_eq!(made["pullRequestTargets"], json!([target(3, 1, 1)]));

    // Each push to the source is a revision, though the commit be an old one; what happens elsewhere is none.
    let mut revisions = vec![made["revisionId"].clone()];
    for (branch, commit, parent, expected, revises) in [
        ("topic", 4, 3, target(4, 1, 1), true),
        ("topic", 3, 2, target(3, 1, 1), true),
        ("main", 5, 1, target(3, 5, 1), false),
        ("elsewhere", 6, 1, target(3, 5, 1), false),
        ("topic", 7, 5, target(7, 5, 5), true),
    ] {
        bench.push(branch, commit, Some(parent));
        let shown = bench.shown();
        assert_eq!(shown["pullRequestTargets"][0], expected, "{branch} {commit}");
        assert_eq!(!revisions.contains(&shown["revisionId"]), revises, "{branch} {commit}");
        revisions.push(shown["revisionId"].clone());
    }
    let expected = [
        "pullRequestCreated",
        "referenceUpdated",
        "pullRequestSourceBranchUpdated",
        "referenceUpdated",
        "pullRequestSourceBranchUpdated",
        "referenceUpdated",
        "referenceCreated",
        "referenceUpdated",
        "pullRequestSourceBranchUpdated",
    ];
    assert_eq!(bench.told(), expected);
    let detail = bench.last();
    for (member, value) in [
        ("revisionId", revisions.last().unwrap().clone()),
        ("sourceCommit", json!(id(7))),
        ("destinationCommit", json!(id(5))),
        ("isMerged", json!("False")),
        ("pullRequestStatus", json!("Open")),
        ("creationDate", json!("Mon Mar 02 09:00:00 UTC 2026")),
        ("callerUserArn", json!(ADMINISTRATOR)),
    ] {
        assert_eq!(detail[member], value, "{member}");
    }
    assert!(
        detail["notificationBody"]
            .as_str()
            .unwrap()
            .contains("source branch: topic. For more information")
    );
    let noted = bench.noted();
    assert_eq!(noted.iter().filter(|what| **what == "pull-request-updated").count(), 3);
}

#[test]
fn a_token_makes_one_pull_request() {
    let mut bench = Bench::new();
    let mut input = proposal("topic", "refs/heads/main");
    input["clientRequestToken"] = json!("t");
    let first = bench.call("CreatePullRequest", input.clone()).unwrap();
    bench.wait(3600);
    assert_eq!(bench.call("CreatePullRequest", input.clone()).unwrap(), first);
    let mut other = input.clone();
    other["title"] = json!("Another");
    let code = "IdempotencyParameterMismatchException";
    assert_eq!(bench.call("CreatePullRequest", other).unwrap_err().code, code);
    assert_eq!(bench.review("CreatePullRequest", input).unwrap_err().code, code);
    assert_eq!(bench.told(), ["pullRequestCreated"]);
}

#[test]
fn pull_requests_that_do_not_fit_are_refused() {
    let mut bench = Bench::new();
    let mut of_other = proposal("topic", "main");
    of_other["targets"][0]["repositoryName"] = json!("nope");
    let mut untitled = proposal("topic", "main");
    untitled["title"] = json!("");
    let mut long = proposal("topic", "main");
    long["title"] = json!("x".repeat(151));
    for (operation, input, code) in [
        (
            "CreatePullRequest",
            proposal("nope", "main"),
            "ReferenceDoesNotExistException",
        ),
        (
            "CreatePullRequest",
            proposal("topic", "nope"),
            "ReferenceDoesNotExistException",
        ),
        (
            "CreatePullRequest",
            proposal("main", "refs/heads/main"),
            "SourceAndDestinationAreSameException",
        ),
        ("CreatePullRequest", of_other, "RepositoryDoesNotExistException"),
        ("CreatePullRequest", untitled, "TitleRequiredException"),
        ("CreatePullRequest", long, "ValidationException"),
        (
            "CreatePullRequest",
            json!({"title": "x", "targets": []}),
            "TargetsRequiredException",
        ),
        (
            "GetPullRequest",
            json!({"pullRequestId": "1"}),
            "PullRequestDoesNotExistException",
        ),
        (
            "GetPullRequest",
            json!({"pullRequestId": "one"}),
            "InvalidPullRequestIdException",
        ),
        (
            "ListPullRequests",
            json!({"repositoryName": "nope"}),
            "RepositoryDoesNotExistException",
        ),
        (
            "ListPullRequests",
            json!({"repositoryName": "fraud", "maxResults": 0}),
            "InvalidMaxResultsException",
        ),
        (
            "ListPullRequests",
            json!({"repositoryName": "fraud", "nextToken": "-"}),
            "InvalidContinuationTokenException",
        ),
        (
            "ListPullRequests",
            json!({"repositoryName": "fraud", "pullRequestStatus": "DONE"}),
            "ValidationException",
        ),
    ] {
        let error = bench.call(operation, input.clone()).unwrap_err();
        assert_eq!(error.code, code, "{operation} {input}: {error}");
    }
    assert!(bench.told().is_empty());
    // The destination is the default branch where nothing is said.
    let input = json!({"title": "x", "targets": [{"repositoryName": "fraud", "sourceReference": "topic"}]});
    let answer = bench.call("CreatePullRequest", input).unwrap();
    let target = &answer["pullRequest"]["pullRequestTargets"][0];
    assert_eq!(target["destinationReference"], "refs/heads/main");
}

#[test]
fn pull_requests_are_listed_and_closed() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.propose();
    }
    let close = json!({"pullRequestId": "2", "pullRequestStatus": "CLOSED"});
    let answer = bench.call("UpdatePullRequestStatus", close.clone()).unwrap();
    assert_eq!(answer["pullRequest"]["pullRequestStatus"], "CLOSED");
    assert_eq!(bench.told().pop().unwrap(), "pullRequestStatusChanged");
    assert_eq!(bench.last()["pullRequestStatus"], "Closed");
    // Again, it changes nothing; back, it can't.
    bench.call("UpdatePullRequestStatus", close).unwrap();
    bench
        .call(
            "UpdatePullRequestStatus",
            json!({"pullRequestId": "1", "pullRequestStatus": "OPEN"}),
        )
        .unwrap();
    assert_eq!(bench.told().len(), 6);
    let open = json!({"pullRequestId": "2", "pullRequestStatus": "OPEN"});
    assert_eq!(
        bench.call("UpdatePullRequestStatus", open).unwrap_err().code,
        "InvalidPullRequestStatusUpdateException"
    );
    for (more, expected) in [
        (json!({}), json!({"pullRequestIds": ["5", "4", "3", "2", "1"]})),
        (json!({"pullRequestStatus": "CLOSED"}), json!({"pullRequestIds": ["2"]})),
        (
            json!({"pullRequestStatus": "OPEN", "maxResults": 3}),
            json!({"pullRequestIds": ["5", "4", "3"], "nextToken": "3"}),
        ),
        (
            json!({"pullRequestStatus": "OPEN", "maxResults": 3, "nextToken": "3"}),
            json!({"pullRequestIds": ["1"]}),
        ),
        (json!({"authorArn": REVIEWER}), json!({"pullRequestIds": []})),
    ] {
        let mut input = more.clone();
        input["repositoryName"] = json!("fraud");
        assert_eq!(bench.call("ListPullRequests", input).unwrap(), expected, "{more}");
    }
    let input = json!({"repositoryName": "other"});
    assert_eq!(
        bench.call("ListPullRequests", input).unwrap(),
        json!({"pullRequestIds": []})
    );
}

#[test]
fn a_pull_request_is_merged() {
    let mut bench = Bench::new();
    bench.propose();
    let merge = |commit: u8| json!({"pullRequestId": "1", "repositoryName": "fraud", "sourceCommitId": id(commit)});
    for (input, code) in [
        (merge(2), "TipOfSourceReferenceIsDifferentException"),
        (
            json!({"pullRequestId": "1", "repositoryName": "other"}),
            "RepositoryNotAssociatedWithPullRequestException",
        ),
        (
            json!({"pullRequestId": "2", "repositoryName": "fraud"}),
            "PullRequestDoesNotExistException",
        ),
    ] {
        assert_eq!(
            bench.call("MergePullRequestByFastForward", input).unwrap_err().code,
            code
        );
    }
    // The destination goes on: no fast-forward any more, until the source has it.
    bench.push("main", 4, Some(1));
    assert_eq!(
        bench.call("MergePullRequestByFastForward", merge(3)).unwrap_err().code,
        "ManualMergeRequiredException"
    );
    let together = PushedCommit {
        commit: id(5),
        parents: vec![id(3), id(4)],
        author: "Ada".into(),
        message: "Both".into(),
        zip: None,
    };
    bench.cloud.add_commits("fraud", vec![together]).unwrap();
    bench.push("topic", 5, Some(3));
    assert_eq!(bench.target()["mergeBase"], json!(id(4)));
    let told = bench.told().len();
    bench.cloud.take_effects();

    let answer = bench.call("MergePullRequestByFastForward", merge(5)).unwrap();
    let merged = &answer["pullRequest"];
    assert_eq!(merged["pullRequestStatus"], "CLOSED");
    assert_eq!(
        merged["pullRequestTargets"][0]["mergeMetadata"],
        json!({"isMerged": true, "mergedBy": ADMINISTRATOR, "mergeOption": "FAST_FORWARD_MERGE"})
    );
    let branch = json!({"repositoryName": "fraud", "branchName": "main"});
    assert_eq!(
        bench.call("GetBranch", branch).unwrap()["branch"]["commitId"],
        json!(id(5))
    );
    assert_eq!(
        bench.told()[told..],
        ["referenceUpdated", "pullRequestMergeStatusUpdated"]
    );
    let all = events(&bench.cloud);
    let [.., (_, reference), (_, request)] = all.as_slice() else {
        panic!("{all:?}");
    };
    for (detail, member, value) in [
        (reference, "commitId", json!(id(5))),
        (reference, "oldCommitId", json!(id(4))),
        (reference, "baseCommitId", json!(id(4))),
        (reference, "mergeOption", json!("FAST_FORWARD_MERGE")),
        (request, "isMerged", json!("True")),
        (request, "pullRequestStatus", json!("Closed")),
        (request, "destinationCommit", json!(id(4))),
    ] {
        assert_eq!(detail[member], value, "{member}");
    }
    let effects = bench.cloud.take_effects();
    let [Effect::MoveBranch { branch, from, to, .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!((branch.as_str(), from, to), ("main", &id(4), &id(5)));
    assert_eq!(
        bench.call("MergePullRequestByFastForward", merge(5)).unwrap_err().code,
        "PullRequestAlreadyClosedException"
    );
    assert!(bench.noted().contains(&"pull-request-merged"));
    // It is over: its branches no longer concern it.
    bench.push("topic", 6, Some(5));
    assert_eq!(bench.target()["sourceCommit"], json!(id(5)));
}

#[test]
fn pushes_end_pull_requests_too() {
    // A push of the source to the destination is a merge; with a commit of its own it is none.
    for (commit, parents, merges) in [(3, vec![2], true), (4, vec![3], true), (5, vec![1, 3], false)] {
        let mut bench = Bench::new();
        bench.propose();
        let pushed = PushedCommit {
            commit: id(commit),
            parents: parents.into_iter().map(id).collect(),
            author: "Ada".into(),
            message: "On main".into(),
            zip: Some(Bytes::new()),
        };
        bench.cloud.add_commits("fraud", vec![pushed]).unwrap();
        bench.push("main", commit, None);
        let shown = bench.shown();
        let status = if merges { "CLOSED" } else { "OPEN" };
        assert_eq!(shown["pullRequestStatus"], status, "{commit}");
        assert_eq!(shown["pullRequestTargets"][0]["mergeMetadata"]["isMerged"], merges);
        let told = bench.told();
        assert_eq!(
            told.contains(&"pullRequestMergeStatusUpdated".to_owned()),
            merges,
            "{told:?}"
        );
    }
    // A branch that is deleted closes what waits for it.
    let mut bench = Bench::new();
    bench.propose();
    bench.cloud.delete_branch("fraud", "topic").unwrap();
    assert_eq!(bench.shown()["pullRequestStatus"], "CLOSED");
    assert_eq!(
        bench.told(),
        ["pullRequestCreated", "referenceDeleted", "pullRequestStatusChanged"]
    );
}

// ---- Comments and approvals

#[test]
fn a_pull_request_is_commented() {
    let mut bench = Bench::new();
    bench.propose();
    let mut input = on_the_tips("The tests fail.");
    input["clientRequestToken"] = json!("t");
    let first = bench.review("PostCommentForPullRequest", input.clone()).unwrap();
    assert_eq!(
        (&first["comment"]["content"], &first["comment"]["authorArn"]),
        (&json!("The tests fail."), &json!(REVIEWER))
    );
    bench.wait(60);
    assert_eq!(bench.review("PostCommentForPullRequest", input.clone()).unwrap(), first);
    let mut other = input.clone();
    other["content"] = json!("The tests pass.");
    let code = "IdempotencyParameterMismatchException";
    assert_eq!(bench.review("PostCommentForPullRequest", other).unwrap_err().code, code);
    assert_eq!(bench.call("PostCommentForPullRequest", input).unwrap_err().code, code);

    // Without a token, each call is a comment.
    let mut on_line = on_the_tips("Why two?");
    on_line["location"] = json!({"filePath": "train.py", "filePosition": 2, "relativeFileVersion": "AFTER"});
    for input in [on_line, on_the_tips("Again."), on_the_tips("Again.")] {
        bench.call("PostCommentForPullRequest", input).unwrap();
    }
    let (mut contents, mut token) = (Vec::new(), Value::Null);
    loop {
        let mut input = json!({"pullRequestId": "1", "maxResults": 3});
        if token.is_string() {
            input["nextToken"] = token;
        }
        let answer = bench.call("GetCommentsForPullRequest", input).unwrap();
        for thread in answer["commentsForPullRequestData"].as_array().unwrap() {
            assert_eq!(thread["afterBlobId"].is_string(), thread["location"].is_object());
            contents.push(thread["comments"][0]["content"].as_str().unwrap().to_owned());
        }
        token = answer["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(contents, ["The tests fail.", "Why two?", "Again.", "Again."]);
    let of_commits = |after: u8| json!({"pullRequestId": "1", "repositoryName": "fraud", "beforeCommitId": id(1), "afterCommitId": id(after)});
    for (input, expected) in [(of_commits(3), 4), (of_commits(2), 0)] {
        let answer = bench.call("GetCommentsForPullRequest", input).unwrap();
        assert_eq!(answer["commentsForPullRequestData"].as_array().unwrap().len(), expected);
    }
    let told = bench.told();
    assert_eq!(
        told.iter()
            .filter(|told| *told == "commentOnPullRequestCreated")
            .count(),
        4
    );
    assert!(bench.noted().contains(&"pull-request-comment"));
}

#[test]
fn comments_that_do_not_fit_are_refused() {
    let mut bench = Bench::new();
    bench.propose();
    let with = |member: &str, value: Value| {
        let mut input = on_the_tips("x");
        input[member] = value;
        input
    };
    let at = |path: &str, position: i64| with("location", json!({"filePath": path, "filePosition": position}));
    let long = "ä".repeat(10_240);
    bench.call("PostCommentForPullRequest", on_the_tips(&long)).unwrap();
    for (input, code) in [
        (
            on_the_tips(&format!("{long}x")),
            "CommentContentSizeLimitExceededException",
        ),
        (on_the_tips(""), "CommentContentRequiredException"),
        (with("pullRequestId", json!("2")), "PullRequestDoesNotExistException"),
        (with("pullRequestId", json!("x")), "InvalidPullRequestIdException"),
        (
            with("repositoryName", json!("other")),
            "RepositoryNotAssociatedWithPullRequestException",
        ),
        (with("repositoryName", json!("nope")), "RepositoryDoesNotExistException"),
        (with("afterCommitId", json!(id(9))), "CommitDoesNotExistException"),
        (with("beforeCommitId", json!("main")), "InvalidCommitIdException"),
        (
            with("beforeCommitId", json!(id(3))),
            "BeforeCommitIdAndAfterCommitIdAreSameException",
        ),
        (at("nope.py", 1), "PathDoesNotExistException"),
        (at("train.py", 3), "InvalidFilePositionException"),
    ] {
        let error = bench.call("PostCommentForPullRequest", input).unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
    for (input, code) in [
        (json!({"pullRequestId": "2"}), "PullRequestDoesNotExistException"),
        (
            json!({"pullRequestId": "1", "repositoryName": "fraud"}),
            "CommitIdRequiredException",
        ),
        (
            json!({"pullRequestId": "1", "beforeCommitId": id(1)}),
            "RepositoryNameRequiredException",
        ),
        (
            json!({"pullRequestId": "1", "maxResults": 501}),
            "InvalidMaxResultsException",
        ),
        (
            json!({"pullRequestId": "1", "nextToken": "7"}),
            "InvalidContinuationTokenException",
        ),
    ] {
        let error = bench.call("GetCommentsForPullRequest", input).unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
}

#[test]
fn a_revision_is_approved() {
    let mut bench = Bench::new();
    let made = bench.propose();
    let revision = made["revisionId"].clone();
    let state =
        |revision: &Value, state: &str| json!({"pullRequestId": "1", "revisionId": revision, "approvalState": state});
    assert_eq!(
        bench
            .call("UpdatePullRequestApprovalState", state(&revision, "APPROVE"))
            .unwrap_err()
            .code,
        "PullRequestCannotBeApprovedByAuthorException"
    );
    // Twice is once.
    for _ in 0..2 {
        bench
            .review("UpdatePullRequestApprovalState", state(&revision, "APPROVE"))
            .unwrap();
    }
    let approved = json!([{"userArn": REVIEWER, "approvalState": "APPROVE"}]);
    assert_eq!(bench.approvals(&revision), approved);
    assert_eq!(bench.told(), ["pullRequestCreated", "pullRequestApprovalStateChanged"]);
    let detail = bench.last();
    assert_eq!(
        (&detail["approvalStatus"], &detail["callerUserArn"], &detail["author"]),
        (&json!("APPROVE"), &json!(REVIEWER), &json!(ADMINISTRATOR))
    );
    bench
        .review("UpdatePullRequestApprovalState", state(&revision, "REVOKE"))
        .unwrap();
    assert_eq!(bench.approvals(&revision), json!([]));
    assert_eq!(bench.last()["approvalStatus"], "REVOKE");
    bench
        .review("UpdatePullRequestApprovalState", state(&revision, "APPROVE"))
        .unwrap();

    // A push is a revision that nobody has approved of.
    bench.push("topic", 4, Some(3));
    let current = bench.shown()["revisionId"].clone();
    assert_eq!(
        (bench.approvals(&current), bench.approvals(&revision)),
        (json!([]), approved)
    );
    for (input, code) in [
        (state(&revision, "APPROVE"), "RevisionNotCurrentException"),
        (state(&json!("nope"), "APPROVE"), "InvalidRevisionIdException"),
    ] {
        let error = bench.review("UpdatePullRequestApprovalState", input).unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
    bench
        .review("UpdatePullRequestApprovalState", state(&current, "APPROVE"))
        .unwrap();
    let close = json!({"pullRequestId": "1", "pullRequestStatus": "CLOSED"});
    bench.review("UpdatePullRequestStatus", close).unwrap();
    assert_eq!(
        bench
            .review("UpdatePullRequestApprovalState", state(&current, "REVOKE"))
            .unwrap_err()
            .code,
        "PullRequestAlreadyClosedException"
    );
    let noted = bench.noted();
    assert_eq!(noted.iter().filter(|what| **what == "pull-request-approval").count(), 4);
}

#[test]
fn a_role_reviews_its_repository_only() {
    let mut bench = Bench::new();
    for branch in ["main", "topic"] {
        let push = Push {
            repository: "other".into(),
            branch: branch.into(),
            commit: id(if branch == "main" { 1 } else { 2 }),
            parent: None,
            author: "Ada".into(),
            message: "Try".into(),
            zip: test_zip(&[]),
        };
        bench.cloud.push(push).unwrap();
    }
    let mut elsewhere = proposal("topic", "main");
    elsewhere["targets"][0]["repositoryName"] = json!("other");
    let denied = |result: Result<Value, ApiError>| result.unwrap_err().code == "AccessDeniedException";
    assert!(denied(bench.review("CreatePullRequest", elsewhere.clone())));
    bench.call("CreatePullRequest", elsewhere).unwrap();
    bench.call("CreatePullRequest", proposal("topic", "main")).unwrap();
    assert!(denied(bench.review("GetPullRequest", json!({"pullRequestId": "1"}))));
    assert!(denied(
        bench.review("ListPullRequests", json!({"repositoryName": "other"}))
    ));
    assert!(denied(
        bench.review("GetCommit", json!({"repositoryName": "fraud", "commitId": id(1)}))
    ));
    bench.review("GetPullRequest", json!({"pullRequestId": "2"})).unwrap();
    // Its own repository's name does not open another's pull request.
    let input =
        json!({"pullRequestId": "1", "repositoryName": "fraud", "beforeCommitId": id(1), "afterCommitId": id(2)});
    assert_eq!(
        bench.review("GetCommentsForPullRequest", input).unwrap_err().code,
        "RepositoryNotAssociatedWithPullRequestException"
    );
    assert_eq!(
        bench
            .review("GetPullRequest", json!({"pullRequestId": "3"}))
            .unwrap_err()
            .code,
        "PullRequestDoesNotExistException"
    );
}
