//! Runs pipeline-status as a Lambda function.

fn main() -> Result<(), lambda_runtime::Error> {
    signalbox_aws::runtime::run::<pipeline_status::PipelineStatus>()
}
