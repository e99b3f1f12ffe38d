//! Writes the seeds that nobody writes by hand: the links, for when claims have changed, the zips, and the bytes that the targets of
//! several values begin with. `cargo run --example seeds`.

use std::error::Error;
use std::io::{Cursor, Write};
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
    for (name, content) in seeds {
        write("link", name, content.as_bytes())?;
    }
    let archive = zip(&[
        ("train.py", "print(1)"),
        ("docs/how.txt", "how"),
        ("pipeline-definition.json", "{}"),
    ])?;
    write("artifact", "zip", &archive)?;
    write(
        "artifact",
        "zip-that-leads-out",
        &zip(&[("../train.py", "print(1)"), ("/etc/passwd", "a")])?,
    )?;
    write("artifact", "zip-cut", archive.split_at(archive.len() - 30).0)?;
    // Any bytes are values. These have every piece of an enemy's texts in them, in some order and then in another.
    let ascending: Vec<u8> = (0..4096_u32).map(|i| (i % 256) as u8).collect();
    let in_steps: Vec<u8> = (0..4096_u32).map(|i| (i * 37 / 8 % 64) as u8).collect();
    for target in ["metadata", "arrivals", "endpoint", "page", "mail"] {
        write(target, "ascending", &ascending)?;
        write(target, "in-steps", &in_steps)?;
    }
    Ok(())
}

fn write(target: &str, name: &str, content: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), content)
}

fn zip(files: &[(&str, &str)]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        // The same bytes at every time.
        let options = zip::write::SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
        archive.start_file(*path, options)?;
        archive.write_all(content.as_bytes())?;
    }
    Ok(archive.finish()?.into_inner())
}
