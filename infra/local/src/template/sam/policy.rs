//! The policies of a function's own role.

use serde_json::{Value, json};

use super::super::TemplateError;
use super::super::resolve::{function, unsupported, wrong};
use super::is_no_value;

/// What goes into a function's role on account of its other properties.
#[derive(Default)]
pub(super) struct RoleParts {
    pub(super) managed: Vec<Value>,
    pub(super) inline: Vec<Value>,
}

pub(super) enum PolicyKind {
    Managed,
    Inline,
}

/// One entry of `Policies`, as an entry of the role's `ManagedPolicyArns` or `Policies`.
pub(super) fn policy_of(policy: &Value, name: &str, place: &str) -> Result<(PolicyKind, Value), TemplateError> {
    match (policy, function(policy)) {
        (Value::String(text), _) if text.starts_with("arn:") => Ok((PolicyKind::Managed, policy.clone())),
        (Value::String(text), _) => {
            let path = if text.starts_with("AWSLambda") && text.ends_with("Role") {
                "service-role/"
            } else {
                ""
            };
            Ok((
                PolicyKind::Managed,
                json!(format!("arn:aws:iam::aws:policy/{path}{text}")),
            ))
        }
        (_, Some(("Fn::If", argument))) => {
            let Some([condition, then, otherwise]) = argument.as_array().map(Vec::as_slice) else {
                return Err(wrong(place, "Fn::If takes a list of 3"));
            };
            match (is_no_value(then), is_no_value(otherwise)) {
                (true, true) => Ok((PolicyKind::Managed, then.clone())),
                (true, false) => {
                    let (kind, otherwise) = policy_of(otherwise, name, place)?;
                    Ok((kind, json!({"Fn::If": [condition, then, otherwise]})))
                }
                (false, true) => {
                    let (kind, then) = policy_of(then, name, place)?;
                    Ok((kind, json!({"Fn::If": [condition, then, otherwise]})))
                }
                (false, false) => match (policy_of(then, name, place)?, policy_of(otherwise, name, place)?) {
                    ((PolicyKind::Managed, then), (PolicyKind::Managed, otherwise)) => {
                        Ok((PolicyKind::Managed, json!({"Fn::If": [condition, then, otherwise]})))
                    }
                    ((PolicyKind::Inline, then), (PolicyKind::Inline, otherwise)) => {
                        Ok((PolicyKind::Inline, json!({"Fn::If": [condition, then, otherwise]})))
                    }
                    _ => Err(unsupported(place, "an Fn::If between an inline and a managed policy")),
                },
            }
        }
        (_, Some(_)) => Ok((PolicyKind::Managed, policy.clone())),
        (Value::Object(members), None) if members.contains_key("Statement") => Ok((
            PolicyKind::Inline,
            json!({"PolicyName": name, "PolicyDocument": policy}),
        )),
        (Value::Object(members), None) if members.len() == 1 => {
            let template = members.keys().next().map_or("", String::as_str);
            Err(unsupported(place, format!("the SAM policy template {template}")))
        }
        _ => Err(wrong(
            place,
            "a policy is a name, an ARN, or a document with a Statement",
        )),
    }
}
