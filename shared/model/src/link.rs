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
            return Err(Refusal::NoLongerWaits);
        };
        if claims.token_digest != token_digest(waiting.token)
            || claims.release != *waiting.release
            || claims.package != *waiting.package
        {
            return Err(Refusal::NoLongerWaits);
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
    #[error("The time to decide is over. Nothing was decided with this link.")]
    Expired,
    /// The approval was decided or stopped already, or another release waits in its place.
    #[error(
        "The approval was decided already, its release was stopped, or another release waits in its place. Nothing was \
         decided with this link."
    )]
    NoLongerWaits,
    /// A newer version passed its gate while this one waited. Only the registry knows, so [`SignedLink::check`] does not find it.
    #[error("v{by} passed its gate while this version waited for approval. Nothing was decided with this link.")]
    Superseded {
        /// The newer version.
        by: u32,
    },
    /// The link is about another approval.
    #[error("It belongs to another approval than the one of this page. Nothing was decided with it.")]
    OtherApproval,
    /// What the approver was shown is no longer so.
    #[error("It is no longer what the mail with this link showed. Nothing was decided.")]
    EvidenceChanged,
    /// The person is no longer among those who are asked. [`SignedLink::check`] does not know who is.
    #[error(
        "Whoever this link was made for is no longer among the approvers of this model. Nothing was decided with it."
    )]
    NotAnApprover,
}

impl Refusal {
    /// What happened, as the title of a page.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Expired => "This link has expired",
            Self::NoLongerWaits => "This approval no longer waits",
            Self::Superseded { .. } => "A newer version took its place",
            Self::OtherApproval => "This link is for another approval",
            Self::EvidenceChanged => "What you were shown has changed",
            Self::NotAnApprover => "You are no longer asked",
        }
    }

    /// What the person can do now.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Expired => "To release this version after all, approve it in the model registry (SageMaker Studio).",
            Self::NoLongerWaits => "There is nothing left to do. The mail about the outcome says how it ended.",
            Self::Superseded { .. } => {
                "Whoever decides on the newer version has a mail about it. To release this one after all, approve it \
                 in the model registry (SageMaker Studio)."
            }
            Self::OtherApproval => "Open the link from the mail again, without changing the address.",
            Self::EvidenceChanged => {
                "Another version may serve by now, or the policy is a new one. Use the link in the newest mail about \
                 this version. If there is no newer mail, decide in the model registry (SageMaker Studio); the waiting \
                 release follows that decision."
            }
            Self::NotAnApprover => {
                "The others who were asked can decide. If you should be asked, have the list of approvers changed."
            }
        }
    }
}

#[cfg(test)]
mod tests;
