//! Notices in a channel of Slack or Teams: the same as in the mails, without what is for one person.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use tests::candidate::Candidate;
use tests::world::World;

const SLACK: [(&str, &str); 2] = [("SlackWorkspaceId", "T0123ABCD"), ("SlackChannelId", "C0123ABCD")];
const TEAMS: [(&str, &str); 3] = [
    ("TeamsTenantId", "11111111-2222-3333-4444-555555555555"),
    ("TeamsTeamId", "66666666-2222-3333-4444-555555555555"),
    ("TeamsChannelId", "19%3aabc%40thread.tacv2"),
];

/// Version 1 is released; then version 2 is pushed by somebody who would like to wake the channel, and is not good enough.
fn told(parameters: &[(&str, &str)]) -> World {
    let mut world = World::with_parameters(1, parameters).unwrap().without_traffic();
    let link = world.propose(&Candidate::of_accuracy(0.90)).unwrap();
    world.decide(&link, "approve", "fine").unwrap();
    world.until_outcome(1, "deployed").unwrap();
    world.say("<!channel> look at <http://evil.example|this>", "Eve <eve@example.com>");
    world.push(&Candidate::of_accuracy(0.80)).unwrap();
    world
        .run_until(12, "the notice", |world| {
            world.subjects().iter().any(|subject| subject.contains("failed"))
        })
        .unwrap();
    world
}

#[test]
fn a_channel_reads_what_the_notices_say_and_no_signed_link() {
    for parameters in [&SLACK[..], &TEAMS[..]] {
        let world = told(parameters);
        let cloud = world.cloud();
        let posts: Vec<String> = cloud.chat().iter().map(|post| format!("{post:?}")).collect();
        let with = |words: &str| posts.iter().filter(|post| post.contains(words)).count();
        assert_eq!(with("v1 deployed"), 1, "{posts:#?}");
        assert!(with("training failed") > 0, "{posts:#?}");
        // Links are for those who get the mails, and questions for one person each.
        assert_eq!(with("function-url"), 0, "{posts:#?}");
        assert_eq!(with("approve tumour"), 0, "{posts:#?}");
        assert_eq!(with("<!channel>") + with("<http"), 0, "{posts:#?}");
        // Nothing that was published for the channel was dropped as no notification.
        let dropped = world
            .happenings()
            .iter()
            .filter(|happening| happening.what == "dropped");
        assert_eq!(dropped.count(), 0);
    }
}

#[test]
fn the_mails_are_the_same_with_and_without_a_channel() {
    // Ids follow from the seed and from how many were drawn before: lines that have one are left out.
    let ids = ["function-url", "tumour-v1-", "s3:", "training/", "arn:"];
    let mails = |world: &World| -> Vec<(String, String)> {
        let text = |body: &str| {
            let lines = body.lines().filter(|line| !ids.iter().any(|id| line.contains(id)));
            lines.collect::<Vec<_>>().join("\n")
        };
        let mails = world.mails().into_iter();
        mails
            .map(|mail| (mail.to.clone(), format!("{}\n{}", mail.subject, text(&mail.body))))
            .collect()
    };
    assert_eq!(mails(&told(&SLACK)), mails(&told(&[])));
}
