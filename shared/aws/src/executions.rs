//! Executions of CodePipeline.

use aws_sdk_codepipeline::types::ActionExecutionFilter;
use jiff::Timestamp;

use crate::error::AwsError;
use crate::registry::timestamp;

/// Lets one see when executions began.
pub trait ReadExecutions: Send + Sync {
    /// When the first action of an execution began, which is that of its source: the push was seen then. Nothing where CodePipeline
    /// lists no action of it. However often a stage is retried, it is the same.
    ///
    /// # Errors
    /// Whatever CodePipeline says.
    fn began(
        &self,
        pipeline: &str,
        execution: &str,
    ) -> impl Future<Output = Result<Option<Timestamp>, AwsError>> + Send;
}

/// CodePipeline.
#[derive(Debug, Clone)]
pub struct Executions(aws_sdk_codepipeline::Client);

impl Executions {
    /// The port over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_codepipeline::Client::new(sdk))
    }
}

/// As many actions as a page has. An execution has fewer, unless a stage of it was retried dozens of times.
const ACTIONS_MAX: i32 = 100;

impl ReadExecutions for Executions {
    async fn began(&self, pipeline: &str, execution: &str) -> Result<Option<Timestamp>, AwsError> {
        let filter = ActionExecutionFilter::builder()
            .pipeline_execution_id(execution)
            .build();
        let request = self.0.list_action_executions().pipeline_name(pipeline).filter(filter);
        let answer = request.max_results(ACTIONS_MAX).send().await;
        let answer = answer.map_err(|error| AwsError::of("codepipeline:ListActionExecutions", &error))?;
        let actions = answer.action_execution_details().iter();
        Ok(actions.filter_map(|action| timestamp(action.start_time()?)).min())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::recorded::{Recorded, SECONDS, output, refusal, time};

    #[tokio::test]
    async fn an_execution_begins_with_its_first_action() {
        for (actions, expected) in [
            (
                json!([{"startTime": SECONDS + 60.0}, {"startTime": SECONDS}, {}]),
                Some(time()),
            ),
            (json!([{}]), None),
            (json!([]), None),
        ] {
            let recorded = Recorded::new([output(json!({"actionExecutionDetails": actions}))]);
            let began = Executions::new(&recorded.sdk()).began("churn-train", "0c9e6c1a").await;
            assert_eq!(began.unwrap(), expected, "{actions}");
            insta::allow_duplicates! {
                insta::assert_snapshot!(recorded.requests(), @r#"
                POST / CodePipeline_20150709.ListActionExecutions
                {
                  "filter": {
                    "pipelineExecutionId": "0c9e6c1a"
                  },
                  "maxResults": 100,
                  "pipelineName": "churn-train"
                }
                "#);
            }
        }
    }

    #[tokio::test]
    async fn a_refusal_is_an_error() {
        let recorded = Recorded::new([refusal("PipelineNotFoundException", "no pipeline")]);
        let error = Executions::new(&recorded.sdk()).began("churn-train", "0c9e6c1a").await;
        assert_eq!(error.unwrap_err().operation, "codepipeline:ListActionExecutions");
        recorded.requests();
    }
}
