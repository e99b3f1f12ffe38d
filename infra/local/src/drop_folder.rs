//! The drop folder: files that a person copies into it become objects below the data's prefix.
//!
//! Nothing tells when a copy is finished: a file is taken once two looks in a row have seen it with the same size and time. One that
//! changes later is taken again. Removing one does nothing, as nothing in the train forgets data.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

/// How long it is from one look to the next.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The longest key of S3, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// The largest file that is taken, in bytes: all objects are held in memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What a file looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// Something in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its path relative to the folder, with `/` between. Where the name is not UTF-8 it is here as well as it can be shown.
    path: String,
    /// A file; otherwise why it can't be one.
    file: Result<Stamp, &'static str>,
}

/// What is to be done after a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// The files to take: path, and whether they were taken before.
    pub(crate) take: Vec<(String, bool)>,
    /// What can't be taken, and why; said once of each.
    pub(crate) refuse: Vec<(String, String)>,
}

/// What came of a look.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    /// The objects to put: key and content.
    pub(crate) objects: Vec<(String, Bytes)>,
    /// How many of them are there already, as they were before.
    pub(crate) changed: usize,
    /// What can't be taken, and why.
    pub(crate) refused: Vec<(String, String)>,
}

/// What is known of the folder.
#[derive(Debug)]
pub(crate) struct DropFolder {
    /// Where the objects go in the bucket: folders with a slash at the end.
    prefix: String,
    taken: BTreeMap<String, Stamp>,
    /// What the last look saw and has not taken.
    seen: BTreeMap<String, Stamp>,
    refused: BTreeSet<String>,
}

impl DropFolder {
    /// A folder of which nothing was taken yet.
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            taken: BTreeMap::new(),
            seen: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    /// The key of a file's object.
    pub(crate) fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// Decides on what was found. At the start, when nobody copies yet, it is taken `at_once`.
    pub(crate) fn look(&mut self, found: Vec<Found>, at_once: bool) -> Look {
        let mut look = Look::default();
        let before = std::mem::take(&mut self.seen);
        let mut there = BTreeSet::new();
        for Found { path, file } in found {
            there.insert(path.clone());
            let refusal = match file {
                Err(reason) => Some(reason.to_owned()),
                Ok(stamp) => self.refusal(&path, stamp),
            };
            if let Some(reason) = refusal {
                if self.refused.insert(path.clone()) {
                    look.refuse.push((path, reason));
                }
                continue;
            }
            let Ok(stamp) = file else {
                continue;
            };
            let taken = self.taken.get(&path);
            if taken == Some(&stamp) {
                continue;
            }
            if at_once || before.get(&path) == Some(&stamp) {
                look.take.push((path, taken.is_some()));
            } else {
                self.seen.insert(path, stamp);
            }
        }
        // What comes back is new.
        self.taken.retain(|path, _| there.contains(path));
        self.refused.retain(|path| there.contains(path));
        look
    }

    fn refusal(&self, path: &str, stamp: Stamp) -> Option<String> {
        let key_bytes = self.prefix.len() + path.len();
        if path.chars().any(char::is_control) {
            Some("its name has control characters, which no list of S3 can show".to_owned())
        } else if key_bytes > KEY_BYTES_MAX {
            Some(format!(
                "its key would have {key_bytes} bytes, and S3 has {KEY_BYTES_MAX} at most"
            ))
        } else if stamp.bytes > FILE_BYTES_MAX {
            Some(format!(
                "it is larger than {} MiB, and all objects are held in memory",
                FILE_BYTES_MAX >> 20
            ))
        } else {
            None
        }
    }

    /// Notes that a file was taken as it was then.
    pub(crate) fn took(&mut self, path: &str, stamp: Stamp) {
        self.taken.insert(path.to_owned(), stamp);
    }
}

/// Whether a name is one that programs give to what is not finished or not meant.
fn is_ignored(name: &str) -> bool {
    const UNFINISHED: [&str; 7] = [".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".swp"];
    let lower = name.to_lowercase();
    name.starts_with('.')
        || name.starts_with("~$")
        || name.ends_with('~')
        || name.starts_with('#') && name.ends_with('#')
        || UNFINISHED.iter().any(|end| lower.ends_with(end))
}

/// What is in the folder and below, but for what is hidden or not finished. What goes while it is looked at is left out.
pub(crate) fn find(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), String::new())];
    let mut is_first = true;
    while let Some((place, prefix)) = open.pop() {
        let entries = match std::fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if is_first => return Err(error),
            Err(_) => continue,
        };
        is_first = false;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            let (Ok(metadata), false) = (entry.metadata(), is_ignored(&shown)) else {
                continue;
            };
            let path = format!("{prefix}{shown}");
            if name.to_str().is_none() {
                let file = Err("its name is not UTF-8, which the keys of S3 are");
                found.push(Found { path, file });
            } else if metadata.is_dir() {
                open.push((entry.path(), path + "/"));
            } else if metadata.is_file() {
                let file = Ok(stamp(&metadata));
                found.push(Found { path, file });
            } else {
                let file = Err("it is a link or no file; copy the file itself");
                found.push(Found { path, file });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    Stamp {
        bytes: metadata.len(),
        modified: metadata.modified().ok(),
    }
}

/// Decides on what was found, and reads what is to be taken.
pub(crate) fn take(known: &mut DropFolder, folder: &Path, found: Vec<Found>, at_once: bool) -> Dropped {
    let look = known.look(found, at_once);
    let mut dropped = Dropped {
        refused: look.refuse,
        ..Dropped::default()
    };
    for (path, was_taken) in look.take {
        // What has gone or changed meanwhile is seen to in the looks that follow.
        if let Some((content, stamp)) = read(folder, &path) {
            dropped.objects.push((known.key(&path), content));
            dropped.changed += usize::from(was_taken);
            known.took(&path, stamp);
        }
    }
    dropped
}

/// Reads a file, and says what it looked like; `None` where it has gone or changed meanwhile.
fn read(folder: &Path, path: &str) -> Option<(Bytes, Stamp)> {
    let path = folder.join(path);
    let before = stamp(
        &std::fs::symlink_metadata(&path)
            .ok()
            .filter(std::fs::Metadata::is_file)?,
    );
    let content = std::fs::read(&path).ok()?;
    let after = stamp(&std::fs::symlink_metadata(&path).ok()?);
    (before == after && content.len() as u64 == after.bytes).then(|| (content.into(), after))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn found(files: &[(&str, u64)]) -> Vec<Found> {
        let file = |(path, bytes): &(&str, u64)| Found {
            path: (*path).to_owned(),
            file: Ok(Stamp {
                bytes: *bytes,
                modified: None,
            }),
        };
        files.iter().map(file).collect()
    }

    /// A look whose files are all taken: those, with whether they were before.
    fn look(folder: &mut DropFolder, files: &[(&str, u64)]) -> Vec<(String, bool)> {
        let files = found(files);
        let look = folder.look(files.clone(), false);
        assert_eq!(look.refuse, []);
        for (path, _) in &look.take {
            let file = files.iter().find(|file| file.path == *path).unwrap();
            folder.took(path, file.file.unwrap());
        }
        look.take
    }

    #[test]
    fn a_file_is_taken_once_it_is_steady_and_again_when_it_changes() {
        let mut folder = DropFolder::new("data/");
        let taken = |path: &str, before: bool| vec![(path.to_owned(), before)];
        for (files, expected) in [
            (&[][..], vec![]),
            (&[("a", 1)], vec![]),
            // It grows.
            (&[("a", 2)], vec![]),
            (&[("a", 3), ("b", 1)], vec![]),
            (&[("a", 3), ("b", 2)], taken("a", false)),
            (&[("a", 3), ("b", 2)], taken("b", false)),
            (&[("a", 3), ("b", 2)], vec![]),
            (&[("a", 4), ("b", 2)], vec![]),
            (&[("a", 4), ("b", 2)], taken("a", true)),
            // It goes, and comes back as it was.
            (&[("b", 2)], vec![]),
            (&[("a", 4), ("b", 2)], vec![]),
            (&[("a", 4), ("b", 2)], taken("a", false)),
            // It goes before it was steady.
            (&[("c", 1)], vec![]),
            (&[], vec![]),
            (&[("c", 1)], vec![]),
            (&[("c", 1)], taken("c", false)),
        ] {
            assert_eq!(look(&mut folder, files), expected, "{files:?}");
        }
        assert_eq!(folder.key("deep/a.csv"), "data/deep/a.csv");
    }

    #[test]
    fn a_file_that_could_not_be_read_is_tried_again() {
        let mut folder = DropFolder::new("data/");
        let files = || found(&[("a", 1)]);
        assert_eq!(folder.look(files(), true).take.len(), 1);
        // Nothing was said of it having been taken.
        assert_eq!(folder.look(files(), false).take, []);
        assert_eq!(folder.look(files(), false).take, [("a".to_owned(), false)]);
    }

    #[test]
    fn what_no_key_can_name_is_refused_once() {
        let mut folder = DropFolder::new("data/");
        let long = "x".repeat(KEY_BYTES_MAX - "data/".len());
        let longer = format!("{long}x");
        let files = [
            ("a\nb", 1),
            (longer.as_str(), 1),
            (long.as_str(), 1),
            ("huge", FILE_BYTES_MAX + 1),
        ];
        let mut all = found(&files);
        all.push(Found {
            path: "link".to_owned(),
            file: Err("a link"),
        });
        let first = folder.look(all.clone(), true);
        let refused: Vec<&str> = first.refuse.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(refused, ["a\nb", longer.as_str(), "huge", "link"]);
        assert_eq!(first.take, [(long.clone(), false)]);
        assert_eq!(folder.look(all.clone(), true).refuse, []);
        // Once it has gone it may be said again.
        folder.look(Vec::new(), true);
        assert_eq!(folder.look(all, true).refuse.len(), 4);
    }

    #[test]
    fn files_and_folders_are_found_but_for_what_is_hidden_or_unfinished() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        for path in [
            "a.csv",
            "deep/er/b.csv",
            "deep/.hidden",
            ".git/config",
            ".DS_Store",
            "c.csv.part",
            "d.TMP",
            "e~",
            "#f#",
            "~$g.xlsx",
            ".a.csv.Xy12",
            "h tmp.csv",
        ] {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "1,2\n").unwrap();
        }
        std::fs::write(folder.join(std::ffi::OsStr::from_bytes(b"\xff.csv")), "1").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
        let files = find(folder).unwrap();
        let taken: Vec<&str> = files
            .iter()
            .filter(|file| file.file.is_ok())
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(taken, ["a.csv", "deep/er/b.csv", "h tmp.csv"]);
        let refused: Vec<&str> = files
            .iter()
            .filter(|file| file.file.is_err())
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(refused, ["link", "\u{fffd}.csv"]);
        let (content, stamp) = read(folder, "deep/er/b.csv").unwrap();
        assert_eq!((&content[..], stamp.bytes), (&b"1,2\n"[..], 4));
        assert_eq!(read(folder, "link"), None);
        assert_eq!(read(folder, "none"), None);
        assert!(find(&folder.join("none")).is_err());
    }
}
