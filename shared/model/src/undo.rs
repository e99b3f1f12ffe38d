//! Taking a version back after it was deployed: what can be named, and the link in the mail that says it was deployed.
//!
//! The link claims that the holder may take back one release while it serves. It goes to all who get the notices: it can only bring
//! back what was approved and served before. Like an approval's link it does nothing by GET, and it is nothing without its MAC.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::link::{LinkError, address, parts};
use crate::names::{ModelPackageArn, ReleaseId, digest, number};

/// How long the link counts.
pub const LINK_LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);
/// What every signed message begins with, so that the MAC of an approval's link is never one of these.
const TAG: &[u8] = b"signalbox rollback 1\n";
/// The longest reason, in characters: user parameters are at most 1000 in all.
const REASON_CHARS_MAX: usize = 300;

/// What is to be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undoes {
    /// Whatever serves now.
    Serving,
    /// That version, if it serves.
    Version(u32),
}

impl FromStr for Undoes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "serving" {
            return Ok(Self::Serving);
        }
        // The pipeline's default: CodePipeline starts every pipeline once when it is created, and that must take nothing back.
        if text == "nothing" {
            return Err(
                "it names nothing to take back: start the pipeline with `serving`, or the number of a version"
                    .to_owned(),
            );
        }
        number(text.strip_prefix('v').unwrap_or(text))
            .map(Self::Version)
            .ok_or_else(|| format!("`{text}` is neither `serving` nor the number of a version"))
    }
}

impl fmt::Display for Undoes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving => f.write_str("serving"),
            Self::Version(version) => write!(f, "{version}"),
        }
    }
}

/// What is noted when people were told at that time that a rollback has failed.
#[must_use]
pub fn told_failure(rollback: &ReleaseId, at: Timestamp) -> String {
    format!("{rollback} {}", at.as_second())
}

/// Whether that note is of the rollback's try that began then: CodePipeline's retry of a stage is a try of the same rollback, and its
/// failure is to be told again.
#[must_use]
pub fn was_failure_told(note: &str, rollback: &ReleaseId, began: Timestamp) -> bool {
    let told_at = |text: &str| text.parse::<i64>().ok();
    note.split_once(' ')
        .is_some_and(|(of, at)| of == rollback.as_str() && told_at(at).is_some_and(|at| began.as_second() <= at))
}

/// What a version is taken back for, by the reason that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// An alarm fired after it was deployed, or as it took over.
    Alarm,
    /// It was rejected in the model registry while it served.
    Rejected,
    /// Somebody wanted it, by the link in a mail or by the pipeline.
    Person,
    /// SageMaker took it back itself, while it was deployed.
    Deployment,
}

/// How the reasons begin that the train gives.
const ALARM: &str = "the alarm ";
const REJECTED: &str = "rejected in the model registry";

impl Cause {
    /// Reads the reason of a rollback. What the train has not written, a person has.
    #[must_use]
    pub fn of(reason: &str) -> Self {
        if reason.starts_with(ALARM) {
            Self::Alarm
        } else if reason.starts_with(REJECTED) {
            Self::Rejected
        } else {
            Self::Person
        }
    }

    /// The word that stands for it in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Rejected => "rejected",
            Self::Person => "person",
            Self::Deployment => "deployment",
        }
    }
}

/// The reason to take a version back for which an alarm fired, and what it saw.
#[must_use]
pub fn alarm_fired(alarm: &str, when: &str, saw: &str) -> String {
    format!("{ALARM}{alarm} fired {when}: {saw}")
}

/// The reason to take a version back that was rejected in the registry; `more` is how it goes on.
#[must_use]
pub fn was_rejected(more: &str) -> String {
    format!("{REJECTED}{more}")
}

/// A reason as it can be put into a pipeline variable that stands inside JSON: one line, without what JSON escapes.
#[must_use]
pub fn reason_variable(reason: &str) -> String {
    let fit = |c: char| match c {
        '"' => '\'',
        '\\' => '/',
        // CodePipeline would take it for a variable of its own.
        '#' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    let reason: String = reason.chars().take(REASON_CHARS_MAX).map(fit).collect();
    // A variable has at least one character.
    if reason.trim().is_empty() {
        "not given".to_owned()
    } else {
        reason
    }
}

/// What the link claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The version that may be taken back.
    #[serde(rename = "v")]
    pub package: ModelPackageArn,
    /// The release that deployed it.
    #[serde(rename = "r")]
    pub release: ReleaseId,
    /// The first moment at which the link no longer counts.
    #[serde(rename = "x")]
    pub expires: Timestamp,
}

impl Claims {
    /// The bytes that KMS signs.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let (package, expires) = (self.package.to_string(), self.expires.to_string());
        let parts = [package.as_bytes(), self.release.as_str().as_bytes(), expires.as_bytes()];
        let mut message = TAG.to_vec();
        message.extend(digest(&parts).into_bytes());
        message
    }

    fn json(&self) -> Vec<u8> {
        // A struct of strings can't fail to serialise; no bytes would parse as no claims.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The link's address.
    #[must_use]
    pub fn url(&self, page_url: &str, mac: &[u8]) -> String {
        address(page_url, "u", &self.json(), mac)
    }

    /// Whether a query asks for a rollback: what it claims is another matter.
    #[must_use]
    pub fn are_in(query: &str) -> bool {
        query.split('&').any(|part| part.starts_with("u="))
    }

    /// Reads the query of an opened link, which anybody may have written, with the MAC that KMS has to verify.
    ///
    /// # Errors
    /// Where the two parts are not each there once, or are not exactly as [`url`](Self::url) writes them.
    pub fn parse(query: &str) -> Result<(Self, Vec<u8>), LinkError> {
        let (json, mac) = parts(query, "u")?;
        let claims: Self = serde_json::from_slice(&json).map_err(|_| LinkError::Malformed("u"))?;
        if claims.json() == json {
            Ok((claims, mac))
        } else {
            Err(LinkError::Malformed("u"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_failure_is_told_once_for_each_try() {
        let rollback: ReleaseId = "89abcdef-0123-4567-89ab-cdef01234567".parse().unwrap();
        let other: ReleaseId = "01234567-89ab-cdef-0123-456789abcdef".parse().unwrap();
        let time = |second| Timestamp::from_second(second).unwrap();
        let note = told_failure(&rollback, time(1_800_000_060));
        for (of, began, expected) in [
            (&rollback, 1_800_000_000, true),
            (&rollback, 1_800_000_060, true),
            // The stage was retried since.
            (&rollback, 1_800_000_061, false),
            (&other, 1_800_000_000, false),
        ] {
            assert_eq!(was_failure_told(&note, of, time(began)), expected, "{of} {began}");
        }
        for note in ["", rollback.as_str(), "89abcdef-0123-4567-89ab-cdef01234567 soon"] {
            assert!(!was_failure_told(note, &rollback, time(0)), "{note}");
        }
    }

    fn claims() -> Claims {
        Claims {
            package: "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7"
                .parse()
                .unwrap(),
            release: "01234567-89ab-cdef-0123-456789abcdef".parse().unwrap(),
            expires: "2026-03-01T20:22:00Z".parse().unwrap(),
        }
    }

    fn query() -> String {
        claims().url("", &[7; 32]).trim_start_matches('?').to_owned()
    }

    #[test]
    fn links_are_read_back() {
        assert!(Claims::are_in(&query()));
        assert!(Claims::are_in(&format!("utm_source=mail&{}", query())));
        assert!(!Claims::are_in("c=e30&m=AA&qu=ou=1") && !Claims::are_in(""));
        assert_eq!(Claims::parse(&query()), Ok((claims(), vec![7; 32])));
        assert_eq!(
            Claims::parse(&format!("{}&utm_source=mail", query())),
            Ok((claims(), vec![7; 32]))
        );
        for bad in ["", "u=", "u=e30&m=AA", "c=e30&m=AA", &format!("{0}&{0}", query())] {
            assert!(Claims::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_link_counts_for_thirty_days() {
        let deployed: Timestamp = "2026-03-01T20:22:00Z".parse().unwrap();
        assert_eq!((deployed + LINK_LIFETIME).to_string(), "2026-03-31T20:22:00Z");
    }

    #[test]
    fn what_is_signed_is_no_approval_and_depends_on_every_claim() {
        let message = claims().message();
        assert!(message.starts_with(b"signalbox rollback 1"));
        let others = [
            Claims {
                package: claims().package.with_version(8),
                ..claims()
            },
            Claims {
                release: "11234567-89ab-cdef-0123-456789abcdef".parse().unwrap(),
                ..claims()
            },
            Claims {
                expires: "2026-03-01T20:23:00Z".parse().unwrap(),
                ..claims()
            },
        ];
        assert!(others.iter().all(|other| other.message() != message));
    }

    #[test]
    fn versions_are_named() {
        for (text, expected) in [
            ("serving", Some(Undoes::Serving)),
            ("7", Some(Undoes::Version(7))),
            ("v7", Some(Undoes::Version(7))),
            ("0", None),
            ("+7", None),
            ("v07", None),
            ("nothing", None),
            ("", None),
            ("seven", None),
        ] {
            assert_eq!(text.parse::<Undoes>().ok(), expected, "{text}");
        }
        for (undoes, text) in [(Undoes::Serving, "serving"), (Undoes::Version(7), "7")] {
            assert_eq!(undoes.to_string(), text);
        }
        let refusal = |text: &str| text.parse::<Undoes>().unwrap_err();
        assert!(refusal("nothing").starts_with("it names nothing to take back"));
        assert!(refusal("seven").starts_with("`seven` is neither"));
    }

    #[test]
    fn reasons_are_made_fit_for_the_pipeline() {
        for (reason, expected) in [
            ("too slow", "too slow"),
            (r#"it says "no""#, "it says 'no'"),
            (r"C:\models", "C:/models"),
            ("#{variables.Undoes}", " {variables.Undoes}"),
            ("two\nlines", "two lines"),
            (" \n", "not given"),
            ("", "not given"),
        ] {
            assert_eq!(reason_variable(reason), expected);
        }
    }

    #[test]
    fn causes_are_read_from_what_the_train_writes() {
        let long = "0.25 was greater than the threshold ".repeat(20);
        for (reason, expected) in [
            (alarm_fired("churn-5xx", "after the deployment", &long), Cause::Alarm),
            (
                alarm_fired("churn-\"5xx\"", "as the version took over", "0.3"),
                Cause::Alarm,
            ),
            (was_rejected(": wrong prices"), Cause::Rejected),
            (was_rejected(" while it was deployed"), Cause::Rejected),
            (
                "by the link in the mail about its deployment: the alarm churn-5xx fired".to_owned(),
                Cause::Person,
            ),
            ("a person asked for it".to_owned(), Cause::Person),
            (String::new(), Cause::Person),
        ] {
            // As it comes back from the pipeline.
            assert_eq!(Cause::of(&reason_variable(&reason)), expected, "{reason}");
        }
        let words = [Cause::Alarm, Cause::Rejected, Cause::Person, Cause::Deployment].map(Cause::as_str);
        assert_eq!(
            words,
            ["alarm", "rejected", "person", "deployment"],
            "what dashboards ask for"
        );
    }

    proptest! {
        /// Whatever the reason, the user parameters that it is put into are JSON, and short enough.
        #[test]
        fn reasons_stay_inside_their_json(reason in any::<String>()) {
            let variable = reason_variable(&reason);
            let parameters = format!(r#"{{"reason": "{variable}"}}"#);
            let read: serde_json::Value = serde_json::from_str(&parameters).unwrap();
            prop_assert_eq!(read["reason"].as_str(), Some(variable.as_str()));
            prop_assert!((1..=300).contains(&variable.chars().count()));
        }

        #[test]
        fn no_altered_link_is_the_same_link(position in 0..400usize, byte in any::<u8>()) {
            let mut altered = query().into_bytes();
            let position = position % altered.len();
            altered[position] = byte;
            if let Ok(altered) = String::from_utf8(altered)
                && altered != query()
                && let Ok((read, mac)) = Claims::parse(&altered)
            {
                prop_assert!(read.message() != claims().message() || mac != [7; 32], "{altered}");
            }
        }
    }
}
