//! Amazon Q Developer in chat applications, whose resources are still called AWS Chatbot: what a channel of Slack or Microsoft Teams is
//! told.
//!
//! The topics of a channel have an https subscription of the service's. Of what comes through it, the service posts notifications of AWS
//! services that it knows, and what keeps to its schema ([`notification`]); all else it drops without a word to the sender. Here the
//! posts are kept, and what is dropped is noted.

mod notification;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use self::notification::Notification;
use super::{Cloud, sns};
use crate::template::{Resource, TemplateError};

/// Where SNS delivers to.
pub(crate) const ENDPOINT: &str = "https://global.sns-api.chatbot.amazonaws.com";

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    channels: Vec<Channel>,
    posts: Vec<ChatPost>,
}

/// A channel that is told.
#[derive(Debug)]
struct Channel {
    configuration: String,
    platform: &'static str,
    topics: Vec<String>,
}

/// What a channel was told.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ChatPost {
    /// Its number, from 1.
    pub number: usize,
    /// When it was posted.
    pub time: Timestamp,
    /// The channel's configuration.
    pub configuration: String,
    /// `Slack` or `Microsoft Teams`.
    pub platform: String,
    /// The topic that it came through.
    pub topic_arn: String,
    /// The title, if it has one.
    pub title: Option<String>,
    /// The text, in the platform's markdown.
    pub description: String,
    /// What to do next, in the platform's markdown.
    pub next_steps: Vec<String>,
    /// Keywords.
    pub keywords: Vec<String>,
    /// Posts with the same id are one thread.
    pub thread_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SlackProperties {
    configuration_name: String,
    slack_channel_id: String,
    slack_workspace_id: String,
    #[serde(flatten)]
    common: Common,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TeamsProperties {
    configuration_name: String,
    team_id: String,
    teams_channel_id: String,
    teams_tenant_id: String,
    #[serde(rename = "TeamsChannelName")]
    _teams_channel_name: Option<String>,
    #[serde(flatten)]
    common: Common,
}

/// What both have. The role and what limits it concern what is asked in the chat, which nobody can do here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Common {
    iam_role_arn: String,
    #[serde(default)]
    sns_topic_arns: Vec<String>,
    logging_level: Option<String>,
    #[serde(rename = "GuardrailPolicies")]
    _guardrails: Option<Vec<String>>,
    #[serde(rename = "UserRoleRequired")]
    _user_role: Option<Value>,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    let must = |name: &str, value: &str, fits: bool| {
        if fits {
            return Ok(());
        }
        Err(resource.wrong(format!("{name} `{value}` is not what CloudFormation takes")))
    };
    let is_uuid = |text: &str| {
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
    };
    let (configuration, platform, common) = match resource.kind.as_str() {
        "AWS::Chatbot::SlackChannelConfiguration" => {
            let slack: SlackProperties = resource.read()?;
            let (workspace, channel) = (&slack.slack_workspace_id, &slack.slack_channel_id);
            let capitals = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase();
            let fits = (1..=255).contains(&workspace.len()) && workspace.chars().all(capitals);
            must("SlackWorkspaceId", workspace, fits)?;
            let fits = (1..=256).contains(&channel.len()) && channel.chars().all(alphanumeric);
            must("SlackChannelId", channel, fits)?;
            (slack.configuration_name, "Slack", slack.common)
        }
        "AWS::Chatbot::MicrosoftTeamsChannelConfiguration" => {
            let teams: TeamsProperties = resource.read()?;
            must("TeamId", &teams.team_id, is_uuid(&teams.team_id))?;
            must("TeamsTenantId", &teams.teams_tenant_id, is_uuid(&teams.teams_tenant_id))?;
            // `19:…@thread.tacv2` as a link has it.
            let channel = teams.teams_channel_id.to_ascii_lowercase();
            let parts = channel.split_once("%3a").and_then(|(_, rest)| rest.split_once("%40"));
            let fits = (1..=256).contains(&channel.len()) && parts.is_some();
            must("TeamsChannelId", &teams.teams_channel_id, fits)?;
            (teams.configuration_name, "Microsoft Teams", teams.common)
        }
        _ => return Err(resource.unsupported("this resource type")),
    };
    let fits = (1..=128).contains(&configuration.len())
        && configuration.chars().all(|c| alphanumeric(c) || matches!(c, '-' | '_'));
    must("ConfigurationName", &configuration, fits)?;
    let is_role = common.iam_role_arn.contains(":iam::") && common.iam_role_arn.contains(":role/");
    must("IamRoleArn", &common.iam_role_arn, is_role)?;
    if let Some(level) = &common.logging_level {
        must(
            "LoggingLevel",
            level,
            ["ERROR", "INFO", "NONE"].contains(&level.as_str()),
        )?;
    }
    for topic in &common.sns_topic_arns {
        sns::subscribe_https(cloud, topic, ENDPOINT)
            .map_err(|error| resource.wrong(format!("SnsTopicArns `{topic}`: {error}")))?;
    }
    cloud.chatbot.channels.push(Channel {
        configuration,
        platform,
        topics: common.sns_topic_arns,
    });
    Ok(())
}

/// Takes a notification of a topic, for every channel that has the topic.
pub(crate) fn receive(cloud: &mut Cloud, topic_arn: &str, notification: &Value) {
    let message = notification.get("Message").and_then(Value::as_str).unwrap_or_default();
    let read = Notification::read(message);
    let channels = cloud.chatbot.channels.iter();
    let told: Vec<(String, &str)> = channels
        .filter(|channel| channel.topics.iter().any(|topic| topic == topic_arn))
        .map(|channel| (channel.configuration.clone(), channel.platform))
        .collect();
    for (configuration, platform) in told {
        match &read {
            Err(reason) => {
                let data = json!({"topic": topic_arn, "reason": reason, "message": message});
                cloud.note("chatbot", &configuration, "dropped", data);
            }
            Ok(notification) => {
                let number = cloud.chatbot.posts.len() + 1;
                let text = notification.title.as_ref().unwrap_or(&notification.description);
                let data = json!({"number": number, "platform": platform, "text": text});
                cloud.note("chatbot", &configuration, "posted", data);
                cloud.chatbot.posts.push(ChatPost {
                    number,
                    time: cloud.now(),
                    configuration,
                    platform: platform.to_owned(),
                    topic_arn: topic_arn.to_owned(),
                    title: notification.title.clone(),
                    description: notification.description.clone(),
                    next_steps: notification.next_steps.clone(),
                    keywords: notification.keywords.clone(),
                    thread_id: notification.thread_id.clone(),
                });
            }
        }
    }
}

impl Cloud {
    /// What chat channels were told so far, oldest first.
    #[must_use]
    pub fn chat(&self) -> &[ChatPost] {
        &self.chatbot.posts
    }

    /// Whether the stack has a chat channel.
    #[must_use]
    pub fn has_chat(&self) -> bool {
        !self.chatbot.channels.is_empty()
    }
}
