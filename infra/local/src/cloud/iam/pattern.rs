//! The wildcards of policies.

/// Whether the text is one of those that the pattern stands for: `*` is any text, `?` any character.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    matches(pattern.as_bytes(), text.as_bytes(), |one, other| one == other)
}

/// The same, where capitals and small letters are the same.
fn like_ignoring_case(pattern: &str, text: &str) -> bool {
    matches(pattern.as_bytes(), text.as_bytes(), |one, other| {
        one.eq_ignore_ascii_case(&other)
    })
}

/// A pattern that many texts are compared with: most differ in what comes before its first wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    /// How many bytes come before the first wildcard; `None` where there is none.
    plain: Option<usize>,
}

impl Pattern {
    pub(super) fn new(text: String) -> Self {
        let plain = text.find(['*', '?']);
        Self { text, plain }
    }

    /// As it is written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for more than itself.
    pub(super) fn is_wide(&self) -> bool {
        self.plain.is_some()
    }

    /// Whether the text is one of those that it stands for.
    pub(super) fn matches(&self, text: &str) -> bool {
        match self.plain {
            None => self.text == text,
            Some(plain) => self.text.get(..plain) == text.get(..plain) && like(&self.text, text),
        }
    }

    /// The same, where capitals and small letters are the same.
    pub(super) fn matches_ignoring_case(&self, text: &str) -> bool {
        let Some(plain) = self.plain else {
            return self.text.eq_ignore_ascii_case(text);
        };
        let starts = self.text.get(..plain).zip(text.get(..plain));
        starts.is_some_and(|(one, other)| one.eq_ignore_ascii_case(other)) && like_ignoring_case(&self.text, text)
    }
}

/// Goes on from the last star alone: what an earlier one stands for need not be tried again.
fn matches(pattern: &[u8], text: &[u8], same: impl Fn(u8, u8) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while let Some(letter) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || same(*wanted, *letter) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a*c", "abcac", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a**b*", "ab", true),
            ("abc", "ABC", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
        for (pattern, text, expected) in [
            ("s3:get*", "s3:GetObject", true),
            ("S3:GETOBJECT", "s3:GetObject", true),
            ("s3:getö*", "s3:GetObject", false),
            ("s3:Get", "s3:GetObject", false),
            ("*", "", true),
        ] {
            let matches = Pattern::new(pattern.to_owned()).matches_ignoring_case(text);
            assert_eq!(matches, expected, "{pattern} {text}");
        }
    }

    proptest! {
        /// The plain definition, which takes longer.
        #[test]
        fn a_pattern_stands_for_what_its_definition_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            fn defined(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => (0..=text.len()).any(|from| defined(rest, &text[from..])),
                    (Some((p, rest)), Some((t, text))) => (*p == b'?' || p == t) && defined(rest, text),
                    _ => false,
                }
            }
            let expected = defined(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(like(&pattern, &text), expected);
            prop_assert_eq!(Pattern::new(pattern).matches(&text), expected);
        }
    }
}
