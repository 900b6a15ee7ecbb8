//! What the core knows of a job, and what an attempt of it is given.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ladder::{GiveUp, Outcome};
use crate::config::policy::BatchRange;
use crate::config::size::format_bytes;

/// A job, named by whoever submits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u64);

/// One attempt; never used twice. Named by the core, but for those that the core did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId(pub u64);

/// Where the names of adopted attempts begin: the core does not start so many, and what reads JSON's numbers as
/// doubles still tells them apart.
const ADOPTED: u64 = 1 << 52;

impl AttemptId {
    /// The name of the `number`th attempt that a shell adopts. None that the core gives is like it.
    pub fn adopted(number: u64) -> AttemptId {
        AttemptId(ADOPTED.saturating_add(number))
    }

    /// Whether the core did not start it.
    pub fn is_adopted(self) -> bool {
        self.0 >= ADOPTED
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {}", self.0)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.checked_sub(ADOPTED) {
            Some(number) => write!(f, "adopted attempt {number}"),
            None => write!(f, "attempt {}", self.0),
        }
    }
}

/// A job as it is submitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Higher goes first.
    pub priority: i32,
    /// Its plans from the heaviest to the lightest; at least one.
    pub rungs: Vec<Rung>,
    /// Further attempts after running out of memory.
    pub retries: u32,
    /// It can be run again: nothing goes through a pipe.
    pub repeatable: bool,
    /// Bytes of its largest input, where known.
    pub input_bytes: Option<u64>,
    /// How long it is expected to run, where known.
    pub expected: Option<Duration>,
    /// Jobs of one class run the same command on different inputs and learn from each other.
    pub class: u32,
    /// The most its slice may ever be given, bytes: the user's own limit.
    pub limit_bytes: Option<u64>,
    /// It takes batches.
    pub batch: Option<BatchRange>,
    /// A running attempt can be told a new batch size.
    pub tellable: bool,
    /// It answers the relief signal.
    pub relievable: bool,
}

/// One plan of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// The rank of its profile; 0 for a command that is not rewritten.
    pub rank: u32,
    /// Bytes it is expected to peak at; none when nothing is known.
    pub estimate_bytes: Option<u64>,
    /// The profile's own ceiling of the slice's limit, bytes.
    pub ceiling_bytes: Option<u64>,
    /// Threads it keeps busy, in thousandths of a processor.
    pub cpu_milli: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What brought it about.
    pub outcome: Outcome,
    /// It exited with 0 and its outputs are whole and in their place.
    pub success: bool,
    /// The most memory it needed that could not be reclaimed, bytes.
    pub peak_bytes: u64,
    /// CPU time it used.
    pub cpu: Duration,
}

/// The one end of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Final {
    /// It worked.
    Done,
    /// Its last attempt ended in a way that is not repeated.
    Failed(Outcome),
    /// It ran out of memory for good.
    OutOfMemory {
        /// Why no further attempt is made.
        why: GiveUp,
        /// Bytes it is now believed to need.
        needs_bytes: u64,
        /// Bytes there were for it.
        budget_bytes: u64,
    },
    /// The user took it back.
    Cancelled,
}

impl fmt::Display for Final {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Final::Done => f.write_str("done"),
            Final::Failed(outcome) => write!(f, "failed ({outcome})"),
            Final::OutOfMemory {
                why,
                needs_bytes,
                budget_bytes,
            } => write!(
                f,
                "failed for memory: {why}; it needs {}, there is {}",
                format_bytes(*needs_bytes),
                format_bytes(*budget_bytes)
            ),
            Final::Cancelled => f.write_str("cancelled"),
        }
    }
}
