//! From the template's text to the stack.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::identity::{Identity, Maker};
use super::parameters::{self, Parameter};
use super::resolve::{NoResources, Resources, Scope, unsupported, wrong};
use super::{Resource, Stack, Target, TemplateError, sam, yaml};

/// SAM's transform.
const TRANSFORM: &str = "AWS::Serverless-2016-10-31";

impl Stack {
    /// Reads a template as CloudFormation would deploy it: parameters applied, SAM expanded, conditions decided,
    /// functions resolved.
    ///
    /// # Errors
    /// [`TemplateError::Parameter`] for a parameter that is unknown, missing or against its constraints;
    /// [`TemplateError::Wrong`] for a template that CloudFormation would refuse; [`TemplateError::Unsupported`] for one
    /// that it may take and the local cloud can't.
    pub fn load(yaml: &str, parameters: &BTreeMap<String, String>, target: &Target) -> Result<Stack, TemplateError> {
        let Value::Object(template) = yaml::parse(yaml)? else {
            return Err(wrong("template", "must be a map"));
        };
        check_sections(&template)?;
        let parameters = parameters::read(template.get("Parameters"), parameters)?;
        let mut scope = Scope {
            target,
            parameters: &parameters,
            conditions: BTreeMap::new(),
            references: BTreeMap::new(),
        };
        scope.evaluate_conditions(template.get("Conditions"))?;
        let globals = template.get("Globals").and_then(|globals| globals.get("Function"));
        let mut transform = sam::Transform::new(globals, &parameters);
        let declared = declared(&template, &mut transform)?;
        let conditions = transform.conditions();
        if conditions.len() > 1 {
            let any = conditions.iter().any(|name| scope.conditions.get(*name) == Some(&true));
            scope.conditions.insert(sam::CONDITION.to_owned(), any);
        }
        scope.references = transform.references();
        let mut deployment = Deployment {
            declared: &declared,
            identities: BTreeMap::new(),
            within: Vec::new(),
            resources: Vec::with_capacity(declared.len()),
            update_policies: BTreeMap::new(),
        };
        for name in declared.keys() {
            deployment.resource(&scope, name)?;
        }
        let outputs = outputs(&template, &scope, &mut deployment)?;
        let Deployment {
            resources,
            update_policies,
            ..
        } = deployment;
        Ok(Stack {
            parameters: parameters
                .iter()
                .map(|(name, Parameter { text, .. })| (name.clone(), text.clone()))
                .collect(),
            resources,
            update_policies,
            outputs,
        })
    }
}

impl Stack {
    /// Whether the template has a parameter of that name.
    ///
    /// # Errors
    /// [`TemplateError::Wrong`] for what is no template.
    pub fn declares(yaml: &str, parameter: &str) -> Result<bool, TemplateError> {
        let template = yaml::parse(yaml)?;
        let parameters = template.get("Parameters").and_then(Value::as_object);
        Ok(parameters.is_some_and(|parameters| parameters.contains_key(parameter)))
    }
}

fn check_sections(template: &Map<String, Value>) -> Result<(), TemplateError> {
    for (section, value) in template {
        match (section.as_str(), value) {
            ("AWSTemplateFormatVersion", Value::String(version)) if version == "2010-09-09" => {}
            ("AWSTemplateFormatVersion", _) => return Err(wrong(section, "must be 2010-09-09")),
            ("Transform", Value::String(transform)) if transform == TRANSFORM => {}
            ("Transform", Value::Array(transforms)) if transforms.iter().all(|transform| transform == TRANSFORM) => {}
            ("Transform", _) => return Err(unsupported(section, format!("any transform but {TRANSFORM}"))),
            ("Globals", Value::Object(globals)) => {
                if let Some(kind) = globals.keys().find(|kind| *kind != "Function") {
                    return Err(unsupported(section, format!("globals for {kind}")));
                }
            }
            ("Description" | "Metadata" | "Parameters" | "Conditions" | "Resources" | "Outputs", _) => {}
            (other, _) => return Err(unsupported(other, "this section")),
        }
    }
    Ok(())
}

/// The resources that the template declares, SAM's expanded.
fn declared(
    template: &Map<String, Value>,
    transform: &mut sam::Transform<'_>,
) -> Result<BTreeMap<String, Declared>, TemplateError> {
    let Some(Value::Object(section)) = template.get("Resources") else {
        return Err(wrong("Resources", "must be a map"));
    };
    if section.is_empty() {
        return Err(wrong("Resources", "must have at least one resource"));
    }
    let mut declared = BTreeMap::new();
    for (logical_id, resource) in section {
        let place = format!("Resources.{logical_id}");
        if !logical_id.chars().all(|letter| letter.is_ascii_alphanumeric()) || logical_id.is_empty() {
            return Err(wrong(&place, "a logical id has letters and digits only"));
        }
        let kind = check_resource(resource, &place)?;
        if kind == sam::FUNCTION {
            if !template.contains_key("Transform") {
                return Err(wrong(&place, format!("{kind} needs Transform: {TRANSFORM}")));
            }
            for (logical_id, resource) in transform.expand(logical_id, resource)? {
                insert(&mut declared, logical_id, &resource)?;
            }
        } else {
            insert(&mut declared, logical_id.clone(), resource)?;
        }
    }
    for (logical_id, resource) in transform.shared()? {
        insert(&mut declared, logical_id, &resource)?;
    }
    Ok(declared)
}

/// Checks a resource's members and gives its type.
fn check_resource<'template>(resource: &'template Value, place: &str) -> Result<&'template str, TemplateError> {
    let Value::Object(members) = resource else {
        return Err(wrong(place, "must be a map"));
    };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("Type" | "DeletionPolicy" | "UpdateReplacePolicy" | "DependsOn" | "Condition" | "Metadata", _)
            | ("Properties", Value::Object(_)) => {}
            ("UpdatePolicy", policy) => check_update_policy(members.get("Type"), policy, place)?,
            ("Properties", _) => return Err(wrong(&format!("{place}.Properties"), "must be a map")),
            (other, _) => return Err(unsupported(place, format!("the resource attribute {other}"))),
        }
    }
    match members.get("Type") {
        Some(Value::String(kind)) => Ok(kind),
        _ => Err(wrong(place, "must have a Type")),
    }
}

/// An update policy says how an alias is moved, and nothing else here.
fn check_update_policy(kind: Option<&Value>, policy: &Value, place: &str) -> Result<(), TemplateError> {
    let place = format!("{place}.UpdatePolicy");
    let mut members = policy.as_object().into_iter().flat_map(Map::keys);
    match (members.next().map(String::as_str), members.next()) {
        (Some("CodeDeployLambdaAliasUpdate"), None) if kind.is_some_and(|kind| kind == "AWS::Lambda::Alias") => Ok(()),
        (None, _) => Err(wrong(&place, "must be a map")),
        _ => Err(unsupported(
            &place,
            "any policy but an alias's CodeDeployLambdaAliasUpdate",
        )),
    }
}

fn insert(
    declared: &mut BTreeMap<String, Declared>,
    logical_id: String,
    resource: &Value,
) -> Result<(), TemplateError> {
    let place = format!("Resources.{logical_id}");
    let depends_on = match resource.get("DependsOn") {
        None => Vec::new(),
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| wrong(&place, "DependsOn takes the names of resources"))?,
        Some(_) => return Err(wrong(&place, "DependsOn takes the names of resources")),
    };
    let new = Declared {
        kind: check_resource(resource, &place)?.to_owned(),
        properties: resource.get("Properties").cloned(),
        condition: resource.get("Condition").cloned(),
        update_policy: resource.get("UpdatePolicy").cloned(),
        depends_on,
    };
    if declared.insert(logical_id, new).is_some() {
        return Err(wrong(&place, "is both in the template and made by SAM"));
    }
    Ok(())
}

/// A resource before its functions are resolved.
struct Declared {
    kind: String,
    properties: Option<Value>,
    condition: Option<Value>,
    update_policy: Option<Value>,
    depends_on: Vec<String>,
}

/// The resources so far: each is resolved when something first refers to it, so each comes after those that it needs.
struct Deployment<'template> {
    declared: &'template BTreeMap<String, Declared>,
    identities: BTreeMap<&'template str, Identity>,
    /// The resources being resolved, each because of the one before.
    within: Vec<&'template str>,
    resources: Vec<Resource>,
    update_policies: BTreeMap<String, Value>,
}

impl Resources for Deployment<'_> {
    fn resource(&mut self, scope: &Scope<'_>, logical_id: &str) -> Result<Option<(&Identity, &str)>, TemplateError> {
        let Some((logical_id, declared)) = self.declared.get_key_value(logical_id) else {
            return Ok(None);
        };
        let place = format!("Resources.{logical_id}");
        if !self.identities.contains_key(logical_id.as_str()) {
            if let Some(condition) = &declared.condition
                && !scope.condition(condition, &place)?
            {
                return Ok(None);
            }
            if let Some(start) = self.within.iter().position(|outer| outer == logical_id) {
                let circle = self.within.get(start..).unwrap_or_default().join(", ");
                return Err(wrong(
                    &place,
                    format!("Circular dependency between resources: [{circle}]"),
                ));
            }
            self.within.push(logical_id);
            self.deploy(scope, logical_id, declared, &place)?;
            self.within.pop();
        }
        Ok(self
            .identities
            .get(logical_id.as_str())
            .map(|identity| (identity, declared.kind.as_str())))
    }
}

impl<'template> Deployment<'template> {
    fn deploy(
        &mut self,
        scope: &Scope<'_>,
        logical_id: &'template str,
        declared: &Declared,
        place: &str,
    ) -> Result<(), TemplateError> {
        for name in &declared.depends_on {
            if !self.declared.contains_key(name) {
                return Err(wrong(
                    place,
                    format!("DependsOn names `{name}`, which is no resource of this stack"),
                ));
            }
            // One whose condition is false is no longer waited for.
            self.resource(scope, name)?;
        }
        let properties = match &declared.properties {
            Some(properties) => scope
                .resolve(properties, self, &format!("{place}.Properties"))?
                .unwrap_or_default(),
            None => Value::Object(Map::new()),
        };
        if let Some(policy) = &declared.update_policy {
            let policy = scope.resolve(policy, self, &format!("{place}.UpdatePolicy"))?;
            self.update_policies
                .insert(logical_id.to_owned(), policy.unwrap_or_default());
        }
        let maker = Maker {
            target: scope.target,
            logical_id,
            properties: &properties,
        };
        let identity = maker.identity(&declared.kind)?;
        let mut attributes = identity.attributes.clone();
        if let Some(arn) = &identity.arn {
            attributes.insert("Arn".to_owned(), arn.clone());
        }
        self.resources.push(Resource {
            logical_id: logical_id.to_owned(),
            kind: declared.kind.clone(),
            physical_id: identity.physical_id.clone(),
            properties,
            attributes,
        });
        self.identities.insert(logical_id, identity);
        Ok(())
    }
}

fn outputs(
    template: &Map<String, Value>,
    scope: &Scope<'_>,
    deployment: &mut Deployment<'_>,
) -> Result<BTreeMap<String, String>, TemplateError> {
    let mut outputs = BTreeMap::new();
    let section = match template.get("Outputs") {
        None => return Ok(outputs),
        Some(Value::Object(section)) => section,
        Some(_) => return Err(wrong("Outputs", "must be a map")),
    };
    for (name, output) in section {
        let place = format!("Outputs.{name}");
        let Value::Object(members) = output else {
            return Err(wrong(&place, "must be a map"));
        };
        if let Some(other) = members
            .keys()
            .find(|member| !["Value", "Description", "Condition", "Export"].contains(&member.as_str()))
        {
            return Err(unsupported(&place, format!("the output attribute {other}")));
        }
        if let Some(condition) = members.get("Condition")
            && !scope.condition(condition, &place)?
        {
            continue;
        }
        let Some(value) = members.get("Value") else {
            return Err(wrong(&place, "must have a Value"));
        };
        outputs.insert(name.clone(), scope.text(value, deployment, &place)?);
        // An export's name is checked though nothing can import it here.
        if let Some(export) = members.get("Export").and_then(|export| export.get("Name")) {
            scope.text(export, &mut NoResources, &format!("{place}.Export.Name"))?;
        }
    }
    Ok(outputs)
}
