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
    logs_config: Option<LogsProperties>,
    // Tags change nothing here.
    #[serde(default, rename = "Tags")]
    _tags: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct LogsProperties {
    cloud_watch_logs: Option<CloudWatchLogsProperties>,
    #[serde(rename = "S3Logs")]
    s3_logs: Option<S3LogsProperties>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct CloudWatchLogsProperties {
    status: String,
    group_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct S3LogsProperties {
    status: String,
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
    let name = properties.name;
    let log_group = log_group(resource, properties.logs_config, &name)?;
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
        log_group,
        key: properties.encryption_key,
        created: cloud.now,
        builds: Vec::new(),
    };
    match cloud.codebuild.projects.insert(name.clone(), project) {
        None => Ok(()),
        Some(_) => Err(resource.wrong(format!("there are two projects `{name}`"))),
    }
}

/// The log group of a project's builds, where they have one.
fn log_group(
    resource: &Resource,
    logs: Option<LogsProperties>,
    project: &str,
) -> Result<Option<String>, TemplateError> {
    let own = || format!("/aws/codebuild/{project}");
    let Some(logs) = logs else {
        return Ok(Some(own()));
    };
    if logs.s3_logs.is_some_and(|logs| logs.status != "DISABLED") {
        return Err(resource.unsupported("S3Logs"));
    }
    match logs.cloud_watch_logs {
        Some(logs) if logs.status == "DISABLED" => Ok(None),
        Some(logs) => Ok(Some(logs.group_name.unwrap_or_else(own))),
        None => Ok(Some(own())),
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
