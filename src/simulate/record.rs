//! What is kept of a run: counts of everything, and of small runs the story: decisions, curves and bars. All of it is
//! bounded, whatever the number of jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::expect::View;
use super::scenario::Scenario;
use super::world::World;
use crate::config::policy::Level;
use crate::core::ladder::Outcome;
use crate::core::{Action, AttemptId, Decision, Event, Final, JobId};

/// Numbers of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Jobs of the scenario.
    pub jobs: u64,
    /// Jobs submitted.
    pub submitted: u64,
    /// Jobs done.
    pub done: u64,
    /// Jobs that failed by themselves.
    pub failed: u64,
    /// Jobs that ran out of memory for good.
    pub out_of_memory: u64,
    /// Jobs that were taken back.
    pub cancelled: u64,
    /// Attempts made.
    pub attempts: u64,
    /// Attempts that met their own limit.
    pub ooms: u64,
    /// Attempts stopped for memory, without those that the kernel killed.
    pub stops: u64,
    /// Attempts that the kernel killed because the machine was full.
    pub kills: u64,
    /// The most attempts at once.
    pub most_running: u64,
    /// The most memory of the machine in use, bytes.
    pub peak_used_bytes: u64,
    /// When the last job finished.
    #[serde(serialize_with = "seconds")]
    pub makespan: Duration,
    /// The longest that a job waited for its first start.
    #[serde(serialize_with = "seconds")]
    pub longest_wait: Duration,
    /// What the core was told.
    pub events: u64,
}

impl Counts {
    /// Jobs that have come to their end.
    pub fn finished(&self) -> u64 {
        self.done + self.failed + self.out_of_memory + self.cancelled
    }

    /// Jobs that have not.
    pub fn unfinished(&self) -> u64 {
        self.jobs.saturating_sub(self.finished())
    }
}

fn seconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}

/// Counts a run.
#[derive(Debug)]
pub struct Tally<'a> {
    scenario: &'a Scenario,
    /// So far.
    pub counts: Counts,
    started: Vec<bool>,
}

impl<'a> Tally<'a> {
    /// Of a run that begins.
    pub fn new(scenario: &'a Scenario) -> Tally<'a> {
        let jobs = scenario.jobs();
        Tally {
            scenario,
            counts: Counts {
                jobs,
                ..Counts::default()
            },
            started: vec![false; usize::try_from(jobs).unwrap_or(0)],
        }
    }

    /// What the core is told.
    pub fn event(&mut self, event: &Event) {
        self.counts.events += 1;
        match event {
            Event::Submitted { .. } => self.counts.submitted += 1,
            Event::Ended { end, .. } => match end.outcome {
                Outcome::Oom => self.counts.ooms += 1,
                Outcome::Pressure => self.counts.stops += 1,
                _ => {}
            },
            _ => {}
        }
    }

    /// What the core asks for.
    pub fn action(&mut self, action: &Action, now: Duration) {
        match action {
            Action::Start(start) => {
                self.counts.attempts += 1;
                let started = usize::try_from(start.job.0)
                    .ok()
                    .and_then(|index| self.started.get_mut(index));
                if started.is_some_and(|started| !std::mem::replace(started, true)) {
                    let wait = now.saturating_sub(self.scenario.arrival(start.job));
                    self.counts.longest_wait = self.counts.longest_wait.max(wait);
                }
            }
            Action::Finish { end, .. } => {
                match end {
                    Final::Done => self.counts.done += 1,
                    Final::Failed(_) => self.counts.failed += 1,
                    Final::OutOfMemory { .. } => self.counts.out_of_memory += 1,
                    Final::Cancelled => self.counts.cancelled += 1,
                }
                self.counts.makespan = now;
            }
            _ => {}
        }
    }

    /// The kernel killed: its end comes as one for memory, but nobody asked for it.
    pub fn killed(&mut self) {
        self.counts.kills += 1;
        self.counts.stops = self.counts.stops.saturating_sub(1);
    }

    /// After an event and all that it brought about.
    pub fn after(&mut self, world: &World<'_>) {
        self.counts.most_running = self.counts.most_running.max(world.running() as u64);
        self.counts.peak_used_bytes = world.peak_used_bytes();
    }
}

/// One line of the story.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// When, seconds.
    pub at: f64,
    /// Whether it is of more than one attempt: levels, relief, victims, the breaker.
    pub notable: bool,
    /// What.
    pub text: String,
}

/// A point of the curves. Between two kept points the most is told.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Point {
    /// When, seconds.
    pub at: f64,
    /// Memory of the machine in use, bytes.
    pub used_bytes: u64,
    /// What the children need, bytes.
    pub needs_bytes: u64,
    /// The budget as of the last start, bytes.
    pub budget_bytes: u64,
    /// The level.
    pub level: Level,
    /// Attempts that run.
    pub running: usize,
    /// Attempts that are frozen.
    pub frozen: usize,
}

/// An attempt from its start to its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// Its job.
    pub job: u64,
    /// What its jobs are called.
    pub group: String,
    /// On which plan.
    pub rung: usize,
    /// When it started, seconds.
    pub from: f64,
    /// When it ended, seconds; none if it had not.
    pub until: Option<f64>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// It succeeded.
    pub success: bool,
}

/// Lines that are kept, each of the notable and the others.
const MOST_LINES: usize = 10_000;
/// Points that are kept.
const MOST_POINTS: usize = 1_000;
/// Bars that are kept.
const MOST_BARS: usize = 500;
/// Characters of a line that are kept.
const LONGEST_LINE: usize = 400;

/// The story of a run.
#[derive(Debug)]
pub struct Story<'a> {
    scenario: &'a Scenario,
    /// Decisions, in order.
    pub lines: Vec<Line>,
    /// Lines that were not kept.
    pub dropped: u64,
    kept: [usize; 2],
    /// The curves.
    pub points: Vec<Point>,
    every: f64,
    /// The bars.
    pub bars: Vec<Bar>,
    open: BTreeMap<AttemptId, usize>,
    /// What there is now.
    pub view: View,
    /// How often each expected decision was made.
    pub said: Vec<u64>,
}

impl<'a> Story<'a> {
    /// Of a run that begins.
    pub fn new(scenario: &'a Scenario) -> Story<'a> {
        Story {
            scenario,
            lines: Vec::new(),
            dropped: 0,
            kept: [0, 0],
            points: Vec::new(),
            every: 0.0,
            bars: Vec::new(),
            open: BTreeMap::new(),
            view: View::default(),
            said: vec![0; scenario.expect.decisions.len()],
        }
    }

    /// What the core is told.
    pub fn event(&mut self, event: &Event, now: Duration) {
        if let Event::Ended { attempt, end } = event
            && let Some(bar) = self
                .open
                .remove(attempt)
                .and_then(|index| self.bars.get_mut(index))
        {
            (bar.until, bar.outcome, bar.success) =
                (Some(now.as_secs_f64()), Some(end.outcome), end.success);
        }
    }

    /// What the core asks for.
    pub fn action(&mut self, action: &Action, now: Duration) {
        match action {
            Action::Start(start) => {
                self.view.starts += 1;
                self.view.batch = start.batch;
                self.view.segment = Some(start.segment);
                self.view.rank = self.rank(start.job, start.rung);
                if self.bars.len() < MOST_BARS {
                    self.open.insert(start.attempt, self.bars.len());
                    self.bars.push(self.bar(start.job, start.rung, now));
                }
            }
            Action::Note(decision) => self.noted(decision, now),
            _ => {}
        }
    }

    /// Something that no decision tells.
    pub fn tell(&mut self, text: String, now: Duration) {
        self.line(true, text, now);
    }

    /// After an event and all that it brought about.
    pub fn after(&mut self, world: &World<'_>, submitted_and_unfinished: u64) {
        let total = self.scenario.machine.total_bytes.max(1);
        self.view.used = world.used_bytes() as f64 * 100.0 / total as f64;
        self.view.running = world.running();
        self.view.frozen = world.frozen();
        self.view.queued = submitted_and_unfinished.saturating_sub(world.running() as u64);
        self.point(Point {
            at: world.now().as_secs_f64(),
            used_bytes: world.used_bytes(),
            needs_bytes: world.needs_bytes(),
            budget_bytes: self.view.budget_bytes.unwrap_or(0),
            level: self.view.level,
            running: world.running(),
            frozen: world.frozen(),
        });
    }

    fn noted(&mut self, decision: &Decision, now: Duration) {
        let notable = match decision {
            Decision::Level { to, stage, .. } => {
                (self.view.level, self.view.stage) = (*to, *stage);
                true
            }
            Decision::Start { budget_bytes, .. } => {
                self.view.budget_bytes = Some(*budget_bytes);
                false
            }
            Decision::Requeue { .. } | Decision::Finish { .. } | Decision::Memory { .. } => false,
            _ => true,
        };
        if self.said.is_empty()
            && self
                .kept
                .get(usize::from(notable))
                .is_some_and(|kept| *kept >= MOST_LINES)
        {
            // Not even put into words: of a million jobs that is most of the time.
            self.dropped += 1;
            return;
        }
        let text = decision.to_string();
        for (said, times) in self.scenario.expect.decisions.iter().zip(&mut self.said) {
            *times += u64::from(said.is(now, &text));
        }
        self.line(notable, text, now);
    }

    fn line(&mut self, notable: bool, mut text: String, now: Duration) {
        match self.kept.get_mut(usize::from(notable)) {
            Some(kept) if *kept < MOST_LINES => *kept += 1,
            _ => {
                self.dropped += 1;
                return;
            }
        }
        if let Some((end, _)) = text.char_indices().nth(LONGEST_LINE) {
            text.truncate(end);
        }
        self.lines.push(Line {
            at: now.as_secs_f64(),
            notable,
            text,
        });
    }

    fn rank(&self, job: JobId, rung: usize) -> Option<u32> {
        let (group, _) = self.scenario.drawn(job)?;
        Some(group.rungs.get(rung)?.rank)
    }

    fn bar(&self, job: JobId, rung: usize, now: Duration) -> Bar {
        let group = self
            .scenario
            .drawn(job)
            .map_or("", |(group, _)| group.name.as_str());
        Bar {
            job: job.0,
            group: group.chars().take(64).collect(),
            rung,
            from: now.as_secs_f64(),
            until: None,
            outcome: None,
            success: false,
        }
    }

    /// Keeps a point; when there are too many, every other one goes into its neighbour.
    fn point(&mut self, point: Point) {
        match self.points.last_mut() {
            Some(last) if point.at - last.at < self.every || point.at <= last.at => {
                last.join(&point)
            }
            _ => self.points.push(point),
        }
        if self.points.len() > MOST_POINTS {
            let span = self.points.last().map_or(0.0, |last| last.at);
            self.every = (self.every * 2.0).max(span / MOST_POINTS as f64 * 2.0);
            let mut joined: Vec<Point> = Vec::with_capacity(MOST_POINTS);
            for point in self.points.drain(..) {
                match joined.last_mut() {
                    Some(last) if point.at - last.at < self.every => last.join(&point),
                    _ => joined.push(point),
                }
            }
            self.points = joined;
        }
    }
}

impl Point {
    fn join(&mut self, later: &Point) {
        *self = Point {
            at: self.at,
            used_bytes: self.used_bytes.max(later.used_bytes),
            needs_bytes: self.needs_bytes.max(later.needs_bytes),
            budget_bytes: later.budget_bytes,
            level: self.level.max(later.level),
            running: self.running.max(later.running),
            frozen: self.frozen.max(later.frozen),
        };
    }
}
