//! What follows an attempt that ended: nothing more, a lighter attempt, the same again later, or giving up.
//!
//! The rungs are the plans of one job, from the heaviest to the lightest; two that would run the same command
//! under the same limit are one rung.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::policy::Backoff;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// By itself, with an exit code.
    Exited,
    /// Stopped at its own memory limit.
    Oom,
    /// Stopped because the machine, or a cgroup above the slice, was full.
    Pressure,
    /// Stopped because it made no progress for the stall timeout.
    Stalled,
    /// Stopped because it ran longer than the timeout.
    Timeout,
    /// By a signal that was not ours.
    Signaled,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Exited => "exited",
            Outcome::Oom => "out of memory at its own limit",
            Outcome::Pressure => "stopped for memory",
            Outcome::Stalled => "stalled",
            Outcome::Timeout => "timed out",
            Outcome::Signaled => "killed by a signal",
        })
    }
}

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GiveUp::NothingLighter => "nothing lighter is left to try",
            GiveUp::NoRetriesLeft => "no retries are left",
            GiveUp::NotRepeatable => "it is not run again, for its input or output is a pipe",
        })
    }
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    rungs: usize,
    rung: usize,
    retries: u32,
    retries_left: u32,
    waits: u32,
    repeatable: bool,
    backoff: Backoff,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The attempt's end is the job's end.
    Done,
    /// Run this rung after this wait.
    Retry {
        /// Index among the rungs.
        rung: usize,
        /// How long to wait first.
        after: Duration,
    },
    /// Out of memory for good.
    GiveUp(GiveUp),
}

/// Why no further attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GiveUp {
    /// The lightest plan was tried.
    NothingLighter,
    /// As many retries as allowed were made.
    NoRetriesLeft,
    /// Input or output is a pipe: what went through it cannot be had again.
    NotRepeatable,
}

/// The waits after the machine was full, where no policy says otherwise.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(2),
    longest: Duration::from_secs(60),
};

impl Ladder {
    /// A job with `rungs` plans, standing at `rung`; at most `retries` further attempts, and none at all unless
    /// it is `repeatable`.
    pub fn new(rungs: usize, rung: usize, retries: u32, repeatable: bool) -> Ladder {
        Ladder {
            rungs,
            rung,
            retries,
            retries_left: retries,
            waits: 0,
            repeatable,
            backoff: BACKOFF,
        }
    }

    /// The same with other waits.
    pub fn with_backoff(self, backoff: Backoff) -> Ladder {
        Ladder { backoff, ..self }
    }

    /// The plan to run now.
    pub fn rung(&self) -> usize {
        self.rung
    }

    /// An attempt ran on this plan, which is no heavier than the one allowed: what follows is counted from there.
    pub fn stand_at(&mut self, rung: usize) {
        self.rung = self.rung.max(rung);
    }

    /// Whether no attempt has ended yet.
    pub fn is_first(&self) -> bool {
        self.retries_left == self.retries
    }

    /// Whether any further attempt can follow this one.
    pub fn may_repeat(&self) -> bool {
        self.repeatable && self.retries > 0
    }

    /// Decides what follows. `jitter`, 0 to 1, stretches a wait by up to a quarter so that many jobs that failed
    /// together do not come back together.
    pub fn after(&mut self, outcome: Outcome, jitter: f64) -> Next {
        self.after_with_room(outcome, jitter, false)
    }

    /// The same where the limit came from an estimate: with `more_room` than that, the lightest plan that ran out
    /// of memory is tried again.
    pub fn after_with_room(&mut self, outcome: Outcome, jitter: f64, more_room: bool) -> Next {
        let last = self.rungs.saturating_sub(1);
        let rung = match outcome {
            Outcome::Exited | Outcome::Stalled | Outcome::Timeout | Outcome::Signaled => {
                return Next::Done;
            }
            Outcome::Oom if more_room && self.rung >= last => last,
            Outcome::Oom => self.rung + 1,
            Outcome::Pressure => self.rung,
        };
        if rung >= self.rungs {
            return Next::GiveUp(GiveUp::NothingLighter);
        }
        if !self.repeatable {
            return Next::GiveUp(GiveUp::NotRepeatable);
        }
        if self.retries_left == 0 {
            return Next::GiveUp(GiveUp::NoRetriesLeft);
        }
        self.retries_left -= 1;
        self.rung = rung;
        let after = if outcome == Outcome::Pressure {
            self.wait(jitter)
        } else {
            Duration::ZERO
        };
        Next::Retry { rung, after }
    }

    /// Decides what follows a stop of our own: a lighter plan if there is one, later. That is no failure of the job,
    /// so it costs no retry.
    pub fn after_stop(&mut self, jitter: f64) -> Next {
        if !self.repeatable {
            return Next::GiveUp(GiveUp::NotRepeatable);
        }
        self.rung = (self.rung + 1).min(self.rungs.saturating_sub(1));
        Next::Retry {
            rung: self.rung,
            after: self.wait(jitter),
        }
    }

    fn wait(&mut self, jitter: f64) -> Duration {
        let doubled = self.backoff.first.saturating_mul(1 << self.waits.min(16));
        self.waits = self.waits.saturating_add(1);
        doubled
            .min(self.backoff.longest)
            .mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn its_own_limit_leads_one_rung_down_until_none_is_left() {
        let mut ladder = Ladder::new(3, 1, 5, true);
        assert_eq!(
            ladder.after(Outcome::Oom, 0.0),
            Next::Retry {
                rung: 2,
                after: Duration::ZERO
            }
        );
        assert_eq!(
            ladder.after(Outcome::Oom, 0.0),
            Next::GiveUp(GiveUp::NothingLighter)
        );
    }

    #[test]
    fn a_full_machine_leads_to_the_same_rung_later() {
        let mut ladder = Ladder::new(3, 0, 3, true);
        let waits: Vec<Next> = (0..3)
            .map(|_| ladder.after(Outcome::Pressure, 0.0))
            .collect();
        let expected = [2, 4, 8].map(|secs| Next::Retry {
            rung: 0,
            after: Duration::from_secs(secs),
        });
        assert_eq!(waits, expected);
        assert_eq!(
            ladder.after(Outcome::Pressure, 0.0),
            Next::GiveUp(GiveUp::NoRetriesLeft)
        );
    }

    #[test]
    fn what_went_through_a_pipe_is_not_run_again() {
        let mut ladder = Ladder::new(4, 0, 3, false);
        assert!(!ladder.may_repeat());
        assert_eq!(
            ladder.after(Outcome::Oom, 0.0),
            Next::GiveUp(GiveUp::NotRepeatable)
        );
    }

    #[test]
    fn a_stop_of_ours_costs_no_retry_and_leads_to_a_lighter_plan_later() {
        let mut ladder = Ladder::new(2, 0, 0, true);
        let secs = Duration::from_secs;
        for after in [secs(2), secs(4), secs(8)] {
            assert_eq!(ladder.after_stop(0.0), Next::Retry { rung: 1, after });
        }
        assert_eq!(
            ladder.after(Outcome::Pressure, 0.0),
            Next::GiveUp(GiveUp::NoRetriesLeft)
        );
    }

    #[test]
    fn with_more_room_the_lightest_is_tried_again() {
        let mut ladder = Ladder::new(2, 0, 3, true);
        let after = Duration::ZERO;
        for rung in [1, 1] {
            let next = ladder.after_with_room(Outcome::Oom, 0.0, true);
            assert_eq!(next, Next::Retry { rung, after });
        }
        assert_eq!(
            ladder.after_with_room(Outcome::Oom, 0.0, false),
            Next::GiveUp(GiveUp::NothingLighter)
        );
    }

    #[test]
    fn only_memory_is_a_reason_to_try_again() {
        for outcome in [
            Outcome::Exited,
            Outcome::Stalled,
            Outcome::Timeout,
            Outcome::Signaled,
        ] {
            assert_eq!(Ladder::new(4, 0, 3, true).after(outcome, 0.0), Next::Done);
        }
    }

    proptest! {
        #[test]
        fn every_job_ends(
            rungs in 1usize..6, retries in 0u32..6, repeatable: bool,
            ends in proptest::collection::vec(prop_oneof![Just(Outcome::Oom), Just(Outcome::Pressure)], 32),
            jitter in 0.0f64..1.0,
        ) {
            let mut ladder = Ladder::new(rungs, 0, retries, repeatable);
            let mut attempts = 1;
            let mut lightest = 0;
            for end in ends {
                match ladder.after(end, jitter) {
                    Next::Retry { rung, after } => {
                        prop_assert!(rung < rungs && rung >= lightest);
                        prop_assert!(after <= BACKOFF.longest.mul_f64(1.25));
                        lightest = rung;
                        attempts += 1;
                    }
                    Next::GiveUp(_) => break,
                    Next::Done => prop_assert!(false, "out of memory is never done"),
                }
            }
            prop_assert!(attempts <= retries + 1);
        }
    }
}
