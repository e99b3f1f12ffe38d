//! The deployed stack: a deterministic state machine over a virtual clock and a seed.
//!
//! Each service is a module with the same verbs: `deploy` takes a resource of the stack, `call` answers an API call, `on_timer`
//! is told that the time for something has come. Services reach each other through functions of their modules on the whole
//! [`Cloud`]. Nothing here does I/O or reads a clock: [`effect`] says what is to be done outside.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::shapes;
use crate::template::{Stack, Target, TemplateError};

pub mod effect;
mod error;

pub(crate) mod appconfig;
pub(crate) mod applicationautoscaling;
pub(crate) mod chatbot;
pub(crate) mod cloudwatch;
pub(crate) mod codebuild;
pub(crate) mod codecommit;
pub(crate) mod codedeploy;
pub(crate) mod codepipeline;
pub(crate) mod delivery;
pub(crate) mod events;
pub(crate) mod iam;
pub(crate) mod kms;
pub(crate) mod lambda;
pub(crate) mod logs;
pub(crate) mod s3;
pub(crate) mod sagemaker;
pub(crate) mod scheduler;
pub(crate) mod sns;
pub(crate) mod sqs;
#[cfg(test)]
pub(crate) mod testing;

pub use self::chatbot::ChatPost;
pub(crate) use self::codecommit::{AUTHOR, MESSAGE, local_code};
pub use self::codecommit::{InitialCode, Push, PushedCommit};
pub use self::codedeploy::Updated;
use self::effect::{Effect, EffectId};
pub use self::error::ApiError;
pub use self::iam::{Denial, Grant, GrantId};
pub use self::lambda::{FunctionInfo, Started};
pub use self::logs::LogGroup;
pub use self::sagemaker::Route;
pub use self::sns::HttpsDelivery;

/// A service with an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the services' own names")]
pub enum Service {
    ApplicationAutoScaling,
    CloudWatch,
    CodeBuild,
    CodeCommit,
    CodeDeploy,
    CodePipeline,
    Events,
    Kms,
    Lambda,
    S3,
    SageMaker,
    Sns,
    Sqs,
    Sts,
}

impl Service {
    /// The service's IAM prefix.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::ApplicationAutoScaling => "application-autoscaling",
            Self::CloudWatch => "cloudwatch",
            Self::CodeBuild => "codebuild",
            Self::CodeCommit => "codecommit",
            Self::CodeDeploy => "codedeploy",
            Self::CodePipeline => "codepipeline",
            Self::Events => "events",
            Self::Kms => "kms",
            Self::Lambda => "lambda",
            Self::S3 => "s3",
            Self::SageMaker => "sagemaker",
            Self::Sns => "sns",
            Self::Sqs => "sqs",
            Self::Sts => "sts",
        }
    }
}

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The person at the machine; may do everything.
    Administrator,
    /// A function, with the policies of its role.
    Function {
        /// The function's name.
        name: String,
        /// The ARN of its role.
        role_arn: String,
    },
}

/// Something that happened, for the timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// When.
    pub time: Timestamp,
    /// The service it happened in: `codepipeline` and the like.
    pub service: &'static str,
    /// The resource it happened to.
    pub subject: String,
    /// A short name for the kind of happening: `stage-failed`, `traffic-shifted`.
    pub what: &'static str,
    /// The particulars.
    pub data: Value,
}

/// What a service waits for.
#[derive(Debug, Clone)]
pub(crate) enum Timer {
    ApplicationAutoScaling(applicationautoscaling::Timer),
    CloudWatch(cloudwatch::Timer),
    CodeBuild(codebuild::Timer),
    CodeDeploy(codedeploy::Timer),
    CodePipeline(codepipeline::Timer),
    Events(events::Timer),
    Lambda(lambda::Timer),
    SageMaker(sagemaker::Timer),
    Scheduler(scheduler::Timer),
    Sns(sns::Timer),
}

/// The deployed stack.
#[derive(Debug)]
pub struct Cloud {
    /// The virtual time.
    now: Timestamp,
    rng: ChaCha8Rng,
    target: Target,
    stack: Stack,
    /// By time, then in the order in which they were set.
    timers: BTreeMap<(Timestamp, u64), Timer>,
    timers_set: u64,
    effects: VecDeque<Effect>,
    effects_made: EffectId,
    happenings: Vec<Happening>,
    calls: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) applicationautoscaling: applicationautoscaling::State,
    pub(crate) chatbot: chatbot::State,
    pub(crate) cloudwatch: cloudwatch::State,
    pub(crate) codebuild: codebuild::State,
    pub(crate) codecommit: codecommit::State,
    pub(crate) codedeploy: codedeploy::State,
    pub(crate) codepipeline: codepipeline::State,
    pub(crate) delivery: delivery::State,
    pub(crate) events: events::State,
    pub(crate) iam: iam::State,
    pub(crate) kms: kms::State,
    pub(crate) lambda: lambda::State,
    pub(crate) logs: logs::State,
    pub(crate) s3: s3::State,
    pub(crate) sagemaker: sagemaker::State,
    pub(crate) scheduler: scheduler::State,
    pub(crate) sns: sns::State,
    pub(crate) sqs: sqs::State,
}

impl Cloud {
    /// Deploys the stack. Ids and choices follow from the seed.
    ///
    /// # Errors
    /// Where the template has a resource, a property or a value that the local cloud does not know; the error names it.
    pub fn deploy(stack: Stack, target: Target, now: Timestamp, seed: u64) -> Result<Self, TemplateError> {
        Self::deploy_with_code(stack, target, now, seed, BTreeMap::new())
    }

    /// Deploys the stack, whose repositories that are created with code begin with this, by their names.
    ///
    /// # Errors
    /// As [`deploy`](Self::deploy); where a repository is created with code that is not there.
    pub fn deploy_with_code(
        stack: Stack,
        target: Target,
        now: Timestamp,
        seed: u64,
        code: BTreeMap<String, InitialCode>,
    ) -> Result<Self, TemplateError> {
        Self::deploy_and(stack, target, now, seed, code, |_| Ok(()))
    }

    /// The same; `prepare` is called when every resource is there and nothing has begun yet.
    fn deploy_and(
        stack: Stack,
        target: Target,
        now: Timestamp,
        seed: u64,
        code: BTreeMap<String, InitialCode>,
        prepare: impl FnOnce(&mut Self) -> Result<(), TemplateError>,
    ) -> Result<Self, TemplateError> {
        let mut cloud = Self {
            now,
            rng: ChaCha8Rng::seed_from_u64(seed),
            target,
            stack: Stack::default(),
            timers: BTreeMap::new(),
            timers_set: 0,
            effects: VecDeque::new(),
            effects_made: 0,
            happenings: Vec::new(),
            calls: BTreeMap::new(),
            applicationautoscaling: applicationautoscaling::State::default(),
            chatbot: chatbot::State::default(),
            cloudwatch: cloudwatch::State::default(),
            codebuild: codebuild::State::default(),
            codecommit: codecommit::State::default(),
            codedeploy: codedeploy::State::default(),
            codepipeline: codepipeline::State::default(),
            delivery: delivery::State::default(),
            events: events::State::default(),
            iam: iam::State::default(),
            kms: kms::State::default(),
            lambda: lambda::State::default(),
            logs: logs::State::default(),
            s3: s3::State::default(),
            sagemaker: sagemaker::State::default(),
            scheduler: scheduler::State::default(),
            sns: sns::State::default(),
            sqs: sqs::State::default(),
        };
        cloud.codecommit.initial = code;
        iam::logs::declare(&mut cloud, &stack.resources);
        for resource in &stack.resources {
            let deploy = match resource.kind.split("::").nth(1).unwrap_or_default() {
                "AppConfig" => appconfig::deploy,
                "Chatbot" => chatbot::deploy,
                "CloudWatch" => cloudwatch::deploy,
                "CodeBuild" => codebuild::deploy,
                "CodeCommit" => codecommit::deploy,
                "CodeDeploy" => codedeploy::deploy,
                "CodePipeline" => codepipeline::deploy,
                "Events" => events::deploy,
                "IAM" => iam::deploy,
                "KMS" => kms::deploy,
                "Lambda" => lambda::deploy,
                "Logs" => logs::deploy,
                "S3" => s3::deploy,
                "SageMaker" => sagemaker::deploy,
                "Scheduler" => scheduler::deploy,
                "SNS" => sns::deploy,
                "SQS" => sqs::deploy,
                _ => return Err(resource.unsupported("this resource type")),
            };
            deploy(&mut cloud, resource)?;
        }
        prepare(&mut cloud)?;
        codedeploy::deploy_update_policies(&mut cloud, &stack)?;
        codepipeline::created(&mut cloud, &stack);
        cloud.stack = stack;
        Ok(cloud)
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Where the stack is deployed.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The stack.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The time of the next timer, if one is set.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first_key_value().map(|((time, _), _)| *time)
    }

    /// Moves the clock on to `now`, doing what falls due on the way, in order. A clock that stands earlier changes nothing.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some(entry) = self.timers.first_entry() {
            let (time, _) = *entry.key();
            if time > now {
                break;
            }
            let timer = entry.remove();
            self.now = self.now.max(time);
            match timer {
                Timer::ApplicationAutoScaling(timer) => applicationautoscaling::on_timer(self, timer),
                Timer::CloudWatch(timer) => cloudwatch::on_timer(self, timer),
                Timer::CodeBuild(timer) => codebuild::on_timer(self, timer),
                Timer::CodeDeploy(timer) => codedeploy::on_timer(self, timer),
                Timer::CodePipeline(timer) => codepipeline::on_timer(self, timer),
                Timer::Events(timer) => events::on_timer(self, timer),
                Timer::Lambda(timer) => lambda::on_timer(self, timer),
                Timer::SageMaker(timer) => sagemaker::on_timer(self, timer),
                Timer::Scheduler(timer) => scheduler::on_timer(self, timer),
                Timer::Sns(timer) => sns::on_timer(self, timer),
            }
        }
        self.now = self.now.max(now);
    }

    /// What is to be done outside, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.effects.drain(..).collect()
    }

    /// What happened since the last time this was asked.
    pub fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    /// The API calls so far: by function's name, by `service:Operation`.
    #[must_use]
    pub fn calls(&self) -> &BTreeMap<String, BTreeMap<String, u64>> {
        &self.calls
    }

    /// Answers one API call whose input has been decoded from the service's protocol: counts it, validates it against the
    /// service model, asks IAM, and hands it to the service.
    ///
    /// # Errors
    /// What the service refuses, in its words.
    pub fn call(
        &mut self,
        caller: &Caller,
        service: Service,
        operation: &str,
        input: &Value,
    ) -> Result<Value, ApiError> {
        self.admit(caller, service, operation, input)?;
        let call = match service {
            Service::ApplicationAutoScaling => applicationautoscaling::call,
            Service::CloudWatch => cloudwatch::call,
            Service::CodeBuild => codebuild::call,
            Service::CodeCommit => codecommit::call,
            Service::CodeDeploy => codedeploy::call,
            Service::CodePipeline => codepipeline::call,
            Service::Events => events::call,
            Service::Kms => kms::call,
            Service::Lambda => lambda::call,
            Service::S3 => s3::call,
            Service::SageMaker => sagemaker::call,
            Service::Sns => sns::call,
            Service::Sqs => sqs::call,
            Service::Sts => iam::call,
        };
        call(self, caller, operation, input)
    }

    /// What every call goes through first: it is counted, validated, and IAM is asked.
    fn admit(&mut self, caller: &Caller, service: Service, operation: &str, input: &Value) -> Result<(), ApiError> {
        if let Caller::Function { name, .. } = caller {
            let calls = self.calls.entry(name.clone()).or_default();
            *calls.entry(format!("{}:{operation}", service.prefix())).or_default() += 1;
        }
        shapes::validate(service, operation, input)?;
        iam::authorize(self, caller, service, operation, input)
    }

    /// Queues an effect; `make` is given its id.
    pub(crate) fn effect(&mut self, make: impl FnOnce(EffectId) -> Effect) -> EffectId {
        self.effects_made += 1;
        self.effects.push_back(make(self.effects_made));
        self.effects_made
    }

    /// Sets a timer.
    pub(crate) fn after(&mut self, wait: SignedDuration, timer: Timer) {
        // Saturating: what lies beyond the calendar's end never comes.
        let time = self.now.checked_add(wait).unwrap_or(Timestamp::MAX);
        self.timers_set += 1;
        self.timers.insert((time, self.timers_set), timer);
    }

    /// Notes something for the timeline.
    pub(crate) fn note(&mut self, service: &'static str, subject: &str, what: &'static str, data: Value) {
        let subject = subject.to_owned();
        self.happenings.push(Happening {
            time: self.now,
            service,
            subject,
            what,
            data,
        });
    }

    /// A random UUID, from the seed.
    pub(crate) fn uuid(&mut self) -> String {
        let bits: u128 = self.rng.random();
        // Version 4, variant 1.
        let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{bits:032x}");
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!(
            "{}-{}-{}-{}-{}",
            part(0, 8),
            part(8, 12),
            part(12, 16),
            part(16, 20),
            part(20, 32)
        )
    }

    /// Random characters of `a-z0-9`, from the seed.
    pub(crate) fn token(&mut self, length: usize) -> String {
        let digit = |n: u32| char::from_digit(n, 36).unwrap_or('0');
        (0..length).map(|_| digit(self.rng.random_range(0..36))).collect()
    }

    /// A random number below one, from the seed.
    pub(crate) fn chance(&mut self) -> f64 {
        self.rng.random()
    }

    /// `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`.
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:aws:{service}:{}:{}:{resource}",
            self.target.region, self.target.account
        )
    }
}
