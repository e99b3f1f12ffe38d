//! What builds do in their project's role.
//!
//! The actions are those of <https://docs.aws.amazon.com/codebuild/latest/userguide/setting-up-service-role.html>; those of CodeArtifact,
//! of <https://docs.aws.amazon.com/codeartifact/latest/ug/codebuild.html>.

use super::super::iam::{self, Acting, Ask, Denied};
use super::super::{ApiError, Cloud};
use super::{Build, Project, Source};

/// What a build's role lacks: the phase that fails, and code and message.
pub(super) struct Lack {
    pub(super) phase: &'static str,
    pub(super) message: String,
}

impl Lack {
    pub(super) fn of(phase: &'static str, message: String) -> Self {
        Self { phase, message }
    }
}

/// Asks in a project's role; of a project that is not there nothing is asked.
fn asked(cloud: &mut Cloud, project: &str, asks: &[Ask]) -> Result<(), Denied> {
    let Some(found) = cloud.codebuild.projects.get(project) else {
        return Ok(());
    };
    let (role_arn, source_arn) = (found.role.clone(), found.arn.clone());
    let acting = Acting {
        service: "codebuild.amazonaws.com",
        role_arn: &role_arn,
        source_arn: &source_arn,
        session: "AWSCodeBuild",
    };
    iam::as_service(cloud, &acting, asks)
}

fn of<'a>(cloud: &'a Cloud, id: &str) -> Option<(&'a Project, &'a Build)> {
    let build = cloud.codebuild.builds.get(id)?;
    Some((cloud.codebuild.projects.get(&build.project)?, build))
}

/// Asks whether CodeBuild may assume the role of a project. One that is not there is for whoever looks for it next.
///
/// # Errors
/// `InvalidInputException` where it may not.
pub(super) fn enter(cloud: &mut Cloud, project: &str) -> Result<(), ApiError> {
    let role = cloud.codebuild.projects.get(project).map(|found| found.role.clone());
    asked(cloud, project, &[]).map_err(|_| {
        let role = role.unwrap_or_default();
        let message = format!("CodeBuild is not authorized to perform: sts:AssumeRole on {role}");
        ApiError::new("InvalidInputException", message)
    })
}

/// What the role of a build that begins lacks: for the logs, for the source, for the packages that it installs.
pub(super) fn lack(cloud: &mut Cloud, id: &str) -> Option<Lack> {
    let (project, build) = of(cloud, id)?;
    let role = project.role.clone();
    let group = project.log_group.clone();
    let stream = id.rsplit(':').next().unwrap_or_default();
    let logs = group
        .as_ref()
        .map(|group| iam::logs::asks(cloud, group, stream))
        .unwrap_or_default();
    let source = source(cloud, project, build);
    let packages = packages(cloud, build);
    let name = project.name.clone();
    if let Err(denied) = asked(cloud, &name, &logs) {
        let message = format!(
            "ACCESS_DENIED: Service role {role} does not allow AWS CodeBuild to create Amazon CloudWatch Logs log streams for build {id}. \
             Error message: {denied}"
        );
        return Some(Lack::of("DOWNLOAD_SOURCE", message));
    }
    if let Some(group) = group {
        iam::logs::written(cloud, &group);
    }
    if let Err(denied) = asked(cloud, &name, &source) {
        return Some(Lack::of("DOWNLOAD_SOURCE", format!("CLIENT_ERROR: {denied}")));
    }
    let denied = asked(cloud, &name, &packages).err()?;
    let message = format!("COMMAND_EXECUTION_ERROR: Error while logging in to CodeArtifact: {denied}");
    Some(Lack::of("INSTALL", message))
}

fn source(cloud: &Cloud, project: &Project, build: &Build) -> Vec<Ask> {
    match &project.source {
        Source::CodePipeline => {
            let location = build.source_version.as_deref().unwrap_or_default();
            ["s3:GetObject", "s3:GetObjectVersion"]
                .map(|action| Ask::new(action, location).encrypted_with(build.key.as_deref()))
                .into()
        }
        Source::CodeCommit(url) => {
            let repository = url.rsplit('/').next().unwrap_or_default();
            vec![Ask::new("codecommit:GitPull", cloud.arn("codecommit", repository))]
        }
    }
}

/// What a build asks that installs from CodeArtifact: one whose variables name a domain and a repository.
fn packages(cloud: &Cloud, build: &Build) -> Vec<Ask> {
    let variable = |name: &str| {
        let mut variables = build.variables.iter();
        let found = variables.find(|variable| variable.name == name);
        found
            .map(|variable| variable.value.as_str())
            .filter(|value| !value.is_empty())
    };
    let names = variable("CODEARTIFACT_DOMAIN").zip(variable("CODEARTIFACT_REPOSITORY"));
    let Some((domain, repository)) = names else {
        return Vec::new();
    };
    let repository = cloud.arn("codeartifact", &format!("repository/{domain}/{repository}"));
    vec![
        Ask::new(
            "codeartifact:GetAuthorizationToken",
            cloud.arn("codeartifact", &format!("domain/{domain}")),
        ),
        Ask::new("sts:GetServiceBearerToken", "*").with("sts:AWSServiceName", "codeartifact.amazonaws.com"),
        Ask::new("codeartifact:GetRepositoryEndpoint", repository.as_str()),
        Ask::new("codeartifact:ReadFromRepository", repository.as_str()),
    ]
}

/// What the role of a build that has passed lacks to bring its output to where it belongs.
pub(super) fn upload(cloud: &mut Cloud, id: &str) -> Option<Lack> {
    let (project, build) = of(cloud, id)?;
    let name = project.name.clone();
    let location = build.output_location.as_ref()?;
    let key = build.key.as_deref().or(project.key.as_deref());
    let put = Ask::new("s3:PutObject", format!("arn:aws:s3:::{location}")).encrypted_with(key);
    let denied = asked(cloud, &name, &[put]).err()?;
    let message = format!("CLIENT_ERROR: Error in UPLOAD_ARTIFACTS phase: {denied}");
    Some(Lack::of("UPLOAD_ARTIFACTS", message))
}
