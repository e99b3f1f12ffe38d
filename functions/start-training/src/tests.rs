use serde_json::json;
use signalbox_aws::commits::Commit;
use signalbox_aws::error::AwsError;
use signalbox_aws::memory::{AllBegan, JobAnswers, Objects, OneAuthor, SameChanges, Trainings};
use signalbox_model::job::FailureType;
use signalbox_model::training::Status;

use super::*;

const EVENT: &str = include_str!("../../../events/start-training-job.json");
const DEFINITION: &str = include_str!("../../../infra/model-repository/pipeline-definition.json");

fn settings() -> Settings {
    Settings {
        model: "churn".parse().unwrap(),
        train_pipeline: "churn-train".into(),
        repository: "churn".into(),
        bucket: "bucket".into(),
        role_arn: "arn:aws:iam::123456789012:role/churn-sagemaker".into(),
        image_uri: "image".into(),
        instance_type: "ml.m5.large".into(),
        accuracy_threshold: 0.85,
        data_prefix: "data/".into(),
        model_paths: "**".parse().unwrap(),
        sample_data: true,
    }
}

/// CodeCommit: who wrote what, and what a push has changed.
struct Repository<'a, C> {
    commits: &'a C,
    changes: SameChanges,
}

impl<'a, C> Repository<'a, C> {
    /// What has changed is asked by nobody, where every file is the model's.
    fn of(commits: &'a C) -> Self {
        let changes = SameChanges(Err(ErrorKind::Other));
        Self { commits, changes }
    }
}

impl<C: ReadCommits> ReadCommits for Repository<'_, C> {
    async fn commit(&self, repository: &str, id: &str) -> Result<Commit, AwsError> {
        self.commits.commit(repository, id).await
    }
}

impl<C: ReadCommits> ReadChanges for Repository<'_, C> {
    async fn changed(&self, repository: &str, before: &str, after: &str) -> Result<Option<Vec<String>>, AwsError> {
        assert_eq!((repository, before, after), ("churn", BEFORE, COMMIT));
        self.changes.changed(repository, before, after).await
    }
}

/// The train pipeline, whose execution of the job began then.
fn began() -> AllBegan {
    AllBegan(Ok(Some(PUSHED.parse().unwrap())))
}

/// When the push of the job was seen.
const PUSHED: &str = "2026-03-01T08:55:00Z";

/// The commit of the job, and the one that was trained before it.
const COMMIT: &str = "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a";
const BEFORE: &str = "1111111111111111111111111111111111111111";

/// A zip of stored files, made as git makes it.
fn artifact(files: &[(&str, &str)]) -> Vec<u8> {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, content) in files {
        archive
            .start_file(*path, zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(content.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn author() -> OneAuthor {
    OneAuthor(Commit {
        author: Some("Ada <ada@example.com>".into()),
        message: Some("Weigh recent calls more\n\nThe last month tells more than the last year.\n".into()),
    })
}

async fn run(files: &[(&str, &str)], event: Value) -> (JobAnswers, Objects, Trainings) {
    run_with(&author(), files, event).await
}

async fn run_with(
    commits: &impl ReadCommits,
    files: &[(&str, &str)],
    event: Value,
) -> (JobAnswers, Objects, Trainings) {
    let (jobs, objects, trainings) = (JobAnswers::default(), Objects::default(), Trainings::default());
    objects.put("s3://bucket/churn-train/Build/Zx81abc", artifact(files));
    let repository = Repository::of(commits);
    let ports = Ports {
        jobs: &jobs,
        commits: &repository,
        objects: &objects,
        pipelines: &trainings,
        executions: &began(),
    };
    for _ in 0..2 {
        handle(&settings(), &ports, event.clone()).await.unwrap();
    }
    (jobs, objects, trainings)
}

fn event() -> Value {
    serde_json::from_str(EVENT).unwrap()
}

#[tokio::test]
async fn the_built_definition_is_started_once_however_often_it_is_asked_for() {
    let files = [
        ("pipeline-definition.json", DEFINITION),
        ("train.py", "print()"),
        ("tests/test_train.py", ""),
    ];
    let (jobs, objects, trainings) = run(&files, event()).await;
    let started = trainings.started();
    assert_eq!(started.len(), 1);
    let lineage = Lineage::from_description(Some(&started[0].description));
    assert_eq!(
        (lineage.trigger, lineage.commit.as_deref()),
        (Trigger::Push, Some("0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a"))
    );
    assert_eq!(lineage.triggered_at().map(|at| at.to_string()).as_deref(), Some(PUSHED));
    assert!(
        matches!(
            &jobs.given()[0],
            Ok(Answer::Done {
                external_id: Some(_),
                ..
            })
        ),
        "{:?}",
        jobs.given()
    );
    let code: Vec<String> = objects
        .uris()
        .into_iter()
        .filter(|uri| uri.contains("/code/"))
        .collect();
    assert_eq!(code.len(), 2, "the script and the archive, not the tests: {code:?}");
    assert!(trainings.definitions()[0].contains("s3://bucket/code/"));
}

#[tokio::test]
async fn a_push_that_does_not_touch_the_model_is_not_trained() {
    let paths = |paths: &[&str]| Ok(Some(paths.iter().map(|path| (*path).to_owned()).collect()));
    let by_hand = |commit: &str| {
        let mut lineage = Lineage::of(Trigger::Push);
        lineage.commit = Some(commit.into());
        lineage
    };
    let ours = Lineage {
        codepipeline_execution: Some("89abcdef-0123-4567-89ab-cdef01234567".into()),
        ..by_hand(COMMIT)
    };
    let foreign = Lineage::of(Trigger::Registry);
    for (trained, changes, not_trained) in [
        (&[by_hand(BEFORE)][..], paths(&["README.md", "docs/how.txt"]), true),
        (&[foreign.clone(), by_hand(BEFORE)], paths(&["README.md"]), true),
        (&[by_hand(BEFORE)], paths(&["README.md", "train.py"]), false),
        // The same content again: somebody wants it trained again.
        (&[by_hand(BEFORE)], paths(&[]), false),
        // More than can be looked at; a branch that was pushed over.
        (&[by_hand(BEFORE)], Ok(None), false),
        (&[by_hand(BEFORE)], Err(ErrorKind::NotFound), false),
        // The first push; this very job, whose answer was lost.
        (&[], paths(&["README.md"]), false),
        (&[foreign], paths(&["README.md"]), false),
        (&[ours, by_hand(BEFORE)], paths(&["README.md"]), false),
    ] {
        let (jobs, objects, trainings) = (JobAnswers::default(), Objects::default(), Trainings::default());
        let files = [("pipeline-definition.json", DEFINITION), ("train.py", "print()")];
        objects.put("s3://bucket/churn-train/Build/Zx81abc", artifact(&files));
        for (number, lineage) in trained.iter().enumerate().rev() {
            let execution = Execution {
                arn: format!("arn:{number}"),
                status: Status::Succeeded,
                description: Some(lineage.to_description()),
                started_at: None,
                failure_reason: None,
            };
            trainings.put(execution, Vec::new());
        }
        let repository = Repository {
            commits: &author(),
            changes: SameChanges(changes.clone()),
        };
        let ports = Ports {
            jobs: &jobs,
            commits: &repository,
            objects: &objects,
            pipelines: &trainings,
            executions: &began(),
        };
        let settings = Settings {
            model_paths: "**,!*.md,!docs/**".parse().unwrap(),
            ..settings()
        };
        for _ in 0..2 {
            handle(&settings, &ports, event()).await.unwrap();
        }
        assert_eq!(trainings.started().is_empty(), not_trained, "{trained:?} {changes:?}");
        let given = jobs.given();
        let Ok(Answer::Done { summary, .. }) = &given[0] else {
            panic!("{given:?}")
        };
        assert_eq!(summary.starts_with("not trained: "), not_trained, "{summary}");
        assert_eq!(summary.contains("(README.md"), not_trained, "{summary}");
    }
}

#[tokio::test]
async fn what_has_changed_is_waited_for_where_codecommit_is_out_of_order() {
    let (jobs, objects, trainings) = (JobAnswers::default(), Objects::default(), Trainings::default());
    let mut lineage = Lineage::of(Trigger::Push);
    lineage.commit = Some(BEFORE.into());
    let execution = Execution {
        arn: "arn".into(),
        status: Status::Succeeded,
        description: Some(lineage.to_description()),
        started_at: None,
        failure_reason: None,
    };
    trainings.put(execution, Vec::new());
    let repository = Repository {
        commits: &author(),
        changes: SameChanges(Err(ErrorKind::Transient)),
    };
    let ports = Ports {
        jobs: &jobs,
        commits: &repository,
        objects: &objects,
        pipelines: &trainings,
        executions: &began(),
    };
    let settings = Settings {
        model_paths: "**,!*.md".parse().unwrap(),
        ..settings()
    };
    handle(&settings, &ports, event()).await.unwrap();
    assert_eq!(trainings.started(), []);
    let given = &jobs.given()[0];
    assert!(
        matches!(given, Ok(Answer::Continue { .. })),
        "CodePipeline calls again: {given:?}"
    );
}

/// CodeCommit, which may be out of order, and is asked for one commit of one repository.
struct Asked(Result<Commit, ErrorKind>);

impl ReadCommits for Asked {
    async fn commit(&self, repository: &str, id: &str) -> Result<Commit, AwsError> {
        assert_eq!((repository, id), ("churn", "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a"));
        let refused = |kind| AwsError::new("codecommit:GetCommit", kind, "Code", "no");
        self.0.clone().map_err(refused)
    }
}

#[tokio::test]
async fn who_wrote_the_commit_and_why_is_in_the_lineage() {
    let files = [("pipeline-definition.json", DEFINITION)];
    for (commit, author, message) in [
        (
            author().0,
            Some("Ada <ada@example.com>"),
            Some("Weigh recent calls more\n\nThe last month tells more than the last year."),
        ),
        (
            Commit {
                author: None,
                message: Some("  ".into()),
            },
            None,
            None,
        ),
    ] {
        let (_, _, trainings) = run_with(&Asked(Ok(commit)), &files, event()).await;
        let lineage = Lineage::from_description(Some(&trainings.started()[0].description));
        assert_eq!(
            (lineage.author.as_deref(), lineage.message.as_deref()),
            (author, message)
        );
    }
}

/// Only people miss it.
#[tokio::test]
async fn a_commit_that_cannot_be_read_holds_no_training_up() {
    let files = [("pipeline-definition.json", DEFINITION)];
    for kind in [ErrorKind::Denied, ErrorKind::NotFound, ErrorKind::Other] {
        let (jobs, _, trainings) = run_with(&Asked(Err(kind)), &files, event()).await;
        assert!(matches!(&jobs.given()[0], Ok(Answer::Done { .. })), "{kind:?}");
        let started = trainings.started();
        let lineage = Lineage::from_description(Some(&started[0].description));
        assert_eq!((started.len(), lineage.author, lineage.message), (1, None, None));
        assert_eq!(
            lineage.commit.as_deref(),
            Some("0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a")
        );
    }
}

/// A metric misses it, and no more; but where the next try may read it, the description would be another.
#[tokio::test]
async fn no_training_fails_for_the_time_of_its_push() {
    for (kind, waits) in [
        (ErrorKind::Transient, true),
        (ErrorKind::Denied, false),
        (ErrorKind::NotFound, false),
    ] {
        let (jobs, objects, trainings) = (JobAnswers::default(), Objects::default(), Trainings::default());
        let files = [("pipeline-definition.json", DEFINITION)];
        objects.put("s3://bucket/churn-train/Build/Zx81abc", artifact(&files));
        let author = author();
        let ports = Ports {
            jobs: &jobs,
            commits: &Repository::of(&author),
            objects: &objects,
            pipelines: &trainings,
            executions: &AllBegan(Err(kind)),
        };
        handle(&settings(), &ports, event()).await.unwrap();
        assert_eq!(
            matches!(jobs.given()[0], Ok(Answer::Continue { .. })),
            waits,
            "{kind:?}"
        );
        let started = trainings.started();
        assert_eq!(started.is_empty(), waits, "{kind:?}");
        let pushed =
            |started: &signalbox_aws::memory::Started| Lineage::from_description(Some(&started.description)).pushed;
        assert!(started.iter().all(|started| pushed(started).is_none()), "{kind:?}");
    }
}

/// The next try may read it, and would start the same training with another description.
#[tokio::test]
async fn a_commit_that_may_be_read_later_is_waited_for() {
    let (jobs, objects, trainings) = (JobAnswers::default(), Objects::default(), Trainings::default());
    let files = [("pipeline-definition.json", DEFINITION)];
    objects.put("s3://bucket/churn-train/Build/Zx81abc", artifact(&files));
    let out_of_order = Asked(Err(ErrorKind::Transient));
    let ports = Ports {
        jobs: &jobs,
        commits: &Repository::of(&out_of_order),
        objects: &objects,
        pipelines: &trainings,
        executions: &began(),
    };
    handle(&settings(), &ports, event()).await.unwrap();
    let given = &jobs.given()[0];
    assert!(
        matches!(given, Ok(Answer::Continue { .. })),
        "CodePipeline calls again: {given:?}"
    );
    assert!(trainings.started().is_empty());
}

#[tokio::test]
async fn what_a_person_must_mend_fails_the_job_at_once() {
    let parameters = |text: Value| {
        let mut event = event();
        event["CodePipeline.job"]["data"]["actionConfiguration"]["configuration"]["UserParameters"] = text;
        event
    };
    let without_artifact = {
        let mut event = event();
        event["CodePipeline.job"]["data"]["inputArtifacts"] = json!([]);
        event
    };
    let good = ("pipeline-definition.json", DEFINITION);
    let misspelt = DEFINITION.replace("\"Training\"", "\"Trainning\"");
    for (files, event, words) in [
        (vec![good], parameters(json!("main")), "UserParameters are wrong"),
        (
            vec![good],
            parameters(json!("{\"commit\": \"0f3c\"}")),
            "missing field `execution`",
        ),
        (
            vec![good],
            parameters(json!("{\"execution\": \"1\", \"commit\": \"0f3c\"}")),
            "`execution` is `1`",
        ),
        (vec![good], without_artifact, "no input artifact"),
        (vec![("train.py", "")], event(), "has no pipeline-definition.json"),
        (
            vec![("pipeline-definition.json", "{")],
            event(),
            "pipeline-definition.json is not JSON",
        ),
        (
            vec![("pipeline-definition.json", misspelt.as_str())],
            event(),
            "SageMaker refuses pipeline-definition.json",
        ),
    ] {
        let (jobs, objects, trainings) = run(&files, event).await;
        let given = jobs.given();
        let Err(failure) = &given[0] else {
            panic!("{words}: {given:?}")
        };
        assert_eq!(failure.kind, FailureType::ConfigurationError, "{words}");
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(trainings.started().is_empty());
        let refused_late = words.starts_with("SageMaker");
        assert!(
            refused_late || objects.uris().len() == 1,
            "nothing is written before the definition is known to be usable"
        );
    }
}

#[tokio::test]
async fn an_event_that_is_no_job_is_an_error() {
    let (jobs, objects, trainings) = (JobAnswers::default(), Objects::default(), Trainings::default());
    let author = author();
    let ports = Ports {
        jobs: &jobs,
        commits: &Repository::of(&author),
        objects: &objects,
        pipelines: &trainings,
        executions: &began(),
    };
    let error = handle(&settings(), &ports, json!({"Records": []})).await.unwrap_err();
    assert_eq!(error.to_string(), "not a CodePipeline job event");
    assert!(jobs.given().is_empty());
}

#[test]
fn display_names_fit_sagemaker() {
    for (commit, expected) in [
        ("0f3c2b1a9d8e7f6a", "push-0f3c2b1a9d8e"),
        ("", "push"),
        ("é/\n", "push"),
    ] {
        assert_eq!(display_name(commit), expected);
    }
}

/// Runs with what is in the bucket and with how many trainings before; the keys below the data prefix then.
async fn sampled(settings: &Settings, there: &[&str], trained: bool) -> Vec<String> {
    let files = [
        ("pipeline-definition.json", DEFINITION),
        ("data/README.md", "where it is from"),
        ("data/a.csv", "1"),
        ("data/b/c.csv", "2"),
    ];
    let (jobs, objects, trainings) = (JobAnswers::default(), Objects::default(), Trainings::default());
    objects.put("s3://bucket/churn-train/Build/Zx81abc", artifact(&files));
    for key in there {
        objects.put(&format!("s3://bucket/{key}"), "theirs");
    }
    if trained {
        let execution = Execution {
            arn: "arn".into(),
            status: Status::Failed,
            description: None,
            started_at: None,
            failure_reason: None,
        };
        trainings.put(execution, Vec::new());
    }
    let author = author();
    let repository = Repository::of(&author);
    let ports = Ports {
        jobs: &jobs,
        commits: &repository,
        objects: &objects,
        pipelines: &trainings,
        executions: &began(),
    };
    for _ in 0..2 {
        handle(settings, &ports, event()).await.unwrap();
    }
    let uris = objects.uris().into_iter();
    uris.filter_map(|uri| Some(uri.strip_prefix("s3://bucket/data/")?.to_owned()))
        .collect()
}

#[tokio::test]
async fn the_first_training_of_a_new_stack_has_the_sample_data() {
    let all = ["a.csv", "b/c.csv"];
    assert_eq!(sampled(&settings(), &[], false).await, all);
    // A run that was killed between the two.
    assert_eq!(sampled(&settings(), &["data/a.csv"], false).await, all);
    // People's own data is not mixed with it.
    assert_eq!(sampled(&settings(), &["data/own.csv"], false).await, ["own.csv"]);
    assert_eq!(sampled(&settings(), &[], true).await, [""; 0]);
    let own_code = Settings {
        sample_data: false,
        ..settings()
    };
    assert_eq!(sampled(&own_code, &[], false).await, [""; 0]);
}
