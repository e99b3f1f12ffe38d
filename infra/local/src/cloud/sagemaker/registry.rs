//! The model registry: model package groups and model packages.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::events;
use super::{
    DefaultOrder, Listed, clock_text, epoch_seconds, list_of, only, page, refuse, set, tag, text, text_if_any,
    without_nulls,
};
use crate::cloud::iam::identity;
use crate::cloud::{ApiError, Caller, Cloud};
use crate::template::{Resource, TemplateError};

/// Customer metadata: how many properties, and how long in characters their keys and values may be.
const METADATA_MAX: usize = 50;
const METADATA_KEY_CHARACTERS_MAX: usize = 128;
const METADATA_VALUE_CHARACTERS_MAX: usize = 256;

/// Groups by name; packages by ARN.
#[derive(Debug, Default)]
pub(super) struct State {
    groups: BTreeMap<String, Group>,
    packages: BTreeMap<String, Package>,
    /// The packages' ARNs in the order in which they were made.
    made: Vec<String>,
    /// What was made under which client token.
    tokens: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Group {
    arn: String,
    name: String,
    description: Option<String>,
    created: Timestamp,
    versions: u64,
}

#[derive(Debug)]
struct Package {
    arn: String,
    name: String,
    group: Option<String>,
    version: Option<u64>,
    created: Timestamp,
    modified: Option<Timestamp>,
    /// By whom: the ARN and the principal's id.
    modified_by: Option<(String, String)>,
    /// What it was made with, but for what is below.
    properties: Value,
    approval: Option<String>,
    approval_description: Option<String>,
    metadata: BTreeMap<String, String>,
}

/// `AWS::SageMaker::ModelPackageGroup`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GroupProperties {
    model_package_group_name: String,
    model_package_group_description: Option<String>,
    #[serde(default)]
    tags: Vec<Value>,
}

/// Deploys a model package group.
pub(super) fn deploy_group(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    let properties: GroupProperties = resource.read()?;
    let name = properties.model_package_group_name;
    if cloud.sagemaker.registry.groups.contains_key(&name) {
        return Err(resource.wrong(format!("the model package group `{name}` exists already")));
    }
    let arn = add_group(cloud, &name, properties.model_package_group_description);
    tag(cloud, &arn, &json!({"Tags": properties.tags})).map_err(|error| resource.wrong(error.message))
}

fn add_group(cloud: &mut Cloud, name: &str, description: Option<String>) -> String {
    let arn = cloud.arn("sagemaker", &format!("model-package-group/{}", name.to_lowercase()));
    let group = Group {
        arn: arn.clone(),
        name: name.to_owned(),
        description,
        created: cloud.now,
        versions: 0,
    };
    cloud.sagemaker.registry.groups.insert(name.to_owned(), group);
    arn
}

/// The number that the next version of a group gets.
pub(super) fn next_version(cloud: &Cloud, group: &str) -> usize {
    let versions = find_group(cloud, group).map_or(0, |group| group.versions);
    usize::try_from(versions).unwrap_or(usize::MAX).saturating_add(1)
}

/// Whether a group or a package has this ARN.
pub(super) fn has_arn(cloud: &Cloud, arn: &str) -> bool {
    let registry = &cloud.sagemaker.registry;
    registry.packages.contains_key(arn) || registry.groups.values().any(|group| group.arn == arn)
}

/// The group that a name or an ARN stands for.
fn find_group<'a>(cloud: &'a Cloud, name_or_arn: &str) -> Option<&'a Group> {
    let groups = &cloud.sagemaker.registry.groups;
    groups.get(name_or_arn).or_else(|| {
        groups
            .values()
            .find(|group| group.arn.eq_ignore_ascii_case(name_or_arn))
    })
}

/// The key of the package that an ARN (whose case SageMaker is lax about) or a name stands for.
fn find<'a>(cloud: &'a Cloud, name_or_arn: &str) -> Result<&'a Package, ApiError> {
    let arn = match name_or_arn.starts_with("arn:") {
        true => name_or_arn.to_owned(),
        false => cloud.arn("sagemaker", &format!("model-package/{name_or_arn}")),
    };
    let packages = &cloud.sagemaker.registry.packages;
    let found = packages.get(&arn).or_else(|| packages.get(&lower(&arn)));
    found.ok_or_else(|| ApiError::validation(format!("ModelPackage {arn} does not exist.")))
}

/// The ARN with its resource in lower case.
fn lower(arn: &str) -> String {
    match arn.rsplit_once("model-package/") {
        Some((before, name)) => format!("{before}model-package/{}", name.to_lowercase()),
        None => arn.to_owned(),
    }
}

fn metadata_of(input: &Value) -> BTreeMap<String, String> {
    let members = input
        .get("CustomerMetadataProperties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    members.map(|(key, value)| (key.clone(), text(value))).collect()
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if metadata.len() > METADATA_MAX {
        return Err(ApiError::validation(format!(
            "Customer metadata can't have more than {METADATA_MAX} properties, but would have {}.",
            metadata.len()
        )));
    }
    for (key, value) in metadata {
        for (what, text, characters_max) in [
            ("key", key, METADATA_KEY_CHARACTERS_MAX),
            ("value", value, METADATA_VALUE_CHARACTERS_MAX),
        ] {
            if text.chars().count() > characters_max {
                return Err(ApiError::validation(format!(
                    "The {what} of customer metadata property `{key}` can't have more than {characters_max} characters."
                )));
            }
        }
    }
    Ok(())
}

/// `CreateModelPackage`.
pub(super) fn create(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let token = text_if_any(input, "ClientToken");
    if let Some(arn) = token
        .as_ref()
        .and_then(|token| cloud.sagemaker.registry.tokens.get(token))
    {
        return Ok(json!({"ModelPackageArn": arn}));
    }
    let group = text_if_any(input, "ModelPackageGroupName");
    let unknown = group.as_ref().filter(|group| find_group(cloud, group).is_none());
    if let Some(group) = unknown {
        let arn = cloud.arn("sagemaker", &format!("model-package-group/{group}"));
        return Err(ApiError::validation(format!("ModelPackageGroup {arn} does not exist.")));
    }
    let arn = add(cloud, input)?;
    if let Some(token) = token {
        cloud.sagemaker.registry.tokens.insert(token, arn.clone());
    }
    Ok(json!({"ModelPackageArn": arn}))
}

/// Registers what a pipeline's step describes, and returns the package's description. A group that isn't there is made, as
/// SageMaker's pipelines do.
pub(super) fn register(cloud: &mut Cloud, arguments: &Value, execution: &str) -> Result<Value, ApiError> {
    let group = text(arguments, "ModelPackageGroupName").to_owned();
    let mut input = arguments.clone();
    let mut properties = arguments
        .get("MetadataProperties")
        .cloned()
        .unwrap_or_else(|| json!({}));
    set(&mut properties, "GeneratedBy", json!(execution));
    set(&mut input, "MetadataProperties", properties);
    check_metadata(&metadata_of(&input))?;
    if !group.is_empty() && find_group(cloud, &group).is_none() {
        add_group(cloud, &group, None);
    }
    let arn = add(cloud, &input)?;
    describe(cloud, &json!({"ModelPackageName": arn}))
}

fn add(cloud: &mut Cloud, input: &Value) -> Result<String, ApiError> {
    refuse(
        input,
        &[
            "AdditionalInferenceSpecifications",
            "ModelLifeCycle",
            "SourceAlgorithmSpecification",
            "ValidationSpecification",
        ],
    )?;
    let metadata = metadata_of(input);
    check_metadata(&metadata)?;
    if list_of(
        input.get("InferenceSpecification").unwrap_or(&Value::Null),
        "Containers",
    )
    .next()
    .is_none()
    {
        return Err(ApiError::validation(
            "InferenceSpecification with at least one container must be specified.",
        ));
    }
    let group = text_if_any(input, "ModelPackageGroupName");
    let name = text_if_any(input, "ModelPackageName");
    let (name, group, version) = match (name, group) {
        (Some(_), Some(_)) => {
            return Err(ApiError::validation(
                "Both ModelPackageName and ModelPackageGroupName cannot be specified.",
            ));
        }
        (None, None) => {
            return Err(ApiError::validation(
                "One of ModelPackageName and ModelPackageGroupName must be specified.",
            ));
        }
        (Some(name), None) => (name, None, None),
        (None, Some(group)) => {
            let name = find_group(cloud, &group).map_or(group, |group| group.name.clone());
            let group = cloud.sagemaker.registry.groups.get_mut(&name);
            let version = group.map_or(1, |group| {
                group.versions += 1;
                group.versions
            });
            (name.clone(), Some(name), Some(version))
        }
    };
    let path = version.map_or_else(|| name.clone(), |version| format!("{name}/{version}"));
    let arn = cloud.arn("sagemaker", &format!("model-package/{}", path.to_lowercase()));
    if cloud.sagemaker.registry.packages.contains_key(&arn) {
        return Err(ApiError::validation(format!("ModelPackage already exists: {arn}")));
    }
    // A version waits for approval unless it is said otherwise; a package without versions knows no approval.
    let approval = text_if_any(input, "ModelApprovalStatus");
    let approval = approval.or_else(|| version.map(|_| "PendingManualApproval".to_owned()));
    let package = Package {
        arn: arn.clone(),
        name,
        group,
        version,
        created: cloud.now,
        modified: None,
        modified_by: None,
        properties: only(
            input,
            &[
                "CertifyForMarketplace",
                "Domain",
                "DriftCheckBaselines",
                "InferenceSpecification",
                "ManagedStorageType",
                "MetadataProperties",
                "ModelCard",
                "ModelMetrics",
                "ModelPackageDescription",
                "ModelPackageRegistrationType",
                "SamplePayloadUrl",
                "SecurityConfig",
                "SkipModelValidation",
                "SourceUri",
                "Task",
            ],
        ),
        approval: approval.clone(),
        approval_description: None,
        metadata,
    };
    let (subject, note) = (
        package.name.clone(),
        json!({"package": arn, "version": version, "approval": approval}),
    );
    cloud.sagemaker.registry.packages.insert(arn.clone(), package);
    cloud.sagemaker.registry.made.push(arn.clone());
    tag(cloud, &arn, input)?;
    cloud.note("sagemaker", &subject, "package-registered", note);
    tell(cloud, &arn, None);
    Ok(arn)
}

/// `UpdateModelPackage`.
pub(super) fn update(cloud: &mut Cloud, caller: &Caller, input: &Value) -> Result<Value, ApiError> {
    refuse(
        input,
        &[
            "AdditionalInferenceSpecificationsToAdd",
            "InferenceSpecification",
            "ModelCard",
            "ModelLifeCycle",
            "ModelPackageRegistrationType",
            "SourceUri",
        ],
    )?;
    let package = find(cloud, text(input, "ModelPackageArn"))?;
    let arn = package.arn.clone();
    let mut metadata = package.metadata.clone();
    for key in list_of(input, "CustomerMetadataPropertiesToRemove") {
        metadata.remove(key.as_str().unwrap_or_default());
    }
    metadata.extend(metadata_of(input));
    check_metadata(&metadata)?;
    let mut updated: Vec<&str> = Vec::new();
    for (member, field) in [
        ("ModelApprovalStatus", "ModelApprovalStatus"),
        ("ApprovalDescription", "ApprovalDescription"),
        ("CustomerMetadataProperties", "CustomerMetadataProperties"),
        ("CustomerMetadataPropertiesToRemove", "CustomerMetadataProperties"),
    ] {
        if input.get(member).is_some() && !updated.contains(&field) {
            updated.push(field);
        }
    }
    let now = cloud.now;
    let by = identity(cloud, caller);
    if let Some(package) = cloud.sagemaker.registry.packages.get_mut(&arn) {
        package.approval = text_if_any(input, "ModelApprovalStatus").or(package.approval.take());
        package.approval_description =
            text_if_any(input, "ApprovalDescription").or(package.approval_description.take());
        package.metadata = metadata;
        package.modified = Some(now);
        package.modified_by = Some(by);
        let subject = package.name.clone();
        let note = json!({"package": arn, "version": package.version, "approval": package.approval,
            "description": package.approval_description, "updated": updated});
        let what = if updated.contains(&"ModelApprovalStatus") {
            "package-approval"
        } else {
            "package-updated"
        };
        cloud.note("sagemaker", &subject, what, note);
    }
    tell(cloud, &arn, Some(updated));
    Ok(json!({"ModelPackageArn": arn}))
}

/// `DescribeModelPackage`.
pub(super) fn describe(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let package = find(cloud, text(input, "ModelPackageName"))?;
    let mut answer = package.properties.clone();
    for (member, value) in [
        ("ModelPackageName", json!(package.name)),
        ("ModelPackageArn", json!(package.arn)),
        ("ModelPackageGroupName", json!(package.group)),
        ("ModelPackageVersion", json!(package.version)),
        ("ModelPackageStatus", json!("Completed")),
        ("ModelPackageStatusDetails", json!({"ValidationStatuses": []})),
        ("ModelApprovalStatus", json!(package.approval)),
        ("ApprovalDescription", json!(package.approval_description)),
        ("CreationTime", json!(epoch_seconds(package.created))),
        ("LastModifiedTime", json!(package.modified.map(epoch_seconds))),
        ("CreatedBy", json!({})),
    ] {
        set(&mut answer, member, value);
    }
    if let Some((arn, id)) = &package.modified_by {
        let by = json!({"IamIdentity": {"Arn": arn, "PrincipalId": id}});
        set(&mut answer, "LastModifiedBy", by);
    }
    if !package.metadata.is_empty() {
        set(&mut answer, "CustomerMetadataProperties", json!(package.metadata));
    }
    Ok(answer)
}

/// `ListModelPackages`.
pub(super) fn list(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let group = match input.get("ModelPackageGroupName").and_then(Value::as_str) {
        None => None,
        Some(name) => match find_group(cloud, name) {
            Some(group) => Some(group.name.clone()),
            None => {
                let arn = cloud.arn("sagemaker", &format!("model-package-group/{name}"));
                return Err(ApiError::validation(format!("ModelPackageGroup {arn} does not exist.")));
            }
        },
    };
    let kind = match (text(input, "ModelPackageType"), &group) {
        ("", Some(_)) => "Versioned",
        ("", None) => "Unversioned",
        (kind, _) => kind,
    };
    let approval = input.get("ModelApprovalStatus").and_then(Value::as_str);
    let state = &cloud.sagemaker.registry;
    let packages = state
        .made
        .iter()
        .filter_map(|arn| state.packages.get(arn))
        .filter(|package| {
            let of_kind = match kind {
                "Versioned" => package.version.is_some(),
                "Unversioned" => package.version.is_none(),
                _ => true,
            };
            of_kind
                && (group.is_none() || package.group == group)
                && approval.is_none_or(|approval| package.approval.as_deref() == Some(approval))
        });
    let items = packages.map(|package| Listed {
        key: package.arn.clone(),
        name: package.name.clone(),
        created: package.created,
        modified: package.modified.unwrap_or(package.created),
        summary: without_nulls(json!({
            "ModelPackageName": package.name,
            "ModelPackageArn": package.arn,
            "ModelPackageGroupName": package.group,
            "ModelPackageVersion": package.version,
            "ModelPackageDescription": package.properties.get("ModelPackageDescription"),
            "ModelPackageStatus": "Completed",
            "ModelApprovalStatus": package.approval,
            "CreationTime": epoch_seconds(package.created),
        })),
    });
    page(
        items.collect(),
        input,
        "ModelPackageSummaryList",
        DefaultOrder::Ascending,
    )
}

/// `DescribeModelPackageGroup`.
pub(super) fn describe_group(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let name = text(input, "ModelPackageGroupName");
    let Some(group) = find_group(cloud, name) else {
        let arn = match name.starts_with("arn:") {
            true => name.to_owned(),
            false => cloud.arn("sagemaker", &format!("model-package-group/{name}")),
        };
        return Err(ApiError::validation(format!("ModelPackageGroup {arn} does not exist.")));
    };
    let mut answer = group_summary(group);
    set(&mut answer, "CreatedBy", json!({}));
    Ok(answer)
}

fn group_summary(group: &Group) -> Value {
    without_nulls(json!({
        "ModelPackageGroupName": group.name,
        "ModelPackageGroupArn": group.arn,
        "ModelPackageGroupDescription": group.description,
        "ModelPackageGroupStatus": "Completed",
        "CreationTime": epoch_seconds(group.created),
    }))
}

/// `ListModelPackageGroups`.
pub(super) fn list_groups(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let items = cloud.sagemaker.registry.groups.values().map(|group| Listed {
        key: group.arn.clone(),
        name: group.name.clone(),
        created: group.created,
        modified: group.created,
        summary: group_summary(group),
    });
    page(
        items.collect(),
        input,
        "ModelPackageGroupSummaryList",
        DefaultOrder::Ascending,
    )
}

/// The image, the model's archive and the environment of a package's first container.
pub(super) fn container(cloud: &Cloud, name_or_arn: &str) -> Result<Value, ApiError> {
    let package = find(cloud, name_or_arn)?;
    Ok(package
        .properties
        .pointer("/InferenceSpecification/Containers/0")
        .cloned()
        .unwrap_or_default())
}

fn tell(cloud: &mut Cloud, arn: &str, updated: Option<Vec<&str>>) {
    let Some(package) = cloud.sagemaker.registry.packages.get(arn) else {
        return;
    };
    let mut detail = only(
        &package.properties,
        &[
            "InferenceSpecification",
            "MetadataProperties",
            "ModelMetrics",
            "ModelPackageDescription",
        ],
    );
    for (member, value) in [
        (
            "ModelPackageName",
            json!(package.version.is_none().then_some(&package.name)),
        ),
        ("ModelPackageGroupName", json!(package.group)),
        ("ModelPackageVersion", json!(package.version)),
        ("ModelPackageArn", json!(package.arn)),
        ("CreationTime", json!(clock_text(package.created))),
        ("ModelPackageStatus", json!("Completed")),
        (
            "ModelPackageStatusDetails",
            json!({"ValidationStatuses": [], "ImageScanStatuses": []}),
        ),
        ("CertifyForMarketplace", json!(false)),
        ("ModelApprovalStatus", json!(package.approval)),
        ("ApprovalDescription", json!(package.approval_description)),
        ("UpdatedModelPackageFields", json!(updated)),
        (
            "LastModifiedTime",
            json!(clock_text(package.modified.unwrap_or(package.created))),
        ),
    ] {
        set(&mut detail, member, value);
    }
    if !package.metadata.is_empty() {
        set(&mut detail, "CustomerMetadataProperties", json!(package.metadata));
    }
    events::put(
        cloud,
        "aws.sagemaker",
        "SageMaker Model Package State Change",
        vec![arn.to_owned()],
        detail,
    );
}

#[cfg(test)]
mod tests;
