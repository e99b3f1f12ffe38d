//! Projects, as the template declares them.

use serde::Deserialize;
use serde_json::Value;

use super::super::Cloud;
use super::super::codepipeline::declaration::{optional_number, optional_text};
use super::{Project, TIMEOUT_MINUTES, Variable};
use crate::template::{Resource, TemplateError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Properties {
    name: String,
    description: Option<String>,
    service_role: String,
    source: SourceProperties,
    artifacts: ArtifactsProperties,
    environment: EnvironmentProperties,
    #[serde(default, deserialize_with = "optional_number")]
    timeout_in_minutes: Option<u32>,
    // Tags change nothing here.
    #[serde(default, rename = "Tags")]
    _tags: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct SourceProperties {
    r#type: String,
    build_spec: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct ArtifactsProperties {
    r#type: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct EnvironmentProperties {
    r#type: String,
    compute_type: String,
    image: String,
    #[serde(default)]
    privileged_mode: bool,
    #[serde(default)]
    environment_variables: Vec<VariableProperties>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct VariableProperties {
    name: String,
    #[serde(deserialize_with = "optional_text")]
    value: Option<String>,
    r#type: Option<String>,
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    if resource.kind != "AWS::CodeBuild::Project" {
        return Err(resource.unsupported("this resource type"));
    }
    let properties: Properties = resource.read()?;
    for (what, kind) in [
        ("Source", &properties.source.r#type),
        ("Artifacts", &properties.artifacts.r#type),
    ] {
        if kind != "CODEPIPELINE" {
            return Err(resource.unsupported(format!("{what} of Type {kind}")));
        }
    }
    let environment = properties.environment;
    let mut variables = Vec::new();
    for variable in environment.environment_variables {
        if let Some(kind) = variable.r#type.filter(|kind| kind != "PLAINTEXT") {
            return Err(resource.unsupported(format!("the environment variable {} of Type {kind}", variable.name)));
        }
        variables.push(Variable {
            name: variable.name,
            value: variable.value.unwrap_or_default(),
        });
    }
    let timeout_minutes = properties.timeout_in_minutes.unwrap_or(TIMEOUT_MINUTES);
    if !(5..=2160).contains(&timeout_minutes) {
        return Err(resource.wrong(format!("TimeoutInMinutes {timeout_minutes} is not 5 to 2160")));
    }
    let name = properties.name;
    let role = properties.service_role;
    let project = Project {
        arn: cloud.arn("codebuild", &format!("project/{name}")),
        name: name.clone(),
        description: properties.description,
        // The template may give the role's name for its ARN.
        role: if role.starts_with("arn:") {
            role
        } else {
            format!("arn:aws:iam::{}:role/{role}", cloud.target.account)
        },
        buildspec: properties.source.build_spec,
        kind: environment.r#type,
        compute: environment.compute_type,
        image: environment.image,
        privileged: environment.privileged_mode,
        variables,
        timeout_minutes,
        created: cloud.now,
        builds: Vec::new(),
    };
    match cloud.codebuild.projects.insert(name.clone(), project) {
        None => Ok(()),
        Some(_) => Err(resource.wrong(format!("there are two projects `{name}`"))),
    }
}
