//! SAM's functions as the CloudFormation resources that they stand for.

mod deployment;
mod events;
mod members;
mod policy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

pub(crate) use self::deployment::CONDITION;
use self::deployment::Preference;
use self::members::Members;
use self::policy::{PolicyKind, RoleParts, policy_of};
use super::TemplateError;
use super::parameters::Parameter;
use super::resolve::{function, unsupported, wrong};

/// SAM's function type.
pub(crate) const FUNCTION: &str = "AWS::Serverless::Function";

/// The function's properties that are CloudFormation's under the same name.
const SAME: [&str; 12] = [
    "Architectures",
    "Description",
    "Environment",
    "EphemeralStorage",
    "FunctionName",
    "Handler",
    "KmsKeyArn",
    "LoggingConfig",
    "MemorySize",
    "ReservedConcurrentExecutions",
    "Runtime",
    "Timeout",
];

/// A member of `Globals.Function` below the function's own: maps merged, lists joined, all else overridden.
pub(crate) fn merge(global: &Value, own: &Value) -> Value {
    match (global, own) {
        (Value::Object(global), Value::Object(own)) if !is_function(global) && !is_function(own) => {
            let mut merged = global.clone();
            for (name, value) in own {
                let value = match global.get(name) {
                    Some(global) => merge(global, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(global), Value::Array(own)) => global.iter().chain(own).cloned().collect(),
        (_, own) => own.clone(),
    }
}

fn is_function(object: &Map<String, Value>) -> bool {
    object.len() == 1 && object.keys().any(|name| name == "Ref" || name.starts_with("Fn::"))
}

/// SAM's transform of one template.
pub(crate) struct Transform<'template> {
    globals: Option<&'template Value>,
    parameters: &'template BTreeMap<String, Parameter>,
    references: BTreeMap<String, String>,
    preferences: Vec<Preference>,
}

impl<'template> Transform<'template> {
    /// Nothing is expanded yet. `globals` is `Globals.Function`.
    pub(crate) fn new(
        globals: Option<&'template Value>,
        parameters: &'template BTreeMap<String, Parameter>,
    ) -> Transform<'template> {
        Transform {
            globals,
            parameters,
            references: BTreeMap::new(),
            preferences: Vec::new(),
        }
    }

    /// The resources that one function stands for, by logical id.
    pub(crate) fn expand(&mut self, logical_id: &str, resource: &Value) -> Result<Vec<(String, Value)>, TemplateError> {
        let none = json!({});
        let own = resource.get("Properties").unwrap_or(&none);
        let merged = self.globals.map_or_else(|| own.clone(), |globals| merge(globals, own));
        let place = format!("Resources.{logical_id}.Properties");
        let Value::Object(properties) = merged else {
            return Err(wrong(&place, "must be a map"));
        };
        let mut expansion = Expansion {
            logical_id,
            resource,
            place,
            properties,
            parameters: self.parameters,
            alias: None,
            resources: Vec::new(),
            references: &mut self.references,
            preferences: &mut self.preferences,
        };
        expansion.run()?;
        Ok(expansion.resources)
    }

    /// What all functions share: the resources of CodeDeploy.
    pub(crate) fn shared(&self) -> Result<Vec<(String, Value)>, TemplateError> {
        deployment::groups(&self.preferences)
    }

    /// The conditions any of which makes [`CONDITION`] hold.
    pub(crate) fn conditions(&self) -> BTreeSet<&str> {
        deployment::conditions(&self.preferences)
    }

    /// The logical ids that `FUNCTION.Version` and `FUNCTION.Alias` stand for.
    pub(crate) fn references(self) -> BTreeMap<String, String> {
        self.references
    }
}

/// One function while it is taken apart; properties are taken out of it as they are dealt with.
struct Expansion<'template> {
    logical_id: &'template str,
    resource: &'template Value,
    place: String,
    properties: Map<String, Value>,
    parameters: &'template BTreeMap<String, Parameter>,
    /// The alias that everything but the function's own settings is for: its logical id and its name.
    alias: Option<(String, String)>,
    resources: Vec<(String, Value)>,
    references: &'template mut BTreeMap<String, String>,
    preferences: &'template mut Vec<Preference>,
}

impl Expansion<'_> {
    fn run(&mut self) -> Result<(), TemplateError> {
        let mut lambda = Map::new();
        for name in SAME {
            if let Some(value) = self.properties.remove(name) {
                lambda.insert(name.to_owned(), value);
            }
        }
        match self.properties.remove("PackageType") {
            None => {}
            Some(Value::String(kind)) if kind == "Zip" => {}
            Some(_) => return Err(unsupported(&format!("{}.PackageType", self.place), "any but Zip")),
        }
        lambda.insert("Code".to_owned(), self.code()?);
        let tags = tags(self.properties.remove("Tags"), &self.place)?;
        lambda.insert("Tags".to_owned(), tags.clone());
        // What the function's own role must allow beyond the template's policies, as SAM adds it.
        let mut role = RoleParts::default();
        if let Some(mode) = self.properties.remove("Tracing") {
            lambda.insert("TracingConfig".to_owned(), json!({"Mode": mode}));
            role.managed
                .push(json!("arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess"));
        }
        if let Some(queue) = self.properties.remove("DeadLetterQueue") {
            let place = format!("{}.DeadLetterQueue", self.place);
            let mut members = Members::new(queue, place)?;
            let kind = members.text("Type")?;
            let target = members.required("TargetArn")?;
            members.done()?;
            let action = match kind.as_str() {
                "SQS" => "sqs:SendMessage",
                "SNS" => "sns:Publish",
                other => {
                    return Err(wrong(
                        &members.place,
                        format!("Type must be SQS or SNS, and is {other}"),
                    ));
                }
            };
            role.inline.push(allow("DeadLetterQueuePolicy", action, &target));
            lambda.insert("DeadLetterConfig".to_owned(), json!({"TargetArn": target}));
        }
        self.publish(&lambda)?;
        // Without an alias there is nothing to deploy to; this says so.
        self.preference()?;
        if let Some(config) = self.properties.remove("EventInvokeConfig") {
            self.event_invoke_config(config, &mut role)?;
        }
        if let Some(config) = self.properties.remove("FunctionUrlConfig") {
            self.url(config)?;
        }
        match self.properties.remove("Events") {
            None => {}
            Some(Value::Object(events)) => {
                for (name, event) in events {
                    self.event(&name, event)?;
                }
            }
            Some(_) => return Err(wrong(&format!("{}.Events", self.place), "must be a map")),
        }
        let role = self.role(role, tags)?;
        lambda.insert("Role".to_owned(), role);
        if let Some(name) = self.properties.keys().next() {
            return Err(unsupported(&self.place, format!("the property {name} of {FUNCTION}")));
        }
        // Only the function itself waits for what the template names; the rest follows by reference.
        let mut function = json!({"Type": "AWS::Lambda::Function", "Properties": lambda});
        if let (Some(depends_on), Value::Object(function)) = (self.resource.get("DependsOn"), &mut function) {
            function.insert("DependsOn".to_owned(), depends_on.clone());
        }
        self.push(self.logical_id.to_owned(), function);
        Ok(())
    }

    /// Adds a resource under the function's own condition.
    fn push(&mut self, logical_id: String, mut resource: Value) {
        if let (Some(condition), Value::Object(members)) = (self.resource.get("Condition"), &mut resource) {
            members.insert("Condition".to_owned(), condition.clone());
        }
        self.resources.push((logical_id, resource));
    }

    fn add(&mut self, logical_id: String, kind: &str, properties: impl Into<Value>) {
        self.push(logical_id, json!({"Type": kind, "Properties": properties.into()}));
    }

    fn function(&self) -> Value {
        json!({"Ref": self.logical_id})
    }

    /// What is invoked: the alias, else the function. A function is its name here, an alias its ARN.
    fn reference(&self) -> Value {
        match &self.alias {
            Some((alias, _)) => json!({"Ref": alias}),
            None => self.function(),
        }
    }

    /// The ARN of what is invoked.
    fn arn(&self) -> Value {
        match &self.alias {
            Some(_) => self.reference(),
            None => arn_of(self.logical_id),
        }
    }

    fn code(&mut self) -> Result<Value, TemplateError> {
        let place = format!("{}.CodeUri", self.place);
        let uri = match self.properties.remove("CodeUri") {
            Some(Value::String(uri)) => uri,
            Some(_) => return Err(unsupported(&place, "code that is not a path")),
            None => return Err(wrong(&self.place, "CodeUri is required")),
        };
        let metadata = self.resource.pointer("/Metadata/BuildProperties/Binary");
        let binary = match metadata {
            Some(Value::String(binary)) => binary.as_str(),
            Some(_) => {
                let place = format!("Resources.{}.Metadata.BuildProperties.Binary", self.logical_id);
                return Err(wrong(&place, "must be a string"));
            }
            None => uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default(),
        };
        if matches!(binary, "" | "." | "..") {
            return Err(wrong(
                &place,
                format!("`{uri}` does not name a binary, and Metadata.BuildProperties.Binary is not there"),
            ));
        }
        Ok(json!({"Binary": binary, "CodeUri": uri}))
    }

    /// The function's role: the given one, or one that is made for it.
    fn role(&mut self, mut parts: RoleParts, tags: Value) -> Result<Value, TemplateError> {
        let policies = self.properties.remove("Policies");
        let made_for = ["AssumeRolePolicyDocument", "PermissionsBoundary", "RolePath"];
        if let Some(role) = self.properties.remove("Role") {
            if policies.is_some() {
                return Err(wrong(&self.place, "Policies has no effect next to Role"));
            }
            for name in made_for {
                self.properties.remove(name);
            }
            return Ok(role);
        }
        let logical_id = format!("{}Role", self.logical_id);
        let place = format!("{}.Policies", self.place);
        let mut managed = vec![json!(
            "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
        )];
        managed.append(&mut parts.managed);
        let mut inline: Vec<Value> = Vec::new();
        let policies = match policies {
            None => Vec::new(),
            Some(Value::Array(policies)) => policies,
            Some(one) => vec![one],
        };
        for (index, policy) in policies.into_iter().enumerate() {
            let place = format!("{place}.{index}");
            let name = format!("{logical_id}Policy{index}");
            match policy_of(&policy, &name, &place)? {
                (PolicyKind::Managed, policy) => managed.push(policy),
                (PolicyKind::Inline, policy) => inline.push(policy),
            }
        }
        for mut policy in parts.inline {
            if let Some(name) = policy.get_mut("PolicyName") {
                *name = json!(format!("{}{}", self.logical_id, name.as_str().unwrap_or_default()));
            }
            inline.push(policy);
        }
        let mut role = json!({
            "AssumeRolePolicyDocument": self.properties.remove("AssumeRolePolicyDocument").unwrap_or_else(|| assumed_by("lambda")),
            "ManagedPolicyArns": managed,
            "Tags": tags,
        });
        if let Value::Object(role) = &mut role {
            if !inline.is_empty() {
                role.insert("Policies".to_owned(), Value::Array(inline));
            }
            for (given, name) in [("PermissionsBoundary", "PermissionsBoundary"), ("RolePath", "Path")] {
                if let Some(value) = self.properties.remove(given) {
                    role.insert(name.to_owned(), value);
                }
            }
        }
        let arn = arn_of(&logical_id);
        self.add(logical_id, "AWS::IAM::Role", role);
        Ok(arn)
    }

    fn event_invoke_config(&mut self, config: Value, role: &mut RoleParts) -> Result<(), TemplateError> {
        let mut members = Members::new(config, format!("{}.EventInvokeConfig", self.place))?;
        let mut properties = Map::new();
        properties.insert("FunctionName".to_owned(), self.function());
        let qualifier = self.alias.as_ref().map_or("$LATEST", |(_, name)| name.as_str());
        properties.insert("Qualifier".to_owned(), json!(qualifier));
        members.move_to(&mut properties, &["MaximumEventAgeInSeconds", "MaximumRetryAttempts"]);
        if let Some(destinations) = members.take("DestinationConfig") {
            let mut destinations = Members::new(destinations, format!("{}.DestinationConfig", members.place))?;
            let mut made = Map::new();
            for event in ["OnFailure", "OnSuccess"] {
                let Some(destination) = destinations.take(event) else {
                    continue;
                };
                let mut destination = Members::new(destination, format!("{}.{event}", destinations.place))?;
                let kind = destination.text("Type")?;
                let target = destination.required("Destination")?;
                destination.done()?;
                let action = match kind.as_str() {
                    "SQS" => "sqs:SendMessage",
                    "SNS" => "sns:Publish",
                    "Lambda" => "lambda:InvokeFunction",
                    "EventBridge" => "events:PutEvents",
                    other => return Err(unsupported(&destination.place, format!("the destination type {other}"))),
                };
                role.inline
                    .push(allow(&format!("EventInvokeConfig{event}Policy"), action, &target));
                made.insert(event.to_owned(), json!({"Destination": target}));
            }
            destinations.done()?;
            properties.insert("DestinationConfig".to_owned(), Value::Object(made));
        }
        members.done()?;
        let mut resource = json!({"Type": "AWS::Lambda::EventInvokeConfig", "Properties": properties});
        if let (Some((alias, _)), Value::Object(resource)) = (&self.alias, &mut resource) {
            // The qualifier is a name, which waits for nothing.
            resource.insert("DependsOn".to_owned(), json!([alias]));
        }
        self.push(format!("{}EventInvokeConfig", self.logical_id), resource);
        Ok(())
    }

    fn url(&mut self, config: Value) -> Result<(), TemplateError> {
        let mut members = Members::new(config, format!("{}.FunctionUrlConfig", self.place))?;
        let auth_type = members.text("AuthType")?;
        let mut properties = Map::new();
        properties.insert("TargetFunctionArn".to_owned(), self.reference());
        properties.insert("AuthType".to_owned(), json!(auth_type));
        members.move_to(&mut properties, &["Cors", "InvokeMode"]);
        members.done()?;
        self.add(format!("{}Url", self.logical_id), "AWS::Lambda::Url", properties);
        match auth_type.as_str() {
            "AWS_IAM" => {}
            "NONE" => {
                // A public URL needs both: one for the URL, one for the function behind it.
                let function = self.reference();
                self.add(
                    format!("{}UrlPublicPermissions", self.logical_id),
                    "AWS::Lambda::Permission",
                    json!({
                        "Action": "lambda:InvokeFunctionUrl",
                        "FunctionName": function,
                        "FunctionUrlAuthType": "NONE",
                        "Principal": "*",
                    }),
                );
                self.add(
                    format!("{}URLInvokeAllowPublicAccess", self.logical_id),
                    "AWS::Lambda::Permission",
                    json!({
                        "Action": "lambda:InvokeFunction",
                        "FunctionName": function,
                        "InvokedViaFunctionUrl": true,
                        "Principal": "*",
                    }),
                );
            }
            other => {
                return Err(wrong(
                    &members.place,
                    format!("AuthType must be AWS_IAM or NONE, and is {other}"),
                ));
            }
        }
        Ok(())
    }
}

fn is_no_value(value: &Value) -> bool {
    function(value).is_some_and(|(name, argument)| name == "Ref" && argument == "AWS::NoValue")
}

fn arn_of(logical_id: &str) -> Value {
    json!({"Fn::GetAtt": [logical_id, "Arn"]})
}

fn assumed_by(service: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Action": ["sts:AssumeRole"],
            "Effect": "Allow",
            "Principal": {"Service": [format!("{service}.amazonaws.com")]},
        }],
    })
}

/// An inline policy that allows one action on one resource.
fn allow(name: &str, action: &str, resource: &Value) -> Value {
    json!({
        "PolicyName": name,
        "PolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": action, "Effect": "Allow", "Resource": resource}],
        },
    })
}

/// SAM's map of tags as CloudFormation's list, with the one that SAM adds.
fn tags(tags: Option<Value>, place: &str) -> Result<Value, TemplateError> {
    let mut list = vec![json!({"Key": "lambda:createdBy", "Value": "SAM"})];
    match tags {
        None => {}
        Some(Value::Object(tags)) => {
            list.extend(tags.into_iter().map(|(key, value)| json!({"Key": key, "Value": value})));
        }
        Some(_) => return Err(wrong(&format!("{place}.Tags"), "must be a map")),
    }
    Ok(Value::Array(list))
}
