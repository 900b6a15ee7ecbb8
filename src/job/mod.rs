//! A job from its command line to its end: `plan` works out what would be run at each rung of the ladder, `work` what
//! else is seen of a command, `run` carries the attempts out, `watch` is the loop of one attempt, `outputs` sees that a
//! file appears complete or not at all, `guard` is the process that outlives us if we are killed, `link` what ties us to
//! it and `messages` what goes through that, `stop` how the two stop and go on as one, `verdict` is how ffwarden ends.
//!
//! The engine runs many jobs at once with the same parts but `run` and `watch`.
//!
//! Decisions are `core`'s; this is the shell that feeds it numbers and does what it says.

pub mod guard;
pub(crate) mod heartbeat;
pub mod link;
pub(crate) mod messages;
pub(crate) mod outputs;
mod plan;
pub(crate) mod reason;
mod run;
mod stop;
pub mod verdict;
mod wait;
pub(crate) mod watch;
mod work;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::child::LaunchError;
use crate::config::size::Size;
use crate::slice::SliceError;

pub use outputs::kind_name;
pub use plan::{Job, Plan, Standard, Surroundings};
pub use run::{Finished, run};

/// What the user asked for, besides the command.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which profile; none is `auto`.
    pub profile: Option<OsString>,
    /// The memory limit; none is the budget.
    pub memory: Option<Size>,
    /// Run the command as typed.
    pub no_rewrite: bool,
    /// Further attempts after running out of memory.
    pub retries: u32,
    /// The longest an attempt may run.
    pub timeout: Option<Duration>,
    /// The longest it may go without progress.
    pub stall_timeout: Option<Duration>,
}

/// Why a job could not be planned or run.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The program was not found or cannot be run.
    #[error(transparent)]
    Launch(#[from] crate::child::LaunchError),
    /// A slice could not be made.
    #[error(transparent)]
    Slice(#[from] crate::slice::SliceError),
    /// The machine's memory could not be read.
    #[error(transparent)]
    Memory(#[from] crate::memory::MemoryError),
    /// There is no such profile, or it has a mistake.
    #[error(transparent)]
    Config(#[from] crate::config::error::ConfigError),
    /// There is no profile at all.
    #[error("there is no profile at all")]
    NoProfile,
    /// An output would destroy an input.
    #[error(transparent)]
    OverwritesInput(#[from] crate::ffmpeg::target::OverwritesInput),
    /// A finished output could not be put in its place.
    #[error("{}: {why}", .path.display())]
    Output {
        /// The output.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file that a child's output goes to, or that tells it something, cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Stream {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The terminal or a pipe of our own failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl JobError {
    /// What ffwarden ends with when this kept a command from running, by env(1)'s rules.
    pub fn exit_code(&self) -> i32 {
        match self.launch() {
            Some(LaunchError::NotFound(_)) => verdict::NOT_FOUND,
            Some(LaunchError::NotExecutable { .. }) => verdict::NOT_EXECUTABLE,
            _ => verdict::FAILED,
        }
    }

    /// Why the program did not start, if that is what went wrong.
    pub fn launch(&self) -> Option<&LaunchError> {
        match self {
            JobError::Launch(launch) | JobError::Slice(SliceError::Launch(launch)) => Some(launch),
            _ => None,
        }
    }
}
