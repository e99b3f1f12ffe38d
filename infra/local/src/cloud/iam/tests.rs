//! Small stacks: what they allow, and what becomes of them without one of their grants.

use serde_json::{Value, json};

use super::super::testing::{deploy_strictly, deploy_without};
use super::super::{Caller, Cloud, Service, cloudwatch, events, sns};
use super::*;
use crate::cloud::effect::InvocationOutcome;
use crate::cloud::effect::{Effect, EffectId};
use crate::template::{Stack, Target};

/// A resource for what is read without a stack.
pub(super) fn resource() -> Resource {
    Resource {
        logical_id: "Role".into(),
        kind: "AWS::IAM::Role".into(),
        properties: Value::Null,
        physical_id: "role".into(),
        attributes: BTreeMap::new(),
    }
}

/// A function that a rule, a topic, a schedule and the internet call; an alarm that tells a topic; everything encrypted.
const STACK: &str = r#"
Resources:
  Key:
    Type: AWS::KMS::Key
    Properties:
      EnableKeyRotation: true
      PendingWindowInDays: 7
      KeyPolicy:
        Statement:
          - {Sid: Account, Effect: Allow, Principal: {AWS: !Sub "arn:aws:iam::${AWS::AccountId}:root"}, Action: "kms:*", Resource: "*"}
          - Sid: Alarms
            Effect: Allow
            Principal: {Service: cloudwatch.amazonaws.com}
            Action: [kms:Decrypt, kms:GenerateDataKey*]
            Resource: "*"
            Condition: {StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}}
          - {Sid: Letters, Effect: Allow, Principal: {Service: [events.amazonaws.com, sns.amazonaws.com]},
             Action: [kms:Decrypt, kms:GenerateDataKey], Resource: "*"}
          - Sid: Logs
            Effect: Allow
            Principal: {Service: !Sub "logs.${AWS::Region}.amazonaws.com"}
            Action: ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
            Resource: "*"
            Condition:
              ArnLike: {"kms:EncryptionContext:aws:logs:arn": !Sub "arn:aws:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/lambda/*"}
  Alias: {Type: AWS::KMS::Alias, Properties: {AliasName: alias/all, TargetKeyId: !Ref Key}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: look-role
      AssumeRolePolicyDocument: {Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}]}
      ManagedPolicyArns: [arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]
      Policies:
        - PolicyName: look
          PolicyDocument:
            Statement:
              - {Effect: Allow, Action: s3:GetObject, Resource: !Sub "${Bucket.Arn}/*"}
              - {Effect: Allow, Action: s3:PutObject, Resource: !Sub "${Bucket.Arn}/out/*"}
              - {Sid: Key, Effect: Allow, Action: [kms:Decrypt, kms:GenerateDataKey], Resource: !GetAtt Key.Arn,
                 Condition: {StringLike: {"kms:ViaService": "*.eu-west-1.amazonaws.com"}}}
              - {Effect: Allow, Action: sns:Publish, Resource: !Ref Topic}
              - {Effect: Allow, Action: sqs:SendMessage, Resource: !GetAtt Dead.Arn}
              - {Effect: Allow, Action: [xray:PutTraceSegments, xray:PutTelemetryRecords], Resource: "*"}
  Bucket:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: things
      BucketEncryption:
        ServerSideEncryptionConfiguration:
          - {ServerSideEncryptionByDefault: {SSEAlgorithm: "aws:kms", KMSMasterKeyID: alias/all}, BucketKeyEnabled: true}
  BucketPolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Bucket
      PolicyDocument:
        Statement:
          - {Sid: Tls, Effect: Deny, Principal: "*", Action: "s3:*", Resource: [!GetAtt Bucket.Arn, !Sub "${Bucket.Arn}/*"],
             Condition: {Bool: {"aws:SecureTransport": "false"}}}
          - {Sid: Secret, Effect: Deny, Principal: {AWS: !GetAtt Role.Arn}, Action: s3:GetObject, Resource: !Sub "${Bucket.Arn}/secret/*"}
  Look:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: look, Handler: bootstrap, Runtime: provided.al2023, Role: !GetAtt Role.Arn, Code: {Binary: look},
                 DeadLetterConfig: {TargetArn: !GetAtt Dead.Arn}, TracingConfig: {Mode: Active}}
  NoRetry:
    Type: AWS::Lambda::EventInvokeConfig
    Properties: {FunctionName: !Ref Look, Qualifier: $LATEST, MaximumRetryAttempts: 0}
  Url: {Type: AWS::Lambda::Url, Properties: {TargetFunctionArn: !Ref Look, AuthType: NONE}}
  UrlPermission:
    Type: AWS::Lambda::Permission
    Properties: {Action: lambda:InvokeFunctionUrl, FunctionName: !Ref Look, Principal: "*", FunctionUrlAuthType: NONE}
  UrlInvoke:
    Type: AWS::Lambda::Permission
    Properties: {Action: lambda:InvokeFunction, FunctionName: !Ref Look, Principal: "*", InvokedViaFunctionUrl: true}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      Name: all
      EventPattern: {source: [test]}
      Targets: [{Id: look, Arn: !GetAtt Look.Arn, DeadLetterConfig: {Arn: !GetAtt Dead.Arn}}]
  RulePermission:
    Type: AWS::Lambda::Permission
    Properties: {Action: lambda:InvokeFunction, FunctionName: !GetAtt Look.Arn, Principal: events.amazonaws.com, SourceArn: !GetAtt Rule.Arn}
  Dead: {Type: AWS::SQS::Queue, Properties: {QueueName: dead, KmsMasterKeyId: !Ref Key}}
  DeadPolicy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Dead]
      PolicyDocument:
        Statement:
          - {Sid: Letters, Effect: Allow, Principal: {Service: [events.amazonaws.com, sns.amazonaws.com]}, Action: sqs:SendMessage,
             Resource: !GetAtt Dead.Arn, Condition: {StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}}}
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: told, KmsMasterKeyId: !GetAtt Key.Arn}}
  TopicPolicy:
    Type: AWS::SNS::TopicPolicy
    Properties:
      Topics: [!Ref Topic]
      PolicyDocument:
        Statement:
          - {Sid: Alarms, Effect: Allow, Principal: {Service: cloudwatch.amazonaws.com}, Action: sns:Publish, Resource: !Ref Topic,
             Condition: {ArnLike: {"aws:SourceArn": "arn:aws:cloudwatch:*:*:alarm:*"}}}
  Subscription:
    Type: AWS::SNS::Subscription
    Properties: {TopicArn: !Ref Topic, Protocol: lambda, Endpoint: !GetAtt Look.Arn, RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn}}
  TopicPermission:
    Type: AWS::Lambda::Permission
    Properties: {Action: lambda:InvokeFunction, FunctionName: !Ref Look, Principal: sns.amazonaws.com, SourceArn: !Ref Topic}
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties: {AlarmName: loud, Namespace: n, MetricName: m, Statistic: Maximum, Period: 60, EvaluationPeriods: 1, Threshold: 0,
                 ComparisonOperator: GreaterThanThreshold, AlarmActions: [!Ref Topic]}
  ScheduleRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement:
          - {Effect: Allow, Principal: {Service: scheduler.amazonaws.com}, Action: sts:AssumeRole,
             Condition: {StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}}}
      Policies:
        - PolicyName: wake
          PolicyDocument:
            Statement:
              - {Effect: Allow, Action: lambda:InvokeFunction, Resource: !GetAtt Look.Arn}
              - {Effect: Allow, Action: sqs:SendMessage, Resource: !GetAtt Dead.Arn}
              - {Sid: Key, Effect: Allow, Action: [kms:Decrypt, kms:GenerateDataKey], Resource: !GetAtt Key.Arn}
  Daily:
    Type: AWS::Scheduler::Schedule
    Properties:
      Name: daily
      ScheduleExpression: cron(0 12 * * ? *)
      FlexibleTimeWindow: {Mode: "OFF"}
      Target: {Arn: !GetAtt Look.Arn, RoleArn: !GetAtt ScheduleRole.Arn, DeadLetterConfig: {Arn: !GetAtt Dead.Arn},
               RetryPolicy: {MaximumRetryAttempts: 0}}
"#;

fn look() -> Caller {
    Caller::Function {
        name: "look".into(),
        role_arn: "arn:aws:iam::123456789012:role/look-role".into(),
    }
}

/// The invocations that wait.
fn invoked(cloud: &mut Cloud) -> Vec<EffectId> {
    let effects = cloud.take_effects().into_iter();
    effects
        .filter_map(|effect| match effect {
            Effect::Invoke(invoke) => Some(invoke.id),
            _ => None,
        })
        .collect()
}

/// What is done with the stack.
#[derive(Debug, Clone, Copy)]
enum Deed {
    /// An event that the rule takes.
    Event,
    /// The alarm goes off: its topic has the function subscribed.
    Alarm,
    /// The schedule falls due.
    Schedule,
    /// Somebody opens the function's URL.
    Url,
    /// The function runs and fails.
    Failure,
}

/// How often the function runs, how many dead letters there are, and what was lost of them.
fn does(cloud: &mut Cloud, deed: Deed) -> (usize, usize, usize) {
    let mut runs = 0;
    match deed {
        Deed::Event => events::put(cloud, "test", "Test", Vec::new(), json!({})),
        Deed::Alarm => {
            let input = json!({"AlarmName": "loud", "StateValue": "ALARM", "StateReason": "in order to see"});
            cloudwatch::call(cloud, &Caller::Administrator, "SetAlarmState", &input).unwrap();
        }
        Deed::Schedule => cloud.advance("2026-03-02T12:00:00Z".parse().unwrap()),
        Deed::Url => runs += usize::from(cloud.invoke_url("look", json!({})).is_ok()),
        Deed::Failure => {
            events::put(cloud, "test", "Test", Vec::new(), json!({}));
            cloud.advance(cloud.now());
            for id in invoked(cloud) {
                cloud.finish_invocation(id, InvocationOutcome::Killed("by the test".into()));
            }
        }
    }
    cloud.advance(cloud.now());
    if !matches!(deed, Deed::Url) {
        runs += invoked(cloud).len();
    }
    let lost = cloud.take_happenings();
    let lost = lost.iter().filter(|happening| happening.what == "lost").count();
    (runs, cloud.dead_letters().len(), lost)
}

#[test]
fn whole_the_stack_works_and_without_a_grant_it_fails_as_on_aws() {
    for (deed, expected) in [
        (Deed::Event, (1, 0, 0)),
        (Deed::Alarm, (1, 0, 0)),
        (Deed::Schedule, (1, 0, 0)),
        (Deed::Url, (1, 0, 0)),
        (Deed::Failure, (0, 1, 0)),
    ] {
        let mut cloud = deploy_strictly(STACK).unwrap();
        assert_eq!(does(&mut cloud, deed), expected, "{deed:?}");
        assert_eq!(refusals(&cloud), [""; 0], "{deed:?}");
    }
    for (without, deed, expected, refused) in [
        // A target that may not be invoked has its dead letter.
        (
            "RulePermission/",
            Deed::Event,
            (0, 1, 0),
            "lambda:InvokeFunction function:look",
        ),
        (
            "Role/AssumeRolePolicyDocument/0 sts:AssumeRole arn:aws:iam::123456789012:role/look-role",
            Deed::Event,
            (0, 1, 0),
            "sts:AssumeRole role/look-role",
        ),
        // Logs and traces are lost, and nothing else.
        (
            "logs:CreateLogStream",
            Deed::Event,
            (1, 0, 0),
            "logs:CreateLogStream log-stream",
        ),
        (
            "xray:PutTraceSegments",
            Deed::Event,
            (1, 0, 0),
            "xray:PutTraceSegments *",
        ),
        // An alarm's action that may not be published is not.
        ("TopicPolicy/", Deed::Alarm, (0, 0, 0), "sns:Publish told"),
        (
            "Key/KeyPolicy/Alarms kms:Decrypt",
            Deed::Alarm,
            (0, 0, 0),
            "kms:Decrypt key/",
        ),
        (
            "Key/KeyPolicy/Alarms kms:GenerateDataKey*",
            Deed::Alarm,
            (0, 0, 0),
            "kms:GenerateDataKey key/",
        ),
        (
            "TopicPermission/",
            Deed::Alarm,
            (0, 1, 0),
            "lambda:InvokeFunction function:look",
        ),
        (
            "ScheduleRole/wake/0 ",
            Deed::Schedule,
            (0, 1, 0),
            "lambda:InvokeFunction function:look",
        ),
        // Without its role a schedule sends no dead letter either.
        (
            "ScheduleRole/AssumeRolePolicyDocument/",
            Deed::Schedule,
            (0, 0, 1),
            "sts:AssumeRole role/",
        ),
        (
            "UrlPermission/",
            Deed::Url,
            (0, 0, 0),
            "lambda:InvokeFunctionUrl function:look",
        ),
        (
            "UrlInvoke/",
            Deed::Url,
            (0, 0, 0),
            "lambda:InvokeFunction function:look",
        ),
        ("Role/look/4 ", Deed::Failure, (0, 0, 1), "sqs:SendMessage dead"),
        (
            "Role/look/Key kms:GenerateDataKey",
            Deed::Failure,
            (0, 0, 1),
            "kms:GenerateDataKey key/",
        ),
        (
            "Role/look/Key kms:Decrypt",
            Deed::Failure,
            (0, 0, 1),
            "kms:Decrypt key/",
        ),
        (
            "Key/KeyPolicy/Account",
            Deed::Failure,
            (0, 0, 1),
            "kms:GenerateDataKey key/",
        ),
    ] {
        let mut cloud = deploy_without(STACK, without);
        assert_eq!(
            does(&mut cloud, deed),
            expected,
            "{without} {deed:?}: {:?}",
            cloud.denials()
        );
        let (action, resource) = refused.split_once(' ').unwrap();
        let first = cloud.denials().first().unwrap();
        assert!(
            first.action == action && first.resource.contains(resource),
            "{without}: {first:?}"
        );
    }
}

#[test]
fn dead_letters_need_the_queues_policy_and_its_keys() {
    let template = STACK.replace(
        "Principal: events.amazonaws.com, SourceArn",
        "Principal: s3.amazonaws.com, SourceArn",
    );
    let mut cloud = deploy_strictly(&template).unwrap();
    assert_eq!(does(&mut cloud, Deed::Event), (0, 1, 0));
    for without in [
        "DeadPolicy/",
        "Key/KeyPolicy/Letters kms:Decrypt",
        "Key/KeyPolicy/Letters kms:GenerateDataKey",
    ] {
        let mut cloud = deploy_without(&template, without);
        assert_eq!(does(&mut cloud, Deed::Event), (0, 0, 1), "{without}");
    }
    // The condition is asked too.
    let other = template.replace(
        "{StringEquals: {\"aws:SourceAccount\": !Ref AWS::AccountId}}}\n  Topic:",
        "{StringEquals: {\"aws:SourceAccount\": \"1\"}}}\n  Topic:",
    );
    assert_ne!(other, template);
    let mut cloud = deploy_strictly(&other).unwrap();
    assert_eq!(does(&mut cloud, Deed::Event), (0, 0, 1));
}

#[test]
fn a_topic_without_a_policy_lets_the_accounts_alarms_in_and_rules_not() {
    let start = STACK.find("  TopicPolicy:").unwrap();
    let end = STACK.find("  Subscription:").unwrap();
    let template = format!("{}{}", &STACK[..start], &STACK[end..]);
    let mut cloud = deploy_strictly(&template).unwrap();
    assert_eq!(does(&mut cloud, Deed::Alarm), (1, 0, 0));
    let topic = "arn:aws:sns:eu-west-1:123456789012:told";
    let rule = ("events.amazonaws.com", "arn:aws:events:eu-west-1:123456789012:rule/all");
    let error = sns::publish_as_service(&mut cloud, rule, topic, None, "m").unwrap_err();
    assert_eq!(error.code, "AuthorizationError");
    assert!(
        error
            .message
            .contains("no resource-based policy allows the sns:Publish action"),
        "{error}"
    );
}

#[test]
fn a_permission_for_a_qualifier_holds_for_that_alone() {
    let alias = "arn:aws:lambda:eu-west-1:123456789012:function:look:live";
    let template = STACK.replace(
        "FunctionName: !GetAtt Look.Arn, Principal: events",
        &format!("FunctionName: {alias}, Principal: events"),
    );
    let mut cloud = deploy_strictly(&template).unwrap();
    let rule = "arn:aws:events:eu-west-1:123456789012:rule/all";
    let mut may = |arn: &str| {
        in_own_name(
            &mut cloud,
            "events.amazonaws.com",
            rule,
            &Ask::new("lambda:InvokeFunction", arn),
        )
        .is_ok()
    };
    assert!(may(alias));
    assert!(!may("arn:aws:lambda:eu-west-1:123456789012:function:look"));
    assert!(!may("arn:aws:lambda:eu-west-1:123456789012:function:look:2"));
}

#[test]
fn functions_need_the_keys_of_what_they_read_write_and_tell() {
    let body = json!({"Bucket": "things", "Key": "out/a", "Body": "YQ=="});
    let (get, secret) = (
        json!({"Bucket": "things", "Key": "out/a"}),
        json!({"Bucket": "things", "Key": "secret/a"}),
    );
    let publish = json!({"TopicArn": "arn:aws:sns:eu-west-1:123456789012:told", "Message": "m"});
    let call = |cloud: &mut Cloud, service, operation: &str, input: &Value| {
        cloud
            .call(&look(), service, operation, input)
            .map_err(|error| error.message)
    };
    let mut cloud = deploy_strictly(STACK).unwrap();
    call(&mut cloud, Service::S3, "PutObject", &body).unwrap();
    call(&mut cloud, Service::S3, "GetObject", &get).unwrap();
    call(&mut cloud, Service::Sns, "Publish", &publish).unwrap();
    let refused = call(&mut cloud, Service::S3, "GetObject", &secret).unwrap_err();
    assert!(
        refused.ends_with("with an explicit deny in a resource-based policy"),
        "{refused}"
    );
    for (without, service, operation, input) in [
        ("Role/look/Key kms:GenerateDataKey", Service::S3, "PutObject", &body),
        ("Role/look/Key kms:Decrypt", Service::Sns, "Publish", &publish),
        ("Role/look/Key kms:GenerateDataKey", Service::Sns, "Publish", &publish),
        ("Key/KeyPolicy/Account", Service::S3, "PutObject", &body),
        ("Role/look/3 ", Service::Sns, "Publish", &publish),
    ] {
        let mut cloud = deploy_without(STACK, without);
        let refused = call(&mut cloud, service, operation, input).unwrap_err();
        let start = "User: arn:aws:sts::123456789012:assumed-role/look-role/look is not authorized to perform: ";
        assert!(refused.starts_with(start), "{without}: {refused}");
    }
}

#[test]
fn the_key_of_a_log_group_has_to_let_cloudwatch_logs_in() {
    let group = |name: &str| Resource {
        logical_id: "Logs".into(),
        kind: "AWS::Logs::LogGroup".into(),
        properties: json!({"LogGroupName": name, "KmsKeyId": "alias/all"}),
        physical_id: name.into(),
        attributes: BTreeMap::new(),
    };
    for (name, refused) in [("/aws/lambda/look", 0), ("/elsewhere/look", 6)] {
        let template = STACK.replace(
            "TracingConfig:",
            &format!("LoggingConfig: {{LogGroup: {name}}}, TracingConfig:"),
        );
        let mut cloud = deploy_strictly(&template).unwrap();
        logs::declare(&mut cloud, &[group(name)]);
        assert_eq!(does(&mut cloud, Deed::Event), (1, 0, 0));
        let refusals = refusals(&cloud);
        assert_eq!(refusals.len(), refused, "{refusals:?}");
        // What the stack declares need not be made.
        let made = cloud
            .grants()
            .into_iter()
            .find(|grant| grant.id.action == "logs:CreateLogGroup");
        assert!(!made.unwrap().used);
    }
}

#[test]
fn grants_say_what_they_are_good_for() {
    let mut cloud = deploy_strictly(STACK).unwrap();
    let body = json!({"Bucket": "things", "Key": "out/a", "Body": "YQ=="});
    cloud.call(&look(), Service::S3, "PutObject", &body).unwrap();
    let denied = cloud.call(
        &look(),
        Service::S3,
        "GetObject",
        &json!({"Bucket": "things", "Key": "secret/a"}),
    );
    denied.unwrap_err();
    for deed in [Deed::Event, Deed::Alarm] {
        does(&mut cloud, deed);
    }
    let grants = cloud.grants();
    let line = |grant: &Grant| {
        let kind = match (grant.allows, grant.used, grant.needed) {
            (true, _, true) => "needed",
            (true, true, false) => "used",
            (true, false, false) => "idle",
            (false, true, _) => "denies",
            (false, false, _) => "never denies",
        };
        let on: Vec<&str> = grant.resources.iter().map(String::as_str).collect();
        format!("{kind:12} {} {}", grant.id, on.join(" ")).trim_end().to_owned()
    };
    let lines: Vec<String> = grants.iter().map(line).collect();
    insta::assert_snapshot!(lines.join("\n"));
    let [denial] = cloud.denials() else {
        panic!("{:?}", cloud.denials())
    };
    assert_eq!(denial.resource, "arn:aws:s3:::things/secret/a");
    assert_eq!(denial.time, cloud.now());
    // Another deployment calls them the same, in the same order.
    let ids = |grants: &[Grant]| grants.iter().map(|grant| grant.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&deploy_strictly(STACK).unwrap().grants()), ids(&grants));
}

#[test]
fn two_grants_for_the_same_are_both_used_and_neither_needed() {
    let twice = STACK.replace(
        "{Effect: Allow, Action: sns:Publish, Resource: !Ref Topic}",
        "{Effect: Allow, Action: [sns:Publish, 'SNS:*'], Resource: !Ref Topic}",
    );
    let mut cloud = deploy_strictly(&twice).unwrap();
    let publish = json!({"TopicArn": "arn:aws:sns:eu-west-1:123456789012:told", "Message": "m"});
    cloud.call(&look(), Service::Sns, "Publish", &publish).unwrap();
    let grants = cloud.grants();
    let grants = grants.iter().filter(|grant| grant.id.statement == "3");
    let states: Vec<(bool, bool)> = grants.map(|grant| (grant.used, grant.needed)).collect();
    assert_eq!(states, [(true, false), (true, false)]);
}

#[test]
fn a_grant_that_is_not_there_is_named() {
    let id = GrantId {
        holder: "Nobody".into(),
        policy: "p".into(),
        statement: "0".into(),
        action: "s3:GetObject".into(),
        resource: "*".into(),
    };
    let target = Target {
        account: "1".into(),
        region: "eu-west-1".into(),
        stack_name: "s".into(),
        base_url: String::new(),
    };
    let now = "2026-03-02T09:00:00Z".parse().unwrap();
    let error = Cloud::deploy_without(Stack::default(), target, now, 7, &id).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Nobody: the stack has no grant `Nobody/p/0 s3:GetObject *`"
    );
}

#[test]
fn what_is_not_understood_is_named() {
    for (from, to, named) in [
        (
            "Sid: Secret, Effect: Deny, Principal:",
            "Sid: Secret, Effect: Deny, NotPrincipal:",
            "`NotPrincipal`",
        ),
        (
            "Principal: {AWS: !GetAtt Role.Arn}",
            "Principal: {Federated: idp}",
            "`Federated: idp`",
        ),
        (
            "StringLike: {\"kms:ViaService\"",
            "DateLessThan: {\"kms:ViaService\"",
            "`DateLessThan`",
        ),
        ("\"kms:ViaService\"", "\"kms:KeyOrigin\"", "`kms:KeyOrigin`"),
        (
            "SSEAlgorithm: \"aws:kms\"",
            "SSEAlgorithm: \"aws:kms:dsse\"",
            "aws:kms:dsse",
        ),
        (
            "service-role/AWSLambdaBasicExecutionRole",
            "AdministratorAccess",
            "AdministratorAccess",
        ),
        ("EnableKeyRotation: true", "MultiRegion: true", "MultiRegion"),
    ] {
        let template = STACK.replacen(from, to, 1);
        assert_ne!(template, STACK, "{from}");
        let error = deploy_strictly(&template).unwrap_err().to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn the_keys_of_services_let_the_account_in_and_other_services_not() {
    let template = STACK
        .replace("KMSMasterKeyID: alias/all", "KMSMasterKeyID: alias/aws/s3")
        .replace(
            "TopicName: told, KmsMasterKeyId: !GetAtt Key.Arn",
            "TopicName: told, KmsMasterKeyId: alias/aws/sns",
        );
    let body = json!({"Bucket": "things", "Key": "out/a", "Body": "YQ=="});
    let publish = json!({"TopicArn": "arn:aws:sns:eu-west-1:123456789012:told", "Message": "m"});
    let mut cloud = deploy_without(&template, "Role/look/Key kms:GenerateDataKey");
    cloud.call(&look(), Service::S3, "PutObject", &body).unwrap();
    cloud.call(&look(), Service::Sns, "Publish", &publish).unwrap();
    invoked(&mut cloud);
    assert_eq!(does(&mut cloud, Deed::Alarm), (0, 0, 0));
    let refused = "kms:GenerateDataKey arn:aws:kms:eu-west-1:123456789012:alias/aws/sns";
    assert_eq!(refusals(&cloud), [refused]);
}

#[test]
fn the_url_of_an_alias_needs_the_aliass_permissions() {
    let alias = "
  Version: {Type: AWS::Lambda::Version, Properties: {FunctionName: !Ref Look}}
  Live: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref Look, FunctionVersion: !GetAtt Version.Version, Name: live}}
  LiveUrl: {Type: AWS::Lambda::Url, DependsOn: Live, Properties: {TargetFunctionArn: !Ref Look, Qualifier: !Select [7, !Split [':', !Ref Live]], AuthType: NONE}}
";
    let of_alias = format!("{STACK}{alias}");
    let mut cloud = deploy_strictly(&of_alias).unwrap();
    assert!(cloud.invoke_url("look", json!({})).is_ok());
    assert!(cloud.invoke_url("look:live", json!({})).is_err());
    let both = of_alias.replace(
        "FunctionName: !Ref Look, Principal: \"*\"",
        "FunctionName: \"look:live\", Principal: \"*\"",
    );
    let mut cloud = deploy_strictly(&both).unwrap();
    assert!(cloud.invoke_url("look", json!({})).is_err());
    assert!(cloud.invoke_url("look:live", json!({})).is_ok());
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    /// A stack of one role with these statements.
    fn stack(statements: &[(bool, Vec<&str>, Vec<&str>)]) -> Stack {
        let statements = statements.iter().map(|(allow, actions, resources)| {
            json!({"Effect": if *allow { "Allow" } else { "Deny" }, "Action": actions, "Resource": resources})
        });
        let policy = json!({"PolicyName": "p", "PolicyDocument": {"Statement": statements.collect::<Vec<_>>()}});
        let role = Resource {
            properties: json!({"RoleName": "look-role", "AssumeRolePolicyDocument": {"Statement": []}, "Policies": [policy]}),
            ..resource()
        };
        Stack {
            resources: vec![role],
            ..Stack::default()
        }
    }

    fn target() -> Target {
        Target {
            account: "123456789012".into(),
            region: "eu-west-1".into(),
            stack_name: "s".into(),
            base_url: String::new(),
        }
    }

    proptest! {
        /// A grant is needed if, and only if, what was allowed is refused without it.
        #[test]
        fn what_is_needed_is_what_is_missed(
            statements in proptest::collection::vec(
                (
                    proptest::bool::weighted(0.8),
                    proptest::sample::subsequence(vec!["s3:GetObject", "s3:Get*", "s3:PutObject", "*"], 1..=2),
                    proptest::sample::subsequence(vec!["arn:aws:s3:::b/a", "arn:aws:s3:::b/*", "*"], 1..=2),
                ),
                1..4,
            ),
            action in proptest::sample::select(vec!["s3:GetObject", "s3:PutObject"]),
            key in proptest::sample::select(vec!["a", "c"]),
        ) {
            let ask = Ask::object(action, "b", key);
            let now = "2026-03-02T09:00:00Z".parse().unwrap();
            let stack = stack(&statements);
            let mut whole = Cloud::deploy(stack.clone(), target(), now, 7).unwrap();
            let allowed = as_caller(&mut whole, &look(), &ask).is_ok();
            prop_assert_eq!(whole.denials().is_empty(), allowed);
            for grant in whole.grants() {
                let mut without = Cloud::deploy_without(stack.clone(), target(), now, 7, &grant.id).unwrap();
                let still = as_caller(&mut without, &look(), &ask).is_ok();
                if grant.allows {
                    prop_assert_eq!(grant.needed, allowed && !still, "{}", grant.id);
                    prop_assert!(grant.used || !grant.needed);
                } else {
                    prop_assert!(!grant.needed);
                    prop_assert!(still || !allowed, "what denies less allows no less");
                }
            }
        }
    }
}
