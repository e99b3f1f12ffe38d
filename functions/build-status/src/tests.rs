use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Waker};

use serde_json::json;
use signalbox_aws::error::{AwsError, ErrorKind};
use signalbox_aws::memory::{ProjectBuilds, SomePullRequests, Topics};
use signalbox_model::build::Phase;
use signalbox_model::notice::Notice;
use signalbox_model::pull_request::{Comment, Posted};

use super::*;

const PUSHED: &str = include_str!("../../../events/build-status-pushed.json");
const CREATED: &str = include_str!("../../../events/build-status-pull-request-created.json");
const UPDATED: &str = include_str!("../../../events/build-status-pull-request-updated.json");
const BUILT: &str = include_str!("../../../events/build-status-built.json");
const BUILD_FAILED: &str = include_str!("../../../events/build-status-build-failed.json");
const TRAIN_BUILD_FAILED: &str = include_str!("../../../events/build-status-train-build-failed.json");
const TRAIN_START_FAILED: &str = include_str!("../../../events/build-status-train-start-failed.json");
const SWEEP: &str = include_str!("../../../events/build-status-sweep.json");

/// The commit that was pushed, the one before it, and the destination's.
const COMMIT: &str = "4c1d8f2e9b7a6c5d4e3f2a1b0c9d8e7f6a5b4c3d";
const BEFORE: &str = "3f2e1d0c9b8a7f6e5d4c3b2a1f0e9d8c7b6a5f4e";
const MAIN: &str = "9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b";
/// The build of the events, and the train's.
const BUILD: &str = "churn-check:8745a7a9-c340-456a-9166-edf953571bcd";
const TRAIN_BUILD: &str = "churn-build:0c4f1a7e-5d3b-4a82-b6e9-2d8f7c1a9b05";
const ERROR: &str = "COMMAND_EXECUTION_ERROR: Error while executing command: python3 -m unittest discover -s tests. Reason: exit status 1";

fn settings() -> Settings {
    let topic = "arn:aws:sns:eu-west-1:123456789012:churn-notices";
    Settings {
        model: "churn".parse().unwrap(),
        repository: "churn".into(),
        branch: "main".into(),
        check_project: "churn-check".into(),
        train_pipeline: "churn-train".into(),
        training_function: "churn-start-training".into(),
        notices_topic_arn: topic.into(),
        console: topic.parse().unwrap(),
    }
}

fn commit(id: &str) -> CommitId {
    id.parse().unwrap()
}

fn pull_request(id: u32, source: &str) -> PullRequest {
    PullRequest {
        id: id.to_string(),
        open: true,
        revision: format!("r{id}-{source}"),
        source_commit: commit(source),
        destination_commit: commit(MAIN),
        active_at: Some("2026-03-01T12:00:05Z".parse().unwrap()),
    }
}

fn build(id: &str, of: &str, status: Status) -> Build {
    let phase = Phase {
        name: "BUILD".into(),
        status,
        says: if status == Status::Succeeded {
            vec![]
        } else {
            vec![ERROR.into()]
        },
    };
    Build {
        id: id.into(),
        commit: Some(commit(of)),
        status,
        phases: vec![phase],
        started_at: Some("2026-03-01T12:00:08Z".parse().unwrap()),
        ended_at: status.has_ended().then(|| "2026-03-01T12:01:20Z".parse().unwrap()),
        log_url: Some(
            "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logEvent:group=g;stream=s".into(),
        ),
    }
}

#[derive(Default)]
struct World {
    builds: ProjectBuilds,
    pull_requests: SomePullRequests,
    topics: Topics,
}

impl World {
    /// Pull request 12 is open, at the commit that was pushed.
    fn new() -> Self {
        let world = Self::default();
        world.pull_requests.put(pull_request(12, COMMIT));
        world
    }

    /// The same, and the build of the commit has come so far.
    fn with(status: Status) -> Self {
        let world = Self::new();
        world.builds.put(build(BUILD, COMMIT, status));
        world
    }

    fn ports(&self) -> Ports<'_, ProjectBuilds, SomePullRequests, Topics> {
        Ports {
            builds: &self.builds,
            pull_requests: &self.pull_requests,
            notices: &self.topics,
        }
    }

    async fn handle(&self, event: &str) -> Result<Value, anyhow::Error> {
        handle(&settings(), &self.ports(), serde_json::from_str(event).unwrap()).await
    }

    /// Handles events one after the other, each twice.
    async fn handle_twice(&self, events: &[&str]) {
        for event in events.iter().flat_map(|event| [event, event]) {
            self.handle(event).await.unwrap();
        }
    }

    /// Handles an event, until it has made so many calls: before the next the function dies. Says whether it came to its end.
    fn handle_and_die(&self, calls: usize, event: &str) -> bool {
        let (settings, ports) = (settings(), self.ports());
        let mut handling = pin!(handle(&settings, &ports, serde_json::from_str(event).unwrap()));
        let mut context = TaskContext::from_waker(Waker::noop());
        // Each call of a twin's lets others go first, once.
        (0..=calls).any(|_| handling.as_mut().poll(&mut context).is_ready())
    }

    /// The commits whose builds the function has started.
    fn started(&self) -> Vec<String> {
        let builds = self.builds.all().into_iter();
        // Its twin numbers them; the samples' are UUIDs.
        let started = builds.filter(|build| build.id.len() < BUILD.len());
        started.filter_map(|build| build.commit).map(String::from).collect()
    }

    /// The titles of the comments on a pull request.
    fn titles(&self, id: u32) -> Vec<String> {
        let comments = self.pull_requests.comments(&id.to_string());
        let title = |text: &String| text.lines().next().unwrap_or_default().to_owned();
        comments.iter().map(title).collect()
    }

    /// What the function has said of the current revision of a pull request.
    fn judgement(&self, id: u32, source: &str) -> Option<bool> {
        let PullRequest { id, revision, .. } = pull_request(id, source);
        self.pull_requests.judgement(&id, &revision)
    }

    fn mails(&self) -> Vec<Notice> {
        let published = self.topics.published();
        let topic = settings().notices_topic_arn;
        assert!(published.iter().all(|published| published.topic_arn == topic));
        published.into_iter().map(|published| published.notice).collect()
    }

    /// All that the function may have changed.
    fn state(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let told = [11, 12, 13].map(|id| (self.titles(id), self.judgement(id, COMMIT), self.judgement(id, BEFORE)));
        (self.builds.all(), told, self.mails())
    }

    fn is_untouched(&self) -> bool {
        self.state() == Self::new().state()
    }
}

#[track_caller]
fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

/// What every call of the ports goes through, one of which fails: before it has done anything, or after.
struct Flaky<'a> {
    world: &'a World,
    calls: AtomicUsize,
    fails_at: usize,
    after: bool,
    kind: ErrorKind,
}

impl<'a> Flaky<'a> {
    fn new(world: &'a World, fails_at: usize, after: bool) -> Self {
        Self {
            world,
            calls: AtomicUsize::new(0),
            fails_at,
            after,
            kind: ErrorKind::Transient,
        }
    }

    async fn call<T>(&self, done: impl Future<Output = Result<T, AwsError>>) -> Result<T, AwsError> {
        let fails = self.calls.fetch_add(1, Ordering::Relaxed) == self.fails_at;
        let error = || AwsError::new("some:Call", self.kind, "Code", "no answer");
        if fails && !self.after {
            return Err(error());
        }
        let done = done.await;
        if fails { Err(error()) } else { done }
    }

    async fn handle(&self, event: &str) -> Result<Value, anyhow::Error> {
        let ports = Ports {
            builds: self,
            pull_requests: self,
            notices: self,
        };
        handle(&settings(), &ports, serde_json::from_str(event).unwrap()).await
    }
}

impl StartBuilds for Flaky<'_> {
    async fn start(&self, project: &str, commit: &CommitId) -> Result<String, AwsError> {
        self.call(self.world.builds.start(project, commit)).await
    }
}

impl ReadBuilds for Flaky<'_> {
    async fn build(&self, id: &str) -> Result<Option<Build>, AwsError> {
        self.call(self.world.builds.build(id)).await
    }

    async fn newest_builds(&self, project: &str) -> Result<Vec<Build>, AwsError> {
        self.call(self.world.builds.newest_builds(project)).await
    }
}

impl ReadPullRequests for Flaky<'_> {
    async fn open(&self, repository: &str, count_max: u8) -> Result<Vec<String>, AwsError> {
        self.call(self.world.pull_requests.open(repository, count_max)).await
    }

    async fn pull_request(&self, repository: &str, id: &str) -> Result<Option<PullRequest>, AwsError> {
        self.call(self.world.pull_requests.pull_request(repository, id)).await
    }

    async fn posted(&self, id: &str) -> Result<Vec<Posted>, AwsError> {
        self.call(self.world.pull_requests.posted(id)).await
    }
}

impl TellPullRequests for Flaky<'_> {
    async fn judge(&self, pull_request: &PullRequest, approve: bool) -> Result<Judged, AwsError> {
        self.call(self.world.pull_requests.judge(pull_request, approve)).await
    }

    async fn post(&self, repository: &str, pull_request: &PullRequest, comment: &Comment) -> Result<(), AwsError> {
        let done = self.world.pull_requests.post(repository, pull_request, comment);
        self.call(done).await
    }
}

impl Publish for Flaky<'_> {
    async fn publish(
        &self,
        topic_arn: &str,
        notice: &Notice,
        attributes: &BTreeMap<String, String>,
    ) -> Result<(), AwsError> {
        self.call(self.world.topics.publish(topic_arn, notice, attributes))
            .await
    }
}

#[tokio::test]
async fn a_commit_is_built_once_by_whichever_events() {
    for events in [
        &[PUSHED][..],
        &[UPDATED],
        &[SWEEP],
        &[PUSHED, UPDATED, SWEEP],
        &[UPDATED, PUSHED],
        &[SWEEP, UPDATED, PUSHED],
    ] {
        let world = World::new();
        world.handle_twice(events).await;
        // Days later too: then the list of builds says so.
        world.builds.forget_tokens();
        world.handle_twice(events).await;
        assert_eq!(world.started(), [COMMIT], "{events:?}");
        assert!(world.titles(12).is_empty() && world.mails().is_empty());
    }
    // Two at once, neither of which sees the other's build.
    let world = World::new();
    let (settings, ports) = (settings(), world.ports());
    let event = |event| serde_json::from_str(event).unwrap();
    let mut one = pin!(handle(&settings, &ports, event(PUSHED)));
    let mut other = pin!(handle(&settings, &ports, event(UPDATED)));
    let mut context = TaskContext::from_waker(Waker::noop());
    let (mut one_done, mut other_done) = (false, false);
    while !(one_done && other_done) {
        one_done = one_done || one.as_mut().poll(&mut context).is_ready();
        other_done = other_done || other.as_mut().poll(&mut context).is_ready();
    }
    assert_eq!(world.started(), [COMMIT]);
}

#[tokio::test]
async fn a_commit_is_not_built_again_however_its_build_ended() {
    for status in [
        Status::InProgress,
        Status::Succeeded,
        Status::Failed,
        Status::Fault,
        Status::TimedOut,
        Status::Stopped,
    ] {
        let world = World::with(status);
        world.handle_twice(&[PUSHED, UPDATED, SWEEP]).await;
        assert!(world.started().is_empty(), "{status:?}");
    }
}

#[tokio::test]
async fn what_is_released_and_what_is_no_branch_is_not_built() {
    for event in [
        PUSHED.replace("deeper-trees", "main"),
        PUSHED.replace("\"branch\"", "\"tag\""),
        // A branch that was deleted.
        PUSHED.replace("commitId", "goneId"),
    ] {
        let world = World::new();
        world.handle_twice(&[&event]).await;
        assert!(world.is_untouched(), "{event}");
    }
    // A branch that begins like the released one.
    let world = World::new();
    world.handle_twice(&[&PUSHED.replace("deeper-trees", "main-2")]).await;
    assert_eq!(world.started(), [COMMIT]);
}

#[tokio::test]
async fn the_end_of_a_build_is_told_on_the_pull_requests_of_its_commit() {
    for (event, status, title, approved) in [
        (BUILT.to_owned(), Status::Succeeded, "### Build and tests passed", true),
        (BUILD_FAILED.to_owned(), Status::Failed, "### Build failed", false),
        (
            BUILT.replace("SUCCEEDED", "STOPPED"),
            Status::Stopped,
            "### Build was stopped",
            false,
        ),
        (
            BUILT.replace("SUCCEEDED", "TIMED_OUT"),
            Status::TimedOut,
            "### Build timed out",
            false,
        ),
        (
            BUILT.replace("SUCCEEDED", "FAULT"),
            Status::Fault,
            "### Build broke off",
            false,
        ),
    ] {
        let world = World::with(status);
        // Another pull request of the same commit, one of another, and one that is closed.
        world.pull_requests.put(pull_request(13, COMMIT));
        world.pull_requests.put(pull_request(11, BEFORE));
        world.pull_requests.put(PullRequest {
            open: false,
            ..pull_request(10, COMMIT)
        });
        world.handle_twice(&[&event, SWEEP, UPDATED]).await;
        // A repeat weeks later, when the tokens may be gone.
        world.pull_requests.forget_tokens();
        world.handle_twice(&[&event, SWEEP, UPDATED]).await;
        for id in [12, 13] {
            assert_eq!(world.titles(id), [title]);
            assert_eq!(world.judgement(id, COMMIT), Some(approved), "{title}");
        }
        for id in [10, 11] {
            assert!(world.titles(id).is_empty());
        }
        assert_eq!((world.judgement(10, COMMIT), world.judgement(11, BEFORE)), (None, None));
        // The sweep has found that the other commit was never built.
        assert_eq!(world.started(), [BEFORE]);
    }
}

#[tokio::test]
async fn the_comment_says_what_failed() {
    let world = World::with(Status::Failed);
    world.handle(BUILD_FAILED).await.unwrap();
    let comments = world.pull_requests.comments("12");
    let words = [
        "`4c1d8f2e`",
        "after 1 min 12 s",
        "`BUILD`",
        ERROR,
        "https://console.aws.amazon.com/",
        BUILD,
    ];
    contains(&comments[0], &words);
    contains(&comments[0], &["Nothing was trained or released"]);
}

#[tokio::test]
async fn a_pull_request_whose_commit_was_built_before_is_told_at_once() {
    for event in [CREATED, UPDATED, SWEEP] {
        let world = World::with(Status::Failed);
        world.handle_twice(&[event]).await;
        assert_eq!(world.titles(12), ["### Build failed"], "{event}");
        assert_eq!(world.judgement(12, COMMIT), Some(false));
        assert!(world.started().is_empty());
    }
}

#[tokio::test]
async fn what_has_moved_on_is_not_told() {
    // Pushed to since.
    let world = World::with(Status::Failed);
    world.pull_requests.put(pull_request(12, BEFORE));
    world.handle_twice(&[BUILD_FAILED]).await;
    assert!(world.titles(12).is_empty());
    // Pushed to, closed, or its destination brought to the same commit, between two calls of the function.
    let moved = || pull_request(12, BEFORE);
    let closed = || PullRequest {
        open: false,
        ..pull_request(12, COMMIT)
    };
    for change in [moved, closed] {
        let world = World::with(Status::Succeeded);
        {
            let (settings, ports) = (settings(), world.ports());
            let mut handling = pin!(handle(&settings, &ports, serde_json::from_str(BUILT).unwrap()));
            let mut context = TaskContext::from_waker(Waker::noop());
            // The builds, the list, the pull request, its comments; then the judgement.
            for _ in 0..4 {
                assert!(handling.as_mut().poll(&mut context).is_pending());
            }
            world.pull_requests.put(change());
            while handling.as_mut().poll(&mut context).is_pending() {}
        }
        assert!(world.titles(12).is_empty());
        assert_eq!(world.judgement(12, COMMIT), None);
    }
    // Nothing to say: it brings no commit.
    let world = World::with(Status::Succeeded);
    world.pull_requests.put(PullRequest {
        destination_commit: commit(COMMIT),
        ..pull_request(12, COMMIT)
    });
    world.handle_twice(&[BUILT, UPDATED, SWEEP]).await;
    assert!(world.titles(12).is_empty());
    // No such pull request here.
    let world = World::default();
    world.handle_twice(&[UPDATED]).await;
    assert!(world.started().is_empty());
}

#[tokio::test]
async fn the_commit_of_now_is_built_whatever_the_event_says() {
    let world = World::default();
    world.pull_requests.put(pull_request(12, BEFORE));
    world.handle_twice(&[UPDATED]).await;
    assert_eq!(world.started(), [BEFORE]);
}

#[tokio::test]
async fn the_newest_build_of_a_commit_counts() {
    // A person has started it again, and that build has ended first to be heard of.
    let world = World::with(Status::Stopped);
    world
        .builds
        .put(build("churn-check:another", COMMIT, Status::Succeeded));
    let again = BUILT.replace("8745a7a9-c340-456a-9166-edf953571bcd", "another");
    world
        .handle_twice(&[&again, &BUILT.replace("SUCCEEDED", "STOPPED")])
        .await;
    assert_eq!(world.titles(12), ["### Build and tests passed"]);
    assert_eq!(world.judgement(12, COMMIT), Some(true));
    // It still runs: its end will be told.
    let world = World::with(Status::Failed);
    world
        .builds
        .put(build("churn-check:another", COMMIT, Status::InProgress));
    world.handle_twice(&[BUILD_FAILED]).await;
    assert!(world.titles(12).is_empty());
    // What was approved is not any more when the build is repeated and fails.
    let world = World::with(Status::Succeeded);
    world.handle_twice(&[BUILT]).await;
    world.builds.put(build("churn-check:another", COMMIT, Status::Failed));
    world
        .handle_twice(&[&again.replace("SUCCEEDED", "FAILED"), BUILT])
        .await;
    assert_eq!(world.titles(12), ["### Build and tests passed", "### Build failed"]);
    assert_eq!(world.judgement(12, COMMIT), Some(false));
}

#[tokio::test]
async fn ends_that_are_not_told() {
    for event in [
        BUILT.replace("\"build-status\": \"SUCCEEDED\"", "\"build-status\": \"IN_PROGRESS\""),
        BUILT.replace("\"churn-check\"", "\"churn-build\""),
        // Not among the newest.
        BUILT.replace("8745a7a9", "00000000"),
    ] {
        let world = World::with(Status::Succeeded);
        world.handle_twice(&[&event]).await;
        assert!(world.titles(12).is_empty(), "{event}");
    }
    let world = World::new();
    world.builds.put(Build {
        commit: None,
        ..build(BUILD, COMMIT, Status::Succeeded)
    });
    world.handle_twice(&[BUILT]).await;
    assert!(world.titles(12).is_empty(), "not of a commit");
    // CodeBuild's answers lag behind its event: Lambda tries again.
    let world = World::with(Status::InProgress);
    let error = world.handle(BUILT).await.unwrap_err().to_string();
    contains(&error, &[BUILD, "does not say so yet"]);
    world.builds.put(build(BUILD, COMMIT, Status::Succeeded));
    world.handle(BUILT).await.unwrap();
    assert_eq!(world.titles(12).len(), 1);
}

#[tokio::test]
async fn its_own_pull_request_is_told_without_an_approval() {
    let world = World::with(Status::Succeeded);
    world.pull_requests.put_own(pull_request(12, COMMIT));
    world.handle_twice(&[BUILT]).await;
    assert_eq!(world.titles(12), ["### Build and tests passed"]);
    assert_eq!(world.judgement(12, COMMIT), None);
}

/// The calls that an event takes.
async fn calls(world: &World, event: &str) -> usize {
    let counting = Flaky::new(world, usize::MAX, false);
    counting.handle(event).await.unwrap();
    counting.calls.into_inner()
}

#[tokio::test]
async fn a_sweep_makes_few_calls() {
    assert_eq!(calls(&World::default(), SWEEP).await, 1, "none is open");
    let world = World::with(Status::Succeeded);
    // One each: the list, the builds (two of CodeBuild's), the pull request, its comments, the judgement, the comment.
    assert_eq!(calls(&world, SWEEP).await, 6);
    assert_eq!(calls(&world, SWEEP).await, 4, "told already");
    // Of many, those opened last.
    let world = World::default();
    for id in 1..=40 {
        world.pull_requests.put(pull_request(id, &format!("{id:040x}")));
    }
    assert_eq!(calls(&world, SWEEP).await, 2 + 2 * 25);
    let expected: Vec<_> = (16..=40).rev().map(|id| format!("{id:040x}")).collect();
    assert_eq!(world.started(), expected);
    assert_eq!(calls(&world, SWEEP).await, 2 + 25, "they run");
}

#[tokio::test]
async fn a_sweep_builds_nothing_for_an_old_pull_request() {
    let old = || PullRequest {
        active_at: Some("2026-02-28T12:00:00Z".parse().unwrap()),
        ..pull_request(12, COMMIT)
    };
    let world = World::default();
    world.pull_requests.put(old());
    world.handle_twice(&[SWEEP]).await;
    assert!(world.started().is_empty());
    // But tells how its build ended.
    world.builds.put(build(BUILD, COMMIT, Status::Failed));
    world.handle_twice(&[SWEEP]).await;
    assert_eq!(world.titles(12), ["### Build failed"]);
}

#[tokio::test]
async fn one_pull_request_that_fails_does_not_stop_the_others() {
    for (event, first) in [(BUILT, 2), (SWEEP, 2)] {
        let world = World::with(Status::Succeeded);
        world.pull_requests.put(pull_request(13, COMMIT));
        let flaky = Flaky::new(&world, first, false);
        flaky.handle(event).await.unwrap_err();
        assert_eq!((world.titles(13).len(), world.titles(12).len()), (0, 1), "{event}");
        world.handle(event).await.unwrap();
        assert_eq!((world.titles(13).len(), world.titles(12).len()), (1, 1), "{event}");
    }
}

/// An event, and the world that it comes to.
type Case = (&'static str, fn() -> World);

fn cases() -> Vec<Case> {
    let train = || {
        let world = World::default();
        world.builds.put(build(TRAIN_BUILD, MAIN, Status::Failed));
        world
    };
    vec![
        (PUSHED, World::new),
        (UPDATED, World::new),
        (CREATED, || World::with(Status::Failed)),
        (BUILT, || {
            let world = World::with(Status::Succeeded);
            world.pull_requests.put(pull_request(13, COMMIT));
            world
        }),
        (BUILD_FAILED, || World::with(Status::Failed)),
        (SWEEP, || {
            let world = World::with(Status::Succeeded);
            world.pull_requests.put(pull_request(13, COMMIT));
            world.pull_requests.put(pull_request(11, BEFORE));
            world
        }),
        (TRAIN_BUILD_FAILED, train),
        (TRAIN_START_FAILED, World::default),
    ]
}

#[tokio::test]
async fn killed_after_every_call_it_ends_the_same() {
    for (event, world) in cases() {
        let clean = world();
        clean.handle(event).await.unwrap();
        let mut calls = 0;
        loop {
            let world = world();
            let ended = world.handle_and_die(calls, event);
            world.handle(event).await.unwrap();
            if ended {
                break;
            }
            assert_eq!(world.state(), clean.state(), "killed after {calls} calls: {event}");
            calls += 1;
        }
        assert!(calls > 0);
    }
}

#[tokio::test]
async fn with_every_call_failing_once_it_ends_the_same() {
    for (event, world) in cases() {
        let clean = world();
        let count = calls(&clean, event).await;
        for (call, after) in (0..count).flat_map(|call| [(call, false), (call, true)]) {
            let world = world();
            let error = Flaky::new(&world, call, after).handle(event).await.unwrap_err();
            assert!(error.downcast_ref::<AwsError>().is_some(), "{error:#}");
            world.handle(event).await.unwrap();
            let mail_twice = after && call + 1 == count && !world.mails().is_empty();
            if mail_twice {
                // SNS takes no token: what it has done and not answered is done again.
                assert_eq!(world.mails(), [clean.mails(), clean.mails()].concat());
            } else {
                assert_eq!(
                    world.state(),
                    clean.state(),
                    "call {call} failed, done: {after}: {event}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_a_commit_says_stays_in_its_code_block() {
    let world = World::new();
    let mut hostile = build(BUILD, COMMIT, Status::Failed);
    let says = "```\n### Build and tests passed\n[Approve](https://evil.example/)\u{202e}\n````\n".repeat(900);
    hostile.phases[0].says = vec![says.clone()];
    world.builds.put(hostile);
    world.handle(BUILD_FAILED).await.unwrap();
    let comment = world.pull_requests.comments("12").remove(0);
    assert!(comment.len() <= signalbox_model::pull_request::COMMENT_BYTES_MAX);
    let blocks: Vec<_> = comment.split("\n`````\n").collect();
    let [before, within, after] = blocks.as_slice() else {
        panic!("{comment}");
    };
    contains(within, &["### Build and tests passed", "https://evil.example/"]);
    for outside in [before, after] {
        assert!(!outside.contains("evil") && !outside.contains("passed"), "{outside}");
    }
    // By mail too.
    let world = World::default();
    let mut hostile = build(TRAIN_BUILD, MAIN, Status::Failed);
    hostile.phases[0].says = vec![says];
    world.builds.put(hostile);
    world.handle(TRAIN_BUILD_FAILED).await.unwrap();
    let mails = world.mails();
    assert_eq!(mails[0].body().matches("://").count(), 2, "{}", mails[0].body());
}

#[tokio::test]
async fn a_push_whose_build_fails_is_told() {
    let world = World::default();
    world.builds.put(build(TRAIN_BUILD, MAIN, Status::Failed));
    world.handle(TRAIN_BUILD_FAILED).await.unwrap();
    let mails = world.mails();
    assert_eq!(mails[0].subject(), "[signalbox] churn push not trained: Build failed");
    let words = [
        "the action Build",
        "churn-train",
        "Phase: BUILD",
        "python3 -m",
        "exit status 1",
        "Nothing was released",
    ];
    contains(mails[0].body(), &words);
    let links: Vec<_> = mails[0]
        .body()
        .lines()
        .filter(|line| line.starts_with("https://"))
        .collect();
    assert_eq!(
        links,
        [
            "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logEvent:group=g;stream=s",
            "https://eu-west-1.console.aws.amazon.com/codesuite/codepipeline/pipelines/churn-train/executions/\
             01234567-89ab-cdef-0123-456789abcdef/timeline?region=eu-west-1",
        ]
    );
}

#[tokio::test]
async fn a_training_that_could_not_be_started_is_told() {
    let world = World::default();
    world.handle(TRAIN_START_FAILED).await.unwrap();
    let mails = world.mails();
    assert_eq!(mails[0].subject(), "[signalbox] churn push not trained: Train failed");
    let words = [
        "the action StartTraining",
        "Reason: the build has no pipeline-definition.json",
        "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/\
         $252Faws$252Flambda$252Fchurn-start-training",
    ];
    contains(mails[0].body(), &words);
}

#[tokio::test]
async fn a_failure_is_told_with_what_there_is() {
    let told = async |world: &World, event: &str| {
        world.handle(event).await.unwrap();
        world.mails().pop().unwrap().body().to_owned()
    };
    // The build is not there any more.
    let body = told(&World::default(), TRAIN_BUILD_FAILED).await;
    contains(&body, &["Reason: Build terminated with state: FAILED"]);
    // The function may not read it: told all the same. A failure that may pass is tried again.
    let world = World::default();
    world.builds.put(build(TRAIN_BUILD, MAIN, Status::Failed));
    let mut denied = Flaky::new(&world, 0, false);
    denied.kind = ErrorKind::Denied;
    denied.handle(TRAIN_BUILD_FAILED).await.unwrap();
    contains(
        world.mails()[0].body(),
        &["Reason: Build terminated with state: FAILED"],
    );
    // The event has neither a result nor a type.
    let bare = TRAIN_BUILD_FAILED
        .replace("execution-result", "x")
        .replace("\"type\"", "\"y\"");
    contains(
        &told(&World::default(), &bare).await,
        &["Reason: CodePipeline gives none"],
    );
    for other in [
        TRAIN_BUILD_FAILED.replace("\"churn-train\"", "\"churn-release\""),
        TRAIN_BUILD_FAILED.replace("\"FAILED\"", "\"SUCCEEDED\""),
    ] {
        let world = World::default();
        world.handle(&other).await.unwrap();
        assert!(world.mails().is_empty());
    }
}

#[tokio::test]
async fn wrong_events_are_errors_that_say_what_is_wrong() {
    let (pushed, changed) = (
        "CodeCommit Repository State Change",
        "CodeCommit Pull Request State Change",
    );
    let (built, action) = (
        "CodeBuild Build State Change",
        "CodePipeline Action Execution State Change",
    );
    let reference = json!({"referenceType": "branch", "referenceName": "try", "commitId": "HEAD"});
    for (event, words) in [
        (json!({"detail": {}}), &["field `source` is missing"][..]),
        (
            json!({"source": "aws.codecommit", "detail-type": pushed, "detail": {}}),
            &[pushed, "detail.referenceType is missing"],
        ),
        (
            json!({"source": "aws.codecommit", "detail-type": pushed, "detail": reference}),
            &["`HEAD` is not a commit's full id"],
        ),
        (
            json!({"source": "aws.codecommit", "detail-type": changed, "detail": {}}),
            &[changed, "detail.pullRequestId is missing"],
        ),
        (
            json!({"source": "aws.codebuild", "detail-type": built, "detail": {"project-name": "churn-check"}}),
            &[built, "detail.build-id is missing"],
        ),
        (
            json!({"source": "aws.codepipeline", "detail-type": action, "detail": {"pipeline": "churn-train"}}),
            &[action, "detail.execution-id is missing"],
        ),
        (
            json!({"source": "signalbox", "detail-type": "Sweep", "detail": {}}),
            &["the event has no `time`"],
        ),
        (
            json!({"source": "aws.codebuild", "detail-type": "CodeBuild Build Phase Change", "detail": {}}),
            &["aws.codebuild", "Phase", "none that this function takes"],
        ),
    ] {
        let world = World::new();
        let error = world.handle(&event.to_string()).await.unwrap_err();
        contains(&format!("{error:#}"), words);
        assert!(world.is_untouched());
    }
}
