//! Reading a map of the template.

use serde_json::{Map, Value, json};

use super::super::TemplateError;
use super::super::resolve::{unsupported, wrong};

/// The members of a map, each of which must be taken.
pub(super) struct Members {
    members: Map<String, Value>,
    pub(super) place: String,
}

impl Members {
    pub(super) fn new(value: Value, place: String) -> Result<Members, TemplateError> {
        match value {
            Value::Object(members) => Ok(Members { members, place }),
            _ => Err(wrong(&place, "must be a map")),
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    pub(super) fn required(&mut self, name: &str) -> Result<Value, TemplateError> {
        self.take(name)
            .ok_or_else(|| wrong(&self.place, format!("{name} is required")))
    }

    /// A member that decides how the template expands, and so can't be left to a function.
    pub(super) fn text(&mut self, name: &str) -> Result<String, TemplateError> {
        match self.required(name)? {
            Value::String(text) => Ok(text),
            _ => Err(wrong(&self.place, format!("{name} must be a plain string"))),
        }
    }

    pub(super) fn move_to(&mut self, target: &mut Map<String, Value>, names: &[&str]) {
        for name in names {
            self.rename_to(target, name, name);
        }
    }

    pub(super) fn rename_to(&mut self, target: &mut Map<String, Value>, name: &str, new_name: &str) {
        if let Some(value) = self.take(name) {
            target.insert(new_name.to_owned(), value);
        }
    }

    pub(super) fn dead_letter_config(&mut self, target: &mut Map<String, Value>) -> Result<(), TemplateError> {
        if let Some(config) = self.take("DeadLetterConfig") {
            let mut config = Members::new(config, format!("{}.DeadLetterConfig", self.place))?;
            // With Type, SAM would make the queue.
            let arn = config.take("Arn");
            config.done()?;
            let arn = arn.ok_or_else(|| wrong(&config.place, "Arn is required"))?;
            target.insert("DeadLetterConfig".to_owned(), json!({"Arn": arn}));
        }
        Ok(())
    }

    /// An error if anything was not taken.
    pub(super) fn done(&self) -> Result<(), TemplateError> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => Err(unsupported(&self.place, format!("the property {name}"))),
        }
    }
}
