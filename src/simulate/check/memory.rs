//! The budget and the thresholds of the policy, computed anew from what the core is told.

use std::time::Duration;

use super::{Checker, Run};
use crate::config::policy::Thresholds;
use crate::config::size::Size;
use crate::core::Sample;

impl Checker<'_> {
    pub(super) fn measured(&mut self, sample: &Sample, now: Duration) {
        for (attempt, usage) in &sample.attempts {
            if let Some(run) = self.runs.get_mut(attempt) {
                run.needs_bytes = usage.needs_bytes;
            }
        }
        let used = sample.total_bytes.saturating_sub(sample.available_bytes);
        let needs: u64 = self.runs.values().map(|run| run.needs_bytes).sum();
        self.budget_bytes = self.budget(sample.total_bytes, used.saturating_sub(needs));
        let share = |run: &Run| run.needs_bytes as f64 * 100.0 / run.limit_bytes.max(1) as f64;
        let measures = Measures {
            total_bytes: sample.total_bytes,
            used_bytes: used,
            needs_bytes: needs,
            budget_bytes: self.budget_bytes,
            slice: self.runs.values().map(share).fold(0.0, f64::max),
            margin: self.policy.margin,
        };
        for (stage, above) in self.policy.stages.iter().zip(&mut self.above) {
            if measures.not_below(&stage.enter) {
                *above = now;
            }
        }
        self.look_at_frozen(now);
    }

    /// For children: all, less what stays free, less what others use or what is set aside for them.
    fn budget(&self, total: u64, others: u64) -> u64 {
        let share = |for_others: bool| -> u64 {
            let reserves = self
                .policy
                .reserves
                .iter()
                .filter(|reserve| reserve.for_others == for_others);
            reserves
                .map(|reserve| {
                    reserve
                        .share
                        .resolve(total)
                        .min(reserve.at_most.unwrap_or(u64::MAX))
                })
                .sum()
        };
        let budget = total
            .saturating_sub(share(false))
            .saturating_sub(share(true).max(others));
        budget.min(self.settings.memory_bytes.unwrap_or(u64::MAX))
    }
}

/// What thresholds are compared with. Stalls are left out: they do not end at a moment.
struct Measures {
    total_bytes: u64,
    used_bytes: u64,
    needs_bytes: u64,
    budget_bytes: u64,
    slice: f64,
    margin: f64,
}

impl Measures {
    /// Whether any threshold less the margin is still met.
    fn not_below(&self, enter: &Thresholds) -> bool {
        let above = |threshold: Option<Size>, value: u64, whole: u64| match threshold {
            None => false,
            Some(Size::Percent(percent)) => {
                value as f64 * 100.0 / whole.max(1) as f64 >= percent - self.margin
            }
            Some(Size::Bytes(bytes)) => value as f64 >= bytes as f64 * (1.0 - self.margin / 100.0),
        };
        let available = self.total_bytes.saturating_sub(self.used_bytes);
        let scarce = match enter.available {
            None => false,
            Some(Size::Percent(percent)) => {
                available as f64 * 100.0 / self.total_bytes.max(1) as f64 <= percent + self.margin
            }
            Some(Size::Bytes(bytes)) => {
                available as f64 <= bytes as f64 * (1.0 + self.margin / 100.0)
            }
        };
        above(enter.used, self.used_bytes, self.total_bytes)
            || above(enter.children, self.needs_bytes, self.budget_bytes)
            || scarce
            || enter
                .slice
                .is_some_and(|percent| self.slice >= percent - self.margin)
    }
}
