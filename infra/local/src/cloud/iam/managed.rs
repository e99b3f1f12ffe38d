//! AWS's own policies, as far as roles of the stack have them.

use serde_json::{Value, json};

/// What a managed policy allows (AWS Managed Policy Reference Guide). What is no call of this cloud, logs and traces, is left out.
pub(super) fn document(arn: &str) -> Option<Value> {
    let name = arn.split_once(":policy/").map(|(_, name)| name)?;
    let statements = match name {
        "service-role/AWSLambdaBasicExecutionRole" | "AWSXrayWriteOnlyAccess" => json!([]),
        "service-role/AWSCodeDeployRoleForLambda" => json!([
            {
                "Effect": "Allow",
                "Action": [
                    "cloudwatch:DescribeAlarms",
                    "lambda:GetAlias",
                    "lambda:GetProvisionedConcurrencyConfig",
                    "lambda:UpdateAlias",
                    "sns:Publish",
                ],
                "Resource": "*",
            },
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                "Resource": "arn:aws:s3:::*/CodeDeploy/*",
            },
            // A hook whose name begins otherwise needs a role of one's own.
            {
                "Effect": "Allow",
                "Action": "lambda:InvokeFunction",
                "Resource": "arn:aws:lambda:*:*:function:CodeDeployHook_*",
            },
        ]),
        _ => return None,
    };
    Some(json!({"Version": "2012-10-17", "Statement": statements}))
}
