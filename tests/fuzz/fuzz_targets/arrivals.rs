//! The count of what has arrived: what an earlier look has kept in the bucket, and pages of any keys.

#![no_main]

use fuzz::{Hostile, Time};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use signalbox_model::arrivals::{Arrived, Count, KEPT_BYTES_MAX, Listed, PAGES_MAX, Page, Progress, Thresholds};

/// The longest key of S3, in bytes.
const KEY_BYTES_MAX: usize = 1024;

#[derive(Debug, Arbitrary)]
struct Input {
    since: Time,
    thresholds: (Option<u64>, Option<u64>),
    kept: Kept,
    pages: Vec<Listing>,
}

/// A page of a list: its objects by key, size and time, and whether there are more.
type Listing = (Vec<(Hostile, u64, Time)>, bool);

/// What lies in the bucket.
#[derive(Debug, Arbitrary)]
enum Kept {
    Nothing,
    Text(Hostile),
    Cursors {
        of_then: bool,
        then: Time,
        end: Option<Cursor>,
        round: Cursor,
    },
}

#[derive(Debug, Arbitrary)]
struct Cursor {
    after: Option<Hostile>,
    objects: u64,
    bytes: u64,
}

fuzz_target!(|input: Input| {
    let since = input.since.0;
    let thresholds = Thresholds {
        objects: input.thresholds.0,
        bytes: input.thresholds.1,
    };
    let kept: Option<Progress> = serde_json::from_str(&input.kept.text(&input)).ok();
    let mut count = Count::new(since, thresholds, kept.clone());
    let mut pages = input.pages.iter();
    let (mut before, mut listed) = (count.arrived(), 0);
    while count.to_list().is_some() {
        listed += 1;
        assert!(listed <= PAGES_MAX, "a look is bounded");
        let page = page(pages.next());
        let (objects, bytes) = (
            page.objects.len() as u64,
            page.objects
                .iter()
                .fold(0, |sum: u64, object| sum.saturating_add(object.bytes)),
        );
        count.take(page);
        let now = count.arrived();
        // No more than was listed comes to it. Nothing goes, but where a whole round has seen that less is there than was kept.
        assert!(
            now.objects <= before.objects.saturating_add(objects) && now.bytes <= before.bytes.saturating_add(bytes)
        );
        assert!(kept.is_some() || (now.objects >= before.objects && now.bytes >= before.bytes));
        before = now;
    }
    assert!(!count.is_whole() || kept.is_none(), "only who began it knows all of it");
    let Some(progress) = count.keep() else {
        assert!(kept.is_none(), "what was kept is kept on");
        return;
    };
    let json = serde_json::to_vec(progress).unwrap_or_default();
    assert!(json.len() <= KEPT_BYTES_MAX, "{} bytes", json.len());
    let read: Option<Progress> = serde_json::from_slice(&json).ok();
    assert_eq!(read.as_ref(), Some(progress));
    // The next look begins with what this one knew, and one for newer data with nothing.
    assert_eq!(Count::new(since, thresholds, read.clone()).arrived(), count.arrived());
    let later = since.checked_add(jiff::SignedDuration::from_secs(1));
    assert!(
        later.is_err() || later.is_ok_and(|later| Count::new(later, thresholds, read).arrived() == Arrived::default())
    );
});

fn page(page: Option<&Listing>) -> Page {
    let Some((objects, more)) = page else {
        return Page::default();
    };
    let listed = |(key, bytes, modified): &(Hostile, u64, Time)| Listed {
        key: key_of(key),
        bytes: *bytes,
        modified: modified.0,
    };
    Page {
        objects: objects.iter().map(listed).collect(),
        more: *more,
    }
}

fn key_of(text: &Hostile) -> String {
    let text = text.as_str();
    text.get(..text.floor_char_boundary(KEY_BYTES_MAX))
        .unwrap_or_default()
        .to_owned()
}

impl Kept {
    fn text(&self, input: &Input) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Text(text) => text.0.clone(),
            Self::Cursors {
                of_then,
                then,
                end,
                round,
            } => {
                let since = if *of_then { then.0 } else { input.since.0 };
                let end = end.as_ref().map(Cursor::json);
                json!({"since": since.to_string(), "end": end, "round": round.json()}).to_string()
            }
        }
    }
}

impl Cursor {
    fn json(&self) -> serde_json::Value {
        let after = self.after.as_ref().map(key_of);
        json!({"after": after, "objects": self.objects, "bytes": self.bytes})
    }
}
