//! What the core asks the shell to do, and why.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::decision::Decision;
use super::job::{AttemptId, Final, JobId};
use crate::config::policy::ReliefKind;

/// A relief that was asked for; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReliefId(pub u64);

/// Something to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Start an attempt. If it cannot be started the shell says so with an `Ended` that is not a success.
    Start(Start),
    /// Stop an attempt: gently, and after a while by force. Its end is told by `Ended` as pressure.
    Stop {
        /// Which.
        attempt: AttemptId,
    },
    /// Carry out a relief and answer with `Relieved`.
    Relieve {
        /// To be answered.
        relief: ReliefId,
        /// What to do.
        kind: ReliefKind,
        /// To which attempts.
        attempts: Vec<AttemptId>,
    },
    /// Let a frozen attempt go on.
    Thaw {
        /// Which.
        attempt: AttemptId,
    },
    /// Tell a running attempt its new batch size.
    Tell {
        /// Which.
        attempt: AttemptId,
        /// Items at once.
        batch: u32,
    },
    /// A job has come to its end.
    Finish {
        /// Which.
        job: JobId,
        /// How.
        end: Final,
    },
    /// Look at memory now.
    Measure,
    /// Send `Tick` at this time, instead of at any earlier one that was asked for.
    Wake {
        /// When, on the clock of `now`.
        at: Duration,
    },
    /// Write this down.
    Note(Decision),
}

/// An attempt to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Start {
    /// Of which job.
    pub job: JobId,
    /// Its name.
    pub attempt: AttemptId,
    /// Which of the job's plans.
    pub rung: usize,
    /// The limit of its slice, bytes.
    pub limit_bytes: u64,
    /// What is held for it against the budget, bytes.
    pub reserved_bytes: u64,
    /// Items at once, for a job that takes batches.
    pub batch: Option<u32>,
    /// The segment length now.
    pub segment: Duration,
}
