//! Mails about a version on its way to the endpoint, and back.

use super::text::{Text, plain};
use crate::evidence::duration;
use crate::names::ModelName;
use crate::notice::Notice;

/// Tells that a version begins to take over. `plan` is [`Policy::describe`](crate::rollout::Policy::describe); `notes` is what else
/// there is to know of this rollout.
#[must_use]
pub fn rollout_started(
    model: &ModelName,
    version: u32,
    serving: Option<u32>,
    approved_by: Option<&str>,
    plan: &str,
    notes: &[String],
) -> Notice {
    let mut text = Text::new();
    match serving {
        Some(serving) => text.paragraph(&format!("{model} v{version} begins to take over from v{serving}.")),
        None => text.paragraph(&format!("{model} v{version} begins to take over.")),
    }
    text.optional("Approved by", approved_by.unwrap_or_default());
    text.item("How", plan);
    for note in notes {
        text.item("Note", note);
    }
    text.notice(&format!("[signalbox] {model} v{version} begins to take over"))
        .about(model, version)
}

/// Tells that a version has a share of the traffic, in percent, and for how long it is watched with it.
#[must_use]
pub fn traffic_shifted(model: &ModelName, version: u32, share: u32, watched_seconds: Option<u32>) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!("{model} v{version} takes {share} % of the traffic."));
    if let Some(seconds) = watched_seconds {
        text.item("Watched for", &duration(u64::from(seconds)));
    }
    text.notice(&format!(
        "[signalbox] {model} v{version} takes {share} % of the traffic"
    ))
    .about(model, version)
}

/// How those who get the mail about a deployment can take it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeBack<'a> {
    /// The signed link.
    pub link: &'a str,
    /// The rollback pipeline.
    pub pipeline: &'a str,
}

/// Tells that a version serves all traffic. `previous` is the version that served before; `strategy` is how the traffic was moved,
/// `detail` what was seen on the way.
#[must_use]
pub fn deployed(
    model: &ModelName,
    version: u32,
    previous: Option<u32>,
    approved_by: Option<&str>,
    strategy: &str,
    detail: &str,
    take_back: Option<&TakeBack<'_>>,
) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "{model} v{version} now serves all traffic of the endpoint {model}."
    ));
    match previous {
        Some(previous) => text.item("Served before", &format!("v{previous}")),
        None => text.item("Served before", "no version of this train"),
    }
    text.optional("Approved by", approved_by.unwrap_or_default());
    text.item("Strategy", strategy);
    text.optional("Detail", detail);
    let mut shared = text.clone();
    if let Some(TakeBack { link, pipeline }) = take_back {
        text.heading("Should it have to be taken back");
        text.line("Open this link; the page asks before anything is done:");
        text.blank();
        text.link(link);
        text.line("Or by the command line, which does it at once:");
        text.blank();
        let command = format!(
            "aws codepipeline start-pipeline-execution --name {pipeline} --variables name=Undoes,value=serving"
        );
        text.link(&command);
        // The link is signed, and good for whoever has it: it is for those who get the mail.
        shared.heading("Should it have to be taken back");
        shared.line("Open the link in the mail about this deployment. Or by the command line, which does it at once:");
        shared.blank();
        shared.link(&command);
    }
    text.notice(&format!("[signalbox] {model} v{version} deployed"))
        .shared_as(shared.body())
        .about(model, version)
}

/// What is known of a version that was taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenBack<'a> {
    /// The version that serves instead, where that is known.
    pub serving: Option<u32>,
    /// The alarm that did it, where one is named.
    pub alarm: Option<&'a str>,
    /// What the alarm saw, with its numbers.
    pub numbers: Option<&'a str>,
    /// Why, in SageMaker's or a person's words.
    pub reason: &'a str,
    /// Where to see what serves now.
    pub endpoint_url: &'a str,
    /// Where to read what the endpoint's containers have logged.
    pub log_url: &'a str,
}

/// Tells that a version was taken back.
#[must_use]
pub fn rolled_back(model: &ModelName, version: u32, back: &TakenBack<'_>) -> Notice {
    let mut text = Text::new();
    match back.serving {
        Some(serving) => text.paragraph(&format!(
            "{model} v{version} was rolled back. v{serving} serves all traffic again."
        )),
        None => text.paragraph(&format!("{model} v{version} was rolled back.")),
    }
    text.item("Alarm", back.alarm.unwrap_or("none was named"));
    text.optional("It saw", back.numbers.unwrap_or_default());
    text.item("Reason", back.reason);
    if !back.endpoint_url.is_empty() {
        text.line("What serves now:");
        text.blank();
        text.link(back.endpoint_url);
    }
    if !back.log_url.is_empty() {
        text.line("What its containers logged:");
        text.link(back.log_url);
    }
    text.blank();
    text.paragraph(&format!(
        "v{version} is marked as rolled back in the model registry and will not be tried again by itself. To try it once more, approve \
         it again in the registry."
    ));
    text.notice(&format!("[signalbox] {model} v{version} rolled back"))
        .about(model, version)
}

/// Tells that a version is not brought to the endpoint any more, because another update came after it.
#[must_use]
pub fn superseded(model: &ModelName, version: u32, serving: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "The release of {model} v{version} was overtaken by another update of the endpoint: {} serves.",
        plain(serving)
    ));
    text.paragraph(
        "Nothing is done about it. To release the version after all, start the release pipeline for it again.",
    );
    text.notice(&format!("[signalbox] {model} v{version} superseded"))
        .about(model, version)
}

/// Tells that a deployed version could not be taken back, and what to do about it.
#[must_use]
pub fn rollback_failed(model: &ModelName, reason: &str, what_to_do: &str, endpoint_url: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "The rollback of {model} failed: what served before it was asked for may still serve."
    ));
    text.item("Reason", reason);
    text.optional("What to do", what_to_do);
    if !endpoint_url.is_empty() {
        text.line("What serves now:");
        text.blank();
        text.link(endpoint_url);
    }
    text.notice(&format!("[signalbox] {model} ROLLBACK FAILED"))
}

/// A state of the endpoint that people must know of, and that no release tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// SageMaker takes an update back.
    RollingBack,
    /// The update failed, and so did taking it back.
    Stuck,
    /// It has failed for good.
    Failed,
}

/// Tells that the endpoint, on that configuration, is in trouble, and what to do about it. `reason` is SageMaker's.
#[must_use]
pub fn endpoint_troubled(model: &ModelName, trouble: Trouble, config: &str, reason: &str) -> Notice {
    let (subject, words) = match trouble {
        Trouble::RollingBack => (
            "is rolling back",
            "The update is being rolled back; the release's notice will say how it ended.",
        ),
        Trouble::Stuck => (
            "endpoint is stuck between two versions",
            "The update failed and so did its rollback: both fleets serve. Release a good version again, which mends it.",
        ),
        Trouble::Failed => (
            "endpoint has failed",
            "A failed endpoint can only be deleted: delete it, and retry the Deploy stage of the release pipeline.",
        ),
    };
    let mut text = Text::new();
    text.paragraph(words);
    text.item("Endpoint configuration", config);
    text.item("Reason", reason);
    text.notice(&format!("[signalbox] {model} {subject}"))
}

/// Tells that an alarm fires after a deployment and nothing was done about it, and why not.
#[must_use]
pub fn alarm_left(model: &ModelName, alarm: &str, saw: &str, why: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!("The alarm {} fires: {}", plain(alarm), plain(saw)));
    text.paragraph(&format!("Nothing was done about it: {}.", plain(why)));
    text.notice(&format!("[signalbox] {model} alarm {alarm}: look at the endpoint"))
}

/// Tells that autoscaling could not be set up: what serves keeps the instances that it has.
#[must_use]
pub fn not_scaled(model: &ModelName, reason: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!(
        "The endpoint {model} serves, but it is not scaled as the template says: its instances stay as many as they are."
    ));
    text.item("Reason", reason);
    text.item(
        "What to do",
        "Mend it, and release the version again, or register the variant for autoscaling by hand",
    );
    text.notice(&format!("[signalbox] {model} is not scaled"))
}

/// Tells that a release could not be made, and what to do about it.
#[must_use]
pub fn release_failed(model: &ModelName, version: u32, reason: &str, what_to_do: &str, log_url: &str) -> Notice {
    let mut text = Text::new();
    text.paragraph(&format!("The release of {model} v{version} failed."));
    text.item("Step", "Deploy");
    text.item("Reason", reason);
    text.optional("What to do", what_to_do);
    if !log_url.is_empty() {
        text.line("What the endpoint's containers logged:");
        text.link(log_url);
    }
    text.notice(&format!("[signalbox] {model} v{version} release failed"))
        .about(model, version)
}
