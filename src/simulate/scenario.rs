//! A scenario: a virtual machine, what other programs do on it, the jobs, what goes wrong, and what is expected of
//! the run. Reading the YAML is in `scenario_yaml`; the language is described in `docs/simulate.md`.

mod group;

use std::time::Duration;

pub use self::group::{
    Drawn, Estimate, Fault, FaultKind, Group, GroupBatch, GroupRung, Shape, Spike,
};

use super::draw;
use super::expect::Expect;
use crate::config::error::ContentError;
use crate::core::{JobId, JobSpec, Rung};

/// A checked scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// Every drawn number follows from it.
    pub seed: u64,
    /// The virtual machine.
    pub machine: Machine,
    /// Which policy is played.
    pub policy: PolicyChoice,
    /// Jobs at once that the user allows.
    pub workers: Option<u32>,
    /// Memory of all children together that the user allows, bytes.
    pub memory_bytes: Option<u64>,
    /// Memory of other programs.
    pub background: Vec<Background>,
    /// Stalls of other programs.
    pub stalls: Vec<Stall>,
    /// Times, from and until, in which no sample arrives.
    pub lost_samples: Vec<(Duration, Duration)>,
    /// What relief does.
    pub relief: Reliefs,
    /// The jobs.
    pub groups: Vec<Group>,
    /// The run is cut off here; what is then unfinished is no violation.
    pub until: Option<Duration>,
    /// What the run is to come to.
    pub expect: Expect,
}

/// The virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// RAM, bytes.
    pub total_bytes: u64,
    /// Processors.
    pub cpus: u32,
    /// Swap, bytes.
    pub swap_bytes: u64,
    /// The least limit of a slice, bytes.
    pub floor_bytes: u64,
}

/// Which policy is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyChoice {
    /// By name, or by the path of a file.
    Named(String),
    /// Its YAML.
    Inline(String),
}

/// Memory of other programs from some moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Background {
    /// When.
    pub at: Duration,
    /// In use, bytes.
    pub bytes: u64,
    /// It gets there evenly from the point before, not at once.
    pub ramp: bool,
}

/// How much of the time tasks wait for memory, from some moment on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stall {
    /// When.
    pub at: Duration,
    /// Some task waits, percent of the time.
    pub some: f64,
    /// All tasks wait, percent of the time.
    pub full: f64,
}

/// How a relief ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReliefResult {
    /// It gives back what there is to give.
    #[default]
    Works,
    /// It says that it failed.
    Fails,
    /// It never comes back; it is given up after the policy's timeout.
    Hangs,
}

/// What one kind of relief does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relief {
    /// How long it takes.
    pub takes: Duration,
    /// How it ends.
    pub result: ReliefResult,
    /// What it takes off other programs' memory, bytes, each time.
    pub gives_bytes: u64,
}

/// What each kind of relief does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reliefs {
    /// Takes the jobs' `cache`.
    pub reclaim: Relief,
    /// Takes what the jobs give on a signal.
    pub signal: Relief,
    /// Takes `gives` off other programs, such as a model server.
    pub command: Relief,
    /// Moves a frozen attempt to swap.
    pub freeze: Relief,
}

impl Scenario {
    /// Reads and checks the text of a scenario; messages call it `file`.
    ///
    /// # Errors
    /// [`ContentError`] with the place of the first thing that is wrong.
    pub fn parse(text: &str, file: &str) -> Result<Scenario, Box<ContentError>> {
        super::scenario_yaml::parse(text, file)
    }

    /// How many jobs there are.
    pub fn jobs(&self) -> u64 {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// The name of a group's job.
    pub fn job_id(&self, group: usize, index: u64) -> JobId {
        let before: u64 = self
            .groups
            .iter()
            .take(group)
            .map(|group| group.count)
            .sum();
        JobId(before + index)
    }

    /// The numbers of one job; none if there is no such job.
    pub fn drawn(&self, job: JobId) -> Option<(&Group, Drawn)> {
        let mut index = job.0;
        let (place, group) = self.groups.iter().enumerate().find(|(_, group)| {
            let here = index < group.count;
            if !here {
                index -= group.count;
            }
            here
        })?;
        let around_one =
            |what| 1.0 + group.spread * (2.0 * draw::unit(self.seed, job.0, what) - 1.0);
        let (share, factor) = group.liars;
        let lies = draw::unit(self.seed, job.0, 3) < share;
        let drawn = Drawn {
            group: place,
            index,
            peak: around_one(1),
            duration: around_one(2),
            lie: if lies { factor } else { 1.0 },
        };
        Some((group, drawn))
    }

    /// What the core is told of a job.
    pub fn spec(&self, job: JobId) -> Option<JobSpec> {
        let (group, drawn) = self.drawn(job)?;
        let rung = |rung: &GroupRung| Rung {
            rank: rung.rank,
            estimate_bytes: rung.estimate.map(|estimate| match estimate {
                Estimate::Bytes(bytes) => bytes,
                Estimate::OfPeak(part) => (rung.peak_bytes as f64 * drawn.peak * part) as u64,
            }),
            ceiling_bytes: rung.ceiling_bytes,
            cpu_milli: rung.cpu_milli,
        };
        Some(JobSpec {
            priority: group.priority,
            rungs: group.rungs.iter().map(rung).collect(),
            retries: group.retries,
            repeatable: group.repeatable,
            input_bytes: group.input_bytes,
            expected: group.expected,
            class: u32::try_from(drawn.group).unwrap_or(u32::MAX),
            limit_bytes: group.limit_bytes,
            batch: group.batch.map(|batch| batch.range),
            tellable: group.batch.is_some_and(|batch| batch.tellable),
            relievable: group.gives_bytes.is_some(),
        })
    }

    /// When a job arrives.
    pub fn arrival(&self, job: JobId) -> Duration {
        self.drawn(job)
            .map_or(Duration::ZERO, |(group, drawn)| group.arrival(drawn.index))
    }

    /// The most that other programs use between two moments, bytes.
    pub fn most_background(&self, from: Duration, until: Duration) -> u64 {
        let ends = [from, until].map(|at| self.background_at(at));
        let between = self
            .background
            .iter()
            .filter(|point| (from..=until).contains(&point.at))
            .map(|point| point.bytes);
        between.chain(ends).max().unwrap_or(0)
    }

    /// What other programs use at a moment, bytes.
    pub fn background_at(&self, at: Duration) -> u64 {
        let next = self.background.partition_point(|point| point.at <= at);
        let before = next
            .checked_sub(1)
            .and_then(|index| self.background.get(index));
        let bytes = before.map_or(0, |point| point.bytes);
        match self.background.get(next) {
            Some(point) if point.ramp => {
                let since = before.map_or(Duration::ZERO, |point| point.at);
                let part = (at - since).as_secs_f64() / (point.at - since).as_secs_f64();
                (bytes as f64 + (point.bytes as f64 - bytes as f64) * part) as u64
            }
            _ => bytes,
        }
    }
}
