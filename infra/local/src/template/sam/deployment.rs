//! `AutoPublishAlias` and `DeploymentPreference`: a function's version, its alias, and how CodeDeploy moves the alias.
//!
//! What is made, and under which names, is what SAM's own translator (`samtranslator`) makes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::TemplateError;
use super::super::parameters::Parameter;
use super::super::resolve::{function, unsupported, wrong};
use super::members::Members;
use super::{Expansion, arn_of, assumed_by, is_no_value};

/// The logical id of the application that holds all deployment groups.
const APPLICATION: &str = "ServerlessDeploymentApplication";

/// The logical id of the role that SAM makes for CodeDeploy.
const ROLE: &str = "CodeDeployServiceRole";

/// The condition of the application and the role where every function passes a condition on and there are several.
pub(crate) const CONDITION: &str = "ServerlessCodeDeployCondition";

/// The types that stand for a configuration of CodeDeploy's own; any other is a configuration's name.
const PREDEFINED: [&str; 9] = [
    "AllAtOnce",
    "Canary10Percent10Minutes",
    "Canary10Percent15Minutes",
    "Canary10Percent30Minutes",
    "Canary10Percent5Minutes",
    "Linear10PercentEvery10Minutes",
    "Linear10PercentEvery1Minute",
    "Linear10PercentEvery2Minutes",
    "Linear10PercentEvery3Minutes",
];

/// How one function is to be deployed.
#[derive(Debug)]
pub(super) struct Preference {
    function: String,
    kind: Value,
    alarms: Option<Value>,
    role: Option<Value>,
    triggers: Option<Value>,
    condition: Option<String>,
    place: String,
}

/// The value with references to parameters replaced, which is all that SAM resolves.
fn with_parameters(value: &Value, parameters: &BTreeMap<String, Parameter>) -> Value {
    match (value, function(value)) {
        (_, Some(("Ref", Value::String(name)))) if parameters.contains_key(name) => {
            parameters.get(name).map_or(Value::Null, Parameter::value)
        }
        (Value::Object(members), _) => members
            .iter()
            .map(|(name, value)| (name.clone(), with_parameters(value, parameters)))
            .collect::<Map<String, Value>>()
            .into(),
        (Value::Array(items), _) => items.iter().map(|item| with_parameters(item, parameters)).collect(),
        _ => value.clone(),
    }
}

/// What must be known while SAM expands, so that only parameters may stand for it.
fn truth(value: &Value, name: &str, place: &str) -> Result<bool, TemplateError> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(wrong(
            place,
            format!("{name} must be true or false, or a parameter that is: SAM resolves nothing else"),
        )),
    }
}

impl Expansion<'_> {
    /// The version and the alias of a function that has `AutoPublishAlias`.
    pub(super) fn publish(&mut self, lambda: &Map<String, Value>) -> Result<(), TemplateError> {
        let description = self.properties.remove("VersionDescription");
        let counts_all = match self.properties.remove("AutoPublishAliasAllProperties") {
            None => false,
            Some(value) => truth(&value, "AutoPublishAliasAllProperties", &self.place)?,
        };
        let name = match self.properties.remove("AutoPublishAlias") {
            None => return Ok(()),
            Some(name) => with_parameters(&name, self.parameters),
        };
        let Value::String(name) = name else {
            return Err(wrong(
                &self.place,
                "AutoPublishAlias must be a string, or a parameter that is: SAM resolves nothing else",
            ));
        };
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if name.is_empty() || !name.chars().all(plain) || name.bytes().all(|letter| letter.is_ascii_digit()) {
            return Err(wrong(
                &self.place,
                format!("AutoPublishAlias `{name}` must have letters, digits, - and _ only, and not digits alone"),
            ));
        }
        let mut content = lambda.clone();
        if counts_all {
            // A role that SAM makes is not known yet.
            let role = self.properties.get("Role").cloned();
            content.extend(role.map(|role| ("Role".to_owned(), role)));
        } else {
            content = published_for(lambda);
        }
        let version = format!("{}Version{}", self.logical_id, ten_digits(content));
        let mut properties = Map::new();
        properties.insert("FunctionName".to_owned(), self.function());
        if let Some(description) = description {
            properties.insert("Description".to_owned(), description);
        }
        self.push(
            version.clone(),
            json!({"Type": "AWS::Lambda::Version", "DeletionPolicy": "Retain", "Properties": properties}),
        );
        let alias = format!("{}Alias{}", self.logical_id, name.replace('-', "D").replace('_', "U"));
        let function = self.function();
        let mut resource = json!({
            "Type": "AWS::Lambda::Alias",
            "Properties": {
                "Name": name,
                "FunctionName": function,
                "FunctionVersion": {"Fn::GetAtt": [version, "Version"]},
            },
        });
        self.alias = Some((alias.clone(), name));
        if let (Some(policy), Value::Object(members)) = (self.preference()?, &mut resource) {
            members.insert("UpdatePolicy".to_owned(), policy);
        }
        self.push(alias.clone(), resource);
        for (property, target) in [("Version", version), ("Alias", alias)] {
            self.references
                .insert(format!("{}.{property}", self.logical_id), target);
        }
        Ok(())
    }

    /// The alias's update policy, where `DeploymentPreference` asks for one; the preference itself is kept for the groups.
    pub(super) fn preference(&mut self) -> Result<Option<Value>, TemplateError> {
        let Some(preference) = self.properties.remove("DeploymentPreference") else {
            return Ok(None);
        };
        let place = format!("{}.DeploymentPreference", self.place);
        let mut members = Members::new(preference, place.clone())?;
        let resolved = |value: &Value| with_parameters(value, self.parameters);
        if let Some(enabled) = members.take("Enabled")
            && !truth(&resolved(&enabled), "Enabled", &place)?
        {
            return Ok(None);
        }
        if self.alias.is_none() {
            return Err(wrong(&place, "needs AutoPublishAlias"));
        }
        let kind = resolved(&members.required("Type")?);
        let passes_condition = match members.take("PassthroughCondition") {
            None => false,
            Some(value) => truth(&resolved(&value), "PassthroughCondition", &place)?,
        };
        let mut update = json!({
            "ApplicationName": {"Ref": APPLICATION},
            "DeploymentGroupName": {"Ref": format!("{}DeploymentGroup", self.logical_id)},
        });
        if let (Some(hooks), Value::Object(update)) = (members.take("Hooks"), &mut update) {
            let mut hooks = Members::new(hooks, format!("{place}.Hooks"))?;
            hooks.rename_to(update, "PreTraffic", "BeforeAllowTrafficHook");
            hooks.rename_to(update, "PostTraffic", "AfterAllowTrafficHook");
            hooks.done()?;
        }
        let condition = self.resource.get("Condition").and_then(Value::as_str);
        let preference = Preference {
            function: self.logical_id.to_owned(),
            kind,
            alarms: members.take("Alarms"),
            role: members.take("Role"),
            triggers: members.take("TriggerConfigurations"),
            condition: condition.filter(|_| passes_condition).map(str::to_owned),
            place,
        };
        members.done()?;
        self.preferences.push(preference);
        Ok(Some(json!({"CodeDeployLambdaAliasUpdate": update})))
    }
}

/// What a new version is published for, where it is not for every property: the code, the environment and the memory.
fn published_for(lambda: &Map<String, Value>) -> Map<String, Value> {
    let mut content = Map::new();
    for name in ["Code", "Environment"] {
        let members = lambda.get(name).and_then(Value::as_object).into_iter().flatten();
        content.extend(members.map(|(name, value)| (name.clone(), value.clone())));
    }
    if let Some(memory) = lambda.get("MemorySize") {
        content.insert("MemorySize".to_owned(), memory.clone());
    }
    content
}

/// The end of a version's logical id.
fn ten_digits(content: Map<String, Value>) -> String {
    let hash = Sha256::digest(Value::Object(content).to_string().as_bytes());
    hash.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

/// The conditions that the application and the role stand under, any of which will do; empty where they are always there.
pub(super) fn conditions(preferences: &[Preference]) -> BTreeSet<&str> {
    let conditions = preferences.iter().map(|preference| preference.condition.as_deref());
    conditions.collect::<Option<_>>().unwrap_or_default()
}

/// The application, the role, and a deployment group for each function.
pub(super) fn groups(preferences: &[Preference]) -> Result<Vec<(String, Value)>, TemplateError> {
    let mut resources = Vec::new();
    if preferences.is_empty() {
        return Ok(resources);
    }
    let shared = match conditions(preferences).into_iter().collect::<Vec<_>>().as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        _ => Some(CONDITION.to_owned()),
    };
    let mut add = |logical_id: String, kind: &str, properties: Value, condition: Option<&String>| {
        let mut resource = json!({"Type": kind, "Properties": properties});
        if let (Some(condition), Value::Object(members)) = (condition, &mut resource) {
            members.insert("Condition".to_owned(), json!(condition));
        }
        resources.push((logical_id, resource));
    };
    add(
        APPLICATION.to_owned(),
        "AWS::CodeDeploy::Application",
        json!({"ComputePlatform": "Lambda"}),
        shared.as_ref(),
    );
    if preferences.iter().any(|preference| preference.role.is_none()) {
        let role = json!({
            "AssumeRolePolicyDocument": assumed_by("codedeploy"),
            "ManagedPolicyArns": ["arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambda"],
        });
        add(ROLE.to_owned(), "AWS::IAM::Role", role, shared.as_ref());
    }
    for preference in preferences {
        let mut group = json!({
            "ApplicationName": {"Ref": APPLICATION},
            "AutoRollbackConfiguration": {
                "Enabled": true,
                "Events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"],
            },
            "DeploymentConfigName": config_name(&preference.kind, false),
            "DeploymentStyle": {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"},
            "ServiceRoleArn": preference.role.clone().unwrap_or_else(|| arn_of(ROLE)),
        });
        if let Value::Object(group) = &mut group {
            if let Some(alarms) = &preference.alarms {
                let place = format!("{}.Alarms", preference.place);
                if let Some(configuration) = alarm_configuration(alarms, &place)? {
                    group.insert("AlarmConfiguration".to_owned(), configuration);
                }
            }
            if let Some(triggers) = &preference.triggers {
                group.insert("TriggerConfigurations".to_owned(), triggers.clone());
            }
        }
        add(
            format!("{}DeploymentGroup", preference.function),
            "AWS::CodeDeploy::DeploymentGroup",
            group,
            preference.condition.as_ref(),
        );
    }
    Ok(resources)
}

/// The configuration that a type stands for, within functions too.
fn config_name(kind: &Value, within_sub: bool) -> Value {
    match (kind, function(kind)) {
        (Value::String(name), _) if PREDEFINED.contains(&name.as_str()) => {
            let parts = json!(["CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": name}]);
            if within_sub { parts } else { json!({"Fn::Sub": parts}) }
        }
        (Value::Array(items), _) => items.iter().map(|item| config_name(item, false)).collect(),
        (Value::Object(members), Some(_)) => members
            .iter()
            .map(|(name, argument)| (name.clone(), config_name(argument, name == "Fn::Sub")))
            .collect::<Map<String, Value>>()
            .into(),
        _ => kind.clone(),
    }
}

fn alarm_configuration(alarms: &Value, place: &str) -> Result<Option<Value>, TemplateError> {
    if is_no_value(alarms) {
        return Ok(None);
    }
    match (alarms, function(alarms)) {
        (_, Some(("Fn::If", argument))) => {
            let Some([condition, then, otherwise]) = argument.as_array().map(Vec::as_slice) else {
                return Err(wrong(place, "Fn::If takes a list of 3"));
            };
            let (then, otherwise) = (alarm_list(then, place)?, alarm_list(otherwise, place)?);
            Ok(Some(json!({"Fn::If": [condition, then, otherwise]})))
        }
        (Value::Array(alarms), _) if alarms.is_empty() => Ok(None),
        _ => Ok(Some(alarm_list(alarms, place)?)),
    }
}

fn alarm_list(alarms: &Value, place: &str) -> Result<Value, TemplateError> {
    match alarms {
        Value::Array(alarms) if alarms.first().is_none_or(is_no_value) => Ok(json!({})),
        // An alarm that comes out as no value would be left as a map without a name, which CloudFormation refuses.
        Value::Array(alarms) => {
            let alarms: Vec<Value> = alarms.iter().map(|alarm| json!({"Name": alarm})).collect();
            Ok(json!({"Enabled": true, "Alarms": alarms}))
        }
        _ if function(alarms).is_some() => Err(unsupported(place, "a function but Fn::If around the list")),
        _ => Err(wrong(place, "must be a list")),
    }
}
