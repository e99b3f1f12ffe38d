//! The approvers, and whoever else has got hold of a link.
//!
//! Each mail that asks is one person's to answer. They read it minutes later, or never; they open the page, click, click twice,
//! change their minds, or take another door. Where a page does not come they ask again, as people do.

use std::collections::BTreeSet;

use anyhow::Result;
use jiff::Timestamp;
use local::cloud::Service;
use local::cloud::effect::{EffectId, Mail};
use serde_json::{Value, json};
use tests::world::World;

use crate::load::seconds;
use crate::schedule::Schedule;

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Approve.
    Approve,
    /// Reject.
    Reject,
    /// Have a deployed version taken back.
    TakeBack,
}

impl Decision {
    fn form(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::TakeBack => "take-back",
        }
    }

    /// As the APIs have it.
    #[must_use]
    pub fn api(self) -> &'static str {
        match self {
            Self::Approve => "Approved",
            Self::Reject | Self::TakeBack => "Rejected",
        }
    }
}

/// What somebody does.
#[derive(Debug, Clone, PartialEq)]
enum Deed {
    /// Opens a link, by that method.
    Open(&'static str, String),
    /// Decides on the page of a link.
    Decide(String, Decision),
    /// Decides in the registry.
    Registry(Decision),
    /// Decides in CodePipeline's console.
    Console(Decision),
    /// Sends something to the page that is no decision of theirs to make.
    Forge(String, String),
}

/// Somebody is to do something.
#[derive(Debug, Clone)]
struct Intent {
    at: Timestamp,
    /// Who, for the timeline.
    who: String,
    version: u32,
    deed: Deed,
    /// How often they tried before.
    tries: u32,
}

/// A request whose answer is waited for.
#[derive(Debug)]
struct Asked {
    request: EffectId,
    intent: Intent,
}

/// The people of a run.
#[derive(Debug, Default)]
pub struct People {
    /// Whether the first approver approves whatever they are asked, by the link, and nobody does anything else.
    obliges: bool,
    mails_read: usize,
    intents: Vec<Intent>,
    asked: Vec<Asked>,
    /// What people have decided, whether or not it came to anything.
    pub decided: BTreeSet<(u32, Decision)>,
    /// Who has approved which version on the page, where it may take several of them.
    voted: BTreeSet<(u32, String)>,
    /// Versions that somebody has approved at a door where one is enough.
    alone: BTreeSet<u32>,
    /// How often an operator had whatever serves taken back.
    pub take_backs: u64,
    /// The deviations, by their names, in order.
    pub names: Vec<String>,
    /// What they did since this was asked last, for the timeline.
    pub done: Vec<String>,
    /// The signed parts of all links that were sent.
    pub secrets: BTreeSet<String>,
    /// Pages that said something that no page should: with what was asked.
    pub wrong: Vec<String>,
}

/// How long an approver of a story takes, in seconds.
const OBLIGING_SECONDS: u64 = 30;

/// How often somebody asks for a page that does not come.
const TRIES_MAX: u32 = 6;

impl People {
    /// People of whom the first approves whatever they are asked.
    #[must_use]
    pub fn obliging() -> Self {
        Self {
            obliges: true,
            ..Self::default()
        }
    }

    /// Somebody has decided at a door where nobody else is asked.
    pub fn decide_alone(&mut self, version: u32, decision: Decision) {
        self.decided.insert((version, decision));
        if decision == Decision::Approve {
            self.alone.insert(version);
        }
    }

    /// Whether as many have approved a version as it takes.
    #[must_use]
    pub fn have_approved(&self, version: u32, needed: usize) -> bool {
        let votes = self.voted.iter().filter(|(of, _)| *of == version).count();
        votes >= needed || self.alone.contains(&version)
    }

    /// When they do something next.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.intents.iter().map(|intent| intent.at).min()
    }

    /// Reads new mails and makes up their minds about them; has whoever got an answer act on it.
    pub fn look(&mut self, world: &mut World, schedule: &Schedule, awake: bool) {
        let mails: Vec<Mail> = world
            .cloud()
            .inbox()
            .get(self.mails_read..)
            .unwrap_or_default()
            .to_vec();
        for mail in mails {
            self.mails_read += 1;
            let Some(link) = link_in(&mail) else { continue };
            if let Some((_, query)) = link.split_once('?') {
                let mac = query.rsplit_once('=').map_or(query, |(_, mac)| mac);
                self.secrets.insert(mac.to_owned());
            }
            if awake {
                self.react(world.cloud().now(), schedule, &mail, &link);
            }
        }
        for asked in std::mem::take(&mut self.asked) {
            match world.answer(asked.request) {
                None => self.asked.push(asked),
                Some(Ok(answer)) if answer.status < 500 => self.judge(&asked.intent, answer.status, &answer.body),
                Some(_) => self.again(world.cloud().now(), asked.intent),
            }
        }
    }

    /// What somebody makes of a mail.
    fn react(&mut self, now: Timestamp, schedule: &Schedule, mail: &Mail, link: &str) {
        let who = mail.to.split('@').next().unwrap_or_default().to_owned();
        let Some(version) = version_in(&mail.subject) else {
            return;
        };
        if self.obliges {
            if who == "lead" && link.contains("?c=") {
                let (at, deed) = (
                    now + seconds(OBLIGING_SECONDS),
                    Deed::Decide(link.to_owned(), Decision::Approve),
                );
                self.intents.push(Intent {
                    at,
                    who,
                    version,
                    deed,
                    tries: 0,
                });
            }
            return;
        }
        let mut dice = schedule.dice(&format!("react {who} {}", mail.subject));
        let take_back = link.contains("?u=");
        let drawn = dice.between(0, 100);
        let read = dice.of_these(120, &[20, 600, 2_400]);
        let read = now + seconds(dice.between(5, 5 + read));
        let page = read + seconds(dice.between(2, 60));
        let open = |at| (at, Deed::Open("GET", link.to_owned()));
        let by_link = |at, decision| (at, Deed::Decide(link.to_owned(), decision));
        let (what, deeds) = if take_back {
            match drawn {
                0..6 => (
                    "takes it back by the link",
                    vec![open(read), by_link(page, Decision::TakeBack)],
                ),
                6..8 => (
                    "forges an approval of the link",
                    vec![(read, Deed::Forge(link.replace("?u=", "?c="), "decision=approve".into()))],
                ),
                _ => return,
            }
        } else {
            match drawn {
                0..44 => (
                    "approves by the link",
                    vec![open(read), by_link(page, Decision::Approve)],
                ),
                44..54 => ("rejects by the link", vec![open(read), by_link(page, Decision::Reject)]),
                54..62 => (
                    "clicks twice",
                    vec![
                        open(read),
                        by_link(page, Decision::Approve),
                        by_link(page, Decision::Approve),
                    ],
                ),
                62..67 => (
                    "changes their mind",
                    vec![
                        by_link(page, Decision::Reject),
                        by_link(page + seconds(dice.between(0, 300)), Decision::Approve),
                    ],
                ),
                67..72 => (
                    "approves in the registry",
                    vec![(read, Deed::Registry(Decision::Approve))],
                ),
                72..76 => (
                    "rejects in the registry",
                    vec![(read, Deed::Registry(Decision::Reject))],
                ),
                76..80 => (
                    "approves in the console",
                    vec![(read, Deed::Console(Decision::Approve))],
                ),
                80..83 => ("rejects in the console", vec![(read, Deed::Console(Decision::Reject))]),
                83..87 => (
                    "approves by the link and rejects in the registry",
                    vec![
                        by_link(page, Decision::Approve),
                        (page, Deed::Registry(Decision::Reject)),
                    ],
                ),
                87..90 => (
                    "has a scanner read the mail",
                    vec![
                        (read, Deed::Open("HEAD", link.to_owned())),
                        open(read),
                        (read, Deed::Open("GET", format!("{link}&decision=approve"))),
                    ],
                ),
                90..94 => (
                    "forges a link",
                    vec![(
                        read,
                        Deed::Forge(forged(link, dice.between(0, 4)), "decision=approve&comment=".into()),
                    )],
                ),
                _ => return,
            }
        };
        let name = format!("{who} {what}: {}", mail.subject);
        if !schedule.has(&name) {
            return;
        }
        self.names.push(name);
        for (at, deed) in deeds {
            self.intents.push(Intent {
                at,
                who: who.clone(),
                version,
                deed,
                tries: 0,
            });
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// Where the page is not there at all.
    pub fn act(&mut self, world: &mut World) -> Result<()> {
        let now = world.cloud().now();
        let due = |intent: &Intent| intent.at <= now;
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.intents).into_iter().partition(due);
        self.intents = later;
        for intent in due {
            self.do_it(world, intent)?;
        }
        Ok(())
    }

    fn do_it(&mut self, world: &mut World, intent: Intent) -> Result<()> {
        let Intent { who, version, deed, .. } = &intent;
        let version = *version;
        self.done.push(match deed {
            Deed::Open(method, _) => format!("{who} opens the link of v{version} ({method})"),
            Deed::Decide(_, decision) => format!("{who} decides on the page: {} v{version}", decision.form()),
            Deed::Registry(decision) => format!("{who} sets v{version} {} in the registry", decision.api()),
            Deed::Console(decision) => format!("{who} answers in the console: v{version} {}", decision.api()),
            Deed::Forge(..) => format!("{who} forges a link of v{version}"),
        });
        let request = match deed {
            Deed::Open(method, link) => world.send_request(method, link, "")?,
            Deed::Decide(link, decision) => {
                self.decided.insert((version, *decision));
                if *decision == Decision::Approve {
                    self.voted.insert((version, who.clone()));
                }
                let body = format!("decision={}&comment=by+{who}", decision.form());
                world.send_request("POST", link, &body)?
            }
            Deed::Forge(link, body) => world.send_request("POST", link, body)?,
            Deed::Registry(decision) => {
                self.decide_alone(version, *decision);
                set_in_registry(world, version, *decision);
                return Ok(());
            }
            Deed::Console(decision) => {
                if answer_in_console(world, version, *decision) {
                    self.decide_alone(version, *decision);
                }
                return Ok(());
            }
        };
        self.asked.push(Asked { request, intent });
        Ok(())
    }

    /// Looks at a page that came.
    fn judge(&mut self, intent: &Intent, status: u16, page: &str) {
        if let Deed::Forge(link, _) = &intent.deed
            && (200..400).contains(&status)
        {
            self.wrong
                .push(format!("a forged link was answered {status}: {link}\n{page}"));
        }
    }

    /// Tries again in a minute.
    fn again(&mut self, now: Timestamp, intent: Intent) {
        if intent.tries < TRIES_MAX {
            let (at, tries) = (now + seconds(60), intent.tries + 1);
            self.intents.push(Intent { at, tries, ..intent });
        }
    }
}

/// Sets a version's status in the registry, as Studio does. Whether there was such a version.
pub fn set_in_registry(world: &World, version: u32, decision: Decision) -> bool {
    let arn = format!(
        "arn:aws:sagemaker:eu-west-1:123456789012:model-package/{}/{version}",
        crate::MODEL
    );
    let input =
        json!({"ModelPackageArn": arn, "ModelApprovalStatus": decision.api(), "ApprovalDescription": "in Studio"});
    world.call(Service::SageMaker, "UpdateModelPackage", &input).is_ok()
}

/// Answers the approval that waits, if it is of that version. Whether CodePipeline took it.
fn answer_in_console(world: &World, version: u32, decision: Decision) -> bool {
    let pipeline = format!("{}-release", crate::MODEL);
    let Ok(state) = world.call(Service::CodePipeline, "GetPipelineState", &json!({"name": pipeline})) else {
        return false;
    };
    let waits = state.pointer("/stageStates/1/actionStates/0/latestExecution");
    let token = waits.and_then(|waits| waits.get("token")).and_then(Value::as_str);
    let execution = state
        .pointer("/stageStates/1/latestExecution/pipelineExecutionId")
        .and_then(Value::as_str);
    let (Some(token), Some(execution)) = (token, execution) else {
        return false;
    };
    if version_of_release(world, &pipeline, execution) != Some(version) {
        return false;
    }
    let input = json!({"pipelineName": pipeline, "stageName": "Approve", "actionName": "Approve", "token": token,
        "result": {"status": decision.api(), "summary": "in the console"}});
    world.call(Service::CodePipeline, "PutApprovalResult", &input).is_ok()
}

/// Which version a release is of.
#[must_use]
pub fn version_of_release(world: &World, pipeline: &str, execution: &str) -> Option<u32> {
    let input = json!({"pipelineName": pipeline, "pipelineExecutionId": execution});
    let shown = world.call(Service::CodePipeline, "GetPipelineExecution", &input).ok()?;
    let variables = shown.pointer("/pipelineExecution/variables")?.as_array()?;
    let value = |variable: &Value| variable.get("resolvedValue")?.as_str().map(str::to_owned);
    let arn = variables
        .iter()
        .filter_map(value)
        .find(|value| value.contains(":model-package/"))?;
    arn.rsplit('/').next()?.parse().ok()
}

/// The link in a mail.
fn link_in(mail: &Mail) -> Option<String> {
    let mut words = mail.body.split_whitespace();
    words
        .find(|word| word.contains("/function-url/") && (word.contains("?c=") || word.contains("?u=")))
        .map(str::to_owned)
}

/// The version that a subject is about.
#[must_use]
pub fn version_in(subject: &str) -> Option<u32> {
    subject.split(' ').find_map(|word| {
        let digits = word.strip_prefix('v')?;
        digits.trim_end_matches(['?', ':', '.']).parse().ok()
    })
}

/// A link that nobody was sent: with another character somewhere, or a part of it missing.
fn forged(link: &str, place: u64) -> String {
    let at = link.len() * 3 / 4;
    let change = |at: usize| {
        let mut changed: Vec<char> = link.chars().collect();
        if let Some(c) = changed.get_mut(at) {
            *c = if *c == 'A' { 'B' } else { 'A' };
        }
        changed.into_iter().collect::<String>()
    };
    match place {
        0 => change(link.find('?').map_or(at, |query| query + 40)),
        1 => change(link.len() - 5),
        2 => link
            .rsplit_once('=')
            .map_or_else(String::new, |(claims, _)| format!("{claims}=")),
        _ => format!("{link}AAAA"),
    }
}
