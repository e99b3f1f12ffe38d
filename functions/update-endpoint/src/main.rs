//! Runs update-endpoint as a Lambda function.

fn main() -> Result<(), lambda_runtime::Error> {
    signalbox_aws::runtime::run::<update_endpoint::UpdateEndpoint>()
}
