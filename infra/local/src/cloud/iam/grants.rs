//! Which grants the stack has, which of them are used, and which are needed; what was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use super::super::{Cloud, InitialCode};
use super::ask::Denied;
use super::policy::Statement;
use crate::template::{Stack, Target, TemplateError};

/// How many resources are kept of a grant.
const RESOURCES_MAX: usize = 16;
/// How many refusals are kept, the first ones.
const DENIALS_MAX: usize = 1_000;

/// A grant's name, the same in every deployment of a stack: `RetrainRole/train/3 s3:ListBucket arn:aws:s3:::data`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId {
    /// The logical id of what has the policy: a role's; for a policy of a resource, that of the `AWS::SNS::TopicPolicy`, the
    /// `AWS::Lambda::Permission`, the key and the like.
    pub holder: String,
    /// The policy's name; for a policy of a resource, its kind.
    pub policy: String,
    /// The statement's `Sid`, or else its place, from 0.
    pub statement: String,
    /// The action, as the policy has it.
    pub action: String,
    /// The resource, as the policy has it; of a trust policy, the role.
    pub resource: String,
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            holder,
            policy,
            statement,
            action,
            resource,
        } = self;
        write!(f, "{holder}/{policy}/{statement} {action} {resource}")
    }
}

/// One action on one resource that a policy of the stack speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its name.
    pub id: GrantId,
    /// Whether it allows; otherwise it denies, and is never needed.
    pub allows: bool,
    /// Whether the statement has conditions.
    pub has_conditions: bool,
    /// Whether something was allowed (or denied) by it.
    pub used: bool,
    /// Whether something was allowed by it that would have been refused without it.
    pub needed: bool,
    /// The resources that were asked for, the first sixteen in the order of their names, where the grant's own stands for several.
    pub resources: BTreeSet<String>,
}

/// A question that was answered with no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// When.
    pub time: Timestamp,
    /// Who asked: a role's session, or a service.
    pub who: String,
    /// The action.
    pub action: String,
    /// The resource.
    pub resource: String,
    /// Why: as AWS says it.
    pub reason: String,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            who,
            action,
            resource,
            reason,
            ..
        } = self;
        write!(f, "{who} may not {action} on {resource}, {reason}")
    }
}

/// All grants of a stack, and what became of them.
#[derive(Default)]
pub(super) struct Ledger {
    grants: Vec<Entry>,
    denials: Vec<Denial>,
}

/// What was asked for is no state of the stack, which tests compare by what it shows of itself.
impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Entry {
    grant: Grant,
    /// Whether its resource stands for several.
    is_wide: bool,
    /// Whether the stack was deployed without it.
    is_off: bool,
}

/// What allows something: up to two grants, which have to be there together. None at all is AWS's own doing.
pub(super) type Way = [Option<usize>; 2];

impl Ledger {
    /// Enters the grants of a policy's statements.
    pub(super) fn enter(&mut self, holder: &str, policy: &str, statements: &mut [Statement]) {
        for statement in statements {
            statement.first_grant = self.grants.len();
            for (action, resource) in statement.pairs() {
                let id = GrantId {
                    holder: holder.to_owned(),
                    policy: policy.to_owned(),
                    statement: statement.name.clone(),
                    action: action.as_str().to_owned(),
                    resource: resource.as_str().to_owned(),
                };
                self.grants.push(Entry {
                    grant: Grant {
                        id,
                        allows: statement.allow,
                        has_conditions: !statement.conditions.is_empty(),
                        used: false,
                        needed: false,
                        resources: BTreeSet::new(),
                    },
                    is_wide: resource.is_wide(),
                    is_off: false,
                });
            }
        }
    }

    /// Takes a grant away.
    fn take_away(&mut self, id: &GrantId) -> Result<(), TemplateError> {
        let mut found = self.grants.iter_mut().filter(|entry| entry.grant.id == *id).peekable();
        if found.peek().is_none() {
            return Err(TemplateError::Wrong {
                place: id.holder.clone(),
                reason: format!("the stack has no grant `{id}`"),
            });
        }
        found.for_each(|entry| entry.is_off = true);
        Ok(())
    }

    /// Whether the stack was deployed with that grant.
    pub(super) fn is_on(&self, grant: usize) -> bool {
        self.grants.get(grant).is_some_and(|entry| !entry.is_off)
    }

    /// Something was allowed, in each of these ways.
    pub(super) fn allowed(&mut self, ways: &[Way], resource: &str) {
        for grant in ways.iter().flatten().flatten() {
            let needed = ways.iter().all(|way| way.contains(&Some(*grant)));
            self.mark(*grant, needed, resource);
        }
    }

    /// Something was denied by a statement that denies.
    pub(super) fn denied(&mut self, grant: usize, resource: &str) {
        self.mark(grant, false, resource);
    }

    fn mark(&mut self, grant: usize, needed: bool, resource: &str) {
        let Some(Entry { grant, is_wide, .. }) = self.grants.get_mut(grant) else {
            return;
        };
        grant.used = true;
        grant.needed |= needed;
        if *is_wide && grant.resources.len() < RESOURCES_MAX && !grant.resources.contains(resource) {
            grant.resources.insert(resource.to_owned());
        }
    }

    /// Something was refused.
    pub(super) fn refused(&mut self, time: Timestamp, denied: &Denied) {
        if self.denials.len() < DENIALS_MAX {
            self.denials.push(Denial {
                time,
                who: denied.who.clone(),
                action: denied.action.clone(),
                resource: denied.resource.clone(),
                reason: denied.reason.clone(),
            });
        }
    }
}

impl Cloud {
    /// Every action on every resource that the policies of the stack speak of, and what became of it so far.
    #[must_use]
    pub fn grants(&self) -> Vec<Grant> {
        let entries = self.iam.ledger.grants.iter();
        entries
            .filter(|entry| !entry.is_off)
            .map(|entry| entry.grant.clone())
            .collect()
    }

    /// The questions that were answered with no, oldest first, up to a thousand.
    #[must_use]
    pub fn denials(&self) -> &[Denial] {
        &self.iam.ledger.denials
    }

    /// Deploys the stack as [`deploy_with_code`](Self::deploy_with_code) does, but without one grant: as if the policy did not have it.
    ///
    /// # Errors
    /// As [`deploy_with_code`](Self::deploy_with_code), and where the stack has no such grant.
    pub fn deploy_with_code_without(
        stack: Stack,
        target: Target,
        now: Timestamp,
        seed: u64,
        code: BTreeMap<String, InitialCode>,
        grant: &GrantId,
    ) -> Result<Self, TemplateError> {
        Self::deploy_and(stack, target, now, seed, code, |cloud| {
            cloud.iam.ledger.take_away(grant)
        })
    }

    /// The same for a stack whose repositories begin with nothing.
    ///
    /// # Errors
    /// As [`deploy`](Self::deploy), and where the stack has no such grant.
    pub fn deploy_without(
        stack: Stack,
        target: Target,
        now: Timestamp,
        seed: u64,
        grant: &GrantId,
    ) -> Result<Self, TemplateError> {
        Self::deploy_with_code_without(stack, target, now, seed, BTreeMap::new(), grant)
    }
}

/// What a refused question is about, for tests: action and resource.
#[cfg(test)]
pub(crate) fn refusals(cloud: &Cloud) -> Vec<String> {
    let denials = cloud.denials().iter();
    denials
        .map(|denial| format!("{} {}", denial.action, denial.resource))
        .collect()
}
