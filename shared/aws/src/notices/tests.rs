use super::*;
use crate::error::ErrorKind;
use crate::recorded::{Answer, Recorded, text};

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:approvals";
const PUBLISHED: &str = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";

fn attributes(attributes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    attributes.iter().map(owned).collect()
}

#[tokio::test]
async fn a_notice_is_published_with_its_attributes() {
    let recorded = Recorded::new([text(PUBLISHED), text(PUBLISHED)]);
    let sns = Sns::new(&Environment::default(), &recorded.sdk()).unwrap();
    let notice = Notice::new("churn v7 waits – approve it", "Two lines:\n50 % & more.");
    sns.publish(TOPIC, &notice, &attributes(&[("model", "churn")]))
        .await
        .unwrap();
    sns.publish(TOPIC, &notice, &attributes(&[])).await.unwrap();
    insta::assert_snapshot!(recorded.requests(), @r"
    POST /
    Action = Publish
    Version = 2010-03-31
    TopicArn = arn:aws:sns:eu-west-1:111122223333:approvals
    Message = Two lines:
    50 % & more.
    Subject = churn v7 waits - approve it
    MessageAttributes.entry.1.Name = model
    MessageAttributes.entry.1.Value.DataType = String
    MessageAttributes.entry.1.Value.StringValue = churn

    POST /
    Action = Publish
    Version = 2010-03-31
    TopicArn = arn:aws:sns:eu-west-1:111122223333:approvals
    Message = Two lines:
    50 % & more.
    Subject = churn v7 waits - approve it
    ");
}

#[tokio::test]
async fn every_attribute_is_published() {
    let recorded = Recorded::new([text(PUBLISHED)]);
    let given = attributes(&[("model", "churn"), ("kind", "approval"), ("to", "ada")]);
    let sns = Sns::new(&Environment::default(), &recorded.sdk()).unwrap();
    sns.publish(TOPIC, &Notice::new("s", "b"), &given).await.unwrap();
    let requests = recorded.requests();
    // The SDK numbers them in any order.
    let field = |number: u8, field: &str| {
        let start = format!("MessageAttributes.entry.{number}.{field} = ");
        let value = requests.lines().find_map(|line| line.strip_prefix(&start));
        value.unwrap_or_default().to_owned()
    };
    let published: BTreeMap<_, _> = (1..=3)
        .map(|number| (field(number, "Name"), field(number, "Value.StringValue")))
        .collect();
    assert_eq!(published, given, "{requests}");
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (status, code, expected) in [
        (400, "Throttling", ErrorKind::Transient),
        (500, "InternalError", ErrorKind::Transient),
        (403, "AuthorizationError", ErrorKind::Denied),
        (404, "NotFound", ErrorKind::NotFound),
        (400, "InvalidParameter", ErrorKind::Other),
    ] {
        let recorded = Recorded::new([Answer::Refusal(status, code, "no".to_owned())]);
        let sns = Sns::new(&Environment::default(), &recorded.sdk()).unwrap();
        let error = sns
            .publish(TOPIC, &Notice::new("s", "b"), &BTreeMap::new())
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind, error.code.as_str(), error.message.as_str()),
            (expected, code, "no"),
            "{error}"
        );
        recorded.requests();
    }
}

fn environment(chat: &str) -> Environment {
    [("CHAT", chat), ("NOTICES_TOPIC_ARN", NOTICES)].into_iter().collect()
}

const NOTICES: &str = "arn:aws:sns:eu-west-1:111122223333:notices";

#[tokio::test]
async fn a_notice_is_for_the_chat_too_where_one_is_subscribed() {
    let recorded = Recorded::new([text(PUBLISHED)]);
    let sns = Sns::new(&environment("true"), &recorded.sdk()).unwrap();
    let model = "churn".parse().unwrap();
    let notice = Notice::new("churn v7 deployed", "Fine.\nhttps://example.com/?u=claims&m=mac\n").about(&model, 7);
    sns.publish(NOTICES, &notice, &attributes(&[])).await.unwrap();
    insta::assert_snapshot!(recorded.requests());
}

/// No link of one person's comes into a channel, and without a channel all is as it was.
#[tokio::test]
async fn nothing_else_is_for_the_chat() {
    for (chat, topic) in [("true", TOPIC), ("false", TOPIC), ("false", NOTICES), ("", NOTICES)] {
        let recorded = Recorded::new([text(PUBLISHED)]);
        let sns = Sns::new(&environment(chat), &recorded.sdk()).unwrap();
        sns.publish(topic, &Notice::new("s", "b"), &attributes(&[]))
            .await
            .unwrap();
        let expected =
            format!("POST /\nAction = Publish\nVersion = 2010-03-31\nTopicArn = {topic}\nMessage = b\nSubject = s");
        assert_eq!(recorded.requests().trim_end(), expected, "{chat} {topic}");
    }
}

#[test]
fn a_wrong_word_for_the_chat_is_an_error_that_names_it() {
    let recorded = Recorded::new([]);
    let error = |environment: &Environment| Sns::new(environment, &recorded.sdk()).unwrap_err().to_string();
    assert!(error(&environment("yes")).starts_with("environment variable `CHAT` is wrong: `yes`"));
    let alone: Environment = [("CHAT", "true")].into_iter().collect();
    assert!(error(&alone).contains("`NOTICES_TOPIC_ARN` is missing"));
}
