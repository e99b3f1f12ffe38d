//! Why a link decides nothing.

use super::*;

/// The time of the sample events.
const IN_TIME: &str = "2026-03-01T12:20:44Z";
const OTHER: &str = "99999999-89ab-cdef-0123-456789abcdef";

/// Looks and decides with a link of Ada's that was made before the change, and returns what is seen, the same for both.
async fn refused(time_of_request: &str, change: impl FnOnce(&mut World)) -> (u64, String) {
    let mut world = World::new();
    let link = world.link(ADA).await;
    change(&mut world);
    refused_by(&world, time_of_request, &link).await
}

async fn refused_by(world: &World, time_of_request: &str, link: &SignedLink) -> (u64, String) {
    let (before, answered) = (world.package(), world.answered());
    let mut pages = Vec::new();
    for mut event in [get(link), post(link, APPROVE), post(link, REJECT), post(link, "")] {
        event["requestContext"]["timeEpoch"] = time(time_of_request).as_millisecond().into();
        pages.push(world.open(event).await);
        assert_eq!((&world.package(), &world.answered()), (&before, &answered));
    }
    assert!(pages.iter().all(|page| *page == pages[0]), "{pages:?}");
    pages.remove(0)
}

fn is(page: &(u64, String), status: u64, refusal: Refusal) {
    assert_eq!(page.0, status, "{refusal:?}: {}", page.1);
    contains(&page.1, &[refusal.title(), refusal.advice(), &refusal.to_string()]);
}

#[tokio::test]
async fn its_time_is_over() {
    for time in ["2026-03-08T11:45:00Z", "2027-01-01T00:00:00Z"] {
        is(&refused(time, |_| {}).await, 410, Refusal::Expired);
    }
    // By CodePipeline's clock, and by what was kept of the release.
    let expired = |world: &mut World| world.releases.expire(expires());
    is(&refused(IN_TIME, expired).await, 410, Refusal::Expired);
    let settled = |world: &mut World| {
        expired(world);
        world.change(7, |package| package.approval = ApprovalStatus::Rejected);
        world.note(7, key::RELEASE, RELEASE);
        world.note(7, key::OUTCOME, "expired");
    };
    is(&refused(IN_TIME, settled).await, 410, Refusal::Expired);
}

#[tokio::test]
async fn a_newer_version_took_its_place() {
    let superseded = |world: &mut World| {
        world.releases.end(Seen {
            identity: None,
            ..console(ActionStatus::Failed, "superseded by v8")
        });
    };
    let refusal = Refusal::Superseded { by: 8 };
    is(&refused(IN_TIME, superseded).await, 410, refusal);
    let settled = |world: &mut World| {
        superseded(world);
        world.change(7, |package| package.approval = ApprovalStatus::Rejected);
        world.note(7, key::RELEASE, RELEASE);
        world.note(7, key::OUTCOME, "superseded");
        world.note(7, key::REASON, "superseded by v8");
    };
    is(&refused(IN_TIME, settled).await, 410, refusal);
}

#[tokio::test]
async fn nothing_waits_any_more_for_this_link() {
    let refusal = Refusal::NoLongerWaits;
    let stopped = |world: &mut World| world.releases.end(console(ActionStatus::Abandoned, ""));
    is(&refused(IN_TIME, stopped).await, 409, refusal);
    // Another release of the version, or of another, waits; what became of the link's is not listed any more.
    for version in [7, 8] {
        let another = move |world: &mut World| world.wait(OTHER, version, "another");
        is(&refused(IN_TIME, another).await, 409, refusal);
    }
    // The stage was retried: the approvers are asked anew.
    let retried = |world: &mut World| world.wait(RELEASE, 7, "another");
    is(&refused(IN_TIME, retried).await, 409, refusal);
}

#[tokio::test]
async fn what_was_shown_has_changed() {
    type Change = fn(&mut World);
    let changes: [Change; 4] = [
        |world| world.change(6, |package| package.metadata.clear()),
        |world| world.settings.policies.accuracy_threshold = 0.9,
        |world| world.settings.policies.approvals_needed = 2,
        |world| {
            let report = "{\"metrics\": {\"accuracy\": 0.99}}";
            world
                .objects
                .put("s3://bucket/training/7/evaluation/evaluation.json", report);
        },
    ];
    for change in changes {
        is(&refused(IN_TIME, change).await, 409, Refusal::EvidenceChanged);
    }
}

#[tokio::test]
async fn it_is_of_another_approval() {
    let changes: [fn(&mut Claims); 4] = [
        |claims| claims.pipeline = "other-release".into(),
        |claims| claims.stage = "Deploy".into(),
        |claims| claims.action = "Other".into(),
        |claims| {
            let arn = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/other/7";
            claims.package = arn.parse().unwrap();
        },
    ];
    for change in changes {
        let world = World::new();
        let mut claims = world.claims(ADA).await;
        change(&mut claims);
        let page = refused_by(&world, IN_TIME, &signed(claims).await).await;
        is(&page, 403, Refusal::OtherApproval);
    }
}

#[tokio::test]
async fn who_is_no_longer_an_approver_decides_nothing() {
    let removed = |world: &mut World| world.settings.policies.approvers = vec![BO.into()];
    is(&refused(IN_TIME, removed).await, 403, Refusal::NotAnApprover);
    // Nor by a link to what is shown now.
    let mut world = World::new();
    removed(&mut world);
    let link = world.link(ADA).await;
    is(&refused_by(&world, IN_TIME, &link).await, 403, Refusal::NotAnApprover);
}
