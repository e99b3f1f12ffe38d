//! What commits have to do with each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Commit;

/// Commits by id.
type Commits = BTreeMap<String, Commit>;

/// A commit and everything before it, the nearest first.
fn ancestry<'a>(commits: &'a Commits, from: &'a str) -> Vec<&'a str> {
    let (mut seen, mut open, mut found) = (BTreeSet::new(), VecDeque::from([from]), Vec::new());
    while let Some(id) = open.pop_front() {
        if seen.insert(id) {
            found.push(id);
            let parents = commits.get(id).map(|commit| commit.parents.as_slice());
            open.extend(parents.unwrap_or_default().iter().map(String::as_str));
        }
    }
    found
}

/// Whether a branch at `from` comes to `to` without a merge.
pub(super) fn is_fast_forward(commits: &Commits, from: &str, to: &str) -> bool {
    ancestry(commits, to).contains(&from)
}

/// Whether `commit` lies on the line of a branch that is at `tip`: what was merged into it by a commit of its own does not.
pub(super) fn is_on_line(commits: &Commits, commit: &str, tip: &str) -> bool {
    let (mut seen, mut at) = (BTreeSet::new(), Some(tip));
    while let Some(id) = at.filter(|id| seen.insert(*id)) {
        if id == commit {
            return true;
        }
        at = commits
            .get(id)
            .and_then(|found| found.parents.first())
            .map(String::as_str);
    }
    false
}

/// The nearest commit that both have, if any.
pub(super) fn merge_base<'a>(commits: &'a Commits, one: &'a str, other: &'a str) -> Option<&'a str> {
    let theirs: BTreeSet<&str> = ancestry(commits, other).into_iter().collect();
    ancestry(commits, one).into_iter().find(|id| theirs.contains(id))
}
