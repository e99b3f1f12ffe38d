//! A function's configuration, read once at its start.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The environment variables of a function, as the template sets them.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

/// A variable that is missing or wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set, or empty.
    #[error("environment variable `{0}` is missing; the template sets it")]
    Missing(&'static str),
    /// The variable's value is not what it should be.
    #[error("environment variable `{name}` is wrong: `{value}`: {reason}")]
    Wrong {
        /// The variable.
        name: &'static str,
        /// Its value. No secret is ever configured through the environment.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Environment {
    /// The process's own environment.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars().collect()
    }

    /// A variable that may be left out; an empty one counts as left out, since CloudFormation can't leave one out conditionally
    /// without repeating the rest.
    #[must_use]
    pub fn optional(&self, name: &'static str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A variable that must be there.
    ///
    /// # Errors
    /// Where it is missing or empty.
    pub fn required(&self, name: &'static str) -> Result<&str, ConfigError> {
        self.optional(name).ok_or(ConfigError::Missing(name))
    }

    /// A variable that must be there, read as a `T`.
    ///
    /// # Errors
    /// Where it is missing, or not a `T`.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, name: &'static str) -> Result<T, ConfigError> {
        let value = self.required(name)?;
        value
            .parse()
            .map_err(|error: T::Err| ConfigError::wrong(name, value, &error))
    }

    /// A variable that may be left out, read as a `T`.
    ///
    /// # Errors
    /// Where it is there and not a `T`.
    pub fn parsed_or<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &'static str,
        default: T,
    ) -> Result<T, ConfigError> {
        if self.optional(name).is_some() {
            self.parsed(name)
        } else {
            Ok(default)
        }
    }

    /// A list, its items separated by commas; blanks around them don't count.
    #[must_use]
    pub fn list(&self, name: &'static str) -> Vec<String> {
        let value = self.optional(name).unwrap_or_default();
        value
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl ConfigError {
    /// The error for a variable whose value is wrong.
    pub fn wrong(name: &'static str, value: &str, reason: &impl ToString) -> Self {
        Self::Wrong {
            name,
            value: value.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_variable() {
        let environment: Environment = [("COUNT", "many"), ("EMPTY", "")].into_iter().collect();
        let message = |error: ConfigError| error.to_string();
        assert_eq!(
            environment.parsed::<u32>("COUNT").map_err(message),
            Err("environment variable `COUNT` is wrong: `many`: invalid digit found in string".into())
        );
        let missing = Err("environment variable `EMPTY` is missing; the template sets it".into());
        assert_eq!(environment.required("EMPTY").map_err(message), missing);
        assert_eq!(environment.parsed_or("EMPTY", 3).map_err(message), Ok(3));
    }

    #[test]
    fn lists() {
        let environment: Environment = [("L", " a@example.com, b@example.com,,")].into_iter().collect();
        assert_eq!(environment.list("L"), ["a@example.com", "b@example.com"]);
        assert!(environment.list("M").is_empty());
    }
}
