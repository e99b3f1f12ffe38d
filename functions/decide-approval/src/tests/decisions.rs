//! Decisions by one approver, and by other doors.

use super::*;

/// The words that an answer which came second is told.
const IN_VAIN: &str = "came after that and changed nothing";

#[tokio::test]
async fn a_decision_reaches_pipeline_and_registry() {
    let (approved, rejected) = (ApprovalStatus::Approved, ApprovalStatus::Rejected);
    for (form, status, summary) in [
        ("decision=approve&comment=", approved, "approved by ada@example.com"),
        (
            "comment=Fine.&decision=approve",
            approved,
            "approved by ada@example.com: Fine.",
        ),
        (REJECT, rejected, "rejected by ada@example.com: Too slow!"),
    ] {
        for encoded in [false, true] {
            let world = World::new();
            let mut event = post(&world.link(ADA).await, form);
            if encoded {
                event["body"] = BASE64_STANDARD.encode(form).into();
                event["isBase64Encoded"] = true.into();
            }
            let (code, html) = world.open(event).await;
            assert_eq!(code, 200, "{html}");
            assert_eq!(world.answered(), Some((status == approved, summary.to_owned())));
            let package = world.package();
            assert_eq!(
                (package.approval, package.approval_description.as_deref()),
                (status, Some(summary))
            );
            assert_eq!(package.metadata[key::DECIDED_BY], ADA);
            assert_eq!(package.metadata[key::DECIDED_AT], "2026-03-01T12:20:44Z");
            let (decision, title) = match status {
                ApprovalStatus::Approved => (Decision::Approve, "churn v7 is approved"),
                _ => (Decision::Reject, "churn v7 is rejected"),
            };
            assert_eq!(package.decision_of(&release()), Some(decision));
            assert_eq!(world.tally.counted(), ["ApprovalWait 2143 s"]);
            assert_eq!(package.outcome(), None, "how a release ends is for others to mark");
            contains(&html, &[title, ADA, "12:20"]);
            assert!(!html.contains(IN_VAIN));
        }
    }
}

#[tokio::test]
async fn the_sample_form_approves_with_its_comment() {
    let world = World::new();
    let sample = event(POST, world.link(ADA).await.url("").trim_start_matches('?'));
    assert_eq!(world.open(sample).await.0, 200);
    let summary = "approved by ada@example.com: Recall is better too.";
    assert_eq!(world.answered(), Some((true, summary.to_owned())));
}

#[tokio::test]
async fn the_pipeline_is_asked_first() {
    let world = World::new();
    let pipeline = Pipeline {
        refuses: true,
        ..world.pipeline()
    };
    let event = post(&world.link(ADA).await, APPROVE);
    let (status, html) = world.open_with(&world.registry(), &pipeline, event).await;
    assert_eq!(status, 503);
    contains(&html, &["Whether your decision was taken is not certain"]);
    assert!(
        world.is_undecided(),
        "the registry does not say what the pipeline does not know"
    );
}

#[tokio::test]
async fn what_the_pipeline_has_taken_is_decided_whatever_becomes_of_the_registry() {
    let world = World::new();
    let registry = Registry {
        refuses: true,
        ..world.registry()
    };
    let link = world.link(ADA).await;
    let (status, html) = world
        .open_with(&registry, &world.pipeline(), post(&link, APPROVE))
        .await;
    assert_eq!(status, 200, "{html}");
    contains(&html, &["churn v7 is approved", ADA, "Fine."]);
    let answered = (true, "approved by ada@example.com: Fine.".to_owned());
    assert_eq!(world.answered(), Some(answered.clone()));
    assert_eq!(world.package().approval, ApprovalStatus::PendingManualApproval);
    // Until the registry knows, the pipeline's answer is shown.
    for (event, in_vain) in [
        (get(&link), false),
        (post(&link, APPROVE), false),
        (post(&world.link(BO).await, REJECT), true),
    ] {
        let (status, html) = world.open(event).await;
        assert_eq!(status, 200);
        contains(&html, &["churn v7 is approved", ADA, "Fine."]);
        assert_eq!(html.contains(IN_VAIN), in_vain);
        assert_eq!(world.answered(), Some(answered.clone()));
    }
}

#[tokio::test]
async fn what_the_registry_says_meanwhile_is_left_to_be_settled() {
    for meanwhile in [ApprovalStatus::Approved, ApprovalStatus::Rejected] {
        let world = World::new();
        let event = post(&world.link(ADA).await, APPROVE);
        let then = || world.decide_in_registry(meanwhile, Some("in Studio"));
        let pipeline = Pipeline {
            then: &then,
            ..world.pipeline()
        };
        let (status, html) = world.open_with(&world.registry(), &pipeline, event).await;
        assert_eq!(status, 200);
        contains(&html, &["churn v7 is approved", ADA]);
        let answered = (true, "approved by ada@example.com: Fine.".to_owned());
        assert_eq!(world.answered(), Some(answered));
        let package = world.package();
        assert_eq!(
            (package.approval, package.approval_description.as_deref()),
            (meanwhile, Some("in Studio"))
        );
        assert_eq!(package.decision_of(&release()), None);
    }
}

#[tokio::test]
async fn somebody_was_faster_in_the_pipeline_just_now() {
    // Between the look at what waits and the answer.
    let world = World::new();
    let event = post(&world.link(ADA).await, APPROVE);
    let mut calls = 0;
    // Each look is another world, of the same link.
    while !{
        let world = World::new();
        world.open_and_die(calls, event.clone());
        world.answered().is_some()
    } {
        calls += 1;
    }
    let (registry, pipeline) = (world.registry(), world.pipeline());
    let ports = world.ports(&registry, &pipeline);
    let mut handling = pin!(handle(&world.settings, &ports, event));
    let mut context = TaskContext::from_waker(Waker::noop());
    for _ in 0..calls {
        assert!(handling.as_mut().poll(&mut context).is_pending());
    }
    world.releases.end(console(ActionStatus::Failed, "no budget"));
    let answer = handling.await.unwrap();
    let html = answer["body"].as_str().unwrap();
    contains(
        html,
        &[
            "churn v7 is rejected",
            "cy in CodePipeline",
            "no budget",
            "12:00",
            IN_VAIN,
        ],
    );
    assert_eq!(world.answered(), Some((false, "no budget".to_owned())));
    assert_eq!(world.package().approval, ApprovalStatus::PendingManualApproval);
}

#[tokio::test]
async fn the_first_decision_stands_and_whoever_comes_second_is_shown_it() {
    let world = World::new();
    let (ada, bo) = (world.link(ADA).await, world.link(BO).await);
    world.open(post(&ada, APPROVE)).await;
    let (package, answered) = (world.package(), world.answered());
    for (second, words) in [
        (post(&bo, REJECT), Some("(<strong>reject</strong>) came after that")),
        (post(&bo, APPROVE), Some("(<strong>approve</strong>) came after that")),
        (post(&ada, REJECT), Some("(<strong>reject</strong>) came after that")),
        // Looked at, or sent twice by the same person, it is just decided.
        (get(&bo), None),
        (get(&ada), None),
        (post(&ada, "decision=approve&comment=Again."), None),
    ] {
        let (status, html) = world.open(second).await;
        assert_eq!(status, 200);
        contains(&html, &["churn v7 is approved", ADA, "Fine.", "12:20"]);
        contains(&html, words.as_slice());
        assert_eq!(html.contains(IN_VAIN), words.is_some(), "{html}");
        assert!(!html.contains("Again.") && !html.contains("<form"));
        assert_eq!((world.package(), world.answered()), (package.clone(), answered.clone()));
    }
}

/// In Studio, or by a try that died between registry and pipeline.
#[tokio::test]
async fn a_decision_that_the_pipeline_has_not_heard_of_is_passed_on_by_whoever_decides() {
    let by_ada = Decided {
        decision: Decision::Approve,
        by: ADA.into(),
        at: Some(time("2026-03-01T12:00:00Z")),
        comment: "Fine.".into(),
    };
    for (status, metadata, description, summary, in_vain) in [
        (
            ApprovalStatus::Approved,
            by_ada.metadata(&release(), by_ada.at),
            "approved by ada@example.com: Fine.",
            "approved by ada@example.com: Fine.",
            // Bo's approval is another one.
            true,
        ),
        (
            ApprovalStatus::Rejected,
            BTreeMap::new(),
            "too slow",
            "rejected by cy in the model registry: too slow",
            true,
        ),
    ] {
        let world = World::new();
        let link = world.link(BO).await;
        world.decide_in_registry(status, Some(description));
        world.change(7, |package| package.metadata.extend(metadata.clone()));
        let before = world.package();
        let title = match status {
            ApprovalStatus::Approved => "churn v7 is approved",
            _ => "churn v7 is rejected",
        };
        // Mail scanners open links before people do.
        for method in ["GET", "HEAD"] {
            let (code, html) = world.look(method, &link).await;
            assert_eq!(code, 200, "{html}");
            contains(&html, &[title, "12:00"]);
            assert!(!html.contains(IN_VAIN) && !html.contains("<form"));
        }
        // What can't be read is no decision.
        assert_eq!(world.open(post(&link, "decision=maybe")).await.0, 200);
        assert_eq!((world.answered(), world.package()), (None, before.clone()));
        let (code, html) = world.open(post(&link, APPROVE)).await;
        assert_eq!(code, 200);
        contains(&html, &[title]);
        assert_eq!(html.contains(IN_VAIN), in_vain, "{html}");
        let approved = status == ApprovalStatus::Approved;
        assert_eq!(world.answered(), Some((approved, summary.to_owned())));
        assert_eq!(world.package(), before);
    }
}

/// Whoever asks the approvers tells the pipeline why.
#[tokio::test]
async fn an_approval_of_what_has_not_passed_its_gate_is_not_passed_on() {
    for (status, passed_on) in [
        (ApprovalStatus::Approved, None),
        (ApprovalStatus::Rejected, Some(false)),
    ] {
        let world = World::new();
        let link = world.link(ADA).await;
        world.decide_in_registry(status, None);
        world.note(7, key::GATE, "not held: metrics.accuracy = 0.8");
        assert_eq!(world.open(post(&link, APPROVE)).await.0, 200);
        assert_eq!(world.answered().map(|(approved, _)| approved), passed_on);
    }
}

#[tokio::test]
async fn what_was_decided_in_the_console_is_shown() {
    for (status, title) in [
        (ActionStatus::Succeeded, "churn v7 is approved"),
        (ActionStatus::Failed, "churn v7 is rejected"),
    ] {
        let world = World::new();
        let link = world.link(ADA).await;
        world.releases.end(console(status, "approved by bo@example.com: fine"));
        let before = world.package();
        for event in [get(&link), post(&link, APPROVE)] {
            let (code, html) = world.open(event).await;
            assert_eq!(code, 200);
            // Nobody's words are taken for another's.
            contains(
                &html,
                &[title, "cy in CodePipeline", "approved by bo@example.com: fine"],
            );
            assert_eq!(world.package(), before, "that is for sync-approval to write");
        }
    }
}

#[tokio::test]
async fn how_it_ended_long_ago_is_shown() {
    for (outcome, reason, approval, description, words) in [
        (
            "deployed",
            "served by churn-v7-01234567",
            ApprovalStatus::Approved,
            "approved by ada@example.com: Fine.",
            ["churn v7 is approved", ADA],
        ),
        // Another update has overtaken it at the endpoint.
        (
            "superseded",
            "superseded: churn-v8-00000008 serves",
            ApprovalStatus::Approved,
            "approved by ada@example.com: Fine.",
            ["churn v7 is approved", ADA],
        ),
        (
            "rejected",
            "the release was stopped in CodePipeline",
            ApprovalStatus::Rejected,
            "the release was stopped in CodePipeline",
            ["churn v7 is rejected", "the release train"],
        ),
    ] {
        let world = World::new();
        let link = world.link(ADA).await;
        world.releases.end(console(ActionStatus::Succeeded, "anything"));
        world.change(7, |package| {
            package.approval = approval;
            package.approval_description = Some(description.into());
        });
        for (key, value) in [
            (key::RELEASE, RELEASE),
            (key::OUTCOME, outcome),
            (key::REASON, &metadata_value(reason)),
            (key::DECIDED_BY, ADA),
        ] {
            world.note(7, key, value);
        }
        for event in [get(&link), post(&link, "decision=approve&comment=")] {
            let (code, html) = world.open(event).await;
            assert_eq!(code, 200, "{html}");
            contains(&html, &words);
        }
    }
}

/// Whatever the function was about when it died, sending the form again comes to the same end.
#[tokio::test]
async fn it_can_die_before_any_call() {
    for (first, approved, summary) in [
        (APPROVE, true, "approved by ada@example.com: Fine."),
        (REJECT, false, "rejected by ada@example.com: Too slow!"),
    ] {
        for by in [ADA, BO] {
            let mut calls = 0;
            let mut taken = 0;
            loop {
                let world = World::new();
                let over = world.open_and_die(calls, post(&world.link(ADA).await, first));
                // Where the pipeline has not heard of it, nobody has decided; where it has, it is decided for good.
                taken += usize::from(world.answered().is_some());
                let (answered, again) = (world.answered(), post(&world.link(by).await, first));
                let (status, html) = world.open(again).await;
                assert_eq!(status, 200, "{html}");
                let by = if answered.is_some() { ADA } else { by };
                let summary = summary.replace(ADA, by);
                assert_eq!(world.answered(), Some((approved, summary.clone())), "{calls}");
                contains(&html, &[by, if approved { "is approved" } else { "is rejected" }]);
                // Between the two, sync-approval writes on the version what the pipeline has taken.
                let package = world.package();
                if package.approval != ApprovalStatus::PendingManualApproval {
                    assert_eq!(package.approval == ApprovalStatus::Approved, approved);
                    assert_eq!(package.approval_description, Some(summary));
                }
                if over {
                    break;
                }
                calls += 1;
            }
            assert!(calls > 8 && taken > 1, "{calls} {taken}");
        }
    }
}
