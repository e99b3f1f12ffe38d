//! Processes: started in groups of their own, watched, and never left behind.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::watch;

pub(crate) mod fleet;
pub(crate) mod functions;

/// Locks; a thread that panicked while it held the lock left nothing half done that would matter more than going on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the warden runs. It is told of process groups on its standard input, signals them when told, and kills those that are
/// left when the input ends: however this process ends, its children end with it.
const WARDEN: &str = r#"
trap '' INT TERM HUP
groups=' '
while read -r verb group; do
  case $verb in
    add) groups="$groups$group " ;;
    del) case $groups in *" $group "*) groups="${groups%% "$group" *} ${groups#* "$group" }" ;; esac ;;
    *) kill -s "$verb" -- "-$group" 2>/dev/null ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
"#;

/// Sends signals to process groups and outlives this process just long enough to end them all.
#[derive(Debug)]
pub(crate) struct Warden {
    child: tokio::sync::Mutex<std::process::Child>,
    input: Mutex<Option<std::process::ChildStdin>>,
}

impl Warden {
    /// Starts the warden.
    pub(crate) fn start() -> std::io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let mut child = std::process::Command::new("sh")
            .args(["-c", WARDEN])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // An interrupt from the terminal goes to the terminal's group: the warden must survive it.
            .process_group(0)
            .spawn()?;
        let input = child.stdin.take();
        Ok(Self {
            child: tokio::sync::Mutex::new(child),
            input: Mutex::new(input),
        })
    }

    fn tell(&self, verb: &str, group: u32) {
        if let Some(input) = lock(&self.input).as_mut() {
            // A pipe write this short can't be torn. A warden that is gone can't be helped; kill_on_drop remains.
            let _ = input.write_all(format!("{verb} {group}\n").as_bytes());
        }
    }

    /// Ends everything that is left. Nothing can be started afterwards.
    pub(crate) fn close(&self) {
        lock(&self.input).take();
    }

    /// Ends everything that is left and waits until it is.
    pub(crate) async fn finish(&self) {
        self.close();
        let mut child = self.child.lock().await;
        for _ in 0..200 {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A running process and all its descendants that have not left its group.
#[derive(Debug)]
pub(crate) struct Process<'warden> {
    warden: &'warden Warden,
    child: Child,
    group: u32,
}

impl<'warden> Process<'warden> {
    /// Starts a command in a group of its own, without input.
    pub(crate) fn start(warden: &'warden Warden, command: &mut Command) -> std::io::Result<Self> {
        if lock(&warden.input).is_none() {
            return Err(std::io::Error::other("the local cloud is stopping"));
        }
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().unwrap_or_default();
        warden.tell("add", group);
        Ok(Self { warden, child, group })
    }

    /// Waits until the process has ended; what it left in the background is killed then.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.signal("KILL");
        status
    }

    /// Waits at most so long, or until the cloud stops; then kills. `None`: killed.
    pub(crate) async fn wait_at_most(
        &mut self,
        limit: Duration,
        stopping: &mut watch::Receiver<bool>,
    ) -> std::io::Result<Option<ExitStatus>> {
        tokio::select! {
            status = self.wait() => return status.map(Some),
            () = tokio::time::sleep(limit) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        self.kill().await;
        Ok(None)
    }

    /// Asks the process to end, and makes it after a while.
    pub(crate) async fn stop(&mut self, grace: Duration) {
        self.signal("TERM");
        if tokio::time::timeout(grace, self.child.wait()).await.is_err() {
            self.kill().await;
        }
        self.signal("KILL");
    }

    /// Makes the process end.
    pub(crate) async fn kill(&mut self) {
        self.signal("KILL");
        // Should the warden be gone: at least the process itself.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    fn signal(&self, signal: &str) {
        // Group 0 would be the warden's own.
        if self.group != 0 {
            self.warden.tell(signal, self.group);
        }
    }
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        self.signal("KILL");
        self.warden.tell("del", self.group);
    }
}

/// `exit status 1`, `signal: killed`: how Go, and so AWS, puts it.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "signal: killed".to_owned(),
        (None, Some(signal)) => format!("signal: {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

/// The last lines of a file, as many as asked for and at most 64 KiB; empty if it can't be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    const MOST: u64 = 64 * 1024;
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(MOST)));
        let _ = file.take(MOST).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end();
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..)
        .unwrap_or_default()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(pid: u32) -> bool {
        // A zombie is dead: its parent has not looked yet.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| !rest.trim_start().starts_with('Z'))
        })
    }

    async fn dies(pid: u32) -> bool {
        for _ in 0..300 {
            if !alive(pid) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// A shell with a child in the background; the child's pid.
    async fn family<'warden>(warden: &'warden Warden, file: &Path) -> (Process<'warden>, u32) {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"sleep 600 & echo $! > "$0.part"; mv "$0.part" "$0"; wait"#])
            .arg(file);
        let process = Process::start(warden, &mut command).unwrap();
        for _ in 0..500 {
            if let Ok(text) = std::fs::read_to_string(file) {
                return (process, text.trim().parse().unwrap());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the shell did not start");
    }

    #[tokio::test]
    async fn nothing_outlives_a_killed_dropped_or_abandoned_process() {
        let folder = tempfile::tempdir().unwrap();
        let warden = Warden::start().unwrap();

        let (mut process, child) = family(&warden, &folder.path().join("killed")).await;
        process.kill().await;
        assert!(dies(child).await, "killed");

        let (process, child) = family(&warden, &folder.path().join("dropped")).await;
        drop(process);
        assert!(dies(child).await, "dropped");

        // Two that nobody ends: the warden does when it is closed, and knows which are over.
        let (first, one) = family(&warden, &folder.path().join("one")).await;
        let (second, two) = family(&warden, &folder.path().join("two")).await;
        let (third, three) = family(&warden, &folder.path().join("three")).await;
        drop(second);
        assert!(dies(two).await);
        warden.finish().await;
        assert!(dies(one).await && dies(three).await, "abandoned");
        drop((first, third));
        assert!(Process::start(&warden, &mut Command::new("true")).is_err(), "closed");
    }

    #[tokio::test]
    async fn the_time_limit_and_the_stop_end_a_process() {
        let warden = Warden::start().unwrap();
        let (stop, stopping) = watch::channel(false);
        let mut process = Process::start(&warden, Command::new("sleep").arg("600")).unwrap();
        let ended = process
            .wait_at_most(Duration::from_millis(50), &mut stopping.clone())
            .await
            .unwrap();
        assert_eq!(ended, None);
        let mut process = Process::start(&warden, Command::new("sleep").arg("600")).unwrap();
        stop.send(true).unwrap();
        let ended = process
            .wait_at_most(Duration::from_secs(60), &mut stopping.clone())
            .await
            .unwrap();
        assert_eq!(ended, None);
    }

    #[test]
    fn tail_gives_the_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for (text, lines, expected) in [
            ("", 3, ""),
            ("one", 3, "one"),
            ("one\ntwo\nthree\n", 2, "two\nthree"),
            ("one\ntwo\n\n\n", 1, "two"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(tail(&path, lines), expected, "{text:?}");
        }
        assert_eq!(tail(&folder.path().join("none"), 3), "");
    }
}
