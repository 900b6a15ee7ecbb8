//! The virtual machine: memory, processors, children, and the queue of what happens when. It carries out what the
//! core (or a baseline) asks for and tells it what happened. It decides nothing.
//!
//! Time is in nanoseconds. All children that get on share the processors in proportion to what they want, so all are
//! slowed down by the same factor: one service clock runs for all of them, and what is foreseen on it stays in order
//! when that factor changes. Memory runs evenly between two turns, so the moment a limit is met is computed, not
//! searched for. Each thing that happens costs the logarithm of how much is foreseen.

mod memory;
mod relief;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use self::memory::Sums;
use super::attempt::Attempt;
use super::scenario::{FaultKind, Group, Scenario, Stall};
use crate::config::policy::{Policy, ReliefKind, Trigger};
use crate::core::ladder::Outcome;
use crate::core::{Action, AttemptId, End, Event, JobId, ReliefId, Start};

/// A measurement that is asked for takes this long: what is asked at every look must not stop the clock.
const MEASURING: u64 = 1_000_000;
/// After so many changes the sums over all children are made anew, against rounding.
const RESUM: u32 = 256;

/// What the shell takes from a policy. A baseline has no policy, looks at nothing and waits for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Time between two looks at memory; none looks at none.
    pub poll: Option<Duration>,
    /// How long a relief may take.
    pub relief_timeout: Duration,
    /// Kernel triggers.
    pub triggers: Vec<Trigger>,
}

impl Rules {
    /// As a policy says.
    pub fn of(policy: &Policy) -> Rules {
        Rules {
            poll: Some(policy.poll.max(Duration::from_millis(1))),
            relief_timeout: policy.relief.timeout,
            triggers: policy
                .stages
                .iter()
                .filter_map(|stage| stage.enter.trigger)
                .collect(),
        }
    }
}

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

/// A moment on the service clock. Never NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Service(f64);

impl Eq for Service {}

impl PartialOrd for Service {
    fn partial_cmp(&self, other: &Service) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Service {
    fn cmp(&self, other: &Service) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Arrival { group: usize, index: u64 },
    Background(usize),
    Stall(usize),
    Trigger { trigger: usize, stall: usize },
    Stopped(AttemptId),
    Relieved(ReliefId),
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
    order: u64,
    timers: BinaryHeap<Reverse<(u64, u64, Timer)>>,
    /// Timers that change something, unlike triggers that repeat.
    pending: usize,
    turns: BinaryHeap<Reverse<(Service, u64, AttemptId, u32)>>,
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
            order: 0,
            timers: BinaryHeap::new(),
            pending: 0,
            turns: BinaryHeap::new(),
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
            world.set_timer(nanos(point.at), Timer::Background(index));
        }
        for (index, stall) in scenario.stalls.iter().enumerate() {
            world.set_timer(nanos(stall.at), Timer::Stall(index));
        }
        for (group, jobs) in scenario.groups.iter().enumerate() {
            if jobs.count > 0 {
                world.set_timer(nanos(jobs.at), Timer::Arrival { group, index: 0 });
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
        self.pending > 0 || !self.ready.is_empty() || !self.running.is_empty()
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
        while let Some(Reverse((_, _, attempt, generation))) = self.turns.peek() {
            if self
                .running
                .get(attempt)
                .is_some_and(|attempt| attempt.generation == *generation)
            {
                break;
            }
            self.turns.pop();
        }
        let turn = self.turns.peek().map(|Reverse((at, ..))| {
            let seconds = ((at.0 - self.service) / self.rate).max(0.0);
            self.now.saturating_add(ceil_nanos(seconds))
        });
        let timer = self.timers.peek().map(|Reverse((at, ..))| *at);
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
                let Some(Reverse((at, _, id, _))) = self.turns.pop() else {
                    return;
                };
                // The clock is in whole nanoseconds and may be a little ahead.
                self.service = self.service.max(at.0);
                let end = self
                    .change(id, |attempt, service| attempt.take_turn(service))
                    .flatten();
                if let Some((outcome, success)) = end {
                    self.end(id, outcome, success);
                }
            }
            Coming::Timer => {
                let Some(Reverse((_, _, timer))) = self.timers.pop() else {
                    return;
                };
                if !matches!(timer, Timer::Trigger { .. }) {
                    self.pending -= 1;
                }
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
                    self.set_timer(
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

    fn start(&mut self, start: &Start) {
        let Some((group, drawn)) = self.scenario.drawn(start.job) else {
            return;
        };
        let earlier = if group.fault.is_some() {
            let made = self.made.entry(start.job).or_insert(0);
            *made += 1;
            *made - 1
        } else {
            0
        };
        if group
            .fault_of(&drawn, earlier)
            .is_some_and(|fault| fault.kind == FaultKind::Start)
        {
            let end = End {
                outcome: Outcome::Exited,
                success: false,
                peak_bytes: 0,
                cpu: Duration::ZERO,
            };
            self.ready.push_back(Event::Ended {
                attempt: start.attempt,
                end,
            });
            return;
        }
        let attempt = Attempt::new(group, drawn, start, earlier, self.service);
        self.sums.add(&attempt, self.service);
        self.foresee(start.attempt, &attempt);
        self.running.insert(start.attempt, attempt);
    }

    /// Ends an attempt, if it is still there.
    fn end(&mut self, id: AttemptId, outcome: Outcome, success: bool) {
        let Some(mut attempt) = self.running.remove(&id) else {
            return;
        };
        self.sums.take(&attempt, self.service);
        attempt.set(attempt.frozen, attempt.stopping, self.service);
        let end = End {
            outcome,
            success,
            peak_bytes: attempt.peak as u64,
            cpu: Duration::from_secs_f64(attempt.cpu_at(self.service).max(0.0)),
        };
        if self.running.is_empty() {
            self.sums = Sums::default();
        }
        self.ready.push_back(Event::Ended { attempt: id, end });
    }

    /// Changes an attempt; the sums and what is foreseen follow.
    fn change<R>(
        &mut self,
        id: AttemptId,
        change: impl FnOnce(&mut Attempt, f64) -> R,
    ) -> Option<R> {
        let attempt = self.running.get_mut(&id)?;
        self.sums.take(attempt, self.service);
        let result = change(attempt, self.service);
        attempt.generation += 1;
        self.sums.add(attempt, self.service);
        let foreseen = attempt.foreseen();
        self.foresee_at(id, foreseen);
        self.changes += 1;
        if self.changes >= RESUM {
            self.resum();
        }
        Some(result)
    }

    fn foresee(&mut self, id: AttemptId, attempt: &Attempt) {
        self.foresee_at(id, attempt.foreseen());
    }

    fn foresee_at(&mut self, id: AttemptId, (turn, generation): (Option<f64>, u32)) {
        if let Some(turn) = turn {
            self.order += 1;
            self.turns
                .push(Reverse((Service(turn), self.order, id, generation)));
        }
    }

    fn set_timer(&mut self, at: u64, timer: Timer) {
        self.order += 1;
        if !matches!(timer, Timer::Trigger { .. }) {
            self.pending += 1;
        }
        self.timers.push(Reverse((at, self.order, timer)));
    }

    fn group(&self, attempt: &Attempt) -> Option<&'a Group> {
        self.scenario.groups.get(attempt.drawn.group)
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
