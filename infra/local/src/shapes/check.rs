//! The check of one value against one shape.

use std::fmt;

use serde_json::Value;

use super::{Kind, Model, Shape, ShapeId, member};

/// How deep an input may nest. The models' recursive shapes have no bound of their own; a thread's stack has.
const DEPTH: usize = 64;

/// Where in the input a value stands. Lives on the stack and becomes a text only for a fault.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    /// From one, as in the services' messages.
    Element(&'a Path<'a>, usize),
    Entry(&'a Path<'a>, &'a str),
}

impl Path<'_> {
    /// `vpcConfig.subnets`, `tags.1.member.key`: each member with its first letter small.
    fn text(&self) -> String {
        let (parent, own) = match self {
            Self::Root => return String::new(),
            Self::Member(parent, name) => {
                let mut letters = name.chars();
                let first = letters.next().map(|first| first.to_ascii_lowercase());
                (parent, first.into_iter().chain(letters).collect())
            }
            Self::Element(parent, number) => (parent, format!("{number}.member")),
            Self::Entry(parent, key) => (parent, format!("{key}.member")),
        };
        let parent = parent.text();
        if parent.is_empty() {
            own
        } else {
            format!("{parent}.{own}")
        }
    }

    /// The top-level parameter that this lies in.
    fn parameter(&self) -> &str {
        match self {
            Self::Root => "",
            Self::Member(Path::Root, name) => name,
            Self::Member(parent, _) | Self::Element(parent, _) | Self::Entry(parent, _) => parent.parameter(),
        }
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Missing,
    Constraint,
    /// A wrong JSON type: the service could not even read the call.
    Serialization,
    Unknown,
}

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Fault {
    sort: Sort,
    /// The value as Java prints it.
    value: String,
    path: String,
    parameter: String,
    constraint: String,
}

impl Fault {
    pub(super) fn is_missing(&self) -> bool {
        self.sort == Sort::Missing
    }

    pub(super) fn is_serialization(&self) -> bool {
        self.sort == Sort::Serialization
    }

    /// `Member must not be null` and the like.
    pub(super) fn constraint(&self) -> &str {
        &self.constraint
    }

    /// The top-level parameter that it lies in.
    pub(super) fn parameter(&self) -> &str {
        &self.parameter
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            value,
            path,
            constraint,
            ..
        } = self;
        match self.sort {
            Sort::Missing => write!(f, "Value null at '{path}' failed to satisfy constraint: {constraint}"),
            Sort::Constraint => write!(
                f,
                "Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"
            ),
            Sort::Serialization | Sort::Unknown => write!(f, "at '{path}': {constraint}"),
        }
    }
}

/// One check, with what it has found.
pub(super) struct Checker<'m> {
    model: &'m Model,
    /// Whether a member that the model does not know is a fault.
    pub(super) report_unknown: bool,
    pub(super) faults: Vec<Fault>,
}

impl<'m> Checker<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        Self {
            model,
            report_unknown: false,
            faults: Vec::new(),
        }
    }

    /// Checks the whole value.
    pub(super) fn check(&mut self, shape: ShapeId, value: &Value) {
        self.visit(shape, value, &Path::Root, 0);
    }

    fn fault(&mut self, sort: Sort, path: &Path<'_>, value: &Value, constraint: String) {
        let mut text = String::new();
        if sort == Sort::Constraint {
            java(value, &mut text);
        }
        self.faults.push(Fault {
            sort,
            value: text,
            path: path.text(),
            parameter: path.parameter().to_owned(),
            constraint,
        });
    }

    fn missing(&mut self, path: &Path<'_>) {
        self.fault(Sort::Missing, path, &Value::Null, "Member must not be null".to_owned());
    }

    fn visit(&mut self, id: ShapeId, value: &Value, path: &Path<'_>, depth: usize) {
        let model = self.model;
        let Some(shape) = model.shape(id) else { return };
        if depth > DEPTH {
            let constraint = format!("The value nests deeper than {DEPTH} levels.");
            self.fault(Sort::Serialization, path, value, constraint);
            return;
        }
        match (&shape.kind, value) {
            (Kind::Structure { members, required }, Value::Object(given)) => {
                for name in required {
                    if given.get(name).is_none_or(Value::is_null) {
                        self.missing(&Path::Member(path, name));
                    }
                }
                for (name, value) in given {
                    let path = Path::Member(path, name);
                    match member(members, name) {
                        // A null is as good as nothing.
                        Some(_) if value.is_null() => {}
                        Some(part) => self.visit(part.shape, value, &path, depth + 1),
                        None if self.report_unknown => {
                            let constraint = format!("the model has no member {name}");
                            self.fault(Sort::Unknown, &path, value, constraint);
                        }
                        None => {}
                    }
                }
            }
            (Kind::List(part), Value::Array(given)) => {
                self.bounds(shape, given.len(), path, value);
                let Some(of) = model.shape(part.shape) else { return };
                let mut told = false;
                for (index, element) in given.iter().enumerate() {
                    let path = Path::Element(path, index + 1);
                    if element.is_null() {
                        self.missing(&path);
                    } else if !of.is_scalar() || of.wrong_type(element).is_some() {
                        self.visit(part.shape, element, &path, depth + 1);
                    } else if !told && !of.satisfied(element) {
                        // Of a list of scalars the whole list is the value that fails, once.
                        told = true;
                    }
                }
                if told {
                    let constraint = format!("Member must satisfy constraint: [{}]", of.constraints());
                    self.fault(Sort::Constraint, path, value, constraint);
                }
            }
            (Kind::Map(key, part), Value::Object(given)) => {
                self.bounds(shape, given.len(), path, value);
                let (Some(key), Some(of)) = (model.shape(key.shape), model.shape(part.shape)) else {
                    return;
                };
                let (mut bad_key, mut bad_value) = (false, false);
                for (name, element) in given {
                    let path = Path::Entry(path, name);
                    bad_key |= !key.satisfied_text(name);
                    if element.is_null() {
                        self.missing(&path);
                    } else if !of.is_scalar() || of.wrong_type(element).is_some() {
                        self.visit(part.shape, element, &path, depth + 1);
                    } else {
                        bad_value |= !of.satisfied(element);
                    }
                }
                for (bad, what, of) in [(bad_key, "keys", key), (bad_value, "value", of)] {
                    if bad {
                        let constraint = format!("Map {what} must satisfy constraint: [{}]", of.constraints());
                        self.fault(Sort::Constraint, path, value, constraint);
                    }
                }
            }
            _ => match shape.wrong_type(value) {
                Some(constraint) => self.fault(Sort::Serialization, path, value, constraint),
                None => shape.each_broken(value, |constraint| {
                    self.fault(Sort::Constraint, path, value, constraint)
                }),
            },
        }
    }

    /// The bounds of a list or a map.
    fn bounds(&mut self, shape: &Shape, size: usize, path: &Path<'_>, value: &Value) {
        shape.each_out_of_bounds(size as f64, "length", |constraint| {
            self.fault(Sort::Constraint, path, value, constraint);
        });
    }
}

impl Shape {
    fn is_scalar(&self) -> bool {
        !matches!(self.kind, Kind::List(_) | Kind::Map(..) | Kind::Structure { .. })
    }

    /// What the service says where the value is not of the shape's JSON type.
    fn wrong_type(&self, value: &Value) -> Option<String> {
        let right = match (&self.kind, value) {
            (Kind::String, Value::String(_))
            | (Kind::Boolean, Value::Bool(_))
            | (Kind::Float | Kind::Timestamp, Value::Number(_))
            | (Kind::List(_), Value::Array(_))
            | (Kind::Map(..) | Kind::Structure { .. }, Value::Object(_)) => true,
            (Kind::Integer { long }, Value::Number(number)) => number
                .as_i64()
                .is_some_and(|number| *long || i32::try_from(number).is_ok()),
            // JSON has no other way to write these.
            (Kind::Float, Value::String(text)) => matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity"),
            (Kind::Blob, Value::String(text)) => base64_length(text).is_some(),
            _ => false,
        };
        if right {
            return None;
        }
        let wanted = match self.kind {
            Kind::List(_) => return Some("Expected list or null".to_owned()),
            Kind::Map(..) | Kind::Structure { .. } => return Some("Expected map or null".to_owned()),
            Kind::String => "String",
            Kind::Blob => "Blob",
            Kind::Boolean => "Boolean",
            Kind::Integer { long: false } => "Integer",
            Kind::Integer { long: true } => "Long",
            Kind::Float => "Double",
            Kind::Timestamp => "Timestamp",
        };
        let given = match value {
            Value::Object(_) => return Some("Start of structure or map found where not expected.".to_owned()),
            Value::Array(_) => return Some("Start of list found where not expected".to_owned()),
            Value::String(_) => "STRING_VALUE",
            Value::Number(_) => "NUMBER_VALUE",
            Value::Bool(true) => "TRUE_VALUE",
            Value::Bool(false) => "FALSE_VALUE",
            Value::Null => "NULL_VALUE",
        };
        Some(format!("{given} cannot be converted to {wanted}"))
    }

    /// Whether a scalar of the right type satisfies every constraint.
    fn satisfied(&self, value: &Value) -> bool {
        let mut satisfied = true;
        self.each_broken(value, |_| satisfied = false);
        satisfied
    }

    fn satisfied_text(&self, text: &str) -> bool {
        let mut satisfied = true;
        self.each_broken_by(text, |_| satisfied = false);
        satisfied
    }

    /// Tells each constraint that a scalar of the right type breaks.
    fn each_broken(&self, value: &Value, mut tell: impl FnMut(String)) {
        match (&self.kind, value) {
            (Kind::Blob, Value::String(text)) => {
                self.each_out_of_bounds(base64_length(text).unwrap_or(0) as f64, "length", tell);
            }
            (Kind::String, Value::String(text)) => self.each_broken_by(text, tell),
            (Kind::Integer { .. } | Kind::Float, Value::Number(number)) => {
                self.each_out_of_bounds(number.as_f64().unwrap_or(0.0), "value", &mut tell);
            }
            _ => {}
        }
    }

    fn each_broken_by(&self, text: &str, mut tell: impl FnMut(String)) {
        if self.min.is_some() || self.max.is_some() {
            // Java counts UTF-16 units.
            let length = if text.is_ascii() {
                text.len()
            } else {
                text.encode_utf16().count()
            };
            self.each_out_of_bounds(length as f64, "length", &mut tell);
        }
        if let Some(pattern) = &self.pattern
            && !pattern.matches(text)
        {
            tell(format!(
                "Member must satisfy regular expression pattern: {}",
                pattern.source()
            ));
        }
        if !self.allowed.is_empty() && !self.allowed.iter().any(|allowed| allowed == text) {
            tell(format!(
                "Member must satisfy enum value set: [{}]",
                self.allowed.join(", ")
            ));
        }
    }

    fn each_out_of_bounds(&self, size: f64, what: &str, mut tell: impl FnMut(String)) {
        if let Some(max) = self.max
            && size > max
        {
            tell(format!("Member must have {what} less than or equal to {max}"));
        }
        if let Some(min) = self.min
            && size < min
        {
            tell(format!("Member must have {what} greater than or equal to {min}"));
        }
    }

    /// Every constraint of the shape, broken or not, as the services list them for the elements of a list or a map.
    fn constraints(&self) -> String {
        let what = if matches!(self.kind, Kind::Integer { .. } | Kind::Float) {
            "value"
        } else {
            "length"
        };
        let mut all = Vec::new();
        if let Some(max) = self.max {
            all.push(format!("Member must have {what} less than or equal to {max}"));
        }
        if let Some(min) = self.min {
            all.push(format!("Member must have {what} greater than or equal to {min}"));
        }
        if let Some(pattern) = &self.pattern {
            all.push(format!(
                "Member must satisfy regular expression pattern: {}",
                pattern.source()
            ));
        }
        if !self.allowed.is_empty() {
            all.push(format!(
                "Member must satisfy enum value set: [{}]",
                self.allowed.join(", ")
            ));
        }
        all.join(", ")
    }
}

/// How many bytes a base64 text stands for, if it is one. Says it from the text alone: most blobs are long.
fn base64_length(text: &str) -> Option<usize> {
    let bytes = text.trim_end_matches('=');
    let padding = text.len() - bytes.len();
    let right = padding <= 2
        && text.len().is_multiple_of(4)
        && bytes
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    right.then(|| text.len() / 4 * 3 - padding)
}

/// A value as Java prints it: `[a, b]`, `{key=value}`.
fn java(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => out.push_str(text),
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                java(value, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                out.push_str(name);
                out.push('=');
                java(value, out);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}
