use serde_json::{Value, json};

use super::*;
use crate::recorded::{Recorded, SECONDS, output, refusal, time};

const SOURCE: &str = "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a";
const DESTINATION: &str = "1111111111111111111111111111111111111111";

fn pull_request() -> PullRequest {
    PullRequest {
        id: "12".into(),
        open: true,
        revision: "r1".into(),
        source_commit: SOURCE.parse().unwrap(),
        destination_commit: DESTINATION.parse().unwrap(),
        active_at: Some(time()),
    }
}

fn target(repository: &str) -> Value {
    json!({
        "repositoryName": repository, "sourceReference": "refs/heads/try", "destinationReference": "refs/heads/main",
        "sourceCommit": SOURCE, "destinationCommit": DESTINATION, "mergeBase": DESTINATION, "mergeMetadata": {"isMerged": false},
    })
}

fn whole() -> Value {
    json!({"pullRequest": {
        "pullRequestId": "12", "title": "Try", "lastActivityDate": SECONDS, "creationDate": SECONDS, "pullRequestStatus": "OPEN",
        "authorArn": "arn:aws:iam::123456789012:user/ada", "revisionId": "r1",
        "pullRequestTargets": [target("other"), target("churn")],
    }})
}

#[tokio::test]
async fn the_open_ones_are_listed_from_the_last() {
    let ids = json!({"pullRequestIds": ["9", "12", "101", "10"], "nextToken": "more"});
    let recorded = Recorded::new([output(ids)]);
    let open = PullRequests::new(&recorded.sdk()).open("churn", 3).await.unwrap();
    assert_eq!(open, ["101", "12", "10"]);
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / CodeCommit_20150413.ListPullRequests
    {
      "maxResults": 3,
      "pullRequestStatus": "OPEN",
      "repositoryName": "churn"
    }
    "#);
}

#[tokio::test]
async fn a_pull_request_is_read_as_it_is() {
    let mut closed = whole();
    closed["pullRequest"]["pullRequestStatus"] = json!("CLOSED");
    let mut elsewhere = whole();
    elsewhere["pullRequest"]["pullRequestTargets"] = json!([target("other")]);
    let mut without = whole();
    without["pullRequest"]["pullRequestTargets"][1]["sourceCommit"] = Value::Null;
    let recorded = Recorded::new([
        output(whole()),
        output(closed),
        output(elsewhere),
        refusal("PullRequestDoesNotExistException", "no such"),
        output(without),
        refusal("ThrottlingException", "Rate exceeded"),
    ]);
    let pull_requests = PullRequests::new(&recorded.sdk());
    let read = async || pull_requests.pull_request("churn", "12").await;
    assert_eq!(read().await.unwrap(), Some(pull_request()));
    assert_eq!(read().await.unwrap().map(|found| found.open), Some(false));
    assert_eq!(read().await.unwrap(), None, "another repository's");
    assert_eq!(read().await.unwrap(), None, "no such");
    let error = read().await.unwrap_err().to_string();
    assert!(error.contains("sourceCommit"), "{error}");
    assert!(read().await.unwrap_err().is_transient());
    let requests = recorded.requests();
    insta::assert_snapshot!(requests.split("\n\n").next().unwrap(), @r#"
    POST / CodeCommit_20150413.GetPullRequest
    {
      "pullRequestId": "12"
    }
    "#);
}

#[tokio::test]
async fn comments_are_read_page_by_page_and_not_without_end() {
    let page = |token: Option<&str>, comments: Value| {
        output(
            json!({"nextToken": token, "commentsForPullRequestData": [{"pullRequestId": "12", "comments": comments}]}),
        )
    };
    let recorded = Recorded::new([
        page(
            Some("two"),
            json!([
                {"content": "one", "clientRequestToken": "t1", "authorArn": "arn:aws:iam::123456789012:user/ada"},
                {"deleted": true, "clientRequestToken": "t2"},
            ]),
        ),
        page(Some("three"), json!([{"content": "three"}])),
    ]);
    let posted = |token: Option<&str>, text: Option<&str>| Posted {
        token: token.map(str::to_owned),
        text: text.map(str::to_owned),
    };
    assert_eq!(
        PullRequests::new(&recorded.sdk()).posted("12").await.unwrap(),
        [
            posted(Some("t1"), Some("one")),
            posted(Some("t2"), None),
            posted(None, Some("three")),
        ]
    );
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / CodeCommit_20150413.GetCommentsForPullRequest
    {
      "maxResults": 500,
      "pullRequestId": "12"
    }

    POST / CodeCommit_20150413.GetCommentsForPullRequest
    {
      "maxResults": 500,
      "nextToken": "two",
      "pullRequestId": "12"
    }
    "#);
}

#[tokio::test]
async fn a_revision_is_judged() {
    let own = "PullRequestCannotBeApprovedByAuthorException";
    let recorded = Recorded::new([
        output(json!({})),
        output(json!({})),
        refusal("RevisionNotCurrentException", "no"),
        refusal("PullRequestAlreadyClosedException", "no"),
        refusal(own, "it is your own"),
        refusal("InvalidRevisionIdException", "no"),
    ]);
    let pull_requests = PullRequests::new(&recorded.sdk());
    let judge = async |approve| pull_requests.judge(&pull_request(), approve).await;
    assert_eq!(judge(true).await.unwrap(), Judged::Done);
    assert_eq!(judge(false).await.unwrap(), Judged::Done);
    assert_eq!(judge(true).await.unwrap(), Judged::Outdated);
    assert_eq!(judge(true).await.unwrap(), Judged::Outdated);
    let words = format!("codecommit:UpdatePullRequestApprovalState: {own}: it is your own");
    assert_eq!(judge(true).await.unwrap(), Judged::NotCounted(words));
    assert_eq!(judge(true).await.unwrap_err().code, "InvalidRevisionIdException");
    let requests = recorded.requests();
    insta::assert_snapshot!(requests.split("\n\n").take(2).collect::<Vec<_>>().join("\n\n"), @r#"
    POST / CodeCommit_20150413.UpdatePullRequestApprovalState
    {
      "approvalState": "APPROVE",
      "pullRequestId": "12",
      "revisionId": "r1"
    }

    POST / CodeCommit_20150413.UpdatePullRequestApprovalState
    {
      "approvalState": "REVOKE",
      "pullRequestId": "12",
      "revisionId": "r1"
    }
    "#);
}

#[tokio::test]
async fn a_comment_is_posted_with_its_token() {
    let comment = Comment {
        token: "t1".into(),
        text: "**Build failed**\n\n```\nno\n```\n".into(),
    };
    let recorded = Recorded::new([
        output(json!({"comment": {"commentId": "c1"}})),
        refusal("IdempotencyParameterMismatchException", "used"),
        refusal("CommentContentSizeLimitExceededException", "too large"),
    ]);
    let pull_requests = PullRequests::new(&recorded.sdk());
    let post = async || pull_requests.post("churn", &pull_request(), &comment).await;
    post().await.unwrap();
    post().await.unwrap();
    assert_eq!(
        post().await.unwrap_err().code,
        "CommentContentSizeLimitExceededException"
    );
    let requests = recorded.requests();
    insta::assert_snapshot!(requests.split("\n\n").next().unwrap(), @r#"
    POST / CodeCommit_20150413.PostCommentForPullRequest
    {
      "afterCommitId": "0f3c2b1a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a",
      "beforeCommitId": "1111111111111111111111111111111111111111",
      "clientRequestToken": "t1",
      "content": "**Build failed**\n\n```\nno\n```\n",
      "pullRequestId": "12",
      "repositoryName": "churn"
    }
    "#);
}
