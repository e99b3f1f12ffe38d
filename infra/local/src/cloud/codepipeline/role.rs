//! What CodePipeline does in a pipeline's role.
//!
//! The actions are those of <https://docs.aws.amazon.com/codepipeline/latest/userguide/how-to-custom-role.html>, and of the references of
//! the actions.

use super::super::Cloud;
use super::super::iam::{self, Acting, Ask};
use super::{Failure, Place};

/// A pipeline's role, for one run of an action.
pub(super) struct Role {
    arn: String,
    pipeline_arn: String,
    session: String,
}

impl Role {
    pub(super) fn of(cloud: &Cloud, place: &Place) -> Self {
        let pipeline = cloud.codepipeline.pipelines.get(&place.pipeline);
        let run = cloud.codepipeline.run(place);
        Self {
            arn: pipeline
                .map(|found| found.declaration.role_arn.clone())
                .unwrap_or_default(),
            pipeline_arn: pipeline.map(|found| found.arn.clone()).unwrap_or_default(),
            session: run.map(|run| run.id.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn acting(&self) -> Acting<'_> {
        Acting {
            service: "codepipeline.amazonaws.com",
            role_arn: &self.arn,
            source_arn: &self.pipeline_arn,
            session: &self.session,
        }
    }

    /// Asks in the role's name. The failure is the action's.
    pub(super) fn ask(&self, cloud: &mut Cloud, asks: &[Ask]) -> Result<(), Failure> {
        iam::as_service(cloud, &self.acting(), asks).map_err(|denied| {
            let message = if denied.action == "sts:AssumeRole" {
                format!(
                    "CodePipeline is not authorized to perform AssumeRole on role {}",
                    self.arn
                )
            } else {
                format!("The service role {} lacks permissions. {denied}", self.arn)
            };
            Failure::new("PermissionError", message)
        })
    }

    /// What a source action asks: for the commit, for its archive, and to put that where the artifacts are.
    pub(super) fn source(&self, cloud: &Cloud, place: &Place, repository: &str) -> Vec<Ask> {
        let arn = cloud.arn("codecommit", repository);
        let read = ["GetBranch", "GetCommit", "UploadArchive", "GetUploadArchiveStatus"];
        let mut asks: Vec<Ask> = read
            .iter()
            .map(|action| Ask::new(format!("codecommit:{action}"), arn.as_str()))
            .collect();
        let pipeline = cloud.codepipeline.pipelines.get(&place.pipeline);
        let run = cloud.codepipeline.run(place);
        if let Some((pipeline, run)) = pipeline.zip(run) {
            let declared = &pipeline.declaration;
            let bucket = format!("arn:aws:s3:::{}", declared.bucket);
            asks.push(Ask::new("s3:GetBucketVersioning", bucket.as_str()));
            asks.push(Ask::new("s3:GetBucketLocation", bucket.as_str()));
            let put = run.outputs.iter().map(|artifact| {
                let put = Ask::object("s3:PutObject", &declared.bucket, &artifact.key);
                put.encrypted_with(declared.key.as_deref())
            });
            asks.extend(put);
        }
        asks
    }

    /// What an action asks for its input artifacts: what CodePipeline hands on is read with credentials of the role's own.
    pub(super) fn inputs(&self, cloud: &Cloud, place: &Place) -> Vec<Ask> {
        let pipeline = cloud.codepipeline.pipelines.get(&place.pipeline);
        let run = cloud.codepipeline.run(place);
        let Some((pipeline, run)) = pipeline.zip(run) else {
            return Vec::new();
        };
        let declared = &pipeline.declaration;
        let read = |action: &'static str, key: &str| {
            let read = Ask::object(action, &declared.bucket, key);
            read.encrypted_with(declared.key.as_deref())
        };
        let inputs = run.inputs.iter();
        inputs
            .flat_map(|artifact| ["s3:GetObject", "s3:GetObjectVersion"].map(|action| read(action, &artifact.key)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
