"""Writes the service models that the local cloud validates with, from those of botocore.

Only facts are kept: members, required members, types, enums, patterns, bounds, and what the protocols need. Run it with a botocore
from PyPI, in a virtual environment of its own:

    python3 -m venv venv && venv/bin/pip install botocore && venv/bin/python generate.py
"""

import json
import pathlib

from botocore.loaders import Loader

OPERATIONS = {
    "application-autoscaling": "DeleteScalingPolicy DeregisterScalableTarget DescribeScalableTargets DescribeScalingPolicies"
    " PutScalingPolicy RegisterScalableTarget",
    "cloudwatch": "DescribeAlarms GetDashboard GetMetricStatistics ListDashboards ListMetrics PutMetricData SetAlarmState",
    "codebuild": "BatchGetBuilds BatchGetProjects ListBuildsForProject ListProjects StartBuild StopBuild",
    "codecommit": "CreatePullRequest GetBranch GetCommentsForPullRequest GetCommit GetDifferences GetPullRequest"
    " GetPullRequestApprovalStates GetRepository ListPullRequests ListRepositories MergePullRequestByFastForward"
    " PostCommentForPullRequest UpdatePullRequestApprovalState UpdatePullRequestStatus",
    "codedeploy": "GetApplicationRevision GetDeployment ListDeployments PutLifecycleEventHookExecutionStatus StopDeployment",
    "codepipeline": "GetPipeline GetPipelineExecution GetPipelineState ListActionExecutions ListPipelineExecutions ListPipelines"
    " PutApprovalResult PutJobFailureResult PutJobSuccessResult StartPipelineExecution StopPipelineExecution",
    "events": "DescribeRule ListRules ListTargetsByRule PutEvents TestEventPattern",
    "kms": "DescribeKey GenerateMac ListAliases VerifyMac",
    "lambda": "GetAlias Invoke",
    "sagemaker": "AddTags CreateEndpoint CreateEndpointConfig CreateModel CreateModelPackage CreatePipeline DeleteEndpoint"
    " DeleteEndpointConfig DeleteModel DescribeEndpoint DescribeEndpointConfig DescribeModel DescribeModelPackage"
    " DescribeModelPackageGroup DescribePipeline DescribePipelineDefinitionForExecution DescribePipelineExecution"
    " DescribeProcessingJob DescribeTrainingJob ListEndpointConfigs ListEndpoints ListModelPackageGroups ListModelPackages"
    " ListModels ListPipelineExecutionSteps ListPipelineExecutions ListPipelineParametersForExecution ListPipelineVersions"
    " ListPipelines ListTags StartPipelineExecution StopPipelineExecution UpdateEndpoint UpdateEndpointWeightsAndCapacities"
    " UpdateModelPackage UpdatePipeline UpdatePipelineExecution",
    "sns": "GetTopicAttributes ListSubscriptionsByTopic ListTopics Publish Subscribe Unsubscribe",
    "sqs": "DeleteMessage GetQueueAttributes GetQueueUrl ListQueues ReceiveMessage",
    "sts": "GetCallerIdentity",
}

KEPT = ("type", "required", "enum", "pattern", "min", "max", "flattened")


def compact(shape):
    kept = {name: shape[name] for name in KEPT if name in shape}
    if "members" in shape:
        kept["members"] = {name: reference(member) for name, member in shape["members"].items()}
    for part in ("member", "key", "value"):
        if part in shape:
            kept[part] = reference(shape[part])
    return kept


def reference(member):
    """A shape's name, or, where the wire has another name for the member, the pair of both."""
    name = member.get("locationName")
    return [member["shape"], name] if name else member["shape"]


def reachable(shapes, name, found):
    if name in found:
        return
    shape = shapes[name]
    found[name] = compact(shape)
    members = list(shape.get("members", {}).values()) + [shape[part] for part in ("member", "key", "value") if part in shape]
    for member in members:
        reachable(shapes, member["shape"], found)


def main():
    here = pathlib.Path(__file__).parent
    for service, names in OPERATIONS.items():
        model = Loader().load_service_model(service, "service-2")
        operations, shapes = {}, {}
        for name in names.split():
            operation = model["operations"][name]
            entry = {}
            for part in ("input", "output"):
                if part in operation:
                    entry[part] = operation[part]["shape"]
                    reachable(model["shapes"], entry[part], shapes)
                    if "resultWrapper" in operation[part]:
                        entry["wrapper"] = operation[part]["resultWrapper"]
            operations[name] = entry
        metadata = {name: model["metadata"].get(name) for name in ("apiVersion", "jsonVersion", "targetPrefix", "xmlNamespace")}
        metadata = {name: value for name, value in metadata.items() if value}
        compacted = {"metadata": metadata, "operations": operations, "shapes": dict(sorted(shapes.items()))}
        (here / f"{service}.json").write_text(json.dumps(compacted, separators=(",", ":"), sort_keys=True) + "\n")


main()
