//! SageMaker: pipelines, the model registry, endpoints.
//!
//! [`definition`] reads a pipeline's definition and resolves what its steps refer to; [`pipelines`] keeps pipelines and runs their
//! executions; [`jobs`] makes processing and training jobs of steps; [`registry`] keeps model packages; [`endpoints`] has models,
//! endpoint configurations and endpoints, [`rollout`] moves an endpoint from one configuration to the next as a plan of
//! [`deployment`] says, and [`capacity`] changes how many instances it has; [`role`] is what SageMaker does in the roles that it is given.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{ApiError, Caller, Cloud};
use crate::template::{Resource, TemplateError};

mod capacity;
mod definition;
mod deployment;
mod endpoints;
mod jobs;
mod pipelines;
mod registry;
mod role;
mod rollout;

pub(crate) use self::capacity::{Capacity, capacity, set_capacity};
pub use self::endpoints::Route;
pub(crate) use self::rollout::on_alarm;

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    pipelines: pipelines::State,
    registry: registry::State,
    endpoints: endpoints::State,
    /// By the ARN of the tagged resource.
    tags: BTreeMap<String, BTreeMap<String, String>>,
}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// A pipeline execution starts its first steps.
    ExecutionStarts(String),
    /// A pipeline execution that was told to stop has stopped.
    ExecutionStops(String),
    /// The current phase of an endpoint's deployment is over.
    PhaseEnds {
        /// The endpoint's name.
        endpoint: String,
        /// The phase; a later phase makes the timer void.
        phase: u64,
    },
    /// An endpoint's deployment may take no longer.
    DeploymentExpires {
        /// The endpoint's name.
        endpoint: String,
        /// The deployment; a later deployment makes the timer void.
        deployment: u64,
    },
    /// An endpoint's change of capacity that starts nothing, or was undone, is over.
    CapacitySettles {
        /// The endpoint's name.
        endpoint: String,
        /// The change; a later one makes the timer void.
        change: u64,
    },
    /// An endpoint's maintenance is over.
    MaintenanceEnds {
        /// The endpoint's name.
        endpoint: String,
        /// The maintenance; a later one makes the timer void.
        maintenance: u64,
    },
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    match resource.kind.as_str() {
        "AWS::SageMaker::ModelPackageGroup" => registry::deploy_group(cloud, resource),
        _ => Err(resource.unsupported("this resource type")),
    }
}

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    match operation {
        "AddTags" => add_tags(cloud, input),
        "ListTags" => list_tags(cloud, input),
        "CreatePipeline" => pipelines::create(cloud, input),
        "UpdatePipeline" => pipelines::update(cloud, input),
        "DescribePipeline" => pipelines::describe(cloud, input),
        "ListPipelines" => pipelines::list(cloud, input),
        "ListPipelineVersions" => pipelines::list_versions(cloud, input),
        "StartPipelineExecution" => pipelines::start(cloud, input),
        "StopPipelineExecution" => pipelines::stop(cloud, input),
        "UpdatePipelineExecution" => pipelines::update_execution(cloud, input),
        "DescribePipelineExecution" => pipelines::describe_execution(cloud, input),
        "DescribePipelineDefinitionForExecution" => pipelines::describe_definition(cloud, input),
        "ListPipelineExecutions" => pipelines::list_executions(cloud, input),
        "ListPipelineExecutionSteps" => pipelines::list_steps(cloud, input),
        "ListPipelineParametersForExecution" => pipelines::list_parameters(cloud, input),
        "DescribeProcessingJob" => pipelines::describe_processing_job(cloud, input),
        "DescribeTrainingJob" => pipelines::describe_training_job(cloud, input),
        "CreateModelPackage" => registry::create(cloud, input),
        "UpdateModelPackage" => registry::update(cloud, caller, input),
        "DescribeModelPackage" => registry::describe(cloud, input),
        "ListModelPackages" => registry::list(cloud, input),
        "DescribeModelPackageGroup" => registry::describe_group(cloud, input),
        "ListModelPackageGroups" => registry::list_groups(cloud, input),
        "CreateModel" => endpoints::create_model(cloud, input),
        "DescribeModel" => endpoints::describe_model(cloud, input),
        "DeleteModel" => endpoints::delete_model(cloud, input),
        "ListModels" => endpoints::list_models(cloud, input),
        "CreateEndpointConfig" => endpoints::create_config(cloud, input),
        "DescribeEndpointConfig" => endpoints::describe_config(cloud, input),
        "DeleteEndpointConfig" => endpoints::delete_config(cloud, input),
        "ListEndpointConfigs" => endpoints::list_configs(cloud, input),
        "CreateEndpoint" => endpoints::create(cloud, input),
        "DescribeEndpoint" => endpoints::describe(cloud, input),
        "DeleteEndpoint" => endpoints::delete(cloud, input),
        "ListEndpoints" => endpoints::list(cloud, input),
        "UpdateEndpoint" => rollout::update(cloud, input),
        "UpdateEndpointWeightsAndCapacities" => capacity::update(cloud, input),
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("the local cloud has no {operation}"),
        )),
    }
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    match timer {
        Timer::ExecutionStarts(execution) => pipelines::advance(cloud, &execution),
        Timer::ExecutionStops(execution) => pipelines::stopped(cloud, &execution),
        Timer::PhaseEnds { endpoint, phase } => rollout::phase_ends(cloud, &endpoint, phase),
        Timer::DeploymentExpires { endpoint, deployment } => rollout::expires(cloud, &endpoint, deployment),
        Timer::CapacitySettles { endpoint, change } => capacity::settles(cloud, &endpoint, change),
        Timer::MaintenanceEnds { endpoint, maintenance } => capacity::maintenance_ends(cloud, &endpoint, maintenance),
    }
}

/// A string member, empty where it is not there.
fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// A string member.
fn text_if_any(input: &Value, member: &str) -> Option<String> {
    input.get(member).and_then(Value::as_str).map(str::to_owned)
}

/// The elements of a list member, none where it is not there.
fn list_of<'a>(input: &'a Value, member: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    input.get(member).and_then(Value::as_array).into_iter().flatten()
}

/// Sets a member, or removes it where the value is null.
fn set(object: &mut Value, member: &str, value: Value) {
    if let Value::Object(members) = object {
        if value.is_null() {
            members.remove(member);
        } else {
            members.insert(member.to_owned(), value);
        }
    }
}

/// The object without its null members: an answer says nothing of what is not there.
fn without_nulls(object: Value) -> Value {
    match object {
        Value::Object(members) => Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => other,
    }
}

/// Those of the object's members that are named.
fn only(object: &Value, members: &[&str]) -> Value {
    let kept = members
        .iter()
        .filter_map(|member| Some(((*member).to_owned(), object.get(*member)?.clone())));
    Value::Object(kept.collect::<Map<_, _>>())
}

/// Refuses members of an input that the local cloud does not act on.
fn refuse(input: &Value, members: &[&str]) -> Result<(), ApiError> {
    match members.iter().find(|member| input.get(**member).is_some()) {
        Some(member) => Err(ApiError::validation(format!(
            "The local cloud does not understand {member}."
        ))),
        None => Ok(()),
    }
}

/// A time as answers have it: seconds since 1970.
fn epoch_seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

/// A time as the pipelines' and the registry's events have it: `2021-03-15T16:10:10Z`.
fn clock_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Bucket and key of `s3://BUCKET/KEY`.
fn bucket_and_key(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("s3://")?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    (!bucket.is_empty()).then_some((bucket, key))
}

/// Cuts a text after so many characters.
fn cut(text: &str, characters_max: usize) -> String {
    text.chars().take(characters_max).collect()
}

/// What can be listed: under what it is remembered between pages, its times, its name, and what the list says of it.
struct Listed {
    key: String,
    name: String,
    created: Timestamp,
    modified: Timestamp,
    summary: Value,
}

/// One page of a list, as the input asks: between times, sorted, `MaxResults` from `NextToken` on.
fn page(mut items: Vec<Listed>, input: &Value, member: &str, order: DefaultOrder) -> Result<Value, ApiError> {
    let limit = |members: [&str; 2]| {
        members
            .iter()
            .find_map(|member| input.get(*member).and_then(Value::as_f64))
    };
    let after = limit(["CreatedAfter", "CreationTimeAfter"]);
    let before = limit(["CreatedBefore", "CreationTimeBefore"]);
    let modified_after = limit(["LastModifiedTimeAfter", "LastModifiedTimeAfter"]);
    let modified_before = limit(["LastModifiedTimeBefore", "LastModifiedTimeBefore"]);
    let part = text(input, "NameContains").to_lowercase();
    items.retain(|item| {
        let (created, modified) = (epoch_seconds(item.created), epoch_seconds(item.modified));
        after.is_none_or(|after| created > after)
            && before.is_none_or(|before| created < before)
            && modified_after.is_none_or(|after| modified > after)
            && modified_before.is_none_or(|before| modified < before)
            && item.name.to_lowercase().contains(&part)
    });
    let by_name = matches!(text(input, "SortBy"), "Name" | "PipelineExecutionArn");
    let by_modified = text(input, "SortBy") == "LastModifiedTime";
    let descending = match text(input, "SortOrder") {
        "" => order == DefaultOrder::Descending,
        asked => asked == "Descending",
    };
    // Stable sorts: what was made in the same millisecond stays in the order in which it was made.
    if by_name {
        items.sort_by(|one, other| one.name.cmp(&other.name));
    } else if by_modified {
        items.sort_by_key(|item| item.modified);
    } else {
        items.sort_by_key(|item| item.created);
    }
    if descending {
        items.reverse();
    }
    let start = match input.get("NextToken").and_then(Value::as_str) {
        None => 0,
        Some(token) => Place::read(token)
            .ok_or_else(|| ApiError::validation("Invalid NextToken."))?
            .after(&items, by_name, by_modified, descending),
    };
    let count = input.get("MaxResults").and_then(Value::as_u64).unwrap_or(10);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let more = items.len() > start.saturating_add(count);
    let items: Vec<Listed> = items.into_iter().skip(start).take(count).collect();
    let token = items.last().filter(|_| more).map(Place::write);
    let summaries: Vec<Value> = items.into_iter().map(|item| item.summary).collect();
    let mut answer = json!({ member: summaries });
    set(&mut answer, "NextToken", json!(token));
    Ok(answer)
}

/// The last item of a page, as `NextToken` names it: items that came meanwhile shift nothing, and that item itself may be gone.
struct Place {
    key: String,
    name: String,
    created: i64,
    modified: i64,
}

impl Place {
    fn write(item: &Listed) -> String {
        let (created, modified) = (item.created.as_millisecond(), item.modified.as_millisecond());
        json!([item.key, item.name, created, modified]).to_string()
    }

    fn read(token: &str) -> Option<Self> {
        let (key, name, created, modified) = serde_json::from_str(token).ok()?;
        Some(Self {
            key,
            name,
            created,
            modified,
        })
    }

    /// Where in the sorted items the next page begins.
    fn after(&self, items: &[Listed], by_name: bool, by_modified: bool, descending: bool) -> usize {
        if let Some(place) = items.iter().position(|item| item.key == self.key) {
            return place + 1;
        }
        items.partition_point(|item| {
            let order = if by_name {
                item.name.cmp(&self.name)
            } else if by_modified {
                item.modified.as_millisecond().cmp(&self.modified)
            } else {
                item.created.as_millisecond().cmp(&self.created)
            };
            if descending { order.is_gt() } else { order.is_lt() }
        })
    }
}

/// A list's order where the input does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DefaultOrder {
    Ascending,
    Descending,
}

/// Tags a new resource, with the tags of the input that makes it.
fn tag(cloud: &mut Cloud, arn: &str, input: &Value) -> Result<(), ApiError> {
    let mut tags = cloud.sagemaker.tags.get(arn).cloned().unwrap_or_default();
    for tag in list_of(input, "Tags") {
        tags.insert(text(tag, "Key").to_owned(), text(tag, "Value").to_owned());
    }
    if tags.len() > 50 {
        return Err(ApiError::validation(format!("{arn} can't have more than 50 tags.")));
    }
    cloud.sagemaker.tags.insert(arn.to_owned(), tags);
    Ok(())
}

fn tags_of(cloud: &Cloud, arn: &str) -> Vec<Value> {
    let tags = cloud.sagemaker.tags.get(arn).into_iter().flatten();
    tags.map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

fn find_tagged(cloud: &Cloud, input: &Value) -> Result<String, ApiError> {
    let arn = text(input, "ResourceArn");
    let known = pipelines::has_arn(cloud, arn) || registry::has_arn(cloud, arn) || endpoints::has_arn(cloud, arn);
    if known {
        Ok(arn.to_owned())
    } else {
        Err(ApiError::validation(format!("Could not find resource \"{arn}\".")))
    }
}

fn add_tags(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    let arn = find_tagged(cloud, input)?;
    tag(cloud, &arn, input)?;
    Ok(json!({"Tags": tags_of(cloud, &arn)}))
}

fn list_tags(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let arn = find_tagged(cloud, input)?;
    let (start, tags) = (cloud.now, tags_of(cloud, &arn));
    let items = tags.into_iter().map(|tag| Listed {
        key: text(&tag, "Key").to_owned(),
        name: text(&tag, "Key").to_owned(),
        created: start,
        modified: start,
        summary: tag,
    });
    let mut input = input.clone();
    if input.get("MaxResults").is_none() {
        set(&mut input, "MaxResults", json!(50));
    }
    page(items.collect(), &input, "Tags", DefaultOrder::Ascending)
}

#[cfg(test)]
mod testing;
