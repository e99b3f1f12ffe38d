//! EventBridge Scheduler.

use std::collections::BTreeMap;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Cloud, lambda};
use crate::template::{Resource, TemplateError};

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    schedules: BTreeMap<String, Schedule>,
}

#[derive(Debug)]
struct Schedule {
    arn: String,
    recurrence: Recurrence,
    target: Target,
}

#[derive(Debug)]
enum Recurrence {
    Rate(SignedDuration),
    Cron(Box<Cron>, TimeZone),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Target {
    arn: String,
    #[serde(rename = "RoleArn")]
    _role_arn: String,
    input: Option<String>,
    #[serde(rename = "RetryPolicy")]
    _retry: Option<Value>,
    #[serde(rename = "DeadLetterConfig")]
    _dead_letters: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ScheduleProperties {
    name: Option<String>,
    schedule_expression: String,
    schedule_expression_timezone: Option<String>,
    state: Option<String>,
    target: Target,
    flexible_time_window: Option<FlexibleTimeWindow>,
    #[serde(rename = "Description")]
    _description: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct FlexibleTimeWindow {
    mode: String,
}

/// What the service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    /// A schedule falls due.
    Due(String),
}

/// Deploys one resource of the stack.
pub(crate) fn deploy(cloud: &mut Cloud, resource: &Resource) -> Result<(), TemplateError> {
    if resource.kind != "AWS::Scheduler::Schedule" {
        return Err(resource.unsupported("this resource type"));
    }
    let properties: ScheduleProperties = resource.read()?;
    if properties
        .flexible_time_window
        .is_some_and(|window| window.mode != "OFF")
    {
        return Err(resource.unsupported("a flexible time window"));
    }
    if properties.target.arn.split(':').nth(2) != Some("lambda") {
        return Err(resource.unsupported(format!("the target {}", properties.target.arn)));
    }
    let timezone = properties.schedule_expression_timezone.as_deref().unwrap_or("UTC");
    let recurrence = recurrence(&properties.schedule_expression, timezone).map_err(|reason| resource.wrong(reason))?;
    let name = properties.name.unwrap_or_else(|| resource.physical_id.clone());
    let schedule = Schedule {
        arn: resource.arn().to_owned(),
        recurrence,
        target: properties.target,
    };
    cloud.scheduler.schedules.insert(name.clone(), schedule);
    if properties.state.is_none_or(|state| state == "ENABLED") {
        set_timer(cloud, &name);
    }
    Ok(())
}

/// Reads `rate(15 minutes)` and `cron(0 3 ? * SUN *)`: minute, hour, day of month, month, day of week (1 is Sunday), year.
fn recurrence(expression: &str, timezone: &str) -> Result<Recurrence, String> {
    let wrong = |reason: &str| format!("the schedule expression `{expression}` is not valid: {reason}");
    let inside = |kind: &str| expression.strip_prefix(kind).and_then(|rest| rest.strip_suffix(')'));
    if let Some(rate) = inside("rate(") {
        let (count, unit) = rate.split_once(' ').ok_or_else(|| wrong("write rate(15 minutes)"))?;
        let count: i64 = count.parse().map_err(|_| wrong("its value is not a whole number"))?;
        let seconds = match unit.trim_end_matches('s') {
            "minute" => 60,
            "hour" => 3_600,
            "day" => 86_400,
            _ => return Err(wrong("its unit is not minutes, hours or days")),
        };
        let seconds = count.checked_mul(seconds).filter(|seconds| *seconds > 0);
        return Ok(Recurrence::Rate(SignedDuration::from_secs(
            seconds.ok_or_else(|| wrong("its value is not above 0"))?,
        )));
    }
    let cron = inside("cron(").ok_or_else(|| wrong("write rate(…) or cron(…)"))?;
    if cron.split_whitespace().count() != 6 {
        return Err(wrong(
            "it needs six fields: minute, hour, day of month, month, day of week, year",
        ));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .alternative_weekdays(true)
        .build();
    let cron = parser
        .parse(&format!("0 {cron}"))
        .map_err(|error| wrong(&error.to_string()))?;
    let timezone = TimeZone::get(timezone).map_err(|error| wrong(&error.to_string()))?;
    Ok(Recurrence::Cron(Box::new(cron), timezone))
}

impl Recurrence {
    fn after(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Rate(every) => now.checked_add(*every).ok(),
            Self::Cron(cron, timezone) => {
                let next = cron.find_next_occurrence(&now.to_zoned(timezone.clone()), false);
                next.ok().map(|next| next.timestamp())
            }
        }
    }
}

fn set_timer(cloud: &mut Cloud, name: &str) {
    let now = cloud.now();
    let next = cloud
        .scheduler
        .schedules
        .get(name)
        .and_then(|schedule| schedule.recurrence.after(now));
    if let Some(next) = next {
        cloud.after(
            next.duration_since(now),
            super::Timer::Scheduler(Timer::Due(name.to_owned())),
        );
    }
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    let Timer::Due(name) = timer;
    let Some(schedule) = cloud.scheduler.schedules.get(&name) else {
        return;
    };
    let (target, arn) = (schedule.target.clone(), schedule.arn.clone());
    let time = Timestamp::from_second(cloud.now().as_second()).unwrap_or(cloud.now());
    let execution = cloud.uuid();
    let input = target.input.unwrap_or_else(|| "{}".to_owned());
    let input = input
        .replace("<aws.scheduler.scheduled-time>", &time.to_string())
        .replace("<aws.scheduler.schedule-arn>", &arn)
        .replace("<aws.scheduler.execution-id>", &execution)
        .replace("<aws.scheduler.attempt-number>", "1");
    let payload = serde_json::from_str(&input).unwrap_or(Value::String(input));
    if let Err(error) = lambda::invoke_async(cloud, &target.arn, payload) {
        cloud.note(
            "scheduler",
            &name,
            "delivery-failed",
            json!({"error": error.to_string()}),
        );
    }
    set_timer(cloud, &name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_fall_due() {
        for (expression, timezone, from, expected) in [
            (
                "rate(15 minutes)",
                "UTC",
                "2026-03-02T09:00:00Z",
                "2026-03-02T09:15:00Z",
            ),
            ("rate(1 day)", "UTC", "2026-03-02T09:00:00Z", "2026-03-03T09:00:00Z"),
            (
                "cron(0 3 ? * SUN *)",
                "UTC",
                "2026-03-02T09:00:00Z",
                "2026-03-08T03:00:00Z",
            ),
            (
                "cron(0 3 ? * 1 *)",
                "UTC",
                "2026-03-02T09:00:00Z",
                "2026-03-08T03:00:00Z",
            ),
            // The clocks go forward on 29 March: 3 o'clock local time is an hour earlier in UTC from then on.
            (
                "cron(30 3 * * ? *)",
                "Europe/Berlin",
                "2026-03-28T01:00:00Z",
                "2026-03-28T02:30:00Z",
            ),
            (
                "cron(30 3 * * ? *)",
                "Europe/Berlin",
                "2026-03-28T03:00:00Z",
                "2026-03-29T01:30:00Z",
            ),
        ] {
            let next = recurrence(expression, timezone).unwrap().after(from.parse().unwrap());
            assert_eq!(next, Some(expected.parse().unwrap()), "{expression} {timezone}");
        }
    }

    #[test]
    fn wrong_expressions_say_why() {
        for (expression, words) in [
            ("every day", "write rate(…) or cron(…)"),
            ("rate(5 fortnights)", "unit"),
            ("rate(0 minutes)", "above 0"),
            ("cron(0 3 * * *)", "six fields"),
            ("cron(99 3 ? * SUN *)", "not valid"),
        ] {
            let error = recurrence(expression, "UTC").unwrap_err();
            assert!(error.contains(words) && error.contains(expression), "{error}");
        }
        assert!(recurrence("cron(0 3 ? * SUN *)", "Mars/Olympus").is_err());
    }
}
