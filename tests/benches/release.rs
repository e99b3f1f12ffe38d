//! Whole releases per second, in process: push, build, training, gate, mail, approval by the link, canary, bake.
//!
//! `cargo bench -p tests` prints the time of one release; its reciprocal is the number of releases per second and core.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tests::candidate::Candidate;
use tests::world::World;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One release on a stack that serves nothing yet.
fn first_release(mut world: World) -> World {
    // Both ends are told by mail: what is looked at after each step should not be what is measured.
    let told = |world: &World, words: &str| {
        let cloud = world.cloud();
        cloud.inbox().last().is_some_and(|mail| mail.subject.contains(words))
    };
    let done = world.push(&Candidate::of_accuracy(0.9)).and_then(|_| {
        world.run_until(24, "the approval mail", |world| told(world, "approve"))?;
        let link = world.approval_links().pop().unwrap_or_default();
        world.decide(&link, "approve", "")?;
        let deployed = |world: &World| world.outcome(1).as_deref() == Some("deployed");
        world.run_until(24, "the deployment", |world| told(world, "deployed") && deployed(world))
    });
    assert!(done.is_ok(), "{done:?}");
    world
}

fn release(criterion: &mut Criterion) {
    let world = || World::new(1).map(World::without_traffic);
    criterion.bench_function("release", |bencher| {
        bencher.iter_batched(
            || world().unwrap_or_else(|error| unreachable!("{error:#}")),
            first_release,
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("deploy the stack", |bencher| bencher.iter(|| world().is_ok()));
}

criterion_group!(benches, release);
criterion_main!(benches);
