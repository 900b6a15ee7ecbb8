//! What is decided before anything runs: the policy, how many at once, and what each job is given; from the options,
//! then the environment, then the policy.

use std::env;
use std::str::FromStr;

use super::super::args::{Batch, Options, Workers};
use crate::batch::placeholder::Template;
use crate::batch::workers::{self, Asked, Calculation, Decided};
use crate::config::policies::{self, Policies};
use crate::config::policy::{BatchRange, Policy};
use crate::config::profiles::Profiles;
use crate::config::size::Size;
use crate::core::Settings;
use crate::engine::{BATCH, BatchRule, Task};
use crate::memory::{self, Machine};

/// The policy that counts workers by memory, and what a worker is taken for if it does not say.
const WORKERS_POLICY: &str = "workers";
const PER_WORKER: Size = Size::Bytes(2 << 30);

/// All that was decided before anything runs.
pub(super) struct Plan {
    pub policy: Policy,
    pub settings: Settings,
    pub task: Task,
}

/// Decides it.
///
/// # Errors
/// When a profile, the policy or a variable of the environment is wrong.
pub(super) fn plan(
    options: &Options,
    arguments: &Batch,
    machine: &Machine,
    floor_bytes: u64,
) -> anyhow::Result<Plan> {
    let profiles = Profiles::load(&Profiles::directories())?;
    let policies = Policies::load(&Policies::directories(), &profiles)?;
    let name = arguments.policy.as_deref().unwrap_or(policies::DEFAULT);
    let mut policy = policies.resolve(name, &profiles)?;
    let memory_limit = match arguments.memory_limit {
        Some(size) => Some(size),
        None => variable::<Size>("MEMORY_LIMIT_PER_WORKER")?,
    };
    let cpus = std::thread::available_parallelism().map_or(1, |count| count.get());
    let cpus = u32::try_from(cpus).unwrap_or(u32::MAX);
    let asked = Asked {
        workers: match arguments.workers {
            Some(Workers::Count(count)) => Some(count),
            Some(Workers::Auto) | None => None,
        },
        most: count("MAX_WORKERS")?,
        batch: match arguments.batch_size {
            Some(size) => Some(size),
            None => count("BATCH_SIZE")?,
        },
        low_memory: arguments.low_memory,
    };
    let per_worker = memory_limit.or(policy.memory_per_job).unwrap_or(PER_WORKER);
    let calculation =
        (policy.name == WORKERS_POLICY && asked.workers.is_none()).then(|| Calculation {
            available_bytes: machine.available_bytes,
            per_worker_bytes: per_worker.resolve(machine.total_bytes),
            most: asked.most.unwrap_or(cpus),
        });
    if let Some(calculation) = &calculation {
        for line in calculation.to_string().lines() {
            log::info!("{line}");
        }
    }
    let decided = workers::decide(asked, cpus, calculation);
    if arguments.low_memory {
        policy.report_every = policy.report_every.or(Some(1));
        log::info!(
            "Low memory mode: {} workers, batch size {}",
            decided.workers.unwrap_or(1),
            decided.batch.unwrap_or(1)
        );
    }
    let settings = Settings {
        cpus,
        workers: decided.workers,
        memory_bytes: options.memory.map(|size| size.resolve(machine.total_bytes)),
        floor_bytes,
        swap_bytes: memory::swap_total_bytes(),
        seed: seed(),
    };
    let mut request = options.request();
    request.memory = memory_limit;
    if let Some(profile) = &request.profile {
        // Else every job would fail with it.
        profiles.resolve(&profile.to_string_lossy())?;
    }
    let task = Task {
        request,
        batch: batch_rule(arguments, &decided, &policy),
        ..Task::default()
    };
    Ok(Plan {
        policy,
        settings,
        task,
    })
}

/// A command takes batches when it says so, or when anything was said on their size.
fn batch_rule(arguments: &Batch, decided: &Decided, policy: &Policy) -> Option<BatchRule> {
    let told = arguments.batch_signal.is_some() || arguments.batch_file.is_some();
    let holds = !Template::new(&arguments.command)
        .holding(&[BATCH])
        .is_empty();
    let maximum = decided.batch.unwrap_or(policy.batch.maximum);
    (told || holds || decided.batch.is_some()).then(|| BatchRule {
        range: BatchRange {
            maximum,
            minimum: policy.batch.minimum.min(maximum),
        },
        signal: arguments.batch_signal,
        file: arguments.batch_file.clone(),
    })
}

/// A variable of the environment that is not one of our own; an empty one is none.
fn variable<T: FromStr>(name: &str) -> anyhow::Result<Option<T>>
where
    T::Err: std::fmt::Display,
{
    let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    value
        .to_str()
        .unwrap_or_default()
        .trim()
        .parse()
        .map(Some)
        .map_err(|error| anyhow::anyhow!("the environment has {name}={}: {error}", value.display()))
}

/// The same for a number that is at least 1.
fn count(name: &str) -> anyhow::Result<Option<u32>> {
    let number = variable::<std::num::NonZeroU32>(name)?;
    Ok(number.map(std::num::NonZeroU32::get))
}

/// Different for batches that start at the same moment.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
