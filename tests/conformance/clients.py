"""AWS's own clients against the local cloud: unmodified boto3 and the AWS CLI.

Every operation that the train uses is called once through boto3, which parses the answer by the service's public model: an answer
of another shape fails here. Then errors are provoked, and their codes and texts compared. Prints one line a check; exits 1 if one
failed. Usage: clients.py ENDPOINT_URL MODEL_NAME
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

URL, MODEL = sys.argv[1:3]
REGION = "eu-west-1"
os.environ.update(AWS_ACCESS_KEY_ID="person", AWS_SECRET_ACCESS_KEY="local", AWS_DEFAULT_REGION=REGION)
FAILED = []


def client(service):
    return boto3.client(service, endpoint_url=URL, config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}))


def check(what, holds, seen=None):
    print(f"{'ok    ' if holds else 'FAILED'} {what}" + ("" if holds else f": {seen!r}"))
    if not holds:
        FAILED.append(what)


def answers(what, call):
    """The call succeeds; returns its answer."""
    try:
        answer = call()
        check(what, True)
        return answer
    except Exception as error:  # noqa: BLE001 - whatever the client makes of a wrong answer is the finding
        check(what, False, error)
        return None


def refuses(what, code, text, call):
    try:
        answer = call()
        check(what, False, answer)
    except ClientError as error:
        found = error.response["Error"]
        check(what, found["Code"] == code and text in found["Message"], found)
    except Exception as error:  # noqa: BLE001
        check(what, False, error)


def sagemaker():
    api = client("sagemaker")
    definition = json.dumps({"Version": "2020-12-01", "Parameters": [], "Steps": [
        {"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "as told"}}]})
    role = f"arn:aws:iam::123456789012:role/{MODEL}-sagemaker-eu-west-1"
    answers("sagemaker CreatePipeline", lambda: api.create_pipeline(
        PipelineName="conformance", PipelineDefinition=definition, ClientRequestToken="c" * 32, RoleArn=role))
    answers("sagemaker DescribePipeline", lambda: api.describe_pipeline(PipelineName="conformance"))
    answers("sagemaker UpdatePipeline", lambda: api.update_pipeline(PipelineName="conformance", PipelineDescription="again"))
    refuses("sagemaker UpdatePipeline: a definition that is not JSON", "ValidationException", "", lambda: api.update_pipeline(
        PipelineName="conformance", PipelineDefinition="{"))
    start = {"PipelineName": "conformance", "ClientRequestToken": "t" * 32, "PipelineExecutionDescription": "why"}
    first = answers("sagemaker StartPipelineExecution", lambda: api.start_pipeline_execution(**start))
    again = answers("sagemaker StartPipelineExecution, same token", lambda: api.start_pipeline_execution(**start))
    if first and again:
        arn = first["PipelineExecutionArn"]
        check("sagemaker StartPipelineExecution is idempotent", arn == again["PipelineExecutionArn"], again)
        execution = None
        for _ in range(100):
            execution = api.describe_pipeline_execution(PipelineExecutionArn=arn)
            if execution["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
                break
            time.sleep(0.1)
        check("sagemaker DescribePipelineExecution: Failed by its Fail step", execution["PipelineExecutionStatus"] == "Failed", execution)
        answers("sagemaker ListPipelineExecutionSteps", lambda: api.list_pipeline_execution_steps(PipelineExecutionArn=arn))
        answers("sagemaker UpdatePipelineExecution", lambda: api.update_pipeline_execution(
            PipelineExecutionArn=arn, PipelineExecutionDescription="seen"))
    answers("sagemaker ListPipelineExecutions", lambda: api.list_pipeline_executions(PipelineName="conformance"))
    answers("sagemaker ListModelPackages", lambda: api.list_model_packages(ModelPackageGroupName=MODEL, SortOrder="Descending"))
    missing = f"arn:aws:sagemaker:{REGION}:123456789012:model-package/{MODEL}/999"
    refuses("sagemaker DescribeModelPackage: none", "ValidationException", "", lambda: api.describe_model_package(ModelPackageName=missing))
    refuses("sagemaker UpdateModelPackage: none", "ValidationException", "", lambda: api.update_model_package(
        ModelPackageArn=missing, ModelApprovalStatus="Approved"))
    refuses("sagemaker DescribeEndpoint: none", "ValidationException", "Could not find endpoint", lambda: api.describe_endpoint(
        EndpointName="no-such-endpoint"))
    refuses("sagemaker DescribeEndpointConfig: none", "ValidationException", "Could not find endpoint configuration",
            lambda: api.describe_endpoint_config(EndpointConfigName="no-such-config"))
    refuses("sagemaker DescribeModel: none", "ValidationException", "Could not find model", lambda: api.describe_model(ModelName="no-such-model"))
    bucket = f"signalbox-{MODEL}-123456789012-{REGION}"
    client("s3").put_object(Bucket=bucket, Key="training/conformance/model.tar.gz", Body=b"")
    container = {"Image": "image", "ModelDataUrl": f"s3://{bucket}/training/conformance/model.tar.gz"}
    model = {"ModelName": "conformance", "ExecutionRoleArn": role, "PrimaryContainer": container}
    refuses("sagemaker CreateModel: no such archive", "ValidationException", "Could not access model data", lambda: api.create_model(
        **{**model, "PrimaryContainer": {**container, "ModelDataUrl": f"s3://{bucket}/none"}}))
    answers("sagemaker CreateModel", lambda: api.create_model(**model))
    refuses("sagemaker CreateModel, again", "ValidationException", "Cannot create already existing model", lambda: api.create_model(**model))
    variant = {"VariantName": "AllTraffic", "ModelName": "conformance", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    config = {"EndpointConfigName": "conformance", "ProductionVariants": [variant], "Tags": [{"Key": "a", "Value": "b"}]}
    answers("sagemaker CreateEndpointConfig", lambda: api.create_endpoint_config(**config))
    refuses("sagemaker CreateEndpointConfig, again", "ValidationException", "Cannot create already existing endpoint configuration",
            lambda: api.create_endpoint_config(**config))
    described = answers("sagemaker DescribeEndpointConfig", lambda: api.describe_endpoint_config(EndpointConfigName="conformance"))
    if described:
        tags = answers("sagemaker ListTags", lambda: api.list_tags(ResourceArn=described["EndpointConfigArn"]))
        check("sagemaker ListTags gives what was put", tags is not None and tags["Tags"] == [{"Key": "a", "Value": "b"}], tags)
    answers("sagemaker DescribeModel", lambda: api.describe_model(ModelName="conformance"))
    listed = answers("sagemaker ListEndpointConfigs", lambda: api.list_endpoint_configs(
        NameContains="conform", SortBy="CreationTime", SortOrder="Ascending", MaxResults=100))
    check("sagemaker ListEndpointConfigs lists it", listed is not None and [
        c["EndpointConfigName"] for c in listed["EndpointConfigs"]] == ["conformance"], listed)
    retained = {"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DataCaptureConfig"}]}
    refuses("sagemaker UpdateEndpoint, retaining: none", "ValidationException", "Could not find endpoint", lambda: api.update_endpoint(
        EndpointName="no-such-endpoint", EndpointConfigName="conformance", **retained))
    endpoint = answers("sagemaker CreateEndpoint", lambda: api.create_endpoint(
        EndpointName="conformance", EndpointConfigName="conformance"))
    if endpoint:
        described = answers("sagemaker DescribeEndpoint", lambda: api.describe_endpoint(EndpointName="conformance"))
        check("sagemaker DescribeEndpoint tells its status", described is not None and described["EndpointStatus"] in (
            "Creating", "Failed"), described)
        variant = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/conformance/variant/AllTraffic",
                   "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
        scaling = client("application-autoscaling")
        answers("application-autoscaling RegisterScalableTarget", lambda: scaling.register_scalable_target(
            MinCapacity=1, MaxCapacity=2, **variant))
        answers("application-autoscaling PutScalingPolicy", lambda: scaling.put_scaling_policy(
            PolicyName="conformance", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
                "TargetValue": 600.0, "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}, **variant))
        answers("application-autoscaling DeregisterScalableTarget", lambda: scaling.deregister_scalable_target(**variant))
        refuses("application-autoscaling DeregisterScalableTarget, again", "ObjectNotFoundException", "", lambda:
                scaling.deregister_scalable_target(**variant))
        refuses("application-autoscaling PutScalingPolicy: no target", "ObjectNotFoundException", "", lambda: scaling.put_scaling_policy(
            PolicyName="conformance", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration={
                "TargetValue": 600.0, "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}, **variant))
    refuses("sagemaker DeleteEndpointConfig: none", "ValidationException", "Could not find endpoint configuration",
            lambda: api.delete_endpoint_config(EndpointConfigName="no-such-config"))
    answers("sagemaker DeleteEndpointConfig", lambda: api.delete_endpoint_config(EndpointConfigName="conformance"))
    refuses("sagemaker DeleteModel: none", "ValidationException", "Could not find model", lambda: api.delete_model(ModelName="no-such-model"))
    answers("sagemaker DeleteModel", lambda: api.delete_model(ModelName="conformance"))
    refuses("sagemaker CreateEndpoint: no configuration", "ValidationException", "Could not find endpoint configuration",
            lambda: api.create_endpoint(EndpointName="other", EndpointConfigName="no-such-config"))
    refuses("sagemaker UpdateEndpoint: none", "ValidationException", "Could not find endpoint", lambda: api.update_endpoint(
        EndpointName="no-such-endpoint", EndpointConfigName="conformance"))


def codecommit():
    api = client("codecommit")
    refuses("codecommit GetCommit: none", "CommitIdDoesNotExistException", "", lambda: api.get_commit(
        repositoryName=MODEL, commitId="0" * 40))
    refuses("codecommit GetCommit: no repository", "RepositoryDoesNotExistException", "", lambda: api.get_commit(
        repositoryName="no-such-repository", commitId="0" * 40))


def codepipeline():
    api = client("codepipeline")
    state = answers("codepipeline GetPipelineState", lambda: api.get_pipeline_state(name=f"{MODEL}-release"))
    if state:
        check("codepipeline GetPipelineState names the stages", [stage["stageName"] for stage in state["stageStates"]] == [
            "Source", "Approve", "Deploy"], state)
    rollback = answers("codepipeline StartPipelineExecution", lambda: api.start_pipeline_execution(
        name=f"{MODEL}-rollback", variables=[{"name": "Undoes", "value": "7"}], clientRequestToken="undo-conformance"))
    check("codepipeline StartPipelineExecution is idempotent", rollback is not None and rollback["pipelineExecutionId"] ==
          api.start_pipeline_execution(name=f"{MODEL}-rollback", variables=[{"name": "Undoes", "value": "7"}],
                                       clientRequestToken="undo-conformance")["pipelineExecutionId"], rollback)
    answers("codepipeline ListPipelineExecutions", lambda: api.list_pipeline_executions(pipelineName=f"{MODEL}-train"))
    answers("codepipeline ListActionExecutions", lambda: api.list_action_executions(pipelineName=f"{MODEL}-train"))
    refuses("codepipeline GetPipelineState: none", "PipelineNotFoundException", "", lambda: api.get_pipeline_state(name="no-such"))
    refuses("codepipeline PutJobSuccessResult: none", "JobNotFoundException", "", lambda: api.put_job_success_result(
        jobId="11111111-abcd-1111-abcd-111111abcdef"))
    failure = {"type": "JobFailed", "message": "no"}
    refuses("codepipeline PutJobFailureResult: none", "JobNotFoundException", "", lambda: api.put_job_failure_result(
        jobId="11111111-abcd-1111-abcd-111111abcdef", failureDetails=failure))
    refuses("codepipeline PutApprovalResult: wrong token", "InvalidApprovalTokenException", "", lambda: api.put_approval_result(
        pipelineName=f"{MODEL}-release", stageName="Approve", actionName="Approve", token="11111111-abcd-1111-abcd-111111abcdef",
        result={"summary": "no", "status": "Rejected"}))


def the_rest():
    events = client("events")
    entry = {"Source": "conformance", "DetailType": "Test", "Detail": "{}"}
    put = answers("events PutEvents", lambda: events.put_events(Entries=[entry]))
    check("events PutEvents takes it", put is not None and put["FailedEntryCount"] == 0, put)
    event = json.dumps({"id": "1", "account": "1", "source": "a", "time": "2026-01-01T00:00:00Z", "region": REGION, "resources": [],
                        "detail-type": "t", "detail": {"n": 7, "name": "churn-v7"}})
    for pattern, matches in [
        ({"source": ["a"]}, True), ({"source": ["b"]}, False), ({"detail": {"n": [{"numeric": [">", 5, "<=", 7]}]}}, True),
        ({"detail": {"name": [{"prefix": "churn"}]}}, True), ({"detail": {"name": [{"anything-but": {"suffix": "v7"}}]}}, False),
        ({"detail": {"missing": [{"exists": False}]}}, True), ({"detail": {"name": [{"wildcard": "*-v*"}]}}, True),
        ({"$or": [{"source": ["b"]}, {"detail-type": ["t"]}]}, True), ({"detail": {"name": [{"equals-ignore-case": "CHURN-V7"}]}}, True),
    ]:
        tested = answers(f"events TestEventPattern {json.dumps(pattern)}", lambda p=pattern: events.test_event_pattern(
            EventPattern=json.dumps(p), Event=event))
        check("  as AWS matches", tested is not None and tested["Result"] is matches, tested)
    refuses("events TestEventPattern: not a pattern", "InvalidEventPatternException", "Event pattern is not valid", lambda:
            events.test_event_pattern(EventPattern='{"source": "a"}', Event=event))

    sns = client("sns")
    topics = answers("sns ListTopics", sns.list_topics)
    notices = next((t["TopicArn"] for t in (topics or {}).get("Topics", []) if t["TopicArn"].endswith(f"{MODEL}-notices")), "")
    answers("sns Publish", lambda: sns.publish(TopicArn=notices, Subject="hello", Message="from boto3", MessageAttributes={
        "approver": {"DataType": "String", "StringValue": "nobody@example.com"}}))
    refuses("sns Publish: no such topic", "NotFound", "", lambda: sns.publish(TopicArn=notices + "-not", Message="m"))
    refuses("sns Publish: subject with a line break", "InvalidParameter", "", lambda: sns.publish(TopicArn=notices, Subject="a\nb", Message="m"))

    s3 = client("s3")
    bucket = f"signalbox-{MODEL}-123456789012-{REGION}"
    answers("s3 PutObject", lambda: s3.put_object(Bucket=bucket, Key="conformance/a b+c", Body=b"content"))
    got = answers("s3 GetObject", lambda: s3.get_object(Bucket=bucket, Key="conformance/a b+c")["Body"].read())
    check("s3 GetObject gives what was put", got == b"content", got)
    listed = answers("s3 ListObjectsV2", lambda: s3.list_objects_v2(Bucket=bucket, Prefix="conformance/"))
    check("s3 ListObjectsV2 lists it", listed is not None and [o["Key"] for o in listed.get("Contents", [])] == ["conformance/a b+c"], listed)
    answers("s3 HeadObject", lambda: s3.head_object(Bucket=bucket, Key="conformance/a b+c"))
    refuses("s3 GetObject: none", "NoSuchKey", "", lambda: s3.get_object(Bucket=bucket, Key="no-such-key"))
    refuses("s3 ListObjectsV2: no bucket", "NoSuchBucket", "", lambda: s3.list_objects_v2(Bucket="no-such-bucket"))
    answers("s3 DeleteObject", lambda: s3.delete_object(Bucket=bucket, Key="conformance/a b+c"))

    kms = client("kms")
    key = f"alias/{MODEL}-approval-links"
    made = answers("kms GenerateMac", lambda: kms.generate_mac(Message=b"m", KeyId=key, MacAlgorithm="HMAC_SHA_256"))
    if made:
        verify = {"Message": b"m", "KeyId": key, "MacAlgorithm": "HMAC_SHA_256"}
        verified = answers("kms VerifyMac", lambda: kms.verify_mac(Mac=made["Mac"], **verify))
        check("kms VerifyMac holds", verified is not None and verified["MacValid"], verified)
        wrong = bytes([made["Mac"][0] ^ 1]) + made["Mac"][1:]
        refuses("kms VerifyMac: another MAC", "KMSInvalidMacException", "", lambda: kms.verify_mac(Mac=wrong, **verify))

    cloudwatch = client("cloudwatch")
    alarms = answers("cloudwatch DescribeAlarms", lambda: cloudwatch.describe_alarms(AlarmNames=[f"{MODEL}-5xx"]))
    check("cloudwatch DescribeAlarms finds it", alarms is not None and len(alarms["MetricAlarms"]) == 1, alarms)
    firing = answers("cloudwatch DescribeAlarms: state",
                     lambda: cloudwatch.describe_alarms(AlarmNames=[f"{MODEL}-5xx"], StateValue="ALARM"))
    check("cloudwatch DescribeAlarms honours the state", firing is not None and firing["MetricAlarms"] == [], firing)
    times = [alarms["MetricAlarms"][0].get(name) for name in ("StateTransitionedTimestamp", "StateUpdatedTimestamp")]
    check("cloudwatch DescribeAlarms has its times", all(times), times)
    refuses("cloudwatch DescribeAlarms: no token", "InvalidNextToken", "", lambda: cloudwatch.describe_alarms(NextToken="?"))


def cli():
    """The AWS CLI, as a person types it."""
    def aws(*arguments):
        command = [os.path.join(os.path.dirname(sys.executable), "aws"), "--endpoint-url", URL, "--output", "json", *arguments]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
        check("aws " + " ".join(arguments), run.returncode == 0, run.stderr.strip())

    aws("sagemaker", "list-model-packages", "--model-package-group-name", MODEL)
    aws("codepipeline", "get-pipeline-state", "--name", f"{MODEL}-train")
    aws("events", "list-rules")
    aws("sns", "list-topics")
    aws("s3", "ls", f"s3://signalbox-{MODEL}-123456789012-{REGION}/")
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(b"1,2\n")
        file.flush()
        aws("s3", "cp", file.name, f"s3://signalbox-{MODEL}-123456789012-{REGION}/conformance/copied.csv")
    aws("s3", "rm", f"s3://signalbox-{MODEL}-123456789012-{REGION}/conformance/copied.csv")
    aws("cloudwatch", "describe-alarms")
    aws("cloudwatch", "get-metric-statistics", "--namespace", "AWS/SageMaker", "--metric-name", "Invocations", "--period", "60",
        "--statistics", "Sum", "--start-time", "2026-03-02T09:00:00Z", "--end-time", "2026-03-02T10:00:00Z")
    aws("sts", "get-caller-identity")


sagemaker()
codecommit()
codepipeline()
the_rest()
cli()
print(f"{len(FAILED)} failed")
sys.exit(1 if FAILED else 0)
