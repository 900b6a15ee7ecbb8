//! How the core is told of attempts that it did not start.
//!
//! The core knows attempts that it has started only, so a process that is found is submitted as a job that fits any
//! room, under a policy that starts whatever is submitted at every stage; what the core then calls its start is taken
//! for what it is, the news of its name. Stages, thresholds, relief and the choice of victims are the policy's own,
//! but for what makes no sense for processes that have no limit of ours.

use crate::config::policy::{BaseWorkers, Ceiling, Policy, ReliefKind, Share};
use crate::core::ladder::Outcome;
use crate::core::{End, JobId, JobSpec, Rung, Settings, State};
use std::time::Duration;

/// A core for watched processes; without `enforce` it only tells the level.
pub fn core(policy: &Policy, enforce: bool) -> State {
    State::new(for_watched(policy.clone(), enforce), settings())
}

fn settings() -> Settings {
    let cpus = std::thread::available_parallelism().map_or(1, |count| count.get());
    Settings {
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        workers: None,
        memory_bytes: None,
        floor_bytes: 0,
        swap_bytes: crate::memory::swap_total_bytes(),
        seed: u64::from(std::process::id()),
    }
}

fn for_watched(mut policy: Policy, enforce: bool) -> Policy {
    policy.reserves.clear();
    policy.workers = BaseWorkers::Auto;
    policy.breaker.ends = 0;
    policy.breaker.opens_at = None;
    policy.large_files.clear();
    policy.report_every = None;
    for stage in &mut policy.stages {
        stage.workers = Share::ALL;
        stage.profile = Ceiling::Any;
        stage.after_relief = None;
        // Shares of a limit; they have none of ours.
        stage.enter.slice = None;
        // Who was not started to be signalled would be killed by it.
        stage
            .relief
            .retain(|kind| enforce && *kind != ReliefKind::Signal);
        stage.stop = stage.stop && enforce;
    }
    policy
}

/// A watched process as a job.
pub fn job(job: JobId) -> JobSpec {
    JobSpec {
        priority: 0,
        rungs: vec![Rung {
            rank: 0,
            estimate_bytes: Some(1),
            ceiling_bytes: None,
            cpu_milli: 0,
        }],
        retries: 0,
        repeatable: false,
        input_bytes: None,
        expected: None,
        // Each of its own: nothing is learned from one for another.
        class: u32::try_from(job.0).unwrap_or(u32::MAX),
        limit_bytes: None,
        batch: None,
        tellable: false,
        relievable: false,
    }
}

/// Its end, whoever brought it about: nothing follows from it.
pub fn end(cpu: Duration) -> End {
    End {
        outcome: Outcome::Exited,
        success: true,
        peak_bytes: 0,
        cpu,
    }
}
