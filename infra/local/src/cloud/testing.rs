//! What the tests of several services share.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{ApiError, Caller, Cloud, InitialCode, Service};
use crate::shapes;
use crate::template::{Stack, Target, TemplateError};

/// Where the tests' stacks are deployed, and when.
fn place() -> (Target, Timestamp) {
    let target = Target {
        account: "123456789012".into(),
        region: "eu-west-1".into(),
        stack_name: "signalbox".into(),
        base_url: "http://127.0.0.1:4566".into(),
    };
    (target, "2026-03-02T09:00:00Z".parse().unwrap())
}

/// Deploys a template without parameters.
pub(crate) fn deploy_strictly(template: &str) -> Result<Cloud, TemplateError> {
    let (target, now) = place();
    Cloud::deploy(Stack::load(template, &BTreeMap::new(), &target)?, target, now, 7)
}

/// Deploys a template without the grant whose name has that part, of which there has to be one only.
pub(crate) fn deploy_without(template: &str, part: &str) -> Cloud {
    let (target, now) = place();
    let stack = Stack::load(template, &BTreeMap::new(), &target).unwrap();
    let whole = Cloud::deploy(stack.clone(), target.clone(), now, 7).unwrap();
    let found: Vec<_> = whole.grants().into_iter().map(|grant| grant.id).collect();
    let found: Vec<_> = found.iter().filter(|id| id.to_string().contains(part)).collect();
    assert_eq!(found.len(), 1, "{part}: {found:?}");
    Cloud::deploy_without(stack, target, now, 7, found[0]).unwrap()
}

/// The same for a template that leaves out the roles and policies of AWS's services: they may do what the stack has them do.
pub(crate) fn deploy(template: &str) -> Result<Cloud, TemplateError> {
    deploy_with_code(template, BTreeMap::new())
}

/// The same, with what its repositories begin with.
pub(crate) fn deploy_with_code(template: &str, code: BTreeMap<String, InitialCode>) -> Result<Cloud, TemplateError> {
    let (target, now) = place();
    let stack = Stack::load(template, &BTreeMap::new(), &target)?;
    Cloud::deploy_and(stack, target, now, 7, code, |cloud| {
        super::iam::trust_services(cloud);
        Ok(())
    })
}

/// The events put so far: detail type and detail.
pub(crate) fn events(cloud: &Cloud) -> Vec<(String, Value)> {
    let events = super::events::put_so_far(cloud).iter();
    let kind = |event: &Value| event["detail-type"].as_str().unwrap().to_owned();
    events.map(|event| (kind(event), event["detail"].clone())).collect()
}

/// An administrator's call, with the input and the output checked against the service's model.
pub(crate) fn call(cloud: &mut Cloud, service: Service, operation: &str, input: &Value) -> Result<Value, ApiError> {
    shapes::validate(service, operation, input)?;
    let answer = cloud.call(&Caller::Administrator, service, operation, input)?;
    shapes::check_output(service, operation, &answer).unwrap_or_else(|fault| panic!("{operation}: {fault}: {answer}"));
    Ok(answer)
}

/// Where `actual` has a member that no sample has, or one of another type.
pub(crate) fn differs(place: &str, actual: &Value, samples: &[&Value]) -> Option<String> {
    match actual {
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            let place = format!("{place}.{name}");
            let found: Vec<&Value> = samples.iter().filter_map(|sample| sample.get(name)).collect();
            if found.is_empty() {
                Some(place)
            } else {
                differs(&place, value, &found)
            }
        }),
        Value::Array(items) => {
            if !samples.iter().any(|sample| sample.is_array()) {
                return Some(place.to_owned());
            }
            // An empty list in the sample says nothing of what would be in it.
            let found: Vec<&Value> = samples
                .iter()
                .filter_map(|sample| sample.as_array())
                .flatten()
                .collect();
            items
                .iter()
                .filter(|_| !found.is_empty())
                .find_map(|item| differs(&format!("{place}[]"), item, &found))
        }
        scalar => {
            let same = |sample: &&Value| std::mem::discriminant(*sample) == std::mem::discriminant(scalar);
            (!samples.iter().any(same)).then(|| format!("{place} = {scalar}"))
        }
    }
}
