//! Dashboards: their bodies are checked when they are deployed, and kept as they are.
//!
//! The structure is that of
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html>. CloudFormation passes a body on as
//! it is, and what is wrong with it shows only when somebody looks at the dashboard.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::{ApiError, Cloud};
use crate::template::{Resource, TemplateError};

/// How many columns the grid has.
const COLUMNS: u64 = 24;
/// How high a widget may be.
const HEIGHT_MAX: u64 = 1000;
/// How many widgets a dashboard may have.
const WIDGETS_MAX: usize = 500;

/// A dashboard.
#[derive(Debug)]
pub(super) struct Dashboard {
    arn: String,
    body: String,
    modified: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Properties {
    dashboard_name: Option<String>,
    dashboard_body: String,
}

/// Deploys an `AWS::CloudWatch::Dashboard`.
pub(super) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    let properties: Properties = resource.read()?;
    let name = properties
        .dashboard_name
        .unwrap_or_else(|| resource.physical_id.clone());
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > 255 || !name.chars().all(allowed) {
        return Err(resource.wrong(format!(
            "DashboardName `{name}` is not 1 to 255 of letters, digits, `-` and `_`"
        )));
    }
    check(&properties.dashboard_body).map_err(|reason| resource.wrong(format!("DashboardBody: {reason}")))?;
    let dashboard = Dashboard {
        arn: resource.arn().to_owned(),
        body: properties.dashboard_body,
        modified: cloud.now(),
    };
    match cloud.cloudwatch.dashboards.insert(name.clone(), dashboard) {
        None => Ok(()),
        Some(_) => Err(resource.wrong(format!("there are two dashboards `{name}`"))),
    }
}

/// Checks a body; the error says where what is wrong.
fn check(body: &str) -> Result<(), String> {
    let body: Value = serde_json::from_str(body).map_err(|error| format!("it is not JSON: {error}"))?;
    let widgets = body.get("widgets").and_then(Value::as_array);
    let widgets = widgets.ok_or("it has no list `widgets`")?;
    if widgets.len() > WIDGETS_MAX {
        return Err(format!("it has {} widgets, more than {WIDGETS_MAX}", widgets.len()));
    }
    for (index, widget) in widgets.iter().enumerate() {
        check_widget(widget).map_err(|reason| format!("widgets[{index}]: {reason}"))?;
    }
    Ok(())
}

fn check_widget(widget: &Value) -> Result<(), String> {
    let kind = widget.get("type").and_then(Value::as_str).ok_or("it has no `type`")?;
    let number = |name: &str, default: Option<u64>| match widget.get(name) {
        None => Ok(default),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(format!("its `{name}` is {value}, not a whole number")),
        },
    };
    let (x, y) = (number("x", None)?, number("y", None)?);
    let (width, height) = (
        number("width", Some(6))?.unwrap_or(6),
        number("height", Some(6))?.unwrap_or(6),
    );
    if x.is_some() != y.is_some() {
        return Err("it has only one of `x` and `y`".to_owned());
    }
    if !(1..=COLUMNS).contains(&width) || !(1..=HEIGHT_MAX).contains(&height) {
        return Err(format!(
            "it is {width} by {height}; a widget is 1 to {COLUMNS} by 1 to {HEIGHT_MAX}"
        ));
    }
    if x.unwrap_or(0).saturating_add(width) > COLUMNS {
        return Err(format!("it reaches beyond the {COLUMNS} columns of the grid"));
    }
    let none = Map::new();
    let properties = match widget.get("properties") {
        None => &none,
        Some(Value::Object(properties)) => properties,
        Some(_) => return Err("its `properties` are no object".to_owned()),
    };
    let needs = |name: &str| match properties.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(()),
        _ => Err(format!("its properties have no text `{name}`")),
    };
    match kind {
        "metric" => {
            needs("region")?;
            check_metrics(properties)
        }
        "text" => needs("markdown"),
        "log" => needs("region").and_then(|()| needs("query")),
        "alarm" => match properties.get("alarms") {
            Some(Value::Array(alarms)) if !alarms.is_empty() && alarms.iter().all(Value::is_string) => Ok(()),
            _ => Err("its properties have no list of ARNs `alarms`".to_owned()),
        },
        "custom" => needs("endpoint"),
        "explorer" => Ok(()),
        other => Err(format!("there is no type `{other}`")),
    }
}

/// A metric widget shows metrics, or one alarm in its annotations.
fn check_metrics(properties: &Map<String, Value>) -> Result<(), String> {
    let metrics = match properties.get("metrics") {
        Some(Value::Array(metrics)) if !metrics.is_empty() => metrics,
        Some(_) => return Err("its `metrics` are no list with something in it".to_owned()),
        None => {
            let alarms = properties
                .get("annotations")
                .and_then(|annotations| annotations.get("alarms"));
            let has_alarm = alarms.and_then(Value::as_array).is_some_and(|alarms| alarms.len() == 1);
            return if has_alarm {
                Ok(())
            } else {
                Err("its properties have neither `metrics` nor one alarm in `annotations.alarms`".to_owned())
            };
        }
    };
    let (mut before, mut ids) = (Vec::new(), Vec::new());
    for (index, metric) in metrics.iter().enumerate() {
        let within = |reason: String| format!("metrics[{index}]: {reason}");
        let Some(parts) = metric.as_array().filter(|parts| !parts.is_empty()) else {
            return Err(within("it is no list with something in it".to_owned()));
        };
        let (names, options) = match parts.split_last() {
            Some((Value::Object(options), names)) => (names, Some(options)),
            _ => (parts.as_slice(), None),
        };
        if let Some(options) = options {
            check_options(options, &mut ids).map_err(within)?;
        }
        let is_expression = options.is_some_and(|options| options.contains_key("expression"));
        if is_expression {
            if names.is_empty() {
                continue;
            }
            return Err(within("an expression stands alone in its list".to_owned()));
        }
        before = expand(names, &before).map_err(within)?;
    }
    Ok(())
}

fn check_options<'a>(options: &'a Map<String, Value>, ids: &mut Vec<&'a str>) -> Result<(), String> {
    let text = |name: &str| match options.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.as_str())),
        Some(value) => Err(format!("its `{name}` is {value}, not a text")),
    };
    for name in ["expression", "label", "color", "region", "stat"] {
        text(name)?;
    }
    if let Some(axis) = text("yAxis")?.filter(|axis| !["left", "right"].contains(axis)) {
        return Err(format!("its `yAxis` is `{axis}`, neither left nor right"));
    }
    if let Some(period) = options.get("period")
        && period.as_u64().is_none_or(|period| period == 0)
    {
        return Err(format!("its `period` is {period}, not a number of seconds"));
    }
    if let Some(id) = text("id")? {
        let starts_well = id.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts_well || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!(
                "its `id` `{id}` does not begin with a small letter, or has more than letters, digits and `_`"
            ));
        }
        if ids.contains(&id) {
            return Err(format!("its `id` `{id}` is there twice"));
        }
        ids.push(id);
    }
    Ok(())
}

/// Namespace, name, and dimensions by name and value, where `.` stands for what the metric before has at the place, and `...` for as much of it
/// as is left out.
fn expand(parts: &[Value], before: &[String]) -> Result<Vec<String>, String> {
    let texts: Option<Vec<&str>> = parts.iter().map(Value::as_str).collect();
    let texts = texts.ok_or("it has more than texts, and options at the end")?;
    let mut full: Vec<String> = Vec::new();
    for text in &texts {
        match *text {
            "." => {
                let same = before.get(full.len()).ok_or("its `.` has nothing to stand for")?;
                full.push(same.clone());
            }
            "..." => {
                let rest = texts.len() - 1;
                let until = (before.len().checked_sub(rest).map(|count| full.len() + count))
                    .filter(|until| *until > full.len())
                    .ok_or("its `...` has nothing to stand for")?;
                full.extend(before.get(full.len()..until).unwrap_or_default().iter().cloned());
            }
            "" => return Err("it has an empty text".to_owned()),
            text => full.push(text.to_owned()),
        }
    }
    if full.len() < 2 || !full.len().is_multiple_of(2) {
        return Err("it is not a namespace, a name, and dimensions by name and value".to_owned());
    }
    Ok(full)
}

/// `GetDashboard`.
pub(super) fn get(cloud: &Cloud, name: &str) -> Result<Value, ApiError> {
    match cloud.cloudwatch.dashboards.get(name) {
        Some(dashboard) => Ok(json!({
            "DashboardArn": dashboard.arn, "DashboardBody": dashboard.body, "DashboardName": name,
        })),
        None => Err(ApiError {
            status: 404,
            ..ApiError::new("ResourceNotFound", format!("Dashboard {name} does not exist"))
        }),
    }
}

/// `ListDashboards`.
pub(super) fn list(cloud: &Cloud, prefix: &str) -> Value {
    let dashboards = cloud.cloudwatch.dashboards.iter();
    let entries = dashboards.filter(|(name, _)| name.starts_with(prefix)).map(|(name, dashboard)| {
        json!({
            "DashboardName": name, "DashboardArn": dashboard.arn, "LastModified": super::seconds(dashboard.modified),
            "Size": dashboard.body.len(),
        })
    });
    json!({"DashboardEntries": entries.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Service;
    use crate::cloud::testing::{call, deploy};

    const TEMPLATE: &str = r#"
Resources:
  Dashboard:
    Type: AWS::CloudWatch::Dashboard
    Properties:
      DashboardName: NAME
      DashboardBody: !Sub |
        {"widgets": [{"type": "text", "x": 0, "y": 0, "width": 24, "height": 2, "properties": {"markdown": "in ${AWS::Region}"}}]}
"#;

    #[test]
    fn a_dashboard_is_kept_as_it_is() {
        let mut cloud = deploy(&TEMPLATE.replace("NAME", "tumour")).unwrap();
        let shown = call(
            &mut cloud,
            Service::CloudWatch,
            "GetDashboard",
            &json!({"DashboardName": "tumour"}),
        )
        .unwrap();
        assert!(shown["DashboardBody"].as_str().unwrap().contains("in eu-west-1"));
        assert_eq!(
            shown["DashboardArn"],
            "arn:aws:cloudwatch::123456789012:dashboard/tumour"
        );
        let listed = call(
            &mut cloud,
            Service::CloudWatch,
            "ListDashboards",
            &json!({"DashboardNamePrefix": "tu"}),
        )
        .unwrap();
        assert_eq!(listed["DashboardEntries"][0]["DashboardName"], "tumour");
        let none = call(
            &mut cloud,
            Service::CloudWatch,
            "GetDashboard",
            &json!({"DashboardName": "none"}),
        );
        assert_eq!(none.unwrap_err().code, "ResourceNotFound");
        for (name, words) in [("a b", "DashboardName `a b`"), ("'a.b'", "DashboardName `a.b`")] {
            let error = deploy(&TEMPLATE.replace("NAME", name)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    /// What is wrong with a dashboard of one widget.
    fn wrong(widget: &Value) -> Option<String> {
        check(&json!({ "widgets": [widget] }).to_string()).err()
    }

    #[test]
    fn widgets_lie_within_the_grid_and_have_what_they_need() {
        let text = |x: i64, width: i64, height: i64| json!({"type": "text", "x": x, "y": 0, "width": width, "height": height, "properties": {"markdown": "m"}});
        for (widget, words) in [
            (text(0, 24, 1), None),
            (text(18, 6, 1000), None),
            (text(19, 6, 1), Some("beyond the 24 columns")),
            (text(0, 0, 1), Some("it is 0 by 1")),
            (text(0, 1, 1001), Some("it is 1 by 1001")),
            (text(-1, 1, 1), Some("`x` is -1")),
            (
                json!({"type": "text", "x": 1, "properties": {"markdown": "m"}}),
                Some("only one of `x` and `y`"),
            ),
            (json!({"type": "text", "properties": {}}), Some("no text `markdown`")),
            (json!({"type": "graph"}), Some("no type `graph`")),
            (json!({}), Some("no `type`")),
            (
                json!({"type": "log", "properties": {"region": "r", "query": "SOURCE 'a'"}}),
                None,
            ),
            (
                json!({"type": "log", "properties": {"region": "r"}}),
                Some("no text `query`"),
            ),
            (json!({"type": "alarm", "properties": {"alarms": ["arn"]}}), None),
            (json!({"type": "alarm", "properties": {"alarms": []}}), Some("`alarms`")),
            (
                json!({"type": "metric", "properties": {"metrics": [["N", "M"]]}}),
                Some("no text `region`"),
            ),
            (
                json!({"type": "metric", "properties": {"region": "r", "annotations": {"alarms": ["arn"]}}}),
                None,
            ),
            (
                json!({"type": "metric", "properties": {"region": "r"}}),
                Some("neither `metrics`"),
            ),
        ] {
            let reason = wrong(&widget);
            match words {
                None => assert_eq!(reason, None, "{widget}"),
                Some(words) => assert!(
                    reason.as_ref().is_some_and(|reason| reason.contains(words)),
                    "{reason:?}"
                ),
            }
        }
        for body in ["", "[]", "{}", r#"{"widgets": {}}"#] {
            assert!(check(body).is_err(), "{body}");
        }
    }

    #[test]
    fn metrics_are_well_formed() {
        for (metrics, words) in [
            (
                json!([["N", "M"], ["N", "M", "D", "v", {"stat": "p99", "yAxis": "right", "period": 60}]]),
                None,
            ),
            (
                json!([
                    ["N", "M", "D", "v"],
                    [".", "O", ".", "."],
                    ["..."],
                    ["...", "w"],
                    [".", "P", "D", "x"]
                ]),
                None,
            ),
            (
                json!([["N", "M", {"id": "m1", "visible": false}], [{"expression": "m1 * 2", "label": "twice", "id": "e1"}]]),
                None,
            ),
            (json!([[".", "M"]]), Some("metrics[0]: its `.`")),
            (json!([["N", "M"], [".", ".", ".", "v"]]), Some("metrics[1]: its `.`")),
            (json!([["..."]]), Some("its `...`")),
            (json!([["N", "M"], ["...", "a", "b"]]), Some("its `...`")),
            (json!([["N"]]), Some("not a namespace")),
            (json!([["N", "M", "D"]]), Some("not a namespace")),
            (json!([["N", 7]]), Some("more than texts")),
            (json!(["N", "M"]), Some("no list")),
            (json!([]), Some("no list")),
            (json!([["N", "M", {"expression": "1"}]]), Some("stands alone")),
            (json!([[{"expression": ""}]]), Some("`expression` is \"\"")),
            (json!([[{"label": "l"}]]), Some("not a namespace")),
            (json!([["N", "M", {"id": "M1"}]]), Some("`id` `M1`")),
            (
                json!([["N", "M", {"id": "m"}], ["N", "O", {"id": "m"}]]),
                Some("is there twice"),
            ),
            (json!([["N", "M", {"period": 0}]]), Some("`period` is 0")),
            (json!([["N", "M", {"yAxis": "up"}]]), Some("`yAxis` is `up`")),
        ] {
            let reason = wrong(&json!({"type": "metric", "properties": {"region": "r", "metrics": metrics}}));
            match words {
                None => assert_eq!(reason, None, "{metrics}"),
                Some(words) => assert!(
                    reason.as_ref().is_some_and(|reason| reason.contains(words)),
                    "{metrics}: {reason:?}"
                ),
            }
        }
    }
}
