//! Least privilege, shown: every grant of every policy of the template is needed by a story, the story fails without it, and none is wider
//! than what it is for.
//!
//! The local cloud asks all policies, of the functions, of the roles of AWS's services and of resources, for every call; a call that is
//! refused fails the test that it happens in, this one or any other that runs the train.

#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test that can't go on fails")]

mod stories;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use local::cloud::{Grant, GrantId};

use stories::{EVERYTHING, STORIES};
use tests::world::World;

/// What AWS asks for and the local cloud has no occasion to: a part of the grant's name, and the reason.
const ASKED_ON_AWS_ALONE: &[(&str, &str)] = &[
    (
        "codecommit:CancelUploadArchive",
        "asked for when an execution is stopped while its source is fetched, which takes no time here",
    ),
    (
        "lambda:GetProvisionedConcurrencyConfig",
        "CodeDeploy asks whether an alias has provisioned concurrency; here none can have any",
    ),
    (
        "ChatRole/AssumeRolePolicyDocument",
        "the chat service takes the role for what people type in the channel, which nobody does here",
    ),
    (
        "iam:CreateServiceLinkedRole",
        "asked for at the first scalable target of an account, whose service-linked role is taken to exist here",
    ),
];

/// Where `*` is all that the service takes: the action, and the reason. Every other grant names what it is for, or a pattern below it.
const NO_NARROWER: &[(&str, &str)] = &[
    ("codepipeline:PutJobSuccessResult", "a job has no ARN"),
    ("codepipeline:PutJobFailureResult", "a job has no ARN"),
    (
        "codedeploy:PutLifecycleEventHookExecutionStatus",
        "the service authorization reference has no resource for it",
    ),
    ("sagemaker:ListModelPackages", "it lists; the group is a filter"),
    ("sagemaker:ListEndpointConfigs", "it lists; the name is a filter"),
    ("ecr:GetAuthorizationToken", "the token is for all of ECR"),
    (
        "cloudwatch:PutMetricData",
        "metrics have no ARN; the namespace is a condition",
    ),
    (
        "sts:GetServiceBearerToken",
        "tokens have no ARN; the service is a condition",
    ),
    ("xray:PutTraceSegments", "traces have no ARN"),
    ("xray:PutTelemetryRecords", "traces have no ARN"),
    ("ec2:DescribeDhcpOptions", "EC2's describing actions take no resource"),
    (
        "ec2:DescribeNetworkInterfaces",
        "EC2's describing actions take no resource",
    ),
    (
        "ec2:DescribeSecurityGroups",
        "EC2's describing actions take no resource",
    ),
    ("ec2:DescribeSubnets", "EC2's describing actions take no resource"),
    ("ec2:DescribeVpcs", "EC2's describing actions take no resource"),
];

/// A grant, whatever the parameters: which statement of its policy it stands in depends on what is left out of it.
type Name = String;

/// The stories that need a grant, by their places, and what it is called in their stacks.
type Needed = BTreeMap<Name, Vec<(usize, GrantId)>>;

fn name(id: &GrantId) -> Name {
    format!("{}/{} {} {}", id.holder, id.policy, id.action, id.resource)
}

/// Runs every story: all grants, and for each the stories that need it, with its id in their stacks.
fn told() -> (BTreeMap<Name, Grant>, Needed) {
    let mut grants: BTreeMap<Name, Grant> = BTreeMap::new();
    let mut needed = Needed::new();
    // A grant that only some parameter brings along, and that no story has asked for, is one that nothing needs.
    let everything = World::deploy(1, EVERYTHING, None).unwrap_or_else(|error| panic!("{error:#}"));
    let parameters = everything.cloud().stack().parameters.clone();
    let left_out: Vec<&String> = parameters
        .iter()
        .filter(|(_, value)| value.is_empty())
        .map(|(name, _)| name)
        .collect();
    assert!(left_out.is_empty(), "`EVERYTHING` leaves out {left_out:?}");
    grants.extend(
        everything
            .cloud()
            .grants()
            .into_iter()
            .map(|grant| (name(&grant.id), grant)),
    );
    for (number, story) in STORIES.iter().enumerate() {
        let world = story
            .tell(None)
            .unwrap_or_else(|error| panic!("{}: {error:#}", story.name));
        for grant in world.cloud().grants() {
            if grant.needed {
                let of_story = (number, grant.id.clone());
                needed.entry(name(&grant.id)).or_default().push(of_story);
            }
            let known = grants.entry(name(&grant.id)).or_insert_with(|| grant.clone());
            known.used |= grant.used;
            known.resources.extend(grant.resources);
        }
    }
    (grants, needed)
}

fn is_asked_on_aws_alone(name: &Name) -> bool {
    ASKED_ON_AWS_ALONE.iter().any(|(part, _)| name.contains(part))
}

#[test]
fn every_grant_is_needed_by_a_story_that_fails_without_it() {
    let (grants, needed) = told();
    let idle =
        |(name, grant): &(&Name, &Grant)| grant.allows && !needed.contains_key(*name) && !is_asked_on_aws_alone(name);
    let idle: Vec<String> = grants
        .iter()
        .filter(idle)
        .map(|(name, grant)| {
            let why = if grant.used { " (another allows it too)" } else { "" };
            format!("{name}{why}")
        })
        .collect();
    assert!(
        idle.is_empty(),
        "{} grants that no story needs: take them out of the template, or tell the story that needs them\n{}",
        idle.len(),
        idle.join("\n")
    );
    let excuses = ASKED_ON_AWS_ALONE.iter().map(|(part, _)| *part);
    let is_idle = |part: &str| {
        grants
            .keys()
            .any(|name| name.contains(part) && !needed.contains_key(name))
    };
    let stale = |part: &&str| !is_idle(part);
    let stale: Vec<&str> = excuses.filter(stale).collect();
    assert!(stale.is_empty(), "no such grant, or a story needs it: {stale:?}");

    // What the record says is tried: the first story that needed a grant is told again without it.
    let mut survived = Vec::new();
    for (name, stories) in &needed {
        let (number, id) = &stories[0];
        let story = &STORIES[*number];
        if story.tell(Some(id)).is_ok() {
            survived.push(format!("{name}: {}", story.name));
        }
    }
    assert!(
        survived.is_empty(),
        "stories that end well without a grant:\n{}",
        survived.join("\n")
    );

    // Which story stands for which grant, to be read in a review.
    let mut table = String::new();
    for (number, story) in STORIES.iter().enumerate() {
        let _ = writeln!(table, "{}", story.name);
        let is_first = |stories: &[(usize, GrantId)]| stories.first().is_some_and(|(first, _)| *first == number);
        for (name, _) in needed.iter().filter(|(_, stories)| is_first(stories)) {
            let _ = writeln!(table, "    {name}");
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn no_grant_is_wider_than_the_service_would_have_it() {
    let (grants, _) = told();
    let mut wide = Vec::new();
    let mut excused = BTreeSet::new();
    for grant in grants.values().filter(|grant| grant.allows) {
        let GrantId {
            action,
            resource,
            policy,
            ..
        } = &grant.id;
        // Of a key's own policy, `*` is the key, and the account's policies decide on every action.
        if policy == "KeyPolicy" {
            continue;
        }
        if action.contains('*') {
            wide.push(format!("{}: name the actions", grant.id));
        }
        if resource != "*" {
            continue;
        }
        match NO_NARROWER.iter().find(|(excused, _)| excused == action) {
            Some((action, _)) => drop(excused.insert(*action)),
            None => wide.push(format!("{}: asked for {:?}", grant.id, grant.resources)),
        }
        // Where the service asked for a resource of its own, it could have been named.
        let named: Vec<&String> = grant.resources.iter().filter(|resource| *resource != "*").collect();
        if !named.is_empty() {
            wide.push(format!("{}: could be {named:?}", grant.id));
        }
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
    let stale = NO_NARROWER
        .iter()
        .map(|(action, _)| *action)
        .filter(|action| !excused.contains(action));
    let stale: Vec<&str> = stale.collect();
    assert!(stale.is_empty(), "no grant of the template: {stale:?}");
}
