//! What is handed to the engine, and what it tells while it runs: the words between it and its callers.

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::config::policy::{BatchRange, Level};
use crate::core::{AttemptId, Decision, Final, JobId};
use crate::job::Request;
use crate::report;

/// What stands in a word of a command for the number of items at once.
pub const BATCH: &str = "{batch}";
/// What stands in a word of a command for the segment length, whole seconds.
pub const SEGMENT: &str = "{segment}";

/// One job to be run.
#[derive(Debug, Clone, Default)]
pub struct Task {
    /// The command.
    pub argv: Vec<OsString>,
    /// Words of `argv`, by index, in which `{batch}` and `{segment}` are replaced at each start. No other word is
    /// touched: a file may be called so. In a command that is rewritten, every word that equals one of them.
    pub adaptive: Vec<usize>,
    /// Added to the child's environment.
    pub env: Vec<(OsString, OsString)>,
    /// The regular file that the child's stdout goes to, made or emptied at each start; none is /dev/null.
    pub stdout: Option<PathBuf>,
    /// The same for its stderr. It may be the same file.
    pub stderr: Option<PathBuf>,
    /// Profile, memory, retries, timeouts.
    pub request: Request,
    /// Higher goes first.
    pub priority: i32,
    /// Jobs of one class learn from each other.
    pub class: u32,
    /// How long it is expected to run, where known.
    pub expected: Option<Duration>,
    /// It takes batches.
    pub batch: Option<BatchRule>,
    /// It catches the policy's relief signal, which would end a program that does not.
    pub relievable: bool,
}

/// How a command takes batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRule {
    /// Items at once.
    pub range: BatchRange,
    /// The signal, by number, that tells a running child to read its batch size again.
    pub signal: Option<i32>,
    /// A file that always holds the current batch size as a line.
    pub file: Option<PathBuf>,
}

impl BatchRule {
    /// Whether a running child can be told.
    pub fn tellable(&self) -> bool {
        self.signal.is_some() || self.file.is_some()
    }
}

/// Where the engine gets its jobs: asked for one at a time, a bounded number ahead of what runs. Nothing here may
/// block: who has to wait for a disk or a pipe does so in a thread.
pub trait Tasks {
    /// The next job.
    fn next(&mut self) -> Pull;
    /// After [`Pull::Later`]: readable as soon as it is worth asking again. None where that is never said.
    fn ready(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// How many are still to come, where known.
    fn remaining(&self) -> Option<u64>;
}

/// What is to be had from [`Tasks`].
#[derive(Debug)]
pub enum Pull {
    /// A job.
    Job(JobId, Box<Task>),
    /// Nothing yet.
    Later,
    /// There are no more; it is not asked again.
    End,
}

/// Who is told what happens. All calls come from the one event loop, so none may block.
pub trait Observer {
    /// An attempt has been started.
    fn started(&mut self, started: &Started<'_>);
    /// How things stand; at most four times a second, and only while something runs.
    fn progress(&mut self, now: &Status<'_>);
    /// An attempt has ended.
    fn ended(&mut self, job: JobId, attempt: &report::Attempt);
    /// A job has come to its end. A job that an interrupt cut short is not told: it is to be done another time.
    fn finished(&mut self, job: JobId, report: &JobReport);
    /// The core has decided: to be logged, as loudly as the decision says.
    fn decided(&mut self, decision: &Decision);
}

/// An attempt that has been started.
#[derive(Debug, Clone, Copy)]
pub struct Started<'a> {
    /// Of which job.
    pub job: JobId,
    /// Its name.
    pub attempt: AttemptId,
    /// The how manieth of its job, from 1.
    pub number: u32,
    /// Its profile; none for a command that is not rewritten.
    pub profile: Option<&'a str>,
    /// What is run, with temporary names for its outputs.
    pub argv: &'a [OsString],
    /// Bytes it is expected to peak at.
    pub estimate_bytes: Option<u64>,
    /// Bytes it is limited to.
    pub limit_bytes: u64,
    /// Items at once, for a command that takes batches.
    pub batch: Option<u32>,
    /// The child's process ID.
    pub pid: i32,
}

/// How things stand.
#[derive(Debug, Clone)]
pub struct Status<'a> {
    /// The attempts that run, by age.
    pub running: Vec<Running<'a>>,
    /// The level of memory pressure.
    pub level: Level,
    /// All memory there is, bytes; 0 before the first look.
    pub total_bytes: u64,
    /// What is available of it, bytes.
    pub available_bytes: u64,
    /// Jobs that wait, as far as they are known.
    pub queued: u64,
    /// Jobs that are done.
    pub done: u64,
    /// Jobs that have failed.
    pub failed: u64,
    /// Since the start.
    pub elapsed: Duration,
}

/// One attempt that runs.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    /// Of which job.
    pub job: JobId,
    /// The command.
    pub argv: &'a [OsString],
    /// Its profile.
    pub profile: Option<&'a str>,
    /// Memory it needs, bytes, as last seen.
    pub needs_bytes: u64,
    /// Memory it may use, bytes.
    pub limit_bytes: u64,
    /// How far it is, 0 to 1; none when nothing tells.
    pub progress: Option<f64>,
    /// Seconds of output per second; none when nothing tells.
    pub speed: Option<f64>,
    /// Since its start.
    pub elapsed: Duration,
    /// What is being done with it.
    pub stage: Stage,
}

/// What is being done with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It runs.
    Running,
    /// It stands still, to give memory back.
    Frozen,
    /// It has been asked to end.
    Stopping,
    /// It has ended; what it left behind is cleared and its outputs are put in place.
    Settling,
}

/// How a job ended.
#[derive(Debug, Clone)]
pub struct JobReport {
    /// As the core says; none when it could not even be planned.
    pub end: Option<Final>,
    /// How ffwarden's prefix would have ended: the child's own exit code or 128 plus the signal it died by, 124
    /// timed out, 125 failed for memory or by ourselves, 126 not executable, 127 not found.
    pub exit_code: i32,
    /// The signal that ended the child of the last attempt, when one did.
    pub signal: Option<i32>,
    /// Why, in one sentence, when it is not done.
    pub reason: Option<String>,
    /// Attempts that were made.
    pub attempts: u32,
    /// From the start of the last attempt to its end.
    pub wall: Duration,
    /// Of all attempts the most that could not have been reclaimed, bytes.
    pub peak_bytes: u64,
    /// What was written.
    pub outputs: Vec<report::Output>,
}

impl JobReport {
    /// It worked.
    pub fn is_done(&self) -> bool {
        self.end == Some(Final::Done)
    }
}

/// How it all ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Jobs that are done.
    pub done: u64,
    /// Jobs that have failed.
    pub failed: u64,
    /// Jobs that were taken back.
    pub cancelled: u64,
    /// What asked us to end, when something did: jobs may then be left.
    pub interrupted: Option<Signal>,
}
