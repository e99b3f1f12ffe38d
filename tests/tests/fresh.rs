//! A new stack, with the real binaries over HTTP: it trains the model that its repository begins with, and nobody does anything.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long that may take: two jobs and a build of real scripts, a minute of theirs in a second.
const LIMIT: Duration = Duration::from_mins(3);

/// Ends the local cloud, and with it all that it has started, however the test ends.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// What a GET of that path answers, head and all.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_new_stack_asks_for_its_first_approval_by_itself() {
    let mut up = tests::local_cloud().unwrap();
    up.args(["up", "--port", "0", "--speed", "60"]);
    let mut up = Up(up.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(up.0.stdout.take().unwrap()).lines();
    let url = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("AWS endpoint")?;
        rest.split_whitespace().next().map(str::to_owned)
    });
    let url = url.expect("the local cloud tells its address");
    // What it says from here on is read to its end, so that it never waits for a reader; a refusal would be among it.
    let told = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<String>>());
    let address = url.trim_start_matches("http://");
    let began = Instant::now();
    while !get(address, "/inbox").contains("approve tumour v1?") {
        assert!(began.elapsed() < LIMIT, "{}", get(address, "/inbox"));
        std::thread::sleep(Duration::from_millis(500));
    }
    drop(up);
    let told = told.join().unwrap();
    let refused: Vec<&String> = told.iter().filter(|line| line.starts_with("refused: ")).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}
