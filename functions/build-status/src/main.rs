//! Runs build-status as a Lambda function.

fn main() -> Result<(), lambda_runtime::Error> {
    signalbox_aws::runtime::run::<build_status::BuildStatus>()
}
