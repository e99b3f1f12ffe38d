//! The loader, on small templates.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Resource, Stack, Target, TemplateError};

fn target() -> Target {
    Target {
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        stack_name: "train".to_owned(),
        base_url: "http://127.0.0.1:4566".to_owned(),
    }
}

fn load_with(yaml: &str, parameters: &[(&str, &str)]) -> Result<Stack, TemplateError> {
    let parameters: BTreeMap<String, String> = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Stack::load(yaml, &parameters, &target())
}

fn load(yaml: &str) -> Stack {
    load_with(yaml, &[]).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

fn resource<'stack>(stack: &'stack Stack, logical_id: &str) -> &'stack Resource {
    stack
        .resources
        .iter()
        .find(|resource| resource.logical_id == logical_id)
        .unwrap_or_else(|| panic!("no {logical_id} in {:?}", ids(stack)))
}

fn ids(stack: &Stack) -> Vec<&str> {
    stack
        .resources
        .iter()
        .map(|resource| resource.logical_id.as_str())
        .collect()
}

/// Every function, over a template with a parameter of each type, two conditions and a few resources.
fn scaffold(value: &str) -> String {
    format!(
        "
Parameters:
  Text: {{Type: String, Default: hello}}
  Count: {{Type: Number, Default: 5}}
  Share: {{Type: Number, Default: 0.850}}
  List: {{Type: CommaDelimitedList, Default: 'a, b,c'}}
Conditions:
  Yes: !Equals [!Ref Text, hello]
  No: !Not [!Condition Yes]
Resources:
  Topic: {{Type: AWS::SNS::Topic, Properties: {{TopicName: news}}}}
  Absent: {{Type: AWS::SNS::Topic, Condition: No}}
  Subject:
    Type: AWS::SNS::Topic
    Properties:
      Value: {value}
"
    )
}

#[test]
fn functions_resolve() {
    for (value, expected) in [
        ("!Ref Text", json!("hello")),
        ("{Ref: Text}", json!("hello")),
        // A number alone in a Ref is its text, as the template has it.
        ("!Ref Count", json!("5")),
        ("!Ref Share", json!("0.850")),
        ("!Ref List", json!(["a", "b", "c"])),
        ("!Ref AWS::AccountId", json!("111122223333")),
        ("!Ref AWS::Region", json!("eu-central-1")),
        ("!Ref AWS::StackName", json!("train")),
        ("!Ref AWS::Partition", json!("aws")),
        ("!Ref AWS::URLSuffix", json!("amazonaws.com")),
        ("!Ref Topic", json!("arn:aws:sns:eu-central-1:111122223333:news")),
        ("!GetAtt Topic.TopicName", json!("news")),
        ("{Fn::GetAtt: [Topic, TopicName]}", json!("news")),
        ("{Fn::GetAtt: Topic.TopicName}", json!("news")),
        ("!GetAtt [Topic, TopicName]", json!("news")),
        ("!Sub '${Text}-${Count}'", json!("hello-5")),
        (
            "!Sub 'arn:${AWS::Partition}:x:${AWS::Region}:${AWS::AccountId}'",
            json!("arn:aws:x:eu-central-1:111122223333"),
        ),
        (
            "!Sub '${Topic.TopicName} ${Topic}'",
            json!("news arn:aws:sns:eu-central-1:111122223333:news"),
        ),
        (
            "!Sub '#{codepipeline.Id} ${!Literal} $x {y} $'",
            json!("#{codepipeline.Id} ${Literal} $x {y} $"),
        ),
        (
            "!Sub ['${a}/${Text}', {a: !Join ['+', !Ref List]}]",
            json!("a+b+c/hello"),
        ),
        ("{Fn::Sub: ['${Text}', {Text: own}]}", json!("own")),
        ("!Join ['', [a, 1, true, !Ref Text]]", json!("a1truehello")),
        ("{Fn::Join: [',', !Ref List]}", json!("a,b,c")),
        ("!Join ['-', [a, !Ref AWS::NoValue, b]]", json!("a-b")),
        ("!Select [1, !Ref List]", json!("b")),
        ("!Select ['0', [x, y]]", json!("x")),
        ("!Select [2, !Split ['/', a/b/c]]", json!("c")),
        ("!Split [',', 'a,,b']", json!(["a", "", "b"])),
        ("!If [Yes, one, two]", json!("one")),
        ("{Fn::If: [No, one, two]}", json!("two")),
        // The branch not taken may refer to what isn't there.
        ("!If [No, !Ref Absent, two]", json!("two")),
        (
            "{a: 1, b: !If [No, 1, !Ref AWS::NoValue], c: [1, !Ref AWS::NoValue]}",
            json!({"a": 1, "c": [1]}),
        ),
        // scalars
        ("[1, -2, 1.5, true, false, 'x']", json!([1, -2, 1.5, true, false, "x"])),
        (
            "[on, off, yes, no, Yes, 2012-10-17, 2012-10-17T00:00:00Z, 1.2.3]",
            json!([
                "on",
                "off",
                "yes",
                "no",
                "Yes",
                "2012-10-17",
                "2012-10-17T00:00:00Z",
                "1.2.3"
            ]),
        ),
        (
            "[0123, 1.10, '5', 'true', 0x1F, 1e3, 1_000]",
            json!(["0123", "1.10", "5", "true", "0x1F", "1e3", "1_000"]),
        ),
        ("!Sub '${Text}ö'", json!("helloö")),
        ("{ö: 1.50}", json!({"ö": "1.50"})),
        (
            "{Version: 2012-10-17, Condition: {StringEquals: {a: b}}}",
            json!({"Version": "2012-10-17", "Condition": {"StringEquals": {"a": "b"}}}),
        ),
    ] {
        let stack = load(&scaffold(value));
        assert_eq!(
            resource(&stack, "Subject").properties,
            json!({"Value": expected}),
            "{value}"
        );
    }
}

#[test]
fn a_function_that_cannot_resolve_says_where() {
    for (value, expected) in [
        (
            "!Ref Nothing",
            "Resources.Subject.Properties.Value: `Nothing` is neither a parameter nor a resource of this stack",
        ),
        (
            "[x, !Ref Absent]",
            "Resources.Subject.Properties.Value.1: `Absent` is neither a parameter nor a resource of this stack",
        ),
        (
            "!Sub '${Nothing}'",
            "Resources.Subject.Properties.Value: `Nothing` is neither a parameter nor a resource of this stack",
        ),
        (
            "!Sub '${List}'",
            "Resources.Subject.Properties.Value: Fn::Sub takes strings, and `List` is a list",
        ),
        (
            "!Sub '${Text'",
            "Resources.Subject.Properties.Value: Fn::Sub has a `${` without its `}`: `${Text`",
        ),
        (
            "!Sub [x]",
            "Resources.Subject.Properties.Value: Fn::Sub takes a string, or a list of a string and a map",
        ),
        // A topic has an ARN, but not by that name.
        (
            "!GetAtt Topic.Arn",
            "Resources.Subject.Properties.Value: Topic (AWS::SNS::Topic) has no attribute Arn; the local cloud knows: TopicArn, TopicName",
        ),
        (
            "!GetAtt Nothing.Arn",
            "Resources.Subject.Properties.Value: `Nothing` is neither a parameter nor a resource of this stack",
        ),
        (
            "!GetAtt Topic",
            "line 16: !GetAtt Topic has no attribute: RESOURCE.ATTRIBUTE",
        ),
        (
            "!If [Maybe, 1, 2]",
            "Resources.Subject.Properties.Value: there is no condition `Maybe`",
        ),
        (
            "!If [Yes, 1]",
            "Resources.Subject.Properties.Value: Fn::If takes a list of 3",
        ),
        (
            "!Select [3, !Ref List]",
            "Resources.Subject.Properties.Value: Fn::Select cannot select nonexistent value at index 3",
        ),
        (
            "!Join [',', x]",
            "Resources.Subject.Properties.Value: Fn::Join takes a list",
        ),
        (
            "!Join [',', [[x]]]",
            "Resources.Subject.Properties.Value: Fn::Join takes a list of strings",
        ),
        (
            "!Equals [a, b]",
            "Resources.Subject.Properties.Value: Fn::Equals is only for the Conditions section",
        ),
        (
            "!FindInMap [a, b, c]",
            "Resources.Subject.Properties.Value: the local cloud does not understand Fn::FindInMap",
        ),
        (
            "!ImportValue x",
            "Resources.Subject.Properties.Value: the local cloud does not understand Fn::ImportValue",
        ),
        (
            "!Ref AWS::NotificationARNs",
            "Resources.Subject.Properties.Value: the local cloud does not understand the pseudo parameter AWS::NotificationARNs",
        ),
        (
            "{a: {Ref: Text, b: 1}}",
            "Resources.Subject.Properties.Value.a: Ref must stand alone",
        ),
        (
            "{a: null}",
            "Resources.Subject.Properties.Value.a: 'null' values are not allowed in templates",
        ),
        (
            "",
            "Resources.Subject.Properties.Value: 'null' values are not allowed in templates",
        ),
        (
            "!Ref Subject",
            "Resources.Subject: Circular dependency between resources: [Subject]",
        ),
        ("{a: 1, a: 2}", "line 16, column 21: duplicated key in mapping"),
        (
            "{<<: {a: 1}}",
            "line 16: the local cloud does not understand the YAML merge key `<<`",
        ),
    ] {
        let error = load_with(&scaffold(value), &[]).unwrap_err();
        assert_eq!(error.to_string(), expected, "{value}");
    }
}

#[test]
fn conditions_are_decided() {
    for (condition, expected) in [
        ("!Equals [a, a]", true),
        ("!Equals [!Ref Stage, prod]", false),
        ("!Equals [1, '1']", true),
        ("!Not [!Equals [!Ref Stage, prod]]", true),
        ("!And [!Equals [a, a], !Equals [a, b]]", false),
        ("!And [!Equals [a, a], !Condition Base]", true),
        ("!Or [!Equals [a, b], !Condition Base]", true),
        ("{Fn::Or: [!Equals [a, b], {Condition: Later}]}", false),
        (
            "!Equals [!Join ['', [!Ref Stage, !Ref AWS::Region]], deveu-central-1]",
            true,
        ),
        ("!Equals [!Select [0, !Ref Emails], '']", true),
    ] {
        let stack = load(&format!(
            "
Parameters:
  Stage: {{Type: String, Default: dev}}
  Emails: {{Type: CommaDelimitedList, Default: ''}}
Conditions:
  Base: !Equals [!Ref Stage, dev]
  Later: !Not [!Condition Base]
  Deploy: {condition}
Resources:
  Always: {{Type: AWS::SNS::Topic, DependsOn: Sometimes}}
  Sometimes: {{Type: AWS::SNS::Topic, Condition: Deploy}}
Outputs:
  Topic: {{Condition: Deploy, Value: !GetAtt Sometimes.TopicName}}
"
        ));
        let topics: &[&str] = if expected {
            &["Sometimes", "Always"]
        } else {
            &["Always"]
        };
        assert_eq!(ids(&stack), topics, "{condition}");
        assert_eq!(stack.outputs.contains_key("Topic"), expected, "{condition}");
    }
    for (conditions, expected) in [
        (
            "{A: !Condition B, B: !Not [!Condition A]}",
            "Conditions.B: conditions in a circle: A, B, A",
        ),
        ("{A: !Condition B}", "Conditions.A: there is no condition `B`"),
        (
            "{A: !Equals [!Ref T, x]}",
            "Conditions.A: `T` is neither a parameter nor a resource of this stack",
        ),
        (
            "{A: !Or [!Equals [a, a]]}",
            "Conditions.A: Fn::Or takes a list of 2 to 10",
        ),
        (
            "{A: x}",
            "Conditions.A: a condition is Fn::Equals, Fn::Not, Fn::And, Fn::Or or Condition",
        ),
    ] {
        let template = format!("{{Conditions: {conditions}, Resources: {{T: {{Type: AWS::SNS::Topic}}}}}}");
        assert_eq!(
            load_with(&template, &[]).unwrap_err().to_string(),
            expected,
            "{conditions}"
        );
    }
}

#[test]
fn parameters_are_checked() {
    const TEMPLATE: &str = "
Parameters:
  Model: {Type: String, AllowedPattern: '[a-z][a-z0-9-]*', MinLength: 2, MaxLength: 5, ConstraintDescription: a short name}
  Mode: {Type: String, Default: one, AllowedValues: [one, two, 3]}
  Share: {Type: Number, Default: 0.5, MinValue: 0, MaxValue: 1}
  Mails: {Type: CommaDelimitedList, Default: a@x, AllowedPattern: '.+@.+', NoEcho: true, Description: who}
Resources:
  Topic: {Type: AWS::SNS::Topic}
";
    let stack = load_with(TEMPLATE, &[("Model", "churn"), ("Mode", "3"), ("Mails", "a@b, c@d")]).unwrap();
    let expected = [
        ("Mails", "a@b, c@d"),
        ("Mode", "3"),
        ("Model", "churn"),
        ("Share", "0.5"),
    ];
    let found: Vec<(&str, &str)> = stack
        .parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(found, expected);
    for (parameters, expected) in [
        (
            &[][..],
            "template parameter `Model`: must have a value, because it has no default (a short name)",
        ),
        (
            &[("Modle", "x")],
            "template parameter `Modle`: is not in the template, which has Mails, Mode, Model, Share",
        ),
        (
            &[("Model", "Churn")],
            "template parameter `Model`: must match the pattern [a-z][a-z0-9-]*, and is `Churn` (a short name)",
        ),
        (
            &[("Model", "ab\n")],
            "template parameter `Model`: must match the pattern [a-z][a-z0-9-]*, and is `ab\n` (a short name)",
        ),
        (
            &[("Model", "a")],
            "template parameter `Model`: must have at least 2 characters, and has 1 (a short name)",
        ),
        (
            &[("Model", "abcdef")],
            "template parameter `Model`: must have at most 5 characters, and has 6 (a short name)",
        ),
        (
            &[("Model", "ab"), ("Mode", "four")],
            "template parameter `Mode`: must be one of one, two, 3, and is `four`",
        ),
        (
            &[("Model", "ab"), ("Share", "much")],
            "template parameter `Share`: must be a number, and is `much`",
        ),
        (
            &[("Model", "ab"), ("Share", "nan")],
            "template parameter `Share`: must be a number, and is `nan`",
        ),
        (
            &[("Model", "ab"), ("Share", "1.1")],
            "template parameter `Share`: must be at most 1, and is 1.1",
        ),
        (
            &[("Model", "ab"), ("Share", "-1")],
            "template parameter `Share`: must be at least 0, and is -1",
        ),
        (
            &[("Model", "ab"), ("Mails", "a@x,b")],
            "template parameter `Mails`: must match the pattern .+@.+, and is `b`",
        ),
    ] {
        assert_eq!(
            load_with(TEMPLATE, parameters).unwrap_err().to_string(),
            expected,
            "{parameters:?}"
        );
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    for (template, expected) in [
        (
            "a: b: c",
            "line 1, column 5: mapping values are not allowed in this context",
        ),
        ("[]", "template: must be a map"),
        ("--- {}\n--- {}", "template: has 2 YAML documents, and should have one"),
        ("{}", "Resources: must be a map"),
        ("Resources: {}", "Resources: must have at least one resource"),
        ("Rules: {}", "Rules: the local cloud does not understand this section"),
        (
            "Mappings: {}",
            "Mappings: the local cloud does not understand this section",
        ),
        (
            "AWSTemplateFormatVersion: 2010-09-10",
            "AWSTemplateFormatVersion: must be 2010-09-09",
        ),
        (
            "Transform: AWS::LanguageExtensions",
            "Transform: the local cloud does not understand any transform but AWS::Serverless-2016-10-31",
        ),
        (
            "Globals: {Api: {}}",
            "Globals: the local cloud does not understand globals for Api",
        ),
        (
            "Resources: {Q: {Type: AWS::SQS::Queue, UpdatePolicy: {AutoScalingReplacingUpdate: {}}}}",
            "Resources.Q.UpdatePolicy: the local cloud does not understand any policy but an alias's CodeDeployLambdaAliasUpdate",
        ),
        (
            "Resources: {A: {Type: AWS::Lambda::Alias, UpdatePolicy: {CodeDeployLambdaAliasUpdate: {}, EnableVersionUpgrade: true}}}",
            "Resources.A.UpdatePolicy: the local cloud does not understand any policy but an alias's CodeDeployLambdaAliasUpdate",
        ),
        (
            "Resources: {A: {Type: AWS::Lambda::Alias, UpdatePolicy: []}}",
            "Resources.A.UpdatePolicy: must be a map",
        ),
        (
            "Parameters: {A: {Type: 'AWS::SSM::Parameter::Value<String>'}}",
            "Parameters.A.Type: the local cloud does not understand the parameter type AWS::SSM::Parameter::Value<String>",
        ),
        (
            "Parameters: {A: {Type: String, AllowedPattern: '(?=x)', Default: x}}",
            "Parameters.A.AllowedPattern: the local cloud does not understand the regular expression `(?=x)`",
        ),
        (
            "Parameters: {A: {Default: x}}",
            "Parameters.A: a parameter must have a Type",
        ),
        (
            "Parameters: {A: {Type: String, Defualt: x}}",
            "Parameters.A: invalid property Defualt",
        ),
        ("Resources: {A: {Properties: {}}}", "Resources.A: must have a Type"),
        (
            "Resources: {A-B: {Type: AWS::SNS::Topic}}",
            "Resources.A-B: a logical id has letters and digits only",
        ),
        (
            "Resources: {A: {Type: AWS::EC2::Instance}}",
            "Resources.A: the local cloud does not understand the resource type AWS::EC2::Instance",
        ),
        (
            "Resources: {A: {Type: AWS::Serverless::Api}}",
            "Resources.A: the local cloud does not understand the resource type AWS::Serverless::Api",
        ),
        (
            "Resources: {A: {Type: AWS::Serverless::Function}}",
            "Resources.A: AWS::Serverless::Function needs Transform: AWS::Serverless-2016-10-31",
        ),
        (
            "Resources: {A: {Type: AWS::SNS::Topic, CreationPolicy: {}}}",
            "Resources.A: the local cloud does not understand the resource attribute CreationPolicy",
        ),
        (
            "Resources: {A: {Type: AWS::SNS::Topic, DependsOn: B}}",
            "Resources.A: DependsOn names `B`, which is no resource of this stack",
        ),
        (
            "Resources: {A: {Type: AWS::SNS::Topic, Condition: B}}",
            "Resources.A: there is no condition `B`",
        ),
        (
            "Resources: {A: {Type: AWS::KMS::Alias}}",
            "Resources.A.Properties: the property AliasName is required",
        ),
        (
            "Resources: {A: {Type: AWS::SNS::Topic, Properties: {TopicName: [x]}}}",
            "Resources.A.Properties: the property TopicName must be a string",
        ),
        (
            "Resources: {A: {Type: AWS::SQS::Queue, Properties: {QueueName: ''}}}",
            "Resources.A.Properties: the property QueueName must not be empty",
        ),
        (
            "Resources: {A: {Type: AWS::SNS::Topic, DependsOn: [B]}, B: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Ref C}}, C: {Type: AWS::SNS::Topic, Properties: {DisplayName: !Sub '${A.TopicName}'}}}",
            "Resources.A: Circular dependency between resources: [A, B, C]",
        ),
        (
            "Resources: {A: {Type: AWS::SNS::Topic}}\nOutputs: {O: {Value: [x]}}",
            "Outputs.O: must be a string",
        ),
        (
            "Resources: {A: {Type: AWS::SNS::Topic}}\nOutputs: {O: {Valeu: x}}",
            "Outputs.O: the local cloud does not understand the output attribute Valeu",
        ),
    ] {
        assert_eq!(
            load_with(template, &[]).unwrap_err().to_string(),
            expected,
            "{template}"
        );
    }
}

#[test]
fn every_type_has_its_identity() {
    // What Ref is, what GetAtt gives, and the ARN; `*` stands for what is made from a hash.
    for (kind, properties, reference, attributes, arn) in [
        (
            "AWS::Lambda::Function",
            "{FunctionName: f}",
            "f",
            "Arn=arn:aws:lambda:R:A:function:f",
            "arn:aws:lambda:R:A:function:f",
        ),
        (
            "AWS::Lambda::Version",
            "{FunctionName: f}",
            "arn:aws:lambda:R:A:function:f:1",
            "FunctionArn=arn:aws:lambda:R:A:function:f:1 Version=1",
            "arn:aws:lambda:R:A:function:f:1",
        ),
        (
            "AWS::Lambda::Alias",
            "{FunctionName: 'arn:aws:lambda:R:A:function:f', Name: live}",
            "arn:aws:lambda:R:A:function:f:live",
            "AliasArn=arn:aws:lambda:R:A:function:f:live",
            "arn:aws:lambda:R:A:function:f:live",
        ),
        (
            "AWS::Lambda::Permission",
            "{}",
            "train-X-*",
            "Id=train-X-*",
            "train-X-*",
        ),
        (
            "AWS::Lambda::EventInvokeConfig",
            "{FunctionName: f, Qualifier: $LATEST}",
            "f|$LATEST",
            "",
            "f|$LATEST",
        ),
        (
            "AWS::Lambda::Url",
            "{TargetFunctionArn: 'arn:aws:lambda:R:A:function:f:live'}",
            "arn:aws:lambda:R:A:function:f:live",
            "FunctionArn=arn:aws:lambda:R:A:function:f:live FunctionUrl=http://127.0.0.1:4566/function-url/f:live/",
            "arn:aws:lambda:R:A:function:f:live",
        ),
        (
            "AWS::Lambda::Url",
            "{TargetFunctionArn: f, Qualifier: live}",
            "arn:aws:lambda:R:A:function:f:live",
            "FunctionArn=arn:aws:lambda:R:A:function:f:live FunctionUrl=http://127.0.0.1:4566/function-url/f:live/",
            "arn:aws:lambda:R:A:function:f:live",
        ),
        (
            "AWS::Lambda::Url",
            "{TargetFunctionArn: f}",
            "arn:aws:lambda:R:A:function:f",
            "FunctionArn=arn:aws:lambda:R:A:function:f FunctionUrl=http://127.0.0.1:4566/function-url/f/",
            "arn:aws:lambda:R:A:function:f",
        ),
        (
            "AWS::CodeDeploy::Application",
            "{ApplicationName: a}",
            "a",
            "",
            "arn:aws:codedeploy:R:A:application:a",
        ),
        (
            "AWS::CodeDeploy::DeploymentGroup",
            "{ApplicationName: a, DeploymentGroupName: g}",
            "g",
            "",
            "arn:aws:codedeploy:R:A:deploymentgroup:a/g",
        ),
        (
            "AWS::IAM::Role",
            "{RoleName: r, Path: /a/}",
            "r",
            "Arn=arn:aws:iam::A:role/a/r RoleId=AROA*",
            "arn:aws:iam::A:role/a/r",
        ),
        (
            "AWS::IAM::Policy",
            "{PolicyName: p}",
            "train-X-*",
            "Id=train-X-*",
            "train-X-*",
        ),
        (
            "AWS::IAM::ManagedPolicy",
            "{ManagedPolicyName: p}",
            "arn:aws:iam::A:policy/p",
            "PolicyArn=arn:aws:iam::A:policy/p PolicyId=ANPA*",
            "arn:aws:iam::A:policy/p",
        ),
        (
            "AWS::Events::Rule",
            "{Name: n}",
            "n",
            "Arn=arn:aws:events:R:A:rule/n",
            "arn:aws:events:R:A:rule/n",
        ),
        (
            "AWS::Events::Rule",
            "{Name: n, EventBusName: default}",
            "n",
            "Arn=arn:aws:events:R:A:rule/n",
            "arn:aws:events:R:A:rule/n",
        ),
        (
            "AWS::Events::Rule",
            "{Name: n, EventBusName: b}",
            "b|n",
            "Arn=arn:aws:events:R:A:rule/b/n",
            "arn:aws:events:R:A:rule/b/n",
        ),
        (
            "AWS::Scheduler::Schedule",
            "{Name: n}",
            "n",
            "Arn=arn:aws:scheduler:R:A:schedule/default/n",
            "arn:aws:scheduler:R:A:schedule/default/n",
        ),
        (
            "AWS::SNS::Topic",
            "{TopicName: n}",
            "arn:aws:sns:R:A:n",
            "TopicArn=arn:aws:sns:R:A:n TopicName=n",
            "arn:aws:sns:R:A:n",
        ),
        ("AWS::SNS::TopicPolicy", "{}", "train-X-*", "Id=train-X-*", "train-X-*"),
        (
            "AWS::SNS::Subscription",
            "{TopicArn: 'arn:aws:sns:R:A:n'}",
            "arn:aws:sns:R:A:n:*",
            "Arn=arn:aws:sns:R:A:n:*",
            "arn:aws:sns:R:A:n:*",
        ),
        (
            "AWS::SQS::Queue",
            "{QueueName: q}",
            "http://127.0.0.1:4566/A/q",
            "Arn=arn:aws:sqs:R:A:q QueueName=q QueueUrl=http://127.0.0.1:4566/A/q",
            "arn:aws:sqs:R:A:q",
        ),
        (
            "AWS::SQS::Queue",
            "{FifoQueue: true}",
            "http://127.0.0.1:4566/A/train-X-*.fifo",
            "Arn=arn:aws:sqs:R:A:train-X-*.fifo QueueName=train-X-*.fifo QueueUrl=http://127.0.0.1:4566/A/train-X-*.fifo",
            "arn:aws:sqs:R:A:train-X-*.fifo",
        ),
        ("AWS::SQS::QueuePolicy", "{}", "train-X-*", "Id=train-X-*", "train-X-*"),
        (
            "AWS::S3::Bucket",
            "{BucketName: b}",
            "b",
            "Arn=arn:aws:s3:::b DomainName=b.s3.amazonaws.com RegionalDomainName=b.s3.R.amazonaws.com",
            "arn:aws:s3:::b",
        ),
        ("AWS::S3::BucketPolicy", "{Bucket: b}", "b", "", "b"),
        (
            "AWS::KMS::Key",
            "{}",
            "*",
            "Arn=arn:aws:kms:R:A:key/* KeyId=*",
            "arn:aws:kms:R:A:key/*",
        ),
        (
            "AWS::KMS::Alias",
            "{AliasName: alias/k}",
            "alias/k",
            "",
            "arn:aws:kms:R:A:alias/k",
        ),
        (
            "AWS::CodeCommit::Repository",
            "{RepositoryName: r}",
            "*",
            "Arn=arn:aws:codecommit:R:A:r CloneUrlHttp=http://127.0.0.1:4566/git/r Name=r",
            "arn:aws:codecommit:R:A:r",
        ),
        (
            "AWS::CodeBuild::Project",
            "{Name: p}",
            "p",
            "Arn=arn:aws:codebuild:R:A:project/p",
            "arn:aws:codebuild:R:A:project/p",
        ),
        (
            "AWS::CodePipeline::Pipeline",
            "{Name: p}",
            "p",
            "Version=1",
            "arn:aws:codepipeline:R:A:p",
        ),
        (
            "AWS::SageMaker::ModelPackageGroup",
            "{ModelPackageGroupName: g}",
            "arn:aws:sagemaker:R:A:model-package-group/g",
            "ModelPackageGroupArn=arn:aws:sagemaker:R:A:model-package-group/g",
            "arn:aws:sagemaker:R:A:model-package-group/g",
        ),
        (
            "AWS::CloudWatch::Alarm",
            "{AlarmName: a}",
            "a",
            "Arn=arn:aws:cloudwatch:R:A:alarm:a",
            "arn:aws:cloudwatch:R:A:alarm:a",
        ),
        (
            "AWS::CloudWatch::CompositeAlarm",
            "{}",
            "train-X-*",
            "Arn=arn:aws:cloudwatch:R:A:alarm:train-X-*",
            "arn:aws:cloudwatch:R:A:alarm:train-X-*",
        ),
        (
            "AWS::CloudWatch::Dashboard",
            "{DashboardName: d}",
            "d",
            "",
            "arn:aws:cloudwatch::A:dashboard/d",
        ),
        (
            "AWS::Logs::LogGroup",
            "{LogGroupName: /aws/lambda/f}",
            "/aws/lambda/f",
            "Arn=arn:aws:logs:R:A:log-group:/aws/lambda/f:*",
            "arn:aws:logs:R:A:log-group:/aws/lambda/f:*",
        ),
    ] {
        let exact = |text: &str| {
            text.replace(":R:", ":eu-central-1:")
                .replace(".R.", ".eu-central-1.")
                .replace(":A:", ":111122223333:")
                .replace("/A/", "/111122223333/")
        };
        let properties = exact(properties);
        let stack = load(&format!("Resources: {{X: {{Type: {kind}, Properties: {properties}}}}}"));
        let found = resource(&stack, "X");
        let fits = |found: &str, expected: &str| {
            let expected = exact(expected);
            // The log group's ARN ends in a star of its own.
            match expected.split_once('*') {
                Some((before, after)) => {
                    found.len() >= before.len() + after.len() && found.starts_with(before) && found.ends_with(after)
                }
                None => found == expected,
            }
        };
        assert!(fits(&found.physical_id, reference), "{kind}: {}", found.physical_id);
        assert!(fits(found.arn(), arn), "{kind}: {}", found.arn());
        let expected: BTreeMap<&str, &str> = attributes
            .split_terminator(' ')
            .map(|pair| pair.split_once('=').unwrap())
            .collect();
        for (attribute, value) in &expected {
            assert!(
                fits(&found.attributes[*attribute], value),
                "{kind}.{attribute}: {}",
                found.attributes[*attribute]
            );
        }
        let known: Vec<&str> = found
            .attributes
            .keys()
            .map(String::as_str)
            .filter(|name| *name != "Arn")
            .collect();
        let wanted: Vec<&str> = expected.keys().copied().filter(|name| *name != "Arn").collect();
        assert_eq!(known, wanted, "{kind}");
    }
}

#[test]
fn generated_names_are_stable_and_fit() {
    let long = "A".repeat(90);
    let template = |kind: &str, id: &str| format!("Resources: {{{id}: {{Type: {kind}}}}}");
    for (kind, id, most) in [
        ("AWS::Lambda::Function", "Handler", 64),
        ("AWS::Lambda::Function", long.as_str(), 64),
        ("AWS::IAM::Role", long.as_str(), 64),
        ("AWS::S3::Bucket", "DataBucket", 63),
        ("AWS::S3::Bucket", long.as_str(), 63),
    ] {
        let name = load(&template(kind, id)).resources.remove(0).physical_id;
        assert_eq!(name, load(&template(kind, id)).resources.remove(0).physical_id);
        assert!(name.len() <= most, "{name}");
        assert!(name.starts_with("train-"), "{name}");
        let hash = name.rsplit('-').next().unwrap();
        assert_eq!(hash.len(), 12, "{name}");
        if kind == "AWS::S3::Bucket" {
            assert_eq!(name, name.to_lowercase());
        } else {
            assert!(
                hash.chars()
                    .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit()),
                "{name}"
            );
        }
    }
    // Another resource, another name; and a UUID looks like one.
    let stack = load("Resources: {A: {Type: AWS::KMS::Key}, B: {Type: AWS::KMS::Key}}");
    let (one, other) = (&stack.resources[0].physical_id, &stack.resources[1].physical_id);
    assert_ne!(one, other);
    assert!(
        regex::Regex::new("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
            .unwrap()
            .is_match(one),
        "{one}"
    );
}

#[test]
fn resources_come_after_what_they_refer_to() {
    let stack = load(
        "
Resources:
  A: {Type: AWS::SNS::TopicPolicy, Properties: {Topics: [!Ref Z], PolicyDocument: {Resource: !Sub '${Q.Arn}'}}}
  B: {Type: AWS::SNS::Topic, DependsOn: [C, A]}
  C: {Type: AWS::SNS::Topic, Properties: {DisplayName: !GetAtt Q.QueueName}, DeletionPolicy: Retain, UpdateReplacePolicy: Retain}
  Q: {Type: AWS::SQS::Queue, Metadata: {a: null}}
  Z: {Type: AWS::SNS::Topic}
Outputs:
  Queue: {Value: !Ref Q, Description: its URL, Export: {Name: !Sub '${AWS::StackName}-q'}}
  Number: {Value: 5}
",
    );
    assert_eq!(ids(&stack), ["Q", "Z", "A", "C", "B"]);
    let queue = &resource(&stack, "Q").physical_id;
    assert_eq!(stack.outputs["Queue"], *queue);
    assert_eq!(stack.outputs["Number"], "5");
}

const SAM: &str = "
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Description: A train.
Metadata: {cfn-lint: {config: null}}
Globals:
  Function:
    Runtime: provided.al2023
    Handler: bootstrap
    Architectures: [arm64]
    MemorySize: 128
    Timeout: 30
    Tags: {team: ml}
    Environment: {Variables: {RUST_LOG: info, STAGE: dev}}
Conditions:
  On: !Equals [a, a]
Resources:
  Queue: {Type: AWS::SQS::Queue}
  Topic: {Type: AWS::SNS::Topic}
  Train:
    Type: AWS::Serverless::Function
    Condition: On
    DependsOn: Topic
    Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: start-training}}
    Properties:
      CodeUri: ..
      FunctionName: !Sub '${AWS::StackName}-start'
      Timeout: 60
      Description: Starts.
      Architectures: [x86_64]
      Tracing: Active
      LoggingConfig: {LogFormat: JSON}
      Environment: {Variables: {STAGE: prod, TOPIC: !Ref Topic}}
      Policies:
        - AWSLambdaVPCAccessExecutionRole
        - AmazonS3ReadOnlyAccess
        - !Sub 'arn:${AWS::Partition}:iam::aws:policy/X'
        - !If [On, !Ref AWS::NoValue, arn:aws:iam::aws:policy/Y]
        - Version: 2012-10-17
          Statement: {Effect: Allow, Action: 'sns:Publish', Resource: !Ref Topic}
        - !If [On, {Statement: []}, !Ref AWS::NoValue]
      DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt Queue.Arn}
      EventInvokeConfig:
        MaximumRetryAttempts: 1
        MaximumEventAgeInSeconds: 600
        DestinationConfig: {OnFailure: {Type: SNS, Destination: !Ref Topic}}
      FunctionUrlConfig: {AuthType: NONE, InvokeMode: BUFFERED}
      Events:
        Changed:
          Type: EventBridgeRule
          Properties:
            Pattern: {source: [aws.sagemaker], detail: {n: [{numeric: ['>', 0.85]}]}}
            Target: {Id: mine}
            RetryPolicy: {MaximumRetryAttempts: 3}
            DeadLetterConfig: {Arn: !GetAtt Queue.Arn}
            InputPath: $.detail
            State: DISABLED
        Told: {Type: SNS, Properties: {Topic: !Ref Topic, FilterPolicy: {kind: [a]}, FilterPolicyScope: MessageBody}}
        Nightly:
          Type: ScheduleV2
          Properties: {ScheduleExpression: cron(0 3 * * ? *), ScheduleExpressionTimezone: Europe/Berlin, Input: '{}', RetryPolicy: {MaximumRetryAttempts: 2}}
  Lean:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/lean/
      Role: arn:aws:iam::111122223333:role/given
      Events:
        Any: {Type: CloudWatchEvent, Properties: {Pattern: {source: [x]}, RuleName: any}}
        Later: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 hour), RoleArn: arn:r, OmitName: true, FlexibleTimeWindow: {Mode: FLEXIBLE, MaximumWindowInMinutes: 5}}}
Outputs:
  Url: {Value: !GetAtt TrainUrl.FunctionUrl}
  Role: {Value: !Ref LeanAny}
";

#[test]
fn sam_functions_expand() {
    let stack = load(SAM);
    let mut found: Vec<(&str, &str)> = stack
        .resources
        .iter()
        .map(|one| (one.logical_id.as_str(), one.kind.as_str()))
        .collect();
    found.sort_unstable();
    let expected = [
        ("Lean", "AWS::Lambda::Function"),
        ("LeanAny", "AWS::Events::Rule"),
        ("LeanAnyPermission", "AWS::Lambda::Permission"),
        ("LeanLater", "AWS::Scheduler::Schedule"),
        ("Queue", "AWS::SQS::Queue"),
        ("Topic", "AWS::SNS::Topic"),
        ("Train", "AWS::Lambda::Function"),
        ("TrainChanged", "AWS::Events::Rule"),
        ("TrainChangedPermission", "AWS::Lambda::Permission"),
        ("TrainEventInvokeConfig", "AWS::Lambda::EventInvokeConfig"),
        ("TrainNightly", "AWS::Scheduler::Schedule"),
        ("TrainNightlyRole", "AWS::IAM::Role"),
        ("TrainRole", "AWS::IAM::Role"),
        ("TrainTold", "AWS::SNS::Subscription"),
        ("TrainToldPermission", "AWS::Lambda::Permission"),
        ("TrainURLInvokeAllowPublicAccess", "AWS::Lambda::Permission"),
        ("TrainUrl", "AWS::Lambda::Url"),
        ("TrainUrlPublicPermissions", "AWS::Lambda::Permission"),
    ];
    assert_eq!(found, expected);
    assert_eq!(stack.outputs["Url"], "http://127.0.0.1:4566/function-url/train-start/");
    assert_eq!(stack.outputs["Role"], "any");

    let queue = resource(&stack, "Queue").arn();
    let topic = resource(&stack, "Topic").arn();
    let train = "arn:aws:lambda:eu-central-1:111122223333:function:train-start";
    let role = resource(&stack, "TrainRole");
    let tags = json!([{"Key": "lambda:createdBy", "Value": "SAM"}, {"Key": "team", "Value": "ml"}]);
    let assumed_by = |service: &str| json!({"Version": "2012-10-17", "Statement": [{"Action": ["sts:AssumeRole"], "Effect": "Allow", "Principal": {"Service": [service]}}]});
    let allow = |name: &str, action: &str, on: &str| json!({"PolicyName": name, "PolicyDocument": {"Version": "2012-10-17", "Statement": [{"Action": action, "Effect": "Allow", "Resource": on}]}});
    for (logical_id, expected) in [
        (
            "Train",
            json!({
                "FunctionName": "train-start", "Runtime": "provided.al2023", "Handler": "bootstrap", "MemorySize": 128, "Timeout": 60,
                "Description": "Starts.", "Architectures": ["arm64", "x86_64"],
                "Environment": {"Variables": {"RUST_LOG": "info", "STAGE": "prod", "TOPIC": topic}},
                "Code": {"Binary": "start-training", "CodeUri": ".."}, "Tags": tags, "TracingConfig": {"Mode": "Active"},
                "LoggingConfig": {"LogFormat": "JSON"}, "DeadLetterConfig": {"TargetArn": queue}, "Role": role.arn(),
            }),
        ),
        (
            "TrainRole",
            json!({
                "AssumeRolePolicyDocument": assumed_by("lambda.amazonaws.com"),
                "ManagedPolicyArns": [
                    "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",
                    "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess",
                    "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole",
                    "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess",
                    "arn:aws:iam::aws:policy/X",
                ],
                "Policies": [
                    {"PolicyName": "TrainRolePolicy4", "PolicyDocument": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sns:Publish", "Resource": topic}}},
                    {"PolicyName": "TrainRolePolicy5", "PolicyDocument": {"Statement": []}},
                    allow("TrainDeadLetterQueuePolicy", "sqs:SendMessage", queue),
                    allow("TrainEventInvokeConfigOnFailurePolicy", "sns:Publish", topic),
                ],
                "Tags": tags,
            }),
        ),
        (
            "TrainEventInvokeConfig",
            json!({
                "FunctionName": "train-start", "Qualifier": "$LATEST", "MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 600,
                "DestinationConfig": {"OnFailure": {"Destination": topic}},
            }),
        ),
        (
            "TrainUrl",
            json!({"TargetFunctionArn": "train-start", "AuthType": "NONE", "InvokeMode": "BUFFERED"}),
        ),
        (
            "TrainUrlPublicPermissions",
            json!({"Action": "lambda:InvokeFunctionUrl", "FunctionName": "train-start", "FunctionUrlAuthType": "NONE", "Principal": "*"}),
        ),
        (
            "TrainURLInvokeAllowPublicAccess",
            json!({"Action": "lambda:InvokeFunction", "FunctionName": "train-start", "InvokedViaFunctionUrl": true, "Principal": "*"}),
        ),
        (
            "TrainChanged",
            json!({
                "EventPattern": {"source": ["aws.sagemaker"], "detail": {"n": [{"numeric": [">", 0.85]}]}}, "State": "DISABLED",
                "Targets": [{"Arn": train, "Id": "mine", "InputPath": "$.detail", "RetryPolicy": {"MaximumRetryAttempts": 3}, "DeadLetterConfig": {"Arn": queue}}],
            }),
        ),
        (
            "TrainChangedPermission",
            json!({"Action": "lambda:InvokeFunction", "FunctionName": "train-start", "Principal": "events.amazonaws.com", "SourceArn": resource(&stack, "TrainChanged").arn()}),
        ),
        (
            "TrainTold",
            json!({"Endpoint": train, "Protocol": "lambda", "TopicArn": topic, "FilterPolicy": {"kind": ["a"]}, "FilterPolicyScope": "MessageBody"}),
        ),
        (
            "TrainToldPermission",
            json!({"Action": "lambda:InvokeFunction", "FunctionName": "train-start", "Principal": "sns.amazonaws.com", "SourceArn": topic}),
        ),
        (
            "TrainNightly",
            json!({
                "Name": "TrainNightly", "ScheduleExpression": "cron(0 3 * * ? *)", "ScheduleExpressionTimezone": "Europe/Berlin",
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": {"Arn": train, "Input": "{}", "RetryPolicy": {"MaximumRetryAttempts": 2}, "RoleArn": resource(&stack, "TrainNightlyRole").arn()},
            }),
        ),
        (
            "TrainNightlyRole",
            json!({"AssumeRolePolicyDocument": assumed_by("scheduler.amazonaws.com"), "Policies": [allow("TrainNightlyLambdaPolicy", "lambda:InvokeFunction", train)]}),
        ),
        (
            "Lean",
            json!({
                "Runtime": "provided.al2023", "Handler": "bootstrap", "MemorySize": 128, "Timeout": 30, "Architectures": ["arm64"],
                "Environment": {"Variables": {"RUST_LOG": "info", "STAGE": "dev"}}, "Code": {"Binary": "lean", "CodeUri": "functions/lean/"},
                "Tags": tags, "Role": "arn:aws:iam::111122223333:role/given",
            }),
        ),
        (
            "LeanAny",
            json!({"EventPattern": {"source": ["x"]}, "Name": "any", "Targets": [{"Arn": resource(&stack, "Lean").arn(), "Id": "LeanAnyLambdaTarget"}]}),
        ),
        (
            "LeanLater",
            json!({
                "ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5},
                "Target": {"Arn": resource(&stack, "Lean").arn(), "RoleArn": "arn:r"},
            }),
        ),
    ] {
        assert_eq!(resource(&stack, logical_id).properties, expected, "{logical_id}");
    }
}

#[test]
fn a_function_whose_condition_is_false_leaves_nothing() {
    let stack = load(
        &SAM.replace("Equals [a, a]", "Equals [a, b]")
            .replace("TrainUrl.FunctionUrl", "Queue.Arn"),
    );
    assert_eq!(
        ids(&stack),
        ["Lean", "LeanAny", "LeanAnyPermission", "LeanLater", "Queue", "Topic"]
    );
}

#[test]
fn a_function_that_cannot_expand_says_why() {
    for (properties, expected) in [
        ("{}", "Resources.F.Properties: CodeUri is required"),
        (
            "{CodeUri: {Bucket: b}}",
            "Resources.F.Properties.CodeUri: the local cloud does not understand code that is not a path",
        ),
        (
            "{CodeUri: .}",
            "Resources.F.Properties.CodeUri: `.` does not name a binary, and Metadata.BuildProperties.Binary is not there",
        ),
        (
            "{CodeUri: f, PackageType: Image}",
            "Resources.F.Properties.PackageType: the local cloud does not understand any but Zip",
        ),
        (
            "{CodeUri: f, AutoPublishAlias: 'a b'}",
            "Resources.F.Properties: AutoPublishAlias `a b` must have letters, digits, - and _ only, and not digits alone",
        ),
        (
            "{CodeUri: f, AutoPublishAlias: !GetAtt A.B}",
            "Resources.F.Properties: AutoPublishAlias must be a string, or a parameter that is: SAM resolves nothing else",
        ),
        (
            "{CodeUri: f, AutoPublishAlias: live, AutoPublishCodeSha256: a}",
            "Resources.F.Properties: the local cloud does not understand the property AutoPublishCodeSha256 of AWS::Serverless::Function",
        ),
        (
            "{CodeUri: f, DeploymentPreference: {}}",
            "Resources.F.Properties.DeploymentPreference: needs AutoPublishAlias",
        ),
        (
            "{CodeUri: f, AutoPublishAlias: live, DeploymentPreference: {}}",
            "Resources.F.Properties.DeploymentPreference: Type is required",
        ),
        (
            "{CodeUri: f, AutoPublishAlias: live, DeploymentPreference: {Type: AllAtOnce, Bake: 5}}",
            "Resources.F.Properties.DeploymentPreference: the local cloud does not understand the property Bake",
        ),
        (
            "{CodeUri: f, AutoPublishAlias: live, DeploymentPreference: {Type: AllAtOnce, Hooks: {During: f}}}",
            "Resources.F.Properties.DeploymentPreference.Hooks: the local cloud does not understand the property During",
        ),
        (
            "{CodeUri: f, AutoPublishAlias: live, DeploymentPreference: {Type: AllAtOnce, Enabled: !If [A, true, false]}}",
            "Resources.F.Properties.DeploymentPreference: Enabled must be true or false, or a parameter that is: SAM resolves nothing else",
        ),
        (
            "{CodeUri: f, AutoPublishAlias: live, DeploymentPreference: {Type: AllAtOnce, Alarms: a}}",
            "Resources.F.Properties.DeploymentPreference.Alarms: must be a list",
        ),
        (
            "{CodeUri: f, Role: r, Policies: []}",
            "Resources.F.Properties: Policies has no effect next to Role",
        ),
        (
            "{CodeUri: f, Policies: {SQSPollerPolicy: {QueueName: q}}}",
            "Resources.F.Properties.Policies.0: the local cloud does not understand the SAM policy template SQSPollerPolicy",
        ),
        (
            "{CodeUri: f, Policies: [5]}",
            "Resources.F.Properties.Policies.0: a policy is a name, an ARN, or a document with a Statement",
        ),
        (
            "{CodeUri: f, DeadLetterQueue: {Type: Kafka, TargetArn: x}}",
            "Resources.F.Properties.DeadLetterQueue: Type must be SQS or SNS, and is Kafka",
        ),
        (
            "{CodeUri: f, FunctionUrlConfig: {AuthType: !Ref X}}",
            "Resources.F.Properties.FunctionUrlConfig: AuthType must be a plain string",
        ),
        (
            "{CodeUri: f, FunctionUrlConfig: {AuthType: OPEN}}",
            "Resources.F.Properties.FunctionUrlConfig: AuthType must be AWS_IAM or NONE, and is OPEN",
        ),
        (
            "{CodeUri: f, EventInvokeConfig: {Retries: 1}}",
            "Resources.F.Properties.EventInvokeConfig: the local cloud does not understand the property Retries",
        ),
        (
            "{CodeUri: f, Events: {E: {Type: Api, Properties: {}}}}",
            "Resources.F.Properties.Events.E: the local cloud does not understand the event type Api",
        ),
        (
            "{CodeUri: f, Events: {E: {Type: EventBridgeRule, Properties: {}}}}",
            "Resources.F.Properties.Events.E.Properties: Pattern is required",
        ),
        (
            "{CodeUri: f, Events: {E: {Type: EventBridgeRule, Properties: {Pattern: {a: [1]}, DeadLetterConfig: {Type: SQS}}}}}",
            "Resources.F.Properties.Events.E.Properties.DeadLetterConfig: the local cloud does not understand the property Type",
        ),
        (
            "{CodeUri: f, Events: {E: {Type: SNS, Properties: {Topic: t, SqsSubscription: true}}}}",
            "Resources.F.Properties.Events.E.Properties: the local cloud does not understand the property SqsSubscription",
        ),
        (
            "{CodeUri: f, Environment: {Variables: {A: !Ref FE}}, Events: {E: {Type: EventBridgeRule, Properties: {Pattern: {a: [1]}}}}}",
            "Resources.F: Circular dependency between resources: [F, FE]",
        ),
    ] {
        let template = format!(
            "{{Transform: AWS::Serverless-2016-10-31, Resources: {{F: {{Type: AWS::Serverless::Function, Properties: {properties}}}}}}}"
        );
        assert_eq!(
            load_with(&template, &[]).unwrap_err().to_string(),
            expected,
            "{properties}"
        );
    }
}

#[test]
fn loading_is_quick() {
    // Nothing near the bound of 5 ms in a release build; slack for an unoptimized one on a busy machine.
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            load(SAM);
            start.elapsed()
        })
        .min();
    assert!(best < Some(Duration::from_millis(50)), "{best:?}");
}

#[test]
fn a_resource_reads_its_properties() {
    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Topic {
        topic_name: String,
    }
    let read = |properties: &str| {
        let stack = load(&format!(
            "Resources: {{T: {{Type: AWS::SNS::Topic, Properties: {properties}}}}}"
        ));
        resource(&stack, "T")
            .read::<Topic>()
            .map(|topic| topic.topic_name)
            .map_err(|error| error.to_string())
    };
    for (properties, expected) in [
        ("{TopicName: t}", Ok("t")),
        (
            "{TopicName: t, Magic: 1}",
            Err("T (AWS::SNS::Topic): the local cloud does not understand unknown field `Magic`, expected `TopicName`"),
        ),
        ("{}", Err("T (AWS::SNS::Topic): missing field `TopicName`")),
    ] {
        assert_eq!(
            read(properties),
            expected.map(str::to_owned).map_err(str::to_owned),
            "{properties}"
        );
    }
    assert_eq!(
        resource(&load(&scaffold("x")), "Subject").properties,
        Value::from_iter([("Value", "x")])
    );
}

#[test]
fn a_template_declares_its_parameters() {
    let template = "Parameters: {A: {Type: String}}\nResources: {}\n";
    for (yaml, name, expected) in [
        (template, "A", true),
        (template, "B", false),
        ("Resources: {}", "A", false),
    ] {
        assert_eq!(Stack::declares(yaml, name).unwrap(), expected, "{yaml} {name}");
    }
    assert!(Stack::declares("a: [", "A").is_err());
}
