//! Deployments, with the hooks and the functions played by the tests.

use jiff::SignedDuration;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value, json};

use super::super::effect::{Effect, InvocationOutcome};
use super::super::testing::{call, deploy, deploy_strictly, events};
use super::super::{ApiError, Caller, Cloud, Service, cloudwatch};

const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: provided.al2023
    Handler: bootstrap
    AutoPublishAlias: live
    DeploymentPreference:
      Type: Canary10Percent5Minutes
      Alarms: [!Ref Errors]
      Hooks: {PreTraffic: !Ref Hook}
Resources:
  Errors:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: work-errors
      Namespace: AWS/Lambda
      MetricName: Errors
      Dimensions: [{Name: FunctionName, Value: !Ref Work}, {Name: Resource, Value: !Sub "${Work}:live"}]
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: notBreaching
  Work:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: work, FunctionName: work}
  Hook:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: check
      FunctionName: CodeDeployHook_check
      DeploymentPreference: {Enabled: false}
      Policies:
        - Version: 2012-10-17
          Statement:
            - Effect: Allow
              Action: codedeploy:GetDeployment
              Resource: !Sub "arn:aws:codedeploy:${AWS::Region}:${AWS::AccountId}:deploymentgroup:${ServerlessDeploymentApplication}/*"
            - Effect: Allow
              Action: codedeploy:GetApplicationRevision
              Resource: !Sub "arn:aws:codedeploy:${AWS::Region}:${AWS::AccountId}:application:${ServerlessDeploymentApplication}"
            - {Effect: Allow, Action: codedeploy:PutLifecycleEventHookExecutionStatus, Resource: "*"}
"#;

struct Bench {
    cloud: Cloud,
}

impl Bench {
    fn new(template: &str) -> Self {
        Self {
            cloud: deploy(template).unwrap(),
        }
    }

    /// The same with every policy asked.
    fn strict(template: &str) -> Self {
        Self {
            cloud: deploy_strictly(template).unwrap(),
        }
    }

    fn update(&mut self) -> String {
        self.cloud.update_function("work").unwrap().deployment.unwrap()
    }

    /// The events of the hooks that were invoked since the last time, which then have ended.
    fn hooks(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        for effect in self.cloud.take_effects() {
            let Effect::Invoke(invoke) = effect else {
                panic!("{effect:?}")
            };
            assert_eq!(invoke.function, "CodeDeployHook_check");
            self.cloud
                .finish_invocation(invoke.id, InvocationOutcome::Answer(Value::Null));
            events.push(invoke.payload);
        }
        events
    }

    fn call(&mut self, operation: &str, input: &Value) -> Result<Value, ApiError> {
        call(&mut self.cloud, Service::CodeDeploy, operation, input)
    }

    fn answer(&mut self, event: &Value, status: &str) -> Result<Value, ApiError> {
        let input = json!({
            "deploymentId": event["DeploymentId"],
            "lifecycleEventHookExecutionId": event["LifecycleEventHookExecutionId"],
            "status": status,
        });
        self.call("PutLifecycleEventHookExecutionStatus", &input)
    }

    fn get(&mut self, id: &str) -> Value {
        let answer = self.call("GetDeployment", &json!({"deploymentId": id})).unwrap();
        answer["deploymentInfo"].clone()
    }

    fn wait(&mut self, minutes: i64) {
        let then = self.cloud.now() + SignedDuration::from_mins(minutes);
        self.cloud.advance(then);
    }

    /// Version of the alias, and the weight of the one that it is going to.
    fn alias(&mut self) -> (String, Option<Value>) {
        let input = json!({"FunctionName": "work", "Name": "live"});
        let alias = call(&mut self.cloud, Service::Lambda, "GetAlias", &input).unwrap();
        let weights = alias.pointer("/RoutingConfig/AdditionalVersionWeights").cloned();
        (alias["FunctionVersion"].as_str().unwrap().to_owned(), weights)
    }

    fn states(&self) -> Vec<String> {
        let told = events(&self.cloud).into_iter();
        let told = told.filter(|(kind, _)| kind == "CodeDeploy Deployment State-change Notification");
        told.map(|(_, detail)| detail["state"].as_str().unwrap().to_owned())
            .collect()
    }

    fn alarm(&mut self, state: &str) {
        let input = json!({"AlarmName": "work-errors", "StateValue": state, "StateReason": "by hand"});
        call(&mut self.cloud, Service::CloudWatch, "SetAlarmState", &input).unwrap();
    }
}

fn at(version: &str) -> (String, Option<Value>) {
    (version.to_owned(), None)
}

#[test]
fn the_first_deployment_of_a_stack_is_none() {
    let mut bench = Bench::new(TEMPLATE);
    assert_eq!(bench.alias(), at("1"));
    let none = bench.call("ListDeployments", &json!({})).unwrap();
    assert_eq!((none, bench.states()), (json!({"deployments": []}), Vec::new()));
}

#[test]
fn a_canary_is_checked_shifted_watched_and_done() {
    let mut bench = Bench::new(TEMPLATE);
    let id = bench.update();
    assert_eq!(bench.alias(), at("1"), "nothing moves before the hook has answered");
    let [event] = bench.hooks().try_into().unwrap();
    assert_eq!(event["DeploymentId"], json!(id));
    let info = bench.get(&id);
    assert_eq!(
        (&info["status"], info.get("completeTime")),
        (&json!("InProgress"), None)
    );
    assert_eq!(
        info["deploymentConfigName"],
        "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    );
    let error = bench.cloud.update_function("work").unwrap_err();
    assert_eq!(error.code, "ValidationError", "one update at a time");

    bench.answer(&event, "Succeeded").unwrap();
    assert_eq!(bench.alias(), ("1".to_owned(), Some(json!({"2": 0.1}))));
    let error = bench.answer(&event, "Succeeded").unwrap_err();
    assert_eq!(error.code, "LifecycleEventAlreadyCompletedException");
    bench.wait(4);
    assert_eq!(bench.alias().1, Some(json!({"2": 0.1})));
    bench.wait(1);
    assert_eq!(bench.alias(), at("2"));
    let info = bench.get(&id);
    assert_eq!(
        (&info["status"], &info["errorInformation"], &info["rollbackInfo"]),
        (&json!("Succeeded"), &Value::Null, &Value::Null)
    );
    assert_eq!(bench.states(), ["START", "SUCCESS"]);
    let noted: Vec<&str> = bench
        .cloud
        .take_happenings()
        .iter()
        .filter(|happening| happening.service == "codedeploy" && happening.subject == "work")
        .map(|happening| happening.what)
        .collect();
    assert_eq!(
        noted,
        [
            "deployment-started",
            "traffic-shifted",
            "traffic-shifted",
            "deployment-succeeded"
        ]
    );
    // The next one goes from 2 to 3.
    bench.update();
    let [event] = bench.hooks().try_into().unwrap();
    bench.answer(&event, "Succeeded").unwrap();
    assert_eq!(bench.alias(), ("2".to_owned(), Some(json!({"3": 0.1}))));
}

#[test]
fn the_other_configurations_shift_as_their_names_say() {
    let mut bench = Bench::new(&TEMPLATE.replace("Canary10Percent5Minutes", "Linear10PercentEvery2Minutes"));
    bench.update();
    let [event] = bench.hooks().try_into().unwrap();
    bench.answer(&event, "Succeeded").unwrap();
    for percent in 1..=9 {
        let weight = f64::from(percent * 10) / 100.0;
        assert_eq!(bench.alias(), ("1".to_owned(), Some(json!({"2": weight}))));
        bench.wait(2);
    }
    assert_eq!(bench.alias(), at("2"));

    let hooks = "PreTraffic: !Ref Hook";
    let mut bench = Bench::new(
        &TEMPLATE
            .replace("Canary10Percent5Minutes", "AllAtOnce")
            .replace(hooks, "PostTraffic: !Ref Hook"),
    );
    let id = bench.update();
    assert_eq!(bench.alias(), at("2"));
    let [event] = bench.hooks().try_into().unwrap();
    assert_eq!(bench.get(&id)["status"], "InProgress");
    bench.answer(&event, "Failed").unwrap();
    assert_eq!(
        (bench.alias(), bench.get(&id)["status"].clone()),
        (at("1"), json!("Failed"))
    );

    let error = deploy(&TEMPLATE.replace("Canary10Percent5Minutes", "mine")).unwrap_err();
    assert!(
        error.to_string().contains("the deployment configuration mine"),
        "{error}"
    );
}

#[test]
fn a_hook_that_fails_or_is_silent_takes_the_alias_back() {
    let message = "The deployment failed because one or more of the lifecycle event validation functions failed.";
    for is_silent in [false, true] {
        let mut bench = Bench::new(TEMPLATE);
        let id = bench.update();
        let [event] = bench.hooks().try_into().unwrap();
        if is_silent {
            bench.wait(59);
            assert_eq!(bench.get(&id)["status"], "InProgress");
            bench.wait(1);
        } else {
            bench.answer(&event, "Failed").unwrap();
        }
        let info = bench.get(&id);
        assert_eq!(info["status"], "Failed");
        assert_eq!(
            info["errorInformation"],
            json!({"code": "HOOK_EXECUTION_FAILURE", "message": message})
        );
        assert_eq!(bench.alias(), at("1"));
        let back = info["rollbackInfo"]["rollbackDeploymentId"]
            .as_str()
            .unwrap()
            .to_owned();
        let info = bench.get(&back);
        assert_eq!(
            (&info["status"], &info["creator"]),
            (&json!("Succeeded"), &json!("codeDeployRollback"))
        );
        assert_eq!(info["rollbackInfo"]["rollbackTriggeringDeploymentId"], json!(id));
        assert_eq!(bench.states(), ["START", "FAILURE", "START", "SUCCESS"]);
        assert_eq!(bench.hooks(), Vec::<Value>::new(), "a rollback runs no hooks");
        let error = bench.answer(&event, "Succeeded").unwrap_err();
        assert_eq!(error.code, "LifecycleEventAlreadyCompletedException");
        // Version 2 is there, though nothing points to it.
        assert_eq!(
            bench.cloud.update_function("work").unwrap().version.as_deref(),
            Some("3")
        );
    }
}

#[test]
fn errors_of_the_new_version_fire_the_alarm_and_take_the_alias_back() {
    let mut bench = Bench::new(TEMPLATE);
    let id = bench.update();
    let [event] = bench.hooks().try_into().unwrap();
    bench.answer(&event, "Succeeded").unwrap();
    // One in ten goes to version 2, and fails.
    let mut failed = 0;
    for _ in 0..60 {
        let input = json!({"FunctionName": "work", "Qualifier": "live"});
        let started = bench
            .cloud
            .invoke_function(&Caller::Administrator, &input, b"{}")
            .unwrap();
        let super::super::Started::Run(made) = started else {
            panic!("{started:?}")
        };
        let outcome = if made.version == "2" {
            failed += 1;
            InvocationOutcome::Killed("no".to_owned())
        } else {
            InvocationOutcome::Answer(Value::Null)
        };
        bench.cloud.finish_invocation(made.id, outcome);
    }
    assert!(failed > 0);
    bench.wait(2);
    let info = bench.get(&id);
    assert_eq!(info["status"], "Stopped");
    assert_eq!(info["errorInformation"]["code"], "ALARM_ACTIVE");
    let message = info["errorInformation"]["message"].as_str().unwrap();
    assert!(message.ends_with("Activated alarms: <work-errors>"), "{message}");
    assert_eq!(bench.alias(), at("1"));
    assert_eq!(bench.states(), ["START", "STOP", "START", "SUCCESS"]);
    bench.wait(10);
    assert_eq!(bench.alias(), at("1"), "no step comes after the end");
}

#[test]
fn an_alarm_on_the_version_follows_it() {
    let dimension = "{Name: Resource, Value: !Sub \"${Work}:live\"}";
    let version = format!("{dimension}, {{Name: ExecutedVersion, Value: !GetAtt Work.Version.Version}}");
    let mut bench = Bench::new(&TEMPLATE.replace(dimension, &version));
    let watched = |bench: &mut Bench| {
        let alarms = call(&mut bench.cloud, Service::CloudWatch, "DescribeAlarms", &json!({})).unwrap();
        let dimensions = alarms["MetricAlarms"][0]["Dimensions"].as_array().unwrap().clone();
        let mut version = dimensions
            .iter()
            .filter(|dimension| dimension["Name"] == "ExecutedVersion");
        version.next().unwrap()["Value"].clone()
    };
    assert_eq!(watched(&mut bench), "1");
    bench.update();
    assert_eq!(watched(&mut bench), "2");
    let [event] = bench.hooks().try_into().unwrap();
    bench.answer(&event, "Succeeded").unwrap();
    let metric = [
        ("FunctionName", "work"),
        ("Resource", "work:live"),
        ("ExecutedVersion", "2"),
    ];
    cloudwatch::put_metric(&mut bench.cloud, "AWS/Lambda", "Errors", &metric, 1.0);
    bench.wait(2);
    assert_eq!((bench.alias(), watched(&mut bench)), (at("1"), json!("1")));
    assert_eq!(bench.states(), ["START", "STOP", "START", "SUCCESS"]);
}

#[test]
fn an_alarm_that_fires_already_stops_a_deployment_before_its_hook() {
    let mut bench = Bench::new(TEMPLATE);
    bench.alarm("ALARM");
    assert_eq!(
        cloudwatch::alarm_state(&bench.cloud, "work-errors").as_deref(),
        Some("ALARM")
    );
    let id = bench.update();
    assert_eq!(bench.get(&id)["errorInformation"]["code"], "ALARM_ACTIVE");
    assert_eq!((bench.hooks(), bench.alias()), (Vec::new(), at("1")));
}

#[test]
fn the_role_must_allow_what_the_deployment_does() {
    let renamed = TEMPLATE.replace("CodeDeployHook_check", "check");
    let mut bench = Bench::strict(&renamed);
    let id = bench.update();
    let info = bench.get(&id);
    assert_eq!(
        (&info["status"], &info["errorInformation"]["code"]),
        (&json!("Failed"), &json!("IAM_ROLE_PERMISSIONS")),
        "CodeDeploy's own policy allows hooks by their name"
    );
    assert!(bench.cloud.take_effects().is_empty());
    // A role of one's own may allow any.
    let role = r#"
  Mover:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: {Effect: Allow, Principal: {Service: codedeploy.amazonaws.com}, Action: sts:AssumeRole}
      Policies:
        - PolicyName: move
          PolicyDocument:
            Statement:
              - {Effect: Allow, Action: ["lambda:GetAlias", "lambda:UpdateAlias"], Resource: !GetAtt Work.Arn}
              - {Effect: Allow, Action: "lambda:InvokeFunction", Resource: !GetAtt Hook.Arn}
              - {Effect: Allow, Action: "cloudwatch:DescribeAlarms", Resource: "*"}
"#;
    let template = renamed.replace(
        "Type: Canary10Percent5Minutes",
        "Type: Canary10Percent5Minutes\n      Role: !GetAtt Mover.Arn",
    );
    let mut bench = Bench::strict(&format!("{template}{role}"));
    let id = bench.update();
    assert_eq!(bench.get(&id)["status"], "InProgress");
    let denied = role.replace("\"cloudwatch:DescribeAlarms\"", "\"cloudwatch:GetMetricData\"");
    let mut bench = Bench::strict(&format!("{template}{denied}"));
    let id = bench.update();
    let message = bench.get(&id)["errorInformation"]["message"].clone();
    assert!(message.as_str().unwrap().contains("AmazonCloudWatch"), "{message}");
}

#[test]
fn a_person_can_stop_a_deployment() {
    let mut bench = Bench::new(TEMPLATE);
    let id = bench.update();
    let [event] = bench.hooks().try_into().unwrap();
    bench.answer(&event, "Succeeded").unwrap();
    let answer = bench.call("StopDeployment", &json!({"deploymentId": id})).unwrap();
    assert_eq!(answer["status"], "Succeeded");
    let info = bench.get(&id);
    assert_eq!((&info["status"], bench.alias()), (&json!("Stopped"), at("1")));
    assert_eq!(info["errorInformation"]["code"], "MANUAL_STOP");
    assert!(info["rollbackInfo"]["rollbackDeploymentId"].is_string());
    let error = bench.call("StopDeployment", &json!({"deploymentId": id})).unwrap_err();
    assert_eq!(error.code, "DeploymentAlreadyCompletedException");

    let id = bench.update();
    let input = json!({"deploymentId": id, "autoRollbackEnabled": false});
    bench.call("StopDeployment", &input).unwrap();
    assert_eq!(bench.get(&id)["rollbackInfo"], Value::Null);
}

#[test]
fn the_hook_reads_its_revision_with_its_own_permissions() {
    let mut bench = Bench::new(TEMPLATE);
    let id = bench.update();
    let [event] = bench.hooks().try_into().unwrap();
    let key = bench.cloud.function_environment("CodeDeployHook_check").unwrap()["AWS_ACCESS_KEY_ID"].clone();
    let hook = bench.cloud.caller_of(&key);
    let mut call = |operation: &str, input: Value| bench.cloud.call(&hook, Service::CodeDeploy, operation, &input);
    let info = call("GetDeployment", json!({"deploymentId": id})).unwrap()["deploymentInfo"].clone();
    assert_eq!(info["revision"]["string"].get("content"), None);
    let input = json!({"applicationName": info["applicationName"], "revision": info["revision"]});
    let revision = call("GetApplicationRevision", input).unwrap();
    let content = revision["revision"]["string"]["content"].as_str().unwrap();
    let content: Value = serde_json::from_str(content).unwrap();
    assert_eq!(
        content,
        json!({
            "version": "0.0",
            "Resources": [{"Work": {
                "Type": "AWS::Lambda::Function",
                "Properties": {"Name": "work", "Alias": "live", "CurrentVersion": "1", "TargetVersion": "2"},
            }}],
            "Hooks": [{"BeforeAllowTraffic": "CodeDeployHook_check"}],
        })
    );
    let error = call("ListDeployments", json!({})).unwrap_err();
    assert_eq!(error.code, "AccessDeniedException");
    let input = json!({
        "deploymentId": id,
        "lifecycleEventHookExecutionId": event["LifecycleEventHookExecutionId"],
        "status": "Succeeded",
    });
    call("PutLifecycleEventHookExecutionStatus", input).unwrap();
    assert_eq!(bench.alias().1, Some(json!({"2": 0.1})));
}

#[test]
fn what_is_not_there_is_refused_by_its_name() {
    let mut bench = Bench::new(TEMPLATE);
    let id = bench.update();
    let application = bench.get(&id)["applicationName"].clone();
    let hook =
        |id: &str, status: &str| json!({"deploymentId": id, "lifecycleEventHookExecutionId": "x", "status": status});
    let revision = json!({"revisionType": "String", "string": {"sha256": "x"}});
    for (operation, input, expected) in [
        (
            "GetDeployment",
            json!({"deploymentId": "d-NONE"}),
            "DeploymentDoesNotExistException",
        ),
        (
            "StopDeployment",
            json!({"deploymentId": "d-NONE"}),
            "DeploymentDoesNotExistException",
        ),
        (
            "PutLifecycleEventHookExecutionStatus",
            hook("d-NONE", "Succeeded"),
            "DeploymentDoesNotExistException",
        ),
        (
            "PutLifecycleEventHookExecutionStatus",
            hook(&id, "Succeeded"),
            "InvalidLifecycleEventHookExecutionIdException",
        ),
        (
            "PutLifecycleEventHookExecutionStatus",
            hook(&id, "Skipped"),
            "InvalidLifecycleEventHookExecutionStatusException",
        ),
        (
            "GetApplicationRevision",
            json!({"applicationName": "none", "revision": revision}),
            "ApplicationDoesNotExistException",
        ),
        (
            "GetApplicationRevision",
            json!({"applicationName": application, "revision": revision}),
            "RevisionDoesNotExistException",
        ),
        (
            "ListDeployments",
            json!({"applicationName": "none"}),
            "ApplicationDoesNotExistException",
        ),
        (
            "ListDeployments",
            json!({"deploymentGroupName": "g"}),
            "ApplicationNameRequiredException",
        ),
        (
            "ListDeployments",
            json!({"applicationName": application, "deploymentGroupName": "none"}),
            "DeploymentGroupDoesNotExistException",
        ),
        (
            "ListDeployments",
            json!({"nextToken": "x"}),
            "InvalidNextTokenException",
        ),
    ] {
        let error = bench.call(operation, &input).unwrap_err();
        assert_eq!(error.code, expected, "{operation} {input}");
    }
}

#[test]
fn deployments_are_listed_newest_first() {
    let mut bench = Bench::new(TEMPLATE);
    let first = bench.update();
    let [event] = bench.hooks().try_into().unwrap();
    bench.answer(&event, "Succeeded").unwrap();
    bench.wait(5);
    let second = bench.update();
    let group = bench.get(&first)["deploymentGroupName"].clone();
    let application = bench.get(&first)["applicationName"].clone();
    let later = bench.get(&second)["createTime"].clone();
    for (input, expected) in [
        (json!({}), vec![&second, &first]),
        (json!({"includeOnlyStatuses": ["Succeeded"]}), vec![&first]),
        (json!({"createTimeRange": {"start": later}}), vec![&second]),
        (
            json!({"applicationName": application, "deploymentGroupName": group, "includeOnlyStatuses": ["Failed"]}),
            vec![],
        ),
    ] {
        let found = bench.call("ListDeployments", &input).unwrap();
        assert_eq!(found["deployments"], json!(expected), "{input}");
    }
}

#[test]
fn what_is_not_understood_of_a_group_is_refused() {
    let template = |application: &str, group: &str, update: &str| {
        format!(
            "
Resources:
  F:
    Type: AWS::Lambda::Function
    Properties: {{FunctionName: f, Handler: bootstrap, Runtime: provided.al2023, Role: 'arn:aws:iam::1:role/r', Code: {{Binary: f}}}}
  Version: {{Type: AWS::Lambda::Version, Properties: {{FunctionName: !Ref F}}}}
  App: {{Type: AWS::CodeDeploy::Application, Properties: {{{application}}}}}
  Group:
    Type: AWS::CodeDeploy::DeploymentGroup
    Properties: {{ServiceRoleArn: 'arn:aws:iam::1:role/r', DeploymentStyle: {{DeploymentType: BLUE_GREEN, DeploymentOption: WITH_TRAFFIC_CONTROL}}, {group}}}
  Alias:
    Type: AWS::Lambda::Alias
    Properties: {{FunctionName: !Ref F, Name: live, FunctionVersion: !GetAtt Version.Version}}
    UpdatePolicy: {{CodeDeployLambdaAliasUpdate: {{ApplicationName: !Ref App, {update}}}}}
"
        )
    };
    let (application, group) = (
        "ApplicationName: a, ComputePlatform: Lambda",
        "ApplicationName: !Ref App",
    );
    let update = "DeploymentGroupName: !Ref Group";
    deploy(&template(application, group, update)).unwrap();
    for (application, group, update, expected) in [
        ("ComputePlatform: ECS", group, update, "the compute platform ECS"),
        (application, "ApplicationName: b", update, "there is no application `b`"),
        (
            application,
            "ApplicationName: !Ref App, TriggerConfigurations: []",
            update,
            "unknown field `TriggerConfigurations`",
        ),
        (
            application,
            "ApplicationName: !Ref App, AutoRollbackConfiguration: {Enabled: true, Events: [ON_RAIN]}",
            update,
            "there is no event `ON_RAIN` to roll back on",
        ),
        (
            application,
            "ApplicationName: !Ref App, DeploymentConfigName: CodeDeployDefault.AllAtOnce",
            update,
            "the deployment configuration CodeDeployDefault.AllAtOnce",
        ),
        (
            application,
            group,
            "DeploymentGroupName: none",
            "there is no deployment group `none` of `a`",
        ),
        (
            application,
            group,
            "DeploymentGroupName: !Ref Group, Hooks: x",
            "unknown field `Hooks`",
        ),
    ] {
        let error = deploy(&template(application, group, update)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Something that happens to a deployment.
#[derive(Debug, Clone)]
enum Happens {
    Hook(&'static str),
    Alarm(&'static str),
    Stop,
    Minutes(i64),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        prop_oneof![Just("Succeeded"), Just("Failed")].prop_map(Happens::Hook),
        prop_oneof![Just("ALARM"), Just("OK")].prop_map(Happens::Alarm),
        Just(Happens::Stop),
        (0..70_i64).prop_map(Happens::Minutes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens, a deployment ends, and its alias is whole: at the new version if it has succeeded, else at the old one.
    #[test]
    fn every_deployment_ends_with_a_whole_alias(linear: bool, all in proptest::collection::vec(happens(), 0..8)) {
        let kind = if linear { "Linear10PercentEvery3Minutes" } else { "Canary10Percent30Minutes" };
        let both = "Hooks: {PreTraffic: !Ref Hook, PostTraffic: !Ref Hook}";
        let template = TEMPLATE
            .replace("Canary10Percent5Minutes", kind)
            .replace("Hooks: {PreTraffic: !Ref Hook}", both);
        let mut bench = Bench::new(&template);
        let id = bench.update();
        let mut asked = Vec::new();
        for happening in all {
            asked.extend(bench.hooks());
            match happening {
                Happens::Hook(status) => {
                    if let Some(event) = asked.last().cloned() {
                        // An answer may come too late, or twice.
                        let _ = bench.answer(&event, status);
                    }
                }
                Happens::Alarm(state) => bench.alarm(state),
                Happens::Stop => drop(bench.call("StopDeployment", &json!({"deploymentId": id}))),
                Happens::Minutes(minutes) => bench.wait(minutes),
            }
        }
        // The longest that is left: a hook, the shifts, and a hook.
        bench.wait(60 + 30 + 60);
        let info = bench.get(&id);
        let status = info["status"].as_str().unwrap();
        let version = if status == "Succeeded" { "2" } else { "1" };
        prop_assert!(["Succeeded", "Failed", "Stopped"].contains(&status), "{}", status);
        prop_assert_eq!(bench.alias(), at(version));
        prop_assert_eq!(status == "Succeeded", info.get("rollbackInfo").is_none());
        prop_assert!(bench.cloud.update_function("work").is_ok());
    }
}
