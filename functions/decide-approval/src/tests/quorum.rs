//! Where more than one approver has to approve.

use super::*;

impl World {
    /// Two of three have to approve, and were asked.
    async fn of_several() -> Self {
        let mut world = Self::new();
        world.settings.policies.approvers.push("cy@example.com".into());
        world.settings.policies.approvals_needed = 2;
        world.ask().await;
        world
    }

    /// Notes, as request-approval does, what the approvers were asked on.
    async fn ask(&self) {
        let asked = Asked::now(&release(), expires(), &self.digest().await);
        self.note(7, key::ASKED, &asked.to_text());
    }

    fn votes(&self) -> Vec<String> {
        let votes = self.package().votes(&release(), &self.settings.policies.approvers);
        votes.iter().map(Decided::description).collect()
    }
}

#[tokio::test]
async fn the_last_approval_decides_in_the_names_of_all() {
    let world = World::of_several().await;
    let (ada, bo) = (world.link(ADA).await, world.link(BO).await);
    for form in ["decision=approve&comment=Perhaps.", APPROVE] {
        // Sent again, it is the same approval, with other words.
        let (status, html) = world.open(post(&ada, form)).await;
        assert_eq!(status, 200, "{html}");
        contains(
            &html,
            &["Your approval is counted: 1 of 2", "waits for 1 more approval", ADA],
        );
        assert!(world.is_undecided());
    }
    assert_eq!(world.votes(), ["approved by ada@example.com: Fine."]);
    for link in [&ada, &bo] {
        let before = world.package();
        let (_, html) = world.look("GET", link).await;
        contains(&html, &["Approved so far: 1 of 2", "<form method=\"post\"", "Fine."]);
        assert_eq!(world.package(), before, "votes are no other evidence");
    }
    let (status, html) = world.open(post(&bo, "decision=approve&comment=Me+too.")).await;
    assert_eq!(status, 200, "{html}");
    let summary = "approved by ada@example.com and bo@example.com: Fine. / Me too.";
    assert_eq!(world.answered(), Some((true, summary.to_owned())));
    let package = world.package();
    assert_eq!(
        (package.approval, package.approval_description.as_deref()),
        (ApprovalStatus::Approved, Some(summary))
    );
    assert_eq!(package.metadata[key::DECIDED_BY], "ada@example.com and bo@example.com");
    contains(&html, &["churn v7 is approved", "ada@example.com and bo@example.com"]);
    // Each of the two has decided; the third comes after that.
    for (approver, in_vain) in [(ADA, false), (BO, false), ("cy@example.com", true)] {
        let (_, html) = world.open(post(&world.link(approver).await, APPROVE)).await;
        contains(&html, &["churn v7 is approved"]);
        assert_eq!(html.contains("changed nothing"), in_vain, "{approver}");
        assert_eq!(
            (world.package(), world.answered()),
            (package.clone(), Some((true, summary.to_owned())))
        );
    }
}

#[tokio::test]
async fn one_rejection_rejects() {
    for before in [&[][..], &[ADA]] {
        let world = World::of_several().await;
        for approver in before {
            world.open(post(&world.link(approver).await, APPROVE)).await;
        }
        let (_, html) = world.open(post(&world.link(BO).await, REJECT)).await;
        contains(&html, &["churn v7 is rejected", BO]);
        let summary = "rejected by bo@example.com: Too slow!";
        assert_eq!(world.answered(), Some((false, summary.to_owned())));
        assert_eq!(world.package().approval_description.as_deref(), Some(summary));
    }
}

#[tokio::test]
async fn whoever_has_approved_may_still_reject() {
    let world = World::of_several().await;
    let link = world.link(ADA).await;
    world.open(post(&link, APPROVE)).await;
    world.open(post(&link, REJECT)).await;
    let summary = "rejected by ada@example.com: Too slow!";
    assert_eq!(world.answered(), Some((false, summary.to_owned())));
}

#[tokio::test]
async fn an_approval_of_what_is_no_longer_so_does_not_count() {
    let world = World::of_several().await;
    world.open(post(&world.link(ADA).await, APPROVE)).await;
    world.change(6, |package| package.metadata.clear());
    // Asked anew, or not yet.
    for asks in [false, true] {
        if asks {
            world.ask().await;
        }
        let (_, html) = world.open(post(&world.link(BO).await, APPROVE)).await;
        contains(&html, &["Your approval is counted: 1 of 2", BO]);
        assert!(!html.contains(&format!("<strong>{ADA}")), "{html}");
        assert!(world.is_undecided());
    }
    assert_eq!(world.votes(), ["approved by bo@example.com: Fine."]);
    world.open(post(&world.link(ADA).await, APPROVE)).await;
    assert!(world.answered().unwrap().0);
}

#[tokio::test]
async fn an_approval_by_who_is_no_longer_asked_does_not_count() {
    let mut world = World::of_several().await;
    world.open(post(&world.link(ADA).await, APPROVE)).await;
    world.settings.policies.approvers.remove(0);
    world.ask().await;
    let (_, html) = world.open(post(&world.link(BO).await, APPROVE)).await;
    contains(&html, &["Your approval is counted: 1 of 2"]);
    assert!(world.is_undecided());
}

/// The mails are there before it is noted that they are.
#[tokio::test]
async fn an_approval_counts_before_it_is_noted_that_it_was_asked_for() {
    let world = World::of_several().await;
    world.change(7, |package| drop(package.metadata.remove(key::ASKED)));
    let (_, html) = world.open(post(&world.link(ADA).await, APPROVE)).await;
    contains(&html, &["Your approval is counted: 1 of 2"]);
    assert!(world.is_undecided() && world.votes().is_empty());
    world.ask().await;
    assert_eq!(world.votes().len(), 1);
}

#[tokio::test]
async fn an_approval_that_could_not_be_kept_is_not_counted() {
    let world = World::of_several().await;
    let registry = Registry {
        refuses: true,
        ..world.registry()
    };
    let event = post(&world.link(ADA).await, APPROVE);
    let (status, html) = world.open_with(&registry, &world.pipeline(), event).await;
    assert_eq!(status, 503);
    contains(&html, &["Whether your decision was taken is not certain"]);
    assert!(world.is_undecided() && world.votes().is_empty());
}

/// Of two at the same moment at least one sees both; and whoever dies can send the form again.
#[tokio::test]
async fn it_can_die_before_any_call() {
    for again in [ADA, BO] {
        let mut calls = 0;
        loop {
            let world = World::of_several().await;
            world
                .open(post(&world.link("cy@example.com").await, "decision=approve&comment="))
                .await;
            let over = world.open_and_die(calls, post(&world.link(ADA).await, APPROVE));
            let voted = world.votes().len() == 2;
            let (status, html) = world.open(post(&world.link(again).await, APPROVE)).await;
            assert_eq!(status, 200, "{html}");
            let (approved, summary) = world.answered().unwrap();
            let (answered, all) = (world.answered(), voted || again == ADA);
            assert!(approved && summary.contains("cy@example.com"), "{summary}");
            assert_eq!(summary.contains(ADA), all, "{calls}: {summary}");
            contains(&html, &["churn v7 is approved"]);
            world.open(post(&world.link(again).await, APPROVE)).await;
            assert_eq!(world.answered(), answered);
            if over {
                break;
            }
            calls += 1;
        }
        assert!(calls > 8, "{calls}");
    }
}
