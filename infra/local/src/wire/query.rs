//! The query protocol: a form goes in, XML comes out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Number, Value};

use super::xml::Xml;
use crate::shapes::{Kind, Model, Operation, Part, ShapeId};

/// How many dots a name may have: more than any model needs, fewer than a stack bears.
const DEPTH: usize = 32;

/// The parameters by the parts of their names.
#[derive(Debug, Default)]
struct Tree {
    value: Option<String>,
    children: BTreeMap<String, Tree>,
}

/// A form's parameters, with `Action` and `Version` set apart.
#[derive(Debug, Default)]
pub(crate) struct Form {
    /// The operation.
    pub(crate) action: String,
    /// The API version.
    pub(crate) version: String,
    tree: Tree,
}

/// Reads a form; an error says what is malformed.
pub(crate) fn parse(bytes: &[u8]) -> Result<Form, String> {
    let mut form = Form::default();
    for (name, value) in form_urlencoded::parse(bytes) {
        match name.as_ref() {
            "Action" => form.action = value.into_owned(),
            "Version" => form.version = value.into_owned(),
            name => {
                let mut tree = &mut form.tree;
                for (depth, part) in name.split('.').enumerate() {
                    if depth > DEPTH {
                        return Err(format!("The parameter name nests deeper than {DEPTH} levels."));
                    }
                    tree = tree.children.entry(part.to_owned()).or_default();
                }
                tree.value = Some(value.into_owned());
            }
        }
    }
    Ok(form)
}

impl Form {
    /// The input, by the operation's shape. What does not convert stays a string, for the validation to complain about.
    pub(crate) fn input(&self, model: &Model, operation: &Operation) -> Value {
        let input = operation.input.and_then(|shape| read(model, shape, &self.tree));
        input.unwrap_or_else(|| Value::Object(Map::new()))
    }
}

fn read(model: &Model, shape: ShapeId, tree: &Tree) -> Option<Value> {
    let text = || tree.value.clone();
    match &model.shape(shape)?.kind {
        Kind::Structure { members, .. } => {
            let mut read_members = Map::new();
            for (name, part) in members {
                let child = tree.children.get(wire_name(part, name));
                if let Some(value) = child.and_then(|child| read(model, part.shape, child)) {
                    read_members.insert(name.clone(), value);
                }
            }
            Some(Value::Object(read_members))
        }
        Kind::List(part) => {
            // An empty list is the list's name with an empty value.
            let Some(elements) = tree.children.get(wire_name(part, "member")) else {
                return Some(Value::Array(Vec::new()));
            };
            let elements = numbered(elements).filter_map(|element| read(model, part.shape, element));
            Some(Value::Array(elements.collect()))
        }
        Kind::Map(key, part) => {
            let mut entries = Map::new();
            for entry in tree.children.get("entry").into_iter().flat_map(numbered) {
                let name = entry
                    .children
                    .get(wire_name(key, "key"))
                    .and_then(|key| key.value.clone());
                let value = entry
                    .children
                    .get(wire_name(part, "value"))
                    .and_then(|tree| read(model, part.shape, tree));
                if let (Some(name), Some(value)) = (name, value) {
                    entries.insert(name, value);
                }
            }
            Some(Value::Object(entries))
        }
        Kind::String | Kind::Blob => text().map(Value::String),
        Kind::Boolean => text().map(|text| text.parse().map_or(Value::String(text), Value::Bool)),
        Kind::Integer { .. } => text().map(|text| text.parse::<i64>().map_or(Value::String(text), Value::from)),
        Kind::Float => text().map(|text| number(&text).unwrap_or(Value::String(text))),
        Kind::Timestamp => text().map(|text| {
            let seconds = text.parse::<Timestamp>().map(|time| time.as_duration().as_secs_f64());
            let seconds = seconds.ok().and_then(Number::from_f64).map(Value::Number);
            seconds.or_else(|| number(&text)).unwrap_or(Value::String(text))
        }),
    }
}

fn number(text: &str) -> Option<Value> {
    text.parse().ok().and_then(Number::from_f64).map(Value::Number)
}

/// The children in the order of their numbers.
fn numbered(tree: &Tree) -> impl Iterator<Item = &Tree> {
    let mut children: Vec<(u64, &Tree)> = tree
        .children
        .iter()
        .filter_map(|(name, tree)| Some((name.parse().ok()?, tree)))
        .collect();
    children.sort_by_key(|(number, _)| *number);
    children.into_iter().map(|(_, tree)| tree)
}

fn wire_name<'a>(part: &'a Part, usual: &'a str) -> &'a str {
    part.wire_name.as_deref().unwrap_or(usual)
}

/// The answer to an operation.
pub(crate) fn answer(model: &Model, name: &str, operation: &Operation, output: &Value, request_id: &str) -> String {
    let mut xml = Xml::new();
    let outer = format!("{name}Response");
    xml.open(&outer, model.xml_namespace.as_deref().unwrap_or_default());
    if let Some(shape) = operation.output {
        if let Some(wrapper) = &operation.wrapper {
            xml.open(wrapper, "");
        }
        write(&mut xml, model, shape, output);
        if let Some(wrapper) = &operation.wrapper {
            xml.close(wrapper);
        }
    }
    xml.open("ResponseMetadata", "");
    xml.element("RequestId", request_id);
    xml.close("ResponseMetadata");
    xml.close(&outer);
    xml.finish()
}

/// The answer that refuses.
pub(crate) fn refusal(namespace: &str, code: &str, message: &str, status: u16, request_id: &str) -> String {
    let mut xml = Xml::new();
    xml.open("ErrorResponse", namespace);
    xml.open("Error", "");
    xml.element("Type", if status < 500 { "Sender" } else { "Receiver" });
    xml.element("Code", code);
    xml.element("Message", message);
    xml.close("Error");
    xml.element("RequestId", request_id);
    xml.close("ErrorResponse");
    xml.finish()
}

/// Writes the content of an element.
fn write(xml: &mut Xml, model: &Model, shape: ShapeId, value: &Value) {
    let Some(shape) = model.shape(shape) else { return };
    match (&shape.kind, value) {
        (Kind::Structure { members, .. }, Value::Object(given)) => {
            for (name, part) in members {
                if let Some(value) = given.get(name).filter(|value| !value.is_null()) {
                    let name = wire_name(part, name);
                    xml.open(name, "");
                    write(xml, model, part.shape, value);
                    xml.close(name);
                }
            }
        }
        (Kind::List(part), Value::Array(values)) => {
            let name = wire_name(part, "member");
            for value in values {
                xml.open(name, "");
                write(xml, model, part.shape, value);
                xml.close(name);
            }
        }
        (Kind::Map(key, part), Value::Object(entries)) => {
            for (name, value) in entries {
                xml.open("entry", "");
                xml.element(wire_name(key, "key"), name);
                let element = wire_name(part, "value");
                xml.open(element, "");
                write(xml, model, part.shape, value);
                xml.close(element);
                xml.close("entry");
            }
        }
        (Kind::Timestamp, Value::Number(seconds)) => xml.escaped(&iso(seconds)),
        (_, Value::String(text)) => xml.escaped(text),
        (_, Value::Null) => {}
        (_, other) => xml.escaped(&other.to_string()),
    }
}

/// Epoch seconds as ISO 8601, to the millisecond.
pub(crate) fn iso(seconds: &Number) -> String {
    let millis = seconds.as_f64().map(|seconds| (seconds * 1000.0).round() as i64);
    let time = millis
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cloud::Service;
    use crate::shapes::model;

    #[test]
    fn forms_become_inputs() {
        let publish = "TopicArn=arn&Message=a+b%26c&MessageAttributes.entry.1.Name=kind&MessageAttributes.entry.1.Value.DataType\
                       =String&MessageAttributes.entry.1.Value.StringValue=x&Unknown.1=2";
        let put = "Namespace=N&MetricData.member.2.MetricName=b&MetricData.member.10.MetricName=c&MetricData.member.1.MetricName=a\
                   &MetricData.member.1.Value=1.5&MetricData.member.1.StorageResolution=60\
                   &MetricData.member.1.Timestamp=2026-03-02T09%3A00%3A00.500Z&MetricData.member.2.Value=none";
        for (service, operation, form, expected) in [
            (
                Service::Sns,
                "Publish",
                publish,
                json!({"TopicArn": "arn", "Message": "a b&c",
                       "MessageAttributes": {"kind": {"DataType": "String", "StringValue": "x"}}}),
            ),
            (
                Service::Sns,
                "Subscribe",
                "ReturnSubscriptionArn=true&Attributes.entry.1.key=RawMessageDelivery&Attributes.entry.1.value=true",
                json!({"ReturnSubscriptionArn": true, "Attributes": {"RawMessageDelivery": "true"}}),
            ),
            (
                Service::CloudWatch,
                "PutMetricData",
                put,
                json!({"Namespace": "N", "MetricData": [
                    {"MetricName": "a", "Value": 1.5, "StorageResolution": 60, "Timestamp": 1_772_442_000.5},
                    {"MetricName": "b", "Value": "none"}, {"MetricName": "c"}]}),
            ),
            (
                Service::CloudWatch,
                "DescribeAlarms",
                "AlarmNames=",
                json!({"AlarmNames": []}),
            ),
            (Service::Sts, "GetCallerIdentity", "", json!({})),
        ] {
            let model = model(service).unwrap();
            let form = parse(form.as_bytes()).unwrap();
            assert_eq!(
                form.input(model, model.operation(operation).unwrap()),
                expected,
                "{operation}"
            );
        }
    }

    #[test]
    fn a_deep_name_is_refused() {
        assert!(parse(&b"a.".repeat(500_000)).is_err());
    }

    #[test]
    fn outputs_become_xml() {
        for (service, operation, output, expected) in [
            (
                Service::Sns,
                "Publish",
                json!({"MessageId": "<m>"}),
                "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>&lt;m&gt;\
                 </MessageId></PublishResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishResponse>",
            ),
            (
                Service::Sns,
                "GetTopicAttributes",
                json!({"Attributes": {"Owner": "1\r", "Policy": "{}"}}),
                "<GetTopicAttributesResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><GetTopicAttributesResult>\
                 <Attributes><entry><key>Owner</key><value>1&#xd;</value></entry><entry><key>Policy</key><value>{}</value>\
                 </entry></Attributes></GetTopicAttributesResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\
                 </GetTopicAttributesResponse>",
            ),
            (
                Service::Sns,
                "Unsubscribe",
                json!({}),
                "<UnsubscribeResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><ResponseMetadata><RequestId>r\
                 </RequestId></ResponseMetadata></UnsubscribeResponse>",
            ),
            (
                Service::CloudWatch,
                "GetMetricStatistics",
                json!({"Label": null, "Datapoints": [{"Sum": 2.5, "Timestamp": 1_772_442_000.25}]}),
                "<GetMetricStatisticsResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\">\
                 <GetMetricStatisticsResult><Datapoints><member><Sum>2.5</Sum><Timestamp>2026-03-02T09:00:00.250Z</Timestamp>\
                 </member></Datapoints></GetMetricStatisticsResult><ResponseMetadata><RequestId>r</RequestId>\
                 </ResponseMetadata></GetMetricStatisticsResponse>",
            ),
        ] {
            let model = model(service).unwrap();
            let xml = answer(model, operation, model.operation(operation).unwrap(), &output, "r");
            assert_eq!(xml.split_once('\n').unwrap().1, expected, "{operation}");
        }
    }
}
