//! Questions to the policies, and who asks them.

use std::borrow::Cow;

use super::super::Cloud;

/// One question to the policies: an action on a resource, as the service authorization reference names them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    pub(crate) action: Cow<'static, str>,
    pub(crate) resource: String,
    /// Condition keys and their values.
    pub(crate) context: Vec<(&'static str, String)>,
    /// The KMS key that the object is written with, where it is not the bucket's own.
    pub(super) key: Option<String>,
}

impl Ask {
    pub(crate) fn new(action: impl Into<Cow<'static, str>>, resource: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            resource: resource.into(),
            context: Vec::new(),
            key: None,
        }
    }

    /// With a condition key.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.context.push((key, value.into()));
        self
    }

    /// With a KMS key of its own, by id, ARN or alias.
    pub(crate) fn encrypted_with(mut self, key: Option<&str>) -> Self {
        self.key = key.map(str::to_owned);
        self
    }

    /// `s3:PutObject` and the like on an object.
    pub(crate) fn object(action: &'static str, bucket: &str, key: &str) -> Self {
        Self::new(action, format!("arn:aws:s3:::{bucket}/{key}"))
    }

    /// `iam:PassRole` to a service.
    pub(crate) fn pass_role(role_arn: &str, service: &'static str) -> Self {
        Self::new("iam:PassRole", role_arn).with("iam:PassedToService", service)
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asker<'a> {
    /// Whoever has assumed a role, by the role's name and the session's.
    Role {
        /// The role's name.
        name: &'a str,
        /// The session's name: the function's, for one.
        session: &'a str,
    },
    /// A service in its own name, `events.amazonaws.com`, on account of a resource.
    Service {
        /// The service's principal.
        name: &'a str,
        /// `aws:SourceArn`.
        source_arn: &'a str,
    },
    /// Somebody on the internet.
    Anyone,
}

impl Asker<'_> {
    /// As the errors of AWS name it.
    pub(super) fn describe(&self, account: &str) -> String {
        match self {
            Self::Role { name, session } => format!("User: arn:aws:sts::{account}:assumed-role/{name}/{session}"),
            Self::Service { name, .. } => (*name).to_owned(),
            Self::Anyone => "User: anonymous".to_owned(),
        }
    }

    /// The value of a condition key (in small letters); the keys that every request has come after the question's own.
    pub(super) fn context<'a>(&'a self, cloud: &'a Cloud, ask: &'a Ask, key: &str) -> Option<&'a str> {
        let own = ask.context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        if let Some((_, value)) = own {
            return Some(value);
        }
        let target = cloud.target();
        match (key, self) {
            // Nobody here speaks anything else but to this machine itself.
            ("aws:securetransport", _) => Some("true"),
            ("aws:requestedregion", _) => Some(&target.region),
            ("aws:resourceaccount", _) => Some(&target.account),
            ("aws:sourceaccount", Self::Service { .. }) => Some(&target.account),
            ("aws:sourcearn", Self::Service { source_arn, .. }) => Some(source_arn),
            ("aws:principalisawsservice", Self::Service { .. }) => Some("true"),
            ("aws:principalisawsservice", _) => Some("false"),
            ("aws:principalaccount" | "kms:calleraccount", Self::Role { .. }) => Some(&target.account),
            _ => None,
        }
    }
}

/// A refusal; the text is the one that AWS gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{who} is not authorized to perform: {action} on resource: {resource} {reason}")]
pub(crate) struct Denied {
    pub(crate) who: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    /// `because no identity-based policy allows the … action`, or `with an explicit deny in …`.
    pub(crate) reason: String,
}
