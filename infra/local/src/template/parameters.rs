//! The template's parameters: their values, defaults and constraints.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::TemplateError;

/// A parameter with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    /// The value as text.
    pub(crate) text: String,
    /// Whether `Ref` is a list: the text's parts between commas.
    is_list: bool,
}

impl Parameter {
    /// What `Ref` returns. A number is its text, as on CloudFormation.
    pub(crate) fn value(&self) -> Value {
        if self.is_list {
            self.items().map(Value::from).collect()
        } else {
            Value::from(self.text.as_str())
        }
    }

    fn items(&self) -> impl Iterator<Item = &str> {
        self.text.split(',').map(str::trim)
    }
}

/// Reads the `Parameters` section and applies what was given.
pub(crate) fn read(
    section: Option<&Value>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Parameter>, TemplateError> {
    let empty = Map::new();
    let declared = match section {
        None => &empty,
        Some(Value::Object(declared)) => declared,
        Some(_) => return Err(wrong("Parameters", "must be a map")),
    };
    if let Some(name) = given.keys().find(|name| !declared.contains_key(*name)) {
        let known: Vec<&str> = declared.keys().map(String::as_str).collect();
        return Err(TemplateError::Parameter {
            name: name.clone(),
            reason: if known.is_empty() {
                "the template has no parameters".to_owned()
            } else {
                format!("is not in the template, which has {}", sorted(known).join(", "))
            },
        });
    }
    let mut parameters = BTreeMap::new();
    for (name, declaration) in declared {
        let parameter = Declaration::read(name, declaration)?.apply(given.get(name))?;
        parameters.insert(name.clone(), parameter);
    }
    Ok(parameters)
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names
}

fn wrong(place: impl Into<String>, reason: impl Into<String>) -> TemplateError {
    TemplateError::Wrong {
        place: place.into(),
        reason: reason.into(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Number,
    List,
}

/// A parameter as the template declares it.
struct Declaration<'template> {
    name: &'template str,
    kind: Kind,
    default: Option<String>,
    allowed: Option<Vec<String>>,
    pattern: Option<String>,
    length: (Option<f64>, Option<f64>),
    range: (Option<f64>, Option<f64>),
    description: Option<String>,
}

impl<'template> Declaration<'template> {
    fn read(name: &'template str, declaration: &Value) -> Result<Declaration<'template>, TemplateError> {
        let place = format!("Parameters.{name}");
        let Value::Object(members) = declaration else {
            return Err(wrong(place, "must be a map"));
        };
        let mut this = Declaration {
            name,
            kind: Kind::Text,
            default: None,
            allowed: None,
            pattern: None,
            length: (None, None),
            range: (None, None),
            description: None,
        };
        let mut typed = false;
        for (key, value) in members {
            let place = format!("{place}.{key}");
            let text = || scalar(value).ok_or_else(|| wrong(place.clone(), "must be a string or a number"));
            let number = || {
                let text = text()?;
                text.parse::<f64>()
                    .map_err(|_| wrong(place.clone(), format!("must be a number, and is `{text}`")))
            };
            match key.as_str() {
                "Type" => {
                    typed = true;
                    this.kind = match text()?.as_str() {
                        "String" => Kind::Text,
                        "Number" => Kind::Number,
                        "CommaDelimitedList" => Kind::List,
                        other => {
                            return Err(TemplateError::Unsupported {
                                place,
                                feature: format!("the parameter type {other}"),
                            });
                        }
                    };
                }
                "Default" => this.default = Some(text()?),
                "AllowedValues" => {
                    let values = value.as_array().and_then(|values| values.iter().map(scalar).collect());
                    this.allowed = Some(values.ok_or_else(|| wrong(place, "must be a list of strings or numbers"))?);
                }
                "AllowedPattern" => this.pattern = Some(text()?),
                "MinLength" => this.length.0 = Some(number()?),
                "MaxLength" => this.length.1 = Some(number()?),
                "MinValue" => this.range.0 = Some(number()?),
                "MaxValue" => this.range.1 = Some(number()?),
                "ConstraintDescription" => this.description = Some(text()?),
                "Description" | "NoEcho" => {}
                other => return Err(wrong(format!("Parameters.{name}"), format!("invalid property {other}"))),
            }
        }
        if typed {
            Ok(this)
        } else {
            Err(wrong(place, "a parameter must have a Type"))
        }
    }

    fn refuse(&self, reason: String) -> TemplateError {
        TemplateError::Parameter {
            name: self.name.to_owned(),
            reason: match &self.description {
                Some(description) => format!("{reason} ({description})"),
                None => reason,
            },
        }
    }

    fn apply(&self, given: Option<&String>) -> Result<Parameter, TemplateError> {
        let Some(text) = given.or(self.default.as_ref()) else {
            return Err(self.refuse("must have a value, because it has no default".to_owned()));
        };
        let parameter = Parameter {
            text: text.clone(),
            is_list: self.kind == Kind::List,
        };
        if self.kind == Kind::List {
            parameter.items().try_for_each(|item| self.check(item))?;
        } else {
            self.check(text)?;
        }
        Ok(parameter)
    }

    fn check(&self, text: &str) -> Result<(), TemplateError> {
        if let Some(allowed) = &self.allowed
            && !allowed.iter().any(|value| value == text)
        {
            return Err(self.refuse(format!("must be one of {}, and is `{text}`", allowed.join(", "))));
        }
        if let Some(pattern) = &self.pattern {
            // CloudFormation's pattern must match the whole value.
            let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(|_| TemplateError::Unsupported {
                place: format!("Parameters.{}.AllowedPattern", self.name),
                feature: format!("the regular expression `{pattern}`"),
            })?;
            if !whole.is_match(text) {
                return Err(self.refuse(format!("must match the pattern {pattern}, and is `{text}`")));
            }
        }
        if self.kind == Kind::Number {
            let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) else {
                return Err(self.refuse(format!("must be a number, and is `{text}`")));
            };
            check_range(number, self.range, "be", "")
                .map_err(|reason| self.refuse(format!("{reason}, and is {text}")))?;
        } else {
            #[expect(clippy::cast_precision_loss, reason = "a parameter has at most 4096 characters")]
            let length = text.chars().count() as f64;
            check_range(length, self.length, "have", " characters")
                .map_err(|reason| self.refuse(format!("{reason}, and has {length}")))?;
        }
        Ok(())
    }
}

fn check_range(value: f64, (least, most): (Option<f64>, Option<f64>), verb: &str, unit: &str) -> Result<(), String> {
    match (least, most) {
        (Some(least), _) if value < least => Err(format!("must {verb} at least {least}{unit}")),
        (_, Some(most)) if value > most => Err(format!("must {verb} at most {most}{unit}")),
        _ => Ok(()),
    }
}

/// A scalar's text; nothing for a list, a map or null.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
