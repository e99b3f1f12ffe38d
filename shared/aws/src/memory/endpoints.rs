//! Twins of endpoints and alarms.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;
use signalbox_model::endpoint::{Endpoint, Pending, Status};
use signalbox_model::package::Container;
use signalbox_model::rollout::Plan;

use super::lock;
use crate::alarms::ReadAlarms;
use crate::endpoints::{
    CreateEndpoints, MakeConfigs, NewConfig, REPLACES_TAG, ReadEndpoints, ReadReplaced, UpdateEndpoints,
};
use crate::error::{AwsError, ErrorKind};

/// Twin of [`Endpoints`](crate::endpoints::Endpoints), with one endpoint.
#[derive(Debug, Default)]
pub struct OneEndpoint(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    endpoint: Option<Endpoint>,
    models: BTreeMap<String, Container>,
    configs: BTreeMap<String, (NewConfig, Option<Timestamp>)>,
    plans: Vec<Plan>,
}

impl OneEndpoint {
    /// Sets the endpoint.
    pub fn set(&self, endpoint: Endpoint) {
        lock(&self.0).endpoint = Some(endpoint);
    }

    /// The endpoint.
    pub fn get(&self) -> Option<Endpoint> {
        lock(&self.0).endpoint.clone()
    }

    /// Puts a configuration there, made at that time.
    pub fn put_config(&self, config: NewConfig, made_at: Timestamp) {
        lock(&self.0)
            .configs
            .insert(config.name.clone(), (config, Some(made_at)));
    }

    /// The configurations.
    pub fn configs(&self) -> Vec<NewConfig> {
        lock(&self.0)
            .configs
            .values()
            .map(|(config, _)| config.clone())
            .collect()
    }

    /// The models' names.
    pub fn models(&self) -> Vec<String> {
        lock(&self.0).models.keys().cloned().collect()
    }

    /// The plans of the updates so far.
    pub fn plans(&self) -> Vec<Plan> {
        lock(&self.0).plans.clone()
    }
}

impl ReadEndpoints for OneEndpoint {
    async fn endpoint(&self, _name: &str) -> Result<Option<Endpoint>, AwsError> {
        Ok(self.get())
    }
}

impl ReadReplaced for OneEndpoint {
    async fn replaced(&self, config_arn: &str) -> Result<Option<String>, AwsError> {
        let name = config_arn.rsplit('/').next().unwrap_or_default();
        let state = lock(&self.0);
        let tags = state
            .configs
            .get(name)
            .map(|(config, _)| config.tags.clone())
            .unwrap_or_default();
        Ok(tags
            .into_iter()
            .find(|(key, _)| key == REPLACES_TAG)
            .map(|(_, value)| value))
    }
}

impl MakeConfigs for OneEndpoint {
    async fn make_model(&self, name: &str, container: &Container, _role_arn: &str) -> Result<(), AwsError> {
        lock(&self.0).models.insert(name.to_owned(), container.clone());
        Ok(())
    }

    async fn make_config(&self, config: &NewConfig) -> Result<Option<Timestamp>, AwsError> {
        let mut state = lock(&self.0);
        if let Some((_, made_at)) = state.configs.get(&config.name) {
            return Ok(*made_at);
        }
        state.configs.insert(config.name.clone(), (config.clone(), None));
        Ok(None)
    }
}

impl CreateEndpoints for OneEndpoint {
    async fn create(&self, _name: &str, config: &str) -> Result<(), AwsError> {
        let operation = "sagemaker:CreateEndpoint";
        let mut state = lock(&self.0);
        if state.endpoint.is_some() {
            return Err(AwsError::new(
                operation,
                ErrorKind::Exists,
                "ValidationException",
                "Cannot create already existing endpoint",
            ));
        }
        state.endpoint = Some(Endpoint {
            status: Status::Creating,
            config: config.to_owned(),
            failure_reason: None,
            pending: None,
            modified_at: None,
        });
        Ok(())
    }
}

impl UpdateEndpoints for OneEndpoint {
    async fn update(&self, _name: &str, config: &str, plan: &Plan) -> Result<(), AwsError> {
        let mut state = lock(&self.0);
        state.plans.push(plan.clone());
        let Some(endpoint) = &mut state.endpoint else {
            let message = "Could not find endpoint";
            return Err(AwsError::new(
                "sagemaker:UpdateEndpoint",
                ErrorKind::NotFound,
                "ValidationException",
                message,
            ));
        };
        if endpoint.status != Status::InService {
            let message = "Cannot update in-progress endpoint";
            return Err(AwsError::new(
                "sagemaker:UpdateEndpoint",
                ErrorKind::Busy,
                "ValidationException",
                message,
            ));
        }
        endpoint.status = Status::Updating;
        endpoint.failure_reason = None;
        endpoint.pending = Some(Pending {
            config: config.to_owned(),
            phase: None,
            message: None,
            since: None,
        });
        Ok(())
    }
}

/// Twin of [`Alarms`](crate::alarms::Alarms): the alarms that fire.
#[derive(Debug, Default)]
pub struct FiringAlarms(pub Vec<String>);

impl ReadAlarms for FiringAlarms {
    async fn firing(&self, names: &[String]) -> Result<Vec<String>, AwsError> {
        Ok(self.0.iter().filter(|name| names.contains(name)).cloned().collect())
    }
}
