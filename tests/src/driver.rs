//! The program by which a browser is driven.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// A chromedriver. Its browser ends with it.
pub(crate) struct Driver {
    process: Child,
    /// What the two write, such as the browser's profile. Deleted last.
    _folder: TempDir,
}

impl Driver {
    /// Starts it on a free port; with its address.
    pub(crate) fn start() -> Result<(Self, String)> {
        let folder = tempfile::tempdir()?;
        let mut process = Command::new("chromedriver");
        process.arg("--port=0").env("TMPDIR", folder.path());
        let process = process.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut driver = Self {
            process,
            _folder: folder,
        };
        let output = driver.process.stdout.as_mut().context("no pipe from chromedriver")?;
        for line in BufReader::new(output).lines() {
            if let Some((_, port)) = line?.split_once("started successfully on port ") {
                let address = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
                return Ok((driver, address));
            }
        }
        bail!("chromedriver does not start");
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The browser has the same output. So this ends when it, too, has ended and writes nothing more.
        let output = self.process.stdout.as_mut();
        let _ = output.map(|output| std::io::copy(output, &mut std::io::sink()));
    }
}
