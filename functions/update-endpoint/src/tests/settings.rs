//! What is read from the environment.

use signalbox_aws::configurations::{Capture, Network};

use super::*;

/// What the template sets when nothing but the defaults is given.
const LEAST: [(&str, &str); 29] = [
    ("MODEL_NAME", "churn"),
    (
        "MODEL_PACKAGE_GROUP_ARN",
        "arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/churn",
    ),
    ("NOTICES_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:churn-notices"),
    ("PROGRESS_NOTICES", "each-shift"),
    ("RELEASE_PIPELINE", "churn-release"),
    ("ROLLBACK_PIPELINE", "churn-rollback"),
    ("PAGE_URL", "https://page.example/"),
    ("EXECUTION_ROLE_ARN", "arn:aws:iam::123456789012:role/churn"),
    ("VARIANT_NAME", "AllTraffic"),
    ("INSTANCE_TYPE", "ml.m5.large"),
    ("INSTANCE_COUNT", "2"),
    ("SCALING_MIN", "1"),
    ("SCALING_MAX", "0"),
    ("SCALING_INVOCATIONS_PER_INSTANCE", "600"),
    ("VOLUME_GB", "0"),
    ("VOLUME_KEY_ARN", ""),
    ("DATA_CAPTURE_PERCENT", "0"),
    ("DATA_CAPTURE_URI", "s3://bucket/captured"),
    ("DATA_KEY_ARN", ""),
    ("SUBNET_IDS", ""),
    ("SECURITY_GROUP_IDS", ""),
    ("SERVERLESS_UPDATES", "refuse"),
    ("KEEP_PREVIOUS", "3"),
    ("ROLLOUT_STRATEGY", "canary"),
    ("ROLLOUT_STEP_PERCENT", "25"),
    ("ROLLOUT_WAIT_SECONDS", "600"),
    ("BAKE_SECONDS", "600"),
    ("ROLLOUT_TIMEOUT_SECONDS", "3600"),
    ("ALARM_NAMES", "churn-5xx,churn-latency"),
];

/// The settings by the defaults with those variables over them.
fn settings(others: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let variables = LEAST.iter().chain(others);
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment: Environment = variables.map(owned).collect();
    Settings::from_environment(&environment)
}

#[test]
fn what_the_template_leaves_open_is_absent() {
    let settings = settings(&[]).unwrap();
    assert_eq!((settings.volume_gb, settings.volume_key), (None, None));
    assert_eq!((settings.capture, settings.network), (None, None));
    assert_eq!((settings.capacity.count, settings.keep_previous), (2, 3));
    assert_eq!(settings.capacity.scaling, None, "by the bound that stands for none");
    assert!(settings.tells_each_shift && !settings.rollout.unguarded_serverless);
    assert_eq!(settings.rollout.alarms, ["churn-5xx", "churn-latency"]);
}

#[test]
fn what_the_template_says_is_read() {
    let settings = settings(&[
        ("VOLUME_GB", "30"),
        ("VOLUME_KEY_ARN", "arn:aws:kms:eu-west-1:123456789012:key/volumes"),
        ("DATA_CAPTURE_PERCENT", "100"),
        ("DATA_KEY_ARN", "arn:aws:kms:eu-west-1:123456789012:key/data"),
        ("SUBNET_IDS", "subnet-1,subnet-2"),
        ("SECURITY_GROUP_IDS", "sg-1"),
        ("PROGRESS_NOTICES", "ends"),
        ("SERVERLESS_UPDATES", "unguarded"),
        ("SCALING_MIN", "2"),
        ("SCALING_MAX", "8"),
    ])
    .unwrap();
    let scaling = Scaling {
        min: 2,
        max: 8,
        invocations_per_instance: 600,
    };
    assert_eq!(settings.capacity.scaling, Some(scaling));
    assert!(!settings.tells_each_shift && settings.rollout.unguarded_serverless);
    assert_eq!(settings.volume_gb, Some(30));
    assert!(settings.volume_key.unwrap().ends_with("key/volumes"));
    let capture = Capture {
        percent: 100,
        s3_uri: "s3://bucket/captured".into(),
        key: Some("arn:aws:kms:eu-west-1:123456789012:key/data".into()),
    };
    assert_eq!(settings.capture, Some(capture));
    let network = Network {
        subnets: vec!["subnet-1".into(), "subnet-2".into()],
        security_groups: vec!["sg-1".into()],
        isolated: false,
    };
    assert_eq!(settings.network, Some(network));
}

/// Bounds that are equal hold the count where it is.
#[test]
fn bounds_of_scaling_may_be_equal_or_left_out() {
    for (min, max, expected) in [
        ("2", "2", Some((2, 2))),
        ("", "8", Some((1, 8))),
        ("9", "0", None),
        ("9", "", None),
    ] {
        let settings = settings(&[("SCALING_MIN", min), ("SCALING_MAX", max)]).unwrap();
        let scaling = settings.capacity.scaling.map(|scaling| (scaling.min, scaling.max));
        assert_eq!(scaling, expected, "{min} to {max}");
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    for (name, _) in LEAST {
        let optional = [
            "SCALING_MIN",
            "SCALING_MAX",
            "SCALING_INVOCATIONS_PER_INSTANCE",
            "VOLUME_GB",
            "VOLUME_KEY_ARN",
            "DATA_CAPTURE_PERCENT",
            "DATA_CAPTURE_URI",
            "DATA_KEY_ARN",
            "SUBNET_IDS",
            "SECURITY_GROUP_IDS",
            "SERVERLESS_UPDATES",
            "ALARM_NAMES",
        ];
        let without = settings(&[(name, "")]);
        assert_eq!(without.is_ok(), optional.contains(&name), "{name}");
        if let Err(error) = without {
            contains(&error.to_string(), &[name, "is missing"]);
        }
    }
    for (others, words) in [
        (&[("INSTANCE_COUNT", "some")][..], "`INSTANCE_COUNT` is wrong: `some`"),
        (&[("KEEP_PREVIOUS", "-1")], "`KEEP_PREVIOUS` is wrong"),
        (&[("ROLLOUT_STRATEGY", "yolo")], "write all-at-once, blue-green"),
        (
            &[("SCALING_MIN", "3"), ("SCALING_MAX", "2")],
            "`SCALING_MAX` is wrong: `2`: it is below SCALING_MIN, which is 3",
        ),
        (&[("SCALING_MAX", "some")], "`SCALING_MAX` is wrong: `some`"),
        (&[("SCALING_MIN", "-1")], "`SCALING_MIN` is wrong: `-1`"),
        (
            &[("SCALING_MAX", "2"), ("SCALING_INVOCATIONS_PER_INSTANCE", "")],
            "`SCALING_INVOCATIONS_PER_INSTANCE` is missing",
        ),
        (&[("SUBNET_IDS", "subnet-1")], "set together or not at all"),
        (&[("SECURITY_GROUP_IDS", "sg-1")], "set together or not at all"),
        (
            &[("DATA_CAPTURE_PERCENT", "1"), ("DATA_CAPTURE_URI", "")],
            "`DATA_CAPTURE_URI` is missing",
        ),
    ] {
        contains(&settings(others).unwrap_err().to_string(), &[words]);
    }
}
