//! The start of each pipeline at its creation.

use serde_json::json;

use super::super::iam::identity;
use super::super::{Caller, Cloud, codecommit};
use super::Trigger;
use super::run::{self, Start};
use crate::template::Stack;

/// Starts each pipeline of a stack that has just been created, once, with its variables' defaults:
/// <https://docs.aws.amazon.com/codepipeline/latest/userguide/pipelines-about-starting.html> has the trigger `CreatePipeline`. One whose
/// branch is not there yet is not started, where on AWS its Source would fail. One that has a variable without a default can't be: the
/// user guide calls such a variable required at the start, and does not say what becomes of the start at the creation.
pub(in crate::cloud) fn created(cloud: &mut Cloud, stack: &Stack) {
    let kind = "AWS::CodePipeline::Pipeline";
    let pipelines = stack.resources.iter().filter(|resource| resource.kind == kind);
    for resource in pipelines {
        let name = &resource.physical_id;
        let Some(pipeline) = cloud.codepipeline.pipelines.get(name) else {
            continue;
        };
        let sources = pipeline
            .declaration
            .stages
            .first()
            .map(|stage| stage.actions.as_slice());
        let has_code = sources.unwrap_or_default().iter().all(|action| {
            let of = |key: &str| action.configuration.get(key).map(String::as_str).unwrap_or_default();
            codecommit::tip(cloud, of("RepositoryName"), of("BranchName")).is_ok()
        });
        if !has_code {
            continue;
        }
        let trigger = Trigger {
            kind: "CreatePipeline",
            detail: Some(identity(cloud, &Caller::Administrator).0),
        };
        if let Err(error) = run::start(cloud, name, Start::default(), trigger) {
            let data = json!({"error": error.to_string()});
            cloud.note("codepipeline", name, "not-started", data);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use jiff::SignedDuration;
    use serde_json::Value;

    use super::super::super::testing::{call, deploy_with_code};
    use super::super::super::{InitialCode, Service};
    use super::*;

    const TEMPLATE: &str = r#"
Resources:
  Bucket: {Type: AWS::S3::Bucket, Properties: {BucketName: b}}
  Role: {Type: AWS::IAM::Role, Properties: {RoleName: r, AssumeRolePolicyDocument: {Statement: []}}}
  Seeded: {Type: AWS::CodeCommit::Repository, Properties: {RepositoryName: seeded, Code: {S3: x}}}
  Empty: {Type: AWS::CodeCommit::Repository, Properties: {RepositoryName: empty}}
  First:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: first
      PipelineType: V2
      RoleArn: !GetAtt Role.Arn
      ArtifactStore: {Type: S3, Location: !Ref Bucket}
      Variables: [{Name: Version, DefaultValue: none}]
      Stages:
        - Name: Source
          Actions:
            - Name: Source
              ActionTypeId: {Category: Source, Owner: AWS, Provider: CodeCommit, Version: "1"}
              Configuration: {RepositoryName: REPOSITORY, BranchName: BRANCH}
              OutputArtifacts: [{Name: code}]
        - Name: Ask
          Actions:
            - Name: Ask
              ActionTypeId: {Category: Approval, Owner: AWS, Provider: Manual, Version: "1"}
"#;

    /// The cloud, and the trigger and the variables of each execution.
    fn started(template: &str) -> (Cloud, Vec<(String, Value)>) {
        let code = BTreeMap::from([("seeded".to_owned(), InitialCode::Files(Bytes::from_static(b"zip")))]);
        let mut cloud = deploy_with_code(template, code).unwrap();
        cloud.advance(cloud.now() + SignedDuration::from_mins(1));
        let input = json!({"pipelineName": "first"});
        let listed = call(&mut cloud, Service::CodePipeline, "ListPipelineExecutions", &input).unwrap();
        let mut found = Vec::new();
        for summary in listed["pipelineExecutionSummaries"].as_array().unwrap() {
            let input = json!({"pipelineName": "first", "pipelineExecutionId": summary["pipelineExecutionId"]});
            let shown = call(&mut cloud, Service::CodePipeline, "GetPipelineExecution", &input).unwrap();
            let execution = &shown["pipelineExecution"];
            let kind = execution["trigger"]["triggerType"].as_str().unwrap().to_owned();
            found.push((kind, execution["variables"].clone()));
        }
        (cloud, found)
    }

    fn template(repository: &str, branch: &str) -> String {
        TEMPLATE.replace("REPOSITORY", repository).replace("BRANCH", branch)
    }

    #[test]
    fn a_pipeline_starts_once_at_its_creation() {
        let (mut cloud, started) = started(&template("seeded", "main"));
        let variables = json!([{"name": "Version", "resolvedValue": "none"}]);
        assert_eq!(started, [("CreatePipeline".to_owned(), variables)]);
        let state = call(
            &mut cloud,
            Service::CodePipeline,
            "GetPipelineState",
            &json!({"name": "first"}),
        )
        .unwrap();
        assert_eq!(state["stageStates"][0]["latestExecution"]["status"], "Succeeded");
        assert_eq!(state["stageStates"][1]["latestExecution"]["status"], "InProgress");
    }

    #[test]
    fn one_without_its_branch_or_with_a_variable_to_give_does_not() {
        for (repository, branch) in [("empty", "main"), ("seeded", "trunk")] {
            assert_eq!(started(&template(repository, branch)).1, [], "{repository} {branch}");
        }
        let required = template("seeded", "main").replace(", DefaultValue: none", "");
        let (mut cloud, started) = started(&required);
        assert_eq!(started, []);
        let happenings = cloud.take_happenings();
        let noted = happenings.iter().find(|happening| happening.what == "not-started");
        let error = noted.unwrap().data["error"].as_str().unwrap();
        assert!(error.contains("no default value: Version"), "{error}");
    }
}
