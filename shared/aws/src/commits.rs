//! Who wrote a commit, and why.

use crate::error::AwsError;

/// What a commit says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// `Ada Lovelace <ada@example.com>`, as far as git was told.
    pub author: Option<String>,
    /// The whole message.
    pub message: Option<String>,
}

/// Lets one read commits.
pub trait ReadCommits: Send + Sync {
    /// A commit of the repository, by its full id.
    ///
    /// # Errors
    /// Whatever CodeCommit says.
    fn commit(&self, repository: &str, id: &str) -> impl Future<Output = Result<Commit, AwsError>> + Send;
}

/// CodeCommit.
#[derive(Debug, Clone)]
pub struct Commits(aws_sdk_codecommit::Client);

impl Commits {
    /// The port over the SDK.
    #[must_use]
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self(aws_sdk_codecommit::Client::new(sdk))
    }
}

impl ReadCommits for Commits {
    async fn commit(&self, repository: &str, id: &str) -> Result<Commit, AwsError> {
        let operation = "codecommit:GetCommit";
        let request = self.0.get_commit().repository_name(repository).commit_id(id);
        let answer = request.send().await.map_err(|error| AwsError::of(operation, &error))?;
        let commit = answer.commit.ok_or_else(|| AwsError::incomplete(operation, "commit"))?;
        let author = commit.author.map(|author| {
            let (name, email) = (author.name.unwrap_or_default(), author.email.unwrap_or_default());
            match (name.is_empty(), email.is_empty()) {
                (false, false) => format!("{name} <{email}>"),
                _ => name + &email,
            }
        });
        Ok(Commit {
            author: author.filter(|author| !author.is_empty()),
            message: commit.message,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::recorded::{Recorded, output};

    #[tokio::test]
    async fn says_who_wrote_it_and_why() {
        for (author, expected) in [
            (
                json!({"name": "Ada", "email": "ada@example.com", "date": "1772442000 +0000"}),
                Some("Ada <ada@example.com>"),
            ),
            (json!({"name": "Ada"}), Some("Ada")),
            (json!({"email": "ada@example.com"}), Some("ada@example.com")),
            (json!({}), None),
        ] {
            let answer = json!({"commit": {"commitId": "4c1d", "author": author, "message": "Fix it\n"}});
            let recorded = Recorded::new([output(answer)]);
            let commit = Commits::new(&recorded.sdk()).commit("churn", "4c1d").await.unwrap();
            assert_eq!(commit.author.as_deref(), expected);
            assert_eq!(commit.message.as_deref(), Some("Fix it\n"));
            insta::allow_duplicates! {
                insta::assert_snapshot!(recorded.requests(), @r#"
                POST / CodeCommit_20150413.GetCommit
                {
                  "commitId": "4c1d",
                  "repositoryName": "churn"
                }
                "#);
            }
        }
    }
}
