//! Which stage of the policy is in force: entered at once, left only after a while below it.

use std::fmt::Write;
use std::time::Duration;

use crate::config::policy::{Stage, Thresholds, Trigger};
use crate::config::size::{Size, format_bytes};

/// Memory at one moment, in the measures that thresholds speak of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measures {
    /// All memory of the machine, bytes.
    pub total_bytes: u64,
    /// Available without swapping, bytes.
    pub available_bytes: u64,
    /// What children need together of memory, bytes; what is in swap does not count.
    pub children_bytes: u64,
    /// What children may need together, bytes.
    pub budget_bytes: u64,
    /// Percent of the last seconds in which some task waited for memory, where known.
    pub some_percent: Option<f64>,
    /// The same for all tasks.
    pub full_percent: Option<f64>,
    /// The highest share of its own limit that any slice needs, percent.
    pub slice_percent: f64,
}

impl Measures {
    /// Memory of the machine in use, bytes.
    pub fn used_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.available_bytes)
    }

    /// The same in percent.
    pub fn used_percent(&self) -> f64 {
        percent(self.used_bytes(), self.total_bytes)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// Follows the stages of one policy.
#[derive(Debug, Clone)]
pub struct Levels {
    /// For each stage: whether it is in force, and since when its measures are below what it is left at.
    stages: Vec<Following>,
    hold: Duration,
    margin: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Following {
    active: bool,
    below_since: Option<Duration>,
}

impl Levels {
    /// For a policy with so many stages. Nothing has been measured: the first stage is in force.
    pub fn new(stages: usize, hold: Duration, margin: f64) -> Levels {
        Levels {
            stages: vec![Following::default(); stages.max(1)],
            hold,
            margin,
        }
    }

    /// The stage in force, from 0.
    pub fn stage(&self) -> usize {
        self.stages
            .iter()
            .rposition(|stage| stage.active)
            .unwrap_or(0)
    }

    /// Takes in new measures; the measure that put the present stage in force, where one did now.
    pub fn measure(
        &mut self,
        stages: &[Stage],
        measures: &Measures,
        now: Duration,
    ) -> Option<String> {
        let before = self.stage();
        let mut reason = None;
        for place in 1..self.stages.len().min(stages.len()) {
            let counted = self.counted(stages, place);
            let following = &mut self.stages[place];
            if let Some(why) = met(&counted, measures, None) {
                following.active = true;
                following.below_since = None;
                reason = Some(why);
            } else if following.active {
                if met(&counted, measures, Some(self.margin)).is_some() {
                    following.below_since = None;
                } else {
                    let since = *following.below_since.get_or_insert(now);
                    following.active = now.saturating_sub(since) < self.hold;
                }
            }
        }
        match self.stage() {
            stage if stage > before => reason,
            stage if stage < before => Some(format!(
                "below its threshold for {:.0} s, {:.1} % in use",
                self.hold.as_secs_f64(),
                measures.used_percent()
            )),
            _ => None,
        }
    }

    /// The thresholds of a stage that count now. Lost time tells of a busy disk as well as of little memory: it leads
    /// from a stage that was entered for memory to a higher one, and into a first one, but not past one that memory
    /// has not reached.
    pub(super) fn counted(&self, stages: &[Stage], place: usize) -> Thresholds {
        let enter = stages[place].enter.clone();
        let mut lighter = (1..place).filter(|lighter| stages[*lighter].enter.looks_at_memory());
        let first = lighter.clone().next().is_none();
        if first || lighter.any(|lighter| self.stages[lighter].active) {
            return enter;
        }
        Thresholds {
            some_avg10: None,
            full_avg10: None,
            trigger: None,
            ..enter
        }
    }

    /// Bytes of the machine's memory that may go before a further stage is entered; none if no further stage looks at
    /// them.
    pub fn headroom(&self, stages: &[Stage], measures: &Measures) -> Option<u64> {
        let total = measures.total_bytes;
        let room = |enter: &Thresholds| {
            let used = enter
                .used
                .map(|limit| total.saturating_sub(limit.resolve(total)));
            let available = enter.available.map(|limit| limit.resolve(total));
            let at = used.into_iter().chain(available).max()?;
            Some(measures.available_bytes.saturating_sub(at))
        };
        let inactive = self
            .stages
            .iter()
            .zip(stages)
            .filter(|(following, _)| !following.active);
        inactive.filter_map(|(_, stage)| room(&stage.enter)).min()
    }

    /// A kernel trigger fired: every stage that waits for it is in force for the hold time at least.
    pub fn trigger(&mut self, stages: &[Stage], full: bool, now: Duration) -> Option<String> {
        let before = self.stage();
        let mut reason = None;
        for place in 1..self.stages.len().min(stages.len()) {
            let trigger = self.counted(stages, place).trigger;
            let following = &mut self.stages[place];
            if let Some(trigger) = trigger.filter(|trigger| trigger.full == full) {
                following.active = true;
                following.below_since = Some(now);
                reason = Some(fired(&trigger));
            }
        }
        reason.filter(|_| self.stage() > before)
    }
}

fn fired(trigger: &Trigger) -> String {
    format!(
        "{} tasks waited {:?} within {:?} for memory",
        if trigger.full { "all" } else { "some" },
        trigger.stall,
        trigger.window
    )
}

/// The first threshold that is met, as a sentence. With `margin` the thresholds are those at which a stage is left.
pub fn met(thresholds: &Thresholds, measures: &Measures, margin: Option<f64>) -> Option<String> {
    let total = measures.total_bytes;
    let less = margin.unwrap_or(0.0);
    let size = |bytes: u64, of: u64, limit: Size| match limit {
        Size::Percent(limit) => percent(bytes, of) >= (limit - less).max(0.0),
        Size::Bytes(limit) => bytes as f64 >= limit as f64 * (1.0 - less / 100.0),
    };
    let at = |what: &str, bytes: u64, of: u64, limit: Size| {
        let mut text = format!("{what} {}", format_bytes(bytes));
        // Writing to a string cannot fail.
        let _ = write!(text, " ({:.1} %), threshold {limit}", percent(bytes, of));
        text
    };
    if let Some(limit) = thresholds.used
        && size(measures.used_bytes(), total, limit)
    {
        return Some(at("in use", measures.used_bytes(), total, limit));
    }
    if let Some(limit) = thresholds.children
        && size(measures.children_bytes, measures.budget_bytes, limit)
    {
        let (bytes, budget) = (measures.children_bytes, measures.budget_bytes);
        return Some(at("children need", bytes, budget, limit));
    }
    if let Some(limit) = thresholds.available {
        let short = match limit {
            Size::Percent(limit) => percent(measures.available_bytes, total) <= limit + less,
            Size::Bytes(limit) => {
                measures.available_bytes as f64 <= limit as f64 * (1.0 + less / 100.0)
            }
        };
        if short {
            return Some(at("available", measures.available_bytes, total, limit));
        }
    }
    let share = |name: &str, measured: Option<f64>, limit: Option<f64>| {
        let (measured, limit) = (measured?, limit?);
        // A threshold below the margin would never be left.
        let leave = (limit - less).max(limit / 2.0);
        let threshold = if margin.is_some() { leave } else { limit };
        (measured >= threshold).then(|| format!("{name} {measured:.1} %, threshold {limit} %"))
    };
    share(
        "some tasks waited for memory",
        measures.some_percent,
        thresholds.some_avg10,
    )
    .or_else(|| {
        share(
            "all tasks waited for memory",
            measures.full_percent,
            thresholds.full_avg10,
        )
    })
    .or_else(|| {
        share(
            "a slice needs of its limit",
            Some(measures.slice_percent),
            thresholds.slice,
        )
    })
}

#[cfg(test)]
#[path = "level_tests.rs"]
mod tests;
