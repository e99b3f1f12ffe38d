//! Application Auto Scaling: how many instances a SageMaker endpoint's variant has, kept between bounds and near a target.
//!
//! Of the services that it scales on AWS there is SageMaker's `sagemaker:variant:DesiredInstanceCount`, tracked by
//! `SageMakerVariantInvocationsPerInstance`. [`track`] decides when to scale, from the requests per instance of each minute.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::iam::{self, Ask};
use super::sagemaker::{self, Capacity};
use super::{ApiError, Caller, Cloud};

mod track;

use self::track::{Policy, Turn};

/// The only dimension that is scaled here.
const DIMENSION: &str = "sagemaker:variant:DesiredInstanceCount";

/// The service's state: the scalable targets by their resource ids, `endpoint/NAME/variant/VARIANT`.
#[derive(Debug, Default)]
pub(crate) struct State {
    targets: BTreeMap<String, Target>,
}

/// A scalable target.
#[derive(Debug)]
struct Target {
    arn: String,
    endpoint: String,
    variant: String,
    min: usize,
    max: usize,
    role: Option<String>,
    created: Timestamp,
    suspended: Suspended,
    /// By name.
    policies: BTreeMap<String, Policy>,
    /// The requests of the minute that runs.
    requests: u64,
    /// The requests per instance of the minutes before, the newest last.
    minutes: VecDeque<f64>,
    /// When the minute ends, where a timer is set: nobody looks at a target without policies, traffic, or instances above its minimum.
    ticking: Option<Timestamp>,
    /// The change of capacity under way.
    under_way: Option<Turn>,
    /// When the last scale-out and the last scale-in were done.
    last_out: Option<Timestamp>,
    last_in: Option<Timestamp>,
}

/// `SuspendedState`.
#[derive(Debug, Clone, Copy, Default)]
struct Suspended {
    scale_in: bool,
    scale_out: bool,
    scheduled: bool,
}

impl Suspended {
    /// The state with what the input says of it.
    fn with(self, input: &Value) -> Self {
        let flag = |member: &str, before: bool| input.get(member).and_then(Value::as_bool).unwrap_or(before);
        Self {
            scale_in: flag("DynamicScalingInSuspended", self.scale_in),
            scale_out: flag("DynamicScalingOutSuspended", self.scale_out),
            scheduled: flag("ScheduledScalingSuspended", self.scheduled),
        }
    }

    fn describe(self) -> Value {
        json!({
            "DynamicScalingInSuspended": self.scale_in,
            "DynamicScalingOutSuspended": self.scale_out,
            "ScheduledScalingSuspended": self.scheduled,
        })
    }
}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// The end of a minute of a scalable target.
    Minute(String),
}

/// Answers one call.
pub(crate) fn call(cloud: &mut Cloud, caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
    match operation {
        "RegisterScalableTarget" => register(cloud, caller, input),
        "DeregisterScalableTarget" => deregister(cloud, input),
        "DescribeScalableTargets" => describe_targets(cloud, input),
        "PutScalingPolicy" => put_policy(cloud, caller, input),
        "DeleteScalingPolicy" => delete_policy(cloud, input),
        "DescribeScalingPolicies" => describe_policies(cloud, input),
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("the local cloud has no application-autoscaling:{operation}"),
        )),
    }
}

fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn resource_id(endpoint: &str, variant: &str) -> String {
    format!("endpoint/{endpoint}/variant/{variant}")
}

/// The endpoint and the variant that a call is about.
fn resource(input: &Value) -> Result<(String, String), ApiError> {
    let mut parts = text(input, "ResourceId").split('/');
    let found = match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("endpoint"), Some(endpoint), Some("variant"), Some(variant), None) => Some((endpoint, variant)),
        _ => None,
    };
    let supported = text(input, "ServiceNamespace") == "sagemaker" && text(input, "ScalableDimension") == DIMENSION;
    found
        .filter(|_| supported)
        .map(|(endpoint, variant)| (endpoint.to_owned(), variant.to_owned()))
        .ok_or_else(|| ApiError::validation("Unsupported service namespace, resource type or scalable dimension"))
}

/// `registered` or `found`, as the operations say it.
fn no_target(input: &Value, word: &str) -> ApiError {
    let (namespace, resource, dimension) = (
        text(input, "ServiceNamespace"),
        text(input, "ResourceId"),
        text(input, "ScalableDimension"),
    );
    ApiError::new(
        "ObjectNotFoundException",
        format!(
            "No scalable target {word} for service namespace: {namespace}, resource ID: {resource}, scalable dimension: {dimension}"
        ),
    )
}

/// Refuses the call where the caller itself could not do what it lets the service do: the service tries before it says yes.
fn validate_permissions(cloud: &mut Cloud, caller: &Caller, asks: &[Ask]) -> Result<(), ApiError> {
    asks.iter().try_for_each(|ask| {
        iam::as_caller(cloud, caller, ask).map_err(|denied| {
            let message = format!(
                "The caller must be allowed {} on {} too.",
                denied.action, denied.resource
            );
            ApiError::validation(message)
        })
    })
}

fn register(cloud: &mut Cloud, caller: &Caller, input: &Value) -> Result<Value, ApiError> {
    let (endpoint, variant) = resource(input)?;
    let id = text(input, "ResourceId").to_owned();
    let capacity = |member: &str| input.get(member).and_then(Value::as_i64);
    let before = cloud.applicationautoscaling.targets.get(&id);
    let min = capacity("MinCapacity").or(before.and_then(|target| i64::try_from(target.min).ok()));
    let max = capacity("MaxCapacity").or(before.and_then(|target| i64::try_from(target.max).ok()));
    let (Some(min), Some(max)) = (min, max) else {
        return Err(ApiError::validation(
            "MinCapacity and MaxCapacity are required when a scalable target is registered for the first time",
        ));
    };
    let (Ok(min), Ok(max)) = (usize::try_from(min), usize::try_from(max)) else {
        return Err(ApiError::validation("Capacity cannot be less than zero"));
    };
    if max < min {
        return Err(ApiError::validation(
            "Maximum capacity cannot be less than minimum capacity",
        ));
    }
    let endpoint_arn = cloud.arn("sagemaker", &format!("endpoint/{endpoint}"));
    let asks = [
        "sagemaker:DescribeEndpoint",
        "sagemaker:UpdateEndpointWeightsAndCapacities",
    ];
    validate_permissions(cloud, caller, &asks.map(|action| Ask::new(action, &endpoint_arn)))?;
    let Some(current) = sagemaker::capacity(cloud, &endpoint, &variant) else {
        return Err(ApiError::validation(format!(
            "SageMaker endpoint variant doesn't exist: {id}"
        )));
    };
    if !cloud.applicationautoscaling.targets.contains_key(&id) {
        let arn = format!("scalable-target/{}", cloud.token(34));
        let target = Target {
            arn: cloud.arn("application-autoscaling", &arn),
            endpoint: endpoint.clone(),
            variant,
            min,
            max,
            role: None,
            created: cloud.now(),
            suspended: Suspended::default(),
            policies: BTreeMap::new(),
            requests: 0,
            minutes: VecDeque::new(),
            ticking: None,
            under_way: None,
            last_out: None,
            last_in: None,
        };
        cloud.applicationautoscaling.targets.insert(id.clone(), target);
    }
    let mut arn = String::new();
    if let Some(target) = cloud.applicationautoscaling.targets.get_mut(&id) {
        (target.min, target.max) = (min, max);
        target.suspended = target
            .suspended
            .with(input.get("SuspendedState").unwrap_or(&Value::Null));
        if let Some(role) = input.get("RoleARN").and_then(Value::as_str) {
            target.role = Some(role.to_owned());
        }
        arn.clone_from(&target.arn);
    }
    // A resource that is not active is left as it is. An endpoint runs one instance at least.
    let inside = current.wanted.clamp(min.max(1), max.max(1));
    if current.in_service && inside != current.wanted {
        set(cloud, &id, current.wanted, inside);
    }
    tick(cloud, &id);
    Ok(json!({"ScalableTargetARN": arn}))
}

fn deregister(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    resource(input)?;
    match cloud.applicationautoscaling.targets.remove(text(input, "ResourceId")) {
        Some(_) => Ok(json!({})),
        None => Err(no_target(input, "found")),
    }
}

/// A page of what was found, by key.
fn page(found: Vec<(String, Value)>, input: &Value, member: &str) -> Result<Value, ApiError> {
    let token = text(input, "NextToken");
    if !token.is_empty() && !found.iter().any(|(key, _)| key == token) {
        return Err(ApiError::new(
            "InvalidNextTokenException",
            "The next token supplied was invalid",
        ));
    }
    let count = input
        .get("MaxResults")
        .and_then(Value::as_u64)
        .unwrap_or(50)
        .clamp(1, 50);
    let count = usize::try_from(count).unwrap_or(50);
    let mut rest = found
        .into_iter()
        .skip_while(|(key, _)| !token.is_empty() && key != token)
        .skip(usize::from(!token.is_empty()))
        .peekable();
    let taken: Vec<(String, Value)> = rest.by_ref().take(count).collect();
    let last = taken.last().map(|(key, _)| key.clone());
    let described: Vec<Value> = taken.into_iter().map(|(_, described)| described).collect();
    let mut answer = json!({ member: described });
    if let (Some(last), Some(_), Value::Object(members)) = (last, rest.peek(), &mut answer) {
        members.insert("NextToken".to_owned(), last.into());
    }
    Ok(answer)
}

/// Whether a list member names it, or names nothing.
fn is_named(input: &Value, member: &str, name: &str) -> bool {
    let names = input.get(member).and_then(Value::as_array);
    names.is_none_or(|names| names.is_empty() || names.iter().any(|given| given.as_str() == Some(name)))
}

/// Whether the call asks for that service and dimension.
fn is_asked(input: &Value) -> bool {
    let dimension = text(input, "ScalableDimension");
    text(input, "ServiceNamespace") == "sagemaker" && (dimension.is_empty() || dimension == DIMENSION)
}

fn describe_targets(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let account = &cloud.target().account;
    let linked = format!(
        "arn:aws:iam::{account}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/\
         AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    );
    let targets = cloud.applicationautoscaling.targets.iter();
    let found = targets
        .filter(|(id, _)| is_asked(input) && is_named(input, "ResourceIds", id))
        .map(|(id, target)| {
            let described = json!({
                "ServiceNamespace": "sagemaker",
                "ResourceId": id,
                "ScalableDimension": DIMENSION,
                "ScalableTargetARN": target.arn,
                "MinCapacity": target.min,
                "MaxCapacity": target.max,
                "RoleARN": target.role.as_ref().unwrap_or(&linked),
                "CreationTime": target.created.as_second(),
                "SuspendedState": target.suspended.describe(),
            });
            (id.clone(), described)
        });
    page(found.collect(), input, "ScalableTargets")
}

fn put_policy(cloud: &mut Cloud, caller: &Caller, input: &Value) -> Result<Value, ApiError> {
    let (endpoint, variant) = resource(input)?;
    let id = text(input, "ResourceId").to_owned();
    if !cloud.applicationautoscaling.targets.contains_key(&id) {
        return Err(no_target(input, "registered"));
    }
    let alarms = format!("alarm:TargetTracking-{}-*", resource_id(&endpoint, &variant));
    let alarms = cloud.arn("cloudwatch", &alarms);
    let asks = [
        Ask::new("cloudwatch:DescribeAlarms", &alarms),
        Ask::new("cloudwatch:PutMetricAlarm", &alarms),
        Ask::new("cloudwatch:DeleteAlarms", &alarms),
    ];
    validate_permissions(cloud, caller, &asks)?;
    let name = text(input, "PolicyName").to_owned();
    let before = cloud.applicationautoscaling.targets.get(&id);
    let before = before.and_then(|target| target.policies.get(&name)).cloned();
    let policy = match before {
        Some(before) => before.updated(input)?,
        None => {
            let arn = format!(
                "scalingPolicy:{}:resource/sagemaker/{id}:policyName/{name}",
                cloud.uuid()
            );
            Policy::new(cloud.arn("autoscaling", &arn), cloud.now(), input)?
        }
    };
    let arn = policy.arn.clone();
    if let Some(target) = cloud.applicationautoscaling.targets.get_mut(&id) {
        target.policies.insert(name, policy);
    }
    tick(cloud, &id);
    Ok(json!({"PolicyARN": arn, "Alarms": []}))
}

fn delete_policy(cloud: &mut Cloud, input: &Value) -> Result<Value, ApiError> {
    resource(input)?;
    let name = text(input, "PolicyName");
    let target = cloud.applicationautoscaling.targets.get_mut(text(input, "ResourceId"));
    match target.and_then(|target| target.policies.remove(name)) {
        Some(_) => Ok(json!({})),
        None => Err(ApiError::new(
            "ObjectNotFoundException",
            format!(
                "No scaling policy found for service namespace: {}, resource ID: {}, scalable dimension: {}, policy name: {name}",
                text(input, "ServiceNamespace"),
                text(input, "ResourceId"),
                text(input, "ScalableDimension"),
            ),
        )),
    }
}

fn describe_policies(cloud: &Cloud, input: &Value) -> Result<Value, ApiError> {
    let asked = text(input, "ResourceId");
    let mut found = Vec::new();
    for (id, target) in &cloud.applicationautoscaling.targets {
        if !is_asked(input) || !(asked.is_empty() || asked == id) {
            continue;
        }
        for (name, policy) in &target.policies {
            if is_named(input, "PolicyNames", name) {
                let described = json!({
                    "ServiceNamespace": "sagemaker",
                    "ResourceId": id,
                    "ScalableDimension": DIMENSION,
                    "PolicyName": name,
                    "PolicyARN": policy.arn,
                    "PolicyType": "TargetTrackingScaling",
                    "TargetTrackingScalingPolicyConfiguration": policy.configuration,
                    "CreationTime": policy.created.as_second(),
                    "Alarms": [],
                });
                found.push((format!("{id} {name}"), described));
            }
        }
    }
    page(found, input, "ScalingPolicies")
}

/// The ARNs of an endpoint's scalable targets.
pub(crate) fn targets_of(cloud: &Cloud, endpoint: &str) -> Vec<String> {
    let targets = cloud.applicationautoscaling.targets.values();
    targets
        .filter(|target| target.endpoint == endpoint)
        .map(|target| target.arn.clone())
        .collect()
}

/// The ARN of the scalable target of that resource, or of all where it is none.
pub(crate) fn target_arn(cloud: &Cloud, id: &str) -> String {
    match cloud.applicationautoscaling.targets.get(id) {
        Some(target) => target.arn.clone(),
        None => cloud.arn("application-autoscaling", "scalable-target/*"),
    }
}

/// Whether an endpoint's variant is a scalable target.
pub(crate) fn is_target(cloud: &Cloud, endpoint: &str, variant: &str) -> bool {
    let targets = &cloud.applicationautoscaling.targets;
    targets.contains_key(&resource_id(endpoint, variant))
}

/// Counts a request to an endpoint's variant.
pub(crate) fn count_request(cloud: &mut Cloud, endpoint: &str, variant: &str) {
    if cloud.applicationautoscaling.targets.is_empty() {
        return;
    }
    let id = resource_id(endpoint, variant);
    if let Some(target) = cloud.applicationautoscaling.targets.get_mut(&id) {
        target.requests += 1;
        tick(cloud, &id);
    }
}

/// An endpoint is in service: what scaled it is done, and may look at it again.
pub(crate) fn endpoint_in_service(cloud: &mut Cloud, endpoint: &str) {
    let now = cloud.now();
    let mut ids = Vec::new();
    for (id, target) in &mut cloud.applicationautoscaling.targets {
        if target.endpoint == endpoint {
            match target.under_way.take() {
                Some(Turn::Out) => target.last_out = Some(now),
                Some(Turn::In) => target.last_in = Some(now),
                None => {}
            }
            ids.push(id.clone());
        }
    }
    for id in ids {
        tick(cloud, &id);
    }
}

/// An endpoint is deleted: its variants are no targets any more.
pub(crate) fn endpoint_deleted(cloud: &mut Cloud, endpoint: &str) {
    let targets = &mut cloud.applicationautoscaling.targets;
    targets.retain(|_, target| target.endpoint != endpoint);
}

/// Sets the timer for the end of the minute, unless one is set, or there is nothing to look at.
fn tick(cloud: &mut Cloud, id: &str) {
    let now = cloud.now();
    let Some(target) = cloud.applicationautoscaling.targets.get(id) else {
        return;
    };
    if target.ticking.is_some() || target.policies.is_empty() {
        return;
    }
    let has_traffic = target.requests > 0 || target.minutes.iter().any(|value| *value > 0.0);
    let capacity = sagemaker::capacity(cloud, &target.endpoint, &target.variant);
    let may_shrink = capacity.is_some_and(|capacity| {
        capacity.in_service
            && capacity.wanted > target.min.max(1)
            && !target.suspended.scale_in
            && target.policies.values().all(Policy::scales_in)
    });
    let Some(target) = cloud.applicationautoscaling.targets.get_mut(id) else {
        return;
    };
    if !(has_traffic || may_shrink) {
        target.minutes.clear();
        return;
    }
    let minute = SignedDuration::from_mins(1).as_secs();
    let wait = SignedDuration::from_secs(minute - now.as_second().rem_euclid(minute));
    target.ticking = now.checked_add(wait).ok();
    cloud.after(wait, super::Timer::ApplicationAutoScaling(Timer::Minute(id.to_owned())));
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    match timer {
        Timer::Minute(id) => minute_ends(cloud, &id),
    }
}

fn minute_ends(cloud: &mut Cloud, id: &str) {
    let now = cloud.now();
    let targets = &cloud.applicationautoscaling.targets;
    let capacity = targets
        .get(id)
        .and_then(|target| sagemaker::capacity(cloud, &target.endpoint, &target.variant));
    // The timer of a target that was deregistered and registered anew is void: the new one has its own.
    let target = cloud.applicationautoscaling.targets.get_mut(id);
    let Some(target) = target.filter(|target| target.ticking == Some(now)) else {
        return;
    };
    target.ticking = None;
    let Some(capacity) = capacity else {
        return;
    };
    target.minute(&capacity);
    // SageMaker blocks autoscaling while an endpoint changes.
    if let Some(wanted) = target.decide(&capacity, now).filter(|_| capacity.in_service) {
        set(cloud, id, capacity.wanted, wanted);
    }
    tick(cloud, id);
}

/// Has SageMaker scale.
fn set(cloud: &mut Cloud, id: &str, from: usize, to: usize) {
    let Some(target) = cloud.applicationautoscaling.targets.get_mut(id) else {
        return;
    };
    let turn = if to > from { Turn::Out } else { Turn::In };
    target.under_way = Some(turn);
    let endpoint = target.endpoint.clone();
    let note = json!({"from": from, "to": to, "requests_per_instance": target.minutes.back()});
    cloud.note("application-autoscaling", id, turn.name(), note);
    if let Err(error) = sagemaker::set_capacity(cloud, &endpoint, to) {
        let note = json!({"error": error.to_string()});
        cloud.note("application-autoscaling", id, "scaling-failed", note);
        if let Some(target) = cloud.applicationautoscaling.targets.get_mut(id) {
            target.under_way = None;
        }
    }
}

impl Target {
    /// Keeps what the minute brought.
    fn minute(&mut self, capacity: &Capacity) {
        let requests = u32::try_from(std::mem::take(&mut self.requests)).unwrap_or(u32::MAX);
        let instances = u32::try_from(capacity.up.max(1)).unwrap_or(u32::MAX);
        self.minutes.push_back(f64::from(requests) / f64::from(instances));
        if self.minutes.len() > track::MINUTES_LOW {
            self.minutes.pop_front();
        }
    }

    /// To how many instances to scale, if at all: out as far as the policy asks that asks most, in only where all agree; between the
    /// bounds, and when the cool-downs are over.
    fn decide(&self, capacity: &Capacity, now: Timestamp) -> Option<usize> {
        let over = |since: Option<Timestamp>, seconds: u64| {
            let wait = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            since.is_none_or(|since| now.duration_since(since) >= wait)
        };
        let (minutes, wanted) = (&self.minutes, capacity.wanted);
        let outs = self.policies.values().filter_map(|policy| {
            let out = policy.out(minutes, wanted)?;
            over(self.last_out, policy.out_cooldown_seconds()).then_some(out)
        });
        if let Some(out) = outs.max() {
            let out = out.min(self.max);
            return (out > wanted && !self.suspended.scale_out).then_some(out);
        }
        let ins = self.policies.values().map(|policy| {
            let cool =
                over(self.last_in, policy.in_cooldown_seconds()) && over(self.last_out, policy.out_cooldown_seconds());
            policy.less(minutes, wanted).filter(|_| cool)
        });
        let less = ins.collect::<Option<Vec<usize>>>()?.into_iter().max()?;
        let less = less.max(self.min.max(1));
        (less < wanted && !self.suspended.scale_in).then_some(less)
    }
}

#[cfg(test)]
mod tests;
