//! Two people at the same second, in every order of their calls with up to three changes between them.

use super::*;

/// More calls than any answer to a form makes.
const CALLS_MAX: usize = 16;

/// Lets two handlers make their calls in turns of those lengths, and then each of them to its end; their answers.
fn in_turns(world: &World, events: [Value; 2], turns: [usize; 3]) -> [(u64, String); 2] {
    let (registry, pipeline) = (world.registry(), world.pipeline());
    let ports = world.ports(&registry, &pipeline);
    let [first, second] = events.map(|event| Box::pin(handle(&world.settings, &ports, event)));
    let mut handlers = [first, second];
    let mut answers = [None, None];
    let mut context = TaskContext::from_waker(Waker::noop());
    let to_the_end = [CALLS_MAX * 4, CALLS_MAX * 4];
    for (turn, calls) in turns.into_iter().chain(to_the_end).enumerate() {
        let who = turn % 2;
        for _ in 0..calls {
            if answers[who].is_some() {
                break;
            }
            if let std::task::Poll::Ready(answer) = handlers[who].as_mut().poll(&mut context) {
                let answer = answer.unwrap();
                let (status, html) = (&answer["statusCode"], &answer["body"]);
                answers[who] = Some((status.as_u64().unwrap(), html.as_str().unwrap().to_owned()));
            }
        }
    }
    answers.map(|answer| answer.expect("an answer within so many calls"))
}

fn each_turns() -> impl Iterator<Item = [usize; 3]> {
    let calls = || 0..CALLS_MAX;
    calls().flat_map(move |a| calls().flat_map(move |b| calls().step_by(3).map(move |c| [a, b, c])))
}

#[tokio::test]
async fn there_is_one_decision_and_both_are_told_it() {
    let world = World::new();
    let (ada, bo) = (world.link(ADA).await, world.link(BO).await);
    let mut winners = std::collections::BTreeSet::new();
    for turns in each_turns() {
        let world = World::new();
        let answers = in_turns(&world, [post(&ada, APPROVE), post(&bo, REJECT)], turns);
        let (approved, summary) = world.answered().unwrap();
        let package = world.package();
        let (status, word) = if approved {
            (ApprovalStatus::Approved, "approved")
        } else {
            (ApprovalStatus::Rejected, "rejected")
        };
        assert_eq!(package.approval, status, "{turns:?}");
        assert_eq!(
            package.approval_description.as_deref(),
            Some(summary.as_str()),
            "{turns:?}"
        );
        let by = if approved { ADA } else { BO };
        assert_eq!(package.metadata[key::DECIDED_BY], by, "{turns:?}");
        for (who, (status, html)) in answers.iter().enumerate() {
            assert_eq!(*status, 200, "{turns:?}");
            contains(html, &[&format!("churn v7 is {word}"), by]);
            let in_vain = html.contains("changed nothing");
            assert_eq!(in_vain, approved == (who == 1), "{turns:?}: {html}");
        }
        winners.insert(by);
    }
    assert_eq!(winners.len(), 2, "either can be first");
}

#[tokio::test]
async fn a_double_click_is_one_decision() {
    let link = World::new().link(ADA).await;
    for turns in each_turns() {
        let world = World::new();
        for (_, html) in in_turns(&world, [post(&link, APPROVE), post(&link, APPROVE)], turns) {
            contains(&html, &["churn v7 is approved", ADA]);
            assert!(!html.contains("changed nothing"), "{turns:?}");
        }
        assert_eq!(world.answered().map(|(approved, _)| approved), Some(true));
        assert_eq!(world.package().approval, ApprovalStatus::Approved, "{turns:?}");
    }
}
