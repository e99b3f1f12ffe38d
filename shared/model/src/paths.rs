//! Which files of the repository the model is made of: a push that touches others only is built and tested, and not trained.

use std::str::FromStr;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Globs, as in `**, !*.md, !docs/**`: a file belongs to the model where one of them matches it and none of those with a `!` does.
///
/// As in `.gitignore`, `*` and `?` match within a folder, `**` through folders, and a glob without a slash matches in every folder.
#[derive(Debug, Clone)]
pub struct ModelPaths {
    included: GlobSet,
    excluded: GlobSet,
    everything: bool,
}

/// A glob that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("`{glob}` is not a glob")]
pub struct GlobError {
    glob: String,
    #[source]
    cause: globset::Error,
}

impl FromStr for ModelPaths {
    type Err = GlobError;

    fn from_str(list: &str) -> Result<Self, GlobError> {
        let globs = list.split(',').map(str::trim).filter(|glob| !glob.is_empty());
        let (mut included, mut excluded) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let mut everything = true;
        for glob in globs {
            let (set, pattern) = match glob.strip_prefix('!') {
                Some(pattern) => (&mut excluded, pattern),
                None => (&mut included, glob),
            };
            everything &= glob == "**";
            let anywhere = if pattern.contains('/') { "" } else { "**/" };
            let error = |cause| GlobError {
                glob: glob.to_owned(),
                cause,
            };
            let built = GlobBuilder::new(&format!("{anywhere}{pattern}"))
                .literal_separator(true)
                .build();
            set.add(built.map_err(error)?);
        }
        let error = |cause| GlobError {
            glob: list.to_owned(),
            cause,
        };
        Ok(Self {
            included: included.build().map_err(error)?,
            excluded: excluded.build().map_err(error)?,
            everything,
        })
    }
}

impl ModelPaths {
    /// Whether every file belongs to the model, so that there is nothing to look at.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether that file belongs to the model, by its path in the repository.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.everything || (self.included.is_match(path) && !self.excluded.is_match(path))
    }

    /// Whether a change is worth a training: where one of the files belongs to the model, and where none has changed, as then somebody
    /// wants what is there trained again.
    #[must_use]
    pub fn are_touched<'a>(&self, changed: impl IntoIterator<Item = &'a str>) -> bool {
        let mut changed = changed.into_iter().peekable();
        changed.peek().is_none() || changed.any(|path| self.contains(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_belong_to_the_model_or_not() {
        for (list, model, others) in [
            ("**", &["README.md", "a/b/c.py", ".hidden"][..], &[][..]),
            ("", &["README.md"], &[]),
            (
                "**,!*.md,!docs/**,!tests/**",
                &["train.py", "pipeline-definition.json", "src/docs/x.txt", "a/tests/t.py"],
                &[
                    "README.md",
                    "a/README.md",
                    "docs/how.txt",
                    "docs/a/b.png",
                    "tests/test_train.py",
                ],
            ),
            (
                "*.py, requirements.txt",
                &["train.py", "lib/a/b.py", "requirements.txt"],
                &["data.csv", "train.pyc"],
            ),
            ("src/*.py", &["src/a.py"], &["a.py", "src/lib/a.py", "x/src/a.py"]),
            (
                "model/**,!model/**/*.ipynb",
                &["model/a", "model/b/c"],
                &["a", "model/b/c.ipynb", "model/c.ipynb"],
            ),
            ("[a-c]?.json", &["ab.json", "d/c1.json"], &["d1.json", "abc.json"]),
        ] {
            let paths: ModelPaths = list.parse().unwrap();
            for path in model {
                assert!(paths.contains(path), "{list}: {path}");
            }
            for path in others {
                assert!(!paths.contains(path), "{list}: {path}");
            }
        }
    }

    #[test]
    fn a_change_is_worth_a_training_where_it_touches_the_model() {
        let paths: ModelPaths = "**,!*.md".parse().unwrap();
        for (changed, expected) in [
            (&["README.md"][..], false),
            (&["README.md", "docs/a.md"], false),
            (&["README.md", "train.py"], true),
            (&[], true),
        ] {
            assert_eq!(paths.are_touched(changed.iter().copied()), expected, "{changed:?}");
        }
        assert!(!paths.is_everything() && "**".parse::<ModelPaths>().unwrap().is_everything());
    }

    #[test]
    fn what_is_no_glob_is_named() {
        // A comma ends a glob even between braces: the template's parameter is a list.
        for (list, glob) in [("**,!a[", "!a["), ("{train,serve}.py", "{train")] {
            let error = list.parse::<ModelPaths>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{glob}` is not a glob"));
        }
    }
}
