//! How much new data has arrived: counted with few calls, however many objects there are.
//!
//! S3 lists by key and can't be asked for what is new. A prefix of up to [`PAGES_MAX`] pages is read whole each time. Of a larger one
//! each look reads that many pages at most and goes on where the look before ended: first after the last key of all, where data
//! whose keys ascend (a date, a counter) arrives and is seen at once, and then through the whole prefix in turn, where everything
//! else is found within two rounds. No round counts a key twice.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many pages of a thousand objects one look reads at most.
pub const PAGES_MAX: u32 = 10;
/// The most bytes of JSON that a [`Progress`] takes: two keys of a kilobyte each, whose every character may be an escape of six, and
/// numbers.
pub const KEPT_BYTES_MAX: usize = 16 * 1024;

/// How much has arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    /// How many objects.
    pub objects: u64,
    /// How many bytes they have together.
    pub bytes: u64,
}

/// How much is enough for a training. Without any nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// So many objects.
    pub objects: Option<u64>,
    /// Or so many bytes.
    pub bytes: Option<u64>,
}

impl Thresholds {
    /// Whether there is one at all.
    #[must_use]
    pub fn any(&self) -> bool {
        self.objects.is_some() || self.bytes.is_some()
    }

    /// Whether one of them is reached.
    #[must_use]
    pub fn met(&self, arrived: &Arrived) -> bool {
        self.objects.is_some_and(|objects| arrived.objects >= objects)
            || self.bytes.is_some_and(|bytes| arrived.bytes >= bytes)
    }
}

/// An object, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Timestamp,
}

/// One page of a list, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Listed>,
    /// Whether there are more after them.
    pub more: bool,
}

/// What is new among the keys up to one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The last key that was looked at; nothing before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// What is new up to there.
    #[serde(flatten)]
    arrived: Arrived,
}

/// What is kept from one look to the next, for a prefix that one look does not get through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Since when data counts as new.
    since: Timestamp,
    /// The end of the prefix, once a round has come to it, and what was new before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<Cursor>,
    /// How far this round has come.
    round: Cursor,
}

/// A look at a prefix: says what to list, takes the page, says what has arrived.
#[derive(Debug, Clone)]
pub struct Count {
    thresholds: Thresholds,
    progress: Progress,
    reads: Reads,
    pages: u32,
    /// Whether this look began its round itself, and so knows all of it.
    fresh: bool,
    /// Whether a round has ended in this look.
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// What comes after the end.
    End,
    /// The round.
    Round,
    /// Nothing any more.
    Nothing,
}

impl Count {
    /// A look for data newer than `since`, that goes on from what an earlier one has kept.
    #[must_use]
    pub fn new(since: Timestamp, thresholds: Thresholds, kept: Option<Progress>) -> Self {
        let fresh = kept.is_none();
        let progress = match kept {
            Some(kept) if kept.since == since => kept,
            // A training has taken what was counted. Where the prefix ends is still known.
            kept => Progress {
                since,
                end: kept.and_then(|kept| kept.end).map(|end| Cursor {
                    arrived: Arrived::default(),
                    ..end
                }),
                round: Cursor::default(),
            },
        };
        let mut count = Self {
            thresholds,
            reads: if progress.end.is_some() {
                Reads::End
            } else {
                Reads::Round
            },
            progress,
            pages: 0,
            fresh,
            ended: false,
        };
        count.stop_where_enough();
        count
    }

    /// What to list next: the objects after that key, or from the first on. Nothing where the look is over.
    #[must_use]
    pub fn to_list(&self) -> Option<Option<&str>> {
        if self.pages >= PAGES_MAX {
            return None;
        }
        match (self.reads, &self.progress.end) {
            (Reads::End, Some(end)) => Some(end.after.as_deref()),
            (Reads::Round, _) => Some(self.progress.round.after.as_deref()),
            _ => None,
        }
    }

    /// Takes the page that [`to_list`](Self::to_list) asked for.
    pub fn take(&mut self, page: Page) {
        self.pages += 1;
        let since = self.progress.since;
        let cursor = match (self.reads, &mut self.progress.end) {
            (Reads::End, Some(end)) => end,
            _ => &mut self.progress.round,
        };
        // A folder that the console made is an empty object whose key ends so.
        let new = |object: &&Listed| object.modified > since && !object.key.ends_with('/');
        for object in page.objects.iter().filter(new) {
            // What was kept is the bucket's, and may be any number.
            cursor.arrived.objects = cursor.arrived.objects.saturating_add(1);
            cursor.arrived.bytes = cursor.arrived.bytes.saturating_add(object.bytes);
        }
        if let Some(last) = page.objects.into_iter().next_back() {
            cursor.after = Some(last.key);
        }
        if !page.more {
            match self.reads {
                Reads::End => self.reads = Reads::Round,
                Reads::Round | Reads::Nothing => {
                    // The round has seen everything that the end has, and what came in between.
                    self.ended = true;
                    self.progress.end = Some(std::mem::take(&mut self.progress.round));
                    self.reads = Reads::Nothing;
                }
            }
        }
        self.stop_where_enough();
    }

    fn stop_where_enough(&mut self) {
        if self.thresholds.met(&self.arrived()) {
            self.reads = Reads::Nothing;
        }
    }

    /// What is known to have arrived.
    #[must_use]
    pub fn arrived(&self) -> Arrived {
        let end = self.progress.end.as_ref().map(|end| end.arrived).unwrap_or_default();
        let round = self.progress.round.arrived;
        Arrived {
            objects: end.objects.max(round.objects),
            bytes: end.bytes.max(round.bytes),
        }
    }

    /// Whether what has arrived was counted to the end in this look; otherwise there may be more.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.fresh && self.ended
    }

    /// What the next look has to know; nothing where this one read the prefix from its first object to its last, or came to the
    /// threshold before its pages were used up.
    #[must_use]
    pub fn keep(&self) -> Option<&Progress> {
        let kept = !self.fresh || (!self.ended && self.pages >= PAGES_MAX);
        kept.then_some(&self.progress)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// A prefix, and the calls that were made on it.
    #[derive(Default)]
    struct Prefix {
        objects: std::collections::BTreeMap<String, (u64, Timestamp)>,
        kept: Option<Progress>,
        /// What the last look said of itself.
        whole: bool,
    }

    impl Prefix {
        fn put(&mut self, key: String, seconds: i64) {
            self.objects.insert(key, (10, time(seconds)));
        }

        fn page(&self, after: Option<&str>, size: usize) -> Page {
            let from = after.map_or(std::ops::Bound::Unbounded, |after| {
                std::ops::Bound::Excluded(after.to_owned())
            });
            let mut rest = self.objects.range((from, std::ops::Bound::Unbounded));
            let objects = rest.by_ref().take(size).map(|(key, (bytes, modified))| Listed {
                key: key.clone(),
                bytes: *bytes,
                modified: *modified,
            });
            let objects = objects.collect();
            Page {
                objects,
                more: rest.next().is_some(),
            }
        }

        /// One look: what has arrived, and with how many lists.
        fn look(&mut self, since: i64, objects: u64, size: usize) -> (Arrived, u32) {
            let thresholds = Thresholds {
                objects: Some(objects),
                bytes: None,
            };
            let mut count = Count::new(time(since), thresholds, self.kept.clone());
            while let Some(after) = count.to_list() {
                let page = self.page(after, size);
                count.take(page);
            }
            if let Some(progress) = count.keep() {
                // As it is kept: as JSON.
                let json = serde_json::to_string(progress).unwrap();
                self.kept = Some(serde_json::from_str(&json).unwrap());
            }
            self.whole = count.is_whole();
            (count.arrived(), count.pages)
        }
    }

    #[test]
    fn either_threshold_is_enough_and_none_never_is() {
        let arrived = Arrived { objects: 9, bytes: 90 };
        for (objects, bytes, met) in [
            (None, None, false),
            (Some(9), None, true),
            (Some(10), None, false),
            (None, Some(90), true),
            (None, Some(91), false),
            (Some(10), Some(90), true),
            (Some(10), Some(91), false),
        ] {
            let thresholds = Thresholds { objects, bytes };
            assert_eq!(thresholds.met(&arrived), met, "{thresholds:?}");
            assert_eq!(thresholds.any(), objects.or(bytes).is_some());
        }
    }

    #[test]
    fn a_small_prefix_is_read_whole_each_time_and_nothing_is_kept() {
        let mut prefix = Prefix::default();
        prefix.put("data/".into(), 5);
        for number in 0..25 {
            prefix.put(format!("data/{number:03}"), if number < 20 { 0 } else { 5 });
        }
        for _ in 0..2 {
            let arrived = Arrived { objects: 5, bytes: 50 };
            assert_eq!(
                prefix.look(0, 6, 10),
                (arrived, 3),
                "not the folder, and not what is as old"
            );
            assert_eq!(prefix.kept, None);
        }
        assert_eq!(prefix.look(0, 5, 10).0.objects, 5, "exactly the threshold");
    }

    #[test]
    fn what_was_kept_may_be_any_number() {
        let most = Cursor {
            after: Some("\u{1}".repeat(1024)),
            arrived: Arrived {
                objects: u64::MAX,
                bytes: u64::MAX,
            },
        };
        let progress = Progress {
            since: time(0),
            end: Some(most.clone()),
            round: most.clone(),
        };
        let json = serde_json::to_string(&progress).unwrap();
        assert!(json.len() <= KEPT_BYTES_MAX, "{} bytes", json.len());
        let mut prefix = Prefix {
            kept: serde_json::from_str(&json).ok(),
            ..Prefix::default()
        };
        prefix.put("data/1".into(), 5);
        let mut count = Count::new(time(0), Thresholds::default(), prefix.kept.clone());
        count.take(prefix.page(None, 10));
        assert_eq!(count.arrived(), most.arrived);
    }

    #[test]
    fn it_stops_at_the_threshold() {
        let mut prefix = Prefix::default();
        for number in 0..500 {
            prefix.put(format!("data/{number:03}"), 5);
        }
        let (arrived, pages) = prefix.look(0, 15, 10);
        assert_eq!((arrived.objects, pages), (20, 2));
        assert_eq!(prefix.kept, None, "the next look comes as far as quickly");
    }

    #[test]
    fn only_a_look_from_the_first_key_to_the_last_is_whole() {
        // Pages of ten: a look reads a hundred objects at most.
        for (objects, enough, looks) in [
            (25, 100, vec![true, true]),
            (25, 10, vec![false, false]),
            // Enough on the last page is all there is.
            (25, 25, vec![true, true]),
            (100, 1000, vec![true]),
            // The second look comes to the end of the round that the first began.
            (150, 1000, vec![false, false, false]),
        ] {
            let mut prefix = Prefix::default();
            for number in 0..objects {
                prefix.put(format!("data/{number:03}"), 5);
            }
            for (i, whole) in looks.into_iter().enumerate() {
                prefix.look(0, enough, 10);
                assert_eq!(prefix.whole, whole, "{objects} objects, {enough} are enough, look {i}");
            }
        }
    }

    #[test]
    fn keys_that_ascend_are_seen_at_once_however_many_there_are() {
        let mut prefix = Prefix::default();
        for number in 0..1000 {
            prefix.put(format!("data/{number:06}"), 0);
        }
        // Ten pages of ten: ten looks for a round.
        for _ in 0..10 {
            assert_eq!(prefix.look(0, 7, 10).0.objects, 0);
        }
        for number in 1000..1006 {
            prefix.put(format!("data/{number:06}"), 5);
            assert_eq!(prefix.look(0, 7, 10).0.objects, number - 999);
        }
        prefix.put("data/001006".into(), 5);
        let (arrived, pages) = prefix.look(0, 7, 10);
        assert_eq!((arrived.objects, pages), (7, 1), "the end is enough");
        assert_eq!(
            prefix.look(0, 7, 10),
            (arrived, 0),
            "what is enough already is not counted again"
        );
        // A training was asked for at 6: what it took is not new any more, and where the end is was not forgotten.
        assert_eq!(prefix.look(6, 7, 10).0.objects, 0);
        prefix.put("data/001007".into(), 7);
        assert_eq!(prefix.look(6, 7, 10).0.objects, 1);
    }

    proptest! {
        /// Whatever arrives wherever in the keys: never more is counted than is there, a look never lists more than its bound, and two
        /// rounds after the last arrival all of it is known.
        #[test]
        fn nothing_is_counted_twice_and_everything_is_found(
            old in proptest::collection::btree_set(0_u32..5000, 0..600),
            new in proptest::collection::vec((0_u32..6000, any::<bool>()), 0..60),
        ) {
            let mut prefix = Prefix::default();
            for key in &old {
                prefix.put(format!("data/{key:06}"), 0);
            }
            let enough = 1_000_000;
            let mut arrived = std::collections::BTreeSet::new();
            for (key, looked) in &new {
                prefix.put(format!("data/{key:06}"), 5);
                arrived.insert(*key);
                if *looked {
                    let (counted, pages) = prefix.look(0, enough, 3);
                    prop_assert!(counted.objects <= arrived.len() as u64);
                    prop_assert!(pages <= PAGES_MAX);
                }
            }
            let looks = 2 * (prefix.objects.len() / (3 * (PAGES_MAX as usize - 1)) + 1);
            let mut counted = Arrived::default();
            for _ in 0..looks {
                counted = prefix.look(0, enough, 3).0;
                prop_assert!(counted.objects <= arrived.len() as u64);
            }
            prop_assert_eq!(counted.objects, arrived.len() as u64);
            prop_assert_eq!(counted.bytes, 10 * arrived.len() as u64);
        }
    }
}
