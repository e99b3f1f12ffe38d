//! EventBridge Scheduler.
//!
//! When a schedule falls due follows from
//! <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>: a rate from its start on, where a day is 24 hours; a cron
//! expression by the clock of its time zone, where a time that a change of the clocks leaves out is skipped, and one that comes twice
//! is due the first time.

use std::collections::BTreeMap;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::delivery::{self, Next, RetryPolicy};
use super::iam::Acting;
use super::{ApiError, Cloud, lambda, sqs};
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
    Cron {
        cron: Box<Cron>,
        zone: TimeZone,
        /// Whether it is due in every hour, whatever the clock calls it.
        hourly: bool,
    },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Target {
    arn: String,
    role_arn: String,
    input: Option<String>,
    #[serde(default)]
    retry_policy: RetryPolicy,
    dead_letter_config: Option<DeadLetterConfig>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeadLetterConfig {
    arn: String,
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
    /// A schedule falls due at that time.
    Due(String, Timestamp),
    /// A delivery that failed is tried again.
    Retry(Box<Delivery>),
}

/// What is delivered each time that a schedule falls due.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    schedule: String,
    schedule_arn: String,
    target: Target,
    due: Timestamp,
    execution: String,
    /// How many tries were made before.
    retries: u32,
    /// What the last try failed with.
    error: Option<ApiError>,
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
    properties.target.retry_policy.check(resource)?;
    let queue = properties.target.dead_letter_config.as_ref();
    if let Some(DeadLetterConfig { arn }) = queue
        && arn.split(':').nth(2) != Some("sqs")
    {
        return Err(resource.wrong(format!("the dead-letter queue `{arn}` is no queue of SQS")));
    }
    let timezone = properties.schedule_expression_timezone.as_deref().unwrap_or("UTC");
    let recurrence = recurrence(&properties.schedule_expression, timezone).map_err(|reason| resource.wrong(reason))?;
    let name = properties.name.unwrap_or_else(|| resource.physical_id.clone());
    if properties.state.is_none_or(|state| state == "ENABLED") {
        let now = cloud.now();
        let first = match recurrence {
            // Without a `StartDate` a rate starts at once.
            Recurrence::Rate(_) => Some(now),
            Recurrence::Cron { .. } => recurrence.after(now),
        };
        set_timer(cloud, &name, first);
    }
    let schedule = Schedule {
        arn: resource.arn().to_owned(),
        recurrence,
        target: properties.target,
    };
    cloud.scheduler.schedules.insert(name, schedule);
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
    let fields: Vec<&str> = cron.split_whitespace().collect();
    if fields.len() != 6 {
        return Err(wrong(
            "it needs six fields: minute, hour, day of month, month, day of week, year",
        ));
    }
    if fields.iter().any(|field| field.starts_with('/')) {
        return Err(wrong("an increment needs a start: write 0/15"));
    }
    if let [_, _, day, _, weekday, _] = fields.as_slice()
        && (*day == "*" && *weekday != "?" || *weekday == "*" && *day != "?")
    {
        return Err(wrong("where the day of month or of week is *, the other is ?"));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .alternative_weekdays(true)
        // `0/15`: every 15 from 0 on.
        .sloppy_ranges(true)
        .build();
    let cron = parser
        .parse(&format!("0 {cron}"))
        .map_err(|error| wrong(&error.to_string()))?;
    let hourly = fields.get(1).is_some_and(|hours| matches!(*hours, "*" | "*/1" | "0/1"));
    Ok(Recurrence::Cron {
        cron: Box::new(cron),
        zone: TimeZone::get(timezone).map_err(|error| wrong(&error.to_string()))?,
        hourly,
    })
}

impl Recurrence {
    /// When it is due next, after it was due, or might have been.
    fn after(&self, last: Timestamp) -> Option<Timestamp> {
        let (cron, zone) = match self {
            Self::Rate(every) => return last.checked_add(*every).ok(),
            // An hour has two names or one: it is an hour.
            Self::Cron {
                cron,
                zone,
                hourly: true,
            } => {
                let next = cron.find_next_occurrence(&last.to_zoned(zone.clone()), false);
                return next.ok().map(|next| next.timestamp());
            }
            Self::Cron { cron, zone, .. } => (cron, zone),
        };
        // What the clock on the wall shows, as if there were no changes: they are seen to here, as the service sees to them.
        let mut shown = zone.to_datetime(last).to_zoned(TimeZone::UTC).ok()?;
        loop {
            shown = cron.find_next_occurrence(&shown, false).ok()?;
            let times = zone.to_ambiguous_timestamp(shown.datetime());
            let first = match times.offset() {
                AmbiguousOffset::Gap { .. } => continue,
                AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => times.earlier().ok()?,
            };
            // Not later: it was due when the clock showed this for the first time.
            if first > last {
                return Some(first);
            }
        }
    }
}

fn set_timer(cloud: &mut Cloud, name: &str, due: Option<Timestamp>) {
    if let Some(due) = due {
        let wait = due.duration_since(cloud.now());
        cloud.after(wait, super::Timer::Scheduler(Timer::Due(name.to_owned(), due)));
    }
}

/// What the scheduler acts on account of: the group of the schedule, as the user guide's page on the confused deputy says.
fn group_arn(cloud: &Cloud) -> String {
    cloud.arn("scheduler", "schedule-group/default")
}

/// The scheduler in the name of the target's role.
fn acting<'a>(target: &'a Target, source_arn: &'a str, session: &'a str) -> Acting<'a> {
    Acting {
        service: "scheduler.amazonaws.com",
        role_arn: &target.role_arn,
        source_arn,
        session,
    }
}

/// The time for something has come.
pub(crate) fn on_timer(cloud: &mut Cloud, timer: Timer) {
    match timer {
        Timer::Due(name, due) => on_due(cloud, name, due),
        Timer::Retry(delivery) => {
            if delivery.target.retry_policy.is_over(delivery.due, cloud.now()) {
                give_up(cloud, &delivery, "MaximumEventAgeInSeconds");
            } else {
                let retries = delivery.retries + 1;
                attempt(cloud, Delivery { retries, ..*delivery });
            }
        }
    }
}

fn on_due(cloud: &mut Cloud, name: String, due: Timestamp) {
    let Some(schedule) = cloud.scheduler.schedules.get(&name) else {
        return;
    };
    let (target, schedule_arn) = (schedule.target.clone(), schedule.arn.clone());
    // From when it was due, not from when it was seen to: nothing adds up.
    let next = schedule.recurrence.after(due);
    let execution = cloud.uuid();
    set_timer(cloud, &name, next);
    let delivery = Delivery {
        schedule: name,
        schedule_arn,
        target,
        due,
        execution,
        retries: 0,
        error: None,
    };
    attempt(cloud, delivery);
}

impl Delivery {
    fn scheduled_time(&self) -> Timestamp {
        Timestamp::from_second(self.due.as_second()).unwrap_or(self.due)
    }

    /// What the target is given, with the keywords of
    /// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html> replaced.
    fn input(&self) -> String {
        let input = self.target.input.clone().unwrap_or_else(|| "{}".to_owned());
        input
            .replace("<aws.scheduler.scheduled-time>", &self.scheduled_time().to_string())
            .replace("<aws.scheduler.schedule-arn>", &self.schedule_arn)
            .replace("<aws.scheduler.execution-id>", &self.execution)
            .replace("<aws.scheduler.attempt-number>", &(self.retries + 1).to_string())
    }
}

/// Tries to invoke the target.
fn attempt(cloud: &mut Cloud, delivery: Delivery) {
    let result = invoke(cloud, &delivery);
    settle(cloud, delivery, result);
}

fn invoke(cloud: &mut Cloud, delivery: &Delivery) -> Result<(), ApiError> {
    delivery::reach(cloud, &delivery.target.arn)?;
    let input = delivery.input();
    let payload = serde_json::from_str(&input).unwrap_or(Value::String(input));
    let source_arn = group_arn(cloud);
    let acting = acting(&delivery.target, &source_arn, &delivery.execution);
    lambda::invoke_in_role(cloud, &acting, &delivery.target.arn, payload)
}

/// What comes of a try: a failed one is made again by the target's retry policy, and is a dead letter when that is exhausted.
fn settle(cloud: &mut Cloud, delivery: Delivery, result: Result<(), ApiError>) {
    let Err(error) = result else {
        return;
    };
    let data = json!({"error": error.to_string(), "retries": delivery.retries});
    cloud.note("scheduler", &delivery.schedule, "delivery-failed", data);
    let policy = &delivery.target.retry_policy;
    let next = policy.next(delivery.retries, delivery.due, cloud.now());
    let delivery = Delivery {
        error: Some(error),
        ..delivery
    };
    match next {
        Next::Wait(wait) => cloud.after(wait, super::Timer::Scheduler(Timer::Retry(Box::new(delivery)))),
        Next::GiveUp(exhausted) => give_up(cloud, &delivery, exhausted),
    }
}

/// Sends what could not be delivered to the dead-letter queue, with the attributes of
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html>.
fn give_up(cloud: &mut Cloud, delivery: &Delivery, exhausted: &str) {
    let data = json!({"exhausted": exhausted, "retries": delivery.retries});
    cloud.note("scheduler", &delivery.schedule, "given-up", data);
    let Some(queue) = &delivery.target.dead_letter_config else {
        return;
    };
    let error = delivery.error.as_ref();
    let attributes = delivery::attributes(&[
        ("SCHEDULE_ARN", Some(&delivery.schedule_arn)),
        ("TARGET_ARN", Some(&delivery.target.arn)),
        ("EXECUTION_ID", Some(&delivery.execution)),
        ("SCHEDULED_TIME", Some(&delivery.scheduled_time().to_string())),
        ("ERROR_CODE", error.map(|error| error.code.as_str())),
        ("ERROR_MESSAGE", error.map(|error| error.message.as_str())),
        ("RETRY_ATTEMPTS", Some(&delivery.retries.to_string())),
        ("EXHAUSTED_RETRY_CONDITION", Some(exhausted)),
        ("IS_PAYLOAD_TRUNCATED", Some("false")),
    ]);
    // The call that could not be made.
    let body = json!({"FunctionName": delivery.target.arn, "InvocationType": "Event", "Payload": delivery.input()});
    let (source_arn, body) = (group_arn(cloud), body.to_string());
    let acting = acting(&delivery.target, &source_arn, &delivery.execution);
    if let Err(error) = sqs::send_in_role(cloud, &acting, &queue.arn, &body, attributes) {
        sqs::lost(cloud, &queue.arn, &body, &error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::effect::Effect;

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

    /// The times between two at which it is due.
    fn due(expression: &str, timezone: &str, from: &str, until: &str) -> Vec<String> {
        let recurrence = recurrence(expression, timezone).unwrap();
        let (from, until): (Timestamp, Timestamp) = (from.parse().unwrap(), until.parse().unwrap());
        let due = std::iter::successors(recurrence.after(from), |last| recurrence.after(*last));
        due.take_while(|time| *time < until)
            .map(|time| time.strftime("%d %H:%M").to_string())
            .collect()
    }

    #[test]
    fn a_time_that_is_left_out_is_skipped_and_one_that_comes_twice_is_due_once() {
        let berlin = "Europe/Berlin";
        let spring = (berlin, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z");
        let autumn = (berlin, "2026-10-24T00:00:00Z", "2026-10-26T12:00:00Z");
        let york_spring = ("America/New_York", "2026-03-07T00:00:00Z", "2026-03-10T00:00:00Z");
        let york_autumn = ("America/New_York", "2026-10-31T00:00:00Z", "2026-11-03T00:00:00Z");
        for (expression, (timezone, from, until), expected) in [
            ("cron(30 2 * * ? *)", spring, &["28 01:30", "30 00:30"][..]),
            ("cron(30 1 * * ? *)", spring, &["28 00:30", "29 00:30", "29 23:30"]),
            // 2:00 is left out, 3:00 is not.
            ("cron(0 2,3 29 3 ? *)", spring, &["29 01:00"]),
            (
                "cron(0/30 2 * * ? *)",
                spring,
                &["28 01:00", "28 01:30", "30 00:00", "30 00:30"],
            ),
            ("cron(30 2 ? * SUN *)", spring, &[]),
            ("cron(30 2 * * ? *)", autumn, &["24 00:30", "25 00:30", "26 01:30"]),
            ("cron(30 1 * * ? *)", autumn, &["24 23:30", "26 00:30"]),
            ("cron(0/30 2 25 10 ? *)", autumn, &["25 00:00", "25 00:30"]),
            (
                "cron(0 0/2 25 10 ? *)",
                (berlin, "2026-10-24T20:00:00Z", "2026-10-25T04:00:00Z"),
                &["24 22:00", "25 00:00", "25 03:00"],
            ),
            ("cron(30 2 * * ? *)", york_spring, &["07 07:30", "09 06:30"]),
            ("cron(30 1 * * ? *)", york_spring, &["07 06:30", "08 06:30", "09 05:30"]),
            ("cron(30 1 * * ? *)", york_autumn, &["31 05:30", "01 05:30", "02 06:30"]),
            ("cron(30 2 * * ? *)", york_autumn, &["31 06:30", "01 07:30", "02 07:30"]),
        ] {
            assert_eq!(
                due(expression, timezone, from, until),
                expected,
                "{expression} {timezone} from {from}"
            );
        }
    }

    #[test]
    fn every_hour_is_every_hour_when_the_clocks_change() {
        for (timezone, day) in [
            ("UTC", "2026-03-29"),
            ("Europe/Berlin", "2026-03-29"),
            ("Europe/Berlin", "2026-10-25"),
            ("America/New_York", "2026-03-08"),
            ("America/New_York", "2026-11-01"),
        ] {
            let from: Timestamp = format!("{day}T00:00:00Z").parse().unwrap();
            let until = from + SignedDuration::from_hours(30);
            for (expression, minutes) in [
                ("cron(0 * * * ? *)", 60),
                ("cron(0/15 * * * ? *)", 15),
                ("cron(0 0/1 * * ? *)", 60),
                ("rate(1 hour)", 60),
            ] {
                let every = SignedDuration::from_mins(minutes);
                let expected: Vec<String> = from
                    .series(jiff::Span::try_from(every).unwrap())
                    .skip(1)
                    .take_while(|time| *time < until)
                    .map(|time| time.strftime("%d %H:%M").to_string())
                    .collect();
                let due = due(expression, timezone, &from.to_string(), &until.to_string());
                assert_eq!(due, expected, "{expression} {timezone} {day}");
            }
        }
    }

    #[test]
    fn a_look_in_the_hour_that_comes_twice_repeats_nothing() {
        let recurrence = recurrence("cron(30 2 * * ? *)", "Europe/Berlin").unwrap();
        for (from, expected) in [
            ("2026-10-25T00:15:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T00:45:00Z", "2026-10-26T01:30:00Z"),
            ("2026-10-25T01:15:00Z", "2026-10-26T01:30:00Z"),
            ("2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"),
        ] {
            assert_eq!(
                recurrence.after(from.parse().unwrap()),
                Some(expected.parse().unwrap()),
                "{from}"
            );
        }
        // It is left out on the only day that there is.
        let over = self::recurrence("cron(30 2 29 3 ? 2026)", "Europe/Berlin").unwrap();
        assert_eq!(over.after("2026-01-01T00:00:00Z".parse().unwrap()), None);
    }

    #[test]
    fn a_rate_starts_at_once_and_does_not_drift() {
        const TEMPLATE: &str = r#"
Resources:
  Look:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: look, Handler: bootstrap, Runtime: provided.al2023, Role: !GetAtt Role.Arn, Code: {Binary: look}, Timeout: 30}
  Role:
    Type: AWS::IAM::Role
    Properties: {AssumeRolePolicyDocument: {Statement: []}}
  Every:
    Type: AWS::Scheduler::Schedule
    Properties:
      Name: every
      ScheduleExpression: rate(15 minutes)
      FlexibleTimeWindow: {Mode: "OFF"}
      Target: {Arn: !GetAtt Look.Arn, RoleArn: !GetAtt Role.Arn, Input: '{"time": "<aws.scheduler.scheduled-time>"}'}
"#;
        let mut cloud = crate::cloud::testing::deploy(TEMPLATE).unwrap();
        let start = cloud.now();
        let mut times = Vec::new();
        // Looked at with a step that fits no rate; once for longer than two of them.
        for seconds in (0..7200).step_by(487).chain([12_600]) {
            cloud.advance(start + SignedDuration::from_secs(seconds));
            for effect in cloud.take_effects() {
                let Effect::Invoke(invoke) = effect else {
                    panic!("{effect:?}")
                };
                times.push(invoke.payload["time"].as_str().unwrap().to_owned());
            }
        }
        let expected = (0..=14).map(|n| (start + SignedDuration::from_mins(15 * n)).to_string());
        assert_eq!(times, expected.collect::<Vec<_>>());
    }

    const EVERY_DAY: &str = r#"
Resources:
  Look:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: look, Handler: bootstrap, Runtime: provided.al2023, Role: !GetAtt Role.Arn, Code: {Binary: look}, Timeout: 30}
  Role:
    Type: AWS::IAM::Role
    Properties: {AssumeRolePolicyDocument: {Statement: []}}
  Dead:
    Type: AWS::SQS::Queue
    Properties: {QueueName: dead}
  Every:
    Type: AWS::Scheduler::Schedule
    Properties:
      Name: every
      ScheduleExpression: rate(1 day)
      FlexibleTimeWindow: {Mode: "OFF"}
      Target:
        Arn: !GetAtt Look.Arn
        RoleArn: !GetAtt Role.Arn
        Input: '{"attempt": "<aws.scheduler.attempt-number>"}'
        RetryPolicy: POLICY
        DeadLetterConfig: {Arn: !GetAtt Dead.Arn}
"#;

    const LOOK: &str = "arn:aws:lambda:eu-west-1:123456789012:function:look";

    fn broken(policy: &str) -> Result<Cloud, TemplateError> {
        let mut cloud = crate::cloud::testing::deploy(&EVERY_DAY.replace("POLICY", policy))?;
        cloud.break_deliveries(LOOK, ApiError::new("TooManyRequestsException", "Rate Exceeded."));
        Ok(cloud)
    }

    #[test]
    fn what_cant_be_delivered_is_tried_again_and_then_a_dead_letter() {
        for (policy, retries, exhausted, seconds) in [
            ("{MaximumRetryAttempts: 2}", "2", "MaximumRetryAttempts", 3),
            ("{MaximumRetryAttempts: 0}", "0", "MaximumRetryAttempts", 0),
            ("{MaximumEventAgeInSeconds: 60}", "5", "MaximumEventAgeInSeconds", 60),
        ] {
            let mut cloud = broken(policy).unwrap();
            let start = cloud.now();
            if seconds > 0 {
                cloud.advance(start + SignedDuration::from_secs(seconds - 1));
                assert!(cloud.dead_letters().is_empty(), "{policy}");
            }
            cloud.advance(start + SignedDuration::from_secs(seconds));
            let letters = cloud.dead_letters();
            let [letter] = letters.as_slice() else {
                panic!("{policy}: {letters:?}")
            };
            let attribute = |name: &str| letter["attributes"][name]["StringValue"].as_str().unwrap().to_owned();
            assert_eq!(
                (attribute("RETRY_ATTEMPTS"), attribute("EXHAUSTED_RETRY_CONDITION")),
                (retries.to_owned(), exhausted.to_owned()),
                "{policy}"
            );
            assert_eq!(attribute("ERROR_CODE"), "TooManyRequestsException");
            assert_eq!(attribute("ERROR_MESSAGE"), "Rate Exceeded.");
            assert_eq!(attribute("SCHEDULED_TIME"), "2026-03-02T09:00:00Z");
            assert_eq!(attribute("TARGET_ARN"), LOOK);
            assert!(attribute("SCHEDULE_ARN").ends_with(":schedule/default/every"));
            assert_eq!(attribute("IS_PAYLOAD_TRUNCATED"), "false");
            assert_eq!(attribute("EXECUTION_ID").len(), 36);
            let body: Value = serde_json::from_str(letter["body"].as_str().unwrap()).unwrap();
            assert_eq!(
                (body["FunctionName"].as_str(), body["InvocationType"].as_str()),
                (Some(LOOK), Some("Event"))
            );
            assert!(cloud.take_effects().is_empty());
        }
    }

    #[test]
    fn a_target_that_is_mended_in_time_is_invoked() {
        let mut cloud = broken("{}").unwrap();
        let start = cloud.now();
        cloud.advance(start + SignedDuration::from_mins(5));
        cloud.mend_deliveries(LOOK);
        cloud.advance(start + SignedDuration::from_hours(23));
        let effects = cloud.take_effects();
        let [Effect::Invoke(invoke)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        // At 0, 1, 3, 7, 15, 31, 63, 127, 255 seconds in vain.
        assert_eq!(invoke.payload, json!({"attempt": "10"}));
        assert!(cloud.dead_letters().is_empty());
    }

    #[test]
    fn retry_policies_have_bounds() {
        for (policy, words) in [
            (
                "{MaximumRetryAttempts: 186}",
                "MaximumRetryAttempts 186 is not 0 to 185",
            ),
            ("{MaximumEventAgeInSeconds: 59}", "59 is not 60 to 86400"),
            ("{MaximumEventAgeInSeconds: 86401}", "86401 is not 60 to 86400"),
            ("{MaximumRetryAttempts: many}", "`many` is not a whole number"),
            ("{Retries: 1}", "unknown field `Retries`"),
        ] {
            let error = broken(policy).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
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
            ("cron(/15 * * * ? *)", "needs a start"),
            ("cron(0 3 * * SUN *)", "the other is ?"),
            ("cron(0 3 1 * * *)", "the other is ?"),
        ] {
            let error = recurrence(expression, "UTC").unwrap_err();
            assert!(error.contains(words) && error.contains(expression), "{error}");
        }
        assert!(recurrence("cron(0 3 ? * SUN *)", "Mars/Olympus").is_err());
    }
}
