//! SAM's functions as the CloudFormation resources that they stand for.

use serde_json::{Map, Value, json};

use super::TemplateError;
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

/// The resources that one function stands for, by logical id. `globals` is `Globals.Function`.
pub(crate) fn expand(
    logical_id: &str,
    resource: &Value,
    globals: Option<&Value>,
) -> Result<Vec<(String, Value)>, TemplateError> {
    let none = json!({});
    let own = resource.get("Properties").unwrap_or(&none);
    let merged = globals.map_or_else(|| own.clone(), |globals| merge(globals, own));
    let place = format!("Resources.{logical_id}.Properties");
    let Value::Object(properties) = merged else {
        return Err(wrong(&place, "must be a map"));
    };
    let mut expansion = Expansion {
        logical_id,
        resource,
        place,
        properties,
        resources: Vec::new(),
    };
    expansion.run()?;
    Ok(expansion.resources)
}

/// One function while it is taken apart; properties are taken out of it as they are dealt with.
struct Expansion<'template> {
    logical_id: &'template str,
    resource: &'template Value,
    place: String,
    properties: Map<String, Value>,
    resources: Vec<(String, Value)>,
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

    fn reference(&self) -> Value {
        json!({"Ref": self.logical_id})
    }

    fn arn(&self) -> Value {
        arn_of(self.logical_id)
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
        properties.insert("FunctionName".to_owned(), self.reference());
        properties.insert("Qualifier".to_owned(), json!("$LATEST"));
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
        self.add(
            format!("{}EventInvokeConfig", self.logical_id),
            "AWS::Lambda::EventInvokeConfig",
            properties,
        );
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

    fn permission(&mut self, event_id: &str, service: &str, source: &Value) {
        let function = self.reference();
        self.add(
            format!("{event_id}Permission"),
            "AWS::Lambda::Permission",
            json!({
                "Action": "lambda:InvokeFunction",
                "FunctionName": function,
                "Principal": format!("{service}.amazonaws.com"),
                "SourceArn": source,
            }),
        );
    }

    fn event(&mut self, name: &str, event: Value) -> Result<(), TemplateError> {
        let id = format!("{}{name}", self.logical_id);
        let mut event = Members::new(event, format!("{}.Events.{name}", self.place))?;
        let kind = event.text("Type")?;
        let members = event.take("Properties").unwrap_or_else(|| json!({}));
        let members = Members::new(members, format!("{}.Properties", event.place))?;
        event.done()?;
        match kind.as_str() {
            "EventBridgeRule" | "CloudWatchEvent" => self.rule(&id, members),
            "SNS" => self.subscription(&id, members),
            "ScheduleV2" => self.schedule(&id, members),
            other => Err(unsupported(&event.place, format!("the event type {other}"))),
        }
    }

    fn rule(&mut self, id: &str, mut members: Members) -> Result<(), TemplateError> {
        let mut rule = Map::new();
        rule.insert("EventPattern".to_owned(), members.required("Pattern")?);
        members.move_to(&mut rule, &["EventBusName", "State"]);
        members.rename_to(&mut rule, "RuleName", "Name");
        let mut target = Map::new();
        target.insert("Arn".to_owned(), self.arn());
        let target_id = match members.take("Target") {
            None => json!(format!("{id}LambdaTarget")),
            Some(given) => {
                let mut given = Members::new(given, format!("{}.Target", members.place))?;
                let target_id = given.required("Id")?;
                given.done()?;
                target_id
            }
        };
        target.insert("Id".to_owned(), target_id);
        members.move_to(&mut target, &["Input", "InputPath", "InputTransformer", "RetryPolicy"]);
        members.dead_letter_config(&mut target)?;
        members.done()?;
        rule.insert("Targets".to_owned(), json!([target]));
        self.add(id.to_owned(), "AWS::Events::Rule", rule);
        self.permission(id, "events", &arn_of(id));
        Ok(())
    }

    fn subscription(&mut self, id: &str, mut members: Members) -> Result<(), TemplateError> {
        let topic = members.required("Topic")?;
        let mut subscription = Map::new();
        subscription.insert("Endpoint".to_owned(), self.arn());
        subscription.insert("Protocol".to_owned(), json!("lambda"));
        subscription.insert("TopicArn".to_owned(), topic.clone());
        members.move_to(
            &mut subscription,
            &["FilterPolicy", "FilterPolicyScope", "RedrivePolicy"],
        );
        members.done()?;
        self.add(id.to_owned(), "AWS::SNS::Subscription", subscription);
        self.permission(id, "sns", &topic);
        Ok(())
    }

    fn schedule(&mut self, id: &str, mut members: Members) -> Result<(), TemplateError> {
        let mut schedule = Map::new();
        schedule.insert("ScheduleExpression".to_owned(), members.required("ScheduleExpression")?);
        let window = members
            .take("FlexibleTimeWindow")
            .unwrap_or_else(|| json!({"Mode": "OFF"}));
        schedule.insert("FlexibleTimeWindow".to_owned(), window);
        members.move_to(
            &mut schedule,
            &[
                "Description",
                "EndDate",
                "GroupName",
                "ScheduleExpressionTimezone",
                "StartDate",
                "State",
            ],
        );
        // SAM names a schedule after its event, not after the stack.
        match (members.take("Name"), members.take("OmitName")) {
            (Some(name), _) => {
                schedule.insert("Name".to_owned(), name);
            }
            (None, Some(Value::Bool(true))) => {}
            (None, _) => {
                schedule.insert("Name".to_owned(), json!(id));
            }
        }
        let mut target = Map::new();
        target.insert("Arn".to_owned(), self.arn());
        members.move_to(&mut target, &["Input", "RetryPolicy"]);
        members.dead_letter_config(&mut target)?;
        let boundary = members.take("PermissionsBoundary");
        let role = if let Some(role) = members.take("RoleArn") {
            role
        } else {
            let role_id = format!("{id}Role");
            let mut role = Map::new();
            role.insert("AssumeRolePolicyDocument".to_owned(), assumed_by("scheduler"));
            let mut policy = allow("LambdaPolicy", "lambda:InvokeFunction", &self.arn());
            if let Some(name) = policy.get_mut("PolicyName") {
                *name = json!(format!("{id}LambdaPolicy"));
            }
            role.insert("Policies".to_owned(), json!([policy]));
            if let Some(boundary) = boundary {
                role.insert("PermissionsBoundary".to_owned(), boundary);
            }
            let arn = arn_of(&role_id);
            self.add(role_id, "AWS::IAM::Role", role);
            arn
        };
        members.done()?;
        target.insert("RoleArn".to_owned(), role);
        schedule.insert("Target".to_owned(), Value::Object(target));
        self.add(id.to_owned(), "AWS::Scheduler::Schedule", schedule);
        Ok(())
    }
}

/// What goes into a function's role on account of its other properties.
#[derive(Default)]
struct RoleParts {
    managed: Vec<Value>,
    inline: Vec<Value>,
}

enum PolicyKind {
    Managed,
    Inline,
}

/// One entry of `Policies`, as an entry of the role's `ManagedPolicyArns` or `Policies`.
fn policy_of(policy: &Value, name: &str, place: &str) -> Result<(PolicyKind, Value), TemplateError> {
    match (policy, function(policy)) {
        (Value::String(text), _) if text.starts_with("arn:") => Ok((PolicyKind::Managed, policy.clone())),
        (Value::String(text), _) => {
            let path = if text.starts_with("AWSLambda") && text.ends_with("Role") {
                "service-role/"
            } else {
                ""
            };
            Ok((
                PolicyKind::Managed,
                json!(format!("arn:aws:iam::aws:policy/{path}{text}")),
            ))
        }
        (_, Some(("Fn::If", argument))) => {
            let Some([condition, then, otherwise]) = argument.as_array().map(Vec::as_slice) else {
                return Err(wrong(place, "Fn::If takes a list of 3"));
            };
            match (is_no_value(then), is_no_value(otherwise)) {
                (true, true) => Ok((PolicyKind::Managed, then.clone())),
                (true, false) => {
                    let (kind, otherwise) = policy_of(otherwise, name, place)?;
                    Ok((kind, json!({"Fn::If": [condition, then, otherwise]})))
                }
                (false, true) => {
                    let (kind, then) = policy_of(then, name, place)?;
                    Ok((kind, json!({"Fn::If": [condition, then, otherwise]})))
                }
                (false, false) => match (policy_of(then, name, place)?, policy_of(otherwise, name, place)?) {
                    ((PolicyKind::Managed, then), (PolicyKind::Managed, otherwise)) => {
                        Ok((PolicyKind::Managed, json!({"Fn::If": [condition, then, otherwise]})))
                    }
                    ((PolicyKind::Inline, then), (PolicyKind::Inline, otherwise)) => {
                        Ok((PolicyKind::Inline, json!({"Fn::If": [condition, then, otherwise]})))
                    }
                    _ => Err(unsupported(place, "an Fn::If between an inline and a managed policy")),
                },
            }
        }
        (_, Some(_)) => Ok((PolicyKind::Managed, policy.clone())),
        (Value::Object(members), None) if members.contains_key("Statement") => Ok((
            PolicyKind::Inline,
            json!({"PolicyName": name, "PolicyDocument": policy}),
        )),
        (Value::Object(members), None) if members.len() == 1 => {
            let template = members.keys().next().map_or("", String::as_str);
            Err(unsupported(place, format!("the SAM policy template {template}")))
        }
        _ => Err(wrong(
            place,
            "a policy is a name, an ARN, or a document with a Statement",
        )),
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

/// The members of a map, each of which must be taken.
struct Members {
    members: Map<String, Value>,
    place: String,
}

impl Members {
    fn new(value: Value, place: String) -> Result<Members, TemplateError> {
        match value {
            Value::Object(members) => Ok(Members { members, place }),
            _ => Err(wrong(&place, "must be a map")),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    fn required(&mut self, name: &str) -> Result<Value, TemplateError> {
        self.take(name)
            .ok_or_else(|| wrong(&self.place, format!("{name} is required")))
    }

    /// A member that decides how the template expands, and so can't be left to a function.
    fn text(&mut self, name: &str) -> Result<String, TemplateError> {
        match self.required(name)? {
            Value::String(text) => Ok(text),
            _ => Err(wrong(&self.place, format!("{name} must be a plain string"))),
        }
    }

    fn move_to(&mut self, target: &mut Map<String, Value>, names: &[&str]) {
        for name in names {
            self.rename_to(target, name, name);
        }
    }

    fn rename_to(&mut self, target: &mut Map<String, Value>, name: &str, new_name: &str) {
        if let Some(value) = self.take(name) {
            target.insert(new_name.to_owned(), value);
        }
    }

    fn dead_letter_config(&mut self, target: &mut Map<String, Value>) -> Result<(), TemplateError> {
        if let Some(config) = self.take("DeadLetterConfig") {
            let mut config = Members::new(config, format!("{}.DeadLetterConfig", self.place))?;
            // With Type, SAM would make the queue.
            let arn = config.take("Arn");
            config.done()?;
            let arn = arn.ok_or_else(|| wrong(&config.place, "Arn is required"))?;
            target.insert("DeadLetterConfig".to_owned(), json!({"Arn": arn}));
        }
        Ok(())
    }

    /// An error if anything was not taken.
    fn done(&self) -> Result<(), TemplateError> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => Err(unsupported(&self.place, format!("the property {name}"))),
        }
    }
}
