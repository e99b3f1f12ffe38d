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

/// How many pages of differences are read, of a hundred files each.
const PAGES_MAX: usize = 10;

/// Lets one see what a push has changed.
pub trait ReadChanges: Send + Sync {
    /// The paths of the files that differ between two commits, before and after; of one that was moved both. `None` where they are more
    /// than can be looked at, some thousand.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) where a commit is not there, and whatever CodeCommit says.
    fn changed(
        &self,
        repository: &str,
        before: &str,
        after: &str,
    ) -> impl Future<Output = Result<Option<Vec<String>>, AwsError>> + Send;
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

impl ReadChanges for Commits {
    async fn changed(&self, repository: &str, before: &str, after: &str) -> Result<Option<Vec<String>>, AwsError> {
        let (mut paths, mut token) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let request = self.0.get_differences().repository_name(repository).max_results(100);
            let request = request.before_commit_specifier(before).after_commit_specifier(after);
            let answer = request.set_next_token(token).send().await;
            let answer = answer.map_err(|error| AwsError::of("codecommit:GetDifferences", &error))?;
            for difference in answer.differences.unwrap_or_default() {
                let blobs = [difference.before_blob, difference.after_blob];
                paths.extend(blobs.into_iter().flatten().filter_map(|blob| blob.path));
            }
            token = answer.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(Some(paths));
            }
        }
        Ok(None)
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

    #[tokio::test]
    async fn what_a_push_has_changed_is_read_over_all_pages() {
        let blob = |path: &str| json!({"path": path, "blobId": "0f", "mode": "100644"});
        let recorded = Recorded::new([
            output(json!({"NextToken": "more", "differences": [
                {"changeType": "A", "afterBlob": blob("new.py")},
                {"changeType": "M", "beforeBlob": blob("old.py"), "afterBlob": blob("moved.py")},
            ]})),
            output(json!({"differences": [{"changeType": "D", "beforeBlob": blob("gone.py")}]})),
        ]);
        let changed = Commits::new(&recorded.sdk())
            .changed("churn", "3b0c", "4c1d")
            .await
            .unwrap();
        let expected = ["new.py", "old.py", "moved.py", "gone.py"];
        assert_eq!(changed.unwrap(), expected);
        insta::assert_snapshot!(recorded.requests(), @r#"
        POST / CodeCommit_20150413.GetDifferences
        {
          "MaxResults": 100,
          "afterCommitSpecifier": "4c1d",
          "beforeCommitSpecifier": "3b0c",
          "repositoryName": "churn"
        }

        POST / CodeCommit_20150413.GetDifferences
        {
          "MaxResults": 100,
          "NextToken": "more",
          "afterCommitSpecifier": "4c1d",
          "beforeCommitSpecifier": "3b0c",
          "repositoryName": "churn"
        }
        "#);
        let endless = Recorded::new(std::iter::repeat_n(output(json!({"NextToken": "more"})), PAGES_MAX));
        let changed = Commits::new(&endless.sdk())
            .changed("churn", "3b0c", "4c1d")
            .await
            .unwrap();
        assert_eq!(changed, None);
        endless.requests();
    }
}
