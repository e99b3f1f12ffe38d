//! The deliberate defects in `defects/`, each a patch: `defects/run` has the simulation find them.

use std::path::{Path, PathBuf};
use std::process::Command;

use simulate::laws::LAWS;

fn patches() -> Vec<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("defects");
    let files = std::fs::read_dir(place).into_iter().flatten();
    let files = files.filter_map(|file| Some(file.ok()?.path()));
    let mut patches: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "patch"))
        .collect();
    patches.sort();
    patches
}

/// Who changes what a defect is in mends the defect too.
#[test]
fn every_defect_can_be_put_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let patches = patches();
    assert!(patches.len() >= 15, "{}", patches.len());
    for patch in patches {
        let applied = Command::new("git")
            .current_dir(&root)
            .args(["apply", "--check"])
            .arg(&patch)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&applied.stderr);
        assert!(applied.status.success(), "{}: {words}", patch.display());
    }
}

#[test]
fn every_defect_says_what_it_breaks() {
    for patch in patches() {
        let text = std::fs::read_to_string(&patch).unwrap();
        let mut lines = text.lines();
        assert!(lines.next().unwrap().ends_with('.'), "{}", patch.display());
        let law = lines.next().unwrap().strip_prefix("Law: ").unwrap();
        assert!(LAWS.iter().any(|(name, _)| *name == law), "{}: {law}", patch.display());
    }
}
