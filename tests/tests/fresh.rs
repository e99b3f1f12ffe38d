//! A new stack, with the real binaries over HTTP: it trains the model that its repository begins with, and nobody does anything.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tests::up::Up;

/// How long that may take: two jobs and a build of real scripts, a minute of theirs in a second.
const LIMIT: Duration = Duration::from_mins(3);

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
    let up = Up::start(&["--speed", "60"]).unwrap();
    let address = up.url.trim_start_matches("http://").to_owned();
    let began = Instant::now();
    while !get(&address, "/inbox").contains("approve tumour v1?") {
        assert!(began.elapsed() < LIMIT, "{}", get(&address, "/inbox"));
        std::thread::sleep(Duration::from_millis(500));
    }
    let told = up.end();
    let refused: Vec<&String> = told.iter().filter(|line| line.starts_with("refused: ")).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}
