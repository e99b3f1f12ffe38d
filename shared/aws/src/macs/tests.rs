use serde_json::json;

use super::*;
use crate::error::ErrorKind;
use crate::recorded::{Recorded, output, refusal};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/links";

#[tokio::test]
async fn a_mac_is_made_and_checked() {
    let recorded = Recorded::new([
        output(json!({"Mac": "3q2+7w==", "MacAlgorithm": "HMAC_SHA_256", "KeyId": KEY})),
        output(json!({"MacValid": true, "MacAlgorithm": "HMAC_SHA_256", "KeyId": KEY})),
    ]);
    let macs = Macs::new(&recorded.sdk(), KEY);
    let mac = macs.generate(b"approve churn v7".to_vec()).await.unwrap();
    assert_eq!(mac, [0xde, 0xad, 0xbe, 0xef]);
    assert!(macs.verify(b"approve churn v7".to_vec(), mac).await.unwrap());
    insta::assert_snapshot!(recorded.requests(), @r#"
    POST / TrentService.GenerateMac
    {
      "KeyId": "arn:aws:kms:eu-west-1:111122223333:key/links",
      "MacAlgorithm": "HMAC_SHA_256",
      "Message": "YXBwcm92ZSBjaHVybiB2Nw=="
    }

    POST / TrentService.VerifyMac
    {
      "KeyId": "arn:aws:kms:eu-west-1:111122223333:key/links",
      "Mac": "3q2+7w==",
      "MacAlgorithm": "HMAC_SHA_256",
      "Message": "YXBwcm92ZSBjaHVybiB2Nw=="
    }
    "#);
}

#[tokio::test]
async fn an_answer_without_a_mac_is_incomplete() {
    let recorded = Recorded::new([output(json!({"KeyId": KEY}))]);
    let error = Macs::new(&recorded.sdk(), KEY).generate(vec![1]).await.unwrap_err();
    assert_eq!(error.code, "IncompleteAnswer");
}

#[tokio::test]
async fn a_mac_is_valid_only_where_kms_says_so() {
    for (answer, expected) in [
        (output(json!({"MacValid": true})), true),
        (output(json!({"MacValid": false})), false),
        (output(json!({})), false),
        (refusal("KMSInvalidMacException", ""), false),
    ] {
        let recorded = Recorded::new([answer.clone()]);
        let valid = Macs::new(&recorded.sdk(), KEY).verify(vec![1], vec![2]).await;
        assert_eq!(valid.unwrap(), expected, "{answer:?}");
    }
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (code, expected) in [
        ("ThrottlingException", ErrorKind::Transient),
        ("KMSInternalException", ErrorKind::Transient),
        ("AccessDeniedException", ErrorKind::Denied),
        ("NotFoundException", ErrorKind::NotFound),
    ] {
        let recorded = Recorded::new([refusal(code, "no"), refusal(code, "no")]);
        let macs = Macs::new(&recorded.sdk(), KEY);
        let errors = [
            macs.generate(vec![1]).await.unwrap_err(),
            macs.verify(vec![1], vec![2]).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(
                (error.kind, error.code.as_str(), error.message.as_str()),
                (expected, code, "no"),
                "{error}"
            );
        }
        recorded.requests();
    }
}
