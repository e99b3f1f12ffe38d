//! Twins of endpoints, what they are made of, and alarms.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;
use signalbox_model::alarm::Firing;
use signalbox_model::capacity::Scaling;
use signalbox_model::endpoint::{Configuration, Endpoint, Pending, Status, Variant};
use signalbox_model::rollout::{Alarm, Update};

use super::{lock, pause};
use crate::alarms::{ReadAlarms, ReadFiring};
use crate::configurations::{
    ClearConfigs, MakeConfigs, Network, NewConfig, NewModel, ReadConfigs, ReadTags, ServedConfig, WriteTags,
};
use crate::endpoints::{CreateEndpoints, ReadEndpoints, UpdateEndpoints};
use crate::error::{AwsError, ErrorKind};
use crate::scaling::ScaleVariants;

/// Twin of [`Endpoints`](crate::endpoints::Endpoints), with one endpoint.
#[derive(Debug, Default)]
pub struct OneEndpoint(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    endpoint: Option<Endpoint>,
    models: BTreeMap<String, Network>,
    configs: BTreeMap<String, (NewConfig, Option<Timestamp>)>,
    updates: Vec<Update>,
    tags: BTreeMap<String, String>,
    refused: BTreeMap<&'static str, ErrorKind>,
}

impl State {
    /// Refuses the operation, if a test has said so.
    fn heed(&self, operation: &'static str) -> Result<(), AwsError> {
        match self.refused.get(operation) {
            Some(kind) => Err(AwsError::new(operation, *kind, "Refused", "the service's words")),
            None => Ok(()),
        }
    }
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

    /// Puts a model there, with its network.
    pub fn put_model(&self, name: &str, network: Network) {
        lock(&self.0).models.insert(name.to_owned(), network);
    }

    /// The configurations.
    pub fn configs(&self) -> Vec<NewConfig> {
        lock(&self.0)
            .configs
            .values()
            .map(|(config, _)| config.clone())
            .collect()
    }

    /// The models, with their networks.
    pub fn models(&self) -> BTreeMap<String, Network> {
        lock(&self.0).models.clone()
    }

    /// Has an operation, `sagemaker:UpdateEndpoint` for one, refused from now on.
    pub fn refuse(&self, operation: &'static str, kind: ErrorKind) {
        lock(&self.0).refused.insert(operation, kind);
    }

    /// Has no operation refused any more.
    pub fn refuse_nothing(&self) {
        lock(&self.0).refused.clear();
    }

    /// The updates so far.
    pub fn updates(&self) -> Vec<Update> {
        lock(&self.0).updates.clone()
    }
}

impl ReadEndpoints for OneEndpoint {
    async fn endpoint(&self, _name: &str) -> Result<Option<Endpoint>, AwsError> {
        pause().await;
        Ok(self.get())
    }
}

/// What the variants of a configuration are: the base's, with the changes over them.
fn variants(config: &NewConfig) -> Vec<Variant> {
    let mut variants = config
        .base
        .as_ref()
        .map(|base| base.facts.variants.clone())
        .unwrap_or_default();
    if let Some(changes) = &config.changes {
        let place = variants.iter().position(|variant| variant.name == changes.variant);
        let place = place.or((variants.len() == 1).then_some(0));
        let mut changed = Variant {
            name: changes.variant.clone(),
            model: changes.model.clone(),
            instance_type: Some(changes.instance_type.clone()),
            initial_count: Some(changes.instance_count),
            serverless: false,
        };
        match place.and_then(|place| variants.get_mut(place)) {
            Some(variant) => {
                if variant.serverless {
                    (changed.instance_type, changed.initial_count) = (None, None);
                }
                *variant = changed;
            }
            None => variants.push(changed),
        }
    }
    variants
}

impl ReadConfigs for OneEndpoint {
    async fn config(&self, name: &str) -> Result<Option<ServedConfig>, AwsError> {
        pause().await;
        let state = lock(&self.0);
        let config = state.configs.get(name).map(|(config, made_at)| {
            ServedConfig::of(Configuration {
                name: name.to_owned(),
                made_at: *made_at,
                variants: variants(config),
            })
        });
        Ok(config)
    }

    async fn network(&self, model: &str) -> Result<Network, AwsError> {
        pause().await;
        Ok(lock(&self.0).models.get(model).cloned().unwrap_or_default())
    }
}

impl ReadTags for OneEndpoint {
    async fn tags(&self, config_arn: &str) -> Result<BTreeMap<String, String>, AwsError> {
        pause().await;
        let name = config_arn.rsplit('/').next().unwrap_or_default();
        let state = lock(&self.0);
        if config_arn.contains(":endpoint/") {
            return Ok(state.tags.clone());
        }
        let tags = state.configs.get(name).map(|(config, _)| config.tags.clone());
        Ok(tags.unwrap_or_default().into_iter().collect())
    }
}

impl WriteTags for OneEndpoint {
    async fn tag(&self, arn: &str, key: &str, value: &str) -> Result<(), AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        if arn.contains(":endpoint-config/") {
            let name = arn.rsplit('/').next().unwrap_or_default();
            if let Some((config, _)) = state.configs.get_mut(name) {
                config.tags.retain(|(of, _)| of != key);
                config.tags.push((key.to_owned(), value.to_owned()));
            }
        } else if state.endpoint.is_some() {
            state.tags.insert(key.to_owned(), value.to_owned());
        }
        Ok(())
    }
}

impl MakeConfigs for OneEndpoint {
    async fn make_model(&self, model: &NewModel<'_>) -> Result<(), AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        state.heed("sagemaker:CreateModel")?;
        state
            .models
            .entry(model.name.to_owned())
            .or_insert_with(|| model.network.clone());
        Ok(())
    }

    async fn make_config(&self, config: &NewConfig) -> Result<Option<Timestamp>, AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        state.heed("sagemaker:CreateEndpointConfig")?;
        if let Some((_, made_at)) = state.configs.get(&config.name) {
            return Ok(*made_at);
        }
        state.configs.insert(config.name.clone(), (config.clone(), None));
        Ok(None)
    }
}

impl ClearConfigs for OneEndpoint {
    async fn oldest(&self, name_contains: &str) -> Result<Vec<(String, Option<Timestamp>)>, AwsError> {
        pause().await;
        let state = lock(&self.0);
        state.heed("sagemaker:ListEndpointConfigs")?;
        let found = state.configs.iter().filter(|(name, _)| name.contains(name_contains));
        let mut found: Vec<_> = found.map(|(name, (_, made_at))| (name.clone(), *made_at)).collect();
        found.sort_by_key(|(_, made_at)| *made_at);
        Ok(found)
    }

    async fn delete_config(&self, name: &str) -> Result<(), AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        state.heed("sagemaker:DeleteEndpointConfig")?;
        state.configs.remove(name);
        Ok(())
    }

    async fn delete_model(&self, name: &str) -> Result<(), AwsError> {
        pause().await;
        let mut state = lock(&self.0);
        state.heed("sagemaker:DeleteModel")?;
        state.models.remove(name);
        Ok(())
    }
}

impl CreateEndpoints for OneEndpoint {
    async fn create(&self, _name: &str, config: &str) -> Result<(), AwsError> {
        pause().await;
        let operation = "sagemaker:CreateEndpoint";
        let mut state = lock(&self.0);
        state.heed(operation)?;
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
            desired_counts: Vec::new(),
        });
        Ok(())
    }
}

impl UpdateEndpoints for OneEndpoint {
    async fn update(&self, _name: &str, config: &str, update: &Update) -> Result<(), AwsError> {
        pause().await;
        let operation = "sagemaker:UpdateEndpoint";
        let mut state = lock(&self.0);
        state.heed(operation)?;
        let Some(endpoint) = &mut state.endpoint else {
            let message = "Could not find endpoint";
            return Err(AwsError::new(
                operation,
                ErrorKind::NotFound,
                "ValidationException",
                message,
            ));
        };
        if !matches!(endpoint.status, Status::InService | Status::UpdateRollbackFailed) {
            let message = "Cannot update in-progress endpoint";
            return Err(AwsError::new(
                operation,
                ErrorKind::Busy,
                "ValidationException",
                message,
            ));
        }
        endpoint.status = Status::Updating;
        endpoint.failure_reason = None;
        endpoint.pending = Some(Pending {
            config: config.to_owned(),
            ..Pending::default()
        });
        state.updates.push(update.clone());
        Ok(())
    }
}

/// Twin of [`AutoScaling`](crate::scaling::AutoScaling): the variants that are scaled, by endpoint and variant.
#[derive(Debug, Default)]
pub struct ScaledVariants(Mutex<Scaled>);

#[derive(Debug, Default)]
struct Scaled {
    variants: BTreeMap<(String, String), Scaling>,
    refused: Option<ErrorKind>,
}

impl ScaledVariants {
    /// How a variant is scaled, if it is.
    pub fn of(&self, endpoint: &str, variant: &str) -> Option<Scaling> {
        lock(&self.0).variants.get(&key(endpoint, variant)).copied()
    }

    /// Has everything refused from now on, or nothing any more.
    pub fn refuse(&self, kind: impl Into<Option<ErrorKind>>) {
        lock(&self.0).refused = kind.into();
    }
}

impl Scaled {
    /// Refuses the operation, if a test has said so.
    fn heed(&self, operation: &'static str) -> Result<(), AwsError> {
        self.refused.map_or(Ok(()), |kind| {
            Err(AwsError::new(operation, kind, "Refused", "the service's words"))
        })
    }
}

fn key(endpoint: &str, variant: &str) -> (String, String) {
    (endpoint.to_owned(), variant.to_owned())
}

impl ScaleVariants for ScaledVariants {
    async fn scale(&self, endpoint: &str, variant: &str, scaling: &Scaling) -> Result<(), AwsError> {
        pause().await;
        let mut scaled = lock(&self.0);
        scaled.heed("application-autoscaling:RegisterScalableTarget")?;
        scaled.variants.insert(key(endpoint, variant), *scaling);
        Ok(())
    }

    async fn stop_scaling(&self, endpoint: &str, variant: &str) -> Result<(), AwsError> {
        pause().await;
        let mut scaled = lock(&self.0);
        scaled.heed("application-autoscaling:DeregisterScalableTarget")?;
        scaled.variants.remove(&key(endpoint, variant));
        Ok(())
    }
}

/// Twin of [`Alarms`](crate::alarms::Alarms).
#[derive(Debug, Default)]
pub struct SomeAlarms(Mutex<Vec<Alarm>>);

impl SomeAlarms {
    /// Alarms of a minute's window, by name, and whether they fire.
    #[must_use]
    pub fn new(alarms: &[(&str, bool)]) -> Self {
        let alarm = |(name, firing): &(&str, bool)| Alarm {
            name: (*name).to_owned(),
            firing: *firing,
            reason: "Threshold Crossed: 1 datapoint [0.2] was greater than the threshold (0.02).".to_owned(),
            window_seconds: Some(60),
        };
        Self(Mutex::new(alarms.iter().map(alarm).collect()))
    }

    /// Sets whether an alarm fires.
    pub fn set(&self, name: &str, firing: bool) {
        for alarm in lock(&self.0).iter_mut().filter(|alarm| alarm.name == name) {
            alarm.firing = firing;
        }
    }
}

/// Twin of [`Alarms`](crate::alarms::Alarms) for those that fire.
#[derive(Debug, Default)]
pub struct FiringAlarms(Mutex<Vec<Firing>>);

impl FiringAlarms {
    /// Has an alarm fire.
    pub fn fire(&self, firing: Firing) {
        lock(&self.0).push(firing);
    }

    /// Has no alarm fire any more.
    pub fn calm(&self) {
        lock(&self.0).clear();
    }
}

impl ReadFiring for FiringAlarms {
    async fn firing(&self, names: &[String]) -> Result<Vec<Firing>, AwsError> {
        pause().await;
        let firing = lock(&self.0);
        Ok(firing
            .iter()
            .filter(|firing| names.contains(&firing.alarm))
            .cloned()
            .collect())
    }
}

impl ReadAlarms for SomeAlarms {
    async fn alarms(&self, names: &[String]) -> Result<Vec<Alarm>, AwsError> {
        pause().await;
        let alarms = lock(&self.0);
        Ok(alarms
            .iter()
            .filter(|alarm| names.contains(&alarm.name))
            .cloned()
            .collect())
    }
}
