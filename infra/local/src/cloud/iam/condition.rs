//! Conditions of statements.
//!
//! What the operators mean, and that a key which is not there fails those that are not negated, is from
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>.

use serde_json::Value;

use super::pattern::like;
use super::policy::texts;
use crate::template::{Resource, TemplateError};

/// The keys that the local cloud can tell of, in small letters; one that ends with a colon stands for all that begin so.
const KEYS: &[&str] = &[
    "application-autoscaling:scalable-dimension",
    "application-autoscaling:service-namespace",
    "aws:principalaccount",
    "aws:principalisawsservice",
    "aws:requestedregion",
    "aws:resourceaccount",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "cloudwatch:namespace",
    "iam:awsservicename",
    "iam:passedtoservice",
    "kms:calleraccount",
    "kms:encryptioncontext:",
    "kms:grantisforawsresource",
    "kms:viaservice",
    "lambda:functionurlauthtype",
    "lambda:invokedviafunctionurl",
    "s3:prefix",
    "sts:awsservicename",
];

/// One operator on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    compare: Compare,
    negated: bool,
    /// What a key that is not there makes of it.
    if_missing: bool,
    /// In small letters: keys are the same however they are written.
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Equal,
    EqualIgnoringCase,
    Like,
}

/// Reads a statement's `Condition`.
///
/// # Errors
/// For an operator or a key that the local cloud does not know, which it names.
pub(super) fn read(resource: &Resource, condition: Option<&Value>) -> Result<Vec<Condition>, TemplateError> {
    let mut read = Vec::new();
    for (operator, keys) in condition.and_then(Value::as_object).into_iter().flatten() {
        let unknown = || resource.unsupported(format!("the condition operator `{operator}`"));
        let (compare, negated, if_missing) = operator_of(operator).ok_or_else(unknown)?;
        for (key, values) in keys.as_object().into_iter().flatten() {
            let small = key.to_ascii_lowercase();
            let is_known = |known: &str| small == known || known.ends_with(':') && small.starts_with(known);
            if !KEYS.iter().any(|known| is_known(known)) {
                return Err(resource.unsupported(format!("the condition key `{key}`")));
            }
            let values = texts(values);
            if let Some(variable) = values.iter().find(|value| value.contains("${")) {
                return Err(resource.unsupported(format!("the policy variable in `{variable}`")));
            }
            read.push(Condition {
                compare,
                negated,
                if_missing,
                key: small,
                values,
            });
        }
    }
    Ok(read)
}

/// How the operator compares, whether it is negated, and what a key that is not there makes of it.
fn operator_of(operator: &str) -> Option<(Compare, bool, bool)> {
    // Every key here has one value: that of any, or of all, is the one.
    let (all, operator) = match operator.split_once(':') {
        Some(("ForAllValues", operator)) => (true, operator),
        Some(("ForAnyValue", operator)) => (false, operator),
        Some(_) => return None,
        None => (false, operator),
    };
    let (if_exists, operator) = match operator.strip_suffix("IfExists") {
        Some(operator) => (true, operator),
        None => (false, operator),
    };
    let (compare, negated) = match operator {
        "StringEquals" | "Bool" => (Compare::Equal, false),
        "StringNotEquals" => (Compare::Equal, true),
        "StringEqualsIgnoreCase" => (Compare::EqualIgnoringCase, false),
        "StringNotEqualsIgnoreCase" => (Compare::EqualIgnoringCase, true),
        "StringLike" | "ArnEquals" | "ArnLike" => (Compare::Like, false),
        "StringNotLike" | "ArnNotEquals" | "ArnNotLike" => (Compare::Like, true),
        _ => return None,
    };
    Some((compare, negated, negated || all || if_exists))
}

impl Condition {
    /// Whether it holds, where `context` tells the value of a key.
    pub(super) fn holds<'a>(&self, context: impl Fn(&str) -> Option<&'a str>) -> bool {
        let Some(value) = context(&self.key) else {
            return self.if_missing;
        };
        let is_one = self.values.iter().any(|wanted| match self.compare {
            Compare::Equal => wanted == value,
            Compare::EqualIgnoringCase => wanted.eq_ignore_ascii_case(value),
            Compare::Like => like(wanted, value),
        });
        is_one != self.negated
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::resource;
    use super::*;

    #[test]
    fn operators() {
        let context = |key: &str| match key {
            "aws:sourcearn" => Some("arn:aws:events:eu-west-1:1:rule/pushed"),
            "aws:sourceaccount" => Some("1"),
            "aws:securetransport" => Some("true"),
            _ => None,
        };
        for (condition, expected) in [
            (json!({"StringEquals": {"AWS:sourceACCOUNT": ["2", "1"]}}), true),
            (json!({"StringEquals": {"aws:SourceAccount": "2"}}), false),
            (json!({"StringEquals": {"aws:SourceArn": "arn:aws:events:*"}}), false),
            (json!({"ArnEquals": {"aws:SourceArn": "arn:aws:events:*:rule/*"}}), true),
            (json!({"ArnLike": {"aws:SourceArn": "arn:aws:sns:*"}}), false),
            (json!({"StringLike": {"aws:SourceArn": "*pushed"}}), true),
            (json!({"Bool": {"aws:SecureTransport": false}}), false),
            (json!({"Bool": {"aws:SecureTransport": "true"}}), true),
            // A key that is not there fails what is not negated.
            (json!({"StringEquals": {"s3:prefix": ""}}), false),
            (json!({"StringNotEquals": {"s3:prefix": "a"}}), true),
            (json!({"StringEqualsIfExists": {"s3:prefix": "a"}}), true),
            (json!({"ForAllValues:StringEquals": {"s3:prefix": "a"}}), true),
            (json!({"ForAnyValue:StringEquals": {"s3:prefix": "a"}}), false),
            (json!({"StringNotLike": {"aws:SourceArn": "*pushed"}}), false),
            // All have to hold.
            (
                json!({"StringEquals": {"aws:SourceAccount": "1"}, "ArnLike": {"aws:SourceArn": "arn:aws:sns:*"}}),
                false,
            ),
        ] {
            let read = read(&resource(), Some(&condition)).unwrap();
            assert_eq!(read.iter().all(|one| one.holds(context)), expected, "{condition}");
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (condition, named) in [
            (json!({"NumericLessThan": {"s3:max-keys": "10"}}), "`NumericLessThan`"),
            (
                json!({"StringEquals": {"aws:PrincipalOrgID": "o"}}),
                "`aws:PrincipalOrgID`",
            ),
            (
                json!({"StringEquals": {"s3:prefix": "${aws:username}/"}}),
                "`${aws:username}/`",
            ),
        ] {
            let error = read(&resource(), Some(&condition)).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
