//! What invokes a function: SAM's `Events`.

use serde_json::{Map, Value, json};

use super::super::TemplateError;
use super::super::resolve::unsupported;
use super::members::Members;
use super::{Expansion, allow, arn_of, assumed_by};

impl Expansion<'_> {
    fn permission(&mut self, event_id: &str, service: &str, source: &Value) {
        let function = self.reference();
        self.add(
            format!("{event_id}Permission"),
            "AWS::Lambda::Permission",
            json!({
                "Action": "lambda:InvokeFunction",
                "FunctionName": function,
                "Principal": format!("{service}.amazonaws.com"),
                "SourceArn": source,
            }),
        );
    }

    pub(super) fn event(&mut self, name: &str, event: Value) -> Result<(), TemplateError> {
        let id = format!("{}{name}", self.logical_id);
        let mut event = Members::new(event, format!("{}.Events.{name}", self.place))?;
        let kind = event.text("Type")?;
        let members = event.take("Properties").unwrap_or_else(|| json!({}));
        let members = Members::new(members, format!("{}.Properties", event.place))?;
        event.done()?;
        match kind.as_str() {
            "EventBridgeRule" | "CloudWatchEvent" => self.rule(&id, members),
            "SNS" => self.subscription(&id, members),
            "ScheduleV2" => self.schedule(&id, members),
            other => Err(unsupported(&event.place, format!("the event type {other}"))),
        }
    }

    fn rule(&mut self, id: &str, mut members: Members) -> Result<(), TemplateError> {
        let mut rule = Map::new();
        rule.insert("EventPattern".to_owned(), members.required("Pattern")?);
        members.move_to(&mut rule, &["EventBusName", "State"]);
        members.rename_to(&mut rule, "RuleName", "Name");
        let mut target = Map::new();
        target.insert("Arn".to_owned(), self.arn());
        let target_id = match members.take("Target") {
            None => json!(format!("{id}LambdaTarget")),
            Some(given) => {
                let mut given = Members::new(given, format!("{}.Target", members.place))?;
                let target_id = given.required("Id")?;
                given.done()?;
                target_id
            }
        };
        target.insert("Id".to_owned(), target_id);
        members.move_to(&mut target, &["Input", "InputPath", "InputTransformer", "RetryPolicy"]);
        members.dead_letter_config(&mut target)?;
        members.done()?;
        rule.insert("Targets".to_owned(), json!([target]));
        self.add(id.to_owned(), "AWS::Events::Rule", rule);
        self.permission(id, "events", &arn_of(id));
        Ok(())
    }

    fn subscription(&mut self, id: &str, mut members: Members) -> Result<(), TemplateError> {
        let topic = members.required("Topic")?;
        let mut subscription = Map::new();
        subscription.insert("Endpoint".to_owned(), self.arn());
        subscription.insert("Protocol".to_owned(), json!("lambda"));
        subscription.insert("TopicArn".to_owned(), topic.clone());
        members.move_to(
            &mut subscription,
            &["FilterPolicy", "FilterPolicyScope", "RedrivePolicy"],
        );
        members.done()?;
        self.add(id.to_owned(), "AWS::SNS::Subscription", subscription);
        self.permission(id, "sns", &topic);
        Ok(())
    }

    fn schedule(&mut self, id: &str, mut members: Members) -> Result<(), TemplateError> {
        let mut schedule = Map::new();
        schedule.insert("ScheduleExpression".to_owned(), members.required("ScheduleExpression")?);
        let window = members
            .take("FlexibleTimeWindow")
            .unwrap_or_else(|| json!({"Mode": "OFF"}));
        schedule.insert("FlexibleTimeWindow".to_owned(), window);
        members.move_to(
            &mut schedule,
            &[
                "Description",
                "EndDate",
                "GroupName",
                "ScheduleExpressionTimezone",
                "StartDate",
                "State",
            ],
        );
        // SAM names a schedule after its event, not after the stack.
        match (members.take("Name"), members.take("OmitName")) {
            (Some(name), _) => {
                schedule.insert("Name".to_owned(), name);
            }
            (None, Some(Value::Bool(true))) => {}
            (None, _) => {
                schedule.insert("Name".to_owned(), json!(id));
            }
        }
        let mut target = Map::new();
        target.insert("Arn".to_owned(), self.arn());
        members.move_to(&mut target, &["Input", "RetryPolicy"]);
        members.dead_letter_config(&mut target)?;
        let boundary = members.take("PermissionsBoundary");
        let role = if let Some(role) = members.take("RoleArn") {
            role
        } else {
            let role_id = format!("{id}Role");
            let mut role = Map::new();
            role.insert("AssumeRolePolicyDocument".to_owned(), assumed_by("scheduler"));
            let mut policy = allow("LambdaPolicy", "lambda:InvokeFunction", &self.arn());
            if let Some(name) = policy.get_mut("PolicyName") {
                *name = json!(format!("{id}LambdaPolicy"));
            }
            role.insert("Policies".to_owned(), json!([policy]));
            if let Some(boundary) = boundary {
                role.insert("PermissionsBoundary".to_owned(), boundary);
            }
            let arn = arn_of(&role_id);
            self.add(role_id, "AWS::IAM::Role", role);
            arn
        };
        members.done()?;
        target.insert("RoleArn".to_owned(), role);
        schedule.insert("Target".to_owned(), Value::Object(target));
        self.add(id.to_owned(), "AWS::Scheduler::Schedule", schedule);
        Ok(())
    }
}
