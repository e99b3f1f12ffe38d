//! What a push brings, as the simulated builds, jobs and servers understand it.
//!
//! The repository that is pushed is the model repository's definition with three one-line scripts, each of which bears the
//! candidate as a comment. So it travels as code does: through the build's artifact, the upload to S3, script mode's archive, the
//! model archive; a function that mixed up two of them would be seen.

use std::io::{Read, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

const MARK: &str = "# candidate: ";

/// What a push brings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// What `evaluate.py` will find; written to the report as it is.
    pub report: String,
    /// Whether the unit tests pass.
    pub tests_pass: bool,
    /// Whether training ends well.
    pub trains: bool,
    /// The share of requests that its server answers with 500.
    pub error_rate: f64,
    /// How long its server runs well before it does that, in seconds.
    #[serde(default)]
    pub well_seconds: u32,
    /// Whether its server starts at all.
    #[serde(default = "starts")]
    pub starts: bool,
    /// Another `pipeline-definition.json` than the model repository's.
    pub definition: Option<String>,
    /// A file beside the scripts, by its path, with its text.
    #[serde(skip)]
    pub beside: Option<(String, String)>,
}

/// Most do.
fn starts() -> bool {
    true
}

impl Candidate {
    /// A good candidate of that accuracy.
    #[must_use]
    pub fn of_accuracy(accuracy: f64) -> Self {
        let report = format!(r#"{{"metrics": {{"accuracy": {accuracy}, "f1": {accuracy}}}}}"#);
        Self {
            report,
            tests_pass: true,
            trains: true,
            error_rate: 0.0,
            well_seconds: 0,
            starts: true,
            definition: None,
            beside: None,
        }
    }

    /// The same with another file beside the scripts.
    #[must_use]
    pub fn beside(mut self, path: &str, text: &str) -> Self {
        self.beside = Some((path.to_owned(), text.to_owned()));
        self
    }

    /// A script that is this candidate.
    #[must_use]
    pub fn script(&self) -> String {
        format!("{MARK}{}\n", serde_json::to_string(self).unwrap_or_default())
    }

    /// The candidate whose line is in the text.
    #[must_use]
    pub fn find(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(MARK))?;
        serde_json::from_str(line).ok()
    }

    /// The repository, as `git archive` would zip it.
    ///
    /// # Errors
    /// Never, in practice: it is written to memory.
    pub fn zip(&self, definition: &str) -> zip::result::ZipResult<Bytes> {
        let definition = self.definition.as_deref().unwrap_or(definition);
        let line = self.script();
        let mut files = vec![
            ("pipeline-definition.json", definition),
            ("buildspec.yml", "version: 0.2\n"),
        ];
        files.extend(["preprocess.py", "train.py", "evaluate.py", "serve.py"].map(|name| (name, line.as_str())));
        let beside = self.beside.as_ref();
        files.extend(beside.map(|(path, text)| (path.as_str(), text.as_str())));
        zip(&files)
    }
}

/// A zip of those files.
fn zip(files: &[(&str, &str)]) -> zip::result::ZipResult<Bytes> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in files {
        archive.start_file(*name, options)?;
        archive.write_all(content.as_bytes())?;
    }
    Ok(archive.finish()?.into_inner().into())
}

/// The candidate in a zip of its repository.
#[must_use]
pub fn in_zip(archive: &[u8]) -> Option<Candidate> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).ok()?;
    let mut text = Vec::new();
    archive.by_name("train.py").ok()?.read_to_end(&mut text).ok()?;
    Candidate::find(&text)
}

/// The candidate in a tar.gz that has it in some file.
#[must_use]
pub fn in_tar_gz(archive: &[u8]) -> Option<Candidate> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(archive).read_to_end(&mut text).ok()?;
    // A tar is its files' contents with headers between: the line can be looked for as it is.
    let start = text.windows(MARK.len()).position(|window| window == MARK.as_bytes())?;
    let line = text.get(start..)?.split(|byte| *byte == b'\n').next()?;
    Candidate::find(line)
}
