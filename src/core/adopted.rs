//! Attempts that the core did not start: processes that a shell has found and holds to the policy.
//!
//! They are in the list of what runs, so pressure is answered with them as with any other. What makes an attempt a
//! job's is left out: no reservation, no place among the workers, no retry, no lesson for the breaker or for estimates.

use std::time::Duration;

use super::job::AttemptId;
use super::lives::Job;
use super::running::Running;
use super::state::State;

impl State {
    /// Books one. A name that is not an adopted one's, or is in use, books nothing.
    pub(super) fn adopt(&mut self, attempt: AttemptId, started: Duration, now: Duration) {
        if attempt.is_adopted() {
            self.running
                .entry(attempt)
                .or_insert_with(|| Running::adopted(started.min(now)));
        }
    }

    /// Attempts running that the core has started.
    pub(super) fn started_by_us(&self) -> usize {
        self.running
            .values()
            .filter(|attempt| !attempt.is_adopted())
            .count()
    }

    /// What adopted ones need together, bytes.
    pub(super) fn adopted_bytes(&self) -> u64 {
        self.running
            .values()
            .filter(|attempt| attempt.is_adopted())
            .map(|attempt| attempt.used.needs_bytes)
            .fold(0, u64::saturating_add)
    }

    /// The job of an attempt; none for an adopted one.
    pub(super) fn job_of(&self, attempt: &Running) -> Option<&Job> {
        self.jobs.get(&attempt.job?)
    }
}

#[cfg(test)]
#[path = "adopted_tests.rs"]
mod tests;
