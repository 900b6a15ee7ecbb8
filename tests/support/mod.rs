//! One builder for all tests of the binary: what goes in, what came out, in full.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod batch;
pub mod terminal;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A run of ffwarden to be set up. Containment is the fallback unless said otherwise, so that a test means the
/// same on every machine; the same features are tested with cgroups in tests/vm.
pub struct Ffwarden {
    command: Command,
    stdin: Vec<u8>,
    report: tempfile::TempPath,
}

/// What came of it.
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub report: serde_json::Value,
}

pub fn ffwarden<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Ffwarden {
    let report = tempfile::Builder::new()
        .suffix(".json")
        .tempfile()
        .unwrap()
        .into_temp_path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ffwarden"));
    command
        .args(args)
        .env("FFWARDEN_CONTAINMENT", "rlimit")
        .env_remove("FFWARDEN_MEMORY");
    Ffwarden {
        command,
        stdin: Vec::new(),
        report,
    }
}

/// The same with its report kept, for runs of a command.
pub fn reported<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Ffwarden {
    let run = ffwarden(Vec::<OsString>::new());
    let mut with_report = Ffwarden { ..run };
    with_report
        .command
        .arg("--report")
        .arg(&*with_report.report)
        .args(args);
    with_report
}

impl Ffwarden {
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Ran {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = std::mem::take(&mut self.stdin);
        // A child that does not read breaks the pipe; that is its right.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let report = std::fs::read(&self.report).unwrap_or_default();
        Ran {
            status: output.status,
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            report: serde_json::from_slice(&report).unwrap_or(serde_json::Value::Null),
        }
    }

    /// Runs it without a stdin of its own, as from a terminal's shell in the background: in a process group of
    /// its own, with stdin from /dev/null.
    pub fn start(mut self) -> Started {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        Started {
            child: self.command.spawn().unwrap(),
            _report: self.report,
        }
    }
}

impl Ran {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn attempt(&self, index: usize) -> &serde_json::Value {
        &self.report["attempts"][index]
    }

    pub fn attempts(&self) -> usize {
        self.report["attempts"].as_array().map_or(0, Vec::len)
    }

    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code(), Some(0), "{:?}\n{}", self.status, self.stderr);
        self
    }
}

/// A run that is under way.
pub struct Started {
    pub child: Child,
    _report: tempfile::TempPath,
}

impl Started {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub fn end(mut self) -> (ExitStatus, String) {
        let mut stderr = String::new();
        let status = self.child.wait().unwrap();
        if let Some(mut pipe) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut pipe, &mut stderr).unwrap();
        }
        (status, stderr)
    }
}

/// Waits until something holds; a test that has to wait for another process has no other way.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The processes whose command line contains all of the words, zombies left out.
pub fn processes(words: &[&str]) -> Vec<i32> {
    let mut found = Vec::new();
    for process in procfs::process::all_processes().unwrap().flatten() {
        let line = process.cmdline().unwrap_or_default().join(" ");
        let alive = process.stat().is_ok_and(|stat| stat.state != 'Z');
        if alive && words.iter().all(|word| line.contains(word)) {
            found.push(process.pid);
        }
    }
    found
}

/// The state letter of a process in /proc: R, S, T ...
pub fn state(pid: i32) -> Option<char> {
    Some(procfs::process::Process::new(pid).ok()?.stat().ok()?.state)
}

/// A word that no other process has on its command line.
pub fn unique(tag: &str) -> String {
    let nanos = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_nanos();
    format!("{tag}-{}-{nanos}", std::process::id())
}

/// The memory hog of tests/support/hog.rs.
pub fn hog() -> PathBuf {
    let bin = PathBuf::from(env!("CARGO_BIN_EXE_ffwarden"));
    let hog = bin.parent().unwrap().join("examples/hog");
    assert!(
        hog.exists(),
        "build the examples first: cargo build --examples"
    );
    hog
}

/// Runs FFmpeg itself, to make test material.
#[track_caller]
pub fn ffmpeg(args: &[&str], dir: &Path) {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-nostdin", "-loglevel", "error", "-y"])
        .args(args)
        .current_dir(dir);
    let output = command
        .output()
        .expect("ffmpeg is installed by scripts/setup");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A moving test picture `WIDTHxHEIGHT` of so many seconds at 25 frames a second, with a tone if asked for: made
/// once per process.
pub fn clip(size: &str, seconds: &str, tone: bool) -> &'static Path {
    static CLIP: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = CLIP.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let video = format!("testsrc2=size={size}:rate=25");
        let mut words = vec!["-f", "lavfi", "-i", &video];
        if tone {
            words.extend(["-f", "lavfi", "-i", "sine", "-c:a", "aac"]);
        }
        words.extend([
            "-t",
            seconds,
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "clip.mov",
        ]);
        ffmpeg(&words, dir.path());
        let path = dir.path().join("clip.mov");
        (dir, path)
    });
    path
}

/// What ffprobe says of one entry of a file, one value per line.
#[track_caller]
pub fn ffprobe(entries: &str, path: &Path) -> String {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_packets",
            "-of",
            "default=nw=1:nk=1",
            "-show_entries",
            entries,
        ])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The names in a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
