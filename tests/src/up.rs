//! A local cloud that stays up, as `up` on the command line is.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result};

/// The process. It ends with this, and with it all that it has started, however the test ends.
#[derive(Debug)]
pub struct Up {
    process: Child,
    /// Its address, `http://127.0.0.1:PORT`.
    pub url: String,
    lines: Receiver<String>,
}

impl Up {
    /// Builds the binaries and starts it, on any port, with these arguments.
    ///
    /// # Errors
    /// Where it does not start, or ends before it has told its address.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let mut command = crate::local_cloud()?;
        command.args(["up", "--port", "0"]).args(arguments);
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().context("its output")?;
        // Read to its end, so that it never waits for a reader.
        let (told, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.for_each(|line| drop(told.send(line)));
        });
        let address = |line: String| {
            let (_, rest) = line.split_once("AWS endpoint")?;
            rest.split_whitespace().next().map(str::to_owned)
        };
        let url = lines.iter().find_map(address);
        Ok(Self {
            process,
            url: url.context("it ended before it told its address")?,
            lines,
        })
    }

    /// Ends it; what it has told since its start.
    #[must_use]
    pub fn end(mut self) -> Vec<String> {
        self.stop();
        self.lines.iter().collect()
    }

    fn stop(&mut self) {
        // Its number may be another's once it has ended.
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.stop();
    }
}
