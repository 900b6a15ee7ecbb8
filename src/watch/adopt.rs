//! What the core is told of watched processes: attempts that it did not start.

use super::target::Target;
use crate::config::policy::Policy;
use crate::core::ladder::Outcome;
use crate::core::{End, Event, Settings, State};
use crate::memory::proc;

/// A core for watched processes; without `enforce` it tells the level and asks for nothing.
pub fn core(policy: &Policy, enforce: bool) -> State {
    let mut policy = policy.clone();
    if !enforce {
        for stage in &mut policy.stages {
            stage.relief.clear();
            stage.stop = false;
        }
    }
    let cpus = std::thread::available_parallelism().map_or(1, |count| count.get());
    let settings = Settings {
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        workers: None,
        memory_bytes: None,
        floor_bytes: 0,
        swap_bytes: crate::memory::swap_total_bytes(),
        seed: u64::from(std::process::id()),
    };
    State::new(policy, settings)
}

/// It is there, since its own start: the core's clock is [`proc::since_boot`].
pub fn adopted(target: &Target) -> Event {
    Event::Adopted {
        attempt: target.attempt,
        started: proc::ticks(target.found.start),
    }
}

/// It has ended. How, only its parent knows; what it peaked at, nobody.
pub fn ended(target: &Target) -> Event {
    let outcome = if target.is_stopping() {
        Outcome::Pressure
    } else {
        Outcome::Exited
    };
    let end = End {
        outcome,
        success: outcome == Outcome::Exited,
        peak_bytes: 0,
        cpu: target.usage.cpu,
    };
    Event::Ended {
        attempt: target.attempt,
        end,
    }
}
