//! Targets, policies, and fleets that follow their traffic.

use super::super::Service;
use super::super::effect::{Effect, EffectId};
use super::*;
use crate::shapes;
use crate::template::{Resource, Stack};

const ID: &str = "endpoint/churn/variant/AllTraffic";

/// An endpoint `churn` of so many instances of `ml.m5.large`, and configurations `v1` (which serves), `v2` of the same instance type,
/// and `big` of another.
struct Bench {
    cloud: Cloud,
}

impl Bench {
    fn new(count: u64) -> Self {
        let role = Resource {
            logical_id: "Role".to_owned(),
            kind: "AWS::IAM::Role".to_owned(),
            properties: json!({"RoleName": "scaler", "AssumeRolePolicyDocument": {"Statement": []}, "Policies": [{"PolicyName": "scale", "PolicyDocument":
                {"Statement": [
                    {"Effect": "Allow", "Action": "application-autoscaling:*",
                        "Resource": "arn:aws:application-autoscaling:eu-west-1:123456789012:scalable-target/*",
                        "Condition": {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker",
                            "application-autoscaling:scalable-dimension": DIMENSION}}},
                    {"Effect": "Allow", "Action": "application-autoscaling:DescribeScalableTargets", "Resource": "*"},
                    {"Effect": "Allow", "Action": ["sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities"],
                        "Resource": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/churn"}]}}]}),
            physical_id: "scaler".to_owned(),
            attributes: BTreeMap::new(),
        };
        let bucket = Resource {
            logical_id: "Bucket".to_owned(),
            kind: "AWS::S3::Bucket".to_owned(),
            properties: json!({"BucketName": "models"}),
            physical_id: "models".to_owned(),
            attributes: BTreeMap::new(),
        };
        let stack = Stack {
            resources: vec![role, bucket],
            ..Stack::default()
        };
        let target = crate::template::Target {
            account: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            stack_name: "churn".to_owned(),
            base_url: String::new(),
        };
        let start = "2026-11-02T08:00:00Z".parse().unwrap();
        let mut bench = Self {
            cloud: Cloud::deploy(stack, target, start, 7).unwrap(),
        };
        // Models have no role here.
        super::super::iam::trust_services(&mut bench.cloud);
        super::super::s3::put(
            &mut bench.cloud,
            "models",
            "m.tar.gz",
            bytes::Bytes::from_static(b"model"),
        );
        let container = json!({"Image": "i", "ModelDataUrl": "s3://models/m.tar.gz"});
        bench.sagemaker("CreateModel", &json!({"ModelName": "m", "PrimaryContainer": container}));
        for (name, kind) in [("v1", "ml.m5.large"), ("v2", "ml.m5.large"), ("big", "ml.m5.xlarge")] {
            let variant = json!({"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": count, "InstanceType": kind});
            let input = json!({"EndpointConfigName": name, "ProductionVariants": [variant]});
            bench.sagemaker("CreateEndpointConfig", &input);
        }
        bench.sagemaker(
            "CreateEndpoint",
            &json!({"EndpointName": "churn", "EndpointConfigName": "v1"}),
        );
        bench.come_up();
        // Its events are delivered.
        bench.wait(0);
        bench
    }

    fn try_sagemaker(&mut self, operation: &str, input: &Value) -> Result<Value, ApiError> {
        self.cloud
            .call(&Caller::Administrator, Service::SageMaker, operation, input)
    }

    fn sagemaker(&mut self, operation: &str, input: &Value) -> Value {
        self.try_sagemaker(operation, input).unwrap()
    }

    /// Calls the service about the variant, and checks that the answer is of the model's shape.
    fn call_as(&mut self, caller: &Caller, operation: &str, input: &Value) -> Result<Value, ApiError> {
        let mut whole = json!({"ServiceNamespace": "sagemaker"});
        if !operation.starts_with("Describe") {
            whole["ResourceId"] = json!(ID);
            whole["ScalableDimension"] = json!(DIMENSION);
        }
        for (member, value) in input.as_object().unwrap() {
            whole[member] = value.clone();
        }
        let service = Service::ApplicationAutoScaling;
        let answer = self.cloud.call(caller, service, operation, &whole)?;
        shapes::check_output(service, operation, &answer).unwrap();
        Ok(answer)
    }

    fn call(&mut self, operation: &str, input: &Value) -> Value {
        self.call_as(&Caller::Administrator, operation, input).unwrap()
    }

    fn refused(&mut self, operation: &str, input: &Value) -> ApiError {
        self.call_as(&Caller::Administrator, operation, input).unwrap_err()
    }

    fn register(&mut self, min: u64, max: u64) {
        self.call(
            "RegisterScalableTarget",
            &json!({"MinCapacity": min, "MaxCapacity": max}),
        );
    }

    /// A policy of 60 requests a minute and instance, with those members.
    fn track(&mut self, configuration: &Value) {
        let mut whole = json!({"TargetValue": 60.0, "PredefinedMetricSpecification":
            {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}});
        for (member, value) in configuration.as_object().unwrap() {
            whole[member] = value.clone();
        }
        let input = json!({"PolicyName": "requests", "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": whole});
        self.call("PutScalingPolicy", &input);
    }

    /// What waits to start comes up; returns how many.
    fn come_up(&mut self) -> usize {
        let mut started: Vec<EffectId> = Vec::new();
        for effect in self.cloud.take_effects() {
            if let Effect::StartInstance(instance) = effect {
                started.push(instance.id);
            }
        }
        for id in &started {
            self.cloud.finish_start(*id, Ok(()));
        }
        started.len()
    }

    fn wait(&mut self, seconds: i64) {
        let until = self.cloud.now() + SignedDuration::from_secs(seconds);
        self.cloud.advance(until);
    }

    /// So many minutes with so many requests each; instances come up at their ends.
    fn minutes(&mut self, count: usize, requests: usize) {
        for _ in 0..count {
            for _ in 0..requests {
                let route = self.cloud.route("churn").unwrap();
                self.cloud.record_invocation(route.instance, 200, 10);
            }
            self.wait(60);
            self.come_up();
        }
    }

    /// Status and desired number of instances.
    fn capacity(&mut self) -> (String, u64) {
        let described = self.sagemaker("DescribeEndpoint", &json!({"EndpointName": "churn"}));
        let count = described["ProductionVariants"][0]["DesiredInstanceCount"].as_u64();
        (text(&described, "EndpointStatus").to_owned(), count.unwrap())
    }

    fn count(&mut self) -> u64 {
        self.capacity().1
    }
}

#[test]
fn targets_are_registered_described_changed_and_deregistered() {
    let mut bench = Bench::new(2);
    let first = bench.call("RegisterScalableTarget", &json!({"MinCapacity": 1, "MaxCapacity": 4}));
    let again = bench.call("RegisterScalableTarget", &json!({"MinCapacity": 1, "MaxCapacity": 4}));
    assert_eq!(first, again, "idempotent");
    let suspended = json!({"SuspendedState": {"DynamicScalingInSuspended": true}});
    bench.call("RegisterScalableTarget", &suspended);
    bench.call("RegisterScalableTarget", &json!({"MaxCapacity": 8}));
    let described = bench.call("DescribeScalableTargets", &json!({"ResourceIds": [ID]}));
    let target = &described["ScalableTargets"][0];
    assert_eq!((&target["MinCapacity"], &target["MaxCapacity"]), (&json!(1), &json!(8)));
    assert_eq!(target["ScalableTargetARN"], first["ScalableTargetARN"]);
    assert_eq!(
        target["SuspendedState"],
        json!({"DynamicScalingInSuspended": true, "DynamicScalingOutSuspended": false, "ScheduledScalingSuspended": false})
    );
    for (input, count) in [
        (json!({}), 1),
        (json!({"ScalableDimension": DIMENSION}), 1),
        (
            json!({"ScalableDimension": "sagemaker:inference-component:DesiredCopyCount"}),
            0,
        ),
        (json!({"ServiceNamespace": "ecs"}), 0),
        (json!({"ResourceIds": ["endpoint/other/variant/AllTraffic"]}), 0),
    ] {
        let described = bench.call("DescribeScalableTargets", &input);
        assert_eq!(described["ScalableTargets"].as_array().unwrap().len(), count, "{input}");
    }
    assert_eq!(bench.count(), 2, "inside the bounds all the time");
    bench.call("DeregisterScalableTarget", &json!({}));
    let error = bench.refused("DeregisterScalableTarget", &json!({}));
    assert_eq!(error.code, "ObjectNotFoundException");
    assert_eq!(
        error.message,
        format!(
            "No scalable target found for service namespace: sagemaker, resource ID: {ID}, scalable dimension: {DIMENSION}"
        )
    );
}

#[test]
fn what_can_not_be_registered_is_refused() {
    let mut bench = Bench::new(2);
    for (input, expected) in [
        (json!({"MinCapacity": 1}), "MinCapacity and MaxCapacity are required"),
        (
            json!({"MinCapacity": 3, "MaxCapacity": 2}),
            "Maximum capacity cannot be less than minimum capacity",
        ),
        (
            json!({"MinCapacity": -1, "MaxCapacity": 2}),
            "Capacity cannot be less than zero",
        ),
        (
            json!({"MinCapacity": 1, "MaxCapacity": 2, "ResourceId": "endpoint/none/variant/AllTraffic"}),
            "doesn't exist: endpoint/none/variant/AllTraffic",
        ),
        (
            json!({"MinCapacity": 1, "MaxCapacity": 2, "ResourceId": "endpoint/churn/variant/Other"}),
            "doesn't exist: endpoint/churn/variant/Other",
        ),
        (
            json!({"MinCapacity": 1, "MaxCapacity": 2, "ResourceId": "endpoint/churn"}),
            "Unsupported service namespace, resource type or scalable dimension",
        ),
        (
            json!({"MinCapacity": 1, "MaxCapacity": 2, "ServiceNamespace": "ecs"}),
            "Unsupported service namespace, resource type or scalable dimension",
        ),
    ] {
        let error = bench.refused("RegisterScalableTarget", &input);
        assert_eq!(error.code, "ValidationException");
        assert!(error.message.contains(expected), "{error}");
    }
}

#[test]
fn bounds_that_exclude_the_count_scale_at_once() {
    for ((min, max), expected) in [((1, 10), 4), ((6, 10), 6), ((1, 2), 2), ((0, 0), 1)] {
        let mut bench = Bench::new(4);
        bench.register(min, max);
        assert_eq!(bench.count(), expected);
        bench.come_up();
        bench.wait(10);
        assert_eq!(bench.capacity(), ("InService".to_owned(), expected));
    }
    // What is not active is left as it is, until the target is registered again.
    let mut bench = Bench::new(1);
    bench
        .cloud
        .system_update("churn", SignedDuration::from_mins(5))
        .unwrap();
    bench.register(2, 4);
    bench.wait(300);
    assert_eq!(bench.capacity(), ("InService".to_owned(), 1));
    bench.call("RegisterScalableTarget", &json!({}));
    assert_eq!(bench.count(), 2);
}

#[test]
fn policies_are_put_described_and_go_with_their_target() {
    let mut bench = Bench::new(2);
    let policy = json!({"PolicyName": "requests", "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 60.0, "ScaleInCooldown": 600,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}});
    let error = bench.refused("PutScalingPolicy", &policy);
    assert_eq!(error.code, "ObjectNotFoundException");
    assert_eq!(
        error.message,
        format!(
            "No scalable target registered for service namespace: sagemaker, resource ID: {ID}, scalable dimension: {DIMENSION}"
        )
    );
    bench.register(2, 4);
    let first = bench.call("PutScalingPolicy", &policy);
    assert_eq!(bench.call("PutScalingPolicy", &policy), first, "idempotent by name");
    assert!(
        text(&first, "PolicyARN").ends_with(&format!(":resource/sagemaker/{ID}:policyName/requests")),
        "{first}"
    );
    let described = bench.call("DescribeScalingPolicies", &json!({"ResourceId": ID}));
    assert_eq!(described["ScalingPolicies"].as_array().unwrap().len(), 1);
    assert_eq!(
        described["ScalingPolicies"][0]["TargetTrackingScalingPolicyConfiguration"],
        policy["TargetTrackingScalingPolicyConfiguration"]
    );
    let mut second = policy.clone();
    second["PolicyName"] = json!("second");
    bench.call("PutScalingPolicy", &second);
    let page = bench.call("DescribeScalingPolicies", &json!({"MaxResults": 1}));
    assert_eq!(page["ScalingPolicies"][0]["PolicyName"], "requests");
    let page = bench.call(
        "DescribeScalingPolicies",
        &json!({"MaxResults": 1, "NextToken": page["NextToken"]}),
    );
    assert_eq!(page["ScalingPolicies"][0]["PolicyName"], "second");
    assert_eq!(page.get("NextToken"), None);
    let error = bench.refused("DescribeScalingPolicies", &json!({"NextToken": "nonsense"}));
    assert_eq!(error.code, "InvalidNextTokenException");
    bench.call("DeleteScalingPolicy", &json!({"PolicyName": "second"}));
    let error = bench.refused("DeleteScalingPolicy", &json!({"PolicyName": "second"}));
    assert_eq!(error.code, "ObjectNotFoundException");
    bench.call("DeregisterScalableTarget", &json!({}));
    bench.register(2, 4);
    assert_eq!(
        bench.call("DescribeScalingPolicies", &json!({}))["ScalingPolicies"],
        json!([])
    );
}

#[test]
fn a_fleet_follows_its_traffic() {
    let mut bench = Bench::new(2);
    bench.register(2, 6);
    bench.track(&json!({"ScaleOutCooldown": 120, "ScaleInCooldown": 180}));
    assert_eq!(bench.cloud.next_timer(), None, "no traffic, and no instance to spare");
    // 90 requests a minute and instance: three minutes later there are as many as it takes for 60.
    bench.minutes(2, 180);
    assert_eq!(bench.count(), 2);
    bench.minutes(1, 180);
    assert_eq!(bench.capacity(), ("InService".to_owned(), 3));
    // Twice as much: a cool-down of two minutes, counted from when the instance was up.
    bench.minutes(1, 360);
    assert_eq!(bench.count(), 3);
    bench.minutes(2, 360);
    assert_eq!(bench.count(), 6);
    // More than the bounds allow.
    bench.minutes(4, 720);
    assert_eq!(bench.count(), 6);
    // 55 is neither too much nor too little.
    bench.minutes(15, 330);
    assert_eq!(bench.count(), 6);
    // 20 for a quarter of an hour: two instances are enough.
    bench.minutes(14, 120);
    assert_eq!(bench.count(), 6);
    bench.minutes(1, 120);
    assert_eq!(bench.count(), 2);
    bench.wait(10);
    assert_eq!(bench.capacity(), ("InService".to_owned(), 2));
    let turns: Vec<(&str, Value)> = bench
        .cloud
        .take_happenings()
        .into_iter()
        .filter(|happening| happening.service == "application-autoscaling")
        .map(|happening| (happening.what, happening.data["to"].clone()))
        .collect();
    assert_eq!(
        turns,
        [("scale-out", json!(3)), ("scale-out", json!(6)), ("scale-in", json!(2))]
    );
    // The traffic stops: so do the timers.
    bench.wait(16 * 60);
    assert_eq!(bench.cloud.next_timer(), None);
}

#[test]
fn without_traffic_a_fleet_shrinks_to_its_minimum_and_is_left_alone() {
    let mut bench = Bench::new(5);
    bench.register(2, 6);
    assert_eq!(bench.cloud.next_timer(), None, "no policy");
    bench.track(&json!({}));
    bench.wait(14 * 60);
    assert_eq!(bench.count(), 5);
    bench.wait(60);
    assert_eq!(bench.count(), 2);
    bench.wait(60);
    assert_eq!(bench.cloud.next_timer(), None);
    // Nor is one looked at that may not shrink.
    for (policy, target) in [
        (json!({"DisableScaleIn": true}), json!({})),
        (
            json!({}),
            json!({"SuspendedState": {"DynamicScalingInSuspended": true}}),
        ),
    ] {
        let mut bench = Bench::new(5);
        bench.register(2, 6);
        bench.call("RegisterScalableTarget", &target);
        bench.track(&policy);
        assert_eq!(bench.cloud.next_timer(), None);
        bench.minutes(1, 10);
        bench.wait(60 * 60);
        assert_eq!(bench.count(), 5);
        assert_eq!(bench.cloud.next_timer(), None);
    }
}

#[test]
fn a_target_that_is_registered_anew_begins_anew() {
    let mut bench = Bench::new(4);
    bench.register(1, 6);
    bench.track(&json!({}));
    bench.wait(10 * 60 + 30);
    bench.call("DeregisterScalableTarget", &json!({}));
    bench.register(1, 6);
    bench.track(&json!({}));
    bench.wait(14 * 60);
    assert_eq!(bench.count(), 4);
    bench.wait(30);
    assert_eq!(bench.count(), 1);
    bench.wait(60);
    assert_eq!(bench.cloud.next_timer(), None);
}

#[test]
fn cool_downs_hold_back_the_next_scaling() {
    // Minutes of 120 requests an instance until the second scale-out, whose first is after three.
    for (cooldown, minutes) in [(0, 4), (300, 8)] {
        let mut bench = Bench::new(1);
        bench.register(1, 50);
        bench.track(&json!({"ScaleOutCooldown": cooldown}));
        bench.minutes(3, 120);
        assert_eq!(bench.count(), 2);
        let mut taken = 3;
        while bench.count() == 2 {
            bench.minutes(1, 240);
            taken += 1;
        }
        assert_eq!((taken, bench.count()), (minutes, 4), "{cooldown} s");
    }
}

#[test]
fn while_an_endpoint_is_updated_it_does_not_scale() {
    let mut bench = Bench::new(2);
    bench.register(2, 6);
    bench.track(&json!({}));
    bench
        .cloud
        .system_update("churn", SignedDuration::from_mins(10))
        .unwrap();
    bench.minutes(9, 600);
    assert_eq!(bench.capacity(), ("SystemUpdating".to_owned(), 2));
    bench.minutes(1, 600);
    assert_eq!(bench.count(), 6, "as soon as it is in service");
    bench.wait(10);
    // An update resets the count, unless it is told to keep it.
    for (retain, expected) in [(true, 6), (false, 2)] {
        bench.minutes(3, 360);
        let input = json!({"EndpointName": "churn", "EndpointConfigName": "v2", "RetainAllVariantProperties": retain});
        bench.sagemaker("UpdateEndpoint", &input);
        bench.come_up();
        bench.wait(10);
        assert_eq!(bench.capacity(), ("InService".to_owned(), expected), "{retain}");
    }
}

#[test]
fn a_scalable_target_keeps_its_instance_type() {
    let mut bench = Bench::new(2);
    let update = json!({"EndpointName": "churn", "EndpointConfigName": "big"});
    bench.register(1, 4);
    let error = bench.try_sagemaker("UpdateEndpoint", &update).unwrap_err();
    assert_eq!(error.code, "ValidationException");
    assert!(error.message.contains("is registered as a scalable target"), "{error}");
    assert_eq!(bench.capacity().0, "InService");
    // The model may change.
    bench.sagemaker(
        "UpdateEndpoint",
        &json!({"EndpointName": "churn", "EndpointConfigName": "v2"}),
    );
    bench.come_up();
    bench.wait(10);
    bench.call("DeregisterScalableTarget", &json!({}));
    bench.sagemaker("UpdateEndpoint", &update);
    bench.come_up();
    bench.wait(10);
    bench.register(1, 4);
    bench.sagemaker("DeleteEndpoint", &json!({"EndpointName": "churn"}));
    assert_eq!(
        bench.call("DescribeScalableTargets", &json!({}))["ScalableTargets"],
        json!([])
    );
}

#[test]
fn a_function_needs_the_actions_of_what_it_has_scaled_too() {
    let mut bench = Bench::new(2);
    let caller = |role: &str| Caller::Function {
        name: "f".to_owned(),
        role_arn: format!("arn:aws:iam::123456789012:role/{role}"),
    };
    let (scaler, nobody) = (caller("scaler"), caller("nobody"));
    let input = json!({"MinCapacity": 1, "MaxCapacity": 4});
    let error = bench.call_as(&nobody, "RegisterScalableTarget", &input).unwrap_err();
    assert_eq!(error.code, "AccessDeniedException");
    assert!(
        error.message.contains(
            "application-autoscaling:RegisterScalableTarget on resource: \
             arn:aws:application-autoscaling:eu-west-1:123456789012:scalable-target/*"
        ),
        "{error}"
    );
    bench.call_as(&scaler, "RegisterScalableTarget", &input).unwrap();
    bench.call_as(&scaler, "RegisterScalableTarget", &input).unwrap();
    bench.call_as(&scaler, "DescribeScalableTargets", &json!({})).unwrap();
    // The reference has no resource for it.
    let error = bench
        .call_as(&scaler, "DescribeScalingPolicies", &json!({}))
        .unwrap_err();
    assert_eq!(error.code, "AccessDeniedException");
    // The target is theirs, the alarms that the policy makes are not.
    let policy = json!({"PolicyName": "requests", "PolicyType": "TargetTrackingScaling"});
    let error = bench.call_as(&scaler, "PutScalingPolicy", &policy).unwrap_err();
    assert_eq!(error.code, "ValidationException");
    assert!(error.message.contains("cloudwatch:DescribeAlarms"), "{error}");
    bench.call_as(&scaler, "DeregisterScalableTarget", &json!({})).unwrap();
}
