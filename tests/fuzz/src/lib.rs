//! What the fuzz targets share: texts as an enemy writes them, and the evidence that is made of such.

use jiff::Timestamp;
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use signalbox_model::decision::{Decided, Decision};
use signalbox_model::evidence::{Champion, Evidence, GateVerdict};
use signalbox_model::lineage::{Lineage, Trigger, Window};
use signalbox_model::metrics::Metrics;
use signalbox_model::names::{ModelName, ModelPackageArn, ReleaseId};

/// What means something to HTML, Markdown, a chat, a mail program, a log or a name. Chance alone seldom writes it.
const PIECES: [&str; 64] = [
    "<",
    ">",
    "&",
    "\"",
    "'",
    "<script>",
    "</p>",
    "<!--",
    "-->",
    "<!channel>",
    "<@U1>",
    "@here",
    "[a](https://b.c)",
    "<http://a|b>",
    "http://",
    "HTTPS://",
    "https://a.b/?c=d",
    "www.",
    "WWW.",
    "s3://",
    "mailto:",
    "://",
    "`",
    "```",
    "~~~",
    "*",
    "_",
    "#",
    "|",
    "\\",
    "\n",
    "\r\n",
    "\r",
    "\t",
    " ",
    "\u{0}",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{202e}",
    "\u{200b}",
    "\u{feff}",
    "é",
    "\u{301}",
    "हि",
    "ⓐ",
    "½",
    "漢",
    "🚀",
    ": ",
    " by ",
    "approved",
    "held",
    "-v",
    "7",
    "{",
    "}",
    "#{a}",
    "${b}",
    "arn:aws:",
    "=",
    "&m=",
];

/// A text as an enemy writes it.
#[derive(Debug, Clone)]
pub struct Hostile(pub String);

impl<'a> Arbitrary<'a> for Hostile {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut text = String::new();
        for _ in 0..u.int_in_range(0_u8..=40)? {
            let choice: u8 = u.arbitrary()?;
            match PIECES.get(usize::from(choice)) {
                Some(piece) => text.push_str(piece),
                // A long run finds the bounds.
                None if choice > 250 => {
                    let piece = u.choose(&PIECES)?;
                    text.push_str(&piece.repeat(usize::from(u.arbitrary::<u16>()? % 512)));
                }
                None if choice > 200 => text.push(u.arbitrary()?),
                None => text.push(char::from(choice % 26 + b'a')),
            }
        }
        Ok(Self(text))
    }
}

impl Hostile {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A time that jiff can hold.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub Timestamp);

impl<'a> Arbitrary<'a> for Time {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let seconds = u.int_in_range(Timestamp::MIN.as_second()..=Timestamp::MAX.as_second())?;
        let time = Timestamp::new(seconds, u.int_in_range(0..=999_999_999)?);
        Ok(Self(time.unwrap_or(Timestamp::UNIX_EPOCH)))
    }
}

/// Somebody's decision.
#[derive(Debug, Clone, Arbitrary)]
pub struct Vote {
    approves: bool,
    by: Hostile,
    at: Option<Time>,
    comment: Hostile,
}

impl Vote {
    /// As the model has it.
    #[must_use]
    pub fn decided(&self) -> Decided {
        Decided {
            decision: if self.approves {
                Decision::Approve
            } else {
                Decision::Reject
            },
            by: self.by.0.clone(),
            at: self.at.map(|at| at.0),
            comment: self.comment.0.clone(),
        }
    }
}

/// Metrics by name.
pub type Numbers = Vec<(Hostile, f64)>;

/// The metrics; what is not finite is left out.
#[must_use]
pub fn metrics(numbers: &Numbers) -> Metrics {
    numbers.iter().map(|(name, value)| (name.0.clone(), *value)).collect()
}

/// All that people are shown of a version.
#[derive(Debug, Arbitrary)]
pub struct Shown {
    trigger: u8,
    words: [Option<Hostile>; 4],
    window: Option<(Option<Time>, Time)>,
    champion_then: Option<u32>,
    evidence: Vec<(Hostile, Hostile)>,
    metrics: Numbers,
    champion: Option<(u32, Numbers)>,
    accuracy_threshold: f64,
    gate: Vec<(Hostile, bool, Hostile)>,
    plan: Hostile,
    approvers: Vec<Hostile>,
    approvals_needed: u32,
    expires: Time,
    trained_seconds: Option<u64>,
}

impl Shown {
    /// As the model has it, of [`model`].
    #[must_use]
    pub fn evidence(&self) -> Option<Evidence> {
        let triggers = [
            Trigger::Push,
            Trigger::Schedule,
            Trigger::Data,
            Trigger::Drift,
            Trigger::Registry,
        ];
        let mut lineage = Lineage::of(*triggers.get(usize::from(self.trigger % 5))?);
        let [commit, author, message, data] = self.words.clone().map(|words| words.map(|words| words.0));
        (lineage.commit, lineage.author, lineage.message, lineage.data) = (commit, author, message, data);
        lineage.window = self.window.map(|(from, until)| Window {
            from: from.map(|from| from.0),
            until: until.0,
        });
        lineage.champion = self.champion_then;
        lineage.evidence = self
            .evidence
            .iter()
            .map(|(name, value)| (name.0.clone(), value.0.clone()))
            .collect();
        let verdict = |(name, held, text): &(Hostile, bool, Hostile)| GateVerdict {
            name: name.0.clone(),
            held: *held,
            text: text.0.clone(),
        };
        Some(Evidence {
            model: model()?,
            package: package()?,
            lineage,
            metrics: metrics(&self.metrics),
            champion: self.champion.as_ref().map(|(version, numbers)| Champion {
                version: *version,
                metrics: metrics(numbers),
            }),
            accuracy_threshold: self.accuracy_threshold,
            gate: self.gate.iter().map(verdict).collect(),
            plan: self.plan.0.clone(),
            approvers: self.approvers.iter().map(|approver| approver.0.clone()).collect(),
            approvals_needed: self.approvals_needed,
            expires: self.expires.0,
            trained_seconds: self.trained_seconds,
        })
    }
}

/// The model of every input: its name is the template's, and no stranger's.
#[must_use]
pub fn model() -> Option<ModelName> {
    "churn".parse().ok()
}

/// Its version.
#[must_use]
pub fn package() -> Option<ModelPackageArn> {
    "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7"
        .parse()
        .ok()
}

/// A release of it.
#[must_use]
pub fn release() -> Option<ReleaseId> {
    "01234567-89ab-cdef-0123-456789abcdef".parse().ok()
}

/// Whether a character is one that hides or reorders what stands around it, or controls a terminal. Said anew here, so that a law does
/// not rest on what it is to hold.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}
