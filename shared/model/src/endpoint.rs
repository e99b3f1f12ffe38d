//! The endpoint as it is.

use jiff::Timestamp;

/// `EndpointStatus`, in the API's words; the events' `IN_SERVICE` and the like are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "SageMaker's own words")]
pub enum Status {
    OutOfService,
    Creating,
    Updating,
    SystemUpdating,
    RollingBack,
    InService,
    Deleting,
    Failed,
    UpdateRollbackFailed,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::OutOfService,
        Self::Creating,
        Self::Updating,
        Self::SystemUpdating,
        Self::RollingBack,
        Self::InService,
        Self::Deleting,
        Self::Failed,
        Self::UpdateRollbackFailed,
    ];

    /// The API's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfService => "OutOfService",
            Self::Creating => "Creating",
            Self::Updating => "Updating",
            Self::SystemUpdating => "SystemUpdating",
            Self::RollingBack => "RollingBack",
            Self::InService => "InService",
            Self::Deleting => "Deleting",
            Self::Failed => "Failed",
            Self::UpdateRollbackFailed => "UpdateRollbackFailed",
        }
    }

    /// Whether the configuration that DescribeEndpoint names serves: an endpoint that is being created, or failed to be, names the one it
    /// was to serve with.
    #[must_use]
    pub fn serves(self) -> bool {
        !matches!(self, Self::Creating | Self::Failed | Self::OutOfService)
    }

    /// Reads the word of the API (`InService`) or of an event (`IN_SERVICE`).
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let plain = |word: &str| word.replace('_', "").to_ascii_lowercase();
        let word = plain(word);
        Self::ALL.into_iter().find(|status| plain(status.as_str()) == word)
    }
}

/// An endpoint, as DescribeEndpoint shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What it is doing.
    pub status: Status,
    /// The configuration that serves.
    pub config: String,
    /// Why the last operation failed, until the next one begins.
    pub failure_reason: Option<String>,
    /// The deployment that is under way.
    pub pending: Option<Pending>,
    /// When it was last changed.
    pub modified_at: Option<Timestamp>,
    /// How many instances each variant is to have, by the variant's name. Autoscaling and people change it without changing the
    /// configuration. Empty while nothing serves.
    pub desired_counts: Vec<(String, u32)>,
}

impl Endpoint {
    /// How many instances a variant is to have now.
    #[must_use]
    pub fn desired_count(&self, variant: &str) -> Option<u32> {
        let found = self.desired_counts.iter().find(|(name, _)| name == variant);
        found.map(|(_, count)| *count)
    }

    /// In service with nothing pending: it can be updated, and what serves is what serves.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.status == Status::InService && self.pending.is_none()
    }
}

/// `PendingDeploymentSummary`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pending {
    /// The configuration that is coming.
    pub config: String,
    /// The newest variant status: `Creating`, `ActivatingTraffic`, `Baking` and the like.
    pub phase: Option<String>,
    /// What SageMaker says about it.
    pub message: Option<String>,
    /// When the phase began.
    pub since: Option<Timestamp>,
    /// How many instances the new fleet is to have.
    pub desired_count: Option<u32>,
}

/// An endpoint configuration, as far as a decision depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub made_at: Option<Timestamp>,
    /// Its production variants.
    pub variants: Vec<Variant>,
}

/// A production variant of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// The SageMaker model that it serves.
    pub model: String,
    /// What it runs on; absent where it is serverless, or has several types.
    pub instance_type: Option<String>,
    /// `InitialInstanceCount`; absent where it is serverless.
    pub initial_count: Option<u32>,
    /// Whether it has no instances of its own.
    pub serverless: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_api_and_the_events() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        for (word, status) in [
            ("IN_SERVICE", Status::InService),
            ("ROLLING_BACK", Status::RollingBack),
            ("UPDATE_ROLLBACK_FAILED", Status::UpdateRollbackFailed),
        ] {
            assert_eq!(Status::parse(word), Some(status));
        }
        assert_eq!(Status::parse("ON_FIRE"), None);
    }
    #[test]
    fn what_is_named_serves_unless_it_never_came_up() {
        let none: Vec<_> = Status::ALL.into_iter().filter(|status| !status.serves()).collect();
        assert_eq!(none, [Status::OutOfService, Status::Creating, Status::Failed]);
    }
}
