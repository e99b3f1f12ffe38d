//! What the tests of this service share: a cloud with one model package group, and calls to it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::{cloudwatch, events, iam, s3};
use crate::cloud::effect::{Effect, EffectId, Job};
use crate::cloud::{ApiError, Caller, Cloud, Service};
use crate::template::{Resource, Stack, Target};

pub(super) const BUCKET: &str = "train-data";
pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A deployed stack of one model package group, `churn`.
pub(super) fn cloud() -> Cloud {
    let group = Resource {
        logical_id: "Group".to_owned(),
        kind: "AWS::SageMaker::ModelPackageGroup".to_owned(),
        properties: json!({"ModelPackageGroupName": "churn"}),
        physical_id: "churn".to_owned(),
        attributes: BTreeMap::new(),
    };
    let bucket = Resource {
        logical_id: "Bucket".to_owned(),
        kind: "AWS::S3::Bucket".to_owned(),
        properties: json!({"BucketName": BUCKET}),
        physical_id: BUCKET.to_owned(),
        attributes: BTreeMap::new(),
    };
    let stack = Stack {
        resources: vec![group, bucket],
        ..Stack::default()
    };
    let target = Target {
        account: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        stack_name: "churn".to_owned(),
        base_url: "http://127.0.0.1:4566".to_owned(),
    };
    let mut cloud = Cloud::deploy(stack, target, "2026-11-02T08:00:00Z".parse().unwrap(), 7).unwrap();
    iam::trust_services(&mut cloud);
    cloud
}

/// Calls, and checks that the answer is of the shape that the service model gives it.
pub(super) fn call(cloud: &mut Cloud, operation: &str, input: &Value) -> Result<Value, ApiError> {
    static MODEL: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(include_str!("../../../shapes/sagemaker.json")).unwrap());
    let answer = cloud.call(&Caller::Administrator, Service::SageMaker, operation, input)?;
    match MODEL["operations"][operation]
        .get("output")
        .filter(|shape| shape.is_string())
    {
        Some(shape) => conforms(&MODEL["shapes"], shape, &answer, operation),
        None => assert_eq!(answer, json!({}), "{operation} answers nothing"),
    }
    Ok(answer)
}

fn conforms(shapes: &Value, reference: &Value, value: &Value, place: &str) {
    let name = reference.as_str().or(reference[0].as_str()).unwrap();
    let shape = &shapes[name];
    match shape["type"].as_str().unwrap() {
        "structure" => {
            let members = value
                .as_object()
                .unwrap_or_else(|| panic!("{place} is no structure: {value}"));
            for required in shape["required"].as_array().into_iter().flatten() {
                assert!(
                    members.contains_key(required.as_str().unwrap()),
                    "{place} has no {required}: {value}"
                );
            }
            for (member, value) in members {
                let of = shape["members"]
                    .get(member)
                    .unwrap_or_else(|| panic!("{place} has {member}, which {name} has not"));
                conforms(shapes, of, value, &format!("{place}.{member}"));
            }
        }
        "list" => {
            let elements = value
                .as_array()
                .unwrap_or_else(|| panic!("{place} is no list: {value}"));
            elements
                .iter()
                .for_each(|element| conforms(shapes, &shape["member"], element, place));
        }
        "map" => {
            let entries = value
                .as_object()
                .unwrap_or_else(|| panic!("{place} is no map: {value}"));
            entries
                .values()
                .for_each(|value| conforms(shapes, &shape["value"], value, place));
        }
        "string" => {
            let text = value
                .as_str()
                .unwrap_or_else(|| panic!("{place} is no string: {value}"));
            let allowed = shape["enum"].as_array();
            assert!(
                allowed.is_none_or(|allowed| allowed.contains(value)),
                "{place} can't be {text}"
            );
        }
        "boolean" => assert!(value.is_boolean(), "{place} is no boolean: {value}"),
        "integer" | "long" => assert!(value.is_i64() || value.is_u64(), "{place} is no integer: {value}"),
        "float" | "double" | "timestamp" => assert!(value.is_number(), "{place} is no number: {value}"),
        other => panic!("{place} is of the type {other}"),
    }
}

pub(super) fn ok(cloud: &mut Cloud, operation: &str, input: &Value) -> Value {
    call(cloud, operation, input).unwrap_or_else(|error| panic!("{operation} {input}: {error}"))
}

/// The refusal of a call: it must be a `ValidationException`.
pub(super) fn refused(cloud: &mut Cloud, operation: &str, input: &Value) -> String {
    let error = call(cloud, operation, input).expect_err(operation);
    assert_eq!(error.code, "ValidationException", "{error}");
    error.message
}

pub(super) fn wait(cloud: &mut Cloud, seconds: i64) {
    let until = cloud.now() + SignedDuration::from_secs(seconds);
    cloud.advance(until);
}

pub(super) fn put(cloud: &mut Cloud, key: &str, content: &[u8]) {
    s3::put(cloud, BUCKET, key, Bytes::copy_from_slice(content));
}

pub(super) fn get(cloud: &Cloud, key: &str) -> Option<Bytes> {
    s3::get(cloud, BUCKET, key)
}

/// The details of the events of a type since this was last asked; the other events are forgotten.
pub(super) fn told(cloud: &mut Cloud, kind: &str) -> Vec<Value> {
    let events = events::take(cloud).into_iter();
    events
        .filter(|event| event["detail-type"] == kind)
        .map(|event| event["detail"].clone())
        .collect()
}

pub(super) fn set_alarm(cloud: &mut Cloud, name: &str, state: &'static str) {
    cloudwatch::set_alarm(cloud, name, state);
}

pub(super) fn metric(cloud: &Cloud, name: &str, dimensions: &[(&str, &str)]) -> (f64, usize) {
    cloudwatch::sum(cloud, "AWS/SageMaker", name, dimensions)
}

/// The jobs among the effects that wait.
pub(super) fn jobs(cloud: &mut Cloud) -> Vec<Job> {
    let effects = cloud.take_effects().into_iter();
    effects
        .filter_map(|effect| if let Effect::Job(job) = effect { Some(job) } else { None })
        .collect()
}

/// The instances among the effects that wait: those to start, those to stop.
pub(super) fn instances(cloud: &mut Cloud) -> (Vec<EffectId>, Vec<EffectId>) {
    let (mut start, mut stop) = (Vec::new(), Vec::new());
    for effect in cloud.take_effects() {
        match effect {
            Effect::StartInstance(instance) => start.push(instance.id),
            Effect::StopInstance { id } => stop.push(id),
            _ => {}
        }
    }
    (start, stop)
}
