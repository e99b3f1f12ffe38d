//! Runs request-approval as a Lambda function.

fn main() -> Result<(), lambda_runtime::Error> {
    signalbox_aws::runtime::run::<request_approval::RequestApproval>()
}
