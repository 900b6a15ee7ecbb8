//! Watches a run from outside and tells what must never happen. It reads events and actions, the policy, and nothing
//! of the core's own state, so that a mistake in the core does not hide itself.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::world::Kill;
use crate::config::policy::{BaseWorkers, Level, Policy, ReliefKind, Share, Thresholds};
use crate::config::size::{Size, format_bytes};
use crate::core::{Action, AttemptId, Decision, Event, JobId, ReliefId, Sample, Settings, Start};

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
/// Bytes by which two ways to compute a budget from percentages may differ.
const ROUNDING: u64 = 1 << 20;

const SUBMITTED: u8 = 1;
const STARTED: u8 = 2;
const RUNNING: u8 = 4;
const FINAL: u8 = 8;

#[derive(Debug, Clone, Copy)]
struct Run {
    job: JobId,
    reserved_bytes: u64,
    limit_bytes: u64,
    needs_bytes: u64,
    frozen_since: Option<Duration>,
    stopping: bool,
    told: bool,
}

/// Watches one run.
#[derive(Debug)]
pub struct Checker<'a> {
    policy: &'a Policy,
    settings: Settings,
    jobs: Vec<u8>,
    runs: BTreeMap<AttemptId, Run>,
    freezes: BTreeMap<ReliefId, AttemptId>,
    stage: usize,
    /// For each stage when a measure was last not below its threshold less the margin.
    above: Vec<Duration>,
    budget_bytes: u64,
    sequential: Option<u32>,
    breaker_open: bool,
    probe: Option<JobId>,
    violations: Vec<Violation>,
    count: u64,
}

impl<'a> Checker<'a> {
    /// For a run of so many jobs, named from 0.
    pub fn new(policy: &'a Policy, settings: Settings, jobs: u64) -> Checker<'a> {
        Checker {
            policy,
            settings,
            jobs: vec![0; usize::try_from(jobs).unwrap_or(0)],
            runs: BTreeMap::new(),
            freezes: BTreeMap::new(),
            stage: 0,
            above: vec![Duration::ZERO; policy.stages.len()],
            budget_bytes: 0,
            sequential: None,
            breaker_open: false,
            probe: None,
            violations: Vec::new(),
            count: 0,
        }
    }

    /// The first violations and how many there are in all.
    pub fn into_violations(self) -> (Vec<Violation>, u64) {
        (self.violations, self.count)
    }

    /// What the core is told.
    pub fn event(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Submitted { job, .. } => self.mark(*job, SUBMITTED),
            Event::Ended { attempt, .. } => {
                if let Some(run) = self.runs.remove(attempt) {
                    self.unmark(run.job, RUNNING);
                }
            }
            Event::Measured(sample) => self.measured(sample, now),
            Event::Relieved { relief, done } => {
                if let Some(attempt) = self.freezes.remove(relief)
                    && *done
                    && let Some(run) = self.runs.get_mut(&attempt)
                {
                    run.frozen_since = Some(now);
                }
            }
            _ => {}
        }
    }

    /// What the core asks for.
    pub fn action(&mut self, action: &Action, now: Duration) {
        match action {
            Action::Start(start) => self.started(start, now),
            Action::Stop { attempt } => self.stopped(*attempt, now),
            Action::Relieve {
                relief,
                kind: ReliefKind::Freeze,
                attempts,
            } => {
                for attempt in attempts {
                    self.freezes.insert(*relief, *attempt);
                }
                if attempts
                    .iter()
                    .any(|attempt| !self.runs.contains_key(attempt))
                {
                    self.tell(
                        now,
                        Kind::Senseless,
                        "an attempt that does not run is to be frozen".to_owned(),
                    );
                }
            }
            Action::Thaw { attempt } => {
                if let Some(run) = self.runs.get_mut(attempt) {
                    run.frozen_since = None;
                }
            }
            Action::Finish { job, .. } => {
                if self.state(*job) & (SUBMITTED | FINAL) != SUBMITTED {
                    self.tell(
                        now,
                        Kind::Twice,
                        format!("{job} came to its end twice, or was never submitted"),
                    );
                }
                self.mark(*job, FINAL);
            }
            Action::Note(decision) => self.noted(decision, now),
            _ => {}
        }
    }

    /// The kernel killed.
    pub fn killed(&mut self, kill: &Kill, now: Duration) {
        let wanted = format_bytes(kill.wanted_bytes);
        self.tell(
            now,
            Kind::MachineFull,
            format!(
                "{} wanted at once, the kernel killed {}",
                wanted, kill.attempt
            ),
        );
    }

    /// The run is over by itself: every job must have its end.
    pub fn over(&mut self, now: Duration) {
        for index in 0..self.jobs.len() {
            let state = self.jobs.get(index).copied().unwrap_or(FINAL);
            if state & FINAL == 0 {
                let what = match state & STARTED {
                    0 => "was never started",
                    _ => "never came to its end",
                };
                self.tell(
                    now,
                    Kind::Starved,
                    format!("{} {what}", JobId(index as u64)),
                );
            }
        }
    }

    fn measured(&mut self, sample: &Sample, now: Duration) {
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

    fn look_at_frozen(&mut self, now: Duration) {
        let most = self.policy.relief.freeze_at_most + self.policy.poll;
        let mut late = Vec::new();
        for (attempt, run) in &mut self.runs {
            if !run.told && run.frozen_since.is_some_and(|since| now > since + most) {
                run.told = true;
                late.push(*attempt);
            }
        }
        for attempt in late {
            let allowed = self.policy.relief.freeze_at_most.as_secs_f64();
            self.tell(
                now,
                Kind::FrozenLong,
                format!("{attempt} is frozen for more than {allowed} s"),
            );
        }
    }

    fn started(&mut self, start: &Start, now: Duration) {
        let state = self.state(start.job);
        if state & (SUBMITTED | RUNNING | FINAL) != SUBMITTED {
            self.tell(
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
            self.tell(
                now,
                Kind::Senseless,
                format!("{} was started twice", start.attempt),
            );
        }
        let reserved: u64 = self.runs.values().map(|run| run.reserved_bytes).sum();
        if reserved > self.budget_bytes.saturating_add(ROUNDING) {
            let (reserved, budget) = (format_bytes(reserved), format_bytes(self.budget_bytes));
            self.tell(
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
            self.tell(
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
            self.tell(now, Kind::TooManyWorkers, text);
        }
        if self.breaker_open && self.probe != Some(start.job) {
            self.tell(
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

    fn stopped(&mut self, attempt: AttemptId, now: Duration) {
        let others = self
            .runs
            .iter()
            .any(|(id, run)| *id != attempt && !run.stopping);
        match self.runs.get_mut(&attempt) {
            None => self.tell(
                now,
                Kind::Senseless,
                format!("{attempt} is to be stopped and does not run"),
            ),
            Some(run) => {
                run.stopping = true;
                run.frozen_since = None;
                let needs = run.needs_bytes;
                if !others && needs <= self.budget_bytes {
                    let (needs, budget) = (format_bytes(needs), format_bytes(self.budget_bytes));
                    let text = format!("{attempt} is the last one and needs {needs} of {budget}");
                    self.tell(now, Kind::LastStopped, text);
                }
            }
        }
    }

    fn noted(&mut self, decision: &Decision, now: Duration) {
        match decision {
            Decision::Level { to, stage, .. } => self.level(*to, *stage, now),
            Decision::Sequential { workers, .. } => self.sequential = Some(*workers),
            Decision::BreakerOpen { .. } => (self.breaker_open, self.probe) = (true, None),
            Decision::BreakerProbe { job } => self.probe = Some(*job),
            Decision::BreakerClosed => self.breaker_open = false,
            _ => {}
        }
    }

    fn level(&mut self, to: Level, stage: usize, now: Duration) {
        for left in (stage + 1)..=self.stage {
            let since = self.above.get(left).copied().unwrap_or_default();
            if now < since + self.policy.hold {
                let level = self.policy.stages.get(left).map_or(to, |stage| stage.level);
                let text = format!(
                    "stage {left} ({level}) was left {:.1} s after it was last met, its hold time is {:.1} s",
                    (now - since).as_secs_f64(),
                    self.policy.hold.as_secs_f64()
                );
                self.tell(now, Kind::LeftEarly, text);
            }
        }
        for entered in (self.stage + 1)..=stage {
            if let Some(above) = self.above.get_mut(entered) {
                *above = now;
            }
        }
        self.stage = stage;
        if to == Level::Normal {
            self.sequential = None;
        }
    }

    fn state(&self, job: JobId) -> u8 {
        usize::try_from(job.0)
            .ok()
            .and_then(|index| self.jobs.get(index))
            .copied()
            .unwrap_or(0)
    }

    fn mark(&mut self, job: JobId, bits: u8) {
        if let Some(state) = usize::try_from(job.0)
            .ok()
            .and_then(|index| self.jobs.get_mut(index))
        {
            *state |= bits;
        }
    }

    fn unmark(&mut self, job: JobId, bits: u8) {
        if let Some(state) = usize::try_from(job.0)
            .ok()
            .and_then(|index| self.jobs.get_mut(index))
        {
            *state &= !bits;
        }
    }

    fn tell(&mut self, now: Duration, kind: Kind, text: String) {
        self.count += 1;
        if self.violations.len() < MOST_TOLD {
            self.violations.push(Violation {
                at: now.as_secs_f64(),
                kind,
                text,
            });
        }
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

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
