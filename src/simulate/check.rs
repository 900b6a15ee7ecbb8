//! Watches a run from outside and tells what must never happen. It reads events and actions, the policy, and nothing
//! of the core's own state, so that a mistake in the core does not hide itself.
//!
//! - `memory`: the budget and the thresholds, computed anew from each sample
//! - `starts`: what has to hold whenever an attempt is started
//! - `violation`: what is told

mod memory;
mod starts;
mod violation;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::violation::{Kind, MOST_TOLD, Violation};

use self::violation::Violations;
use super::world::Kill;
use crate::config::policy::{Level, Policy, ReliefKind};
use crate::config::size::format_bytes;
use crate::core::{Action, AttemptId, Decision, Event, JobId, ReliefId, Settings};

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
    violations: Violations,
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
            violations: Violations::default(),
        }
    }

    /// The first violations and how many there are in all.
    pub fn into_violations(self) -> (Vec<Violation>, u64) {
        self.violations.into_parts()
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
                    self.violations.tell(
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
                    self.violations.tell(
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
        self.violations.tell(
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
                self.violations.tell(
                    now,
                    Kind::Starved,
                    format!("{} {what}", JobId(index as u64)),
                );
            }
        }
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
            self.violations.tell(
                now,
                Kind::FrozenLong,
                format!("{attempt} is frozen for more than {allowed} s"),
            );
        }
    }

    fn stopped(&mut self, attempt: AttemptId, now: Duration) {
        let others = self
            .runs
            .iter()
            .any(|(id, run)| *id != attempt && !run.stopping);
        match self.runs.get_mut(&attempt) {
            None => self.violations.tell(
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
                    self.violations.tell(now, Kind::LastStopped, text);
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
                self.violations.tell(now, Kind::LeftEarly, text);
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
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
