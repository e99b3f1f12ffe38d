//! What the train costs at list price: what was used, as the local cloud counts it, and what a start takes, as the benchmark measures it.
//!
//! Without the free tiers, and without what any train costs: training jobs, endpoints, CodeBuild's minutes, the storage of what they make.

#![expect(clippy::indexing_slicing, reason = "what a JSON value does not have is null")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::measure::Used;
use crate::world::World;
use local::cloud::Service;

/// Something that AWS sells.
#[derive(Debug, Clone, Copy)]
pub struct Price {
    /// What it is, in words.
    pub of: &'static str,
    /// US dollars for one.
    pub usd: f64,
}

/// List prices in us-east-1, of the pages of the services (`https://aws.amazon.com/SERVICE/pricing/`), first tier.
pub mod prices {
    use super::Price;

    const fn price(of: &'static str, usd: f64) -> Price {
        Price { of, usd }
    }

    /// On arm64.
    pub const LAMBDA_GB_SECOND: Price = price("Lambda, GB-seconds", 0.000_013_333_4);
    /// Each event that a function is given.
    pub const LAMBDA_REQUEST: Price = price("Lambda, requests", 0.20 / 1e6);
    /// Each time that a schedule is due.
    pub const SCHEDULE: Price = price("EventBridge Scheduler, invocations", 1.0 / 1e6);
    /// GenerateMac and VerifyMac are symmetric requests.
    pub const KMS_REQUEST: Price = price("KMS, requests", 0.03 / 1e4);
    /// A customer managed key.
    pub const KMS_KEY_MONTH: Price = price("KMS, keys", 1.0);
    /// GET and the like.
    pub const S3_READ: Price = price("S3, reads", 0.0004 / 1e3);
    /// PUT, LIST and the like.
    pub const S3_WRITE: Price = price("S3, writes and lists", 0.005 / 1e3);
    /// Standard topics.
    pub const SNS_REQUEST: Price = price("SNS, requests", 0.50 / 1e6);
    /// A message to an e-mail address.
    pub const SNS_MAIL: Price = price("SNS, e-mails", 2.0 / 1e5);
    /// Reads of alarms.
    pub const CLOUDWATCH_REQUEST: Price = price("CloudWatch, requests", 0.01 / 1e3);
    /// Standard resolution, for each metric that it looks at.
    pub const ALARM_METRIC_MONTH: Price = price("CloudWatch, metrics of alarms", 0.10);
    /// A custom dashboard.
    pub const DASHBOARD_MONTH: Price = price("CloudWatch, dashboards", 3.0);
    /// A custom metric costs for each hour in which it has a value; a month is 730 hours.
    pub const METRIC_HOUR: Price = price("CloudWatch, hours of custom metrics", 0.30 / 730.0);
    /// What the functions write; Lambda's own lines are not counted.
    pub const LOG_GB: Price = price("CloudWatch Logs, GB", 0.50);
    /// Type V2; approvals are free.
    pub const ACTION_MINUTE: Price = price("CodePipeline, minutes of actions", 0.002);
}

/// So much of something.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// Of what.
    pub price: Price,
    /// How much.
    pub quantity: f64,
}

impl Item {
    fn of(price: Price, quantity: f64) -> Self {
        Self { price, quantity }
    }

    /// What it costs, in US dollars.
    #[must_use]
    pub fn usd(&self) -> f64 {
        self.price.usd * self.quantity
    }
}

/// What a start of a function takes, as `cargo bench -p bench --bench cold_start` has measured it.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Start {
    /// Processor until it asks for its first event, in milliseconds.
    pub start_cpu_ms: f64,
    /// Processor until it has answered it.
    pub first_cpu_ms: f64,
    /// How many calls to AWS were in that.
    pub calls: u32,
}

/// Reads what the benchmark wrote.
///
/// # Errors
/// Where it wrote nothing.
pub fn starts(path: &Path) -> Result<BTreeMap<String, Start>> {
    let read = std::fs::read_to_string(path).with_context(|| {
        format!(
            "{}: `cargo bench -p bench --bench cold_start` writes it",
            path.display()
        )
    })?;
    serde_json::from_str(&read).with_context(|| path.display().to_string())
}

/// A function with that much memory, in MB, has a whole processor; with less, that part of one
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>).
const WHOLE_PROCESSOR_MB: f64 = 1_769.0;

/// What Lambda bills for these runs, in GB-seconds: each run a cold start, each call so many milliseconds away, in turn.
fn gb_seconds(
    used: &Used,
    starts: &BTreeMap<String, Start>,
    memory: &BTreeMap<String, f64>,
    latency_ms: f64,
) -> Result<f64> {
    let mut sum = 0.0;
    for (function, runs) in &used.handled {
        let start = starts
            .get(function)
            .with_context(|| format!("{function} was not measured"))?;
        let memory = memory
            .get(function)
            .with_context(|| format!("{function} is not in the stack"))?;
        let calls: u64 = used.calls.get(function).into_iter().flat_map(BTreeMap::values).sum();
        let call_ms = (start.first_cpu_ms - start.start_cpu_ms) / f64::from(start.calls.max(1));
        let cpu_ms = count(*runs) * start.start_cpu_ms + count(calls) * call_ms;
        let ms = cpu_ms * WHOLE_PROCESSOR_MB / memory + count(calls) * latency_ms;
        sum += ms / 1e3 * memory / 1024.0;
    }
    Ok(sum)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

/// The memory of each function, in MB, without the model's name.
fn memory(world: &World) -> BTreeMap<String, f64> {
    let prefix = format!("{}-", world.model());
    let cloud = world.cloud();
    let functions = cloud
        .stack()
        .resources
        .iter()
        .filter(|of| of.kind == "AWS::Lambda::Function");
    functions
        .map(|function| {
            let name = function.physical_id.trim_start_matches(&prefix).to_owned();
            (name, function.properties["MemorySize"].as_f64().unwrap_or(128.0))
        })
        .collect()
}

/// What has been counted in a world so far.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    mails: usize,
    lines: usize,
    /// How many actions have ended; those that follow are new.
    actions: BTreeMap<String, Vec<String>>,
}

impl Meter {
    /// What was counted until now.
    ///
    /// # Errors
    /// Where a pipeline can't be read.
    pub fn read(world: &World) -> Result<Self> {
        let actions = actions(world)?;
        let mails = world.cloud().inbox().len();
        Ok(Self {
            mails,
            lines: world.log().len(),
            actions: actions
                .into_iter()
                .map(|(pipeline, actions)| (pipeline, actions.iter().map(id).collect()))
                .collect(),
        })
    }

    /// What was used since, by these runs and calls.
    ///
    /// # Errors
    /// Where a function was not measured.
    pub fn since(
        &self,
        world: &World,
        used: &Used,
        starts: &BTreeMap<String, Start>,
        latency_ms: f64,
    ) -> Result<Vec<Item>> {
        let called = |is: &dyn Fn(&str) -> bool| -> f64 {
            let calls = used.calls.values().flatten();
            count(
                calls
                    .filter(|(operation, _)| is(operation))
                    .map(|(_, count)| count)
                    .sum(),
            )
        };
        let runs: u64 = used.handled.values().sum();
        let lines = world.log().get(self.lines..).unwrap_or_default();
        let bytes: usize = lines.iter().map(|logged| logged.line.len() + 1).sum();
        let mails = world.cloud().inbox().len().saturating_sub(self.mails);
        let mut action_minutes = 0.0;
        for (pipeline, actions) in actions(world)? {
            let known = self.actions.get(&pipeline).map(Vec::as_slice).unwrap_or_default();
            let new = actions.iter().filter(|action| !known.contains(&id(action)));
            action_minutes += new.map(minutes).sum::<f64>();
        }
        use prices::*;
        Ok(vec![
            Item::of(LAMBDA_REQUEST, count(runs)),
            Item::of(LAMBDA_GB_SECOND, gb_seconds(used, starts, &memory(world), latency_ms)?),
            Item::of(ACTION_MINUTE, action_minutes),
            Item::of(
                METRIC_HOUR,
                count(metric_hours(lines.iter().map(|logged| logged.line.as_str()))),
            ),
            Item::of(LOG_GB, count(bytes as u64) / 1e9),
            Item::of(CLOUDWATCH_REQUEST, called(&|name| name.starts_with("cloudwatch:"))),
            Item::of(SNS_REQUEST, called(&|name| name.starts_with("sns:"))),
            Item::of(SNS_MAIL, count(mails as u64)),
            Item::of(KMS_REQUEST, called(&|name| name.starts_with("kms:"))),
            Item::of(
                S3_READ,
                called(&|name| matches!(name, "s3:GetObject" | "s3:HeadObject")),
            ),
            Item::of(
                S3_WRITE,
                called(&|name| name.starts_with("s3:Put") || name.starts_with("s3:List")),
            ),
        ])
    }
}

/// How many hours of custom metrics these lines make: one for each metric, with its dimensions, and hour in which it has a value.
fn metric_hours<'a>(lines: impl Iterator<Item = &'a str>) -> u64 {
    let mut hours = std::collections::BTreeSet::new();
    for line in lines {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let Some(at) = line.pointer("/_aws/Timestamp").and_then(Value::as_i64) else {
            continue;
        };
        for directive in line
            .pointer("/_aws/CloudWatchMetrics")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let metrics = directive["Metrics"].as_array().into_iter().flatten();
            for metric in metrics {
                for dimensions in directive["Dimensions"].as_array().into_iter().flatten() {
                    let names = dimensions.as_array().into_iter().flatten().filter_map(Value::as_str);
                    let values: Vec<String> = names.map(|name| format!("{name}={}", line[name])).collect();
                    hours.insert((metric["Name"].to_string(), values, at / 3_600_000));
                }
            }
        }
    }
    hours.len() as u64
}

/// The actions of each pipeline of the stack that have ended, but for approvals.
fn actions(world: &World) -> Result<BTreeMap<String, Vec<Value>>> {
    let pipelines: Vec<String> = {
        let cloud = world.cloud();
        let resources = cloud.stack().resources.iter();
        resources
            .filter(|of| of.kind == "AWS::CodePipeline::Pipeline")
            .map(|of| of.physical_id.clone())
            .collect()
    };
    let mut all = BTreeMap::new();
    for pipeline in pipelines {
        let mut ended = Vec::new();
        let mut token = Value::Null;
        loop {
            let mut input = json!({"pipelineName": pipeline});
            if !token.is_null() {
                input["nextToken"] = token;
            }
            let page = world.call(Service::CodePipeline, "ListActionExecutions", &input)?;
            let details = page["actionExecutionDetails"].as_array().into_iter().flatten();
            ended.extend(
                details
                    .filter(|action| {
                        action["status"] != "InProgress"
                            && action.pointer("/input/actionTypeId/category") != Some(&json!("Approval"))
                    })
                    .cloned(),
            );
            token = page["nextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        all.insert(pipeline, ended);
    }
    Ok(all)
}

fn id(action: &Value) -> String {
    action["actionExecutionId"].to_string()
}

/// Each action's time is rounded up to whole minutes.
fn minutes(action: &Value) -> f64 {
    let time = |name: &str| action[name].as_f64().unwrap_or_default();
    ((time("lastUpdateTime") - time("startTime")) / 60.0).ceil().max(1.0)
}

/// What the stack costs by being there, for a month.
#[must_use]
pub fn standing(world: &World) -> Vec<Item> {
    let cloud = world.cloud();
    let of = |kind: &'static str| cloud.stack().resources.iter().filter(move |of| of.kind == kind);
    // An alarm looks at one metric, or at each that its expression is made of.
    let metrics: usize = of("AWS::CloudWatch::Alarm")
        .map(|alarm| {
            let metrics = alarm.properties["Metrics"].as_array().into_iter().flatten();
            metrics
                .filter(|metric| metric.get("MetricStat").is_some())
                .count()
                .max(1)
        })
        .sum();
    vec![
        Item::of(prices::KMS_KEY_MONTH, count(of("AWS::KMS::Key").count() as u64)),
        Item::of(
            prices::DASHBOARD_MONTH,
            count(of("AWS::CloudWatch::Dashboard").count() as u64),
        ),
        Item::of(prices::ALARM_METRIC_MONTH, count(metrics as u64)),
    ]
}

/// The same, so many times.
#[must_use]
pub fn times(items: &[Item], times: f64) -> Vec<Item> {
    items
        .iter()
        .map(|item| Item::of(item.price, item.quantity * times))
        .collect()
}

/// A table, dearest first, of what is used at all; with the sum.
#[must_use]
pub fn table(of: &str, items: &[Item]) -> String {
    let mut used: Vec<&Item> = items.iter().filter(|item| item.quantity > 0.0).collect();
    used.sort_by(|one, other| other.usd().total_cmp(&one.usd()));
    let mut table = format!("| {of} | quantity | USD |\n|---|---|---|\n");
    for item in &used {
        let quantity = if item.quantity.fract() == 0.0 {
            format!("{}", item.quantity)
        } else {
            format!("{:.6}", item.quantity)
        };
        let _ = writeln!(table, "| {} | {quantity} | {:.5} |", item.price.of, item.usd());
    }
    let sum: f64 = used.iter().map(|item| item.usd()).sum();
    let _ = writeln!(table, "| all | | {sum:.4} |");
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn lambda_bills_the_part_of_a_processor_that_a_function_has() {
        let calls = BTreeMap::from([("s3:GetObject".to_owned(), 3), ("sns:Publish".to_owned(), 1)]);
        let used = Used {
            calls: BTreeMap::from([("retrain".to_owned(), calls)]),
            handled: BTreeMap::from([("retrain".to_owned(), 2)]),
        };
        let start = Start {
            start_cpu_ms: 4.0,
            first_cpu_ms: 10.0,
            calls: 6,
        };
        let starts = BTreeMap::from([("retrain".to_owned(), start)]);
        let memory = BTreeMap::from([("retrain".to_owned(), 128.0)]);
        // Two starts of 4 ms and four calls of 1 ms of a whole processor; four calls that are 30 ms away.
        let ms = 12.0 * 1_769.0 / 128.0 + 120.0;
        let billed = gb_seconds(&used, &starts, &memory, 30.0).unwrap();
        assert!(close(billed, ms / 1e3 / 8.0), "{billed}");
        let nothing = gb_seconds(&used, &BTreeMap::new(), &memory, 30.0).unwrap_err();
        assert_eq!(nothing.to_string(), "retrain was not measured");
    }

    #[test]
    fn a_metric_costs_for_each_hour_and_each_value_of_its_dimensions() {
        let line = |name: &str, model: &str, hour: i64| {
            json!({
                "_aws": {
                    "Timestamp": hour * 3_600_000 + 5,
                    "CloudWatchMetrics": [{"Dimensions": [["Model"]], "Metrics": [{"Name": name}]}],
                },
                "Model": model,
                name: 1,
            })
            .to_string()
        };
        let lines = [
            line("Releases", "churn", 1),
            line("Releases", "churn", 1),
            line("Releases", "churn", 2),
            line("Releases", "fraud", 2),
            line("Retrainings", "churn", 2),
            "no metric".to_owned(),
            json!({"message": "nor this"}).to_string(),
        ];
        assert_eq!(metric_hours(lines.iter().map(String::as_str)), 4);
    }

    #[test]
    fn what_is_dearest_comes_first_and_what_is_not_used_not_at_all() {
        let items = [
            Item::of(prices::SNS_MAIL, 3.0),
            Item::of(prices::KMS_KEY_MONTH, 2.0),
            Item::of(prices::S3_READ, 0.0),
        ];
        let expected = "| a month | quantity | USD |\n|---|---|---|\n| KMS, keys | 2 | 2.00000 |\n| SNS, e-mails | 3 | 0.00006 |\n\
                        | all | | 2.0001 |\n";
        assert_eq!(table("a month", &items), expected);
        assert!(close(times(&items, 10.0).iter().map(Item::usd).sum(), 20.0006));
    }
}
