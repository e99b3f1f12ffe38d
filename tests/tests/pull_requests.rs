//! What is not released is built and tested, and its pull requests are told, in process.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on fails"
)]

use jiff::SignedDuration;
use local::cloud::Service;
use serde_json::{Value, json};
use tests::candidate::Candidate;
use tests::world::{Delivery, World};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Version 1 waits for nobody: the repository has its main branch, and nothing else happens.
fn world() -> World {
    let mut world = World::with_parameters(
        1,
        &[
            ("RetrainSchedule", "cron(0 0 1 1 ? 2030)"),
            ("DataThresholdObjects", "0"),
        ],
    )
    .unwrap()
    .without_traffic();
    world.propose(&Candidate::of_accuracy(0.90)).unwrap();
    world
}

fn failing() -> Candidate {
    Candidate {
        tests_pass: false,
        ..Candidate::of_accuracy(0.95)
    }
}

fn propose(world: &World, branch: &str) -> String {
    let target = json!({"repositoryName": world.model(), "sourceReference": branch, "destinationReference": "main"});
    let input = json!({"title": "Weigh recent calls more", "targets": [target]});
    let answer = world.call(Service::CodeCommit, "CreatePullRequest", &input).unwrap();
    answer["pullRequest"]["pullRequestId"].as_str().unwrap().to_owned()
}

/// The comments on a pull request, oldest first.
fn comments(world: &World, pull_request: &str) -> Vec<String> {
    let input = json!({"pullRequestId": pull_request});
    let answer = world
        .call(Service::CodeCommit, "GetCommentsForPullRequest", &input)
        .unwrap();
    let data = answer["commentsForPullRequestData"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let comments = data
        .iter()
        .flat_map(|data| data["comments"].as_array().cloned().unwrap_or_default());
    let mut comments: Vec<Value> = comments.collect();
    comments.sort_by_key(|comment| comment["creationDate"].to_string());
    comments
        .iter()
        .map(|comment| comment["content"].as_str().unwrap().to_owned())
        .collect()
}

/// How many approve the pull request as it is now.
fn approvals(world: &World, pull_request: &str) -> usize {
    let get = |operation: &str, input: Value| world.call(Service::CodeCommit, operation, &input).unwrap();
    let found = get("GetPullRequest", json!({"pullRequestId": pull_request}));
    let revision = &found["pullRequest"]["revisionId"];
    let input = json!({"pullRequestId": pull_request, "revisionId": revision});
    let states = get("GetPullRequestApprovalStates", input);
    let approvals = states["approvals"].as_array().cloned().unwrap_or_default();
    approvals
        .iter()
        .filter(|approval| approval["approvalState"] == "APPROVE")
        .count()
}

fn builds(world: &World) -> usize {
    let input = json!({"projectName": format!("{}-check", world.model())});
    let answer = world.call(Service::CodeBuild, "ListBuildsForProject", &input).unwrap();
    answer["ids"].as_array().map_or(0, Vec::len)
}

fn trainings(world: &World) -> usize {
    let input = json!({"PipelineName": world.model()});
    let answer = world
        .call(Service::SageMaker, "ListPipelineExecutions", &input)
        .unwrap();
    answer["PipelineExecutionSummaries"].as_array().unwrap().len()
}

fn nothing_dead(world: &World) {
    let dead = world.cloud().dead_letters().to_vec();
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn a_pull_request_is_told_of_each_of_its_pushes_and_nothing_is_trained_before_the_merge() {
    for events in [Delivery::Once, Delivery::Twice, Delivery::Never] {
        let mut world = world();
        // What a sweep finds that is lost, it finds within a quarter of an hour.
        world.deliver("build-status", events);
        world.push_to("feature", &failing()).unwrap();
        let pull_request = propose(&world, "feature");
        world.run_for(HOUR).unwrap();
        let told = comments(&world, &pull_request);
        assert_eq!(
            (told.len(), approvals(&world, &pull_request), builds(&world)),
            (1, 0, 1),
            "{events:?} {told:#?}"
        );
        for words in [
            "BUILD",
            "python3 -m unittest",
            "exit status 1",
            "nothing was trained or released",
        ] {
            assert!(
                told[0].to_lowercase().contains(&words.to_lowercase()),
                "{words}: {}",
                told[0]
            );
        }
        // Mended.
        world.push_to("feature", &Candidate::of_accuracy(0.95)).unwrap();
        world.run_for(HOUR).unwrap();
        let told = comments(&world, &pull_request);
        assert_eq!(
            (told.len(), approvals(&world, &pull_request), builds(&world)),
            (2, 1, 2),
            "{told:#?}"
        );
        // A further push is not approved before it is built.
        world.push_to("feature", &failing()).unwrap();
        assert_eq!(approvals(&world, &pull_request), 0);
        world.run_for(HOUR).unwrap();
        assert_eq!(
            (comments(&world, &pull_request).len(), approvals(&world, &pull_request)),
            (3, 0)
        );
        // Days of sweeps say nothing more.
        world.run_for(HOUR * 48).unwrap();
        assert_eq!((comments(&world, &pull_request).len(), builds(&world)), (3, 3));
        assert_eq!(trainings(&world), 1);
        // The pull request is where it is told.
        assert!(!world.subjects().iter().any(|subject| subject.contains("not trained")));
        nothing_dead(&world);
    }
}

#[test]
fn a_merge_is_a_push_like_any_other() {
    let mut world = world();
    let commit = world.push_to("feature", &Candidate::of_accuracy(0.95)).unwrap();
    let pull_request = propose(&world, "feature");
    world.run_for(HOUR).unwrap();
    assert_eq!(approvals(&world, &pull_request), 1);
    let input = json!({"pullRequestId": pull_request, "repositoryName": world.model(), "sourceCommitId": commit});
    world
        .call(Service::CodeCommit, "MergePullRequestByFastForward", &input)
        .unwrap();
    let asked = |world: &World| {
        world
            .subjects()
            .iter()
            .any(|subject| subject.contains("approve tumour v2?"))
    };
    world.run_until(12, "the question about v2", asked).unwrap();
    assert_eq!(
        (trainings(&world), builds(&world)),
        (2, 1),
        "the train builds main itself"
    );
    nothing_dead(&world);
}

#[test]
fn a_branch_without_a_pull_request_is_built_and_one_that_is_opened_later_is_told_at_once() {
    let mut world = world();
    world.push_to("feature", &Candidate::of_accuracy(0.95)).unwrap();
    world.run_for(HOUR).unwrap();
    assert_eq!((builds(&world), trainings(&world)), (1, 1));
    let pull_request = propose(&world, "feature");
    world.run_for(SignedDuration::from_mins(1)).unwrap();
    assert_eq!(
        (
            comments(&world, &pull_request).len(),
            approvals(&world, &pull_request),
            builds(&world)
        ),
        (1, 1, 1)
    );
    // A branch that is deleted is no news.
    let repository = world.model();
    world.cloud().delete_branch(&repository, "feature").unwrap();
    world.run_for(HOUR).unwrap();
    assert_eq!(builds(&world), 1);
    nothing_dead(&world);
}

#[test]
fn a_push_to_main_that_fails_is_told_with_phase_command_and_log() {
    let mut world = world();
    world.push(&failing()).unwrap();
    world.run_for(HOUR).unwrap();
    let mail = world
        .mails()
        .into_iter()
        .rfind(|mail| mail.subject.contains("Build"))
        .unwrap();
    let body = mail.body.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "BUILD",
        "python3 -m unittest",
        "exit status 1",
        "https://",
        "/aws/codebuild/tumour-build",
        "executions/",
    ] {
        assert!(body.contains(words), "{words}: {}\n{body}", mail.subject);
    }
    assert_eq!((builds(&world), trainings(&world)), (0, 1));
    nothing_dead(&world);
}
