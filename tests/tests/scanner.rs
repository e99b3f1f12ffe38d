//! What opens every link of every mail before people do: mail gateways, link previews, virus scanners. Nothing may come of it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use jiff::SignedDuration;
use serde_json::Value;
use tests::candidate::Candidate;
use tests::snapshot;
use tests::world::World;

/// A world in which a second version serves, which can be taken back by a link, a third was refused, and two people are asked about
/// the next one.
fn asked() -> World {
    let mut world = World::new(1).unwrap();
    for (version, accuracy) in [(1, 0.90), (2, 0.92)] {
        let link = world.propose(&Candidate::of_accuracy(accuracy)).unwrap();
        world.decide(&link, "approve", "").unwrap();
        world.until_outcome(version, "deployed").unwrap();
    }
    world
        .push(&Candidate {
            tests_pass: false,
            ..Candidate::of_accuracy(0.94)
        })
        .unwrap();
    world.run_for(SignedDuration::from_hours(1)).unwrap();
    world.propose(&Candidate::of_accuracy(0.95)).unwrap();
    world
}

/// The links in all mails that lead into the stack.
fn links(world: &World) -> Vec<String> {
    let mut links = Vec::new();
    for mail in world.mails() {
        for (at, _) in mail.body.match_indices("http") {
            let link = mail.body.get(at..).unwrap_or_default();
            let end = link.find(|c: char| c.is_whitespace() || "<>\"".contains(c));
            let link = link.get(..end.unwrap_or(link.len())).unwrap_or_default();
            if link.contains("/function-url/") {
                links.push(link.to_owned());
            }
        }
    }
    assert!(links.iter().any(|link| link.contains("?c=")), "approvals: {links:#?}");
    assert!(links.iter().any(|link| link.contains("?u=")), "take-back: {links:#?}");
    links.sort();
    links.dedup();
    links
}

/// Sends such requests: none may lead elsewhere, or change anything, then or later.
fn scan(requests: impl Fn(&str) -> Vec<(&'static str, String, String)>) {
    let (mut scanned, mut left) = (asked(), asked());
    let before = snapshot::of(&scanned).unwrap();
    for link in links(&scanned) {
        for (method, address, body) in requests(&link) {
            for _ in 0..2 {
                let answer = scanned.request(method, &address, &body).unwrap();
                assert!(!(300..400).contains(&answer.status), "{method} {address}: {answer:?}");
                assert!(answer.status < 500, "{method} {address}: {answer:?}");
                assert!(!answer.headers.contains_key("location") && !answer.headers.contains_key("refresh"));
            }
        }
    }
    same(&before, &snapshot::of(&scanned).unwrap());

    // Nothing that was only begun comes out later, and the links still decide.
    for world in [&mut scanned, &mut left] {
        world.run_for(SignedDuration::from_mins(20)).unwrap();
    }
    same(&snapshot::of(&left).unwrap(), &snapshot::of(&scanned).unwrap());
    let link = scanned.approval_links().pop().unwrap();
    let (status, page) = scanned.decide(&link, "approve", "by a person").unwrap();
    assert_eq!(status, 200, "{page}");
    assert_ne!(
        snapshot::of(&left).unwrap(),
        snapshot::of(&scanned).unwrap(),
        "a decision would be seen"
    );
    scanned.until_outcome(3, "deployed").unwrap();
}

/// Says what differs: the whole is long.
fn same(before: &Value, after: &Value) {
    let (before, after) = (before.as_array().unwrap(), after.as_array().unwrap());
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before, after);
    }
    assert_eq!(before.len(), after.len());
}

#[test]
fn opening_every_link_changes_nothing() {
    scan(|link| {
        let addresses = [
            link.to_owned(),
            format!("{link}&utm_source=mail&utm_medium=email&fbclid=IwAR0"),
            format!("{link}#top"),
            format!("{link}."),
            format!("{link}%3E"),
            link.replace("&m=", "&amp;m="),
            link.split_once('?').unwrap().0.to_owned(),
        ];
        let both = |address: String| ["HEAD", "GET", "OPTIONS"].map(|method| (method, address.clone(), String::new()));
        addresses.into_iter().flat_map(both).collect()
    });
}

#[test]
fn a_form_that_is_sent_by_get_decides_nothing() {
    scan(|link| {
        let mut requests = Vec::new();
        for decision in ["approve", "reject", "take-back"] {
            let fields = format!("comment=&decision={decision}");
            let page = link.split_once('?').unwrap().0;
            for method in ["GET", "HEAD"] {
                requests.push((method, format!("{link}&{fields}"), String::new()));
                // A browser puts the fields in the place of the query.
                requests.push((method, format!("{page}?{fields}"), String::new()));
                requests.push((method, link.to_owned(), fields.clone()));
            }
        }
        requests
    });
}

#[test]
fn a_form_that_is_sent_without_a_button_decides_nothing() {
    scan(|link| {
        let bodies = [
            "",
            "comment=",
            "comment=test&decision=",
            "comment=test&decision=test",
            "{}",
        ];
        bodies.map(|body| ("POST", link.to_owned(), body.to_owned())).to_vec()
    });
}
