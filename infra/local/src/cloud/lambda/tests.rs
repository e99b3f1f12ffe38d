//! Versions, aliases, and invocations of them.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::effect::{Effect, InvocationOutcome, Invoke};
use super::super::testing::{call, deploy};
use super::super::{ApiError, Caller, Cloud, Service, Started, cloudwatch};
use super::versions::Named;

const TEMPLATE: &str = r"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: provided.al2023, Handler: bootstrap}
Resources:
  Letters: {Type: AWS::SQS::Queue, Properties: {QueueName: letters}}
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: work
      FunctionName: work
      AutoPublishAlias: live
      Tracing: Active
      LoggingConfig: {LogFormat: JSON, ApplicationLogLevel: WARN, SystemLogLevel: INFO, LogGroup: logs-of-work}
      DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt Letters.Arn}
      EventInvokeConfig: {MaximumRetryAttempts: 1, MaximumEventAgeInSeconds: 90}
      FunctionUrlConfig: {AuthType: NONE}
  Caller:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: caller
      FunctionName: caller
      Policies:
        - Version: 2012-10-17
          Statement:
            - {Effect: Allow, Action: 'lambda:InvokeFunction', Resource: !Ref F.Alias}
            - {Effect: Allow, Action: 'lambda:GetAlias', Resource: !GetAtt F.Arn}
";

fn cloud() -> Cloud {
    deploy(TEMPLATE).unwrap()
}

fn invoke(cloud: &mut Cloud, name: &str, kind: &str, payload: &str) -> Result<Started, ApiError> {
    let input = json!({"FunctionName": name, "InvocationType": kind});
    cloud.invoke_function(&Caller::Administrator, &input, payload.as_bytes())
}

fn queued(cloud: &mut Cloud) -> Vec<Invoke> {
    let effects = cloud.take_effects().into_iter();
    effects
        .map(|effect| match effect {
            Effect::Invoke(invoke) => invoke,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn run(cloud: &mut Cloud, name: &str) -> Invoke {
    match invoke(cloud, name, "RequestResponse", "{}") {
        Ok(Started::Run(invoke)) => invoke,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn names_come_in_every_form() {
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:";
    for (name, qualifier, expected) in [
        ("work", None, Ok("work")),
        ("work", Some(""), Ok("work")),
        ("work:live", None, Ok("work:live")),
        ("work", Some("live"), Ok("work:live")),
        ("work:live", Some("live"), Ok("work:live")),
        ("my-function:live", None, Ok("my-function:live")),
        ("123456789012:function:work:7", None, Ok("work:7")),
        (&format!("{arn}work"), Some("$LATEST"), Ok("work:$LATEST")),
        (&format!("{arn}function:live"), None, Ok("function:live")),
        ("work:live", Some("7"), Err("InvalidParameterValueException")),
    ] {
        let found = Named::parse(name, qualifier).map(|name| name.to_string());
        let found = found.as_deref().map_err(|error| error.code.as_str());
        assert_eq!(found, expected, "{name} {qualifier:?}");
    }
}

#[test]
fn a_qualifier_says_which_version_runs() {
    let mut cloud = cloud();
    for (name, qualifier, version) in [
        ("work", None, "$LATEST"),
        ("work:$LATEST", Some("$LATEST"), "$LATEST"),
        ("work:live", Some("live"), "1"),
        ("work:1", Some("1"), "1"),
        (
            "arn:aws:lambda:eu-west-1:123456789012:function:work:live",
            Some("live"),
            "1",
        ),
    ] {
        let made = run(&mut cloud, name);
        assert_eq!(
            (made.function.as_str(), made.qualifier.as_deref(), made.version.as_str()),
            ("work", qualifier, version),
            "{name}"
        );
        assert!(queued(&mut cloud).is_empty(), "{name}: whoever asked runs it");
    }
    for name in ["work:blue", "work:2", "work:01", "work:0", "rest", "rest:live"] {
        let error = invoke(&mut cloud, name, "RequestResponse", "{}").unwrap_err();
        let arn = format!("Function not found: arn:aws:lambda:eu-west-1:123456789012:function:{name}");
        assert_eq!((error.status, error.message), (404, arn));
    }
    // The version that an update publishes; the old one stays.
    assert_eq!(cloud.update_function("work").unwrap().version.as_deref(), Some("2"));
    for (name, version) in [("work:live", "2"), ("work:1", "1"), ("work:2", "2")] {
        assert_eq!(run(&mut cloud, name).version, version, "{name}");
    }
    let error = cloud.update_function("rest").unwrap_err();
    assert_eq!(error.code, "ResourceNotFoundException");
    let none = cloud.update_function("caller").unwrap();
    assert_eq!(
        (none.version, none.deployment),
        (None, None),
        "nothing is published of it"
    );
}

#[test]
fn the_environment_says_which_version_it_is() {
    let cloud = cloud();
    for (version, group) in [("$LATEST", "logs-of-work"), ("1", "logs-of-work")] {
        let environment = cloud.version_environment("work", version).unwrap();
        for (name, value) in [
            ("AWS_LAMBDA_FUNCTION_VERSION", version),
            ("AWS_LAMBDA_LOG_GROUP_NAME", group),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("AWS_LAMBDA_LOG_LEVEL", "WARN"),
        ] {
            assert_eq!(
                environment.get(name).map(String::as_str),
                Some(value),
                "{name} of {version}"
            );
        }
    }
    assert_eq!(
        cloud.function_environment("work"),
        cloud.version_environment("work", "$LATEST")
    );
    let plain = cloud.function_environment("caller").unwrap();
    assert_eq!(plain["AWS_LAMBDA_LOG_GROUP_NAME"], "/aws/lambda/caller");
    assert_eq!(plain.get("AWS_LAMBDA_LOG_FORMAT"), None);
}

#[test]
fn a_qualifier_has_its_own_retries() {
    // `live` is tried twice within 90 seconds; the function itself has no configuration, and is tried three times.
    for (name, tries) in [("work:live", 2), ("work", 3)] {
        let mut cloud = cloud();
        assert!(matches!(invoke(&mut cloud, name, "Event", "{}"), Ok(Started::Accepted)));
        let mut made = 0;
        for _ in 0..5 {
            for invoke in queued(&mut cloud) {
                made += 1;
                let error = InvocationOutcome::Killed("no".to_owned());
                cloud.finish_invocation(invoke.id, error);
            }
            let later = cloud.now() + SignedDuration::from_mins(2);
            cloud.advance(later);
        }
        assert_eq!((made, cloud.dead_letters().len()), (tries, 1), "{name}");
    }
}

#[test]
fn an_event_that_is_too_old_is_not_tried_again() {
    let template = TEMPLATE.replace(
        "MaximumRetryAttempts: 1, MaximumEventAgeInSeconds: 90",
        "MaximumEventAgeInSeconds: 60",
    );
    let mut cloud = deploy(&template).unwrap();
    assert!(matches!(
        invoke(&mut cloud, "work:live", "Event", "{}"),
        Ok(Started::Accepted)
    ));
    let first = queued(&mut cloud).remove(0);
    let late = cloud.now() + SignedDuration::from_secs(1);
    cloud.advance(late);
    cloud.finish_invocation(first.id, InvocationOutcome::Killed("no".to_owned()));
    assert_eq!(cloud.dead_letters().len(), 1);
}

#[test]
fn no_more_run_than_are_reserved() {
    let template = TEMPLATE.replace(
        "FunctionName: work",
        "FunctionName: work\n      ReservedConcurrentExecutions: 1",
    );
    let mut cloud = deploy(&template).unwrap();
    let accepted = |cloud: &mut Cloud| matches!(invoke(cloud, "work:live", "Event", "{}"), Ok(Started::Accepted));
    assert!(accepted(&mut cloud) && accepted(&mut cloud));
    let first = queued(&mut cloud);
    assert_eq!(first.len(), 1, "the second waits");
    let refused = invoke(&mut cloud, "work", "RequestResponse", "{}").unwrap_err();
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (429, "TooManyRequestsException")
    );
    // It is looked at again after one second, then after two more: none of its two tries are spent by that.
    let pass = |cloud: &mut Cloud, seconds| {
        let later = cloud.now() + SignedDuration::from_secs(seconds);
        cloud.advance(later);
        queued(cloud)
    };
    assert!(pass(&mut cloud, 1).is_empty());
    cloud.finish_invocation(first[0].id, InvocationOutcome::Answer(Value::Null));
    assert!(pass(&mut cloud, 1).is_empty());
    let second = pass(&mut cloud, 1);
    assert_eq!(second.len(), 1);
    assert!(accepted(&mut cloud));
    // What is put off until it is too old is kept.
    assert!(pass(&mut cloud, 300).is_empty());
    assert_eq!(cloud.dead_letters()[0]["attributes"]["ErrorCode"]["StringValue"], "429");
}

#[test]
fn a_url_is_of_the_alias() {
    let mut cloud = cloud();
    let url = |cloud: &Cloud| {
        let resources = cloud.stack().resources.iter();
        let mut urls = resources.filter(|resource| resource.kind == "AWS::Lambda::Url");
        urls.next().unwrap().attributes["FunctionUrl"].clone()
    };
    assert_eq!(url(&cloud), "http://127.0.0.1:4566/function-url/work:live/");
    cloud.invoke_url("work:live", json!({})).unwrap();
    let made = queued(&mut cloud).remove(0);
    assert_eq!((made.version.as_str(), made.qualifier.as_deref()), ("1", Some("live")));
    for name in ["work", "work:1", "caller", "rest"] {
        assert_eq!(cloud.invoke_url(name, json!({})).unwrap_err().status, 403, "{name}");
    }
}

#[test]
fn what_can_not_be_invoked_is_refused() {
    let mut cloud = cloud();
    for (input, payload, expected) in [
        (
            json!({"FunctionName": "work"}),
            "{".to_owned(),
            "InvalidRequestContentException",
        ),
        (
            json!({"FunctionName": "work", "InvocationType": "Event"}),
            format!("\"{}\"", "x".repeat(1024 * 1024)),
            "RequestTooLargeException",
        ),
        (
            json!({"FunctionName": "work", "LogType": "Tail"}),
            String::new(),
            "InvalidParameterValueException",
        ),
        (
            json!({"FunctionName": "work:live", "Qualifier": "1"}),
            String::new(),
            "InvalidParameterValueException",
        ),
        (
            json!({"FunctionName": "work", "InvocationType": "Never"}),
            String::new(),
            "ValidationException",
        ),
        (
            json!({"FunctionName": "none", "InvocationType": "DryRun"}),
            String::new(),
            "ResourceNotFoundException",
        ),
    ] {
        let error = cloud
            .invoke_function(&Caller::Administrator, &input, payload.as_bytes())
            .unwrap_err();
        assert_eq!(error.code, expected, "{input}: {error}");
    }
    assert!(matches!(invoke(&mut cloud, "work", "DryRun", ""), Ok(Started::Checked)));
    assert!(queued(&mut cloud).is_empty());
    let Ok(Started::Run(made)) = invoke(&mut cloud, "work", "RequestResponse", "") else {
        panic!("not run")
    };
    assert_eq!(made.payload, json!({}));
}

#[test]
fn a_function_needs_the_permission_for_the_qualifier() {
    let mut cloud = cloud();
    let key = cloud.function_environment("caller").unwrap()["AWS_ACCESS_KEY_ID"].clone();
    let caller = cloud.caller_of(&key);
    for (name, qualifier, allowed) in [
        ("work", Some("live"), true),
        ("work:live", None, true),
        ("work", None, false),
        ("work", Some("1"), false),
        ("caller", None, false),
    ] {
        let mut input = json!({"FunctionName": name});
        if let Some(qualifier) = qualifier {
            input["Qualifier"] = json!(qualifier);
        }
        let made = cloud.invoke_function(&caller, &input, b"{}");
        match made {
            Ok(Started::Run(_)) if allowed => {}
            Err(error) if !allowed => assert_eq!((error.code.as_str(), error.status), ("AccessDeniedException", 403)),
            other => panic!("{name} {qualifier:?}: {other:?}"),
        }
    }
    assert_eq!(cloud.calls()["caller"]["lambda:Invoke"], 5);
    let alias = json!({"FunctionName": "work", "Name": "live"});
    let shown = cloud.call(&caller, Service::Lambda, "GetAlias", &alias).unwrap();
    assert_eq!(shown["FunctionVersion"], "1");
}

#[test]
fn an_alias_is_shown_with_its_weights() {
    let mut cloud = cloud();
    let input = json!({"FunctionName": "work", "Name": "live"});
    let shown = call(&mut cloud, Service::Lambda, "GetAlias", &input).unwrap();
    assert_eq!(
        shown["AliasArn"],
        "arn:aws:lambda:eu-west-1:123456789012:function:work:live"
    );
    assert_eq!(
        (&shown["FunctionVersion"], shown.get("RoutingConfig")),
        (&json!("1"), None)
    );
    super::publish_version(&mut cloud, "work");
    super::move_alias(&mut cloud, "work", "live", "1", Some(("2".to_owned(), 0.1)));
    let moved = call(&mut cloud, Service::Lambda, "GetAlias", &input).unwrap();
    assert_eq!(moved["RoutingConfig"], json!({"AdditionalVersionWeights": {"2": 0.1}}));
    assert_ne!(moved["RevisionId"], shown["RevisionId"]);
    let input = json!({"FunctionName": "work", "Name": "blue"});
    let error = call(&mut cloud, Service::Lambda, "GetAlias", &input).unwrap_err();
    assert_eq!(
        error.message,
        "Cannot find alias arn: arn:aws:lambda:eu-west-1:123456789012:function:work:blue"
    );
}

#[test]
fn weights_divide_the_invocations() {
    let mut cloud = cloud();
    super::publish_version(&mut cloud, "work");
    super::move_alias(&mut cloud, "work", "live", "1", Some(("2".to_owned(), 0.1)));
    let new = (0..1000)
        .filter(|_| run(&mut cloud, "work:live").version == "2")
        .count();
    assert!((60..=140).contains(&new), "{new}");
    assert!((0..20).all(|_| run(&mut cloud, "work:1").version == "1"));
}

#[test]
fn invocations_and_errors_are_measured() {
    let mut cloud = cloud();
    for (name, fails) in [
        ("work", false),
        ("work:live", true),
        ("work:live", false),
        ("work:1", true),
    ] {
        let made = run(&mut cloud, name);
        let outcome = if fails {
            InvocationOutcome::Killed("no".to_owned())
        } else {
            InvocationOutcome::Answer(Value::Null)
        };
        cloud.finish_invocation(made.id, outcome);
    }
    let function = ("FunctionName", "work");
    let live = ("Resource", "work:live");
    for (dimensions, invocations, errors) in [
        (vec![function], 4, 2.0),
        (vec![function, live], 2, 1.0),
        (vec![function, live, ("ExecutedVersion", "1")], 2, 1.0),
        (vec![function, ("Resource", "work:1")], 1, 1.0),
        (vec![function, ("Resource", "work:1"), ("ExecutedVersion", "1")], 0, 0.0),
    ] {
        let sum = |metric: &str| cloudwatch::sum(&cloud, "AWS/Lambda", metric, &dimensions);
        assert_eq!(sum("Invocations").1, invocations, "{dimensions:?}");
        assert!((sum("Errors").0 - errors).abs() < f64::EPSILON, "{dimensions:?}");
    }
}

#[test]
fn what_is_not_understood_of_a_function_is_refused() {
    for (from, to, expected) in [
        ("LogFormat: JSON", "LogFormat: XML", "unknown variant `XML`"),
        (
            "ApplicationLogLevel: WARN",
            "ApplicationLogLevel: LOUD",
            "unknown variant `LOUD`",
        ),
        ("Tracing: Active", "Tracing: Always", "unknown variant `Always`"),
        (
            "MaximumRetryAttempts: 1",
            "MaximumRetryAttempts: 3",
            "at most 2 retries",
        ),
        (
            "MaximumEventAgeInSeconds: 90",
            "MaximumEventAgeInSeconds: 9",
            "60 to 21600 seconds",
        ),
    ] {
        let error = deploy(&TEMPLATE.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let alias = "{Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref F, Name: blue, FunctionVersion: '3'}}";
    let error = deploy(&TEMPLATE.replace("  Caller:\n", &format!("  Blue: {alias}\n  Caller:\n")));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("the function has no version `3`"), "{error}");
}
