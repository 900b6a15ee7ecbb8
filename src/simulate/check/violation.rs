//! What must not happen, and how often it did.

use std::time::Duration;

use serde::Serialize;

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Violation {
    /// When, seconds.
    pub at: f64,
    /// Of what kind.
    pub kind: Kind,
    /// What happened.
    pub text: String,
}

/// Kinds of violations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A start brought the reservations above the budget.
    OverBudget,
    /// The kernel had to kill because the machine was full.
    MachineFull,
    /// A job was started while it ran, or after its end, or before it was submitted; or it ended twice.
    Twice,
    /// A job was never started, or never came to its end.
    Starved,
    /// A level was left before its hold time.
    LeftEarly,
    /// An attempt was frozen for longer than allowed.
    FrozenLong,
    /// The last running attempt was stopped though it alone needed no more than what others leave for the budget.
    LastStopped,
    /// More attempts than the stage allows.
    TooManyWorkers,
    /// A start where nothing may be started.
    StartedPaused,
    /// The core asked for what makes no sense.
    Senseless,
}

/// The most violations that are told; the others are counted.
pub const MOST_TOLD: usize = 100;
/// Those of one run.
#[derive(Debug, Default)]
pub(super) struct Violations {
    told: Vec<Violation>,
    count: u64,
}

impl Violations {
    /// One more.
    pub fn tell(&mut self, now: Duration, kind: Kind, text: String) {
        self.count += 1;
        if self.told.len() < MOST_TOLD {
            self.told.push(Violation {
                at: now.as_secs_f64(),
                kind,
                text,
            });
        }
    }

    /// The first ones and how many there are in all.
    pub fn into_parts(self) -> (Vec<Violation>, u64) {
        (self.told, self.count)
    }
}
