//! Repositories that are created with code, as
//! [CloudFormation](https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-codecommit-repository-code.html)
//! has it: one commit on one branch.
//!
//! In the template the code is a path, as it is before `aws cloudformation package` has put it to a bucket; who deploys brings the files.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use sha1::{Digest, Sha1};

use super::super::Cloud;
use super::{Commit, PushedCommit, is_commit_id};
use crate::template::{Resource, TemplateError};

/// The branch where the template names none.
const BRANCH: &str = "main";

/// What the first commit says.
pub(crate) const MESSAGE: &str = "Initial commit";

/// Who makes the first commit, as git has it.
pub(crate) const AUTHOR: (&str, &str) = ("AWS CodeCommit", "noreply-awscodecommit@amazon.com");

/// What a repository that the template creates with code begins with.
#[derive(Debug, Clone)]
pub enum InitialCode {
    /// These files, as a zip: one commit, whose id follows from them.
    Files(Bytes),
    /// This commit, with its files: that of a git repository.
    Commit(PushedCommit),
    /// Nothing: the git repository was there before, and has no such branch.
    Kept,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct Properties {
    branch_name: Option<String>,
    s3: Value,
}

/// The code of a repository of the template, if it has any: its branch and the path, relative to the template.
///
/// # Errors
/// Where it is not given by a path.
pub(crate) fn local_code(resource: &Resource) -> Result<Option<(String, String)>, TemplateError> {
    let Some(code) = resource.properties.get("Code") else {
        return Ok(None);
    };
    let code: Properties =
        serde_json::from_value(code.clone()).map_err(|error| resource.wrong(format!("Code: {error}")))?;
    let branch = code.branch_name.unwrap_or_else(|| BRANCH.to_owned());
    match code.s3 {
        Value::String(path) => Ok(Some((branch, path))),
        _ => Err(resource.unsupported("Code.S3 but a path, as it is before `aws cloudformation package`")),
    }
}

/// Puts the code into a repository that has just been made. Nobody is told: on AWS the rules of the stack come later.
pub(super) fn begin(cloud: &mut Cloud, resource: &Resource, name: &str) -> Result<(), TemplateError> {
    let Some((branch, path)) = local_code(resource)? else {
        return Ok(());
    };
    let commit = match cloud.codecommit.initial.remove(name) {
        None => return Err(resource.wrong(format!("the files of Code.S3 `{path}` were not brought along"))),
        Some(InitialCode::Kept) => return Ok(()),
        Some(InitialCode::Commit(commit)) => commit,
        Some(InitialCode::Files(zip)) => PushedCommit {
            commit: id_of(name, &zip),
            parents: Vec::new(),
            author: format!("{} <{}>", AUTHOR.0, AUTHOR.1),
            message: MESSAGE.to_owned(),
            zip: Some(zip),
        },
    };
    if !is_commit_id(&commit.commit) {
        return Err(resource.wrong(format!("`{}` is no id of a commit", commit.commit)));
    }
    let noted = serde_json::json!({
        "branch": branch, "commit": commit.commit, "author": commit.author, "message": commit.message, "default": true,
    });
    let now = cloud.now;
    if let Some(repository) = cloud.codecommit.repositories.get_mut(name) {
        repository.branches.insert(branch.clone(), commit.commit.clone());
        repository.default_branch = Some(branch);
        let kept = Commit {
            id: commit.commit.clone(),
            parents: commit.parents,
            author: commit.author,
            message: commit.message,
            date: now,
            zip: commit.zip,
        };
        repository.commits.insert(commit.commit, kept);
    }
    cloud.note("codecommit", name, "pushed", noted);
    Ok(())
}

/// An id that follows from the files. It is none that git would give.
fn id_of(repository: &str, zip: &[u8]) -> String {
    let digest = Sha1::new()
        .chain_update(repository)
        .chain_update([0])
        .chain_update(zip)
        .finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Cloud {
    /// Whether a repository has code: anything was pushed to it, or it was created with some.
    #[must_use]
    pub fn has_code(&self, repository: &str) -> bool {
        let found = self.codecommit.repositories.get(repository);
        found.is_some_and(|found| !found.branches.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::super::testing::{call, deploy_with_code, events};
    use super::super::super::{ApiError, Service};
    use super::*;

    const TEMPLATE: &str = r"
Parameters: {Initial: {Type: String, Default: sample}}
Conditions: {HasCode: !Equals [!Ref Initial, sample]}
Resources:
  Repository:
    Type: AWS::CodeCommit::Repository
    Properties:
      RepositoryName: fraud
      Code: !If [HasCode, {BranchName: trunk, S3: ./sample}, !Ref AWS::NoValue]
";

    fn deploy(template: &str, code: Option<InitialCode>) -> Result<Cloud, TemplateError> {
        let code = code.map(|code| ("fraud".to_owned(), code));
        deploy_with_code(template, code.into_iter().collect::<BTreeMap<_, _>>())
    }

    fn branch(cloud: &mut Cloud, name: &str) -> Result<Value, ApiError> {
        let input = json!({"repositoryName": "fraud", "branchName": name});
        call(cloud, Service::CodeCommit, "GetBranch", &input)
    }

    #[test]
    fn a_repository_begins_with_one_commit() {
        let zip = Bytes::from_static(b"zip");
        let mut cloud = deploy(TEMPLATE, Some(InitialCode::Files(zip.clone()))).unwrap();
        let id = branch(&mut cloud, "trunk").unwrap()["branch"]["commitId"].clone();
        let input = json!({"repositoryName": "fraud", "commitId": id});
        let commit = call(&mut cloud, Service::CodeCommit, "GetCommit", &input).unwrap();
        assert_eq!(
            (&commit["commit"]["message"], &commit["commit"]["author"]["name"]),
            (&json!("Initial commit"), &json!("AWS CodeCommit"))
        );
        assert_eq!(id.as_str().unwrap().len(), 40);
        assert!(cloud.has_code("fraud"));
        cloud.advance(cloud.now() + jiff::SignedDuration::from_mins(1));
        assert_eq!(events(&cloud), [], "its rules come later");
        // The same files are the same commit, others another.
        let mut again = deploy(TEMPLATE, Some(InitialCode::Files(zip))).unwrap();
        assert_eq!(branch(&mut again, "trunk").unwrap()["branch"]["commitId"], id);
        let mut other = deploy(TEMPLATE, Some(InitialCode::Files(Bytes::from_static(b"piz")))).unwrap();
        assert_ne!(branch(&mut other, "trunk").unwrap()["branch"]["commitId"], id);
    }

    #[test]
    fn git_s_own_commit_is_taken_as_it_is() {
        let commit = PushedCommit {
            commit: "0123456789012345678901234567890123456789".into(),
            parents: Vec::new(),
            author: "Ada <ada@example.com>".into(),
            message: "Kept".into(),
            zip: Some(Bytes::from_static(b"zip")),
        };
        let mut cloud = deploy(TEMPLATE, Some(InitialCode::Commit(commit.clone()))).unwrap();
        assert_eq!(
            branch(&mut cloud, "trunk").unwrap()["branch"]["commitId"],
            json!(commit.commit)
        );
        let mut kept = deploy(TEMPLATE, Some(InitialCode::Kept)).unwrap();
        assert!(branch(&mut kept, "trunk").is_err() && !kept.has_code("fraud"));
    }

    #[test]
    fn without_code_it_is_empty() {
        let mut cloud = deploy(&TEMPLATE.replace("Default: sample", "Default: none"), None).unwrap();
        assert!(branch(&mut cloud, "trunk").is_err());
    }

    #[test]
    fn what_is_missing_is_named() {
        let bucket = TEMPLATE.replace("./sample", "{Bucket: b, Key: k}");
        let typo = TEMPLATE.replace("BranchName", "Branch");
        for (template, words) in [
            (TEMPLATE, "`./sample` were not brought along"),
            (&bucket, "aws cloudformation package"),
            (&typo, "unknown field `Branch`"),
        ] {
            let error = deploy(template, None).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
