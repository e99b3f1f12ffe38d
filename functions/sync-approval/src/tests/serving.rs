//! The version that serves is rejected in the registry.

use super::*;

impl World {
    /// Version 7 was released and serves.
    fn serving() -> Self {
        let world = Self::new();
        world.record(&by_link(Decision::Approve));
        world.ask(RELEASE);
        world.note(key::OUTCOME, "deployed");
        world.note(key::RELEASE, RELEASE);
        world.serve(NEW);
        world
    }

    fn serve(&self, config: &str) {
        self.endpoint.set(Endpoint {
            status: Status::InService,
            config: config.to_owned(),
            failure_reason: None,
            pending: None,
            modified_at: None,
            desired_counts: Vec::new(),
        });
    }

    fn reject(&self, description: Option<&str>) {
        self.change(|package| {
            package.approval = ApprovalStatus::Rejected;
            package.approval_description = description.map(str::to_owned);
        });
    }
}

#[tokio::test]
async fn the_version_that_serves_is_taken_back_once_when_it_is_rejected() {
    for (description, reason) in [
        (Some("wrong prices"), "rejected in the model registry: wrong prices"),
        (Some(""), "rejected in the model registry: no reason given"),
        (None, "rejected in the model registry: no reason given"),
    ] {
        for (other_waits, config) in [(false, NEW), (true, NEW), (false, BACK), (true, BACK)] {
            let world = World::serving();
            world.serve(config);
            world.reject(description);
            if other_waits {
                world.wait(8, LATER);
            }
            // Events come late and out of order: the registry as it is counts.
            for event in [REJECTED, REJECTED, APPROVED] {
                world.handle(event).await.unwrap();
                assert_eq!(world.releases.rolled_back(), [(7, reason.to_owned())]);
            }
            let later = LATER.parse().unwrap();
            assert_eq!(world.releases.answer_of(&later), None, "another version's approval");
            assert!(world.releases.started().is_empty() && world.notices().is_empty());
            assert_eq!(
                world.package().outcome(),
                Some(Outcome::Deployed),
                "the rollback marks it"
            );
        }
    }
}

/// While the next version takes over, this one still serves.
#[tokio::test]
async fn the_version_that_serves_is_taken_back_whatever_is_under_way() {
    let world = World::serving();
    let mut endpoint = world.endpoint.get().unwrap();
    endpoint.status = Status::Updating;
    endpoint.pending = Some(Pending {
        config: "churn-v8-00000008".to_owned(),
        ..Pending::default()
    });
    world.endpoint.set(endpoint);
    world.reject(None);
    world.handle_twice(REJECTED).await;
    assert_eq!(
        world.releases.rolled_back().len(),
        1,
        "the rollback waits, and looks again"
    );
}

#[tokio::test]
async fn a_rejected_version_that_does_not_serve_changes_nothing() {
    type Change = fn(&World);
    let table: [(&str, Change); 10] = [
        ("another version serves", |world| world.serve("churn-v8-00000008")),
        ("another model's version", |world| world.serve("other-v7-01234567")),
        ("made by hand", |world| world.serve("by-hand")),
        ("it was not released", |world| {
            world.change(|package| package.metadata.clear());
        }),
        ("its release is not known", |world| {
            world.change(|package| drop(package.metadata.remove(key::RELEASE)));
        }),
        // The rollback itself rejects it.
        ("taken back", |world| {
            world.note(key::OUTCOME, "rolled-back");
        }),
        ("being deployed", |world| {
            world.change(|package| drop(package.metadata.remove(key::OUTCOME)));
        }),
        ("being brought back", |world| {
            world.serve("churn-v8-00000008");
            let mut endpoint = world.endpoint.get().unwrap();
            endpoint.status = Status::Updating;
            endpoint.pending = Some(Pending {
                config: BACK.to_owned(),
                ..Pending::default()
            });
            world.endpoint.set(endpoint);
        }),
        ("metadata was written, no more", |_| {}),
        ("approved again meanwhile", |world| {
            world.change(|package| package.approval = ApprovalStatus::Approved);
        }),
    ];
    for (what, change) in table {
        let world = World::serving();
        world.reject(Some("wrong prices"));
        change(&world);
        let event = if what.starts_with("metadata") {
            METADATA_ONLY
        } else {
            REJECTED
        };
        world.handle_twice(event).await;
        assert!(world.releases.rolled_back().is_empty(), "{what}");
        assert!(
            world.releases.started().is_empty() && world.notices().is_empty(),
            "{what}"
        );
    }
    let world = World {
        endpoint: OneEndpoint::default(),
        ..World::serving()
    };
    world.reject(None);
    world.handle_twice(REJECTED).await;
    assert!(world.releases.rolled_back().is_empty(), "no endpoint");
}
