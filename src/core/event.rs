//! What the shell tells the core.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::ReliefId;
use super::job::{AttemptId, End, JobId, JobSpec};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// There is a new job.
    Submitted {
        /// Its name; not in use.
        job: JobId,
        /// What it is.
        spec: JobSpec,
    },
    /// The user takes a job back.
    Cancelled {
        /// Which.
        job: JobId,
    },
    /// There is an attempt that the core did not start. It is measured, relieved, frozen and stopped as others are,
    /// and takes of the budget what it is measured with. Nothing is reserved for it, its end is no job's end, and
    /// nothing is concluded from how it ended.
    Adopted {
        /// Its name, from [`AttemptId::adopted`]; with another, or one that is in use, the event is ignored.
        attempt: AttemptId,
        /// When it was started, on the clock of `now`; taken for `now` if it is later.
        started: Duration,
    },
    /// An attempt has ended, and all it used is free again.
    Ended {
        /// Which.
        attempt: AttemptId,
        /// How.
        end: End,
    },
    /// Memory was looked at.
    Measured(Sample),
    /// A PSI trigger fired: memory is looked at next. `full` or some.
    Triggered {
        /// All tasks were stalled.
        full: bool,
    },
    /// A relief has been carried out, or was given up after its timeout.
    Relieved {
        /// Which.
        relief: ReliefId,
        /// It did what it was asked to.
        done: bool,
    },
    /// The user asks for relief now, whatever the level.
    ReliefAsked,
    /// The time that [`super::Action::Wake`] named has come.
    Tick,
    /// No new work is to be started any more; what runs may end.
    Drain,
}

/// Memory at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Memory that could be used at all: RAM, or the limit of the nearest ancestor cgroup. Bytes.
    pub total_bytes: u64,
    /// What could be used now without swapping, bytes.
    pub available_bytes: u64,
    /// Free swap, bytes.
    pub swap_free_bytes: u64,
    /// Time that some task has waited for memory since boot; none without PSI.
    pub some_total: Option<Duration>,
    /// Time that all tasks have waited for memory since boot.
    pub full_total: Option<Duration>,
    /// What each running attempt uses. One that is missing keeps its last numbers.
    pub attempts: BTreeMap<AttemptId, Use>,
}

/// What an attempt uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Use {
    /// Memory that cannot be reclaimed, swap included, bytes.
    pub needs_bytes: u64,
    /// CPU time so far.
    pub cpu: Duration,
    /// How far it is, in thousandths; none when nothing tells.
    pub progress: Option<u32>,
}
