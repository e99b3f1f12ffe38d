//! A few seeds, the same ones every time; `cargo run -p simulate` runs more.

use simulate::exhaustive::{cases_of_one, one_release};
use simulate::faults::Fault;
use simulate::laws::LAWS;
use simulate::many::many;
use simulate::run::{Options, run, tell};
use simulate::schedule::Schedule;

#[test]
fn no_law_is_broken() {
    let sum = many(1, 8, 2, 8, &Options::default(), |_| {});
    let broken: Vec<_> = sum
        .broken
        .iter()
        .map(|report| (report.seed, &report.violation))
        .collect();
    assert!(broken.is_empty(), "cargo run -p simulate -- --seed N: {broken:#?}");
    assert!(
        sum.releases() > 40 && sum.faults() > 20,
        "{} releases, {} faults",
        sum.releases(),
        sum.faults()
    );
    assert!(sum.outcomes.len() > 4, "{:?}", sum.outcomes);
}

#[test]
fn a_seed_is_one_run() {
    let options = Options {
        timeline: true,
        ..Options::default()
    };
    let texts = |seed| -> Vec<String> {
        let report = run(&Schedule::of(seed), &options);
        report.lines.into_iter().map(|line| line.text).collect()
    };
    let (first, second) = (texts(3), texts(3));
    assert!(first.len() > 500);
    assert_eq!(first, second);
}

#[test]
fn laws_and_faults_have_names_of_their_own() {
    let laws = LAWS.iter().map(|(name, _)| *name);
    let mut names: Vec<_> = laws.chain(Fault::ALL.map(Fault::name)).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let found = |fault: Fault| Fault::named(fault.name()) == Some(fault);
    assert!(Fault::ALL.into_iter().all(found));
}

/// Every hundredth of what `--exhaustive` tries.
#[test]
fn one_fault_ends_as_none_does() {
    let story = one_release();
    let clean = tell(&story, None, false).0;
    assert_eq!(clean.violation, None);
    assert_eq!(clean.end.as_ref().and_then(|end| end.serving), Some(2));
    for deviation in cases_of_one().into_iter().skip(7).step_by(100) {
        let report = tell(&story, Some(deviation), false).0;
        assert_eq!((report.violation, report.end), (None, clean.end.clone()), "{deviation}");
    }
}
