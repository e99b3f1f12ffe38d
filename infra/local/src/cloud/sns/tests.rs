use serde_json::{Value, json};

use super::super::effect::Effect;
use super::super::testing::{call, deploy};
use super::super::{ApiError, Cloud, Service};

const TEMPLATE: &str = r#"
Resources:
  Look:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: look, Handler: bootstrap, Runtime: provided.al2023, Role: r, Code: {Binary: look}}
  Dead: {Type: AWS::SQS::Queue, Properties: {QueueName: dead}}
  Heard: {Type: AWS::SQS::Queue, Properties: {QueueName: heard}}
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: news, KmsMasterKeyId: alias/news}}
  ByMail: {Type: AWS::SNS::Subscription, Properties: {TopicArn: !Ref Topic, Protocol: email, Endpoint: a@example.com}}
  ByHttps: {Type: AWS::SNS::Subscription, Properties: {TopicArn: !Ref Topic, Protocol: https, Endpoint: "https://example.com/hook"}}
  ByQueue: {Type: AWS::SNS::Subscription, Properties: {TopicArn: !Ref Topic, Protocol: sqs, Endpoint: !GetAtt Heard.Arn}}
  ByFunction:
    Type: AWS::SNS::Subscription
    Properties:
      TopicArn: !Ref Topic
      Protocol: lambda
      Endpoint: !GetAtt Look.Arn
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn}
"#;

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:news";
const LOOK: &str = "arn:aws:lambda:eu-west-1:123456789012:function:look";

fn publish(cloud: &mut Cloud, message: &str, structure: Option<&str>) -> Result<Value, ApiError> {
    let mut input = json!({"TopicArn": TOPIC, "Message": message, "Subject": "s"});
    if let Some(structure) = structure {
        input["MessageStructure"] = structure.into();
    }
    call(cloud, Service::Sns, "Publish", &input)
}

/// The messages of a queue.
fn queue(cloud: &mut Cloud, name: &str) -> Vec<Value> {
    let input = json!({"QueueUrl": format!("http://127.0.0.1:4566/123456789012/{name}"), "MaxNumberOfMessages": 10});
    let received = call(cloud, Service::Sqs, "ReceiveMessage", &input).unwrap();
    let messages = received["Messages"].as_array().unwrap().iter();
    messages
        .map(|message| serde_json::from_str(message["Body"].as_str().unwrap()).unwrap())
        .collect()
}

/// What the function was told.
fn heard(cloud: &mut Cloud) -> Vec<String> {
    let invoked = cloud.take_effects().into_iter().filter_map(|effect| match effect {
        Effect::Invoke(invoke) => Some(invoke.payload["Records"][0]["Sns"]["Message"].as_str()?.to_owned()),
        _ => None,
    });
    invoked.collect()
}

#[test]
fn each_subscription_gets_its_protocols_text() {
    let mut cloud = deploy(TEMPLATE).unwrap();
    let texts = r#"{"default": "for all", "email": "for mail", "https": "for hooks", "lambda": "for functions"}"#;
    publish(&mut cloud, texts, Some("json")).unwrap();
    assert_eq!(cloud.inbox()[0].body, "for mail");
    assert_eq!(heard(&mut cloud), ["for functions"]);
    assert_eq!(queue(&mut cloud, "heard")[0]["Message"], "for all");
    let [delivered] = cloud.https_deliveries() else {
        panic!("{:?}", cloud.https_deliveries())
    };
    assert_eq!(delivered.endpoint, "https://example.com/hook");
    assert_eq!(
        (
            delivered.notification["Message"].as_str(),
            delivered.notification["Subject"].as_str()
        ),
        (Some("for hooks"), Some("s"))
    );
    // Nothing is delivered of what is refused.
    let error = publish(&mut cloud, "plain", Some("json")).unwrap_err();
    assert_eq!(error.code, "InvalidParameter");
    assert_eq!(
        (cloud.inbox().len(), cloud.https_deliveries().len(), heard(&mut cloud)),
        (1, 1, Vec::<String>::new())
    );
}

#[test]
fn what_a_function_cant_be_told_is_a_dead_letter() {
    let mut cloud = deploy(TEMPLATE).unwrap();
    cloud.break_deliveries(LOOK, ApiError::new("ResourceNotFoundException", "Function not found"));
    publish(&mut cloud, "hello", None).unwrap();
    let letters = queue(&mut cloud, "dead");
    assert_eq!((letters.len(), letters[0]["Message"].as_str()), (1, Some("hello")));
    assert_eq!(letters[0]["TopicArn"], TOPIC);
    // The others have it.
    assert_eq!((cloud.inbox().len(), queue(&mut cloud, "heard").len()), (1, 1));
}

#[test]
fn a_function_that_can_take_no_more_is_told_later() {
    let mut cloud = deploy(TEMPLATE).unwrap();
    let start = cloud.now();
    cloud.break_deliveries(LOOK, ApiError::new("TooManyRequestsException", "Rate Exceeded."));
    publish(&mut cloud, "hello", None).unwrap();
    cloud.advance(start + jiff::SignedDuration::from_hours(1));
    assert!(heard(&mut cloud).is_empty() && queue(&mut cloud, "dead").is_empty());
    cloud.mend_deliveries(LOOK);
    cloud.advance(start + jiff::SignedDuration::from_hours(2));
    assert_eq!(heard(&mut cloud), ["hello"]);
    assert!(queue(&mut cloud, "dead").is_empty());
}

#[test]
fn a_topic_keeps_its_key() {
    let mut cloud = deploy(TEMPLATE).unwrap();
    let shown = call(
        &mut cloud,
        Service::Sns,
        "GetTopicAttributes",
        &json!({"TopicArn": TOPIC}),
    )
    .unwrap();
    assert_eq!(shown["Attributes"]["KmsMasterKeyId"], "alias/news");
}

#[test]
fn what_is_not_understood_is_named() {
    for (from, to, words) in [
        ("https://example.com/hook", "http://example.com/hook", "https://"),
        ("Protocol: sqs", "Protocol: sms", "the protocol sms"),
        (
            "{deadLetterTargetArn: !GetAtt Dead.Arn}",
            "{maxReceiveCount: 1}",
            "maxReceiveCount",
        ),
        (
            "{deadLetterTargetArn: !GetAtt Dead.Arn}",
            "{deadLetterTargetArn: !GetAtt Look.Arn}",
            "no queue",
        ),
    ] {
        let error = deploy(&TEMPLATE.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
