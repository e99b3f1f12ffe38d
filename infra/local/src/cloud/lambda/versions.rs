//! Versions and aliases: what a name with a qualifier stands for, and which version an invocation runs.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::super::{ApiError, Cloud};
use super::Function;
use crate::template::{Resource, TemplateError};

/// The qualifier of what is not published.
pub(super) const LATEST: &str = "$LATEST";

/// An alias.
#[derive(Debug)]
pub(super) struct Alias {
    /// The version that it points to.
    pub(super) version: String,
    /// A second version, and its share of the invocations.
    pub(super) additional: Option<(String, f64)>,
    pub(super) description: String,
    /// Changes with every change.
    pub(super) revision_id: String,
}

/// A function's name and qualifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) function: String,
    pub(super) qualifier: Option<String>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.qualifier {
            Some(qualifier) => write!(f, "{}:{qualifier}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

impl Named {
    /// Reads `NAME`, `ACCOUNT:function:NAME` or `arn:aws:lambda:REGION:ACCOUNT:function:NAME`, each with `:QUALIFIER` or without. A
    /// qualifier may also come by itself; two must be the same.
    pub(super) fn parse(name_or_arn: &str, qualifier: Option<&str>) -> Result<Self, ApiError> {
        let name = name_or_arn
            .split_once(":function:")
            .map_or(name_or_arn, |(_, name)| name);
        let (function, within) = match name.split_once(':') {
            Some((function, qualifier)) => (function, Some(qualifier)),
            None => (name, None),
        };
        let qualifier = qualifier.filter(|qualifier| !qualifier.is_empty());
        if within.is_some() && qualifier.is_some() && within != qualifier {
            return Err(ApiError::new(
                "InvalidParameterValueException",
                "The derived qualifier from the function name does not match the specified qualifier.",
            ));
        }
        Ok(Self {
            function: function.to_owned(),
            qualifier: within.or(qualifier).map(str::to_owned),
        })
    }

    /// The qualifier, which is `$LATEST` where none was given.
    pub(super) fn qualifier_or_latest(&self) -> &str {
        self.qualifier.as_deref().unwrap_or(LATEST)
    }

    /// The function, if it and what the qualifier names are there.
    pub(super) fn found<'cloud>(&self, cloud: &'cloud mut Cloud) -> Option<&'cloud mut Function> {
        let function = cloud.lambda.functions.get_mut(&self.function)?;
        function.has(self.qualifier_or_latest()).then_some(function)
    }
}

impl Function {
    fn has(&self, qualifier: &str) -> bool {
        qualifier == LATEST || self.aliases.contains_key(qualifier) || self.has_version(qualifier)
    }

    fn has_version(&self, version: &str) -> bool {
        let number = version.parse::<u64>().ok();
        number.is_some_and(|number| (1..=self.newest).contains(&number) && number.to_string() == version)
    }
}

/// The version that an invocation of this name runs: an alias that points to two draws one of them by their weights. Nothing where
/// there is no such function, version or alias.
pub(super) fn version_to_run(cloud: &mut Cloud, name: &Named) -> Option<String> {
    let function = cloud.lambda.functions.get(&name.function)?;
    let qualifier = name.qualifier_or_latest();
    let Some(alias) = function.aliases.get(qualifier) else {
        return function.has(qualifier).then(|| qualifier.to_owned());
    };
    let (version, additional) = (alias.version.clone(), alias.additional.clone());
    match additional {
        Some((additional, weight)) if cloud.chance() < weight => Some(additional),
        _ => Some(version),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct VersionProperties {
    function_name: String,
    #[serde(rename = "Description")]
    _description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct AliasProperties {
    name: String,
    function_name: String,
    function_version: String,
    #[serde(default)]
    description: String,
}

/// Publishes the function's first version. Another resource of the kind publishes none, as nothing has changed in between.
pub(super) fn deploy_version(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    let properties: VersionProperties = resource.read()?;
    let name = Named::parse(&properties.function_name, None).map_err(|error| resource.wrong(error.message))?;
    let function = name.found(cloud).ok_or_else(|| resource.wrong("no such function"))?;
    function.newest = function.newest.max(1);
    Ok(())
}

pub(super) fn deploy_alias(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    let properties: AliasProperties = resource.read()?;
    let name = Named::parse(&properties.function_name, None).map_err(|error| resource.wrong(error.message))?;
    let revision_id = cloud.uuid();
    let function = name.found(cloud).ok_or_else(|| resource.wrong("no such function"))?;
    let version = properties.function_version;
    if version != LATEST && !function.has_version(&version) {
        return Err(resource.wrong(format!("the function has no version `{version}`")));
    }
    let alias = Alias {
        version,
        additional: None,
        description: properties.description,
        revision_id,
    };
    function.aliases.insert(properties.name, alias);
    Ok(())
}

/// Publishes a version; its number.
pub(crate) fn publish_version(cloud: &mut Cloud, function: &str) -> Option<String> {
    let function = cloud.lambda.functions.get_mut(function)?;
    function.newest += 1;
    Some(function.newest.to_string())
}

/// The aliases of a function that point to a version, and to which; nothing where there is no such function.
pub(crate) fn published_aliases(cloud: &Cloud, function: &str) -> Option<Vec<(String, String)>> {
    let aliases = cloud.lambda.functions.get(function)?.aliases.iter();
    let published = aliases.filter(|(_, alias)| alias.version != LATEST);
    Some(
        published
            .map(|(name, alias)| (name.clone(), alias.version.clone()))
            .collect(),
    )
}

/// Points an alias to a version, and gives a share of its invocations to another one.
pub(crate) fn move_alias(
    cloud: &mut Cloud,
    function: &str,
    alias: &str,
    version: &str,
    additional: Option<(String, f64)>,
) {
    let revision_id = cloud.uuid();
    let function = cloud.lambda.functions.get_mut(function);
    if let Some(alias) = function.and_then(|function| function.aliases.get_mut(alias)) {
        version.clone_into(&mut alias.version);
        alias.additional = additional;
        alias.revision_id = revision_id;
    }
}

/// What GetAlias says of an alias.
pub(super) fn show(arn: String, name: &str, alias: &Alias) -> Value {
    let mut shown = serde_json::json!({
        "AliasArn": arn,
        "Name": name,
        "FunctionVersion": alias.version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    });
    if let (Some((version, weight)), Value::Object(members)) = (&alias.additional, &mut shown) {
        let weights = serde_json::json!({"AdditionalVersionWeights": {version: weight}});
        members.insert("RoutingConfig".to_owned(), weights);
    }
    shown
}
