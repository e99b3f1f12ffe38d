//! The link in an approval mail: what it claims, how it travels, and when it no longer counts.
//!
//! The claims are readable; what makes them true is a MAC that KMS generates over [`Claims::message`] and verifies again when the
//! link is opened. Nothing here holds a key. A link that parses is still a stranger's word until KMS has verified it.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::{ModelName, ModelPackageArn, ReleaseId, digest};

/// The longest query that is looked at, in bytes. Mail gateways that wrap links add parameters of their own.
pub const QUERY_BYTES_MAX: usize = 8192;
/// The longest name of a pipeline, stage or action, in characters, as CodePipeline has it.
const NAME_CHARS_MAX: usize = 100;
/// The longest mail address, in bytes: 64 for the mailbox, `@`, 255 for the domain.
const APPROVER_BYTES_MAX: usize = 320;
/// The sizes of KMS's MACs, in bytes: HMAC_224, HMAC_256, HMAC_384, HMAC_512.
const MAC_BYTES: [usize; 4] = [28, 32, 48, 64];
/// What every signed message begins with, so that a MAC made with the same key for something else is never one of these.
const TAG: &[u8] = b"signalbox approval 1\n";

/// What a link claims: that one approver may decide on one version in one waiting approval, on this evidence, until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The release pipeline.
    #[serde(rename = "p")]
    pub pipeline: String,
    /// The stage of the approval.
    #[serde(rename = "s")]
    pub stage: String,
    /// The approval action.
    #[serde(rename = "a")]
    pub action: String,
    /// [`token_digest`] of the approval's token. The token itself answers the approval, so it must not travel by mail.
    #[serde(rename = "t")]
    pub token_digest: String,
    /// The release that waits.
    #[serde(rename = "r")]
    pub release: ReleaseId,
    /// The version to decide on.
    #[serde(rename = "v")]
    pub package: ModelPackageArn,
    /// Whom the link was made for.
    #[serde(rename = "w")]
    pub approver: String,
    /// The first moment at which it no longer counts.
    #[serde(rename = "x")]
    pub expires: Timestamp,
    /// [`Evidence::digest`](crate::evidence::Evidence::digest) of what the approver was shown.
    #[serde(rename = "e")]
    pub evidence: String,
}

/// The digest of an approval's token: tells whether it is the same, without being it.
#[must_use]
pub fn token_digest(token: &str) -> String {
    digest(&[b"signalbox token 1", token.as_bytes()])
}

impl Claims {
    /// The bytes that KMS signs: the same for equal claims, different for any other, and always far below the 4096 that GenerateMac
    /// takes, however long a name is.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let Self {
            pipeline,
            stage,
            action,
            token_digest,
            release,
            package,
            approver,
            expires,
            evidence,
        } = self;
        let (package, expires) = (package.to_string(), expires.to_string());
        let parts = [
            pipeline,
            stage,
            action,
            token_digest,
            release.as_str(),
            &package,
            approver,
            &expires,
            evidence,
        ];
        let mut message = TAG.to_vec();
        message.extend(digest(&parts.map(str::as_bytes)).into_bytes());
        message
    }

    fn json(&self) -> Vec<u8> {
        // A struct of strings can't fail to serialise; no bytes would parse as no claims.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn is_plausible(&self) -> bool {
        let name = |name: &str| !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX;
        let sha256 = |hex: &str| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        [&self.pipeline, &self.stage, &self.action]
            .into_iter()
            .all(|text| name(text))
            && (1..=APPROVER_BYTES_MAX).contains(&self.approver.len())
            && sha256(&self.token_digest)
            && sha256(&self.evidence)
    }
}

/// Claims with the MAC that may make them true.
///
/// Whoever has it can decide, so [`fmt::Debug`] shows neither the MAC nor the link.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedLink {
    /// What it claims.
    pub claims: Claims,
    /// What KMS answered to [`Claims::message`], or what came in its place.
    pub mac: Vec<u8>,
}

impl fmt::Debug for SignedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedLink")
            .field("package", &self.claims.package)
            .field("release", &self.claims.release)
            .field("approver", &self.claims.approver)
            .finish_non_exhaustive()
    }
}

/// Why a query is no link. Never holds what stood there: that may be all but one character of a valid link, and errors are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Longer than [`QUERY_BYTES_MAX`].
    #[error("the link is longer than any that is sent")]
    TooLong,
    /// A part is not there: the mail program broke the link, or it never was one.
    #[error("the link lacks its part `{0}`")]
    Missing(&'static str),
    /// A part is there twice, so that two readers could read two links.
    #[error("the link has its part `{0}` twice")]
    Repeated(&'static str),
    /// A part is not what it should be.
    #[error("the link's part `{0}` can't be read")]
    Malformed(&'static str),
}

impl SignedLink {
    /// The link's address: `page_url`, which has no query of its own, with claims and MAC.
    #[must_use]
    pub fn url(&self, page_url: &str) -> String {
        address(page_url, "c", &self.claims.json(), &self.mac)
    }

    /// Reads the query of an opened link, which anybody may have written. Parameters that mail programs add are passed over.
    ///
    /// # Errors
    /// Where the two parts are not each there once, or are not exactly as [`url`](Self::url) writes them.
    pub fn parse(query: &str) -> Result<Self, LinkError> {
        let (json, mac) = parts(query, "c")?;
        let malformed = LinkError::Malformed("c");
        let claims: Claims = serde_json::from_slice(&json).map_err(|_| malformed)?;
        // One set of claims has one text, so that nothing in a link is outside of what is signed.
        if !claims.is_plausible() || claims.json() != json {
            return Err(malformed);
        }
        Ok(Self { claims, mac })
    }

    /// Whether the link, once KMS has verified it, still decides what waits now.
    ///
    /// # Errors
    /// The refusal, for the person who opened it.
    pub fn check(&self, now: Timestamp, expected: &Expected<'_>) -> Result<(), Refusal> {
        let claims = &self.claims;
        let here = (
            expected.pipeline,
            expected.stage,
            expected.action,
            expected.model.as_str(),
        );
        if (
            &*claims.pipeline,
            &*claims.stage,
            &*claims.action,
            claims.package.group(),
        ) != here
        {
            return Err(Refusal::OtherApproval);
        }
        if now >= claims.expires {
            return Err(Refusal::Expired);
        }
        let Some(waiting) = &expected.waiting else {
            return Err(Refusal::Superseded);
        };
        if claims.token_digest != token_digest(waiting.token)
            || claims.release != *waiting.release
            || claims.package != *waiting.package
        {
            return Err(Refusal::Superseded);
        }
        if claims.evidence != waiting.evidence {
            return Err(Refusal::EvidenceChanged);
        }
        Ok(())
    }
}

/// The claims (the part of that name) and the MAC of an opened link's query, each there once; other parameters are passed over.
pub(crate) fn parts(query: &str, claims: &'static str) -> Result<(Vec<u8>, Vec<u8>), LinkError> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(LinkError::TooLong);
    }
    let part = |name: &'static str| {
        let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        let (_, value) = values.next().ok_or(LinkError::Missing(name))?;
        if values.next().is_some() {
            return Err(LinkError::Repeated(name));
        }
        BASE64_URL_SAFE_NO_PAD
            .decode(value.as_bytes())
            .map_err(|_| LinkError::Malformed(name))
    };
    let (json, mac) = (part(claims)?, part("m")?);
    if !MAC_BYTES.contains(&mac.len()) {
        return Err(LinkError::Malformed("m"));
    }
    Ok((json, mac))
}

/// A link's address: `page_url`, which has no query of its own, with the claims under that name, and the MAC.
pub(crate) fn address(page_url: &str, name: &str, claims: &[u8], mac: &[u8]) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    format!("{page_url}?{name}={}&m={}", encode(claims), encode(mac))
}

/// What a link must be about to count. Has no `Debug`, as it holds the approval's token.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// This stack's release pipeline.
    pub pipeline: &'a str,
    /// The stage of its approval.
    pub stage: &'a str,
    /// Its approval action.
    pub action: &'a str,
    /// This stack's model.
    pub model: &'a ModelName,
    /// The approval that waits now, if one does.
    pub waiting: Option<Waiting<'a>>,
}

/// An approval that waits. Has no `Debug`, as it holds the approval's token.
#[derive(Clone, Copy)]
pub struct Waiting<'a> {
    /// The approval's token, as GetPipelineState shows it.
    pub token: &'a str,
    /// The release that waits.
    pub release: &'a ReleaseId,
    /// The version that it would deploy.
    pub package: &'a ModelPackageArn,
    /// [`Evidence::digest`](crate::evidence::Evidence::digest) of what would be shown now.
    pub evidence: &'a str,
}

/// Why a link that is ours decides nothing, in words for the person who opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Its time is over.
    #[error("This link has expired. Nothing was decided with it.")]
    Expired,
    /// The approval was decided already, or another release waits in its place.
    #[error("This approval no longer waits: it was decided already, or a newer release took its place.")]
    Superseded,
    /// The link is about another approval.
    #[error("This link belongs to another approval than the one on this page.")]
    OtherApproval,
    /// What the approver was shown is no longer so.
    #[error("What you were shown has changed since the link was sent, so nothing was decided.")]
    EvidenceChanged,
}

impl Refusal {
    /// What the person can do now.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Expired => "To release this version after all, approve it in the model registry (SageMaker Studio).",
            Self::Superseded => "There is nothing left to do. The mail about the outcome says how it ended.",
            Self::OtherApproval => "Open the link from the mail again, without changing the address.",
            Self::EvidenceChanged => {
                "Another version may serve by now, or the policy is a new one. Look at the version in the model registry (SageMaker \
                 Studio) and decide there; the waiting release follows that decision."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "1a2b3c4d-573f-4ea7-a67e-9d2a4e0d5b57";
    const RELEASE: &str = "01234567-89ab-cdef-0123-456789abcdef";
    const PAGE: &str = "https://abc.lambda-url.eu-west-1.on.aws/";

    fn claims() -> Claims {
        Claims {
            pipeline: "churn-release".into(),
            stage: "Approve".into(),
            action: "Approve".into(),
            token_digest: token_digest(TOKEN),
            release: RELEASE.parse().unwrap(),
            package: "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7"
                .parse()
                .unwrap(),
            approver: "ada@example.com".into(),
            expires: "2026-03-01T20:22:00Z".parse().unwrap(),
            evidence: "e".repeat(64),
        }
    }

    fn link() -> SignedLink {
        SignedLink {
            claims: claims(),
            mac: (0..32).collect(),
        }
    }

    fn query(link: &SignedLink) -> String {
        link.url("").trim_start_matches('?').to_owned()
    }

    #[test]
    fn neither_mac_nor_token_nor_link_is_shown() {
        let link = link();
        let url = link.url(PAGE);
        assert!(url.starts_with("https://abc.lambda-url.eu-west-1.on.aws/?c="), "{url}");
        assert!(url.len() < 1000, "{}", url.len());
        let (_, parts) = url.split_once("?c=").unwrap();
        let debug = format!("{link:?}");
        assert_eq!(
            debug,
            "SignedLink { package: ModelPackageArn { partition: \"aws\", region: \"eu-west-1\", account: \"123456789012\", \
             group: \"churn\", version: 7 }, release: ReleaseId(\"01234567-89ab-cdef-0123-456789abcdef\"), approver: \
             \"ada@example.com\", .. }"
        );
        assert!(!debug.contains(parts));
        assert!(!String::from_utf8(link.claims.json()).unwrap().contains(TOKEN));
    }

    #[test]
    fn each_claim_is_signed() {
        let message = claims().message();
        assert!(message.starts_with(b"signalbox approval 1\n"));
        type Change = fn(&mut Claims);
        let changes: [Change; 10] = [
            |c| c.pipeline.push('x'),
            |c| c.stage.push('x'),
            |c| c.action.push('x'),
            |c| c.token_digest = token_digest("other"),
            |c| c.release = "11234567-89ab-cdef-0123-456789abcdef".parse().unwrap(),
            |c| c.package = c.package.with_version(8),
            |c| c.approver = "eve@example.com".into(),
            |c| c.expires = "2027-03-01T20:22:00Z".parse().unwrap(),
            |c| c.evidence = "f".repeat(64),
            // Moves a character over the border between two parts.
            |c| (c.pipeline, c.stage) = ("churn-releaseA".into(), "pprove".into()),
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut other = claims();
            change(&mut other);
            assert_ne!(other.message(), message, "change {i}");
        }
        let mut long = claims();
        long.approver = "x".repeat(10_000);
        assert!(long.message().len() <= 4096);
    }

    #[test]
    fn strange_queries_are_refused() {
        let good = query(&link());
        let (c, m) = good.split_once('&').unwrap();
        let encode = |json: &str| format!("c={}&{m}", BASE64_URL_SAFE_NO_PAD.encode(json));
        let json = String::from_utf8(claims().json()).unwrap();
        for (query, expected) in [
            (String::new(), LinkError::Missing("c")),
            (c.to_owned(), LinkError::Missing("m")),
            (m.to_owned(), LinkError::Missing("c")),
            (format!("{good}&{c}"), LinkError::Repeated("c")),
            (format!("{good}&{m}"), LinkError::Repeated("m")),
            (format!("{c}&m="), LinkError::Malformed("m")),
            (format!("{c}&m=AAAA"), LinkError::Malformed("m")),
            (format!("{good}="), LinkError::Malformed("m")),
            (format!("{good}%00"), LinkError::Malformed("m")),
            (format!("c=%ff%fe&{m}"), LinkError::Malformed("c")),
            (format!("{good}&x={}", "x".repeat(9000)), LinkError::TooLong),
            (encode(""), LinkError::Malformed("c")),
            (encode("{}"), LinkError::Malformed("c")),
            (encode(&"[".repeat(5000)), LinkError::Malformed("c")),
            (encode(&format!("{json} ")), LinkError::Malformed("c")),
            (encode(&json.replacen('{', "{\"z\":1,", 1)), LinkError::Malformed("c")),
            (
                encode(&json.replacen('{', "{\"w\":\"eve\",", 1)),
                LinkError::Malformed("c"),
            ),
            (encode(&json.replace("ada@example.com", "")), LinkError::Malformed("c")),
            (
                encode(&json.replace("ada@", &"a".repeat(400))),
                LinkError::Malformed("c"),
            ),
            (encode(&json.replace(":22:00Z", ":22Z")), LinkError::Malformed("c")),
            (encode(&json.replace("eeee", "EEEE")), LinkError::Malformed("c")),
            (
                encode(&json.replace("/churn/7", "/churn/07")),
                LinkError::Malformed("c"),
            ),
        ] {
            assert_eq!(SignedLink::parse(&query), Err(expected), "{query}");
        }
        let tracked = format!("utm_source=mail&{good}&fbclid=1");
        assert_eq!(SignedLink::parse(&tracked), Ok(link()));
    }

    #[test]
    fn a_link_counts_for_one_approval() {
        let other_release: ReleaseId = "11234567-89ab-cdef-0123-456789abcdef".parse().unwrap();
        let (model, other_model): (ModelName, ModelName) = ("churn".parse().unwrap(), "spam".parse().unwrap());
        let (claims, evidence) = (claims(), "e".repeat(64));
        let other_package = claims.package.with_version(8);
        let waiting = Waiting {
            token: TOKEN,
            release: &claims.release,
            package: &claims.package,
            evidence: &evidence,
        };
        let expected = Expected {
            pipeline: "churn-release",
            stage: "Approve",
            action: "Approve",
            model: &model,
            waiting: Some(waiting),
        };
        let with = |waiting| Expected {
            waiting: Some(waiting),
            ..expected
        };
        let (early, last, late) = ("2026-02-01T00:00:00Z", "2026-03-01T20:21:59Z", "2026-03-01T20:22:00Z");
        for (i, (now, expected, verdict)) in [
            (early, expected, Ok(())),
            (last, expected, Ok(())),
            (late, expected, Err(Refusal::Expired)),
            (
                early,
                Expected {
                    pipeline: "spam-release",
                    ..expected
                },
                Err(Refusal::OtherApproval),
            ),
            (
                early,
                Expected {
                    stage: "Deploy",
                    ..expected
                },
                Err(Refusal::OtherApproval),
            ),
            (
                early,
                Expected {
                    action: "Deploy",
                    ..expected
                },
                Err(Refusal::OtherApproval),
            ),
            (
                early,
                Expected {
                    model: &other_model,
                    ..expected
                },
                Err(Refusal::OtherApproval),
            ),
            (
                early,
                Expected {
                    waiting: None,
                    ..expected
                },
                Err(Refusal::Superseded),
            ),
            (
                early,
                with(Waiting {
                    token: "another",
                    ..waiting
                }),
                Err(Refusal::Superseded),
            ),
            (
                early,
                with(Waiting {
                    release: &other_release,
                    ..waiting
                }),
                Err(Refusal::Superseded),
            ),
            (
                early,
                with(Waiting {
                    package: &other_package,
                    ..waiting
                }),
                Err(Refusal::Superseded),
            ),
            (
                early,
                with(Waiting {
                    evidence: "else",
                    ..waiting
                }),
                Err(Refusal::EvidenceChanged),
            ),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(link().check(now.parse().unwrap(), &expected), verdict, "case {i}");
        }
    }

    prop_compose! {
        fn any_link()(pipeline in "[A-Za-z0-9.@_-]{1,100}", stage in ".{1,100}", approver in "\\PC{1,80}@x", seconds in 0..4_000_000_000_i64,
                      version in 1..=u32::MAX, token in any::<String>(), evidence in any::<Vec<u8>>(),
                      mac in proptest::collection::vec(any::<u8>(), 32)) -> SignedLink {
            SignedLink {
                claims: Claims {
                    pipeline,
                    stage,
                    token_digest: token_digest(&token),
                    package: claims().package.with_version(version),
                    approver,
                    expires: Timestamp::from_second(seconds).unwrap(),
                    evidence: digest(&[&evidence]),
                    ..claims()
                },
                mac,
            }
        }
    }

    proptest! {
        #[test]
        fn links_round_trip(link in any_link()) {
            prop_assert!(link.url(PAGE).is_ascii());
            prop_assert_eq!(SignedLink::parse(&query(&link)), Ok(link.clone()));
            prop_assert!(link.claims.message().len() <= 4096);
        }

        #[test]
        fn an_altered_link_never_passes_for_the_signed_one(link in any_link(), at in any::<prop::sample::Index>(), with in "[ -~]{0,3}",
                                                           cut in 0_usize..4) {
            let query = query(&link);
            let at = at.index(query.len());
            let end = (at + cut).min(query.len());
            let altered = format!("{}{with}{}", &query[..at], &query[end..]);
            if let Ok(read) = SignedLink::parse(&altered) {
                // Either it says the same (a parameter was added), or KMS sees another message or another MAC.
                prop_assert!(read == link || read.claims.message() != link.claims.message() || read.mac != link.mac);
                prop_assert_eq!(read.claims == link.claims, read.claims.message() == link.claims.message());
            }
        }

        #[test]
        fn nothing_makes_it_panic(query in any::<String>()) {
            prop_assert!(SignedLink::parse(&query).is_err());
        }
    }
}
