//! Runs sync-approval as a Lambda function.

fn main() -> Result<(), lambda_runtime::Error> {
    signalbox_aws::runtime::run::<sync_approval::SyncApproval>()
}
