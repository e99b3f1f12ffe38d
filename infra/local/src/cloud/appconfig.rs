//! AppConfig: configurations that are kept as versions. Nobody reads them here: the template has one as a record of its parameters.

use serde::Deserialize;
use serde_json::Value;

use super::Cloud;
use crate::template::{Resource, TemplateError};

/// The largest hosted configuration, in bytes: <https://docs.aws.amazon.com/general/latest/gr/appconfig.html>.
const CONTENT_BYTES_MAX: usize = 2 * 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ApplicationProperties {
    #[serde(rename = "Name")]
    _name: String,
    #[serde(rename = "Description")]
    _description: Option<String>,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ProfileProperties {
    #[serde(rename = "ApplicationId")]
    _application: String,
    #[serde(rename = "Name")]
    _name: String,
    location_uri: String,
    #[serde(rename = "Description")]
    _description: Option<String>,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct VersionProperties {
    #[serde(rename = "ApplicationId")]
    _application: String,
    #[serde(rename = "ConfigurationProfileId")]
    _profile: String,
    #[serde(rename = "ContentType")]
    _content_type: String,
    content: String,
    #[serde(rename = "Description")]
    _description: Option<String>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(_: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::AppConfig::Application" => {
            let _: ApplicationProperties = resource.read()?;
        }
        "AWS::AppConfig::ConfigurationProfile" => {
            let properties: ProfileProperties = resource.read()?;
            if properties.location_uri != "hosted" {
                return Err(resource.unsupported(format!("a configuration in {}", properties.location_uri)));
            }
        }
        "AWS::AppConfig::HostedConfigurationVersion" => {
            let properties: VersionProperties = resource.read()?;
            if properties.content.is_empty() || properties.content.len() > CONTENT_BYTES_MAX {
                return Err(resource.wrong(format!("its Content must have 1 to {CONTENT_BYTES_MAX} bytes")));
            }
        }
        _ => return Err(resource.unsupported("this resource type")),
    }
    Ok(())
}
