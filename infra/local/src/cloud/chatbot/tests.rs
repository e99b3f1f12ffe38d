use serde_json::json;

use super::super::testing::{call, deploy};
use super::super::{Cloud, Service};

const TEMPLATE: &str = r#"
Resources:
  Role: {Type: AWS::IAM::Role, Properties: {RoleName: chat, AssumeRolePolicyDocument: {Statement: []}}}
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: news}}
  Other: {Type: AWS::SNS::Topic, Properties: {TopicName: other}}
  Slack:
    Type: AWS::Chatbot::SlackChannelConfiguration
    Properties:
      ConfigurationName: team
      IamRoleArn: !GetAtt Role.Arn
      SlackChannelId: C0123
      SlackWorkspaceId: T0123
      SnsTopicArns: [!Ref Topic]
      GuardrailPolicies: ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
      LoggingLevel: ERROR
  Teams:
    Type: AWS::Chatbot::MicrosoftTeamsChannelConfiguration
    Properties:
      ConfigurationName: desk
      IamRoleArn: !GetAtt Role.Arn
      TeamId: 01234567-89ab-cdef-0123-456789abcdef
      TeamsTenantId: 01234567-89ab-cdef-0123-456789abcdef
      TeamsChannelId: 19%3aabc%40thread.tacv2
      SnsTopicArns: [!Ref Topic, !Ref Other]
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: high
      AlarmDescription: too high
      Namespace: n
      MetricName: m
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanThreshold
      AlarmActions: [!Ref Other]
Outputs:
  Slack: {Value: !Ref Slack}
  Teams: {Value: !GetAtt Teams.Arn}
"#;

fn publish(cloud: &mut Cloud, topic: &str, message: &str) {
    let topic = format!("arn:aws:sns:eu-west-1:123456789012:{topic}");
    call(
        cloud,
        Service::Sns,
        "Publish",
        &json!({"TopicArn": topic, "Message": message}),
    )
    .unwrap();
}

#[test]
fn channels_are_told_what_the_service_understands() {
    let mut cloud = deploy(TEMPLATE).unwrap();
    let custom =
        json!({"version": "1.0", "source": "custom", "content": {"title": "Released", "description": "v3 serves"}});
    publish(&mut cloud, "news", &custom.to_string());
    publish(&mut cloud, "other", &custom.to_string());
    publish(&mut cloud, "other", "v3 serves");
    let told = |cloud: &Cloud| -> Vec<(String, String)> {
        let posts = cloud.chat().iter();
        posts
            .map(|post| (post.configuration.clone(), post.title.clone().unwrap()))
            .collect()
    };
    let released = |to: &str| (to.to_owned(), "Released".to_owned());
    assert_eq!(told(&cloud), [released("team"), released("desk"), released("desk")]);
    assert!(cloud.https_deliveries().is_empty(), "they are the chat's");
    let happenings = cloud.take_happenings();
    let dropped: Vec<_> = happenings
        .iter()
        .filter(|happening| happening.what == "dropped")
        .map(|happening| (happening.subject.as_str(), happening.data["message"].as_str()))
        .collect();
    assert_eq!(dropped, [("desk", Some("v3 serves"))]);

    let alarm = json!({"AlarmName": "high", "StateValue": "ALARM", "StateReason": "to see"});
    call(&mut cloud, Service::CloudWatch, "SetAlarmState", &alarm).unwrap();
    let last = cloud.chat().last().unwrap();
    assert!(last.title.as_ref().unwrap().contains("| high | ALARM |"), "{last:?}");
    assert_eq!(
        (last.platform.as_str(), last.description.as_str()),
        ("Microsoft Teams", "too high\nto see")
    );
}

#[test]
fn topics_are_subscribed_once_and_configurations_have_arns() {
    let mut cloud = deploy(TEMPLATE).unwrap();
    let topic = json!({"TopicArn": "arn:aws:sns:eu-west-1:123456789012:news"});
    let listed = call(&mut cloud, Service::Sns, "ListSubscriptionsByTopic", &topic).unwrap();
    let subscriptions = listed["Subscriptions"].as_array().unwrap();
    assert_eq!(subscriptions.len(), 1);
    assert_eq!(
        (&subscriptions[0]["Protocol"], &subscriptions[0]["Endpoint"]),
        (&json!("https"), &json!(super::ENDPOINT))
    );
    let arn = |path: &str| format!("arn:aws:chatbot::123456789012:chat-configuration/{path}");
    let outputs = &cloud.stack().outputs;
    assert_eq!(
        (&outputs["Slack"], &outputs["Teams"]),
        (&arn("slack-channel/team"), &arn("microsoft-teams-channel/desk"))
    );
}

#[test]
fn what_cloudformation_refuses_is_named() {
    for (from, to, words) in [
        (
            "SlackWorkspaceId: T0123",
            "SlackWorkspaceId: t0123",
            "SlackWorkspaceId `t0123`",
        ),
        (
            "SlackChannelId: C0123",
            "SlackChannelId: '#team'",
            "SlackChannelId `#team`",
        ),
        (
            "ConfigurationName: team",
            "ConfigurationName: my team",
            "ConfigurationName `my team`",
        ),
        ("TeamId: 0", "TeamId: x", "TeamId `x"),
        (
            "TeamsChannelId: 19%3aabc%40thread.tacv2",
            "TeamsChannelId: '19:abc@thread.tacv2'",
            "TeamsChannelId",
        ),
        ("LoggingLevel: ERROR", "LoggingLevel: ALL", "LoggingLevel `ALL`"),
        (
            "[!Ref Topic]",
            "['arn:aws:sns:eu-west-1:1:none']",
            "Topic does not exist",
        ),
        ("LoggingLevel: ERROR", "Colour: red", "Colour"),
    ] {
        let error = deploy(&TEMPLATE.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
