//! A pipeline's definition: its steps, what they refer to, and what that resolves to.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{bucket_and_key, list_of, text, text_if_any};

/// A pipeline's definition, checked.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) parameters: Vec<Parameter>,
    /// Every step, those within conditions too, each after the condition that holds it.
    pub(super) steps: Vec<Step>,
}

/// A parameter of a pipeline.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    kind: String,
    default: Option<Value>,
    allowed: Vec<Value>,
}

/// A step of a pipeline.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) kind: StepKind,
    pub(super) arguments: Value,
    pub(super) display_name: Option<String>,
    pub(super) description: Option<String>,
    /// By name: the output that holds the file, and the file's path in it.
    property_files: BTreeMap<String, (String, String)>,
    /// The steps that must have succeeded before.
    pub(super) needs: BTreeSet<String>,
    /// The condition step that holds the step, and the outcome for which the step runs.
    pub(super) branch: Option<(String, bool)>,
}

/// The types of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    Processing,
    Training,
    Condition,
    RegisterModel,
    Fail,
}

impl StepKind {
    const ALL: [Self; 5] = [
        Self::Processing,
        Self::Training,
        Self::Condition,
        Self::RegisterModel,
        Self::Fail,
    ];

    /// The type's name in a definition.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Processing => "Processing",
            Self::Training => "Training",
            Self::Condition => "Condition",
            Self::RegisterModel => "RegisterModel",
            Self::Fail => "Fail",
        }
    }

    /// The arguments without which SageMaker could not make what the step makes.
    fn required(self) -> &'static [&'static str] {
        match self {
            Self::Processing => &["AppSpecification", "ProcessingResources"],
            Self::Training => &["AlgorithmSpecification", "OutputDataConfig", "ResourceConfig"],
            Self::Condition => &["Conditions"],
            Self::RegisterModel => &["ModelPackageGroupName", "InferenceSpecification"],
            Self::Fail => &["ErrorMessage"],
        }
    }
}

const EXECUTION_VARIABLES: [&str; 7] = [
    "CurrentDateTime",
    "PipelineArn",
    "PipelineExecutionArn",
    "PipelineExecutionId",
    "PipelineName",
    "RoleArn",
    "StartDateTime",
];

impl Definition {
    /// Reads and checks a definition. The error says what is wrong, and where.
    pub(super) fn parse(source: &str) -> Result<Self, String> {
        let source: Value = serde_json::from_str(source).map_err(|error| format!("it is not JSON: {error}"))?;
        check_members(
            &source,
            &["Version", "Metadata", "Parameters", "PipelineExperimentConfig", "Steps"],
            "the definition",
        )?;
        match source.get("Version").and_then(Value::as_str) {
            Some("2020-12-01") => {}
            Some(version) => return Err(format!("Version `{version}` is not supported, only `2020-12-01`")),
            None => return Err("Version is missing".to_owned()),
        }
        let mut parameters: Vec<Parameter> = Vec::new();
        for parameter in list_of(&source, "Parameters") {
            let parameter = Parameter::parse(parameter)?;
            if parameters.iter().any(|other| other.name == parameter.name) {
                return Err(format!("parameter name `{}` is not unique", parameter.name));
            }
            parameters.push(parameter);
        }
        if !source.get("Steps").is_some_and(Value::is_array) {
            return Err("Steps is missing".to_owned());
        }
        let mut steps = Vec::new();
        add_steps(&mut steps, list_of(&source, "Steps"), None)?;
        if steps.is_empty() {
            return Err("it has no steps".to_owned());
        }
        let mut definition = Self { parameters, steps };
        definition.check_references()?;
        definition.check_order()?;
        Ok(definition)
    }

    /// The step of a name.
    pub(super) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Checks what the steps refer to, and adds it to what they need.
    fn check_references(&mut self) -> Result<(), String> {
        let mut found = Vec::new();
        for step in &self.steps {
            let mut references = Vec::new();
            collect(&step.own_arguments(), &mut references);
            let mut needs = step.needs.clone();
            for reference in &references {
                if let Some(other) = self
                    .check_reference(reference)
                    .map_err(|reason| format!("step `{}`: {reason}", step.name))?
                {
                    needs.insert(other);
                }
            }
            for other in &step.needs {
                if self.step(other).is_none() {
                    return Err(format!(
                        "step `{}` depends on step `{other}`, which does not exist",
                        step.name
                    ));
                }
            }
            if needs.contains(&step.name) {
                return Err(format!("step `{}` depends on itself", step.name));
            }
            found.push(needs);
        }
        for (step, needs) in self.steps.iter_mut().zip(found) {
            step.needs = needs;
        }
        Ok(())
    }

    /// Checks one reference; returns the step that it names, if it names one.
    fn check_reference(&self, reference: &str) -> Result<Option<String>, String> {
        let mut parts = reference.splitn(3, '.');
        let (kind, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let rest = parts.next();
        match kind {
            "Parameters" => match self.parameters.iter().any(|parameter| parameter.name == name) {
                true => Ok(None),
                false => Err(format!(
                    "`{reference}` refers to parameter `{name}`, which does not exist"
                )),
            },
            "Execution" => match EXECUTION_VARIABLES.contains(&name) && rest.is_none() {
                true => Ok(None),
                false => Err(format!("`{reference}` is not a variable of an execution")),
            },
            "Steps" => {
                let Some(step) = self.step(name) else {
                    return Err(format!("`{reference}` refers to step `{name}`, which does not exist"));
                };
                let Some(rest) = rest else {
                    return Err(format!("`{reference}` names no property of step `{name}`"));
                };
                if parse_path(rest).is_none() {
                    return Err(format!("`{reference}` is not a path"));
                }
                if let Some(file) = rest.strip_prefix("PropertyFiles.")
                    && !step.property_files.contains_key(file)
                {
                    return Err(format!(
                        "`{reference}` refers to property file `{file}`, which step `{name}` does not have"
                    ));
                }
                Ok(Some(name.to_owned()))
            }
            _ => Err(format!(
                "`{reference}` refers to neither Parameters, Steps nor Execution"
            )),
        }
    }

    /// Checks that the steps can be brought into an order.
    fn check_order(&self) -> Result<(), String> {
        let mut done: BTreeSet<&str> = BTreeSet::new();
        loop {
            let before = done.len();
            for step in &self.steps {
                let held = step
                    .branch
                    .as_ref()
                    .is_none_or(|(condition, _)| done.contains(condition.as_str()));
                if held && step.needs.iter().all(|other| done.contains(other.as_str())) {
                    done.insert(&step.name);
                }
            }
            if done.len() == before {
                break;
            }
        }
        match self.steps.iter().find(|step| !done.contains(step.name.as_str())) {
            Some(step) => Err(format!("step `{}` is part of a cycle", step.name)),
            None => Ok(()),
        }
    }

    /// The parameters of an execution, from those that were passed and the defaults.
    pub(super) fn parameters(&self, passed: &BTreeMap<String, String>) -> Result<BTreeMap<String, Value>, String> {
        if let Some(name) = passed
            .keys()
            .find(|name| !self.parameters.iter().any(|known| known.name == **name))
        {
            return Err(format!("the pipeline has no parameter `{name}`"));
        }
        let mut values = BTreeMap::new();
        for parameter in &self.parameters {
            let value = match (passed.get(&parameter.name), &parameter.default) {
                (Some(text), _) => parameter.value(text)?,
                (None, Some(default)) => default.clone(),
                (None, None) => {
                    return Err(format!(
                        "parameter `{}` has no default and was not passed",
                        parameter.name
                    ));
                }
            };
            values.insert(parameter.name.clone(), value);
        }
        Ok(values)
    }
}

impl Parameter {
    fn parse(source: &Value) -> Result<Self, String> {
        check_members(source, &["Name", "Type", "DefaultValue", "EnumValues"], "a parameter")?;
        let name = text(source, "Name").to_owned();
        if name.is_empty() {
            return Err("a parameter has no Name".to_owned());
        }
        let kind = text(source, "Type").to_owned();
        if !["String", "Integer", "Float", "Boolean"].contains(&kind.as_str()) {
            return Err(format!("parameter `{name}` has the unknown type `{kind}`"));
        }
        let parameter = Self {
            allowed: list_of(source, "EnumValues").cloned().collect(),
            default: source.get("DefaultValue").filter(|default| !default.is_null()).cloned(),
            name,
            kind,
        };
        if let Some(default) = &parameter.default {
            parameter.value(&as_text(default))?;
        }
        Ok(parameter)
    }

    /// The value that a passed text stands for.
    fn value(&self, text: &str) -> Result<Value, String> {
        let value = match self.kind.as_str() {
            "Integer" => text.parse::<i64>().ok().map(Value::from),
            "Float" => text
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .map(Value::from),
            "Boolean" => text.to_lowercase().parse::<bool>().ok().map(Value::from),
            _ => Some(Value::from(text)),
        };
        let Some(value) = value else {
            return Err(format!(
                "`{text}` is not a value for parameter `{}` of type {}",
                self.name, self.kind
            ));
        };
        if !self.allowed.is_empty() && !self.allowed.iter().any(|allowed| equal(allowed, &value)) {
            return Err(format!(
                "`{text}` is not among the values that parameter `{}` allows",
                self.name
            ));
        }
        Ok(value)
    }
}

impl Step {
    fn parse(source: &Value, branch: Option<(String, bool)>) -> Result<Self, String> {
        let name = text(source, "Name").to_owned();
        if name.is_empty() {
            return Err("a step has no Name".to_owned());
        }
        let kind = text(source, "Type");
        let Some(kind) = StepKind::ALL.into_iter().find(|known| known.name() == kind) else {
            return Err(format!(
                "step `{name}` has the type `{kind}`, which the local cloud does not understand"
            ));
        };
        let known = [
            "Name",
            "Type",
            "Arguments",
            "DependsOn",
            "DisplayName",
            "Description",
            "PropertyFiles",
            "CacheConfig",
            // For errors of the service, which the local cloud has none of.
            "RetryPolicies",
        ];
        check_members(source, &known, &format!("step `{name}`"))?;
        if source.pointer("/CacheConfig/Enabled").and_then(Value::as_bool) == Some(true) {
            return Err(format!(
                "step `{name}` has a cache, which the local cloud does not understand"
            ));
        }
        let arguments = source.get("Arguments").cloned().unwrap_or_else(|| json!({}));
        if let Some(missing) = kind.required().iter().find(|member| arguments.get(**member).is_none()) {
            return Err(format!(
                "step `{name}` of type {} has no `{missing}` among its Arguments",
                kind.name()
            ));
        }
        let mut property_files = BTreeMap::new();
        for file in list_of(source, "PropertyFiles") {
            let output = text(file, "OutputName");
            let mut outputs = arguments
                .pointer("/ProcessingOutputConfig/Outputs")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            if !outputs.any(|known| text(known, "OutputName") == output) {
                return Err(format!(
                    "property file `{}` of step `{name}` is in output `{output}`, which the step does not have",
                    text(file, "PropertyFileName")
                ));
            }
            let place = (output.to_owned(), text(file, "FilePath").to_owned());
            property_files.insert(text(file, "PropertyFileName").to_owned(), place);
        }
        Ok(Self {
            needs: list_of(source, "DependsOn").map(as_text).collect(),
            display_name: text_if_any(source, "DisplayName"),
            description: text_if_any(source, "Description"),
            name,
            kind,
            arguments,
            property_files,
            branch,
        })
    }

    /// The arguments without the steps that a condition holds.
    fn own_arguments(&self) -> Value {
        match self.kind {
            StepKind::Condition => self.arguments.get("Conditions").cloned().unwrap_or_default(),
            _ => self.arguments.clone(),
        }
    }
}

fn add_steps<'a>(
    steps: &mut Vec<Step>,
    sources: impl Iterator<Item = &'a Value>,
    branch: Option<(String, bool)>,
) -> Result<(), String> {
    for source in sources {
        let step = Step::parse(source, branch.clone())?;
        if steps.iter().any(|other| other.name == step.name) {
            return Err(format!("step name `{}` is not unique", step.name));
        }
        let (name, kind, arguments) = (step.name.clone(), step.kind, step.arguments.clone());
        steps.push(step);
        if kind == StepKind::Condition {
            for condition in list_of(&arguments, "Conditions") {
                check_condition(condition).map_err(|reason| format!("step `{name}`: {reason}"))?;
            }
            add_steps(steps, list_of(&arguments, "IfSteps"), Some((name.clone(), true)))?;
            add_steps(steps, list_of(&arguments, "ElseSteps"), Some((name, false)))?;
        }
    }
    Ok(())
}

fn check_members(source: &Value, known: &[&str], place: &str) -> Result<(), String> {
    let Some(members) = source.as_object() else {
        return Err(format!("{place} is not an object"));
    };
    match members.keys().find(|member| !known.contains(&member.as_str())) {
        Some(member) => Err(format!(
            "{place} has `{member}`, which the local cloud does not understand"
        )),
        None => Ok(()),
    }
}

fn check_condition(condition: &Value) -> Result<(), String> {
    let kind = text(condition, "Type");
    let members: &[&str] = match kind {
        "Equals" | "GreaterThan" | "GreaterThanOrEqualTo" | "LessThan" | "LessThanOrEqualTo" => {
            &["LeftValue", "RightValue"]
        }
        "In" => &["QueryValue", "Values"],
        "Not" => &["Expression"],
        "Or" => &["Conditions"],
        _ => return Err(format!("condition type `{kind}` is unknown")),
    };
    if let Some(missing) = members.iter().find(|member| condition.get(**member).is_none()) {
        return Err(format!("a condition of type {kind} has no `{missing}`"));
    }
    if let Some(inner) = condition.get("Expression") {
        check_condition(inner)?;
    }
    list_of(condition, "Conditions").try_for_each(check_condition)
}

/// The references within a value.
fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => match members.get("Get").and_then(Value::as_str) {
            Some(reference) if members.len() == 1 => references.push(reference.to_owned()),
            _ => members.values().for_each(|member| collect(member, references)),
        },
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, references)),
        _ => {}
    }
}

/// What references resolve to.
pub(super) struct Scope<'a> {
    pub(super) definition: &'a Definition,
    pub(super) parameters: &'a BTreeMap<String, Value>,
    /// The variables of the execution.
    pub(super) execution: BTreeMap<&'static str, String>,
    /// What the steps that have succeeded are described as.
    pub(super) steps: BTreeMap<String, Value>,
    /// Reads an object, by bucket and key.
    pub(super) read: &'a dyn Fn(&str, &str) -> Option<Bytes>,
}

impl Scope<'_> {
    /// The value with everything in it resolved.
    pub(super) fn resolve(&self, value: &Value) -> Result<Value, String> {
        match value {
            Value::Array(elements) => elements.iter().map(|element| self.resolve(element)).collect(),
            Value::Object(members) => {
                if let (1, Some((function, argument))) = (members.len(), members.iter().next()) {
                    match function.as_str() {
                        "Get" => return self.get(argument.as_str().unwrap_or_default()),
                        "Std:Join" => return self.join(argument),
                        "Std:JsonGet" => return self.json_get(argument),
                        _ => {}
                    }
                }
                let resolved = members
                    .iter()
                    .map(|(name, member)| Ok((name.clone(), self.resolve(member)?)));
                Ok(Value::Object(resolved.collect::<Result<Map<_, _>, String>>()?))
            }
            other => Ok(other.clone()),
        }
    }

    fn get(&self, reference: &str) -> Result<Value, String> {
        let missing = || format!("`{reference}` has no value");
        let mut parts = reference.splitn(3, '.');
        let (kind, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match kind {
            "Parameters" => self.parameters.get(name).cloned().ok_or_else(missing),
            "Execution" => self.execution.get(name).cloned().map(Value::from).ok_or_else(missing),
            _ => {
                let step = self.steps.get(name).ok_or_else(missing)?;
                let path = parse_path(parts.next().unwrap_or_default()).ok_or_else(missing)?;
                look_up(step, &path).cloned().ok_or_else(missing)
            }
        }
    }

    fn join(&self, argument: &Value) -> Result<Value, String> {
        let values = self.resolve(argument.get("Values").unwrap_or(&Value::Null))?;
        let values: Vec<String> = values.as_array().into_iter().flatten().map(as_text).collect();
        Ok(Value::from(values.join(text(argument, "On"))))
    }

    fn json_get(&self, argument: &Value) -> Result<Value, String> {
        let uri = match argument.get("PropertyFile") {
            Some(file) => self.property_file(file)?,
            None => as_text(&self.resolve(argument.get("S3Uri").unwrap_or(&Value::Null))?),
        };
        let path = as_text(&self.resolve(argument.get("Path").unwrap_or(&Value::Null))?);
        let content = bucket_and_key(&uri).and_then(|(bucket, key)| (self.read)(bucket, key));
        let Some(content) = content else {
            return Err(format!("ClientError: JsonGet: there is no property file at {uri}"));
        };
        let content: Value = serde_json::from_slice(&content)
            .map_err(|error| format!("ClientError: JsonGet: the property file at {uri} is not JSON: {error}"))?;
        let segments = parse_path(&path)
            .ok_or_else(|| format!("ClientError: JsonGet: `{path}` is not a path into a property file"))?;
        match look_up(&content, &segments) {
            Some(found @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => Ok(found.clone()),
            Some(_) => Err(format!(
                "ClientError: JsonGet: what the property file at {uri} has at `{path}` is neither a number, a string nor a boolean"
            )),
            None => Err(format!(
                "ClientError: JsonGet: the property file at {uri} has nothing at `{path}`"
            )),
        }
    }

    /// Where a property file is.
    fn property_file(&self, file: &Value) -> Result<String, String> {
        let reference = text(file, "Get");
        let named = reference
            .strip_prefix("Steps.")
            .and_then(|rest| rest.split_once(".PropertyFiles."));
        let Some((step, file)) = named else {
            return Err(format!("`{reference}` is not a property file"));
        };
        let known = self
            .definition
            .step(step)
            .and_then(|known| known.property_files.get(file));
        let missing = || format!("`{reference}` has no value");
        let (output, path) = known.ok_or_else(missing)?;
        let output = self.get(&format!(
            "Steps.{step}.ProcessingOutputConfig.Outputs['{output}'].S3Output.S3Uri"
        ))?;
        Ok(format!("{}/{path}", as_text(&output).trim_end_matches('/')))
    }

    /// Whether a condition holds.
    pub(super) fn holds(&self, condition: &Value) -> Result<bool, String> {
        let member = |name: &str| self.resolve(condition.get(name).unwrap_or(&Value::Null));
        let kind = text(condition, "Type");
        match kind {
            "Not" => Ok(!self.holds(condition.get("Expression").unwrap_or(&Value::Null))?),
            "Or" => {
                let all: Vec<bool> = list_of(condition, "Conditions")
                    .map(|inner| self.holds(inner))
                    .collect::<Result<_, _>>()?;
                Ok(all.contains(&true))
            }
            "In" => {
                let (query, values) = (member("QueryValue")?, member("Values")?);
                Ok(values
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|value| equal(value, &query)))
            }
            "Equals" => Ok(equal(&member("LeftValue")?, &member("RightValue")?)),
            _ => {
                let (left, right) = (member("LeftValue")?, member("RightValue")?);
                let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) else {
                    return Err(format!(
                        "ClientError: a condition of type {kind} compares {left} with {right}, which are not both numbers"
                    ));
                };
                Ok(match kind {
                    "GreaterThan" => left > right,
                    "GreaterThanOrEqualTo" => left >= right,
                    "LessThan" => left < right,
                    _ => left <= right,
                })
            }
        }
    }
}

/// Equal, where `1` and `1.0` are.
fn equal(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// The value as a string is wanted: strings as they are, everything else as JSON.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// One step on the way into a JSON value.
#[derive(Debug, PartialEq)]
enum Segment {
    Name(String),
    Index(usize),
}

/// Reads `metrics.accuracy`, `Outputs['train'].S3Output`, `classes[0].f1`.
fn parse_path(path: &str) -> Option<Vec<Segment>> {
    let mut rest = path.strip_prefix("$.").unwrap_or(path);
    let mut segments = Vec::new();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let quote = inner.chars().next().filter(|first| matches!(first, '\'' | '"'));
            match quote {
                Some(quote) => {
                    let (name, after) = inner.get(1..)?.split_once(quote)?;
                    segments.push(Segment::Name(name.to_owned()));
                    rest = after.strip_prefix(']')?;
                }
                None => {
                    let (index, after) = inner.split_once(']')?;
                    segments.push(Segment::Index(index.parse().ok()?));
                    rest = after;
                }
            }
            if let Some(after) = rest.strip_prefix('.') {
                rest = Some(after).filter(|after| !after.is_empty())?;
            }
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() {
                return None;
            }
            segments.push(Segment::Name(name.to_owned()));
            rest = match after.strip_prefix('.') {
                Some(after) => Some(after).filter(|after| !after.is_empty())?,
                None => after,
            };
        }
    }
    (!segments.is_empty()).then_some(segments)
}

/// Follows a path. A list of SageMaker's is looked through by the names of its elements.
fn look_up<'a>(value: &'a Value, path: &[Segment]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| match (segment, value) {
        (Segment::Name(name), Value::Object(members)) => members.get(name),
        (Segment::Name(name), Value::Array(elements)) => elements.iter().find(|element| {
            let names = ["OutputName", "InputName", "ChannelName", "MetricName"];
            names.iter().any(|member| text(element, member) == name)
        }),
        (Segment::Index(index), Value::Array(elements)) => elements.get(*index),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(steps: Value) -> Value {
        json!({
            "Version": "2020-12-01",
            "Parameters": [
                {"Name": "Threshold", "Type": "Float", "DefaultValue": 0.85},
                {"Name": "Count", "Type": "Integer"},
                {"Name": "Mode", "Type": "String", "DefaultValue": "fast", "EnumValues": ["fast", "full"]},
            ],
            "Steps": steps,
        })
    }

    fn fail(name: &str, message: Value) -> Value {
        json!({"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}})
    }

    #[test]
    fn a_wrong_definition_is_refused_by_what_is_wrong() {
        let condition = |inner: Value| {
            json!({"Name": "C", "Type": "Condition", "Arguments":
            {"Conditions": [inner], "IfSteps": [fail("A", json!("x"))], "ElseSteps": []}})
        };
        let with_file = json!({"Name": "E", "Type": "Processing", "Arguments": {"AppSpecification": {}, "ProcessingResources": {}},
            "PropertyFiles": [{"PropertyFileName": "R", "OutputName": "nowhere", "FilePath": "r.json"}]});
        let mut depends = fail("A", json!("x"));
        depends["DependsOn"] = json!(["B"]);
        let mut cached = fail("A", json!("x"));
        cached["CacheConfig"] = json!({"Enabled": true});
        for (steps, expected) in [
            (json!([]), "no steps"),
            (
                json!([{"Name": "T", "Type": "Tuning"}]),
                "step `T` has the type `Tuning`",
            ),
            (
                json!([{"Name": "T", "Type": "Training", "Arguments": {}}]),
                "no `AlgorithmSpecification`",
            ),
            (
                json!([fail("A", json!("x")), fail("A", json!("y"))]),
                "step name `A` is not unique",
            ),
            (
                json!([
                    fail("A", json!("x")),
                    condition(json!({"Type": "Equals", "LeftValue": 1, "RightValue": 1}))
                ]),
                "`A` is not unique",
            ),
            (
                json!([fail("A", json!({"Get": "Parameters.Nope"}))]),
                "parameter `Nope`, which does not exist",
            ),
            (
                json!([fail("A", json!({"Get": "Steps.B.X"}))]),
                "step `B`, which does not exist",
            ),
            (json!([fail("A", json!({"Get": "Steps.A.X"}))]), "depends on itself"),
            (
                json!([fail("A", json!({"Get": "Execution.Colour"}))]),
                "not a variable of an execution",
            ),
            (
                json!([fail("A", json!({"Get": "Nothing.Here"}))]),
                "neither Parameters, Steps nor Execution",
            ),
            (json!([depends.clone()]), "depends on step `B`"),
            (json!([depends, fail("B", json!({"Get": "Steps.A.X"}))]), "cycle"),
            (json!([cached]), "has a cache"),
            (json!([with_file]), "output `nowhere`"),
            (
                json!([condition(json!({"Type": "Roughly"}))]),
                "condition type `Roughly` is unknown",
            ),
            (
                json!([condition(json!({"Type": "In", "QueryValue": 1}))]),
                "has no `Values`",
            ),
        ] {
            let found = Definition::parse(&definition(steps.clone()).to_string()).unwrap_err();
            assert!(found.contains(expected), "{found:?} does not say {expected:?}");
        }
        for (source, expected) in [
            ("{", "not JSON"),
            ("[]", "not an object"),
            (r#"{"Version": "2019-01-01"}"#, "`2019-01-01` is not supported"),
            (r#"{"Version": "2020-12-01", "Extra": 1}"#, "`Extra`"),
        ] {
            let found = Definition::parse(source).unwrap_err();
            assert!(found.contains(expected), "{found:?} does not say {expected:?}");
        }
    }

    #[test]
    fn parameters_are_typed() {
        let definition = Definition::parse(&definition(json!([fail("A", json!("x"))])).to_string()).unwrap();
        for (passed, expected) in [
            (
                &[("Count", "3")][..],
                Ok(json!({"Count": 3, "Mode": "fast", "Threshold": 0.85})),
            ),
            (
                &[("Count", "3"), ("Threshold", "0.5"), ("Mode", "full")],
                Ok(json!({"Count": 3, "Mode": "full", "Threshold": 0.5})),
            ),
            (&[], Err("parameter `Count` has no default")),
            (
                &[("Count", "three")],
                Err("`three` is not a value for parameter `Count` of type Integer"),
            ),
            (
                &[("Count", "3"), ("Mode", "slow")],
                Err("`slow` is not among the values"),
            ),
            (&[("Count", "3"), ("Colour", "red")], Err("no parameter `Colour`")),
        ] {
            let passed = passed
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            match (definition.parameters(&passed), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(json!(found), expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found:?} does not say {expected:?}"),
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn paths_are_followed() {
        let value = json!({"a": {"b": [1, {"c": 2}]}, "Outputs": [{"OutputName": "x.y", "U": 3}]});
        for (path, expected) in [
            ("a.b[0]", Some(json!(1))),
            ("$.a.b[1].c", Some(json!(2))),
            ("a['b'][1]['c']", Some(json!(2))),
            ("Outputs['x.y'].U", Some(json!(3))),
            ("Outputs[\"x.y\"].U", Some(json!(3))),
            ("a.nothing", None),
            ("a.b[9]", None),
            ("a..b", None),
            ("a.", None),
            ("a[", None),
            ("", None),
        ] {
            let found = parse_path(path).and_then(|segments| look_up(&value, &segments).cloned());
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn conditions_hold_or_not_or_say_why_they_cannot_be_told() {
        let definition = Definition::parse(&definition(json!([fail("A", json!("x"))])).to_string()).unwrap();
        let parameters = definition
            .parameters(&BTreeMap::from([("Count".to_owned(), "3".to_owned())]))
            .unwrap();
        let scope = Scope {
            definition: &definition,
            parameters: &parameters,
            execution: BTreeMap::from([("PipelineName", "p".to_owned())]),
            steps: BTreeMap::new(),
            read: &|_, key| (key == "m.json").then(|| Bytes::from_static(br#"{"acc": 0.9, "list": []}"#)),
        };
        let metric = |path: &str| json!({"Std:JsonGet": {"S3Uri": "s3://b/m.json", "Path": path}});
        let count = json!({"Get": "Parameters.Count"});
        for (condition, expected) in [
            (
                json!({"Type": "GreaterThan", "LeftValue": metric("acc"), "RightValue": {"Get": "Parameters.Threshold"}}),
                Ok(true),
            ),
            (
                json!({"Type": "GreaterThan", "LeftValue": 3, "RightValue": count}),
                Ok(false),
            ),
            (
                json!({"Type": "GreaterThanOrEqualTo", "LeftValue": 3.0, "RightValue": count}),
                Ok(true),
            ),
            (
                json!({"Type": "LessThan", "LeftValue": 3, "RightValue": count}),
                Ok(false),
            ),
            (
                json!({"Type": "LessThanOrEqualTo", "LeftValue": 3, "RightValue": count}),
                Ok(true),
            ),
            (
                json!({"Type": "Equals", "LeftValue": 3.0, "RightValue": count}),
                Ok(true),
            ),
            (
                json!({"Type": "Equals", "LeftValue": {"Std:Join": {"On": "/", "Values": ["a", {"Get": "Execution.PipelineName"}, 1]}},
                "RightValue": "a/p/1"}),
                Ok(true),
            ),
            (
                json!({"Type": "In", "QueryValue": {"Get": "Parameters.Mode"}, "Values": ["slow", "full"]}),
                Ok(false),
            ),
            (
                json!({"Type": "Not", "Expression": {"Type": "Equals", "LeftValue": "a", "RightValue": "b"}}),
                Ok(true),
            ),
            (
                json!({"Type": "Or", "Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 2},
                {"Type": "Equals", "LeftValue": 2, "RightValue": 2}]}),
                Ok(true),
            ),
            (
                json!({"Type": "LessThan", "LeftValue": "a", "RightValue": 1}),
                Err("not both numbers"),
            ),
            (
                json!({"Type": "LessThan", "LeftValue": metric("nope"), "RightValue": 1}),
                Err("has nothing at `nope`"),
            ),
            (
                json!({"Type": "LessThan", "LeftValue": metric("list"), "RightValue": 1}),
                Err("neither a number"),
            ),
            (
                json!({"Type": "LessThan", "LeftValue": {"Std:JsonGet": {"S3Uri": "s3://b/x", "Path": "a"}}, "RightValue": 1}),
                Err("no property file at s3://b/x"),
            ),
        ] {
            match (scope.holds(&condition), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{condition}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found:?} does not say {expected:?}"),
                (found, expected) => panic!("{condition}: {found:?} instead of {expected:?}"),
            }
        }
    }
}
