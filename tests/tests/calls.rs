//! What a release costs in calls to AWS: each has a reason, and one more is seen in the snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use tests::measure::{self, Used};

/// Why a call of a clean release can't be spared: the function, the operation, the reason.
const REASONS: &[(&str, &str, &str)] = &[
    (
        "decide-approval",
        "codepipeline:GetPipelineState",
        "whether the release still waits, and the token that answers it, which is in no link; for the page and again for the answer",
    ),
    ("decide-approval", "codepipeline:PutApprovalResult", "the answer"),
    (
        "decide-approval",
        "kms:VerifyMac",
        "whether the link is ours; for the page and again for the answer",
    ),
    (
        "decide-approval",
        "s3:GetObject",
        "the metrics that the page shows, of the version, the champion and the history, and of those that the answer is bound to",
    ),
    (
        "decide-approval",
        "sagemaker:DescribeEndpoint",
        "which version serves: the champion of the comparison",
    ),
    (
        "decide-approval",
        "sagemaker:DescribeModelPackage",
        "the version, the champion and the history of the page; for the answer what the link was bound to may have changed",
    ),
    (
        "decide-approval",
        "sagemaker:DescribePipelineExecution",
        "the lineage that the page shows: why it was trained, of which commit",
    ),
    (
        "decide-approval",
        "sagemaker:ListModelPackages",
        "the versions of the page's history; without an endpoint also those among which the champion is looked for",
    ),
    (
        "decide-approval",
        "sagemaker:UpdateModelPackage",
        "the registry learns the decision, and who decided",
    ),
    (
        "pipeline-status",
        "codepipeline:GetPipelineState",
        "whether an approval of an older version waits that this one supersedes",
    ),
    ("pipeline-status", "codepipeline:StartPipelineExecution", "the release"),
    (
        "pipeline-status",
        "s3:GetObject",
        "the metrics of the version and of the champion, which the gate compares",
    ),
    (
        "pipeline-status",
        "sagemaker:DescribeEndpoint",
        "which version serves: the champion",
    ),
    (
        "pipeline-status",
        "sagemaker:DescribeModelPackage",
        "the version as it is now, and the champion; and where a version's own event comes, which training made it, whose end judges it",
    ),
    (
        "pipeline-status",
        "sagemaker:DescribePipelineExecution",
        "the lineage of the training that registered it",
    ),
    (
        "pipeline-status",
        "sagemaker:ListModelPackages",
        "without an endpoint, the versions among which the champion is looked for",
    ),
    (
        "pipeline-status",
        "sagemaker:ListPipelineExecutionSteps",
        "which version the training registered, or which step did not: its event does not say",
    ),
    (
        "pipeline-status",
        "sagemaker:UpdateModelPackage",
        "the gate's verdict, before the release that rests on it",
    ),
    (
        "pipeline-status",
        "sagemaker:UpdatePipelineExecution",
        "that the training was dealt with: the sweep leaves it alone then",
    ),
    ("request-approval", "kms:GenerateMac", "a signed link for each approver"),
    (
        "request-approval",
        "s3:GetObject",
        "the metrics that the mail shows, of the version and the champion",
    ),
    (
        "request-approval",
        "sagemaker:DescribeEndpoint",
        "which version serves: the champion of the comparison",
    ),
    (
        "request-approval",
        "sagemaker:DescribeModelPackage",
        "the version and the champion that the mail shows",
    ),
    (
        "request-approval",
        "sagemaker:DescribePipelineExecution",
        "the lineage that the mail shows",
    ),
    (
        "request-approval",
        "sagemaker:ListModelPackages",
        "whether a newer version passed the gate, for which this one would not be asked; without an endpoint, the champion",
    ),
    (
        "request-approval",
        "sagemaker:UpdateModelPackage",
        "what was asked, of whom, so that nobody is asked twice",
    ),
    (
        "request-approval",
        "sns:Publish",
        "each approver has a link of their own, so a message of their own",
    ),
    (
        "start-training",
        "codecommit:GetCommit",
        "who wrote the commit and what they say of it, for the mails",
    ),
    (
        "start-training",
        "codecommit:GetDifferences",
        "whether a push touches the model since the commit that was trained last",
    ),
    (
        "start-training",
        "codepipeline:ListActionExecutions",
        "when the push came, from which a metric counts how long it takes to serve: the job does not say",
    ),
    (
        "start-training",
        "codepipeline:PutJobSuccessResult",
        "the answer that CodePipeline waits for",
    ),
    (
        "start-training",
        "s3:GetObject",
        "what was built: the code and the pipeline's definition",
    ),
    (
        "start-training",
        "s3:PutObject",
        "the code, a file each, where the training's steps read it",
    ),
    (
        "start-training",
        "sagemaker:CreatePipeline",
        "the first training alone: there is none to update",
    ),
    (
        "start-training",
        "sagemaker:ListPipelineExecutions",
        "which commit was trained last, since which the push may have touched nothing of the model",
    ),
    ("start-training", "sagemaker:StartPipelineExecution", "the training"),
    (
        "start-training",
        "sagemaker:UpdatePipeline",
        "the definition, and which version of the pipeline it became: CreatePipeline does not say, so the first time has two",
    ),
    (
        "sync-approval",
        "codepipeline:GetPipelineExecution",
        "which version an approval was of: the event does not say",
    ),
    (
        "sync-approval",
        "codepipeline:ListActionExecutions",
        "how the approval was answered, and by whom: the event does not say",
    ),
    (
        "sync-approval",
        "sagemaker:DescribeModelPackage",
        "whether the registry agrees, after the approval and after the registry's own event: either may be a person's",
    ),
    (
        "update-endpoint",
        "cloudwatch:DescribeAlarms",
        "before the update, because one that fires now would end it at once; and at the end, because one may have fired too late for SageMaker",
    ),
    (
        "update-endpoint",
        "codepipeline:GetPipelineExecution",
        "whether the release still goes on, before anything is made: a job may come hours late",
    ),
    (
        "update-endpoint",
        "codepipeline:PutJobSuccessResult",
        "the answer to each job: CodePipeline asks again about every half minute until the update is over",
    ),
    (
        "update-endpoint",
        "kms:GenerateMac",
        "the link of the mail that takes the version back",
    ),
    ("update-endpoint", "sagemaker:CreateEndpoint", "the first release alone"),
    (
        "update-endpoint",
        "sagemaker:CreateEndpointConfig",
        "what the endpoint is to serve",
    ),
    (
        "update-endpoint",
        "sagemaker:CreateModel",
        "what the configuration serves",
    ),
    (
        "update-endpoint",
        "sagemaker:DescribeEndpoint",
        "how far the update is, one for each job",
    ),
    (
        "update-endpoint",
        "sagemaker:DescribeEndpointConfig",
        "what serves now: its variants, instance type, count and capture",
    ),
    (
        "update-endpoint",
        "sagemaker:DescribeModel",
        "the network of what serves, in which the new version has to be",
    ),
    (
        "update-endpoint",
        "sagemaker:DescribeModelPackage",
        "the decision that the release rests on; and at the end what was noted on the version meanwhile",
    ),
    (
        "update-endpoint",
        "sagemaker:ListEndpointConfigs",
        "what served long ago, to be cleared away",
    ),
    ("update-endpoint", "sagemaker:UpdateEndpoint", "the update"),
    ("update-endpoint", "sagemaker:UpdateModelPackage", "the outcome"),
    (
        "update-endpoint",
        "sns:Publish",
        "that it begins, to each person a message where they have a link of their own; and how it ended",
    ),
];

#[test]
fn every_call_of_a_release_has_a_reason() {
    let mut world = measure::without_schedules().unwrap();
    let releases = [1, 2, 3].map(|version| measure::release(&mut world, version).unwrap());
    let count = |cost: &Used, function: &str, operation: &str| {
        let calls = cost.calls.get(function).and_then(|calls| calls.get(operation));
        calls.copied().unwrap_or_default()
    };

    let mut made: BTreeSet<(&str, &str)> = BTreeSet::new();
    for cost in &releases {
        for (function, calls) in &cost.calls {
            made.extend(calls.keys().map(|operation| (function.as_str(), operation.as_str())));
        }
    }
    let explained: BTreeSet<_> = REASONS
        .iter()
        .map(|(function, operation, _)| (*function, *operation))
        .collect();
    let unexplained: Vec<_> = made.difference(&explained).collect();
    assert!(unexplained.is_empty(), "why? {unexplained:?}");
    let stale: Vec<_> = explained.difference(&made).collect();
    assert!(stale.is_empty(), "no release asks for {stale:?}");

    let mut table =
        "| function | call | first release | second | third | why |\n|---|---|---|---|---|---|\n".to_owned();
    for (function, operation, why) in REASONS {
        let [first, second, third] =
            [0, 1, 2].map(|number: usize| releases.get(number).map_or(0, |cost| count(cost, function, operation)));
        writeln!(
            table,
            "| {function} | {operation} | {first} | {second} | {third} | {why} |"
        )
        .unwrap();
    }
    let sums = releases
        .each_ref()
        .map(|cost| cost.calls.values().flat_map(BTreeMap::values).sum::<u64>().to_string());
    writeln!(table, "| all | | {} | |", sums.join(" | ")).unwrap();
    let functions: BTreeSet<&String> = releases.iter().flat_map(|cost| cost.handled.keys()).collect();
    table.push_str("\n| function | first release | second | third |\n|---|---|---|---|\n");
    for function in functions {
        let counts = releases
            .each_ref()
            .map(|cost| cost.handled.get(function).copied().unwrap_or_default().to_string());
        writeln!(table, "| {function} invoked | {} |", counts.join(" | ")).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_release_costs_the_same_however_many_came_before_it() {
    let next = |versions, trainings| {
        let mut world = measure::grown(versions, trainings).unwrap();
        measure::release(&mut world, versions + 2).unwrap().calls
    };
    let few = next(10, 1);
    assert_eq!(next(500, 1), few);
    assert_eq!(next(10, 60), few);
    // Behind a hundred experiments the last push is out of sight: what has changed since is not asked, and it is trained.
    let mut many = next(10, 120);
    let start = many.get_mut("start-training").unwrap();
    assert_eq!(start.insert("codecommit:GetDifferences".to_owned(), 1), None);
    assert_eq!(many, few);
}

#[test]
fn a_day_without_a_release_costs_the_same_however_many_came_before_it() {
    let few = measure::idle_day(&mut measure::grown(10, 1).unwrap()).unwrap();
    let mut table = "| function | invoked | calls |\n|---|---|---|\n".to_owned();
    for (function, count) in &few.handled {
        let calls = few.calls.get(function).into_iter().flatten();
        let calls: Vec<_> = calls.map(|(operation, count)| format!("{operation} {count}")).collect();
        writeln!(table, "| {function} | {count} | {} |", calls.join(", ")).unwrap();
    }
    insta::assert_snapshot!(table);
    let many = measure::idle_day(&mut measure::grown(500, 120).unwrap()).unwrap();
    assert_eq!((many.calls, many.handled), (few.calls, few.handled));
}
