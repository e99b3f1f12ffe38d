//! CloudFormation and SAM templates, as far as the train's template needs them; what is not understood is an error that names it.

mod identity;
mod load;
mod parameters;
mod resolve;
mod sam;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use serde_json::Value;

/// A stack: a template with its parameters applied, SAM expanded and every intrinsic function resolved.
#[derive(Debug, Clone, Default)]
pub struct Stack {
    /// The parameters, defaults included.
    pub parameters: BTreeMap<String, String>,
    /// The resources, each after those that it refers to.
    pub resources: Vec<Resource>,
    /// The `UpdatePolicy` of each resource that has one, by logical id, resolved.
    pub update_policies: BTreeMap<String, Value>,
    /// The outputs.
    pub outputs: BTreeMap<String, String>,
}

/// One resource of a stack, of a CloudFormation type (SAM's are expanded).
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its name in the template (or the one that SAM derives).
    pub logical_id: String,
    /// `AWS::SNS::Topic` and the like.
    pub kind: String,
    /// Its properties, resolved.
    pub properties: Value,
    /// What `Ref` returns.
    pub physical_id: String,
    /// What `Fn::GetAtt` returns, by attribute; `Arn` is there for every type that has an ARN.
    pub attributes: BTreeMap<String, String>,
}

/// Where the stack is deployed.
#[derive(Debug, Clone)]
pub struct Target {
    /// `AWS::AccountId`.
    pub account: String,
    /// `AWS::Region`.
    pub region: String,
    /// `AWS::StackName`.
    pub stack_name: String,
    /// Where the front end listens, `http://127.0.0.1:4566` for one; a function URL is `BASE/function-url/FUNCTION/`.
    pub base_url: String,
}

/// Why a template can't be deployed.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A parameter is missing, unknown, or against its constraints.
    #[error("template parameter `{name}`: {reason}")]
    Parameter {
        /// The parameter.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The template has something that the local cloud doesn't know.
    #[error("{place}: the local cloud does not understand {feature}")]
    Unsupported {
        /// Where: the path within the template.
        place: String,
        /// What.
        feature: String,
    },
    /// The template is wrong.
    #[error("{place}: {reason}")]
    Wrong {
        /// Where: the path within the template, or the line.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

impl Resource {
    /// The error for a property or value that the local cloud does not know.
    pub fn unsupported(&self, feature: impl Into<String>) -> TemplateError {
        TemplateError::Unsupported {
            place: format!("{} ({})", self.logical_id, self.kind),
            feature: feature.into(),
        }
    }

    /// The error for a property that is wrong.
    pub fn wrong(&self, reason: impl Into<String>) -> TemplateError {
        TemplateError::Wrong {
            place: format!("{} ({})", self.logical_id, self.kind),
            reason: reason.into(),
        }
    }

    /// Reads the properties as a `T`, which should deny unknown fields, so that a property that isn't acted on is an error.
    ///
    /// # Errors
    /// Where the properties are not a `T`; the message names the property.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, TemplateError> {
        serde_json::from_value(self.properties.clone()).map_err(|error| {
            let text = error.to_string();
            if text.starts_with("unknown field") {
                self.unsupported(text)
            } else {
                self.wrong(text)
            }
        })
    }

    /// The resource's ARN, or its physical id where the type has none.
    #[must_use]
    pub fn arn(&self) -> &str {
        self.attributes.get("Arn").unwrap_or(&self.physical_id)
    }
}
