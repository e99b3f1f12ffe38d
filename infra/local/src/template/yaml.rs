//! YAML to JSON, with CloudFormation's short forms (`!Ref X`) as their long ones (`{"Ref": "X"}`).

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Number, Value};

use super::TemplateError;

/// Reads one document.
///
/// A number whose text a number can't give back (`0123`, `1.10`) is a string, because CloudFormation passes the text on.
pub(crate) fn parse(text: &str) -> Result<Value, TemplateError> {
    let documents = MarkedYaml::load_from_str(text).map_err(|error| TemplateError::Wrong {
        place: format!("line {}, column {}", error.marker().line(), error.marker().col() + 1),
        reason: error.info().to_owned(),
    })?;
    let [document] = documents.as_slice() else {
        return Err(TemplateError::Wrong {
            place: "template".to_owned(),
            reason: format!("has {} YAML documents, and should have one", documents.len()),
        });
    };
    let offsets: Vec<usize> = text.char_indices().map(|(offset, _)| offset).collect();
    Reader { text, offsets }.value(document, document)
}

struct Reader<'text> {
    text: &'text str,
    /// Where each character starts, because the parser counts characters.
    offsets: Vec<usize>,
}

impl Reader<'_> {
    fn wrong(marked: &MarkedYaml<'_>, reason: impl Into<String>) -> TemplateError {
        TemplateError::Wrong {
            place: format!("line {}", marked.span.start.line()),
            reason: reason.into(),
        }
    }

    /// The value of `node`; `marked` is the node that has its position (a tag's inner node has none).
    fn value(&self, node: &MarkedYaml<'_>, marked: &MarkedYaml<'_>) -> Result<Value, TemplateError> {
        match &node.data {
            YamlData::Value(scalar) => Ok(self.scalar(scalar, marked)),
            YamlData::Sequence(items) => items.iter().map(|item| self.value(item, item)).collect(),
            YamlData::Mapping(members) => {
                let mut map = Map::new();
                for (key, value) in members {
                    let name = match self.value(key, key)? {
                        Value::String(name) => name,
                        Value::Number(number) => number.to_string(),
                        Value::Bool(value) => value.to_string(),
                        _ => return Err(Self::wrong(key, "a key must be a string")),
                    };
                    if name == "<<" {
                        return Err(TemplateError::Unsupported {
                            place: format!("line {}", key.span.start.line()),
                            feature: "the YAML merge key `<<`".to_owned(),
                        });
                    }
                    map.insert(name, self.value(value, value)?);
                }
                Ok(Value::Object(map))
            }
            YamlData::Tagged(tag, inner) => {
                let value = self.value(inner, marked)?;
                if tag.handle != "!" {
                    return Err(Self::wrong(
                        marked,
                        format!("the tag {tag} is none of CloudFormation's"),
                    ));
                }
                let (function, argument) = match (tag.suffix.as_str(), value) {
                    ("Ref", value) => ("Ref".to_owned(), value),
                    ("Condition", value) => ("Condition".to_owned(), value),
                    ("GetAtt", Value::String(text)) => match text.split_once('.') {
                        Some((resource, attribute)) => {
                            ("Fn::GetAtt".to_owned(), Value::from(vec![resource, attribute]))
                        }
                        None => {
                            return Err(Self::wrong(
                                marked,
                                format!("!GetAtt {text} has no attribute: RESOURCE.ATTRIBUTE"),
                            ));
                        }
                    },
                    (name, value) => (format!("Fn::{name}"), value),
                };
                Ok(Value::Object(Map::from_iter([(function, argument)])))
            }
            YamlData::Representation(text, ..) => Ok(Value::from(text.as_ref())),
            YamlData::Alias(_) | YamlData::BadValue => Err(Self::wrong(marked, "not a value that YAML knows")),
        }
    }

    fn scalar(&self, scalar: &Scalar<'_>, marked: &MarkedYaml<'_>) -> Value {
        let number = match scalar {
            Scalar::Null => return Value::Null,
            Scalar::Boolean(value) => return Value::Bool(*value),
            Scalar::String(text) => return Value::from(text.as_ref()),
            Scalar::Integer(number) => Some(Number::from(*number)),
            Scalar::FloatingPoint(number) => Number::from_f64(number.into_inner()),
        };
        let source = self.source(marked);
        match number {
            Some(number) if number.to_string() == source || Scalar::parse_from_cow(source.into()) != *scalar => {
                Value::Number(number)
            }
            _ => Value::from(source),
        }
    }

    /// The text that a node was read from.
    fn source(&self, marked: &MarkedYaml<'_>) -> &str {
        let offset = |index: usize| self.offsets.get(index).copied().unwrap_or(self.text.len());
        let range = offset(marked.span.start.index())..offset(marked.span.end.index());
        self.text.get(range).unwrap_or_default().trim()
    }
}
