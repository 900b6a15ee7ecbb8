//! The state of all jobs and of memory, and the one function that changes it.
//!
//! What is decided when nothing more than an event has to be booked stands here; new work is started in `admission`,
//! pressure is answered in `pressure`, and attempts that the core did not start are booked in `adopted`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::breaker::Breaker;
use super::budget;
use super::decision::Decision;
use super::event::{Event, Sample};
use super::fall::Fall;
use super::job::{AttemptId, Final, JobId};
use super::learn::Learned;
use super::level::{Levels, Measures};
use super::lives::Job;
use super::pressure::Relief;
use super::queue::Queue;
use super::running::Running;
use super::stall::Stalls;
use crate::config::policy::{Level, Policy, Stage};

/// Bytes per millisecond that other programs may take between two looks at memory: 2 GB/s. A benchmark can do three
/// times as much (earlyoom's measurement); what the looks miss, the slices' limits and PSI catch.
const FILL_RATE: u64 = 2_000_000;
/// How much more often than the policy's poll memory is looked at when the next stage is near.
const POLL_FASTER: u32 = 20;

/// What does not change while the core runs, besides the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Processors; at least 1.
    pub cpus: u32,
    /// Jobs at once that the user allows; none is as the policy says.
    pub workers: Option<u32>,
    /// Memory that all children may use together, bytes, if the user set it.
    pub memory_bytes: Option<u64>,
    /// The least limit that a slice may have, bytes.
    pub floor_bytes: u64,
    /// Swap of the machine, bytes: without any nothing is frozen.
    pub swap_bytes: u64,
    /// Stretches waits so that several cores do not act in step; any number.
    pub seed: u64,
}

/// Everything the core knows.
#[derive(Debug, Clone)]
pub struct State {
    pub(super) policy: Policy,
    pub(super) settings: Settings,
    /// Unfinished jobs.
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) queue: Queue,
    pub(super) running: BTreeMap<AttemptId, Running>,
    pub(super) levels: Levels,
    pub(super) stalls: Stalls,
    /// Of the last look.
    pub(super) measures: Measures,
    /// What other programs used then, bytes.
    pub(super) others_bytes: u64,
    pub(super) swap_free_bytes: u64,
    /// When that was.
    pub(super) measured_at: Option<Duration>,
    /// An attempt has been ended by memory since.
    pub(super) stale: bool,
    /// How fast memory is going.
    pub(super) fall: Fall,
    pub(super) relief: Relief,
    pub(super) breaker: Breaker,
    pub(super) learned: Learned,
    /// The most that ran at once when the level was last normal.
    pub(super) normal_running: u32,
    pub(super) draining: bool,
    pub(super) finished: u64,
    pub(super) next_attempt: u64,
    pub(super) next_age: u64,
    measure_asked: Option<Duration>,
    wake: Option<Duration>,
}

impl State {
    /// With nothing submitted and nothing measured. Nothing is started before the first `Measured`.
    pub fn new(policy: Policy, settings: Settings) -> State {
        State {
            levels: Levels::new(policy.stages.len(), policy.hold, policy.margin),
            breaker: Breaker::new(policy.breaker.clone()),
            policy,
            settings,
            jobs: BTreeMap::new(),
            queue: Queue::default(),
            running: BTreeMap::new(),
            stalls: Stalls::default(),
            measures: Measures::default(),
            others_bytes: 0,
            swap_free_bytes: 0,
            measured_at: None,
            stale: false,
            fall: Fall::default(),
            relief: Relief::default(),
            learned: Learned::default(),
            normal_running: 0,
            draining: false,
            finished: 0,
            next_attempt: 1,
            next_age: 0,
            measure_asked: None,
            wake: None,
        }
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The level now.
    pub fn level(&self) -> Level {
        self.stage().level
    }

    /// The stage in force, from 0.
    pub fn stage_index(&self) -> usize {
        self.levels.stage()
    }

    /// What was measured last.
    pub fn measures(&self) -> &Measures {
        &self.measures
    }

    /// Bytes that all children may use together now.
    pub fn budget_bytes(&self) -> u64 {
        let budget = budget::for_all(
            &self.policy.reserves,
            self.measures.total_bytes,
            self.others_bytes,
        );
        self.settings
            .memory_bytes
            .map_or(budget, |set| set.min(budget))
    }

    /// Bytes that are held for running attempts: what was reserved, or what they use if it is more.
    pub fn committed_bytes(&self) -> u64 {
        self.running
            .values()
            .map(Running::held)
            .fold(0, u64::saturating_add)
    }

    /// Attempts running, frozen and adopted ones included.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Jobs waiting.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn stage(&self) -> &Stage {
        // There is always a first stage: the policy was checked.
        &self.policy.stages[self.levels.stage().min(self.policy.stages.len() - 1)]
    }

    /// What children have in memory; what is in swap takes none of it.
    pub(super) fn children_bytes(&self) -> u64 {
        self.running
            .values()
            .map(|attempt| attempt.used.resident_bytes())
            .fold(0, u64::saturating_add)
    }

    fn measured(&mut self, sample: &Sample, now: Duration, actions: &mut Vec<Action>) {
        for (id, used) in &sample.attempts {
            let Some(attempt) = self.running.get_mut(id) else {
                continue;
            };
            attempt.measured(*used, now);
            let Some(job) = attempt.job.and_then(|job| self.jobs.get(&job)) else {
                continue;
            };
            let unknown = job.spec.rungs[attempt.rung].estimate_bytes.is_none();
            if unknown && attempt.is_settled(now) {
                self.learned.glimpse(job.spec.class, used.needs_bytes);
            }
        }
        let children_bytes = self.children_bytes();
        let used = sample.total_bytes.saturating_sub(sample.available_bytes);
        self.others_bytes = used.saturating_sub(children_bytes);
        self.swap_free_bytes = sample.swap_free_bytes;
        self.fall.measured(sample.available_bytes, now);
        self.measured_at = Some(now);
        self.stale = false;
        self.measure_asked = None;
        let (some_percent, full_percent) =
            self.stalls.share(now, sample.some_total, sample.full_total);
        self.measures = Measures {
            total_bytes: sample.total_bytes,
            available_bytes: sample.available_bytes,
            children_bytes,
            budget_bytes: 0,
            some_percent,
            full_percent,
            slice_percent: self
                .running
                .values()
                .map(Running::share)
                .fold(0.0, f64::max),
        };
        self.measures.budget_bytes = self.budget_bytes();
        let before = self.levels.stage();
        let why = self
            .levels
            .measure(&self.policy.stages, &self.measures, now);
        self.changed(before, why, now, actions);
    }

    /// Says so when another stage is in force.
    fn changed(
        &mut self,
        before: usize,
        why: Option<String>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let stage = self.levels.stage();
        if stage == before {
            return;
        }
        let (from, to) = (self.policy.stages[before].level, self.stage().level);
        let say = self.stage().say;
        let why = why.unwrap_or_default();
        actions.push(Action::Note(Decision::Level {
            from,
            to,
            stage,
            why,
            say,
        }));
        if stage > before
            && let Some(wait) = self.breaker.entered(to, now)
        {
            let why = format!("the level is {to}");
            actions.push(Action::Note(Decision::BreakerOpen { wait, why }));
        }
        self.tell(actions);
    }

    /// Running attempts that can be told get the batch size of the stage.
    fn tell(&mut self, actions: &mut Vec<Action>) {
        let share = self.stage().batch;
        for (id, attempt) in &mut self.running {
            let job = attempt.job.and_then(|job| self.jobs.get(&job));
            let Some(job) = job.filter(|job| job.spec.tellable) else {
                continue;
            };
            let batch = job.spec.batch.map(|range| share.batch(range));
            if batch.is_some() && batch != attempt.batch {
                attempt.batch = batch;
                actions.extend(batch.map(|batch| Action::Tell {
                    attempt: *id,
                    batch,
                }));
            }
        }
    }

    pub(super) fn ask_to_measure(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.measure_asked.is_none() {
            self.measure_asked = Some(now);
            actions.push(Action::Measure);
        }
    }

    /// The same though one was asked for before: what has happened since has to be in it.
    pub(super) fn measure_anew(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.measure_asked = None;
        self.ask_to_measure(now, actions);
    }

    pub(super) fn next_attempt_id(&mut self) -> AttemptId {
        self.next_attempt += 1;
        AttemptId(self.next_attempt - 1)
    }

    /// What follows from time alone.
    fn pass(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.queue.pass(now);
        if self.breaker.pass(now, self.level()) {
            actions.push(Action::Note(Decision::BreakerClosed));
        }
        if self.is_waiting() && self.look_due().is_some_and(|due| due <= now) {
            self.ask_to_measure(now, actions);
        }
    }

    fn is_waiting(&self) -> bool {
        !self.running.is_empty() || !self.queue.is_empty() || self.relief.is_acting()
    }

    /// When memory has to be looked at again: the sooner the less may go before the next stage begins.
    fn look_due(&self) -> Option<Duration> {
        let last = self.measure_asked.or(self.measured_at);
        let poll = self.policy.poll;
        let headroom = self.levels.headroom(&self.policy.stages, &self.measures);
        let time = headroom.map_or(poll, |bytes| Duration::from_millis(bytes / FILL_RATE));
        Some(last.map_or(Duration::ZERO, |last| {
            last + time.clamp(poll / POLL_FASTER, poll)
        }))
    }

    fn wake(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let look = self.look_due().filter(|_| self.is_waiting());
        let times = [
            look,
            self.queue.next_time(),
            self.breaker.next_change(),
            self.relief_due(),
        ];
        let at = times.into_iter().flatten().filter(|at| *at > now).min();
        if at.is_some() && at != self.wake {
            actions.extend(at.map(|at| Action::Wake { at }));
        }
        self.wake = at;
    }
}

/// Takes in one event that happened at `now` (on any clock that does not go backwards) and says what to do. At most
/// one `Wake` is among it.
pub fn step(state: &mut State, event: Event, now: Duration) -> Vec<Action> {
    let mut actions = Vec::new();
    match event {
        Event::Submitted { job, spec } => state.submit(job, spec),
        Event::Cancelled { job } => state.cancel(job, &mut actions),
        Event::Adopted { attempt, started } => state.adopt(attempt, started, now),
        Event::Ended { attempt, end } => state.ended(attempt, end, now, &mut actions),
        Event::Measured(sample) => state.measured(&sample, now, &mut actions),
        Event::Triggered { full } => {
            let before = state.levels.stage();
            let why = state.levels.trigger(&state.policy.stages, full, now);
            state.changed(before, why, now, &mut actions);
            state.ask_to_measure(now, &mut actions);
        }
        Event::Relieved { relief, done } => state.relieved(relief, done, now, &mut actions),
        Event::ReliefAsked => state.relief.ask(now),
        Event::Tick => {
            if state.wake.is_some_and(|at| at <= now) {
                state.wake = None;
            }
        }
        Event::Drain => {
            state.draining = true;
            for job in state.queue.drain() {
                state.finish(job, Final::Cancelled, 0, &mut actions);
            }
        }
    }
    state.pass(now, &mut actions);
    state.answer_pressure(now, &mut actions);
    state.admit(now, &mut actions);
    state.wake(now, &mut actions);
    actions
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
