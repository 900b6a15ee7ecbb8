//! Plays one scenario: the world tells, the core decides, the world carries out, the checker watches.

use std::time::Duration;

use serde::Serialize;

use super::baseline::{self, Baselines};
use super::check::{Checker, Violation};
use super::expect::{Unmet, View};
use super::record::{Bar, Counts, Line, Point, Story, Tally};
use super::scenario::Scenario;
use super::world::{Next, Rules, World};
use crate::config::policy::Policy;
use crate::config::size::format_bytes;
use crate::core::{self, Action, Event, Settings, State};

/// How a scenario is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Whether baselines are played; none: up to [`MOST_FOR_BASELINES`] jobs.
    pub baselines: Option<bool>,
}

/// More jobs than this are played without baselines, which take dozens of runs, unless they are asked for.
pub const MOST_FOR_BASELINES: u64 = 20_000;
/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Played {
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's line for people.
    pub summary: String,
    /// The policy's name.
    pub policy: String,
    /// Memory of the machine, bytes.
    pub total_bytes: u64,
    /// It was cut off by the scenario's own `until`.
    pub cut_off: bool,
    /// Numbers.
    pub counts: Counts,
    /// The first violations.
    pub violations: Vec<Violation>,
    /// How many there were in all.
    pub violation_count: u64,
    /// Expectations that were not met.
    pub unmet: Vec<Unmet>,
    /// The same jobs with simpler deciders.
    pub baselines: Option<Baselines>,
    /// Decisions.
    pub timeline: Vec<Line>,
    /// Decisions that were not kept.
    pub dropped_lines: u64,
    /// Curves.
    pub curves: Vec<Point>,
    /// Attempts, the first of them.
    pub attempts: Vec<Bar>,
}

impl Played {
    /// Nothing happened that must not, and all came as expected.
    pub fn is_good(&self) -> bool {
        self.violation_count == 0 && self.unmet.is_empty()
    }
}

/// What the core is set to in a scenario.
pub fn settings(scenario: &Scenario) -> Settings {
    Settings {
        cpus: scenario.machine.cpus,
        workers: scenario.workers,
        memory_bytes: scenario.memory_bytes,
        floor_bytes: scenario.machine.floor_bytes,
        swap_bytes: scenario.machine.swap_bytes,
        seed: scenario.seed,
    }
}

/// Plays a scenario with a policy.
pub fn play(scenario: &Scenario, policy: &Policy, options: Options) -> Played {
    let settings = settings(scenario);
    let mut state = State::new(policy.clone(), settings);
    let mut step = |event, now| core::step(&mut state, event, now);
    let mut run = Run::new(scenario, policy, settings);
    run.drive(&mut step);
    let mut played = run.finish(policy);
    let few = scenario.jobs() <= MOST_FOR_BASELINES;
    // A run that was cut off has no makespan to compare.
    if options.baselines.unwrap_or(few) && !played.cut_off {
        played.baselines = Some(baseline::all(scenario, policy));
    }
    played
}

/// A run that is under way.
struct Run<'a> {
    scenario: &'a Scenario,
    world: World<'a>,
    checker: Checker<'a>,
    tally: Tally<'a>,
    story: Story<'a>,
    unmet: Vec<Unmet>,
    row: usize,
    before: View,
    patience: Duration,
    cut_off: bool,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, policy: &'a Policy, settings: Settings) -> Run<'a> {
        Run {
            scenario,
            world: World::new(scenario, Rules::of(policy)),
            checker: Checker::new(policy, settings, scenario.jobs()),
            tally: Tally::new(scenario),
            story: Story::new(scenario),
            unmet: Vec::new(),
            row: 0,
            before: View::default(),
            patience: baseline::patience(scenario),
            cut_off: false,
        }
    }

    fn drive(&mut self, step: &mut dyn FnMut(Event, Duration) -> Vec<Action>) {
        loop {
            let row = self.scenario.expect.rows.get(self.row);
            if row.is_none() && self.is_over() {
                break;
            }
            let until = self.scenario.until.unwrap_or(self.patience);
            let stop = row.map_or(until, |row| row.at.min(until));
            match self.world.next(stop) {
                Next::Event(event) => self.tell(event, step),
                Next::Quiet if row.is_some_and(|row| row.at <= stop) => self.check_row(),
                Next::Quiet => {
                    self.cut_off = self.scenario.until.is_some_and(|until| until <= stop);
                    break;
                }
            }
        }
        if !self.cut_off {
            self.checker.over(self.world.now());
        }
    }

    /// All jobs have their end.
    fn is_over(&self) -> bool {
        let counts = &self.tally.counts;
        counts.finished() >= counts.jobs && self.world.running() == 0
    }

    fn tell(&mut self, event: Event, step: &mut dyn FnMut(Event, Duration) -> Vec<Action>) {
        let now = self.world.now();
        self.checker.event(&event, now);
        self.tally.event(&event);
        self.story.event(&event, now);
        let actions = step(event, now);
        for action in &actions {
            self.checker.action(action, now);
            self.tally.action(action, now);
            self.story.action(action, now);
            self.world.carry_out(action);
        }
        for kill in self.world.take_kills() {
            self.checker.killed(&kill, now);
            self.tally.killed();
            self.story.tell(
                format!(
                    "the machine is full, {} wanted: the kernel kills {}",
                    format_bytes(kill.wanted_bytes),
                    kill.attempt
                ),
                now,
            );
        }
        self.tally.after(&self.world);
        let counts = &self.tally.counts;
        self.story.after(
            &self.world,
            counts.submitted.saturating_sub(counts.finished()),
        );
    }

    fn check_row(&mut self) {
        let counts = &self.tally.counts;
        self.story.after(
            &self.world,
            counts.submitted.saturating_sub(counts.finished()),
        );
        if let Some(row) = self.scenario.expect.rows.get(self.row) {
            row.check(&self.story.view, &self.before, &mut self.unmet);
        }
        self.before = self.story.view;
        self.row += 1;
    }

    fn finish(mut self, policy: &Policy) -> Played {
        self.tally.after(&self.world);
        let total = self.scenario.machine.total_bytes;
        self.scenario
            .expect
            .end
            .check(&self.tally.counts, total, &mut self.unmet);
        for (said, times) in self.scenario.expect.decisions.iter().zip(&self.story.said) {
            said.check(*times, &mut self.unmet);
        }
        let (violations, violation_count) = self.checker.into_violations();
        Played {
            scenario: self.scenario.name.clone(),
            summary: self.scenario.summary.clone(),
            policy: policy.name.clone(),
            total_bytes: total,
            cut_off: self.cut_off,
            counts: self.tally.counts,
            violations,
            violation_count,
            unmet: self.unmet,
            baselines: None,
            timeline: self.story.lines,
            dropped_lines: self.story.dropped,
            curves: self.story.points,
            attempts: self.story.bars,
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
