//! What has to hold whenever an attempt is started: its job waits, and there is room for it by every rule.

use std::time::Duration;

use super::violation::Kind;
use super::{Checker, FINAL, RUNNING, Run, STARTED, SUBMITTED};
use crate::config::policy::{BaseWorkers, Share};
use crate::config::size::format_bytes;
use crate::core::Start;

/// Bytes by which two ways to compute a budget from percentages may differ.
const ROUNDING: u64 = 1 << 20;

impl Checker<'_> {
    pub(super) fn started(&mut self, start: &Start, now: Duration) {
        let state = self.state(start.job);
        if state & (SUBMITTED | RUNNING | FINAL) != SUBMITTED {
            self.violations.tell(
                now,
                Kind::Twice,
                format!(
                    "{} was started while it ran, after its end, or unknown",
                    start.job
                ),
            );
        }
        self.mark(start.job, STARTED | RUNNING);
        let run = Run {
            job: start.job,
            reserved_bytes: start.reserved_bytes,
            limit_bytes: start.limit_bytes,
            needs_bytes: 0,
            frozen_since: None,
            stopping: false,
            told: false,
        };
        if self.runs.insert(start.attempt, run).is_some() {
            self.violations.tell(
                now,
                Kind::Senseless,
                format!("{} was started twice", start.attempt),
            );
        }
        let reserved: u64 = self.runs.values().map(|run| run.reserved_bytes).sum();
        if reserved > self.budget_bytes.saturating_add(ROUNDING) {
            let (reserved, budget) = (format_bytes(reserved), format_bytes(self.budget_bytes));
            self.violations.tell(
                now,
                Kind::OverBudget,
                format!("{}: {reserved} reserved of {budget}", start.attempt),
            );
        }
        self.check_workers(start, now);
    }

    fn check_workers(&mut self, start: &Start, now: Duration) {
        let Some(stage) = self.policy.stages.get(self.stage) else {
            return;
        };
        let by_stage = match (stage.workers, self.base()) {
            (share, Some(base)) => Some(share.of(base)),
            (Share::Percent(0) | Share::Count(0), None) => Some(0),
            (Share::Count(count), None) => Some(count),
            (Share::Percent(_), None) => None,
        };
        let lifted = stage
            .after_relief
            .as_ref()
            .is_some_and(|after| after.even_above.is_some());
        let allowed = match (by_stage, self.sequential) {
            (Some(0), Some(workers)) if lifted => Some(workers),
            (by_stage, Some(workers)) => Some(by_stage.map_or(workers, |most| most.min(workers))),
            (by_stage, None) => by_stage,
        };
        let going = self
            .runs
            .values()
            .filter(|run| run.frozen_since.is_none() && !run.stopping)
            .count();
        let level = stage.level;
        if allowed == Some(0) {
            self.violations.tell(
                now,
                Kind::StartedPaused,
                format!(
                    "{} at level {level}, where nothing may start",
                    start.attempt
                ),
            );
        } else if let Some(allowed) = allowed.filter(|allowed| going > *allowed as usize) {
            let text = format!(
                "{} is the {going}. at once, level {level} allows {allowed}",
                start.attempt
            );
            self.violations.tell(now, Kind::TooManyWorkers, text);
        }
        if self.breaker_open && self.probe != Some(start.job) {
            self.violations.tell(
                now,
                Kind::StartedPaused,
                format!("{} while the breaker is open", start.attempt),
            );
        }
    }

    /// Jobs at once at level normal, if it is a number.
    fn base(&self) -> Option<u32> {
        match (self.settings.workers, self.policy.workers) {
            (Some(workers), _) | (None, BaseWorkers::Count(workers)) => Some(workers),
            (None, BaseWorkers::Auto) => None,
        }
    }
}
