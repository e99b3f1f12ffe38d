//! The models' patterns, which are written for Java, as regular expressions of this crate's.

use std::sync::OnceLock;

use regex::Regex;

/// A pattern that a whole string must match; compiled when it is first asked.
#[derive(Debug)]
pub(super) struct Pattern {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) fn new(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            compiled: OnceLock::new(),
        }
    }

    /// The pattern as the model has it.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Whether the whole text matches. A pattern that can't be compiled here matches everything.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex().is_none_or(|regex| regex.is_match(text))
    }

    fn regex(&self) -> Option<&Regex> {
        self.compiled
            .get_or_init(|| Regex::new(&format!("^(?:{})$", translate(&self.source))).ok())
            .as_ref()
    }
}

/// Java's expression in this crate's syntax. Java's `\w`, `\d` and `\s` are ASCII; and the few look-arounds of the models that say
/// something simple are said without. So are bounds on how often that a shape's length has too: a class of Unicode's repeated that
/// often outgrows the compiler's limit.
fn translate(source: &str) -> String {
    let source = source
        .replace("(?!\\s*$).+", ".*\\S.*")
        .replace(
            "([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)",
            "([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)",
        )
        .replace("\\uD800\\uDC00-\\uDBFF\\uDFFF", "\\x{10000}-\\x{10FFFF}")
        .replace("\\p{Alnum}", "[0-9A-Za-z]")
        .replace("\\p{Print}", "[ -~]")
        .replace("\\p{P}]{0,1024}", "\\p{P}]*")
        .replace("[\\S]{1,2048}", "\\S+");
    let mut out = String::with_capacity(source.len() + 16);
    let mut characters = source.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        // A class in a class is a union: these serve inside brackets and outside.
        match characters.next() {
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('d') => out.push_str("[0-9]"),
            Some('s') => out.push_str("[ \\t\\n\\x0B\\f\\r]"),
            Some('S') => out.push_str("[^ \\t\\n\\x0B\\f\\r]"),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_strings_match_as_in_java() {
        for (pattern, text, expected) in [
            ("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "churn-v7", true),
            ("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "churn_v7", false),
            ("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "churn\n", false),
            ("^[a-f0-9]+$", "00ff", true),
            ("a|bc", "bc", true),
            ("a|bc", "abc", false),
            ("[\\w\\.-]+", "a.b-c_d", true),
            ("[\\w\\.-]+", "é", false),
            ("[-\\w]+\\/.+", "a-b/c", true),
            ("[\\S\\s]*", "line\nline é", true),
            ("[^:].*", ":x", false),
            ("([\\p{L}\\p{Z}\\p{N}_.:\\/=+\\-@]*)${1,256}", "größe 1", true),
            ("([\\p{L}\\p{Z}\\p{N}_.:\\/=+\\-@]*)${1,256}", "a,b", false),
            ("(?!\\s*$).+", "  ", false),
            ("(?!\\s*$).+", " a ", true),
            ("([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)", "group-", false),
            ("([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)", "group", true),
            (
                "[\\u0020-\\uD7FF\\uE000-\\uFFFD\\uD800\\uDC00-\\uDBFF\\uDFFF\\t]*",
                "a😀",
                true,
            ),
            (
                "[\\u0020-\\uD7FF\\uE000-\\uFFFD\\uD800\\uDC00-\\uDBFF\\uDFFF\\t]*",
                "a\n",
                false,
            ),
            ("[\\p{L}\\p{M}\\p{Z}\\p{N}\\p{P}]{0,1024}", "größer, 1", true),
            ("[\\p{L}\\p{M}\\p{Z}\\p{N}\\p{P}]{0,1024}", "1 > 0", false),
            ("arn:[\\p{Alnum}\\-]+:lambda", "arn:aws-cn:lambda", true),
            // Look-around that says something less simple is left to the services.
            ("/(?!.*\\.\\.)[a-z]+", "anything", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} on {text:?}");
        }
    }

    #[test]
    fn nearly_every_pattern_of_the_models_compiles() {
        let mut skipped = Vec::new();
        for service in super::super::MODELLED {
            for shape in &super::super::model(*service).unwrap().shapes {
                if let Some(pattern) = &shape.pattern
                    && pattern.regex().is_none()
                {
                    skipped.push(pattern.source());
                }
            }
        }
        // An alias's name in GetAlias, where one of digits alone is just not found; and a path of CodeBuild.
        skipped.sort_unstable();
        assert_eq!(
            skipped,
            ["(?!^[0-9]+$)([a-zA-Z0-9-_]+)", "/(?!.*\\.\\.)[a-zA-Z0-9/_.\\-]+"]
        );
    }
}
