//! IAM: roles, policies, and who may do what.
//!
//! [`required`] says what a call asks of the policies, [`service`] what AWS's services ask in the name of a role or in their own,
//! [`keys`] what encryption asks besides. [`policy`] and [`condition`] read the policies of [`role`]s and of resources, [`decide`] answers, and
//! [`grants`] keeps what each grant was good for. The person at the machine may do everything.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ApiError, Caller, Cloud};
use crate::template::{Resource, TemplateError};

mod ask;
mod condition;
mod decide;
mod grants;
mod keys;
pub(crate) mod logs;
mod pattern;
mod policy;
mod required;
mod role;
mod service;
#[cfg(test)]
mod template_tests;
#[cfg(test)]
mod tests;

pub(crate) use self::ask::{Ask, Denied};
#[cfg(test)]
pub(crate) use self::grants::refusals;
pub use self::grants::{Denial, Grant, GrantId};
use self::policy::{Kind, Statement};
pub(crate) use self::required::{allowed, as_caller, authorize};
pub(crate) use self::role::deploy;
pub(crate) use self::service::{Acting, as_anyone, as_service, in_own_name, try_as_service};

/// The service's state.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By the role's name.
    roles: BTreeMap<String, role::Role>,
    /// The policies of resources, trust policies among them, by the resource's ARN. A resource that has none is not here.
    attached: BTreeMap<String, Vec<Statement>>,
    ledger: grants::Ledger,
    /// The log groups that the stack declares, with their keys, by name.
    log_groups: BTreeMap<String, Option<String>>,
    /// Whether services need not ask: for tests of stacks that have no roles and no policies.
    #[cfg(test)]
    trusts_services: bool,
}

impl State {
    /// The policy of a resource; an object's is its bucket's.
    fn policy_of(&self, resource: &str) -> Option<&[Statement]> {
        let of = match resource
            .strip_prefix("arn:aws:s3:::")
            .and_then(|object| object.split_once('/'))
        {
            Some((bucket, _)) => resource.get(.."arn:aws:s3:::".len() + bucket.len()).unwrap_or(resource),
            None => resource,
        };
        self.attached.get(of).map(Vec::as_slice)
    }

    #[cfg(test)]
    fn trusts_services(&self) -> bool {
        self.trusts_services
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests have a switch")]
    fn trusts_services(&self) -> bool {
        false
    }
}

/// Lets AWS's services do whatever the stack has them do, for tests of stacks that have no roles and no policies.
#[cfg(test)]
pub(crate) fn trust_services(cloud: &mut Cloud) {
    cloud.iam.trusts_services = true;
}

/// Attaches a resource's policy to the resources of those ARNs.
///
/// # Errors
/// Where the policy is wrong, or has something that the local cloud does not know.
pub(crate) fn attach_policy(
    cloud: &mut Cloud,
    resource: &Resource,
    kind: &str,
    document: &Value,
    arns: &[String],
) -> Result<(), TemplateError> {
    let statements = policy::read(resource, document, Kind::Resource)?;
    attach(cloud, &resource.logical_id, kind, statements, arns);
    Ok(())
}

fn attach(cloud: &mut Cloud, holder: &str, policy: &str, mut statements: Vec<Statement>, arns: &[String]) {
    cloud.iam.ledger.enter(holder, policy, &mut statements);
    for arn in arns {
        let attached = cloud.iam.attached.entry(arn.clone()).or_default();
        attached.extend(statements.iter().cloned());
    }
}

impl Cloud {
    /// Who has that access key: a function, or else the person at the machine.
    #[must_use]
    pub fn caller_of(&self, access_key_id: &str) -> Caller {
        super::lambda::function_with_key(self, access_key_id).unwrap_or(Caller::Administrator)
    }
}

/// Answers one call of STS.
pub(crate) fn call(cloud: &mut Cloud, caller: &Caller, operation: &str, _input: &Value) -> Result<Value, ApiError> {
    if operation != "GetCallerIdentity" {
        return Err(ApiError::new(
            "InvalidAction",
            format!("Could not find operation {operation}"),
        ));
    }
    let account = &cloud.target().account;
    let (arn, id) = identity(cloud, caller);
    Ok(json!({"Account": account, "Arn": arn, "UserId": id}))
}

/// Who makes a call: the ARN and the principal's id.
pub(crate) fn identity(cloud: &Cloud, caller: &Caller) -> (String, String) {
    let account = &cloud.target().account;
    match caller {
        Caller::Administrator => (
            format!("arn:aws:iam::{account}:user/administrator"),
            "AIDALOCAL".to_owned(),
        ),
        Caller::Function { name, role_arn } => {
            let role = role_arn.rsplit('/').next().unwrap_or_default();
            (
                format!("arn:aws:sts::{account}:assumed-role/{role}/{name}"),
                format!("AROALOCAL:{name}"),
            )
        }
    }
}
