//! A pipeline definition as the repository has it, made ready for SageMaker.
//!
//! The data scientists' definition declares parameters; what they are (bucket, role, image, threshold) is the stack's business and
//! is written in as default values, so that an execution that anybody starts, from Studio for one, has them too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// The version of the definition's schema that SageMaker takes.
pub const SCHEMA_VERSION: &str = "2020-12-01";
/// The largest definition that UpdatePipeline takes, in bytes.
pub const DEFINITION_BYTES_MAX: usize = 1_048_576;
/// The parameters of the data window, declared in every definition, so that whoever starts it may give them: since when and until when
/// data counts as new, RFC 3339, empty where that is not known.
pub const WINDOW_PARAMETERS: [&str; 2] = ["DataFrom", "DataUntil"];
/// The file's name in the repository.
pub const FILE_NAME: &str = "pipeline-definition.json";

/// What the stack writes into a definition, by the parameter's name.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// `RoleArn`: the role of the jobs.
    pub role_arn: String,
    /// `ImageUri`: the image of the jobs and of the model.
    pub image_uri: String,
    /// `InstanceType`: what the jobs run on.
    pub instance_type: String,
    /// `CodeUri`: where the scripts are, `s3://…/`.
    pub code_uri: String,
    /// `DataUri`: where the training data is, `s3://…/`.
    pub data_uri: String,
    /// `ArtifactUri`: below which the jobs write, `s3://…` without a slash at its end.
    pub artifact_uri: String,
    /// `AccuracyThreshold`: a model is registered only above it.
    pub accuracy_threshold: f64,
    /// `ModelPackageGroupName`: where it is registered.
    pub model_package_group_name: String,
}

/// Why a definition can't be used. All of them are for the author of the commit to mend.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// Not JSON.
    #[error("{FILE_NAME} is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but not a definition.
    #[error("{FILE_NAME}: {0}")]
    Wrong(String),
}

/// Writes the stack's values into the definition's parameters.
///
/// # Errors
/// Where it is no definition, has another schema version, or lacks a parameter without which the stack's policy would not bind it.
pub fn prepare(text: &str, defaults: &Defaults) -> Result<String, DefinitionError> {
    let wrong = |what: &str| DefinitionError::Wrong(what.to_owned());
    let mut definition: Value = serde_json::from_str(text).map_err(DefinitionError::NotJson)?;
    let members = definition.as_object_mut().ok_or_else(|| wrong("not a JSON object"))?;
    let version = members.get("Version").and_then(Value::as_str).unwrap_or_default();
    if version != SCHEMA_VERSION {
        return Err(DefinitionError::Wrong(format!(
            "`Version` is `{version}`; write `{SCHEMA_VERSION}`"
        )));
    }
    if members.get("Steps").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        return Err(wrong("`Steps` is missing or empty"));
    }
    let parameters = members.get_mut("Parameters").and_then(Value::as_array_mut);
    let parameters =
        parameters.ok_or_else(|| wrong("`Parameters` is missing; declare AccuracyThreshold and the others there"))?;
    let (mut values, mut declared) = (defaults.by_name(), BTreeSet::new());
    for parameter in parameters.iter_mut().filter_map(Value::as_object_mut) {
        let name = parameter
            .get("Name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if !declared.insert(name.clone()) {
            // Only one of them would be bound by the stack's policy, and which one a step means is not ours to say.
            return Err(DefinitionError::Wrong(format!("parameter `{name}` is declared twice")));
        }
        if let Some(value) = values.remove(name.as_str()) {
            parameter.insert("DefaultValue".to_owned(), value);
        } else if !parameter.contains_key("DefaultValue") {
            let reason =
                format!("parameter `{name}` is none that the train fills in, so that it needs a `DefaultValue`");
            return Err(DefinitionError::Wrong(reason));
        }
    }
    for name in ["AccuracyThreshold", "ModelPackageGroupName"] {
        if values.contains_key(name) {
            let reason = format!(
                "parameter `{name}` is not declared; without it the stack's policy would not bind the definition"
            );
            return Err(DefinitionError::Wrong(reason));
        }
    }
    for name in WINDOW_PARAMETERS {
        if let Some(value) = values.remove(name) {
            parameters.push(json!({"Name": name, "Type": "String", "DefaultValue": value}));
        }
    }
    let text = definition.to_string();
    if text.len() > DEFINITION_BYTES_MAX {
        return Err(DefinitionError::Wrong(format!(
            "it has {} bytes; SageMaker takes {DEFINITION_BYTES_MAX}",
            text.len()
        )));
    }
    Ok(text)
}

impl Defaults {
    fn by_name(&self) -> BTreeMap<&'static str, Value> {
        [
            ("RoleArn", self.role_arn.as_str().into()),
            ("ImageUri", self.image_uri.as_str().into()),
            ("InstanceType", self.instance_type.as_str().into()),
            ("CodeUri", self.code_uri.as_str().into()),
            ("DataUri", self.data_uri.as_str().into()),
            ("ArtifactUri", self.artifact_uri.as_str().into()),
            ("AccuracyThreshold", self.accuracy_threshold.into()),
            ("ModelPackageGroupName", self.model_package_group_name.as_str().into()),
        ]
        .into_iter()
        .chain(WINDOW_PARAMETERS.map(|name| (name, "".into())))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn defaults() -> Defaults {
        Defaults {
            role_arn: "arn:aws:iam::1:role/r".into(),
            image_uri: "image".into(),
            instance_type: "ml.m5.large".into(),
            code_uri: "s3://b/code/0f/".into(),
            data_uri: "s3://b/data/".into(),
            artifact_uri: "s3://b/training".into(),
            accuracy_threshold: 0.85,
            model_package_group_name: "churn".into(),
        }
    }

    fn definition(parameters: &Value) -> String {
        json!({"Version": SCHEMA_VERSION, "Parameters": parameters, "Steps": [{"Name": "S"}]}).to_string()
    }

    #[test]
    fn the_stacks_values_are_written_in() {
        let parameters = json!([
            {"Name": "AccuracyThreshold", "Type": "Float", "DefaultValue": 0.1},
            {"Name": "ModelPackageGroupName", "Type": "String"},
            {"Name": "Epochs", "Type": "Integer", "DefaultValue": 3},
        ]);
        let prepared: Value = serde_json::from_str(&prepare(&definition(&parameters), &defaults()).unwrap()).unwrap();
        let values: Vec<&Value> = prepared["Parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| &p["DefaultValue"])
            .collect();
        assert_eq!(
            values,
            [&json!(0.85), &json!("churn"), &json!(3), &json!(""), &json!("")]
        );
    }

    #[test]
    fn the_data_window_can_always_be_given() {
        let required = [
            json!({"Name": "AccuracyThreshold"}),
            json!({"Name": "ModelPackageGroupName"}),
        ];
        for declared in [&[][..], &["DataFrom"], &["DataUntil", "DataFrom"]] {
            let declared = declared.iter().map(|name| json!({"Name": name, "Type": "String"}));
            let parameters: Vec<Value> = required.iter().cloned().chain(declared).collect();
            let prepared = prepare(&definition(&json!(parameters)), &defaults()).unwrap();
            let prepared: Value = serde_json::from_str(&prepared).unwrap();
            let parameters = prepared["Parameters"].as_array().unwrap();
            for name in WINDOW_PARAMETERS {
                let found: Vec<_> = parameters
                    .iter()
                    .filter(|parameter| parameter["Name"] == name)
                    .collect();
                assert_eq!(found, [&json!({"Name": name, "Type": "String", "DefaultValue": ""})]);
            }
        }
    }

    /// A definition that has that many bytes once it is prepared.
    fn sized(bytes: usize) -> String {
        let with = |padding: usize| {
            let parameters = json!([
                {"Name": "AccuracyThreshold"},
                {"Name": "ModelPackageGroupName"},
                {"Name": "Padding", "DefaultValue": "x".repeat(padding)},
            ]);
            definition(&parameters)
        };
        let bare = prepare(&with(0), &defaults()).unwrap().len();
        with(bytes - bare)
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let both = json!([{"Name": "AccuracyThreshold"}, {"Name": "ModelPackageGroupName"}, {"Name": "Epochs"}]);
        let twice = json!([
            {"Name": "AccuracyThreshold"}, {"Name": "ModelPackageGroupName"}, {"Name": "AccuracyThreshold", "DefaultValue": 0.0}
        ]);
        for (text, words) in [
            ("{".to_owned(), "pipeline-definition.json is not JSON"),
            ("[]".to_owned(), "not a JSON object"),
            (json!({"Version": "1"}).to_string(), "write `2020-12-01`"),
            (
                json!({"Version": SCHEMA_VERSION, "Parameters": []}).to_string(),
                "`Steps` is missing",
            ),
            (
                json!({"Version": SCHEMA_VERSION, "Steps": [1]}).to_string(),
                "`Parameters` is missing",
            ),
            (definition(&json!([])), "parameter `AccuracyThreshold` is not declared"),
            (definition(&both), "parameter `Epochs` is none that the train fills in"),
            (definition(&twice), "parameter `AccuracyThreshold` is declared twice"),
            (
                sized(DEFINITION_BYTES_MAX + 1),
                "it has 1048577 bytes; SageMaker takes 1048576",
            ),
        ] {
            let error = prepare(&text, &defaults()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(prepare(&sized(DEFINITION_BYTES_MAX), &defaults()).is_ok());
    }
}
