//! The same jobs on the same machine with simpler deciders, to know what the core is worth: one job after the other,
//! every static number of workers, and an oracle.
//!
//! The oracle knows all peaks and all that other programs will do. It packs greedily, the longest job first, so its
//! makespan is a bound in practice and not a proof: the best packing may be a little shorter, and a job that a policy
//! lets run on a lighter and quicker plan may beat it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::Serialize;

use super::record::{Counts, Tally};
use super::scenario::{Group, Scenario};
use super::world::{Next, Rules, World};
use crate::config::policy::Policy;
use crate::core::ladder::{GiveUp, Outcome};
use crate::core::{Action, AttemptId, Event, Final, JobId, Start};

/// What the baselines came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baselines {
    /// One job after the other.
    pub sequential: Baseline,
    /// The static number of workers that did best: fewest jobs lost, then soonest.
    pub best_static: Baseline,
    /// Every static number that was tried.
    pub statics: Vec<Baseline>,
    /// Knows everything.
    pub oracle: Baseline,
}

/// What one baseline came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baseline {
    /// Workers; none for the oracle.
    pub workers: Option<u32>,
    /// When the last job finished, seconds.
    pub makespan: f64,
    /// Jobs that were killed more often than they are retried, or did not finish in any time.
    pub lost: u64,
    /// Attempts that the kernel killed because the machine was full.
    pub kills: u64,
}

/// Static numbers above this are not tried.
const MOST_WORKERS: u32 = 64;
/// A run that takes this many times the work of all jobs one after the other goes round in circles.
const PATIENCE: u32 = 10;
/// What waits of a policy may add up to between the last jobs.
const LONGEST_WAITS: Duration = Duration::from_secs(2 * 3600);
/// Jobs that the oracle looks at, the longest first, when something has ended.
const ORACLE_DEPTH: usize = 512;

/// Plays all baselines.
pub fn all(scenario: &Scenario, policy: &Policy) -> Baselines {
    let most =
        u64::from(scenario.machine.cpus.saturating_mul(2).min(MOST_WORKERS)).min(scenario.jobs());
    let statics: Vec<Baseline> = (1..=u32::try_from(most).unwrap_or(MOST_WORKERS).max(1))
        .map(|workers| play(scenario, policy, Some(workers)))
        .collect();
    let best = statics.iter().min_by(|a, b| {
        (a.lost, a.makespan)
            .partial_cmp(&(b.lost, b.makespan))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let oracle = play(scenario, policy, None);
    let sequential = statics.first().cloned().unwrap_or_else(|| oracle.clone());
    Baselines {
        best_static: best.cloned().unwrap_or_else(|| sequential.clone()),
        sequential,
        statics,
        oracle,
    }
}

/// Virtual time after which a run stands still or goes round in circles: many times what all jobs take one after the
/// other, after all that happens by itself, and longer than any wait of a policy.
pub fn patience(scenario: &Scenario) -> Duration {
    let work = |group: &Group| {
        let longest = group.rungs.iter().map(|rung| rung.duration).max();
        let items = group.batch.map_or(1, |batch| batch.items.max(1));
        let each = longest.unwrap_or_default().as_secs_f64() * items as f64 * 2.0;
        each * group.count as f64
    };
    let all: f64 = scenario.groups.iter().map(work).sum();
    let last = scenario
        .groups
        .iter()
        .map(|group| group.arrival(group.count));
    let points = scenario.background.iter().map(|point| point.at);
    let stalls = scenario.stalls.iter().map(|stall| stall.at);
    let last = last.chain(points).chain(stalls).max().unwrap_or_default();
    let work = Duration::try_from_secs_f64(all * f64::from(PATIENCE)).unwrap_or(LONGEST);
    (last + LONGEST_WAITS).saturating_add(work).min(LONGEST)
}

fn play(scenario: &Scenario, policy: &Policy, workers: Option<u32>) -> Baseline {
    let mut world = World::new(scenario, Rules::default());
    let mut tally = Tally::new(scenario);
    let mut decider = Decider::new(scenario, policy, workers);
    let end = patience(scenario);
    while tally.counts.finished() < tally.counts.jobs && world.is_moving() {
        let Next::Event(event) = world.next(end) else {
            break;
        };
        tally.event(&event);
        let now = world.now();
        for action in decider.step(event, now) {
            tally.action(&action, now);
            world.carry_out(&action);
        }
        for _ in world.take_kills() {
            tally.killed();
        }
        // What fits nowhere now may fit when other programs have ended.
        if world.running() == 0 && !world.is_moving() {
            break;
        }
    }
    Baseline::of(workers, &tally.counts)
}

/// Virtual time that fits the clock with room to spare.
const LONGEST: Duration = Duration::from_secs(200 * 365 * 86_400);

impl Baseline {
    fn of(workers: Option<u32>, counts: &Counts) -> Baseline {
        Baseline {
            workers,
            makespan: counts.makespan.as_secs_f64(),
            lost: counts.out_of_memory + counts.unfinished(),
            kills: counts.kills,
        }
    }
}

/// Starts jobs by their true needs, or by number alone.
struct Decider<'a> {
    scenario: &'a Scenario,
    policy: &'a Policy,
    workers: Option<u32>,
    /// Jobs that wait, for a static number: by priority, then age.
    line: BTreeMap<Reverse<i32>, VecDeque<JobId>>,
    /// Jobs that wait, for the oracle: the longest first.
    longest: BTreeSet<(Reverse<Duration>, JobId)>,
    running: BTreeMap<AttemptId, Going>,
    kills: BTreeMap<JobId, u32>,
    attempts: u64,
}

#[derive(Clone, Copy)]
struct Going {
    job: JobId,
    peak_bytes: u64,
    cpu_milli: u32,
}

impl<'a> Decider<'a> {
    fn new(scenario: &'a Scenario, policy: &'a Policy, workers: Option<u32>) -> Decider<'a> {
        Decider {
            scenario,
            policy,
            workers,
            line: BTreeMap::new(),
            longest: BTreeSet::new(),
            running: BTreeMap::new(),
            kills: BTreeMap::new(),
            attempts: 0,
        }
    }

    fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Submitted { job, .. } => self.queue(job),
            Event::Ended { attempt, end } => {
                let Some(going) = self.running.remove(&attempt) else {
                    return actions;
                };
                let job = going.job;
                match end.outcome {
                    Outcome::Pressure | Outcome::Oom => {
                        let kills = self.kills.entry(job).or_insert(0);
                        *kills += 1;
                        let retries = self
                            .scenario
                            .drawn(job)
                            .map_or(0, |(group, _)| group.retries);
                        if *kills <= retries {
                            self.queue(job);
                        } else {
                            let end = Final::OutOfMemory {
                                why: GiveUp::NoRetriesLeft,
                                needs_bytes: going.peak_bytes,
                                budget_bytes: self.scenario.machine.total_bytes,
                            };
                            actions.push(Action::Finish { job, end });
                        }
                    }
                    _ if end.success => actions.push(Action::Finish {
                        job,
                        end: Final::Done,
                    }),
                    outcome => actions.push(Action::Finish {
                        job,
                        end: Final::Failed(outcome),
                    }),
                }
            }
            _ => {}
        }
        match self.workers {
            Some(workers) => self.start_by_number(workers, &mut actions),
            None => self.start_by_need(now, &mut actions),
        }
        actions
    }

    fn queue(&mut self, job: JobId) {
        let Some((group, drawn)) = self.scenario.drawn(job) else {
            return;
        };
        if self.workers.is_some() {
            self.line
                .entry(Reverse(group.priority))
                .or_default()
                .push_back(job);
        } else {
            let duration = group.duration(&drawn, 0, self.batch(job));
            self.longest.insert((Reverse(duration), job));
        }
    }

    fn start_by_number(&mut self, workers: u32, actions: &mut Vec<Action>) {
        while self.running.len() < workers as usize {
            let Some(mut first) = self.line.first_entry() else {
                return;
            };
            let job = first.get_mut().pop_front();
            if first.get().is_empty() {
                first.remove();
            }
            if let Some(job) = job {
                self.start(job, 0, actions);
            }
        }
    }

    fn start_by_need(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let mut taken = Vec::new();
        for (Reverse(duration), job) in self.longest.iter().take(ORACLE_DEPTH) {
            let cpus = u64::from(self.scenario.machine.cpus) * 1000;
            let busy: u64 = self
                .running
                .values()
                .map(|going| u64::from(going.cpu_milli))
                .sum();
            if busy >= cpus {
                break;
            }
            if let Some(rung) = self.fits(*job, *duration, cpus - busy, now) {
                taken.push((Reverse(*duration), *job));
                let going = self.going(*job, rung);
                self.attempts += 1;
                let attempt = AttemptId(self.attempts);
                self.running.insert(attempt, going);
                actions.push(self.start_action(attempt, *job, rung));
            }
        }
        for key in taken {
            self.longest.remove(&key);
        }
    }

    /// The heaviest plan that fits beside what runs until it is over, whatever other programs do.
    fn fits(&self, job: JobId, duration: Duration, cpus_left: u64, now: Duration) -> Option<usize> {
        let (group, _) = self.scenario.drawn(job)?;
        let others = self
            .scenario
            .most_background(now, now + duration.saturating_mul(2));
        let held: u64 = self.running.values().map(|going| going.peak_bytes).sum();
        let room = self
            .scenario
            .machine
            .total_bytes
            .saturating_sub(others)
            .saturating_sub(held);
        (0..group.rungs.len()).find(|rung| {
            let going = self.going(job, *rung);
            // A job that wants more processors than there are runs alone.
            let cpu = u64::from(going.cpu_milli) <= cpus_left || self.running.is_empty();
            going.peak_bytes <= room && cpu
        })
    }

    fn start(&mut self, job: JobId, rung: usize, actions: &mut Vec<Action>) {
        self.attempts += 1;
        let attempt = AttemptId(self.attempts);
        let going = self.going(job, rung);
        self.running.insert(attempt, going);
        actions.push(self.start_action(attempt, job, rung));
    }

    fn start_action(&self, attempt: AttemptId, job: JobId, rung: usize) -> Action {
        Action::Start(Start {
            job,
            attempt,
            rung,
            limit_bytes: u64::MAX,
            reserved_bytes: 0,
            batch: self.batch(job),
            segment: self.policy.segment.length,
        })
    }

    fn going(&self, job: JobId, rung: usize) -> Going {
        let Some((group, drawn)) = self.scenario.drawn(job) else {
            return Going {
                job,
                peak_bytes: 0,
                cpu_milli: 0,
            };
        };
        let memory = group.peak_bytes(&drawn, rung, self.batch(job), self.policy.segment.length);
        Going {
            job,
            peak_bytes: memory + group.cache_bytes,
            cpu_milli: group.rungs.get(rung).map_or(0, |rung| rung.cpu_milli),
        }
    }

    fn batch(&self, job: JobId) -> Option<u32> {
        let (group, _) = self.scenario.drawn(job)?;
        group.batch.map(|batch| batch.range.maximum)
    }
}
