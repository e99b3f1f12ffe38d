//! What happens to a stack, told so that every grant of its policies is needed somewhere.
//!
//! A call that is refused fails the story by itself, as it fails every test (`World::settle`); what a story asserts is that it went as told.

use anyhow::{Context, Result, ensure};
use jiff::SignedDuration;
use local::cloud::{ApiError, Caller, GrantId, Service};
use serde_json::{Value, json};
use tests::candidate::Candidate;
use tests::world::World;

/// A story: a stack with these parameters, and what happens to it.
pub(crate) struct Story {
    /// What it is about.
    pub(crate) name: &'static str,
    parameters: &'static [(&'static str, &'static str)],
    tell: fn(&mut World) -> Result<()>,
}

impl Story {
    /// Tells it on a stack, or on one without that grant; the world at its end.
    pub(crate) fn tell(&self, without: Option<&GrantId>) -> Result<World> {
        let mut parameters = QUIET.to_vec();
        parameters.extend(self.parameters);
        let mut world = World::deploy(1, &parameters, without)?;
        (self.tell)(&mut world)?;
        // What was asked for last is over.
        world.run_for(SignedDuration::from_mins(20))?;
        Ok(world)
    }
}

/// Nothing starts by itself but what a story is about.
const QUIET: [(&str, &str); 3] = [
    ("RolloutStrategy", "all-at-once"),
    ("RetrainSchedule", "cron(0 0 1 1 ? 2030)"),
    ("DataThresholdObjects", "0"),
];
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Every parameter that brings a resource or a permission along, with the values that the stories have.
pub(crate) const EVERYTHING: &[(&str, &str)] = &[
    ("InitialCode", "sample"),
    ("CodeArtifactDomain", "acme"),
    ("CodeArtifactRepository", "python"),
    ("SupersedeWaiting", "true"),
    ("EndpointMaxInstances", "8"),
    (
        "VolumeKeyArn",
        "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-4333-8444-555555555555",
    ),
    (
        "DataKeyArn",
        "arn:aws:kms:eu-west-1:123456789012:key/66666666-2222-4333-8444-555555555555",
    ),
    ("DataCapturePercent", "20"),
    ("SubnetIds", "subnet-0123456789abcdef0"),
    ("SecurityGroupIds", "sg-0123456789abcdef0"),
    ("RetrainWhileWaiting", "false"),
    ("RetrainAlarms", "other,another,third,fourth,fifth"),
    ("DriftMetric", "PopulationStabilityIndex"),
    ("DriftMonitor", "monitor"),
    ("SlackWorkspaceId", "T0123ABCD"),
    ("SlackChannelId", "C0123ABCD"),
    ("TeamsTenantId", "11111111-2222-3333-4444-555555555555"),
    ("TeamsTeamId", "66666666-2222-3333-4444-555555555555"),
    ("TeamsChannelId", "19%3aabc%40thread.tacv2"),
    ("Tracing", "Active"),
];

/// All of them.
pub(crate) const STORIES: &[Story] = &[
    Story {
        name: "a push is trained, approved by its link, served, and replaced by a better one",
        parameters: &[("RolloutStrategy", "canary"), ("KeepPrevious", "1")],
        tell: |world| {
            for (version, accuracy) in [(1, 0.90), (2, 0.92), (3, 0.94), (4, 0.96)] {
                release(world, accuracy, version)?;
            }
            ensure!(world.serving() == Some(4));
            Ok(())
        },
    },
    Story {
        name: "a push that fails its tests, one that fails to train, and one that can't be trained",
        parameters: &[],
        tell: |world| {
            world.push(&Candidate {
                tests_pass: false,
                ..Candidate::of_accuracy(0.95)
            })?;
            world.run_until(2, "the notice", |world| told(world, "Build"))?;
            world.push(&Candidate {
                trains: false,
                ..Candidate::of_accuracy(0.95)
            })?;
            world.run_until(2, "the notice", |world| told(world, "Train"))?;
            world.push(&Candidate {
                definition: Some("{".into()),
                ..Candidate::of_accuracy(0.95)
            })?;
            world.run_until(2, "the notice", |world| told(world, "pipeline-definition.json"))
        },
    },
    Story {
        name: "a training that is stopped",
        parameters: &[],
        tell: |world| {
            world.push(&Candidate::of_accuracy(0.95))?;
            world.run_until(2, "the training", |world| executing(world).is_some())?;
            // Once in its first step, which prepares the data, and once in the one that trains.
            for wait in [30, 150] {
                world.run_for(SignedDuration::from_secs(wait))?;
                let execution = executing(world).context("it runs")?;
                let input = json!({"PipelineExecutionArn": execution, "ClientRequestToken": "0123456789abcdef0123456789abcdef"});
                world.call(Service::SageMaker, "StopPipelineExecution", &input)?;
                world.run_until(2, "its end", |world| executing(world).is_none())?;
                world.push(&Candidate::of_accuracy(0.95))?;
                world.run_until(2, "the next training", |world| executing(world).is_some())?;
            }
            Ok(())
        },
    },
    Story {
        name: "a version that waits is superseded by a better one, and that one expires",
        parameters: &[("SupersedeWaiting", "true"), ("ReminderMinutes", "20")],
        tell: |world| {
            world.propose(&Candidate::of_accuracy(0.90))?;
            world.propose(&Candidate::of_accuracy(0.92))?;
            world.until_outcome(1, "superseded")?;
            world.until_outcome(2, "expired")
        },
    },
    Story {
        name: "the registry approves, and rejects what serves",
        parameters: &[],
        tell: |world| {
            world.propose(&Candidate::of_accuracy(0.90))?;
            decide_in_registry(world, 1, "Approved")?;
            world.until_outcome(1, "deployed")?;
            world.propose(&Candidate::of_accuracy(0.92))?;
            decide_in_registry(world, 2, "Approved")?;
            world.until_outcome(2, "deployed")?;
            decide_in_registry(world, 2, "Rejected")?;
            world.until_outcome(2, "rolled-back")?;
            world.run_for(HOUR)?;
            ensure!(world.serving() == Some(1));
            // And changes its mind.
            decide_in_registry(world, 2, "Approved")?;
            world.until_outcome(2, "deployed")
        },
    },
    Story {
        name: "the console rejects, and a person takes back what serves by the link",
        parameters: &[],
        tell: |world| {
            release(world, 0.90, 1)?;
            release(world, 0.92, 2)?;
            let link = world.propose(&Candidate::of_accuracy(0.94))?;
            decide_in_console(world, "Rejected")?;
            // Whoever opens the link now, before the registry knows, is told so.
            world.decide(&link, "approve", "")?;
            world.until_outcome(3, "rejected")?;
            let link = world.take_back_links().pop().context("a link to take it back")?;
            let (status, page) = world.decide(&link, "take-back", "drifts on Sundays")?;
            ensure!(status == 200, "{page}");
            world.until_outcome(2, "rolled-back")
        },
    },
    Story {
        name: "an alarm soon after the deployment brings the version before back",
        parameters: &[("RolloutStrategy", "blue-green")],
        tell: |world| {
            release(world, 0.90, 1)?;
            release(world, 0.92, 2)?;
            world.set_alarm("tumour-5xx", "ALARM")?;
            world.until_outcome(2, "rolled-back")?;
            world.set_alarm("tumour-latency", "ALARM")?;
            Ok(())
        },
    },
    Story {
        name: "an alarm during the rollout is SageMaker's to act on",
        parameters: &[("RolloutStrategy", "canary")],
        tell: |world| {
            release(world, 0.90, 1)?;
            let link = world.propose(&Candidate {
                error_rate: 0.6,
                ..Candidate::of_accuracy(0.97)
            })?;
            world.decide(&link, "approve", "fine")?;
            world.until_outcome(2, "rolled-back")
        },
    },
    Story {
        name: "what passes the gate is released without asking",
        parameters: &[("ApprovalMode", "automatic")],
        tell: |world| {
            world.push(&Candidate::of_accuracy(0.90))?;
            world.until_outcome(1, "deployed")
        },
    },
    Story {
        name: "autoscaling is put on the endpoint's variant, and off it for the time of a rescue",
        parameters: &[("EndpointMinInstances", "3"), ("EndpointMaxInstances", "8")],
        tell: |world| {
            release(world, 0.90, 1)?;
            release(world, 0.92, 2)?;
            let variables = json!([{"name": "Undoes", "value": "serving"}]);
            let input = json!({"name": format!("{}-rollback", world.model()), "variables": variables});
            world.call(Service::CodePipeline, "StartPipelineExecution", &input)?;
            world.until_outcome(2, "rolled-back")
        },
    },
    Story {
        name: "a rollback with nothing to go back to is told, and told once",
        parameters: &[],
        tell: |world| {
            release(world, 0.90, 1)?;
            let input = json!({"name": format!("{}-rollback", world.model()),
                "variables": [{"name": "Undoes", "value": "serving"}]});
            world.call(Service::CodePipeline, "StartPipelineExecution", &input)?;
            world.run_for(SignedDuration::from_mins(40))?;
            let mails = world.mails();
            let told = mails.iter().filter(|mail| mail.subject.contains("ROLLBACK FAILED"));
            let mut told: Vec<&str> = told.map(|mail| mail.to.as_str()).collect();
            told.sort_unstable();
            ensure!(
                !told.is_empty() && told.windows(2).all(|pair| pair[0] != pair[1]),
                "told {told:?}"
            );
            Ok(())
        },
    },
    Story {
        name: "an alarm while the old fleet is taken down has the version taken back at the end",
        parameters: &[("RolloutStrategy", "blue-green")],
        tell: |world| {
            release(world, 0.90, 1)?;
            let link = world.propose(&Candidate::of_accuracy(0.92))?;
            world.decide(&link, "approve", "fine")?;
            world.run_until(12, "the take-down", |world| {
                let mut phases = world.happenings().iter().rev();
                let phase = phases.find(|happening| happening.what == "deployment-phase");
                phase.is_some_and(|phase| phase.data["phase"] == "Deleting")
            })?;
            world.set_alarm("tumour-5xx", "ALARM")?;
            world.until_outcome(2, "rolled-back")
        },
    },
    Story {
        name: "an endpoint in a VPC with keys of its own, which captures its requests",
        parameters: &[
            (
                "VolumeKeyArn",
                "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-4333-8444-555555555555",
            ),
            (
                "DataKeyArn",
                "arn:aws:kms:eu-west-1:123456789012:key/66666666-2222-4333-8444-555555555555",
            ),
            ("DataCapturePercent", "20"),
            ("SubnetIds", "subnet-0123456789abcdef0"),
            ("SecurityGroupIds", "sg-0123456789abcdef0"),
        ],
        tell: |world| {
            release(world, 0.90, 1)?;
            release(world, 0.92, 2)
        },
    },
    Story {
        name: "a pull request is built and told",
        parameters: &[],
        tell: |world| {
            world.propose(&Candidate::of_accuracy(0.90))?;
            world.push_to("feature", &Candidate::of_accuracy(0.95))?;
            let target =
                json!({"repositoryName": world.model(), "sourceReference": "feature", "destinationReference": "main"});
            let input = json!({"title": "Weigh recent calls more", "targets": [target]});
            world.call(Service::CodeCommit, "CreatePullRequest", &input)?;
            world.run_for(HOUR)?;
            let told = world.call(
                Service::CodeCommit,
                "GetCommentsForPullRequest",
                &json!({"pullRequestId": "1"}),
            )?;
            ensure!(
                told.to_string().contains("passed") || told.to_string().contains("SUCCEEDED"),
                "{told}"
            );
            Ok(())
        },
    },
    Story {
        name: "new data, a schedule, and alarms on drift start trainings",
        parameters: &[
            ("DataThresholdObjects", "3"),
            ("RetrainSchedule", "rate(1 day)"),
            ("RetrainAlarms", "other,another,third,fourth,fifth"),
            ("GateExpression", "true"),
            ("ApprovalMode", "automatic"),
        ],
        tell: |world| {
            release_automatically(world, 1)?;
            for number in 0..3 {
                world.put_object(&format!("data/part-2{number}.csv"), "label,x\n0,1\n")?;
            }
            world.until_outcome(2, "deployed")?;
            world.run_for(HOUR * 2)?;
            world.set_alarm("tumour-drift", "ALARM")?;
            world.run_until(12, "v3", |world| world.outcome(3).is_some())?;
            world.set_alarm("tumour-drift", "OK")?;
            world.run_until(48, "v4", |world| world.outcome(4).is_some())
        },
    },
    Story {
        name: "a prefix too large to be counted at one look",
        parameters: &[("DataThresholdObjects", "1000")],
        tell: |world| {
            release(world, 0.90, 1)?;
            for number in 0..10_050 {
                world.put_object(&format!("data/a-{number:05}.csv"), "")?;
            }
            world.run_for(HOUR)
        },
    },
    Story {
        name: "nothing is lost: what no function can handle is kept, and an alarm tells",
        parameters: &[("Tracing", "Active")],
        tell: |world| {
            let mut expected = 0;
            for name in functions_of(world) {
                if !name.ends_with("-decide-approval") {
                    invoke(world, &name, &json!({"nobody": "knows this event"}))?;
                    expected += 1;
                }
            }
            world.run_for(HOUR)?;
            let kept = world.cloud().dead_letters().len();
            ensure!(kept == expected, "{kept} of {expected}");
            ensure!(told(world, "dead-letters"), "{:?}", world.subjects());
            let link = world.propose(&Candidate::of_accuracy(0.90))?;
            world.open(&link)?;
            Ok(())
        },
    },
    Story {
        name: "what can't be delivered is kept in the queue",
        parameters: &[],
        tell: |world| {
            for name in functions_of(world) {
                let arn = format!("arn:aws:lambda:eu-west-1:123456789012:function:{name}:live");
                let error = ApiError::new("ResourceNotFoundException", "Function not found");
                world.cloud().break_deliveries(&arn, error);
            }
            // A schedule that has no function to wake, a rule, and a topic.
            world.push(&Candidate::of_accuracy(0.90))?;
            world.run_for(HOUR * 3)?;
            start_release(world)?;
            world.run_until(12, "the approval", |world| waiting_token(world).is_some())?;
            world.run_for(HOUR * 2)?;
            let kept = world.cloud().dead_letters();
            for words in ["SCHEDULE_ARN", "RULE_ARN", "approvalReviewLink"] {
                ensure!(
                    kept.iter().any(|letter| letter.to_string().contains(words)),
                    "{words}: {kept:#?}"
                );
            }
            Ok(())
        },
    },
    Story {
        name: "a new stack trains what it begins with",
        parameters: &[("InitialCode", "sample")],
        tell: |world| {
            world.run_until(12, "the approval mail", |world| !world.approval_links().is_empty())?;
            let link = world.approval_links().pop().context("a link")?;
            world.decide(&link, "approve", "")?;
            world.until_outcome(1, "deployed")
        },
    },
    Story {
        name: "builds that install from CodeArtifact",
        parameters: &[("CodeArtifactDomain", "acme"), ("CodeArtifactRepository", "python")],
        tell: |world| {
            world.propose(&Candidate::of_accuracy(0.90))?;
            world.push_to("feature", &Candidate::of_accuracy(0.95))?;
            world.run_for(HOUR)
        },
    },
    Story {
        name: "a new version of each function is tried before it takes over",
        parameters: &[],
        tell: |world| {
            for name in functions_of(world) {
                if !name.ends_with("-check-version") {
                    world.cloud().update_function(&name)?;
                }
            }
            world.run_for(HOUR * 2)?;
            for name in functions_of(world) {
                if !name.ends_with("-check-version") {
                    let alias = json!({"FunctionName": name, "Name": "live"});
                    let alias = world.call(Service::Lambda, "GetAlias", &alias)?;
                    ensure!(alias["FunctionVersion"] == "2", "{name}: {alias}");
                }
            }
            Ok(())
        },
    },
];

/// A version that is pushed, approved by its link, and deployed.
fn release(world: &mut World, accuracy: f64, version: u32) -> Result<()> {
    let link = world.propose(&Candidate::of_accuracy(accuracy))?;
    let (status, page) = world.decide(&link, "approve", "fine")?;
    ensure!(status == 200, "{page}");
    world.until_outcome(version, "deployed")
}

fn release_automatically(world: &mut World, version: u32) -> Result<()> {
    world.push(&Candidate::of_accuracy(0.90))?;
    world.until_outcome(version, "deployed")
}

fn told(world: &World, words: &str) -> bool {
    world
        .mails()
        .iter()
        .any(|mail| mail.subject.contains(words) || mail.body.contains(words))
}

/// The execution that runs, if one does.
fn executing(world: &World) -> Option<String> {
    let input = json!({"PipelineName": world.model()});
    let listed = world.call(Service::SageMaker, "ListPipelineExecutions", &input).ok()?;
    let executions = listed.get("PipelineExecutionSummaries")?.as_array()?.iter();
    let mut running = executions.filter(|execution| execution["PipelineExecutionStatus"] == "Executing");
    Some(running.next()?.get("PipelineExecutionArn")?.as_str()?.to_owned())
}

fn decide_in_registry(world: &World, version: u32, status: &str) -> Result<()> {
    let arn = world.package(version)?["ModelPackageArn"].clone();
    let input = json!({"ModelPackageArn": arn, "ModelApprovalStatus": status, "ApprovalDescription": "in Studio"});
    world.call(Service::SageMaker, "UpdateModelPackage", &input)?;
    Ok(())
}

fn decide_in_console(world: &World, status: &str) -> Result<()> {
    let pipeline = format!("{}-release", world.model());
    let token = waiting_token(world).context("an approval that waits")?;
    let result = json!({"status": status, "summary": "in the console"});
    let input = json!({"pipelineName": pipeline, "stageName": "Approve", "actionName": "Approve", "token": token, "result": result});
    world.call(Service::CodePipeline, "PutApprovalResult", &input)?;
    Ok(())
}

fn functions_of(world: &World) -> Vec<String> {
    let functions = world.cloud().functions().into_iter();
    functions.map(|function| function.name).collect()
}

/// Sends a function an event, as a service does that does not wait for it.
fn invoke(world: &World, function: &str, event: &Value) -> Result<()> {
    let input = json!({"FunctionName": function, "InvocationType": "Event"});
    let payload = event.to_string();
    world
        .cloud()
        .invoke_function(&Caller::Administrator, &input, payload.as_bytes())?;
    Ok(())
}

/// Starts the release of version 1 by hand.
fn start_release(world: &World) -> Result<()> {
    let arn = world.package(1)?["ModelPackageArn"].clone();
    let variables = json!([{"name": "ModelPackageArn", "value": arn}, {"name": "ModelVersion", "value": "1"}]);
    let input = json!({"name": format!("{}-release", world.model()), "variables": variables});
    world.call(Service::CodePipeline, "StartPipelineExecution", &input)?;
    Ok(())
}

/// The token of the approval that waits, if one does.
fn waiting_token(world: &World) -> Option<String> {
    let pipeline = format!("{}-release", world.model());
    let state = world
        .call(Service::CodePipeline, "GetPipelineState", &json!({"name": pipeline}))
        .ok()?;
    let mut stages = state["stageStates"].as_array()?.iter();
    let token = stages.find_map(|stage| stage["actionStates"][0]["latestExecution"]["token"].as_str())?;
    Some(token.to_owned())
}
