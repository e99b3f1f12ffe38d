//! What AWS's services do: in the name of a role that the stack gives them, or in their own.

use super::super::Cloud;
use super::ask::{Ask, Asker, Denied};
use super::decide::ask;

/// A service that acts in the name of a role.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acting<'a> {
    /// The service's principal: `codepipeline.amazonaws.com`.
    pub(crate) service: &'a str,
    /// The role.
    pub(crate) role_arn: &'a str,
    /// On account of what: the pipeline's ARN, the rule's.
    pub(crate) source_arn: &'a str,
    /// The session's name, as errors show it.
    pub(crate) session: &'a str,
}

impl Acting<'_> {
    fn role(&self) -> &str {
        self.role_arn.rsplit('/').next().unwrap_or_default()
    }
}

/// Assumes the role, and asks in its name.
///
/// # Errors
/// Where the role is not there or does not let the service in; else the first question that is refused.
pub(crate) fn as_service(cloud: &mut Cloud, acting: &Acting<'_>, asks: &[Ask]) -> Result<(), Denied> {
    if cloud.iam.trusts_services() {
        return Ok(());
    }
    assume(cloud, acting)?;
    let role = Asker::Role {
        name: acting.role(),
        session: acting.session,
    };
    asks.iter().try_for_each(|one| ask(cloud, &role, one))
}

/// Asks everything, whatever is refused: for what goes on without it.
///
/// # Errors
/// Where the role is not there or does not let the service in.
pub(crate) fn try_as_service(cloud: &mut Cloud, acting: &Acting<'_>, asks: &[Ask]) -> Result<(), Denied> {
    as_service(cloud, acting, &[])?;
    for one in asks {
        // It is kept among the refusals, and nothing else comes of it.
        drop(as_service(cloud, acting, std::slice::from_ref(one)));
    }
    Ok(())
}

/// Asks whether the role lets the service in.
///
/// # Errors
/// Where the role is not there or does not.
fn assume(cloud: &mut Cloud, acting: &Acting<'_>) -> Result<(), Denied> {
    let service = Asker::Service {
        name: acting.service,
        source_arn: acting.source_arn,
    };
    let assume = Ask::new("sts:AssumeRole", acting.role_arn);
    ask(cloud, &service, &assume)
}

/// Asks in a service's own name: the policy of the resource decides.
///
/// # Errors
/// Where it is refused.
pub(crate) fn in_own_name(cloud: &mut Cloud, service: &str, source_arn: &str, one: &Ask) -> Result<(), Denied> {
    if cloud.iam.trusts_services() {
        return Ok(());
    }
    let service = Asker::Service {
        name: service,
        source_arn,
    };
    ask(cloud, &service, one)
}

/// Asks in the name of somebody on the internet.
///
/// # Errors
/// Where it is refused.
pub(crate) fn as_anyone(cloud: &mut Cloud, one: &Ask) -> Result<(), Denied> {
    if cloud.iam.trusts_services() {
        return Ok(());
    }
    ask(cloud, &Asker::Anyone, one)
}
