//! Writes the links among the seeds anew, for when claims have changed: `cargo run --example seeds`.
//!
//! The other seeds, and those of the form, are written by hand.

use std::error::Error;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use signalbox_model::link::{Claims, SignedLink, token_digest};
use signalbox_model::undo;

fn main() -> Result<(), Box<dyn Error>> {
    let approval = SignedLink {
        claims: Claims {
            pipeline: "churn-release".into(),
            stage: "Approve".into(),
            action: "Approve".into(),
            token_digest: token_digest("1a2b3c4d-573f-4ea7-a67e-9d2a4e0d5b57"),
            release: "01234567-89ab-cdef-0123-456789abcdef".parse()?,
            package: "arn:aws:sagemaker:eu-west-1:123456789012:model-package/churn/7".parse()?,
            approver: "ada@example.com".into(),
            expires: "2026-03-01T20:22:00Z".parse()?,
            evidence: "e".repeat(64),
        },
        mac: (0..32).collect(),
    };
    let take_back = undo::Claims {
        package: approval.claims.package.clone(),
        release: approval.claims.release.clone(),
        expires: approval.claims.expires,
    };
    let query = |url: String| url.trim_start_matches('?').to_owned();
    let (approved, taken) = (query(approval.url("")), query(take_back.url("", &approval.mac)));
    let claims = |query: &str| -> Result<String, Box<dyn Error>> {
        let (_, claims) = query.split_once('=').ok_or("no claims")?;
        let (claims, _) = claims.split_once('&').ok_or("no MAC")?;
        let json = BASE64_URL_SAFE_NO_PAD.decode(claims)?;
        Ok(String::from_utf8(json)?)
    };
    let cut = |query: &str| query.split_at(query.len() - 7).0.to_owned();
    let seeds = [
        ("approval", approved.clone()),
        ("approval-tracked", format!("utm_source=mail&{approved}&fbclid=1")),
        ("approval-twice", format!("{approved}&{approved}")),
        ("approval-cut", cut(&approved)),
        ("approval-escaped", approved.replace("&m=", "%3D&%6D=")),
        ("approval-claims", claims(&approved)?),
        ("take-back", taken.clone()),
        ("take-back-cut", cut(&taken)),
        ("take-back-claims", claims(&taken)?),
        ("both", format!("{approved}&{taken}")),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/link");
    for (name, content) in seeds {
        std::fs::write(folder.join(name), content)?;
    }
    Ok(())
}
