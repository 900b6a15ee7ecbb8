//! Policies: the levels of memory pressure, and what is done at each.
//!
//! The YAML is described in `docs/policies.md`; reading it is in `policy_yaml`. What a policy means is decided in
//! `core`, which reads the checked values below and nothing else. No I/O here.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ContentError;
use super::files::Kind;
use super::policy_yaml::{Checker, RawPolicy};
use super::profile::{Origin, Profiles};
use super::size::Size;

/// The memory pressure now, in the four words that everything uses.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing to do.
    #[default]
    Normal,
    /// A little less.
    Moderate,
    /// Noticeably less.
    High,
    /// No new work; something has to give.
    Critical,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Normal => "normal",
            Level::Moderate => "moderate",
            Level::High => "high",
            Level::Critical => "critical",
        })
    }
}

/// A checked policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// Memory that children never get.
    pub reserves: Vec<Reserve>,
    /// How many jobs may run at once when the level is normal.
    pub workers: BaseWorkers,
    /// What a job is expected to need when nothing is known of it. None: a quarter of the budget, until a job of
    /// the same command has shown its peak.
    pub memory_per_job: Option<Size>,
    /// CPU threads that may be wanted together, percent of the processors: 1 to 1000.
    pub cpu_percent: u32,
    /// From the lightest to the heaviest; the first is normal and has no thresholds. A level may have several
    /// stages.
    pub stages: Vec<Stage>,
    /// A stage is left below its threshold less this, percentage points (for bytes: percent of the threshold).
    pub margin: f64,
    /// For how long it has to be below before it is left.
    pub hold: Duration,
    /// How long relief may take to show before a victim is chosen, and how long between two victims at least.
    pub grace: Duration,
    /// The longest wait between two looks at memory where no event wakes us.
    pub poll: Duration,
    /// How relief is done.
    pub relief: ReliefRules,
    /// When no new work is started after children have died of memory.
    pub breaker: BreakerRules,
    /// The wait before a job that met a full machine is tried again; it doubles up to the longest.
    pub backoff: Backoff,
    /// How many items a batch-taking command gets at once, at level normal and at least.
    pub batch: BatchRange,
    /// Length of segments at level normal and at least.
    pub segment: SegmentRange,
    /// Jobs whose input is larger than this many bytes take this profile at most; ascending.
    pub large_files: Vec<LargeFile>,
    /// A line on memory after so many finished jobs or segments.
    pub report_every: Option<u32>,
    /// Where it was read.
    pub origin: Origin,
    /// The YAML it was read from, comments and all.
    pub source: String,
}

impl Policy {
    /// Reads and checks the text of a policy, which may name any of `profiles`.
    ///
    /// # Errors
    /// [`ContentError`] with the place of the first thing that is wrong.
    pub fn parse(
        text: &str,
        origin: Origin,
        profiles: &Profiles,
    ) -> Result<Policy, Box<ContentError>> {
        let file = Kind::Policy.file_name(&origin);
        let options = serde_yaml::options! { strict_booleans: true };
        let raw: RawPolicy = serde_yaml::from_str_with_options(text, options)
            .map_err(|error| Box::new(ContentError::from_yaml(&file, text, &error)))?;
        Checker::new(&file, profiles)
            .policy(raw, text, origin)
            .map_err(Box::new)
    }

    /// Whether anything may be frozen at some level.
    pub fn freezes(&self) -> bool {
        let mut stages = self.stages.iter();
        stages.any(|stage| stage.relief.contains(&ReliefKind::Freeze))
    }
}

/// Memory that children never get.
#[derive(Debug, Clone, PartialEq)]
pub struct Reserve {
    /// For people: `system`, `apps`, `buffer`.
    pub name: String,
    /// How much.
    pub share: Size,
    /// But no more than this, bytes.
    pub at_most: Option<u64>,
    /// It is for other programs, which may be using it already: their real use counts if it is more. Otherwise it
    /// stays free in any case.
    pub for_others: bool,
}

/// How many jobs may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseWorkers {
    /// As many as memory and CPU tokens let.
    Auto,
    /// At most so many; at least 1.
    Count(u32),
}

/// A part of a number, at some stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Percent of the base, 0 to 100; rounded down, but at least 1 where it is above 0.
    Percent(u32),
    /// At most so many.
    Count(u32),
}

impl Share {
    /// All of it.
    pub const ALL: Share = Share::Percent(100);

    /// The number at this stage, where `base` is the number at level normal.
    pub fn of(self, base: u32) -> u32 {
        match self {
            Share::Percent(0) => 0,
            Share::Percent(percent) => {
                let share = u64::from(base) * u64::from(percent) / 100;
                u32::try_from(share).unwrap_or(u32::MAX).max(base.min(1))
            }
            Share::Count(count) => count.min(base),
        }
    }

    /// Items at once: no fewer than the minimum, or none at all.
    pub fn batch(self, range: BatchRange) -> u32 {
        match self.of(range.maximum) {
            0 => 0,
            share => share.max(range.minimum),
        }
    }
}

/// A band of memory pressure and what is done in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What it is called everywhere.
    pub level: Level,
    /// Any of these that is met enters it.
    pub enter: Thresholds,
    /// How many jobs may run at once; 0 starts nothing new.
    pub workers: Share,
    /// How heavy a profile new work may take.
    pub profile: Ceiling,
    /// Items at once for a command that takes batches.
    pub batch: Share,
    /// Percent of the segment length, 1 to 100.
    pub segment_percent: u32,
    /// What is tried to get memory back without stopping anything, in this order.
    pub relief: Vec<ReliefKind>,
    /// Each is followed by a look whether it helped, and the next is tried only if it did not.
    pub verify: bool,
    /// When relief did not help, an attempt is stopped.
    pub stop: bool,
    /// After relief, until the level is normal again.
    pub after_relief: Option<AfterRelief>,
    /// Entering it is a warning or an error in the log; otherwise a note.
    pub say: Say,
}

/// How loudly a stage is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Say {
    /// As information.
    #[default]
    Info,
    /// As a warning.
    Warning,
    /// As an error.
    Error,
}

/// When a stage is entered: any one that is met.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Thresholds {
    /// Memory of the machine in use (total less available), percent of the total or bytes: at or above.
    pub used: Option<Size>,
    /// Memory that the children need together, percent of the budget or bytes: at or above.
    pub children: Option<Size>,
    /// Memory available on the machine, percent of the total or bytes: at or below.
    pub available: Option<Size>,
    /// Percent of the last 10 seconds in which some task waited for memory: at or above.
    pub some_avg10: Option<f64>,
    /// Percent of the last 10 seconds in which all tasks waited for memory: at or above.
    pub full_avg10: Option<f64>,
    /// A kernel trigger on the machine's memory pressure.
    pub trigger: Option<Trigger>,
    /// What any one slice needs, percent of its own limit: at or above.
    pub slice: Option<f64>,
}

impl Thresholds {
    /// Whether any of them is on memory itself, not on time lost.
    pub fn looks_at_memory(&self) -> bool {
        self.used.is_some()
            || self.children.is_some()
            || self.available.is_some()
            || self.slice.is_some()
    }
}

/// A PSI trigger: so much stall within a window wakes us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigger {
    /// All tasks stalled, not some.
    pub full: bool,
    /// Time stalled; below the window.
    pub stall: Duration,
    /// Window, 0.5 to 10 s. Without CAP_SYS_RESOURCE the kernel takes multiples of 2 s only.
    pub window: Duration,
}

/// How heavy a profile may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ceiling {
    /// The best that fits.
    Any,
    /// So many rungs below the best that fits.
    Lower(u32),
    /// This one at most.
    AtMost {
        /// Its name.
        profile: String,
        /// Its rank.
        rank: u32,
    },
}

/// A way to get memory back that stops no job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReliefKind {
    /// The file cache of every slice (`memory.reclaim`).
    Reclaim,
    /// A signal to every child that asked for one.
    Signal,
    /// A command of the user's, such as one that unloads a model.
    Command,
    /// The youngest attempt is frozen and its memory pushed to swap.
    Freeze,
}

impl fmt::Display for ReliefKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReliefKind::Reclaim => "reclaim",
            ReliefKind::Signal => "signal",
            ReliefKind::Command => "command",
            ReliefKind::Freeze => "freeze",
        })
    }
}

/// How relief is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReliefRules {
    /// The signal that tells a child to give memory back, by number.
    pub signal: Option<i32>,
    /// The command that gives memory back; run as the job's user, never through a shell.
    pub command: Option<Vec<String>>,
    /// How long one relief may take.
    pub timeout: Duration,
    /// It helped if so many more percent points of the machine's memory are available afterwards.
    pub helped_points: u32,
    /// The longest that an attempt stays frozen.
    pub freeze_at_most: Duration,
}

/// After relief, until the level is normal again.
#[derive(Debug, Clone, PartialEq)]
pub struct AfterRelief {
    /// No more than so many jobs at once.
    pub workers: u32,
    /// Where memory in use is still at or above this, so many may run though the stage starts nothing new.
    pub even_above: Option<Size>,
}

/// When the breaker opens: then nothing new is started until a single probe job has survived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerRules {
    /// So many ends by memory ...
    pub ends: u32,
    /// ... within this time open it. 0 ends: never.
    pub within: Duration,
    /// It also opens when this level is entered.
    pub opens_at: Option<Level>,
    /// How long it stays open at first; it doubles with each probe that fails.
    pub first: Duration,
    /// The longest it stays open.
    pub longest: Duration,
}

/// Waits that double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first.
    pub first: Duration,
    /// The longest, before jitter of up to a quarter.
    pub longest: Duration,
}

/// Items at once for a command that takes batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRange {
    /// At level normal; at least 1.
    pub maximum: u32,
    /// At least so many wherever anything may be started.
    pub minimum: u32,
}

/// Length of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRange {
    /// At level normal.
    pub length: Duration,
    /// Never less.
    pub minimum: Duration,
}

/// A rule for large inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LargeFile {
    /// Inputs above this many bytes ...
    pub above: u64,
    /// ... take this profile at most: never [`Ceiling::Lower`].
    pub profile: Ceiling,
}

#[cfg(test)]
mod mistakes_tests;
#[cfg(test)]
mod shipped_tests;
#[cfg(test)]
mod tests;
