//! What a run did, for `--report FILE` and for the line at its end. The JSON is a contract: fields are added,
//! never renamed.

pub mod record;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use std::ffi::OsString;

use crate::core::ladder::Outcome;
use crate::slice::Containment;

/// All of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How children were contained.
    pub containment: ContainmentReport,
    /// What was typed.
    #[serde(serialize_with = "words")]
    pub command: Vec<OsString>,
    /// Every attempt, in order.
    pub attempts: Vec<Attempt>,
    /// What was written.
    pub outputs: Vec<Output>,
    /// The exit code of ffwarden, or 128 plus the signal it died by.
    pub exit_code: i32,
}

/// How children were contained.
#[derive(Debug, Clone, Serialize)]
pub struct ContainmentReport {
    /// `cgroup`, `scope` or `rlimit`.
    pub kind: Containment,
    /// Why this kind.
    pub why: String,
}

/// One attempt.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// The profile it ran under; none for a command that is not rewritten.
    pub profile: Option<String>,
    /// What was executed.
    #[serde(serialize_with = "words")]
    pub argv: Vec<OsString>,
    /// The slice's cgroup, where it had one.
    pub slice: Option<PathBuf>,
    /// Bytes it was expected to peak at; none when nothing is known of it.
    pub estimate_bytes: Option<u64>,
    /// Bytes it was limited to.
    pub limit_bytes: u64,
    /// Bytes it did peak at: `memory.peak`, or the highest polled sum.
    pub peak_bytes: u64,
    /// Bytes it peaked at that could not have been reclaimed, as sampled: without the page cache that
    /// `memory.peak` counts.
    pub peak_needs_bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The child's exit code, when it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended the child, when one did.
    pub signal: Option<i32>,
    /// From start to end, seconds.
    pub wall_seconds: f64,
    /// CPU time of the child, seconds.
    pub cpu_seconds: f64,
    /// The reason in one sentence, when it did not end by itself.
    pub reason: Option<String>,
}

/// One output of the command.
#[derive(Debug, Clone, Serialize)]
pub struct Output {
    /// As the user named it.
    #[serde(serialize_with = "word")]
    pub url: OsString,
    /// What it is: `file`, `pipe`, `null`, `device`, `url`, `many files`.
    pub kind: &'static str,
    /// It is there, whole. None where ffwarden cannot know (pipes, URLs).
    pub complete: Option<bool>,
    /// Its size, bytes.
    pub size_bytes: Option<u64>,
}

impl Report {
    /// Writes the report as JSON, whole or not at all.
    ///
    /// # Errors
    /// What the file system said.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let partial = partial_name(path);
        let result = self
            .write_to(&partial)
            .and_then(|()| fs::rename(&partial, path));
        if result.is_err() {
            let _nothing_to_remove = fs::remove_file(&partial);
        }
        result
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")
    }
}

/// `/dev/stderr`, a pipe and the like are written directly; a rename would replace them.
fn partial_name(path: &Path) -> PathBuf {
    let special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    if special {
        return path.to_owned();
    }
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".ffwarden-{}", std::process::id()));
    path.with_file_name(name)
}

/// JSON has no bytes: what is not UTF-8 is shown with replacement characters.
fn words<S: Serializer>(words: &[OsString], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(
        words
            .iter()
            .map(|word| String::from_utf8_lossy(word.as_bytes())),
    )
}

fn word<S: Serializer>(word: &OsString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(word.as_bytes()))
}
