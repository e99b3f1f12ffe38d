//! What `Ref` and `Fn::GetAtt` return for each type of resource.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Target, TemplateError};

/// A resource's identity.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    /// What `Ref` returns.
    pub(crate) physical_id: String,
    /// What `Fn::GetAtt` returns.
    pub(crate) attributes: BTreeMap<String, String>,
    /// The ARN, which not every type that has one gives as an attribute.
    pub(crate) arn: Option<String>,
}

impl Identity {
    fn new(physical_id: impl Into<String>) -> Identity {
        Identity {
            physical_id: physical_id.into(),
            ..Identity::default()
        }
    }

    fn with(mut self, attribute: &str, value: impl Into<String>) -> Identity {
        self.attributes.insert(attribute.to_owned(), value.into());
        self
    }

    /// With an ARN that `Fn::GetAtt` gives under this name.
    fn with_arn(self, attribute: &str, arn: String) -> Identity {
        self.with(attribute, arn.clone()).with_hidden_arn(arn)
    }

    /// With an ARN that `Fn::GetAtt` doesn't give.
    fn with_hidden_arn(mut self, arn: String) -> Identity {
        self.arn = Some(arn);
        self
    }
}

/// What identities are made of.
pub(crate) struct Maker<'stack> {
    pub(crate) target: &'stack Target,
    pub(crate) logical_id: &'stack str,
    pub(crate) properties: &'stack Value,
}

impl Maker<'_> {
    /// The identity of a resource of type `kind`, whose properties are resolved.
    pub(crate) fn identity(&self, kind: &str) -> Result<Identity, TemplateError> {
        let account = &self.target.account;
        let base_url = &self.target.base_url;
        Ok(match kind {
            "AWS::Lambda::Function" => {
                let name = self.name("FunctionName", 64)?;
                let arn = self.function_arn(&name);
                Identity::new(name).with_arn("Arn", arn)
            }
            "AWS::Lambda::Version" => {
                let arn = format!("{}:1", self.function_arn(&self.function_name("FunctionName")?));
                Identity::new(arn.clone())
                    .with("Version", "1")
                    .with_arn("FunctionArn", arn)
            }
            "AWS::Lambda::Alias" => {
                let function = self.function_arn(&self.function_name("FunctionName")?);
                let arn = format!("{function}:{}", self.required("Name")?);
                Identity::new(arn.clone()).with_arn("AliasArn", arn)
            }
            "AWS::Lambda::Permission" => {
                let name = self.generated(100);
                Identity::new(name.clone()).with("Id", name)
            }
            "AWS::Lambda::EventInvokeConfig" => {
                let function = self.function_name("FunctionName")?;
                Identity::new(format!("{function}|{}", self.required("Qualifier")?))
            }
            "AWS::Lambda::Url" => {
                // The alias is in the ARN, as SAM has it, or the qualifier.
                let text = self.required("TargetFunctionArn")?;
                let name = text.split_once(":function:").map_or(text.as_str(), |(_, name)| name);
                let name = match self.optional("Qualifier")? {
                    Some(qualifier) if !name.contains(':') => format!("{name}:{qualifier}"),
                    _ => name.to_owned(),
                };
                let arn = self.function_arn(&name);
                Identity::new(arn.clone())
                    .with_arn("FunctionArn", arn)
                    .with("FunctionUrl", format!("{base_url}/function-url/{name}/"))
            }
            "AWS::IAM::Role" => {
                let name = self.name("RoleName", 64)?;
                let arn = format!("arn:aws:iam::{account}:role{}{name}", self.path()?);
                Identity::new(name)
                    .with_arn("Arn", arn)
                    .with("RoleId", format!("AROA{}", self.letters(17)))
            }
            "AWS::IAM::Policy" => {
                let name = self.generated(128);
                Identity::new(name.clone()).with("Id", name)
            }
            "AWS::IAM::ManagedPolicy" => {
                let name = self.name("ManagedPolicyName", 128)?;
                let arn = format!("arn:aws:iam::{account}:policy{}{name}", self.path()?);
                Identity::new(arn.clone())
                    .with_arn("PolicyArn", arn)
                    .with("PolicyId", format!("ANPA{}", self.letters(17)))
            }
            "AWS::Events::Rule" => {
                let name = self.name("Name", 64)?;
                let bus = self.optional("EventBusName")?;
                let bus = bus.as_deref().map(last_segment).filter(|bus| *bus != "default");
                let path = bus.map_or_else(|| name.clone(), |bus| format!("{bus}/{name}"));
                let id = bus.map_or_else(|| name.clone(), |bus| format!("{bus}|{name}"));
                Identity::new(id).with_arn("Arn", self.arn("events", &format!("rule/{path}")))
            }
            "AWS::Scheduler::Schedule" => {
                let name = self.name("Name", 64)?;
                let group = self.optional("GroupName")?.unwrap_or_else(|| "default".to_owned());
                let arn = self.arn("scheduler", &format!("schedule/{group}/{name}"));
                Identity::new(name).with_arn("Arn", arn)
            }
            "AWS::SNS::Topic" => {
                let name = self.fifo(self.name("TopicName", 256)?, "FifoTopic");
                let arn = self.arn("sns", &name);
                Identity::new(arn.clone())
                    .with_arn("TopicArn", arn)
                    .with("TopicName", name)
            }
            "AWS::SNS::TopicPolicy" | "AWS::SQS::QueuePolicy" => {
                let name = self.generated(100);
                Identity::new(name.clone()).with("Id", name)
            }
            "AWS::SNS::Subscription" => {
                let arn = format!("{}:{}", self.required("TopicArn")?, self.uuid());
                Identity::new(arn.clone()).with_arn("Arn", arn)
            }
            "AWS::SQS::Queue" => {
                let name = self.fifo(self.name("QueueName", 80)?, "FifoQueue");
                let url = format!("{base_url}/{account}/{name}");
                Identity::new(url.clone())
                    .with_arn("Arn", self.arn("sqs", &name))
                    .with("QueueName", name)
                    .with("QueueUrl", url)
            }
            "AWS::S3::Bucket" => {
                let name = match self.optional("BucketName")? {
                    Some(name) => name,
                    None => self.generated(63).to_lowercase(),
                };
                Identity::new(name.clone())
                    .with_arn("Arn", format!("arn:aws:s3:::{name}"))
                    .with("DomainName", format!("{name}.s3.amazonaws.com"))
                    .with(
                        "RegionalDomainName",
                        format!("{name}.s3.{}.amazonaws.com", self.target.region),
                    )
            }
            "AWS::S3::BucketPolicy" => Identity::new(self.required("Bucket")?),
            "AWS::KMS::Key" => {
                let id = self.uuid();
                let arn = self.arn("kms", &format!("key/{id}"));
                Identity::new(id.clone()).with_arn("Arn", arn).with("KeyId", id)
            }
            "AWS::KMS::Alias" => {
                let name = self.required("AliasName")?;
                let arn = self.arn("kms", &name);
                Identity::new(name).with_hidden_arn(arn)
            }
            "AWS::CodeCommit::Repository" => {
                let name = self.required("RepositoryName")?;
                Identity::new(self.uuid())
                    .with_arn("Arn", self.arn("codecommit", &name))
                    .with("CloneUrlHttp", format!("{base_url}/git/{name}"))
                    .with("Name", name)
            }
            "AWS::CodeBuild::Project" => {
                let name = self.name("Name", 150)?;
                let arn = self.arn("codebuild", &format!("project/{name}"));
                Identity::new(name).with_arn("Arn", arn)
            }
            "AWS::CodeDeploy::Application" => {
                let name = self.name("ApplicationName", 100)?;
                let arn = self.arn("codedeploy", &format!("application:{name}"));
                Identity::new(name).with_hidden_arn(arn)
            }
            "AWS::CodeDeploy::DeploymentGroup" => {
                let name = self.name("DeploymentGroupName", 100)?;
                let path = format!("deploymentgroup:{}/{name}", self.required("ApplicationName")?);
                Identity::new(name).with_hidden_arn(self.arn("codedeploy", &path))
            }
            "AWS::CodePipeline::Pipeline" => {
                let name = self.name("Name", 100)?;
                let arn = self.arn("codepipeline", &name);
                Identity::new(name).with("Version", "1").with_hidden_arn(arn)
            }
            "AWS::SageMaker::ModelPackageGroup" => {
                let name = self.required("ModelPackageGroupName")?;
                let arn = self.arn("sagemaker", &format!("model-package-group/{name}"));
                Identity::new(arn.clone()).with_arn("ModelPackageGroupArn", arn)
            }
            "AWS::CloudWatch::Alarm" | "AWS::CloudWatch::CompositeAlarm" => {
                let name = self.name("AlarmName", 255)?;
                let arn = self.arn("cloudwatch", &format!("alarm:{name}"));
                Identity::new(name).with_arn("Arn", arn)
            }
            "AWS::CloudWatch::Dashboard" => {
                let name = self.name("DashboardName", 255)?;
                let arn = format!("arn:aws:cloudwatch::{account}:dashboard/{name}");
                Identity::new(name).with_hidden_arn(arn)
            }
            "AWS::AppConfig::Application" => {
                let id = self.letters(7).to_lowercase();
                Identity::new(id.clone()).with("ApplicationId", id)
            }
            "AWS::AppConfig::ConfigurationProfile" => {
                let id = self.letters(7).to_lowercase();
                Identity::new(id.clone()).with("ConfigurationProfileId", id)
            }
            // The first: another deployment is another cloud.
            "AWS::AppConfig::HostedConfigurationVersion" => Identity::new("1").with("VersionNumber", "1"),
            "AWS::Chatbot::SlackChannelConfiguration" => self.chat_configuration("slack-channel")?,
            "AWS::Chatbot::MicrosoftTeamsChannelConfiguration" => self.chat_configuration("microsoft-teams-channel")?,
            "AWS::Logs::LogGroup" => {
                let name = self.name("LogGroupName", 512)?;
                let arn = self.arn("logs", &format!("log-group:{name}:*"));
                Identity::new(name).with_arn("Arn", arn)
            }
            other => {
                return Err(TemplateError::Unsupported {
                    place: format!("Resources.{}", self.logical_id),
                    feature: format!("the resource type {other}"),
                });
            }
        })
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        let Target { account, region, .. } = self.target;
        format!("arn:aws:{service}:{region}:{account}:{resource}")
    }

    fn chat_configuration(&self, kind: &str) -> Result<Identity, TemplateError> {
        let (account, name) = (&self.target.account, self.required("ConfigurationName")?);
        let arn = format!("arn:aws:chatbot::{account}:chat-configuration/{kind}/{name}");
        Ok(Identity::new(arn.clone()).with_arn("Arn", arn))
    }

    fn function_arn(&self, name: &str) -> String {
        self.arn("lambda", &format!("function:{name}"))
    }

    fn wrong(&self, property: &str, reason: &str) -> TemplateError {
        TemplateError::Wrong {
            place: format!("Resources.{}.Properties", self.logical_id),
            reason: format!("the property {property} {reason}"),
        }
    }

    fn optional(&self, property: &str) -> Result<Option<String>, TemplateError> {
        match self.properties.get(property) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Err(self.wrong(property, "must not be empty")),
            Some(value) => match super::parameters::scalar(value) {
                Some(text) => Ok(Some(text)),
                None => Err(self.wrong(property, "must be a string")),
            },
        }
    }

    fn required(&self, property: &str) -> Result<String, TemplateError> {
        self.optional(property)?
            .ok_or_else(|| self.wrong(property, "is required"))
    }

    /// The name in `property`, else a generated one of at most `most` characters.
    fn name(&self, property: &str, most: usize) -> Result<String, TemplateError> {
        Ok(match self.optional(property)? {
            Some(name) if name.chars().count() > most => {
                return Err(self.wrong(property, &format!("must have at most {most} characters: `{name}`")));
            }
            Some(name) => name,
            None => self.generated(most),
        })
    }

    /// The function's name in a property that may be its name or any form of its ARN.
    fn function_name(&self, property: &str) -> Result<String, TemplateError> {
        let text = self.required(property)?;
        let name = text.split_once(":function:").map_or(text.as_str(), |(_, name)| name);
        Ok(name.split(':').next().unwrap_or_default().to_owned())
    }

    fn path(&self) -> Result<String, TemplateError> {
        Ok(self.optional("Path")?.unwrap_or_else(|| "/".to_owned()))
    }

    /// The names of FIFO queues and topics end in `.fifo`.
    fn fifo(&self, name: String, property: &str) -> String {
        let is_fifo = match self.properties.get(property) {
            Some(Value::Bool(value)) => *value,
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        if is_fifo && !name.ends_with(".fifo") {
            format!("{name}.fifo")
        } else {
            name
        }
    }

    /// `STACK-LogicalId-XXXXXXXXXXXX`, its first two parts shortened where it would be longer than `most`.
    fn generated(&self, most: usize) -> String {
        let (mut stack, mut logical) = (self.target.stack_name.as_str(), self.logical_id);
        let room = most.saturating_sub(14);
        if stack.len() + logical.len() > room {
            stack = shortened(stack, room.saturating_sub(logical.len()).max(room / 2));
            logical = shortened(logical, room.saturating_sub(stack.len()));
        }
        format!("{stack}-{logical}-{}", self.letters(12))
    }

    fn hash(&self) -> impl Iterator<Item = u8> {
        let Target {
            account,
            region,
            stack_name,
            ..
        } = self.target;
        let text = format!("{account}/{region}/{stack_name}/{}", self.logical_id);
        Sha256::digest(text.as_bytes()).into_iter()
    }

    /// Capitals and digits that follow from the resource's place.
    fn letters(&self, count: usize) -> String {
        self.hash()
            .take(count)
            .filter_map(|byte| char::from_digit(u32::from(byte % 36), 36))
            .map(|letter| letter.to_ascii_uppercase())
            .collect()
    }

    /// A UUID that follows from the resource's place.
    fn uuid(&self) -> String {
        uuid(self.hash())
    }
}

/// A version-4 UUID of the first 16 bytes.
fn uuid(bytes: impl Iterator<Item = u8>) -> String {
    let mut uuid = String::with_capacity(36);
    for (index, byte) in bytes.take(16).enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            uuid.push('-');
        }
        let byte = match index {
            6 => byte & 0x0f | 0x40,
            8 => byte & 0x3f | 0x80,
            _ => byte,
        };
        uuid.push_str(&format!("{byte:02x}"));
    }
    uuid
}

/// The stack's own id.
pub(crate) fn stack_id(target: &Target) -> String {
    let Target {
        account,
        region,
        stack_name,
        ..
    } = target;
    let hash = Sha256::digest(format!("{account}/{region}/{stack_name}").as_bytes());
    format!(
        "arn:aws:cloudformation:{region}:{account}:stack/{stack_name}/{}",
        uuid(hash.into_iter())
    )
}

fn shortened(text: &str, most: usize) -> &str {
    text.char_indices()
        .nth(most)
        .map_or(text, |(end, _)| text.split_at(end).0)
}

fn last_segment(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
