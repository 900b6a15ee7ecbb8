//! A policy, jobs and samples for the tests of the core.

use std::time::Duration;

use super::action::{Action, Start};
use super::event::{Event, Sample};
use super::job::{End, JobId, JobSpec, Rung};
use super::ladder::Outcome;
use super::state::{Settings, State, step};
use crate::config::policy::{
    Backoff, BaseWorkers, BatchRange, BreakerRules, Ceiling, Level, Policy, ReliefKind,
    ReliefRules, Reserve, Say, SegmentRange, Share, Stage, Thresholds,
};
use crate::config::profile::Origin;
use crate::config::size::Size;

pub const MIB: u64 = 1 << 20;

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn stage(level: Level, used: f64) -> Stage {
    Stage {
        level,
        enter: Thresholds {
            used: (used > 0.0).then_some(Size::Percent(used)),
            ..Thresholds::default()
        },
        workers: Share::ALL,
        profile: Ceiling::Any,
        batch: Share::ALL,
        segment_percent: 100,
        relief: vec![],
        verify: true,
        stop: false,
        after_relief: None,
        say: Say::Info,
    }
}

/// The design's table.
pub fn policy() -> Policy {
    let relief = vec![ReliefKind::Reclaim];
    Policy {
        name: "test".into(),
        summary: String::new(),
        reserves: vec![Reserve {
            name: "free".into(),
            share: Size::Percent(10.0),
            at_most: None,
            for_others: false,
        }],
        workers: BaseWorkers::Auto,
        memory_per_job: None,
        cpu_percent: 100,
        stages: vec![
            stage(Level::Normal, 0.0),
            Stage {
                profile: Ceiling::Lower(1),
                relief: relief.clone(),
                ..stage(Level::Moderate, 70.0)
            },
            Stage {
                workers: Share::Percent(50),
                profile: Ceiling::AtMost {
                    profile: "low".into(),
                    rank: 20,
                },
                batch: Share::Percent(50),
                segment_percent: 50,
                relief: relief.clone(),
                ..stage(Level::High, 80.0)
            },
            Stage {
                workers: Share::Count(0),
                relief: vec![ReliefKind::Reclaim, ReliefKind::Freeze],
                stop: true,
                ..stage(Level::Critical, 90.0)
            },
        ],
        margin: 5.0,
        hold: secs(10),
        grace: secs(2),
        poll: secs(1),
        relief: ReliefRules {
            signal: None,
            command: None,
            timeout: secs(5),
            helped_points: 2,
            freeze_at_most: secs(60),
        },
        breaker: BreakerRules {
            ends: 3,
            within: secs(60),
            opens_at: None,
            first: secs(5),
            longest: secs(300),
        },
        backoff: Backoff {
            first: secs(2),
            longest: secs(60),
        },
        batch: BatchRange {
            maximum: 8,
            minimum: 1,
        },
        segment: SegmentRange {
            length: secs(300),
            minimum: secs(30),
        },
        large_files: vec![],
        report_every: None,
        origin: Origin::BuiltIn,
        source: String::new(),
    }
}

pub fn settings() -> Settings {
    Settings {
        cpus: 8,
        workers: None,
        memory_bytes: None,
        floor_bytes: 0,
        swap_bytes: 0,
        seed: 7,
    }
}

pub fn rung(rank: u32, mib: u64, cpus: u32) -> Rung {
    Rung {
        rank,
        estimate_bytes: Some(mib * MIB),
        ceiling_bytes: None,
        cpu_milli: cpus * 1000,
    }
}

pub fn spec(rungs: Vec<Rung>) -> JobSpec {
    JobSpec {
        priority: 0,
        rungs,
        retries: 3,
        repeatable: true,
        input_bytes: None,
        expected: None,
        class: 0,
        limit_bytes: None,
        batch: None,
        tellable: false,
        relievable: false,
    }
}

pub fn one(mib: u64) -> JobSpec {
    spec(vec![rung(40, mib, 1)])
}

pub fn sample(total_mib: u64, available_mib: u64) -> Event {
    Event::Measured(Sample {
        total_bytes: total_mib * MIB,
        available_bytes: available_mib * MIB,
        ..Sample::default()
    })
}

pub fn starts(actions: &[Action]) -> Vec<Start> {
    let start = |action: &Action| match action {
        Action::Start(start) => Some(*start),
        _ => None,
    };
    actions.iter().filter_map(start).collect()
}

pub fn end(outcome: Outcome, success: bool, peak_mib: u64) -> End {
    End {
        outcome,
        success,
        peak_bytes: peak_mib * MIB,
        cpu: secs(1),
    }
}

/// A state that has seen a machine with so much memory.
pub fn seen(policy: Policy, total_mib: u64, available_mib: u64) -> State {
    let mut state = State::new(policy, settings());
    step(&mut state, sample(total_mib, available_mib), secs(0));
    state
}

pub fn submit(state: &mut State, job: u64, spec: JobSpec, now: Duration) -> Vec<Action> {
    step(
        state,
        Event::Submitted {
            job: JobId(job),
            spec,
        },
        now,
    )
}
