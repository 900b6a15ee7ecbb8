//! Runs one ffprobe with a time limit and a bound on what it may answer.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{ProbeError, Prober};

/// Bytes of an answer that are read; ffprobe's answer on 500 streams is about 1 MiB.
const MAX_ANSWER: u64 = 4 << 20;
/// Bytes of its complaints that are kept.
const MAX_COMPLAINT: u64 = 16 << 10;
/// Characters of the reason that is shown.
const MAX_REASON: usize = 200;

/// What ffprobe answers on stdout.
pub(super) fn ffprobe(
    prober: &Prober,
    path: &Path,
    arguments: &[OsString],
) -> Result<Vec<u8>, ProbeError> {
    let failed = |source| ProbeError::Io {
        path: path.to_owned(),
        source,
    };
    let child = Command::new(&prober.program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that a kill reaches whatever a wrapper script started.
        .process_group(0)
        .spawn()
        .map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ProbeError::Missing {
                program: prober.program.to_string_lossy().into_owned(),
            },
            _ => failed(source),
        })?;
    let mut child = Guard(child);
    let (send, receive) = mpsc::channel();
    let readers = [(true, MAX_ANSWER), (false, MAX_COMPLAINT)];
    let (stdout, stderr) = (child.0.stdout.take(), child.0.stderr.take());
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        stdout.map(|pipe| Box::new(pipe) as _),
        stderr.map(|pipe| Box::new(pipe) as _),
    ];
    for ((answer, bound), pipe) in readers.into_iter().zip(pipes) {
        let Some(pipe) = pipe else { continue };
        let send = send.clone();
        thread::Builder::new()
            .name("ffprobe-read".to_owned())
            .spawn(move || {
                let mut text = Vec::new();
                let mut pipe = pipe;
                let read = pipe.by_ref().take(bound).read_to_end(&mut text);
                // What is over the bound is read and dropped, so that ffprobe ends by itself.
                let over = io::copy(&mut pipe, &mut io::sink()).unwrap_or(0) > 0;
                // The receiver has gone when the time is up.
                let _ = send.send((answer, over, read.map(|_| text)));
            })
            .map_err(failed)?;
    }
    drop(send);

    let deadline = Instant::now() + prober.timeout;
    let timed_out = || ProbeError::TimedOut {
        path: path.to_owned(),
        seconds: prober.timeout.as_secs(),
    };
    let (mut answer, mut complaint) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let left = deadline.saturating_duration_since(Instant::now());
        match receive.recv_timeout(left) {
            Ok((true, true, _)) => {
                let reason = format!("more than {} MiB", MAX_ANSWER >> 20);
                return Err(ProbeError::Answer {
                    path: path.to_owned(),
                    reason,
                });
            }
            Ok((true, false, read)) => answer = read.map_err(failed)?,
            Ok((false, _, read)) => complaint = read.map_err(failed)?,
            Err(mpsc::RecvTimeoutError::Timeout) => return Err(timed_out()),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    // Both pipes are closed: it is ending, unless it closed them itself and stays.
    let status = loop {
        if let Some(status) = child.0.try_wait().map_err(failed)? {
            break status;
        }
        if Instant::now() >= deadline {
            return Err(timed_out());
        }
        thread::sleep(Duration::from_millis(1));
    };
    if status.success() {
        return Ok(answer);
    }
    Err(ProbeError::Refused {
        path: path.to_owned(),
        reason: reason(&complaint, path, &status.to_string()),
    })
}

/// The last line of what ffprobe wrote, without the file's name in front, bounded; else its exit status.
fn reason(complaint: &[u8], path: &Path, status: &str) -> String {
    let text = String::from_utf8_lossy(complaint);
    // The name may hold a newline: take it off before looking for the last line.
    let name = format!("file:{}: ", path.to_string_lossy());
    let text = text.replace(&name, "");
    let line = text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or(status);
    let clean: String = line
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_REASON)
        .collect();
    if clean.is_empty() {
        status.to_owned()
    } else {
        clean
    }
}

/// Kills and reaps the process group however the function is left.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Reaped already: its number may be someone else's by now.
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Ok(pid) = i32::try_from(self.0.id()) {
            // It may have ended in between; then there is nothing to kill.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.0.wait();
    }
}
