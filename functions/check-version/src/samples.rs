//! What each function's new version is sent, and by which calls it may want to change something then.
//!
//! The events are the samples of `events/`, made this stack's. What they speak of is not there: version 7, a build's artifact, a release.
//! That is as good as anything: the version starts, reads its configuration and the event, calls AWS by its role, and finds that there is
//! nothing to be done. Sweeps look at what there is.

use serde_json::Value;
use signalbox_model::names::{ModelName, ModelPackageGroupArn};

/// A function's sample.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The function, without the model before it.
    pub function: &'static str,
    /// The event, as `events/` has it.
    event: &'static str,
    /// The calls that change something, all that the function's role is allowed.
    pub held: &'static [&'static str],
    /// The calls that are refused where nothing is wrong.
    pub refused: &'static [&'static str],
}

/// S3 does not tell those who may not list that an object is missing: it denies them the access.
const NOT_THERE: &[&str] = &["s3:GetObject"];

const SAMPLES: [Sample; 9] = [
    Sample {
        function: "build-status",
        event: include_str!("../../../events/build-status-sweep.json"),
        held: &[
            "codebuild:StartBuild",
            "codecommit:PostCommentForPullRequest",
            "codecommit:UpdatePullRequestApprovalState",
            "sns:Publish",
        ],
        refused: &[],
    },
    Sample {
        function: "decide-approval",
        // To see the page of a link that no key has signed is all that a GET may do.
        event: include_str!("../../../events/decide-approval-get.json"),
        held: &[],
        refused: &[],
    },
    Sample {
        function: "endpoint-status",
        event: include_str!("../../../events/endpoint-status-sweep.json"),
        held: &[
            "codepipeline:StartPipelineExecution",
            "sagemaker:AddTags",
            "sagemaker:UpdateModelPackage",
            "sns:Publish",
        ],
        refused: &[],
    },
    Sample {
        function: "pipeline-status",
        event: include_str!("../../../events/pipeline-status-sweep.json"),
        held: &[
            "codepipeline:PutApprovalResult",
            "codepipeline:StartPipelineExecution",
            "sagemaker:UpdateModelPackage",
            "sagemaker:UpdatePipelineExecution",
            "sns:Publish",
        ],
        refused: &[],
    },
    Sample {
        function: "request-approval",
        event: include_str!("../../../events/request-approval-sweep.json"),
        held: &[
            "codepipeline:PutApprovalResult",
            "sagemaker:UpdateModelPackage",
            "sns:Publish",
        ],
        refused: &[],
    },
    Sample {
        function: "retrain",
        event: include_str!("../../../events/retrain-data.json"),
        held: &["s3:PutObject", "sagemaker:StartPipelineExecution"],
        // How far a large prefix was counted, which is noted for large ones alone.
        refused: NOT_THERE,
    },
    Sample {
        function: "start-training",
        event: include_str!("../../../events/start-training-job.json"),
        held: &[
            "codepipeline:PutJobFailureResult",
            "codepipeline:PutJobSuccessResult",
            "s3:PutObject",
            "sagemaker:CreatePipeline",
            "sagemaker:StartPipelineExecution",
            "sagemaker:UpdatePipeline",
        ],
        // The build's artifact.
        refused: NOT_THERE,
    },
    Sample {
        function: "sync-approval",
        event: include_str!("../../../events/sync-approval-sweep.json"),
        held: &[
            "codepipeline:PutApprovalResult",
            "codepipeline:StartPipelineExecution",
            "sagemaker:UpdateModelPackage",
            "sns:Publish",
        ],
        refused: &[],
    },
    Sample {
        function: "update-endpoint",
        event: include_str!("../../../events/update-endpoint-job.json"),
        held: &[
            "application-autoscaling:DeregisterScalableTarget",
            "application-autoscaling:PutScalingPolicy",
            "application-autoscaling:RegisterScalableTarget",
            "codepipeline:PutJobFailureResult",
            "codepipeline:PutJobSuccessResult",
            "codepipeline:StartPipelineExecution",
            "sagemaker:AddTags",
            "sagemaker:CreateEndpoint",
            "sagemaker:CreateEndpointConfig",
            "sagemaker:CreateModel",
            "sagemaker:DeleteEndpointConfig",
            "sagemaker:DeleteModel",
            "sagemaker:UpdateEndpoint",
            "sagemaker:UpdateModelPackage",
            "sns:Publish",
        ],
        refused: &[],
    },
];

/// The sample of a function by its whole name, `MODEL-WHAT`. `None` for a function that is not one of the model's stack, and for
/// check-version, which can't check itself.
#[must_use]
pub fn of(model: &ModelName, function: &str) -> Option<Sample> {
    let what = function.strip_prefix(model.as_str())?.strip_prefix('-')?;
    SAMPLES.into_iter().find(|sample| sample.function == what)
}

impl Sample {
    /// The event, as if it were of the stack with that group and bucket.
    ///
    /// # Errors
    /// Where the sample is no JSON: a test would have found that.
    pub fn event(&self, group: &ModelPackageGroupArn, bucket: &str) -> Result<Value, serde_json::Error> {
        let package = group.version(1);
        let arn = package.to_string();
        let partition = arn.split(':').nth(1).unwrap_or_default();
        // The model last: its name is anything.
        let names = [
            ("arn:aws:", format!("arn:{partition}:")),
            ("eu-west-1", package.region().to_owned()),
            ("123456789012", package.account().to_owned()),
            ("churn", package.group().to_owned()),
        ];
        let mut event = serde_json::from_str(self.event)?;
        rename(&mut event, bucket, &names);
        Ok(event)
    }
}

/// Puts the stack's names in the place of the samples' in every text of the event.
fn rename(event: &mut Value, bucket: &str, names: &[(&str, String)]) {
    match event {
        Value::String(text) if text == "bucket" => bucket.clone_into(text),
        Value::String(text) => {
            for (sample, own) in names {
                *text = text.replace(sample, own);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, bucket, names)),
        Value::Object(members) => members.values_mut().for_each(|value| rename(value, bucket, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
