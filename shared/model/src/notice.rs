//! A message to people, fit for SNS.

use crate::names::ModelName;

pub mod chat;

/// The longest subject that SNS takes, in characters.
pub const SUBJECT_CHARS_MAX: usize = 99;
/// The longest message that SNS takes, in bytes.
pub const BODY_BYTES_MAX: usize = 262_144;

/// A subject and a plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    subject: String,
    body: String,
    /// What of the body everybody may read, where that is not all of it.
    shared: Option<String>,
    /// What it is about: what is about the same belongs together.
    thread: Option<String>,
}

impl Notice {
    /// A notice. The subject is made fit for SNS: ASCII, one line, at most 99 characters; the body at most 256 KiB.
    #[must_use]
    pub fn new(subject: &str, body: impl Into<String>) -> Self {
        let ascii = subject.chars().map(|c| match c {
            ' '..='~' => c,
            '–' | '—' => '-',
            _ if c.is_whitespace() || c.is_control() => ' ',
            _ => '?',
        });
        let mut subject: String = ascii.skip_while(|c| *c == ' ').collect();
        if subject.len() > SUBJECT_CHARS_MAX {
            subject.truncate(SUBJECT_CHARS_MAX - 3);
            subject.push_str("...");
        }
        let mut body = body.into();
        body.truncate(body.floor_char_boundary(BODY_BYTES_MAX));
        Self {
            subject,
            body,
            shared: None,
            thread: None,
        }
    }

    /// The same, where its recipients read the body, and others, in a chat channel, only that.
    #[must_use]
    pub fn shared_as(mut self, shared: impl Into<String>) -> Self {
        self.shared = Some(shared.into());
        self
    }

    /// The same, about a version: all that is about it is one thread in a chat.
    #[must_use]
    pub fn about(mut self, model: &ModelName, version: u32) -> Self {
        self.thread = Some(format!("{model}-v{version}"));
        self
    }

    /// What everybody may read of the text.
    #[must_use]
    pub fn shared(&self) -> &str {
        self.shared.as_deref().unwrap_or(&self.body)
    }

    /// What it is about, by a name that is the same for all that is about it.
    #[must_use]
    pub fn thread(&self) -> Option<&str> {
        self.thread.as_deref()
    }

    /// The subject line.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The text.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_fit_sns() {
        for (subject, expected) in [
            ("churn v7 – approved", "churn v7 - approved"),
            ("two\nlines\t!", "two lines !"),
            ("wide\u{2003}space, a bell\u{7}!", "wide space, a bell !"),
            ("  é", "?"),
        ] {
            assert_eq!(Notice::new(subject, "").subject(), expected);
        }
        assert_eq!(Notice::new(&"x".repeat(99), "").subject(), "x".repeat(99));
        let long = Notice::new(&"x".repeat(300), "");
        assert_eq!(long.subject().len(), 99);
        assert!(long.subject().ends_with("..."));
    }

    #[test]
    fn bodies_are_cut_between_characters() {
        assert_eq!(
            Notice::new("s", "é".repeat(BODY_BYTES_MAX)).body().len(),
            BODY_BYTES_MAX
        );
    }
}
