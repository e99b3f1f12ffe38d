//! Intrinsic functions and conditions.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::identity::{self, Identity};
use super::parameters::{Parameter, scalar};
use super::{Target, TemplateError};

/// What a resource's properties are resolved against.
pub(crate) struct Scope<'template> {
    pub(crate) target: &'template Target,
    pub(crate) parameters: &'template BTreeMap<String, Parameter>,
    pub(crate) conditions: BTreeMap<String, bool>,
    /// The logical ids that SAM's own references stand for: `FUNCTION.Version` and `FUNCTION.Alias`.
    pub(crate) references: BTreeMap<String, String>,
}

/// Gives the identity of a resource, which it deploys first if need be; nothing if there is no such resource, or its condition
/// is false.
pub(crate) trait Resources {
    /// The identity, and the resource's type.
    fn resource(&mut self, scope: &Scope<'_>, logical_id: &str) -> Result<Option<(&Identity, &str)>, TemplateError>;
}

/// For the sections where no resource can be referred to.
pub(crate) struct NoResources;

impl Resources for NoResources {
    fn resource(&mut self, _: &Scope<'_>, _: &str) -> Result<Option<(&Identity, &str)>, TemplateError> {
        Ok(None)
    }
}

pub(crate) fn wrong(place: &str, reason: impl Into<String>) -> TemplateError {
    TemplateError::Wrong {
        place: place.to_owned(),
        reason: reason.into(),
    }
}

pub(crate) fn unsupported(place: &str, feature: impl Into<String>) -> TemplateError {
    TemplateError::Unsupported {
        place: place.to_owned(),
        feature: feature.into(),
    }
}

fn unresolved(place: &str, name: &str) -> TemplateError {
    wrong(
        place,
        format!("`{name}` is neither a parameter nor a resource of this stack"),
    )
}

/// The intrinsic function that `value` is, with its argument.
pub(crate) fn function(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let (name, argument) = object.iter().next()?;
    (name == "Ref" || name.starts_with("Fn::")).then_some((name.as_str(), argument))
}

/// A function's argument, which must be a list of `N`.
fn arguments<'value, const N: usize>(
    name: &str,
    argument: &'value Value,
    place: &str,
) -> Result<&'value [Value; N], TemplateError> {
    argument
        .as_array()
        .and_then(|items| items.as_slice().try_into().ok())
        .ok_or_else(|| wrong(place, format!("{name} takes a list of {N}")))
}

impl Scope<'_> {
    /// The value with every function in it applied; nothing where it is `AWS::NoValue`.
    pub(crate) fn resolve(
        &self,
        value: &Value,
        resources: &mut dyn Resources,
        place: &str,
    ) -> Result<Option<Value>, TemplateError> {
        if let Some((name, argument)) = function(value) {
            return self.apply(name, argument, resources, place);
        }
        Ok(Some(match value {
            Value::Null => return Err(wrong(place, "'null' values are not allowed in templates")),
            Value::Array(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    resolved.extend(self.resolve(item, resources, &format!("{place}.{index}"))?);
                }
                Value::Array(resolved)
            }
            Value::Object(members) => {
                let mut resolved = Map::new();
                for (name, member) in members {
                    if name == "Ref" || name.starts_with("Fn::") {
                        return Err(wrong(place, format!("{name} must stand alone")));
                    }
                    if let Some(value) = self.resolve(member, resources, &format!("{place}.{name}"))? {
                        resolved.insert(name.clone(), value);
                    }
                }
                Value::Object(resolved)
            }
            scalar => scalar.clone(),
        }))
    }

    /// The value, which must come out as a scalar, as text.
    pub(crate) fn text(
        &self,
        value: &Value,
        resources: &mut dyn Resources,
        place: &str,
    ) -> Result<String, TemplateError> {
        self.resolve(value, resources, place)?
            .as_ref()
            .and_then(scalar)
            .ok_or_else(|| wrong(place, "must be a string"))
    }

    fn apply(
        &self,
        name: &str,
        argument: &Value,
        resources: &mut dyn Resources,
        place: &str,
    ) -> Result<Option<Value>, TemplateError> {
        Ok(Some(match name {
            "Ref" => match argument.as_str() {
                Some("AWS::NoValue") => return Ok(None),
                Some(name) => self.reference(name, resources, place)?,
                None => return Err(wrong(place, "Ref takes a name")),
            },
            "Fn::GetAtt" => {
                let (resource, attribute) = attribute_of(argument, place)?;
                Value::from(attribute_value(self, resource, attribute, resources, place)?)
            }
            "Fn::Sub" => Value::from(self.substitute(argument, resources, place)?),
            "Fn::If" => {
                let [condition, then, otherwise] = arguments(name, argument, place)?;
                let branch = if self.condition(condition, place)? {
                    then
                } else {
                    otherwise
                };
                return self.resolve(branch, resources, place);
            }
            "Fn::Join" => {
                let [separator, items] = arguments(name, argument, place)?;
                let items = self.list(name, items, resources, place)?;
                let Some(separator) = separator.as_str() else {
                    return Err(wrong(place, "Fn::Join takes a delimiter that is a string"));
                };
                Value::from(texts(name, &items, place)?.join(separator))
            }
            "Fn::Select" => {
                let [index, items] = arguments(name, argument, place)?;
                let index = self.text(index, resources, place)?;
                let items = self.list(name, items, resources, place)?;
                match index.parse::<usize>().ok().and_then(|index| items.get(index)) {
                    Some(item) => item.clone(),
                    None => {
                        return Err(wrong(
                            place,
                            format!("Fn::Select cannot select nonexistent value at index {index}"),
                        ));
                    }
                }
            }
            "Fn::Split" => {
                let [separator, text] = arguments(name, argument, place)?;
                let text = self.text(text, resources, place)?;
                match separator.as_str() {
                    Some(separator) if !separator.is_empty() => text.split(separator).map(Value::from).collect(),
                    _ => return Err(wrong(place, "Fn::Split takes a delimiter that is a string")),
                }
            }
            "Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or" => {
                return Err(wrong(place, format!("{name} is only for the Conditions section")));
            }
            other => return Err(unsupported(place, other)),
        }))
    }

    fn reference(&self, name: &str, resources: &mut dyn Resources, place: &str) -> Result<Value, TemplateError> {
        let name = self.references.get(name).map_or(name, String::as_str);
        if let Some(parameter) = self.parameters.get(name) {
            return Ok(parameter.value());
        }
        Ok(Value::from(match name {
            "AWS::AccountId" => self.target.account.clone(),
            "AWS::Region" => self.target.region.clone(),
            "AWS::StackName" => self.target.stack_name.clone(),
            "AWS::StackId" => identity::stack_id(self.target),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            name if name.starts_with("AWS::") => {
                return Err(unsupported(place, format!("the pseudo parameter {name}")));
            }
            name => match resources.resource(self, name)? {
                Some((identity, _)) => identity.physical_id.clone(),
                None => return Err(unresolved(place, name)),
            },
        }))
    }

    fn list(
        &self,
        name: &str,
        value: &Value,
        resources: &mut dyn Resources,
        place: &str,
    ) -> Result<Vec<Value>, TemplateError> {
        match self.resolve(value, resources, place)? {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(wrong(place, format!("{name} takes a list"))),
        }
    }

    /// `Fn::Sub`: `${Name}`, `${Resource.Attribute}`, and `${!Literal}`, which stays as `${Literal}`.
    fn substitute(
        &self,
        argument: &Value,
        resources: &mut dyn Resources,
        place: &str,
    ) -> Result<String, TemplateError> {
        let none = Map::new();
        let (template, variables) = match argument {
            Value::String(template) => (template, &none),
            Value::Array(items) => match items.as_slice() {
                [Value::String(template), Value::Object(variables)] => (template, variables),
                _ => return Err(wrong(place, "Fn::Sub takes a string, or a list of a string and a map")),
            },
            _ => return Err(wrong(place, "Fn::Sub takes a string, or a list of a string and a map")),
        };
        let mut text = String::with_capacity(template.len());
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            text.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                return Err(wrong(
                    place,
                    format!("Fn::Sub has a `${{` without its `}}`: `{template}`"),
                ));
            };
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                text.push_str("${");
                text.push_str(literal);
                text.push('}');
                continue;
            }
            let name = name.trim();
            if let Some(value) = variables.get(name) {
                text.push_str(&self.text(value, resources, &format!("{place}.{name}"))?);
            } else if let Some((resource, attribute)) = name.split_once('.')
                && !self.references.contains_key(name)
            {
                text.push_str(&attribute_value(self, resource, attribute, resources, place)?);
            } else {
                match scalar(&self.reference(name, resources, place)?) {
                    Some(value) => text.push_str(&value),
                    None => return Err(wrong(place, format!("Fn::Sub takes strings, and `{name}` is a list"))),
                }
            }
        }
        text.push_str(rest);
        Ok(text)
    }

    /// Whether the condition of that name holds.
    pub(crate) fn condition(&self, name: &Value, place: &str) -> Result<bool, TemplateError> {
        let Some(name) = name.as_str() else {
            return Err(wrong(place, "a condition is given by its name"));
        };
        self.conditions
            .get(name)
            .copied()
            .ok_or_else(|| wrong(place, format!("there is no condition `{name}`")))
    }

    /// Evaluates the `Conditions` section.
    pub(crate) fn evaluate_conditions(&mut self, section: Option<&Value>) -> Result<(), TemplateError> {
        let declared = match section {
            None => return Ok(()),
            Some(Value::Object(declared)) => declared,
            Some(_) => return Err(wrong("Conditions", "must be a map")),
        };
        for name in declared.keys() {
            self.evaluate_condition(name, declared, &mut Vec::new(), "Conditions")?;
        }
        Ok(())
    }

    fn evaluate_condition(
        &mut self,
        name: &str,
        declared: &Map<String, Value>,
        within: &mut Vec<String>,
        place: &str,
    ) -> Result<bool, TemplateError> {
        if let Some(known) = self.conditions.get(name) {
            return Ok(*known);
        }
        let Some(expression) = declared.get(name) else {
            return Err(wrong(place, format!("there is no condition `{name}`")));
        };
        if within.iter().any(|outer| outer == name) {
            return Err(wrong(
                place,
                format!("conditions in a circle: {}, {name}", within.join(", ")),
            ));
        }
        within.push(name.to_owned());
        let holds = self.evaluate(expression, declared, within, &format!("Conditions.{name}"))?;
        within.pop();
        self.conditions.insert(name.to_owned(), holds);
        Ok(holds)
    }

    fn evaluate(
        &mut self,
        expression: &Value,
        declared: &Map<String, Value>,
        within: &mut Vec<String>,
        place: &str,
    ) -> Result<bool, TemplateError> {
        let mut members = expression.as_object().into_iter().flatten();
        let (Some((name, argument)), None) = (members.next(), members.next()) else {
            return Err(wrong(
                place,
                "a condition is Fn::Equals, Fn::Not, Fn::And, Fn::Or or Condition",
            ));
        };
        match name.as_str() {
            "Condition" => match argument.as_str() {
                Some(name) => self.evaluate_condition(name, declared, within, place),
                None => Err(wrong(place, "a condition is given by its name")),
            },
            "Fn::Equals" => {
                let [one, other] = arguments(name, argument, place)?;
                let one = self.text(one, &mut NoResources, place)?;
                Ok(one == self.text(other, &mut NoResources, place)?)
            }
            "Fn::Not" => {
                let [inner] = arguments(name, argument, place)?;
                Ok(!self.evaluate(inner, declared, within, place)?)
            }
            "Fn::And" | "Fn::Or" => {
                let Some(inner) = argument.as_array().filter(|inner| (2..=10).contains(&inner.len())) else {
                    return Err(wrong(place, format!("{name} takes a list of 2 to 10")));
                };
                let wanted = name == "Fn::Or";
                let mut holds = !wanted;
                for condition in inner {
                    // Each is evaluated, so that a mistake in any shows.
                    if self.evaluate(condition, declared, within, place)? == wanted {
                        holds = wanted;
                    }
                }
                Ok(holds)
            }
            "Fn::FindInMap" => Err(unsupported(place, name)),
            _ => Err(wrong(
                place,
                "a condition is Fn::Equals, Fn::Not, Fn::And, Fn::Or or Condition",
            )),
        }
    }
}

fn attribute_of<'value>(argument: &'value Value, place: &str) -> Result<(&'value str, &'value str), TemplateError> {
    let parts = match argument {
        Value::String(text) => text.split_once('.'),
        Value::Array(items) => match items.as_slice() {
            [Value::String(resource), Value::String(attribute)] => Some((resource.as_str(), attribute.as_str())),
            _ => None,
        },
        _ => None,
    };
    parts.ok_or_else(|| wrong(place, "Fn::GetAtt takes a resource and an attribute"))
}

fn attribute_value(
    scope: &Scope<'_>,
    resource: &str,
    attribute: &str,
    resources: &mut dyn Resources,
    place: &str,
) -> Result<String, TemplateError> {
    // `FUNCTION.Version.Version` is an attribute of the version that SAM has made.
    let derived = attribute.split_once('.').and_then(|(property, attribute)| {
        let resource = scope.references.get(&format!("{resource}.{property}"))?;
        Some((resource.as_str(), attribute))
    });
    let (resource, attribute) = derived.unwrap_or((resource, attribute));
    let Some((identity, kind)) = resources.resource(scope, resource)? else {
        return Err(unresolved(place, resource));
    };
    match identity.attributes.get(attribute) {
        Some(value) => Ok(value.clone()),
        None => {
            let known: Vec<&str> = identity.attributes.keys().map(String::as_str).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            Err(wrong(
                place,
                format!("{resource} ({kind}) has no attribute {attribute}; the local cloud knows: {known}"),
            ))
        }
    }
}

fn texts(name: &str, items: &[Value], place: &str) -> Result<Vec<String>, TemplateError> {
    items
        .iter()
        .map(|item| scalar(item).ok_or_else(|| wrong(place, format!("{name} takes a list of strings"))))
        .collect()
}
