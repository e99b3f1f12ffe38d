//! The page that takes a deployed version back.

use signalbox_model::endpoint::{Endpoint, Pending, Status};
use signalbox_model::undo;

use super::*;

/// The configuration with which the release serves version 7.
const NEW: &str = "churn-v7-01234567";
const FORM: &str = "comment=Wrong+prices.&decision=take-back";
const WHY: &str = "by the link in the mail about its deployment: Wrong prices.";

fn claims() -> undo::Claims {
    undo::Claims {
        package: arn(7),
        release: release(),
        expires: "2026-03-31T11:30:00Z".parse().unwrap(),
    }
}

/// The query of the link that update-endpoint would mail.
async fn query(claims: &undo::Claims) -> String {
    let mac = OneKey.generate(claims.message()).await.unwrap();
    with_mac(claims, &mac)
}

fn with_mac(claims: &undo::Claims, mac: &[u8]) -> String {
    claims.url("", mac).trim_start_matches('?').to_owned()
}

/// The sample's POST with another query and form.
fn send(query: &str, form: &str) -> Value {
    let mut event = event(TAKE_BACK, query);
    event["body"] = BASE64_STANDARD.encode(form).into();
    event
}

impl World {
    /// Version 7 was released and serves.
    fn deployed() -> Self {
        let world = Self::new();
        world.change(7, |package| {
            package.approval = ApprovalStatus::Approved;
            package.metadata.insert(key::OUTCOME.into(), "deployed".into());
            package.metadata.insert(key::RELEASE.into(), RELEASE.into());
        });
        world.serve(NEW);
        world
    }

    fn serve(&self, config: &str) {
        self.endpoint.set(Endpoint {
            status: Status::InService,
            config: config.into(),
            failure_reason: None,
            pending: None,
            modified_at: None,
            desired_counts: Vec::new(),
        });
    }

    fn is_untouched(&self) -> bool {
        self.releases.rolled_back().is_empty() && self.answered().is_none() && self.endpoint.updates().is_empty()
    }
}

#[tokio::test]
async fn looking_changes_nothing() {
    let world = World::deployed();
    let query = query(&claims()).await;
    for method in ["GET", "HEAD", "GET"] {
        let mut event = event(GET, &query);
        event["requestContext"]["http"]["method"] = method.into();
        let before = world.package();
        let (status, html) = world.open(event).await;
        assert_eq!(status, 200, "{html}");
        assert!(world.is_untouched() && world.package() == before, "{method}");
        for word in ["Take churn v7 back?", "<form method=\"post\"", "value=\"take-back\""] {
            assert!(html.contains(word), "{word} is not on the page");
        }
    }
}

#[tokio::test]
async fn the_rollback_is_started_once() {
    let world = World::deployed();
    let query = query(&claims()).await;
    let before = world.package();
    // A double click, and another who has got the same mail.
    for form in [FORM, FORM, "decision=take-back&comment=Me+too."] {
        let (status, html) = world.open(send(&query, form)).await;
        assert_eq!(status, 200, "{html}");
        assert!(
            html.contains("churn v7 is taken back") && !html.contains("<form"),
            "{html}"
        );
        assert_eq!(world.releases.rolled_back(), [(7, WHY.to_owned())]);
    }
    assert_eq!(
        (world.package(), world.answered()),
        (before, None),
        "the rollback marks it"
    );
}

/// A rollback of the next version has brought it back, with a configuration of its own.
#[tokio::test]
async fn a_version_that_was_brought_back_can_be_taken_back_too() {
    let world = World::deployed();
    world.serve("churn-v7-fedcba98");
    let query = query(&claims()).await;
    let (status, html) = world.open(event(GET, &query)).await;
    assert!(status == 200 && html.contains("Take churn v7 back?"), "{html}");
    assert!(world.is_untouched());
    for _ in 0..2 {
        assert_eq!(world.open(send(&query, FORM)).await.0, 200);
        assert_eq!(world.releases.rolled_back(), [(7, WHY.to_owned())]);
    }
}

/// Each deployment can be taken back once: that of the link was, and the version was released again.
#[tokio::test]
async fn what_serves_by_a_later_release_is_taken_back_by_that() {
    let world = World::deployed();
    let query = query(&claims()).await;
    assert_eq!(world.open(send(&query, FORM)).await.0, 200);
    world.change(7, |package| {
        let later = "11111111-2222-3333-4444-555555555555";
        package.metadata.insert(key::RELEASE.into(), later.into());
    });
    world.serve("churn-v7-11111111");
    for _ in 0..2 {
        assert_eq!(world.open(send(&query, FORM)).await.0, 200);
        assert_eq!(world.releases.rolled_back().len(), 2);
    }
}

#[tokio::test]
async fn a_reason_may_be_left_out() {
    for form in [
        "decision=take-back",
        "decision=take-back&comment=",
        "decision=take-back&comment=+%0A",
    ] {
        let world = World::deployed();
        assert_eq!(world.open(send(&query(&claims()).await, form)).await.0, 200, "{form}");
        let why = "by the link in the mail about its deployment: no reason given";
        assert_eq!(world.releases.rolled_back(), [(7, why.to_owned())], "{form}");
    }
}

#[tokio::test]
async fn a_link_that_is_not_ours_is_told_nothing() {
    let world = World::deployed();
    let mac = OneKey.generate(claims().message()).await.unwrap();
    let flipped: Vec<u8> = mac.iter().map(|byte| byte ^ 1).collect();
    let later = undo::Claims {
        expires: "2030-01-01T00:00:00Z".parse().unwrap(),
        ..claims()
    };
    let another = undo::Claims {
        package: arn(6),
        ..claims()
    };
    // Ours, and of another model.
    let other = undo::Claims {
        package: arn(7).to_string().replace("/churn/", "/other/").parse().unwrap(),
        ..claims()
    };
    let good = query(&claims()).await;
    let sample: Value = serde_json::from_str(TAKE_BACK).unwrap();
    let queries = [
        with_mac(&claims(), &flipped),
        with_mac(&claims(), &[]),
        with_mac(&later, &mac),
        with_mac(&another, &mac),
        query(&other).await,
        format!("{good}&{good}"),
        "u=&m=".into(),
        "u=e30&m=AAAA".into(),
        sample["rawQueryString"].as_str().unwrap().to_owned(),
    ];
    let mut pages = Vec::new();
    for query in &queries {
        pages.push(world.open(event(GET, query)).await);
        pages.push(world.open(send(query, FORM)).await);
        assert!(world.is_untouched(), "{query}");
    }
    // What is no approval's link either is told the same.
    pages.push(world.open(event(GET, "c=&m=")).await);
    assert_eq!(pages[0].0, 403);
    assert!(
        pages.iter().all(|page| page == &pages[0]),
        "a forger learns nothing from the answers' differences"
    );
    assert!(!pages[0].1.contains("churn"));
}

#[tokio::test]
async fn the_mac_of_the_one_link_is_none_of_the_other() {
    let world = World::deployed();
    let approval = world.link(ADA).await;
    let undo_mac = OneKey.generate(claims().message()).await.unwrap();
    let mut decided_by_undo = approval.clone();
    decided_by_undo.mac.clone_from(&undo_mac);
    let approval_query = approval.url("").trim_start_matches('?').to_owned();
    let undo_query = query(&claims()).await;
    for query in [
        with_mac(&claims(), &approval.mac),
        decided_by_undo.url("").trim_start_matches('?').to_owned(),
        // Both in one.
        format!("{approval_query}&{undo_query}"),
        format!("{undo_query}&{approval_query}"),
    ] {
        let world = World::new();
        world.serve(NEW);
        for form in [FORM, "decision=approve&comment="] {
            assert_eq!(world.open(send(&query, form)).await.0, 403, "{query}");
            assert!(world.is_untouched() && world.is_undecided(), "{query}");
        }
    }
    // Neither form does what the other link is for.
    let world = World::new();
    world.serve(NEW);
    assert_eq!(world.open(send(&approval_query, FORM)).await.0, 400);
    assert_eq!(world.open(send(&undo_query, "decision=approve&comment=")).await.0, 400);
    assert!(world.is_untouched() && world.is_undecided());
}

#[tokio::test]
async fn a_link_that_no_longer_counts_says_why() {
    type Change = fn(&World);
    let in_time = "2026-03-31T11:29:59Z";
    let nothing: Change = |_| {};
    let (expired, taken, replaced) = (
        (410, "This link has expired."),
        (409, "This version was taken back before."),
        (409, "Another version serves by now."),
    );
    let take_back: Change = |world| {
        world.change(7, |package| {
            drop(package.metadata.insert(key::OUTCOME.into(), "rolled-back".into()))
        });
    };
    let table: [(&str, Change, (u64, &str)); 8] = [
        ("2026-03-31T11:30:00Z", nothing, expired),
        ("2027-01-01T00:00:00Z", nothing, expired),
        (in_time, take_back, taken),
        ("2027-01-01T00:00:00Z", take_back, taken),
        (in_time, |world| world.serve("churn-v8-00000008"), replaced),
        (in_time, |world| world.serve("other-v7-01234567"), replaced),
        (in_time, |world| world.serve("by-hand"), replaced),
        // Its later release was rolled back; the one of the link was replaced before that.
        (
            in_time,
            |world| {
                world.change(7, |package| {
                    package.metadata.insert(key::OUTCOME.into(), "rolled-back".into());
                    package
                        .metadata
                        .insert(key::RELEASE.into(), "11111111-2222-3333-4444-555555555555".into());
                });
                world.serve("churn-v6-89abcdef");
            },
            replaced,
        ),
    ];
    for (time, change, (code, words)) in table {
        let world = World::deployed();
        change(&world);
        let query = query(&claims()).await;
        for mut event in [event(GET, &query), send(&query, FORM)] {
            let time: Timestamp = time.parse().unwrap();
            event["requestContext"]["timeEpoch"] = time.as_millisecond().into();
            let (status, html) = world.open(event).await;
            assert_eq!(status, code, "{words}: {html}");
            assert!(
                html.contains(words) && html.contains("churn v7 was not taken back"),
                "{words}: {html}"
            );
            assert!(world.is_untouched());
        }
    }
    let world = World {
        endpoint: OneEndpoint::default(),
        ..World::deployed()
    };
    assert_eq!(
        world.open(send(&query(&claims()).await, FORM)).await.0,
        409,
        "no endpoint"
    );
    assert!(world.is_untouched());
}

/// While the next version takes over, this one still serves; the rollback waits, and looks again.
#[tokio::test]
async fn what_serves_can_be_taken_back_whatever_is_under_way() {
    let world = World::deployed();
    let mut endpoint = world.endpoint.get().unwrap();
    endpoint.status = Status::Updating;
    endpoint.pending = Some(Pending {
        config: "churn-v8-00000008".into(),
        ..Pending::default()
    });
    world.endpoint.set(endpoint);
    assert_eq!(world.open(send(&query(&claims()).await, FORM)).await.0, 200);
    assert_eq!(world.releases.rolled_back().len(), 1);
}

#[tokio::test]
async fn a_form_that_says_nothing_takes_nothing_back() {
    let long = format!("decision=take-back&comment={}", "x".repeat(401));
    for form in [
        "",
        "comment=Wrong.",
        "decision=approve",
        "decision=take-back&decision=take-back",
        &long,
    ] {
        let world = World::deployed();
        assert_eq!(world.open(send(&query(&claims()).await, form)).await.0, 400, "{form}");
        assert!(world.is_untouched(), "{form}");
    }
    let world = World::deployed();
    for body in [Value::Null, "not base64!".into()] {
        let mut event = send(&query(&claims()).await, FORM);
        event["body"] = body;
        assert_eq!(world.open(event).await.0, 400);
        assert!(world.is_untouched());
    }
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    for method in ["PUT", "DELETE", "OPTIONS", "post"] {
        let world = World::deployed();
        let mut event = send(&query(&claims()).await, FORM);
        event["requestContext"]["http"]["method"] = method.into();
        assert_eq!(world.open(event).await.0, 405, "{method}");
        assert!(world.is_untouched());
    }
}

#[tokio::test]
async fn where_aws_fails_the_page_says_so_and_nothing_leaks() {
    let world = World::deployed();
    let gone = undo::Claims {
        package: arn(99),
        ..claims()
    };
    let (status, html) = world.open(send(&query(&gone).await, FORM)).await;
    assert_eq!(status, 503);
    assert!(!html.contains("DescribeModelPackage"), "{html}");
    assert!(world.is_untouched());
}
