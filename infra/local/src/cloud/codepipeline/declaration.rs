//! A pipeline as the template declares it, read once into what the state machine runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::variables;
use crate::template::{Resource, TemplateError};

/// The longest value of an action's configuration, in characters.
pub(super) const CONFIGURATION_CHARS_MAX: usize = 1000;
/// The longest value of a variable, in characters; the shortest is one.
const VARIABLE_CHARS_MAX: usize = 1000;
/// The longest description of a variable, in characters.
const DESCRIPTION_CHARS_MAX: usize = 200;
/// How many variables a pipeline may have.
const VARIABLES_MAX: usize = 50;
/// The longest time that an action may be given, in minutes.
const TIMEOUT_MINUTES_MAX: u32 = 86_400;

/// How executions of a pipeline stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExecutionMode {
    /// They wait for each other before each stage, in order.
    Queued,
    /// A newer one replaces an older one that waits before a stage.
    Superseded,
}

impl ExecutionMode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Superseded => "SUPERSEDED",
        }
    }
}

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Takes the tip of a branch.
    CodeCommit,
    /// Runs a build.
    CodeBuild,
    /// Waits for a person.
    Approval,
    /// Invokes a function, which answers a job.
    Lambda,
}

impl Kind {
    fn of(category: &str, provider: &str) -> Option<Self> {
        match (category, provider) {
            ("Source", "CodeCommit") => Some(Self::CodeCommit),
            ("Build", "CodeBuild") => Some(Self::CodeBuild),
            ("Approval", "Manual") => Some(Self::Approval),
            ("Invoke", "Lambda") => Some(Self::Lambda),
            _ => None,
        }
    }

    pub(super) fn category(self) -> &'static str {
        match self {
            Self::CodeCommit => "Source",
            Self::CodeBuild => "Build",
            Self::Approval => "Approval",
            Self::Lambda => "Invoke",
        }
    }

    pub(super) fn provider(self) -> &'static str {
        match self {
            Self::CodeCommit => "CodeCommit",
            Self::CodeBuild => "CodeBuild",
            Self::Approval => "Manual",
            Self::Lambda => "Lambda",
        }
    }

    /// How long an action of the kind may take, in minutes, where the template does not say.
    fn default_timeout_minutes(self) -> u32 {
        match self {
            Self::CodeCommit => 60,
            Self::CodeBuild => 8 * 60,
            Self::Approval => 7 * 24 * 60,
            Self::Lambda => 24 * 60,
        }
    }

    /// The configuration that the kind must have, and what it may have besides.
    fn configuration(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::CodeCommit => (&["RepositoryName", "BranchName"], &["PollForSourceChanges"]),
            Self::CodeBuild => (&["ProjectName"], &["EnvironmentVariables"]),
            Self::Approval => (&[], &["NotificationArn", "CustomData", "ExternalEntityLink"]),
            Self::Lambda => (&["FunctionName"], &["UserParameters"]),
        }
    }

    /// How many input and output artifacts the kind takes: the least and the most of each.
    fn artifacts(self) -> ((usize, usize), (usize, usize)) {
        match self {
            Self::CodeCommit => ((0, 0), (1, 1)),
            // AWS takes more of each; nothing here would unpack them.
            Self::CodeBuild => ((1, 1), (0, 1)),
            Self::Approval => ((0, 0), (0, 0)),
            Self::Lambda => ((0, 5), (0, 5)),
        }
    }
}

/// A pipeline.
#[derive(Debug)]
pub(super) struct Declaration {
    pub(super) name: String,
    pub(super) role_arn: String,
    pub(super) mode: ExecutionMode,
    pub(super) bucket: String,
    /// The key of KMS that artifacts are encrypted with, where it is not the bucket's own, by id, ARN or alias.
    pub(super) key: Option<String>,
    pub(super) variables: Vec<Variable>,
    pub(super) stages: Vec<Stage>,
}

/// A variable of a pipeline.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) default: Option<String>,
}

/// A stage.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) actions: Vec<Action>,
}

/// An action.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) version: String,
    pub(super) namespace: Option<String>,
    pub(super) run_order: u32,
    pub(super) configuration: BTreeMap<String, String>,
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<String>,
    /// As the template has it.
    pub(super) declared_timeout: Option<u32>,
    pub(super) timeout_minutes: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Properties {
    name: String,
    pipeline_type: Option<String>,
    execution_mode: Option<String>,
    role_arn: String,
    artifact_store: StoreProperties,
    #[serde(default)]
    variables: Vec<VariableProperties>,
    stages: Vec<StageProperties>,
    // Tags change nothing here.
    #[serde(default, rename = "Tags")]
    _tags: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct StoreProperties {
    r#type: String,
    location: String,
    encryption_key: Option<KeyProperties>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct KeyProperties {
    id: String,
    r#type: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct VariableProperties {
    name: String,
    description: Option<String>,
    #[serde(default, deserialize_with = "optional_text")]
    default_value: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct StageProperties {
    name: String,
    actions: Vec<ActionProperties>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct ActionProperties {
    name: String,
    action_type_id: ActionType,
    namespace: Option<String>,
    #[serde(default, deserialize_with = "texts")]
    configuration: BTreeMap<String, String>,
    #[serde(default)]
    input_artifacts: Vec<Artifact>,
    #[serde(default)]
    output_artifacts: Vec<Artifact>,
    #[serde(default, deserialize_with = "optional_number")]
    run_order: Option<u32>,
    #[serde(default, deserialize_with = "optional_number")]
    timeout_in_minutes: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct ActionType {
    category: String,
    owner: String,
    provider: String,
    #[serde(deserialize_with = "text")]
    version: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Artifact {
    name: String,
}

/// What CloudFormation takes for a string: any scalar.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Bool(bool),
    Number(serde_json::Number),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Scalar::deserialize(from)?.into_text())
}

fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let scalars = BTreeMap::<String, Scalar>::deserialize(from)?;
    Ok(scalars
        .into_iter()
        .map(|(name, value)| (name, value.into_text()))
        .collect())
}

/// A string or any other scalar, or nothing.
pub(in crate::cloud) fn optional_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Scalar>::deserialize(from)?.map(Scalar::into_text))
}

/// A whole number, as a number or as the string that a parameter is, or nothing.
pub(in crate::cloud) fn optional_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let Some(text) = optional_text(from)? else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|_| serde::de::Error::custom(format!("`{text}` is not a whole number")))
}

impl Declaration {
    /// Reads a pipeline of the template, and checks of it what CodePipeline checks when it is created.
    pub(super) fn read(resource: &Resource) -> Result<Self, TemplateError> {
        let properties: Properties = resource.read()?;
        if !is_name(&properties.name, ".@-_") {
            return Err(resource.wrong(format!(
                "Name `{}` is not 1 to 100 of letters, digits and `.@-_`",
                properties.name
            )));
        }
        match properties.pipeline_type.as_deref() {
            Some("V2") => {}
            Some(other) => return Err(resource.unsupported(format!("PipelineType {other}"))),
            None => return Err(resource.unsupported("a pipeline without PipelineType V2")),
        }
        let mode = match properties.execution_mode.as_deref() {
            None | Some("SUPERSEDED") => ExecutionMode::Superseded,
            Some("QUEUED") => ExecutionMode::Queued,
            Some(other) => return Err(resource.unsupported(format!("ExecutionMode {other}"))),
        };
        if properties.artifact_store.r#type != "S3" {
            return Err(resource.unsupported(format!("ArtifactStore of Type {}", properties.artifact_store.r#type)));
        }
        let key = properties.artifact_store.encryption_key;
        if let Some(key) = key.as_ref().filter(|key| key.r#type != "KMS") {
            return Err(resource.unsupported(format!("an EncryptionKey of Type {}", key.r#type)));
        }
        let variables: Vec<Variable> = properties
            .variables
            .into_iter()
            .map(|variable| Variable {
                name: variable.name,
                description: variable.description,
                default: variable.default_value,
            })
            .collect();
        let mut names = BTreeSet::new();
        for variable in &variables {
            if !is_name(&variable.name, "@-_") || !names.insert(variable.name.as_str()) {
                return Err(resource.wrong(format!(
                    "the variable `{}` is badly named or there twice",
                    variable.name
                )));
            }
            let chars = |text: &Option<String>| text.as_ref().map(|text| text.chars().count());
            if chars(&variable.default).is_some_and(|count| !(1..=VARIABLE_CHARS_MAX).contains(&count)) {
                return Err(resource.wrong(format!(
                    "DefaultValue of the variable {} is not 1 to {VARIABLE_CHARS_MAX} characters",
                    variable.name
                )));
            }
            if chars(&variable.description).is_some_and(|count| count > DESCRIPTION_CHARS_MAX) {
                return Err(resource.wrong(format!(
                    "Description of the variable {} is longer than {DESCRIPTION_CHARS_MAX} characters",
                    variable.name
                )));
            }
        }
        if variables.len() > VARIABLES_MAX {
            return Err(resource.wrong(format!("a pipeline has at most {VARIABLES_MAX} variables")));
        }
        let mut declaration = Self {
            name: properties.name,
            role_arn: properties.role_arn,
            mode,
            bucket: properties.artifact_store.location,
            key: key.map(|key| key.id),
            variables,
            stages: Vec::new(),
        };
        for stage in properties.stages {
            let actions: Result<Vec<Action>, TemplateError> = stage
                .actions
                .into_iter()
                .map(|action| read_action(resource, &stage.name, action))
                .collect();
            declaration.stages.push(Stage {
                name: stage.name,
                actions: actions?,
            });
        }
        declaration.check(resource)?;
        Ok(declaration)
    }

    /// Checks what spans actions: order, names, artifacts, variables.
    fn check(&self, resource: &Resource) -> Result<(), TemplateError> {
        if self.stages.len() < 2 {
            return Err(resource.wrong("a pipeline has at least two stages"));
        }
        let mut stage_names = BTreeSet::new();
        let mut namespaces = BTreeSet::new();
        let mut made: BTreeSet<&str> = BTreeSet::new();
        for (index, stage) in self.stages.iter().enumerate() {
            if !is_name(&stage.name, ".@-_") || !stage_names.insert(&stage.name) {
                return Err(resource.wrong(format!("the stage `{}` is badly named or there twice", stage.name)));
            }
            if stage.actions.is_empty() {
                return Err(resource.wrong(format!("the stage {} has no action", stage.name)));
            }
            let mut in_order: Vec<&Action> = stage.actions.iter().collect();
            in_order.sort_by_key(|action| action.run_order);
            let mut action_names = BTreeSet::new();
            for action in in_order {
                let place = format!("the action {}/{}", stage.name, action.name);
                if !is_name(&action.name, ".@-_") || !action_names.insert(&action.name) {
                    return Err(resource.wrong(format!("{place} is badly named or there twice")));
                }
                if (action.kind == Kind::CodeCommit) != (index == 0) {
                    return Err(resource.wrong(format!(
                        "{place}: the first stage has the source actions, and only them"
                    )));
                }
                for input in &action.inputs {
                    if !made.contains(input.as_str()) {
                        return Err(resource.wrong(format!("{place}: no action before it makes the artifact {input}")));
                    }
                }
                for (key, value) in &action.configuration {
                    for reference in variables::references(value) {
                        let known = match reference.split_once('.') {
                            Some(("codepipeline", name)) => variables::EXECUTION.contains(&name),
                            Some(("variables", name)) => self.variables.iter().any(|variable| variable.name == name),
                            Some((namespace, _)) => namespaces.contains(namespace),
                            None => false,
                        };
                        if !known {
                            return Err(resource
                                .wrong(format!("{place}: {key} refers to #{{{reference}}}, which is not there")));
                        }
                    }
                }
                for output in &action.outputs {
                    if !made.insert(output) {
                        return Err(resource.wrong(format!("{place}: the artifact {output} is made twice")));
                    }
                }
                if let Some(namespace) = &action.namespace
                    && (!is_name(namespace, "@-_")
                        || matches!(namespace.as_str(), "codepipeline" | "variables")
                        || !namespaces.insert(namespace.as_str()))
                {
                    return Err(resource.wrong(format!("{place}: the namespace `{namespace}` is taken or badly named")));
                }
            }
        }
        Ok(())
    }

    /// `encryptionKey`, as the pipeline and the events of its jobs have it.
    pub(super) fn show_key(&self) -> Option<Value> {
        let key = self.key.as_ref()?;
        Some(json!({"id": key, "type": "KMS"}))
    }

    /// The pipeline as GetPipeline shows it.
    pub(super) fn show(&self) -> Value {
        let stages = self.stages.iter().map(|stage| {
            let actions: Vec<Value> = stage.actions.iter().map(Action::show).collect();
            json!({"name": stage.name, "actions": actions})
        });
        let mut store = json!({"type": "S3", "location": self.bucket});
        super::set(&mut store, "encryptionKey", self.show_key());
        let mut shown = json!({
            "name": self.name,
            "roleArn": self.role_arn,
            "artifactStore": store,
            "stages": stages.collect::<Vec<_>>(),
            "version": super::VERSION,
            "executionMode": self.mode.name(),
            "pipelineType": "V2",
        });
        if !self.variables.is_empty() {
            let variables = self.variables.iter().map(|variable| {
                let mut shown = json!({"name": variable.name});
                super::set(&mut shown, "description", variable.description.clone());
                super::set(&mut shown, "defaultValue", variable.default.clone());
                shown
            });
            super::set(&mut shown, "variables", Some(variables.collect::<Vec<_>>()));
        }
        shown
    }
}

impl Action {
    /// `actionTypeId`.
    pub(super) fn type_id(&self) -> Value {
        json!({
            "category": self.kind.category(), "owner": "AWS", "provider": self.kind.provider(), "version": self.version,
        })
    }

    fn show(&self) -> Value {
        let named = |names: &[String]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        let mut shown = json!({
            "name": self.name,
            "actionTypeId": self.type_id(),
            "runOrder": self.run_order,
            "configuration": self.configuration,
            "inputArtifacts": named(&self.inputs),
            "outputArtifacts": named(&self.outputs),
        });
        super::set(&mut shown, "namespace", self.namespace.clone());
        super::set(&mut shown, "timeoutInMinutes", self.declared_timeout);
        shown
    }
}

fn read_action(resource: &Resource, stage: &str, action: ActionProperties) -> Result<Action, TemplateError> {
    let place = format!("the action {stage}/{}", action.name);
    let id = action.action_type_id;
    let kind = Kind::of(&id.category, &id.provider).filter(|_| id.owner == "AWS" && id.version == "1");
    let kind = kind.ok_or_else(|| {
        let ActionType {
            category,
            owner,
            provider,
            version,
        } = &id;
        resource.unsupported(format!("{place} of type {category}/{owner}/{provider}/{version}"))
    })?;
    let (required, optional) = kind.configuration();
    for key in required {
        if action.configuration.get(*key).is_none_or(String::is_empty) {
            return Err(resource.wrong(format!("{place} has no {key}")));
        }
    }
    for (key, value) in &action.configuration {
        if !required.contains(&key.as_str()) && !optional.contains(&key.as_str()) {
            return Err(resource.unsupported(format!("{key} in the configuration of {place}")));
        }
        if value.is_empty() || value.chars().count() > CONFIGURATION_CHARS_MAX {
            return Err(resource.wrong(format!(
                "{place}: {key} is not 1 to {CONFIGURATION_CHARS_MAX} characters"
            )));
        }
    }
    // Polling would start executions without an event.
    if action
        .configuration
        .get("PollForSourceChanges")
        .is_some_and(|polls| polls != "false")
    {
        return Err(resource.unsupported(format!("PollForSourceChanges other than false in {place}")));
    }
    let names = |artifacts: Vec<Artifact>| artifacts.into_iter().map(|artifact| artifact.name).collect::<Vec<_>>();
    let (inputs, outputs) = (names(action.input_artifacts), names(action.output_artifacts));
    let (input_bounds, output_bounds) = kind.artifacts();
    for (what, count, (least, most)) in [
        ("input", inputs.len(), input_bounds),
        ("output", outputs.len(), output_bounds),
    ] {
        if count < least || count > most {
            return Err(resource.wrong(format!("{place} has {count} {what} artifacts, not {least} to {most}")));
        }
    }
    for name in inputs.iter().chain(&outputs) {
        if !is_name(name, "-_") {
            return Err(resource.wrong(format!(
                "{place}: the artifact's name `{name}` is not letters, digits, `-` and `_`"
            )));
        }
    }
    if let Some(minutes) = action.timeout_in_minutes
        && !(5..=TIMEOUT_MINUTES_MAX).contains(&minutes)
    {
        return Err(resource.wrong(format!(
            "{place}: TimeoutInMinutes {minutes} is not 5 to {TIMEOUT_MINUTES_MAX}"
        )));
    }
    let run_order = action.run_order.unwrap_or(1);
    if !(1..=999).contains(&run_order) {
        return Err(resource.wrong(format!("{place}: RunOrder {run_order} is not 1 to 999")));
    }
    Ok(Action {
        name: action.name,
        kind,
        version: id.version,
        namespace: action.namespace,
        run_order,
        configuration: action.configuration,
        inputs,
        outputs,
        declared_timeout: action.timeout_in_minutes,
        timeout_minutes: action
            .timeout_in_minutes
            .unwrap_or_else(|| kind.default_timeout_minutes()),
    })
}

fn is_name(name: &str, also: &str) -> bool {
    !name.is_empty() && name.len() <= 100 && name.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}
