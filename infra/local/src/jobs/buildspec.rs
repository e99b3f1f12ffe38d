//! CodeBuild's build specification: `buildspec.yml`, version 0.2.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, Yaml};

/// The phases, in order.
pub(crate) const PHASES: [&str; 4] = ["install", "pre_build", "build", "post_build"];

/// A buildspec.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Buildspec {
    /// `sh` or `bash`.
    pub(crate) shell: String,
    /// Variables.
    pub(crate) variables: BTreeMap<String, String>,
    /// The phases that there are, in order.
    pub(crate) phases: Vec<Phase>,
    /// The artifacts, if there are any.
    pub(crate) artifacts: Option<Artifacts>,
}

/// A phase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Phase {
    /// Its name in the buildspec.
    pub(crate) name: &'static str,
    /// What is run until something fails.
    pub(crate) commands: Vec<String>,
    /// What is run in any case afterwards.
    pub(crate) finally: Vec<String>,
    /// Whether the build goes on after a failure.
    pub(crate) carry_on: bool,
}

/// What the build leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Artifacts {
    /// Patterns of files.
    pub(crate) files: Vec<String>,
    /// Patterns of files that are left out.
    pub(crate) exclude: Vec<String>,
    /// The folder that the patterns start from.
    pub(crate) base: String,
    /// Whether folders are left out of the names.
    pub(crate) discard_paths: bool,
}

impl Buildspec {
    /// Reads a buildspec. The error says what is wrong with it, without CodeBuild's `YAML_FILE_ERROR:`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
        let [document] = documents.as_slice() else {
            return Err("the file must have one YAML document".to_owned());
        };
        let mut spec = Self {
            shell: "sh".to_owned(),
            ..Self::default()
        };
        let mut version = None;
        for (key, value) in members(document, "the buildspec")? {
            match key.as_str() {
                "version" => version = Some(text_of(value, "version")?),
                "env" => spec.read_env(value)?,
                "phases" => spec.read_phases(value)?,
                "artifacts" => spec.artifacts = Some(read_artifacts(value)?),
                // What is kept between builds; without it a build is only slower.
                "cache" | "reports" => {}
                other => return Err(format!("the local cloud does not know `{other}`")),
            }
        }
        match version.as_deref() {
            Some("0.2") => {}
            Some(version) => return Err(format!("version {version} is not supported, 0.2 is")),
            None => return Err("version is missing".to_owned()),
        }
        if spec.phases.is_empty() {
            return Err("phases is missing".to_owned());
        }
        Ok(spec)
    }

    fn read_env(&mut self, env: &Yaml<'_>) -> Result<(), String> {
        for (key, value) in members(env, "env")? {
            match key.as_str() {
                "shell" => match text_of(value, "env.shell")?.as_str() {
                    shell @ ("sh" | "bash") => shell.clone_into(&mut self.shell),
                    other => return Err(format!("env.shell: {other} is neither sh nor bash")),
                },
                "variables" => {
                    for (name, value) in members(value, "env.variables")? {
                        let value = text_of(value, &format!("env.variables.{name}"))?;
                        self.variables.insert(name, value);
                    }
                }
                other => return Err(format!("env: the local cloud does not know `{other}`")),
            }
        }
        Ok(())
    }

    fn read_phases(&mut self, phases: &Yaml<'_>) -> Result<(), String> {
        let mut found = BTreeMap::new();
        for (key, value) in members(phases, "phases")? {
            let Some(order) = PHASES.iter().position(|phase| **phase == key) else {
                return Err(format!("phases: there is no phase `{key}`, but {}", PHASES.join(", ")));
            };
            let mut phase = Phase {
                name: PHASES.get(order).copied().unwrap_or_default(),
                ..Phase::default()
            };
            for (key, value) in members(value, &key)? {
                let place = format!("phases.{}.{key}", phase.name);
                match key.as_str() {
                    "commands" => phase.commands = texts(value, &place)?,
                    "finally" => phase.finally = texts(value, &place)?,
                    "on-failure" => {
                        phase.carry_on = match text_of(value, &place)?.as_str() {
                            "ABORT" => false,
                            "CONTINUE" => true,
                            other => return Err(format!("{place}: {other} is neither ABORT nor CONTINUE")),
                        }
                    }
                    // The machine's own versions are what there is.
                    "runtime-versions" => {}
                    other => {
                        return Err(format!(
                            "phases.{}: the local cloud does not know `{other}`",
                            phase.name
                        ));
                    }
                }
            }
            found.insert(order, phase);
        }
        self.phases = found.into_values().collect();
        Ok(())
    }
}

fn read_artifacts(artifacts: &Yaml<'_>) -> Result<Artifacts, String> {
    let mut read = Artifacts::default();
    for (key, value) in members(artifacts, "artifacts")? {
        let place = format!("artifacts.{key}");
        match key.as_str() {
            "files" => read.files = texts(value, &place)?,
            "exclude-paths" => read.exclude = texts(value, &place)?,
            "base-directory" => read.base = text_of(value, &place)?,
            "discard-paths" => read.discard_paths = matches!(text_of(value, &place)?.as_str(), "yes" | "true"),
            // CodePipeline names artifacts itself.
            "name" => {}
            other => return Err(format!("artifacts: the local cloud does not know `{other}`")),
        }
    }
    if read.files.is_empty() {
        return Err("artifacts.files is missing".to_owned());
    }
    Ok(read)
}

/// Whether a path, with `/` between its parts, meets a pattern: `*` and `?` within a part, `**` for any number of parts.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern
        .trim_start_matches("./")
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let path: Vec<&str> = path.split('/').collect();
    // Whether each end of the path meets the pattern from here on; filled in from the pattern's end.
    let mut meets: Vec<bool> = (0..=path.len()).map(|at| at == path.len()).collect();
    for part in pattern.iter().rev() {
        let after = meets.clone();
        for at in (0..=path.len()).rev() {
            let rest = |at: usize| after.get(at).copied().unwrap_or(false);
            let met = if *part == "**" {
                rest(at) || meets.get(at + 1).copied().unwrap_or(false)
            } else {
                path.get(at).is_some_and(|name| part_matches(part, name)) && rest(at + 1)
            };
            if let Some(slot) = meets.get_mut(at) {
                *slot = met;
            }
        }
    }
    !pattern.is_empty() && meets.first().copied().unwrap_or(false)
}

fn part_matches(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let mut meets: Vec<bool> = (0..=name.len()).map(|at| at == name.len()).collect();
    for part in pattern.chars().rev() {
        let after = meets.clone();
        for at in (0..=name.len()).rev() {
            let rest = |at: usize| after.get(at).copied().unwrap_or(false);
            let met = match part {
                '*' => rest(at) || meets.get(at + 1).copied().unwrap_or(false),
                '?' => at < name.len() && rest(at + 1),
                letter => name.get(at) == Some(&letter) && rest(at + 1),
            };
            if let Some(slot) = meets.get_mut(at) {
                *slot = met;
            }
        }
    }
    meets.first().copied().unwrap_or(false)
}

fn members<'yaml>(node: &'yaml Yaml<'yaml>, place: &str) -> Result<Vec<(String, &'yaml Yaml<'yaml>)>, String> {
    let Some(mapping) = node.as_mapping() else {
        return Err(format!("{place} must be a map"));
    };
    mapping
        .iter()
        .map(|(key, value)| Ok((text_of(key, place)?, value)))
        .collect()
}

fn text_of(node: &Yaml<'_>, place: &str) -> Result<String, String> {
    if let Some(text) = node.as_str() {
        Ok(text.to_owned())
    } else if let Some(number) = node.as_integer() {
        Ok(number.to_string())
    } else if let Some(number) = node.as_floating_point() {
        Ok(number.to_string())
    } else if let Some(value) = node.as_bool() {
        Ok(value.to_string())
    } else {
        Err(format!("{place} must be a text"))
    }
}

fn texts(node: &Yaml<'_>, place: &str) -> Result<Vec<String>, String> {
    let Some(items) = node.as_sequence() else {
        return Err(format!("{place} must be a list"));
    };
    items.iter().map(|item| text_of(item, place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buildspec_is_read_whole() {
        let spec = Buildspec::parse(
            r#"
version: 0.2
env:
  shell: bash
  variables: {A: "1", B: 2, C: true}
phases:
  build: {commands: [make, "make test"], finally: [echo over]}
  install: {commands: [pip install x], on-failure: CONTINUE, runtime-versions: {python: 3.12}}
artifacts: {files: ['**/*'], base-directory: out, discard-paths: yes, exclude-paths: [a/*]}
"#,
        )
        .unwrap();
        assert_eq!(spec.shell, "bash");
        let variables: Vec<_> = spec
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(variables, ["A=1", "B=2", "C=true"]);
        let phases: Vec<_> = spec
            .phases
            .iter()
            .map(|phase| (phase.name, phase.commands.len(), phase.carry_on))
            .collect();
        assert_eq!(phases, [("install", 1, true), ("build", 2, false)]);
        assert_eq!(spec.phases[1].finally, ["echo over"]);
        let artifacts = spec.artifacts.unwrap();
        assert_eq!((artifacts.base.as_str(), artifacts.discard_paths), ("out", true));
        assert_eq!(artifacts.exclude, ["a/*"]);
    }

    #[test]
    fn the_repositorys_own_buildspec_is_understood() {
        let spec = Buildspec::parse(include_str!("../../../model-repository/buildspec.yml")).unwrap();
        assert_eq!(spec.phases.len(), 3);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let build = "phases: {build: {commands: [x]}}";
        for (text, expected) in [
            ("", "one YAML document"),
            ("[", ""),
            ("a", "the buildspec must be a map"),
            (build, "version is missing"),
            ("version: 0.1\nphases: {build: {commands: [x]}}", "version 0.1"),
            ("version: 0.2", "phases is missing"),
            ("version: 0.2\nphases: {deploy: {commands: [x]}}", "no phase `deploy`"),
            (
                "version: 0.2\nphases: {build: {commands: x}}",
                "phases.build.commands must be a list",
            ),
            (
                "version: 0.2\nphases: {build: {commands: [{a: b}]}}",
                "phases.build.commands must be a text",
            ),
            ("version: 0.2\nphases: {build: {run-as: x}}", "`run-as`"),
            ("version: 0.2\nenv: {shell: fish}", "fish"),
            ("version: 0.2\nenv: {parameter-store: {A: b}}", "`parameter-store`"),
            (
                "version: 0.2\nphases: {build: {commands: [x]}}\nartifacts: {name: x}",
                "artifacts.files",
            ),
            ("version: 0.2\nbatch: {}", "`batch`"),
        ] {
            let error = Buildspec::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, path, expected) in [
            ("**/*", "a", true),
            ("**/*", "a/b/c", true),
            ("*", "a", true),
            ("*", "a/b", false),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/**/*", "a/b/c", true),
            ("a/**/*", "b/c", false),
            ("**/*.py", "x/y/z.py", true),
            ("**/*.py", "z.pyc", false),
            ("train.py", "train.py", true),
            ("./train.py", "train.py", true),
            ("train.py", "a/train.py", false),
            ("t?ain.*", "train.py", true),
            ("", "a", false),
            ("**", "a/b", true),
            ("*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
