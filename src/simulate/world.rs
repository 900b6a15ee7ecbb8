//! The virtual machine: memory, processors, children, and the queue of what happens when. It carries out what the
//! core (or a baseline) asks for and tells it what happened. It decides nothing.
//!
//! Time is in nanoseconds. All children that get on share the processors in proportion to what they want, so all are
//! slowed down by the same factor: one service clock runs for all of them, and what is foreseen on it stays in order
//! when that factor changes. Memory runs evenly between two turns, so the moment a limit is met is computed, not
//! searched for. Each thing that happens costs the logarithm of how much is foreseen.
//!
//! - `rules`: what the machine is told of the policy
//! - `agenda`: what is foreseen, and when
//! - `children`: attempts from their start to their end
//! - `memory`: what is in use and when it is full; `relief`: what is done to running children

mod agenda;
mod children;
mod memory;
mod relief;
mod rules;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use self::rules::Rules;

use self::agenda::{Agenda, Timer};
use self::memory::Sums;
use super::attempt::Attempt;
use super::scenario::{Scenario, Stall};
use crate::config::policy::ReliefKind;
use crate::core::ladder::Outcome;
use crate::core::{Action, AttemptId, Event, JobId, ReliefId};

/// A measurement that is asked for takes this long: what is asked at every look must not stop the clock.
const MEASURING: u64 = 1_000_000;

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Something to be told.
    Event(Event),
    /// Nothing up to the moment that was given.
    Quiet,
}

/// The kernel killed a child because the machine was full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// Which.
    pub attempt: AttemptId,
    /// What was wanted, bytes.
    pub wanted_bytes: u64,
}

enum Coming {
    Turn,
    Timer,
    /// Memory in use crosses a border.
    Full,
    Wake,
    Measure,
}

/// The machine and all that is on it.
pub struct World<'a> {
    scenario: &'a Scenario,
    rules: Rules,
    now: u64,
    service: f64,
    rate: f64,
    agenda: Agenda,
    measure_at: Option<u64>,
    wake_at: Option<u64>,
    ready: VecDeque<Event>,
    running: BTreeMap<AttemptId, Attempt>,
    reliefs: BTreeMap<ReliefId, (ReliefKind, Vec<AttemptId>, bool)>,
    /// Attempts made, of jobs of groups with faults.
    made: BTreeMap<JobId, u32>,
    sums: Sums,
    changes: u32,
    background: f64,
    background_slope: f64,
    background_next: usize,
    stall: Stall,
    stalled: (f64, f64),
    peak_used: f64,
    kills: Vec<Kill>,
}

impl<'a> World<'a> {
    /// The machine of a scenario at its beginning.
    pub fn new(scenario: &'a Scenario, rules: Rules) -> World<'a> {
        let mut world = World {
            scenario,
            now: 0,
            service: 0.0,
            rate: 1.0,
            agenda: Agenda::default(),
            measure_at: rules.poll.map(|_| 0),
            wake_at: None,
            ready: VecDeque::new(),
            running: BTreeMap::new(),
            reliefs: BTreeMap::new(),
            made: BTreeMap::new(),
            sums: Sums::default(),
            changes: 0,
            background: 0.0,
            background_slope: 0.0,
            background_next: 0,
            stall: Stall {
                at: Duration::ZERO,
                some: 0.0,
                full: 0.0,
            },
            stalled: (0.0, 0.0),
            peak_used: 0.0,
            kills: Vec::new(),
            rules,
        };
        for (index, point) in scenario.background.iter().enumerate() {
            world.agenda.set(nanos(point.at), Timer::Background(index));
        }
        for (index, stall) in scenario.stalls.iter().enumerate() {
            world.agenda.set(nanos(stall.at), Timer::Stall(index));
        }
        for (group, jobs) in scenario.groups.iter().enumerate() {
            if jobs.count > 0 {
                world
                    .agenda
                    .set(nanos(jobs.at), Timer::Arrival { group, index: 0 });
            }
        }
        world.head_for_background();
        world
    }

    /// The time now.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// Memory in use, bytes: never more than there is.
    pub fn used_bytes(&self) -> u64 {
        self.wanted().min(self.total()) as u64
    }

    /// The most that was in use so far, bytes.
    pub fn peak_used_bytes(&self) -> u64 {
        self.peak_used.min(self.total()) as u64
    }

    /// What the children need together, bytes.
    pub fn needs_bytes(&self) -> u64 {
        self.sums.needs.max(0.0) as u64
    }

    /// Attempts that run, frozen ones included.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Attempts that are frozen.
    pub fn frozen(&self) -> usize {
        self.sums.frozen
    }

    /// Whether something is still to come by itself: arrivals, other programs, ends of attempts and reliefs.
    pub fn is_moving(&self) -> bool {
        self.agenda.has_changes() || !self.ready.is_empty() || !self.running.is_empty()
    }

    /// Kills by the kernel since this was last asked.
    pub fn take_kills(&mut self) -> Vec<Kill> {
        std::mem::take(&mut self.kills)
    }

    /// Goes on to what happens next, at `until` at the latest.
    pub fn next(&mut self, until: Duration) -> Next {
        let until = nanos(until);
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Next::Event(event);
            }
            match self.coming() {
                Some((at, what)) if at <= until => {
                    self.advance(at);
                    self.happen(what);
                    self.settle();
                }
                _ => {
                    self.advance(until.max(self.now));
                    return Next::Quiet;
                }
            }
        }
    }

    /// Does what is asked for.
    pub fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Start(start) => self.start(start),
            Action::Stop { attempt } => self.stop(*attempt),
            Action::Relieve {
                relief,
                kind,
                attempts,
            } => self.relieve(*relief, *kind, attempts),
            Action::Thaw { attempt } => {
                self.change(*attempt, |attempt, service| {
                    // All of it comes back at once: the worst that can happen.
                    attempt.swapped = 0.0;
                    attempt.set(false, attempt.stopping, service);
                });
            }
            Action::Tell { attempt, batch } => {
                let scenario = self.scenario;
                self.change(*attempt, |attempt, service| {
                    if let Some(group) = scenario.groups.get(attempt.drawn.group) {
                        attempt.tell(group, *batch, service);
                    }
                });
            }
            Action::Measure => {
                let soon = self.now + MEASURING;
                self.measure_at = self.measure_at.map(|at| at.min(soon));
            }
            Action::Wake { at } => self.wake_at = Some(nanos(*at)),
            Action::Finish { .. } | Action::Note(_) => {}
        }
        self.settle();
    }

    fn coming(&mut self) -> Option<(u64, Coming)> {
        let running = &self.running;
        let turn = self
            .agenda
            .next_turn(|id| running.get(&id).map(|one| one.generation));
        let turn = turn.map(|at| {
            let seconds = ((at - self.service) / self.rate).max(0.0);
            self.now.saturating_add(ceil_nanos(seconds))
        });
        let timer = self.agenda.next_timer();
        let past = |at: Option<u64>| at.map(|at| at.max(self.now));
        // At the same moment things happen in this order; a look at memory sees all of them.
        [
            (turn, Coming::Turn),
            (past(timer), Coming::Timer),
            (self.full_at(), Coming::Full),
            (past(self.wake_at), Coming::Wake),
            (past(self.measure_at), Coming::Measure),
        ]
        .into_iter()
        .filter_map(|(at, what)| Some((at?, what)))
        .min_by_key(|(at, _)| *at)
    }

    fn happen(&mut self, what: Coming) {
        match what {
            Coming::Full => {}
            Coming::Turn => {
                let Some((at, id)) = self.agenda.take_turn() else {
                    return;
                };
                // The clock is in whole nanoseconds and may be a little ahead.
                self.service = self.service.max(at);
                let end = self
                    .change(id, |attempt, service| attempt.take_turn(service))
                    .flatten();
                if let Some((outcome, success)) = end {
                    self.end(id, outcome, success);
                }
            }
            Coming::Timer => {
                let Some(timer) = self.agenda.take_timer() else {
                    return;
                };
                self.timer(timer);
            }
            Coming::Wake => {
                self.wake_at = None;
                self.ready.push_back(Event::Tick);
            }
            Coming::Measure => {
                self.measure_at = self.rules.poll.map(|poll| self.now + nanos(poll));
                let now = self.now();
                let lost = self
                    .scenario
                    .lost_samples
                    .iter()
                    .any(|(from, until)| (*from..*until).contains(&now));
                if !lost {
                    self.resum();
                    let sample = self.sample();
                    self.ready.push_back(Event::Measured(sample));
                }
            }
        }
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Arrival { group, index } => {
                let job = self.scenario.job_id(group, index);
                if let Some(spec) = self.scenario.spec(job) {
                    self.ready.push_back(Event::Submitted { job, spec });
                }
                if let Some(jobs) = self.scenario.groups.get(group)
                    && index + 1 < jobs.count
                {
                    let at = nanos(jobs.arrival(index + 1));
                    self.agenda.set(
                        at,
                        Timer::Arrival {
                            group,
                            index: index + 1,
                        },
                    );
                }
            }
            Timer::Background(index) => {
                if let Some(point) = self.scenario.background.get(index) {
                    self.background = point.bytes as f64;
                }
                self.background_next = index + 1;
                self.head_for_background();
            }
            Timer::Stall(index) => {
                if let Some(stall) = self.scenario.stalls.get(index) {
                    self.stall = *stall;
                }
                for trigger in 0..self.rules.triggers.len() {
                    self.timer(Timer::Trigger {
                        trigger,
                        stall: index,
                    });
                }
            }
            Timer::Trigger { trigger, stall } => self.trigger(trigger, stall),
            Timer::Stopped(attempt) => self.end(attempt, Outcome::Pressure, false),
            Timer::Relieved(relief) => self.relieved(relief),
        }
    }
}

/// A time in nanoseconds; half a thousand years fit.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn ceil_nanos(seconds: f64) -> u64 {
    // A cast of a float that is too large gives the largest number.
    (seconds * 1e9).ceil() as u64
}
