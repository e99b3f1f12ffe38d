//! A push that a pipeline builds, has approved and hands to a function, without each of the grants that this takes.

use bytes::Bytes;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::cloud::effect::{BuildOutcome, Effect};
use crate::cloud::testing::{call, deploy_strictly, deploy_without};
use crate::cloud::{Cloud, Push, Service};

const STACK: &str = r#"
Resources:
  Key:
    Type: AWS::KMS::Key
    Properties:
      KeyPolicy:
        Statement: [{Effect: Allow, Principal: {AWS: !Sub "arn:aws:iam::${AWS::AccountId}:root"}, Action: "kms:*", Resource: "*"}]
  Repository: {Type: AWS::CodeCommit::Repository, Properties: {RepositoryName: fraud}}
  Bucket: {Type: AWS::S3::Bucket, Properties: {BucketName: artifacts}}
  Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: asked, KmsMasterKeyId: !GetAtt Key.Arn}}
  PushRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: {Effect: Allow, Principal: {Service: events.amazonaws.com}, Action: sts:AssumeRole,
                    Condition: {ArnLike: {"aws:SourceArn": "arn:aws:events:*:*:rule/pushed"}}}
      Policies:
        - PolicyName: start
          PolicyDocument: {Statement: {Effect: Allow, Action: codepipeline:StartPipelineExecution,
                                       Resource: "arn:aws:codepipeline:eu-west-1:123456789012:train"}}
  Pushed:
    Type: AWS::Events::Rule
    Properties:
      Name: pushed
      EventPattern: {source: [aws.codecommit]}
      Targets: [{Id: train, Arn: !Sub "arn:aws:codepipeline:${AWS::Region}:${AWS::AccountId}:${Train}", RoleArn: !GetAtt PushRole.Arn}]
  PipelineRole:
    Type: AWS::IAM::Role
    Properties:
      RoleName: pipeline-role
      AssumeRolePolicyDocument:
        Statement: {Effect: Allow, Principal: {Service: codepipeline.amazonaws.com}, Action: sts:AssumeRole,
                    Condition: {StringEquals: {"aws:SourceAccount": "123456789012"}}}
      Policies:
        - PolicyName: train
          PolicyDocument:
            Statement:
              - {Effect: Allow, Resource: !GetAtt Repository.Arn,
                 Action: [codecommit:GetBranch, codecommit:GetCommit, codecommit:UploadArchive, codecommit:GetUploadArchiveStatus]}
              - {Effect: Allow, Resource: !Sub "${Bucket.Arn}/*", Action: [s3:GetObject, s3:GetObjectVersion, s3:PutObject]}
              - {Effect: Allow, Resource: !GetAtt Bucket.Arn, Action: [s3:GetBucketLocation, s3:GetBucketVersioning]}
              - {Effect: Allow, Resource: !GetAtt Build.Arn, Action: [codebuild:StartBuild, codebuild:BatchGetBuilds]}
              - {Effect: Allow, Resource: !GetAtt Act.Arn, Action: lambda:InvokeFunction}
              - {Effect: Allow, Resource: !Ref Topic, Action: sns:Publish}
              - {Effect: Allow, Resource: !GetAtt Key.Arn, Action: [kms:Decrypt, kms:GenerateDataKey],
                 Condition: {StringEquals: {"kms:ViaService": [s3.eu-west-1.amazonaws.com, sns.eu-west-1.amazonaws.com]}}}
  BuildRole:
    Type: AWS::IAM::Role
    Properties:
      RoleName: build-role
      AssumeRolePolicyDocument: {Statement: {Effect: Allow, Principal: {Service: codebuild.amazonaws.com}, Action: sts:AssumeRole}}
      Policies:
        - PolicyName: build
          PolicyDocument:
            Statement:
              - {Effect: Allow, Resource: "arn:aws:logs:eu-west-1:123456789012:log-group:/builds:*",
                 Action: [logs:CreateLogGroup, logs:CreateLogStream, logs:PutLogEvents]}
              - {Effect: Allow, Resource: !Sub "${Bucket.Arn}/*", Action: [s3:GetObject, s3:GetObjectVersion]}
              - {Effect: Allow, Resource: !Sub "${Bucket.Arn}/*/Build/*", Action: s3:PutObject}
              - {Effect: Allow, Resource: !GetAtt Key.Arn, Action: [kms:Decrypt, kms:GenerateDataKey]}
              - {Effect: Allow, Resource: "arn:aws:codeartifact:eu-west-1:123456789012:domain/d", Action: codeartifact:GetAuthorizationToken}
              - {Effect: Allow, Resource: "arn:aws:codeartifact:eu-west-1:123456789012:repository/d/r",
                 Action: [codeartifact:GetRepositoryEndpoint, codeartifact:ReadFromRepository]}
              - {Effect: Allow, Resource: "*",
                 Action: sts:GetServiceBearerToken, Condition: {StringEquals: {"sts:AWSServiceName": codeartifact.amazonaws.com}}}
  Build:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: build
      ServiceRole: !GetAtt BuildRole.Arn
      Source: {Type: CODEPIPELINE}
      Artifacts: {Type: CODEPIPELINE}
      EncryptionKey: !GetAtt Key.Arn
      LogsConfig: {CloudWatchLogs: {Status: ENABLED, GroupName: /builds}, S3Logs: {Status: DISABLED}}
      Environment:
        Type: LINUX_CONTAINER
        ComputeType: BUILD_GENERAL1_SMALL
        Image: i
        EnvironmentVariables: [{Name: CODEARTIFACT_DOMAIN, Value: d}, {Name: CODEARTIFACT_REPOSITORY, Value: r}]
  ActRole:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Statement: {Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}}
      ManagedPolicyArns: [arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]
  Act:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: act, Handler: bootstrap, Runtime: provided.al2023, Role: !GetAtt ActRole.Arn, Code: {Binary: act}}
  Train:
    Type: AWS::CodePipeline::Pipeline
    Properties:
      Name: train
      PipelineType: V2
      RoleArn: !GetAtt PipelineRole.Arn
      ArtifactStore: {Type: S3, Location: !Ref Bucket, EncryptionKey: {Type: KMS, Id: !Ref Key}}
      Stages:
        - Name: Source
          Actions:
            - Name: Source
              ActionTypeId: {Category: Source, Owner: AWS, Provider: CodeCommit, Version: "1"}
              Configuration: {RepositoryName: fraud, BranchName: main, PollForSourceChanges: "false"}
              OutputArtifacts: [{Name: Source}]
        - Name: Build
          Actions:
            - Name: Build
              ActionTypeId: {Category: Build, Owner: AWS, Provider: CodeBuild, Version: "1"}
              Configuration: {ProjectName: !Ref Build}
              InputArtifacts: [{Name: Source}]
              OutputArtifacts: [{Name: Build}]
        - Name: Approve
          Actions:
            - Name: Approve
              ActionTypeId: {Category: Approval, Owner: AWS, Provider: Manual, Version: "1"}
              Configuration: {NotificationArn: !Ref Topic}
        - Name: Act
          Actions:
            - Name: Act
              ActionTypeId: {Category: Invoke, Owner: AWS, Provider: Lambda, Version: "1"}
              Configuration: {FunctionName: !Ref Act}
              InputArtifacts: [{Name: Build}]
"#;

fn wait(cloud: &mut Cloud) {
    let now = cloud.now() + SignedDuration::from_secs(5);
    cloud.advance(now);
}

/// A push, and what comes of it: `Succeeded`, or the stage that failed and what its action says.
fn push(cloud: &mut Cloud) -> String {
    let push = Push {
        repository: "fraud".into(),
        branch: "main".into(),
        commit: format!("{:040x}", 1),
        parent: None,
        author: "Ada <ada@example.com>".into(),
        message: "Try".into(),
        zip: Bytes::from_static(b"zip"),
    };
    cloud.push(push).unwrap();
    // As often as there are stages: each has something to be done outside.
    for _ in 0..4 {
        wait(cloud);
        for effect in cloud.take_effects() {
            match effect {
                Effect::Build(build) => {
                    cloud.finish_build(build.id, BuildOutcome::Succeeded(Bytes::from_static(b"built")));
                }
                Effect::Invoke(invoke) => {
                    let job = &invoke.payload["CodePipeline.job"];
                    assert_eq!(job["data"]["encryptionKey"]["type"], "KMS");
                    let input = json!({"jobId": job["id"]});
                    call(cloud, Service::CodePipeline, "PutJobSuccessResult", &input).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        let state = call(
            cloud,
            Service::CodePipeline,
            "GetPipelineState",
            &json!({"name": "train"}),
        )
        .unwrap();
        if let Some(token) = state["stageStates"][2]["actionStates"][0]["latestExecution"]["token"].as_str() {
            let input = json!({"pipelineName": "train", "stageName": "Approve", "actionName": "Approve", "token": token,
                "result": {"summary": "yes", "status": "Approved"}});
            // Once it is answered, there is nothing to answer any more.
            drop(call(cloud, Service::CodePipeline, "PutApprovalResult", &input));
        }
    }
    let state = call(
        cloud,
        Service::CodePipeline,
        "GetPipelineState",
        &json!({"name": "train"}),
    )
    .unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for stage in state["stageStates"].as_array().unwrap() {
        let latest = &stage["actionStates"][0]["latestExecution"];
        match latest["status"].as_str() {
            Some("Succeeded") => {}
            None => return format!("{} never began", text(&stage["stageName"])),
            Some(_) => {
                let details = &latest["errorDetails"];
                return format!(
                    "{}: {}: {}",
                    text(&stage["stageName"]),
                    text(&details["code"]),
                    text(&details["message"])
                );
            }
        }
    }
    "Succeeded".to_owned()
}

#[test]
fn a_pipeline_needs_every_grant_of_its_roles() {
    let mut whole = deploy_strictly(STACK).unwrap();
    assert_eq!(push(&mut whole), "Succeeded");
    assert_eq!(crate::cloud::iam::refusals(&whole), [""; 0]);
    let mut lines = Vec::new();
    for grant in whole.grants() {
        if grant.id.holder == "ActRole" {
            continue;
        }
        assert!(grant.needed, "{}", grant.id);
        let id = grant.id.to_string();
        let mut cloud = deploy_without(STACK, &id);
        let came = push(&mut cloud);
        assert_ne!(came, "Succeeded", "{id}");
        lines.push(format!("{id}\n    {came}"));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn builds_of_a_repository_may_pull_it() {
    const PULL: &str = "Action: s3:GetObject}
              - {Sid: Pull, Effect: Allow, Resource: !GetAtt Repository.Arn, Action: codecommit:GitPull}";
    let template = STACK
        .replace(
            "Source: {Type: CODEPIPELINE}",
            "Source: {Type: CODECOMMIT, Location: !GetAtt Repository.CloneUrlHttp}",
        )
        .replace("Artifacts: {Type: CODEPIPELINE}", "Artifacts: {Type: NO_ARTIFACTS}")
        .replace("Action: [s3:GetObject, s3:GetObjectVersion]}", PULL);
    let started = |mut cloud: Cloud| {
        let zip = Bytes::from_static(b"zip");
        let push = Push {
            repository: "fraud".into(),
            branch: "topic".into(),
            commit: format!("{:040x}", 1),
            parent: None,
            author: "Ada <ada@example.com>".into(),
            message: "Try".into(),
            zip,
        };
        cloud.push(push).unwrap();
        let input = json!({"projectName": "build", "sourceVersion": "topic"});
        call(&mut cloud, Service::CodeBuild, "StartBuild", &input).map_err(|error| error.to_string())?;
        let effects = cloud.take_effects();
        let builds = effects.iter().filter(|effect| matches!(effect, Effect::Build(_)));
        Ok::<_, String>(builds.count())
    };
    assert_eq!(started(deploy_strictly(&template).unwrap()), Ok(1));
    assert_eq!(started(deploy_without(&template, "codecommit:GitPull")), Ok(0));
    let refused = started(deploy_without(&template, "BuildRole/AssumeRolePolicyDocument"));
    assert!(
        refused
            .unwrap_err()
            .contains("CodeBuild is not authorized to perform: sts:AssumeRole")
    );
}
