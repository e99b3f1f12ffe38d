//! Runs check-version as a Lambda function.

fn main() -> Result<(), lambda_runtime::Error> {
    signalbox_aws::runtime::run::<check_version::CheckVersion>()
}
