//! Which endpoint configurations and models are of no use any more.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::names::ModelName;

/// How many configurations are deleted after one release: what is left is left to the next.
const DELETED_MAX: usize = 5;
/// How many configurations SageMaker lists at once.
const LISTED_MAX: usize = 100;

/// What the endpoint refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints<'a> {
    /// The configuration that serves.
    pub serving: &'a str,
    /// The configuration that is coming.
    pub pending: Option<&'a str>,
}

/// The configurations to delete, each with the model that goes with it, if no other configuration serves that version.
///
/// `listed` is what there is, by name and the time when it was made, oldest first; `previous` are the configurations that served
/// before the present one, which are kept. Deleted is only what this train named, and only what is older than what serves: a newer
/// one is about to be deployed.
#[must_use]
pub fn disposable(
    model: &ModelName,
    listed: &[(String, Option<Timestamp>)],
    in_use: &Endpoints<'_>,
    previous: &[String],
) -> Vec<(String, Option<String>)> {
    let serving_made_at = listed
        .iter()
        .find(|(name, _)| name == in_use.serving)
        .and_then(|(_, made_at)| *made_at);
    let Some(serving_made_at) = serving_made_at else {
        // Beyond the end of the list, or made by hand: what is newer can't be told.
        return Vec::new();
    };
    let kept = |name: &str| {
        name == in_use.serving || in_use.pending == Some(name) || previous.iter().any(|previous| previous == name)
    };
    let disposable: Vec<(&str, u32)> = listed
        .iter()
        .filter(|(name, made_at)| !kept(name) && made_at.is_some_and(|made_at| made_at < serving_made_at))
        .filter_map(|(name, _)| Some((name.as_str(), model.version_of_config(name)?)))
        .take(DELETED_MAX)
        .collect();
    let going: BTreeSet<&str> = disposable.iter().map(|(name, _)| *name).collect();
    let remaining = listed.iter().map(|(name, _)| name.as_str());
    let remaining = remaining
        .chain([in_use.serving])
        .chain(in_use.pending)
        .chain(previous.iter().map(String::as_str))
        .filter(|name| !going.contains(name));
    let served: BTreeSet<u32> = remaining.filter_map(|name| model.version_of_config(name)).collect();
    // Configurations beyond the end of the list may serve any version.
    let all_known = listed.len() < LISTED_MAX;
    disposable
        .into_iter()
        .map(|(name, version)| {
            let goes = all_known && !served.contains(&version);
            (name.to_owned(), goes.then(|| format!("{model}-v{version}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn listed(names: &[&str]) -> Vec<(String, Option<Timestamp>)> {
        let made = |(second, name): (i64, &&str)| ((*name).to_owned(), Some(time(second)));
        (0..).zip(names).map(made).collect()
    }

    fn churn() -> ModelName {
        "churn".parse().unwrap()
    }

    #[test]
    fn what_served_long_ago_goes() {
        let names = [
            "churn-v1-aaaaaaaa",
            "churn-v2-bbbbbbbb",
            "churn-v2-cccccccc",
            "churn-v2-v3-dddddddd",
            "churn-v4-eeeeeeee",
            "churn-v5-ffffffff",
            "churn-v6-00000000",
        ];
        let in_use = Endpoints {
            serving: "churn-v5-ffffffff",
            pending: None,
        };
        let previous = ["churn-v4-eeeeeeee".to_owned(), "churn-v2-cccccccc".to_owned()];
        let expected = vec![
            ("churn-v1-aaaaaaaa".to_owned(), Some("churn-v1".to_owned())),
            // The version is served by a configuration that stays.
            ("churn-v2-bbbbbbbb".to_owned(), None),
            // churn-v2-v3-… is a version of another model, and churn-v6-… is about to be deployed.
        ];
        assert_eq!(disposable(&churn(), &listed(&names), &in_use, &previous), expected);
        let unknown = Endpoints {
            serving: "by-hand",
            pending: None,
        };
        assert_eq!(disposable(&churn(), &listed(&names), &unknown, &previous), []);
        let same_second: Vec<_> = ["churn-v4-eeeeeeee", "churn-v5-ffffffff"]
            .map(|name| (name.to_owned(), Some(time(0))))
            .into();
        assert_eq!(
            disposable(&churn(), &same_second, &in_use, &[]),
            [],
            "it may be the newer one"
        );
    }

    #[test]
    fn a_model_goes_only_where_all_that_may_serve_it_is_listed() {
        for (count, model) in [(99, Some("churn-v1".to_owned())), (100, None)] {
            let names: Vec<_> = (1..=count)
                .map(|version| format!("churn-v{version}-00000000"))
                .collect();
            let in_use = Endpoints {
                serving: "churn-v2-00000000",
                pending: None,
            };
            let listed = listed(&names.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(
                disposable(&churn(), &listed, &in_use, &[]),
                [("churn-v1-00000000".to_owned(), model)],
                "{count} configurations"
            );
        }
    }

    proptest! {
        /// Nothing that is referred to goes, nothing of another's goes, and nothing newer than what serves.
        #[test]
        fn nothing_in_use_goes(versions in proptest::collection::vec((1..9u32, 0..3u8), 1..20), serving: prop::sample::Index,
                               pending: prop::sample::Index, kept: prop::sample::Index, foreign: bool) {
            let mut names: Vec<String> =
                versions.iter().enumerate().map(|(i, (version, _))| format!("churn-v{version}-{i:08}")).collect();
            if foreign {
                names.insert(0, "churn-v2-v1-00000000".into());
                names.insert(0, "churn-very-old".into());
            }
            let listed = listed(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let (serving, pending, kept) = (serving.get(&names), pending.get(&names), kept.get(&names));
            let in_use = Endpoints { serving, pending: Some(pending) };
            let gone = disposable(&churn(), &listed, &in_use, std::slice::from_ref(kept));
            let place = |name: &String| names.iter().position(|other| other == name);
            for (config, model) in &gone {
                prop_assert!(config != serving && config != pending && config != kept);
                prop_assert!(place(config) < place(serving));
                prop_assert!(churn().version_of_config(config).is_some());
                if let Some(model) = model {
                    let prefix = format!("{model}-");
                    let still = names.iter().filter(|name| !gone.iter().any(|(gone, _)| gone == *name));
                    let serves = |name: &String| name.starts_with(&prefix) && churn().version_of_config(name).is_some();
                    prop_assert!(!still.into_iter().any(serves));
                }
            }
        }
    }
}
