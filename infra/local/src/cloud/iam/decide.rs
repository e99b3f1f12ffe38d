//! How a question is answered.
//!
//! As <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html> has it for one account: a statement that
//! denies decides; else the policies of the role or the policy of the resource have to allow it. A key's policy differs: the
//! account's own policies count only where it lets the account in.

use super::super::Cloud;
use super::ask::{Ask, Asker, Denied};
use super::grants::Way;
use super::keys;
use super::policy::{Statement, Who};

/// The answer to a question.
enum Answer {
    /// Yes, in each of these ways.
    Yes(Vec<Way>),
    /// No: by a grant that denies, or as nothing allows it; and why, as AWS says it.
    No(Option<usize>, String),
}

/// Asks the policies, and what is asked of KMS on account of it; notes what allowed it, or that it was refused.
///
/// # Errors
/// Where it is refused.
pub(crate) fn ask(cloud: &mut Cloud, asker: &Asker<'_>, ask: &Ask) -> Result<(), Denied> {
    check(cloud, asker, ask)?;
    for more in keys::asks(cloud, asker, ask) {
        check(cloud, asker, &more)?;
    }
    Ok(())
}

fn check(cloud: &mut Cloud, asker: &Asker<'_>, ask: &Ask) -> Result<(), Denied> {
    match answer(cloud, asker, ask) {
        Answer::Yes(ways) => {
            cloud.iam.ledger.allowed(&ways, &ask.resource);
            Ok(())
        }
        Answer::No(grant, reason) => {
            if let Some(grant) = grant {
                cloud.iam.ledger.denied(grant, &ask.resource);
            }
            let denied = Denied {
                who: asker.describe(&cloud.target().account),
                action: ask.action.to_string(),
                resource: ask.resource.clone(),
                reason,
            };
            let now = cloud.now();
            cloud.iam.ledger.refused(now, &denied);
            Err(denied)
        }
    }
}

/// Whether it would be allowed, for an answer that depends on it. A yes is noted, a no is not: nothing is refused by it.
pub(crate) fn would_allow(cloud: &mut Cloud, asker: &Asker<'_>, ask: &Ask) -> bool {
    match answer(cloud, asker, ask) {
        Answer::Yes(ways) => {
            cloud.iam.ledger.allowed(&ways, &ask.resource);
            true
        }
        Answer::No(..) => false,
    }
}

fn answer(cloud: &Cloud, asker: &Asker<'_>, ask: &Ask) -> Answer {
    let state = &cloud.iam;
    let attached = state.policy_of(&ask.resource);
    let applies = |statement: &Statement| {
        let mut conditions = statement.conditions.iter();
        conditions.all(|condition| condition.holds(|key| asker.context(cloud, ask, key)))
    };
    let grants = |statement: &'_ Statement| -> Vec<usize> {
        let grants = statement.grants(&ask.action, &ask.resource);
        let grants: Vec<usize> = grants.filter(|grant| state.ledger.is_on(*grant)).collect();
        if grants.is_empty() || !applies(statement) {
            return Vec::new();
        }
        grants
    };
    let denies = |of: &str| format!("with an explicit deny in {of}");

    // What the resource's own policy says: to the asker itself, and to the account.
    let (mut direct, mut account) = (Vec::new(), Vec::new());
    for statement in attached.unwrap_or_default() {
        let addressed = Addressed::of(statement, asker, &cloud.target().account);
        if addressed == Addressed::Nobody {
            continue;
        }
        let grants = grants(statement);
        match (statement.allow, addressed) {
            // What is denied to an account is denied to everybody in it.
            (false, _) => {
                if let Some(grant) = grants.first() {
                    return Answer::No(Some(*grant), denies("a resource-based policy"));
                }
            }
            (true, Addressed::Account) => account.extend(grants),
            (true, _) => direct.extend(grants),
        }
    }
    let mut own = Vec::new();
    if let Asker::Role { name, .. } = asker {
        for statement in state
            .roles
            .get(*name)
            .map(|role| role.statements.as_slice())
            .unwrap_or_default()
        {
            let grants = grants(statement);
            match grants.first() {
                Some(grant) if !statement.allow => {
                    return Answer::No(Some(*grant), denies("an identity-based policy"));
                }
                _ => own.extend(grants),
            }
        }
    }

    let mut ways: Vec<Way> = direct.into_iter().map(|grant| [Some(grant), None]).collect();
    let is_key = ask.action.starts_with("kms:") && ask.resource.starts_with("arn:");
    match attached {
        // A key that is not the stack's, or has no policy of its own, has AWS's default: the account's policies decide.
        Some(_) if is_key => {
            let both = account
                .iter()
                .flat_map(|with| own.iter().map(|grant| [Some(*with), Some(*grant)]));
            ways.extend(both);
        }
        _ => ways.extend(own.into_iter().map(|grant| [Some(grant), None])),
    }
    // The policy that a topic has from the start lets the account's own alarms in. EventBridge's documentation asks for one of one's own.
    let is_alarm = matches!(asker, Asker::Service { name, .. } if *name == "cloudwatch.amazonaws.com");
    if attached.is_none() && is_alarm && ask.action == "sns:Publish" {
        ways.push([None, None]);
    }
    if !ways.is_empty() {
        return Answer::Yes(ways);
    }
    let kind = match asker {
        Asker::Role { .. } if is_key && attached.is_some() && account.is_empty() => "resource-based",
        Asker::Role { .. } => "identity-based",
        Asker::Service { .. } | Asker::Anyone => "resource-based",
    };
    Answer::No(
        None,
        format!("because no {kind} policy allows the {} action", ask.action),
    )
}

/// Whom of interest a statement of a resource's policy speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Addressed {
    Nobody,
    /// The account of the asker.
    Account,
    /// The asker.
    Asker,
}

impl Addressed {
    fn of(statement: &Statement, asker: &Asker<'_>, account: &str) -> Self {
        let mut addressed = Self::Nobody;
        for who in &statement.principals {
            match (who, asker) {
                (Who::Anyone, _) => return Self::Asker,
                (Who::Service(service), Asker::Service { name, .. }) if service == name => return Self::Asker,
                (Who::Role(arn), Asker::Role { name, .. }) => {
                    let is_own = arn.split(':').nth(4) == Some(account);
                    if is_own && arn.rsplit('/').next() == Some(*name) {
                        return Self::Asker;
                    }
                }
                (Who::Account(id), Asker::Role { .. }) if id == account => addressed = Self::Account,
                _ => {}
            }
        }
        addressed
    }
}
