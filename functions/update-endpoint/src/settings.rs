//! What the template sets.

use signalbox_aws::config::{ConfigError, Environment};
use signalbox_aws::configurations::{Capture, Changes, Network};
use signalbox_aws::evidence::rollout_policy;
use signalbox_model::capacity::{Capacity, Fleet, Scaling};
use signalbox_model::names::{ModelName, ModelPackageGroupArn};
use signalbox_model::rollout::Policy;

/// What the template sets. What it leaves open (`None`) is taken over from the configuration that serves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model, and so the endpoint.
    pub model: ModelName,
    /// Its versions' group.
    pub group: ModelPackageGroupArn,
    /// Where notices go.
    pub notices_topic_arn: String,
    /// Whether people are told of each shift of the traffic, and not of the ends alone.
    pub tells_each_shift: bool,
    /// The pipeline that brings versions to the endpoint.
    pub release_pipeline: String,
    /// The pipeline that takes a deployed version back.
    pub rollback_pipeline: String,
    /// The page that the link in the mail about a deployment opens.
    pub page_url: String,
    /// The role that the endpoint's containers have.
    pub execution_role_arn: String,
    /// The variant's name.
    pub variant_name: String,
    /// The variant's instance type.
    pub instance_type: String,
    /// How many instances there are.
    pub capacity: Capacity,
    /// The size of each instance's volume, in GiB.
    pub volume_gb: Option<u32>,
    /// The KMS key that encrypts the volumes.
    pub volume_key: Option<String>,
    /// What is captured of requests and answers.
    pub capture: Option<Capture>,
    /// The VPC that the containers are in.
    pub network: Option<Network>,
    /// How a version takes over.
    pub rollout: Policy,
    /// How many configurations that served before are kept, so that they can be gone back to.
    pub keep_previous: u32,
}

impl Settings {
    /// Reads them from the environment.
    ///
    /// # Errors
    /// Where a variable is missing or wrong.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let key = |name| environment.optional(name).map(str::to_owned);
        let percent: u32 = environment.parsed_or("DATA_CAPTURE_PERCENT", 0)?;
        let capture = if percent == 0 {
            None
        } else {
            Some(Capture {
                percent,
                s3_uri: environment.required("DATA_CAPTURE_URI")?.to_owned(),
                key: key("DATA_KEY_ARN"),
            })
        };
        let subnets = environment.list("SUBNET_IDS");
        let security_groups = environment.list("SECURITY_GROUP_IDS");
        if subnets.is_empty() != security_groups.is_empty() {
            let reason = "SUBNET_IDS and SECURITY_GROUP_IDS are set together or not at all";
            return Err(ConfigError::wrong("SUBNET_IDS", &subnets.join(","), &reason));
        }
        let network = (!subnets.is_empty()).then_some(Network {
            subnets,
            security_groups,
            isolated: false,
        });
        let volume_gb = environment.parsed_or("VOLUME_GB", 0)?;
        let max = environment.parsed_or("SCALING_MAX", 0)?;
        let min = environment.parsed_or("SCALING_MIN", 1)?;
        if max > 0 && max < min {
            let reason = format!("it is below SCALING_MIN, which is {min}");
            return Err(ConfigError::wrong("SCALING_MAX", &max.to_string(), &reason));
        }
        let scaling = if max == 0 {
            None
        } else {
            Some(Scaling {
                min,
                max,
                invocations_per_instance: environment.parsed("SCALING_INVOCATIONS_PER_INSTANCE")?,
            })
        };
        Ok(Self {
            model: environment.parsed("MODEL_NAME")?,
            group: environment.parsed("MODEL_PACKAGE_GROUP_ARN")?,
            notices_topic_arn: environment.required("NOTICES_TOPIC_ARN")?.to_owned(),
            tells_each_shift: environment.required("PROGRESS_NOTICES")? == "each-shift",
            release_pipeline: environment.required("RELEASE_PIPELINE")?.to_owned(),
            rollback_pipeline: environment.required("ROLLBACK_PIPELINE")?.to_owned(),
            page_url: environment.required("PAGE_URL")?.to_owned(),
            execution_role_arn: environment.required("EXECUTION_ROLE_ARN")?.to_owned(),
            variant_name: environment.required("VARIANT_NAME")?.to_owned(),
            instance_type: environment.required("INSTANCE_TYPE")?.to_owned(),
            capacity: Capacity {
                count: environment.parsed("INSTANCE_COUNT")?,
                scaling,
            },
            volume_gb: (volume_gb > 0).then_some(volume_gb),
            volume_key: key("VOLUME_KEY_ARN"),
            capture,
            network,
            rollout: rollout_policy(environment)?,
            keep_previous: environment.parsed("KEEP_PREVIOUS")?,
        })
    }

    /// What a new configuration for that model has over what it takes over.
    #[must_use]
    pub fn changes(&self, model: String, fleet: &Fleet) -> Changes {
        Changes {
            variant: self.variant_name.clone(),
            model,
            instance_type: self.instance_type.clone(),
            instance_count: fleet.initial,
            volume_gb: self.volume_gb,
            volume_key: self.volume_key.clone(),
            capture: self.capture.clone(),
        }
    }
}
