//! What a person sends with the form.

use crate::decision::Decision;

/// The longest comment, in characters.
pub const COMMENT_CHARS_MAX: usize = 400;
/// The longest form that is looked at, in bytes: a comment whose every character is four percent-encoded bytes, and the rest.
pub const FORM_BYTES_MAX: usize = COMMENT_CHARS_MAX * 12 + 256;

/// What a person sent with the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which button.
    pub decision: Decision,
    /// The comment, trimmed, with plain line ends; may be empty.
    pub comment: String,
}

/// Why a form decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Longer than [`FORM_BYTES_MAX`], or its comment longer than [`COMMENT_CHARS_MAX`].
    #[error("the comment is longer than {COMMENT_CHARS_MAX} characters")]
    TooLong,
    /// Not exactly one decision, or one that is neither of the two.
    #[error("the form says neither approve nor reject")]
    NoDecision,
}

impl Answer {
    /// Reads the body of the form's POST (`application/x-www-form-urlencoded`), which anybody may have written.
    ///
    /// # Errors
    /// Where it is too long or does not say one of the two decisions once.
    pub fn parse(body: &[u8]) -> Result<Self, FormError> {
        if body.len() > FORM_BYTES_MAX {
            return Err(FormError::TooLong);
        }
        let mut decision = None;
        for (key, value) in form_urlencoded::parse(body) {
            match &*key {
                "decision" if decision.is_some() => return Err(FormError::NoDecision),
                "decision" => decision = Some(value),
                _ => {}
            }
        }
        let decision = match decision.as_deref() {
            Some("approve") => Decision::Approve,
            Some("reject") => Decision::Reject,
            _ => return Err(FormError::NoDecision),
        };
        let comment = Self::comment(body)?;
        Ok(Self { decision, comment })
    }

    /// The comment in a form, trimmed; empty where there is none.
    pub(super) fn comment(body: &[u8]) -> Result<String, FormError> {
        let comment = form_urlencoded::parse(body).find(|(key, _)| key == "comment");
        // Browsers send line ends as CR LF, but count them as one for maxlength. A CR alone is no browser's.
        let comment = comment.map(|(_, comment)| comment.replace("\r\n", "\n").replace('\r', "\n"));
        let comment = comment.unwrap_or_default().trim().to_owned();
        if comment.chars().count() > COMMENT_CHARS_MAX {
            return Err(FormError::TooLong);
        }
        Ok(comment)
    }
}
