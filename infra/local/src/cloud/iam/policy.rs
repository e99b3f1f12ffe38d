//! Policies, read into statements.

use serde_json::{Map, Value};

use super::condition::{self, Condition};
use super::pattern::Pattern;
use crate::template::{Resource, TemplateError};

/// One statement of a policy.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    /// `Sid`, or else the statement's place, from 0.
    pub(super) name: String,
    pub(super) allow: bool,
    /// Whom a resource's policy speaks of; none in a policy of a role.
    pub(super) principals: Vec<Who>,
    pub(super) actions: Vec<Pattern>,
    pub(super) resources: Vec<Pattern>,
    pub(super) conditions: Vec<Condition>,
    /// Where its grants begin: one for each action and resource, the resources of the first action first.
    pub(super) first_grant: usize,
}

/// Whom a statement of a resource's policy speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    /// Everybody.
    Anyone,
    /// An account, by its id: whoever the account's own policies let.
    Account(String),
    /// A role, by its ARN.
    Role(String),
    /// A service, by its principal.
    Service(String),
}

/// What is expected of a statement besides effect and action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A policy of a role: on resources.
    Identity,
    /// A policy of a resource: for principals, on resources.
    Resource,
    /// A role's trust policy: for principals. The resource is the role.
    Trust,
}

/// Reads a policy's statements.
///
/// # Errors
/// Where the policy is wrong, or has something that the local cloud does not know.
pub(super) fn read(resource: &Resource, document: &Value, kind: Kind) -> Result<Vec<Statement>, TemplateError> {
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) => statements.iter().collect(),
        Some(statement @ Value::Object(_)) => vec![statement],
        _ => return Err(resource.wrong("a policy has no `Statement`")),
    };
    let mut read = Vec::with_capacity(statements.len());
    for (place, statement) in statements.into_iter().enumerate() {
        let members = statement
            .as_object()
            .ok_or_else(|| resource.wrong("a statement is not an object"))?;
        read.push(read_statement(resource, members, kind, place)?);
    }
    Ok(read)
}

fn read_statement(
    resource: &Resource,
    members: &Map<String, Value>,
    kind: Kind,
    place: usize,
) -> Result<Statement, TemplateError> {
    let known: &[&str] = match kind {
        Kind::Identity => &["Sid", "Effect", "Action", "Resource", "Condition"],
        Kind::Resource => &["Sid", "Effect", "Principal", "Action", "Resource", "Condition"],
        Kind::Trust => &["Sid", "Effect", "Principal", "Action", "Condition"],
    };
    if let Some(unknown) = members.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(resource.unsupported(format!("`{unknown}` in a policy's statement")));
    }
    let allow = match members.get("Effect").and_then(Value::as_str) {
        Some("Allow") => true,
        Some("Deny") => false,
        _ => return Err(resource.wrong("a statement's `Effect` is neither Allow nor Deny")),
    };
    let strings = |name: &str| {
        let mut strings: Vec<Pattern> = Vec::new();
        for text in members.get(name).map(texts).unwrap_or_default() {
            if text.contains("${") {
                return Err(resource.unsupported(format!("the policy variable in `{text}`")));
            }
            let pattern = Pattern::new(text);
            if !strings.contains(&pattern) {
                strings.push(pattern);
            }
        }
        if strings.is_empty() {
            Err(resource.wrong(format!("a statement has no `{name}`")))
        } else {
            Ok(strings)
        }
    };
    let principals = match (kind, members.get("Principal")) {
        (Kind::Identity, _) => Vec::new(),
        (_, Some(principal)) => read_principal(resource, principal)?,
        (_, None) => return Err(resource.wrong("a statement has no `Principal`")),
    };
    Ok(Statement {
        name: match members.get("Sid").and_then(Value::as_str) {
            Some(sid) if !sid.is_empty() => sid.to_owned(),
            _ => place.to_string(),
        },
        allow,
        principals,
        actions: strings("Action")?,
        resources: match kind {
            Kind::Trust => vec![Pattern::new(resource.arn().to_owned())],
            Kind::Identity | Kind::Resource => strings("Resource")?,
        },
        conditions: condition::read(resource, members.get("Condition"))?,
        first_grant: 0,
    })
}

fn read_principal(resource: &Resource, principal: &Value) -> Result<Vec<Who>, TemplateError> {
    let Value::Object(kinds) = principal else {
        let names = texts(principal);
        return names.iter().map(|name| who(resource, name)).collect();
    };
    let mut read = Vec::new();
    for (kind, names) in kinds {
        for name in texts(names) {
            read.push(match kind.as_str() {
                "AWS" => who(resource, &name)?,
                "Service" => Who::Service(name),
                _ => return Err(resource.unsupported(format!("the principal `{kind}: {name}`"))),
            });
        }
    }
    if read.is_empty() {
        return Err(resource.wrong("a statement has no `Principal`"));
    }
    Ok(read)
}

/// Whom a name stands for: `*`, an account's id or root, a role's ARN, or a service, where `AWS::Lambda::Permission` has it.
pub(super) fn who(resource: &Resource, name: &str) -> Result<Who, TemplateError> {
    let parts: Vec<&str> = name.splitn(6, ':').collect();
    match parts.as_slice() {
        ["*"] => Ok(Who::Anyone),
        [id] if id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Who::Account(name.to_owned())),
        [service] if service.ends_with(".amazonaws.com") => Ok(Who::Service(name.to_owned())),
        ["arn", _, "iam", "", account, "root"] => Ok(Who::Account((*account).to_owned())),
        ["arn", _, "iam", "", _, role] if role.starts_with("role/") => Ok(Who::Role(name.to_owned())),
        _ => Err(resource.unsupported(format!("the principal `{name}`"))),
    }
}

/// The texts of a text or a list of texts.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
        Value::Null | Value::Object(_) => Vec::new(),
    }
}

impl Statement {
    /// The grants, each an action and a resource of the statement, that speak of this action on this resource, whatever the
    /// conditions. Actions are compared without regard to case, resources with.
    pub(super) fn grants<'a>(&'a self, action: &'a str, resource: &'a str) -> impl Iterator<Item = usize> + 'a {
        let width = self.resources.len();
        let actions = self.actions.iter().enumerate();
        let actions = actions.filter(move |(_, pattern)| pattern.matches_ignoring_case(action));
        actions.flat_map(move |(row, _)| {
            let resources = self.resources.iter().enumerate();
            let resources = resources.filter(move |(_, pattern)| pattern.matches(resource));
            resources.map(move |(column, _)| self.first_grant + row * width + column)
        })
    }

    /// Its actions and resources, in the order of its grants.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&Pattern, &Pattern)> {
        let pairs = |action| self.resources.iter().map(move |resource| (action, resource));
        self.actions.iter().flat_map(pairs)
    }
}
