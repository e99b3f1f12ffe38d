//! Projects, as the template declares them.

use serde::Deserialize;
use serde_json::Value;

use super::super::Cloud;
use super::super::codepipeline::declaration::{optional_number, optional_text};
use super::{Project, Source, TIMEOUT_MINUTES, Variable};
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
    encryption_key: Option<String>,
    logs_config: Option<LogsConfig>,
    // Tags change nothing here.
    #[serde(default, rename = "Tags")]
    _tags: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct LogsConfig {
    cloud_watch_logs: Option<CloudWatchLogs>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct CloudWatchLogs {
    status: String,
    group_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct SourceProperties {
    r#type: String,
    location: Option<String>,
    // The source is the commit's files: how much of its history would come along changes nothing.
    #[serde(default, rename = "GitCloneDepth")]
    _git_clone_depth: Value,
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
    let source = read_source(resource, &properties.source, &properties.artifacts)?;
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
    let logs = properties.logs_config.and_then(|logs| logs.cloud_watch_logs);
    if let Some(logs) = logs.as_ref().filter(|logs| logs.status != "ENABLED") {
        return Err(resource.unsupported(format!("CloudWatchLogs of Status {}", logs.status)));
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
        source,
        buildspec: properties.source.build_spec,
        kind: environment.r#type,
        compute: environment.compute_type,
        image: environment.image,
        privileged: environment.privileged_mode,
        variables,
        timeout_minutes,
        encryption_key: properties.encryption_key,
        log_group: logs.and_then(|logs| logs.group_name),
        created: cloud.now,
        builds: Vec::new(),
    };
    match cloud.codebuild.projects.insert(name.clone(), project) {
        None => Ok(()),
        Some(_) => Err(resource.wrong(format!("there are two projects `{name}`"))),
    }
}

/// Where the source comes from. The local cloud knows the pairs that a train and the checks of its branches need.
fn read_source(
    resource: &Resource,
    source: &SourceProperties,
    artifacts: &ArtifactsProperties,
) -> Result<Source, TemplateError> {
    match (source.r#type.as_str(), artifacts.r#type.as_str()) {
        ("CODEPIPELINE", "CODEPIPELINE") => match &source.location {
            None => Ok(Source::CodePipeline),
            Some(_) => Err(resource.unsupported("Location of a Source of Type CODEPIPELINE")),
        },
        ("CODECOMMIT", "NO_ARTIFACTS") => match &source.location {
            Some(location) => Ok(Source::CodeCommit(location.clone())),
            None => Err(resource.wrong("a Source of Type CODECOMMIT has no Location")),
        },
        ("CODEPIPELINE" | "CODECOMMIT", kind) => Err(resource.unsupported(format!(
            "Artifacts of Type {kind} with a Source of Type {}",
            source.r#type
        ))),
        (kind, _) => Err(resource.unsupported(format!("Source of Type {kind}"))),
    }
}
