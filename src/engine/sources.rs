//! What the loop reads of the machine: samples for the core, triggers that wake it, and whether the kernel's OOM
//! killer was at work.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::poll::PollFlags;

use super::attempt::Attempt;
use crate::config::policy::Policy;
use crate::core::{AttemptId, Event, Sample};
use crate::memory::sample::Sampler;
use crate::memory::{self, MemoryError};

/// The machine's memory and what every attempt uses, now.
///
/// # Errors
/// When the machine's memory cannot be read.
pub fn sample(
    sampler: &mut Sampler,
    attempts: &mut BTreeMap<AttemptId, Attempt>,
    now: Instant,
) -> Result<Sample, MemoryError> {
    let machine = sampler.sample()?;
    let uses = attempts
        .iter_mut()
        .map(|(id, attempt)| (*id, attempt.measure(now)));
    Ok(Sample {
        attempts: uses.collect(),
        ..machine
    })
}

/// The kernel's triggers on memory pressure that a policy's stages name. Where there is none to be had, the samples
/// tell of pressure, a little later.
#[derive(Debug, Default)]
pub struct Triggers {
    #[cfg(target_os = "linux")]
    set: Vec<(memory::pressure::PressureTrigger, bool)>,
}

#[cfg(target_os = "linux")]
impl Triggers {
    /// Sets them where `sampler` reads pressure.
    pub fn set(policy: &Policy, sampler: &Sampler) -> Triggers {
        let mut wanted = Vec::new();
        for trigger in policy.stages.iter().filter_map(|stage| stage.enter.trigger) {
            if !wanted.contains(&trigger) {
                wanted.push(trigger);
            }
        }
        let Some(path) = sampler.pressure_path() else {
            return Triggers::default();
        };
        let open = |trigger| {
            memory::pressure::PressureTrigger::open(path, trigger)
                .inspect_err(|error| log::debug!("{error}"))
                .ok()
        };
        let set = wanted.into_iter().filter_map(open);
        Triggers {
            set: set.map(|trigger| (trigger, true)).collect(),
        }
    }

    /// To be polled for `POLLPRI`, each with its place.
    pub fn fds(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        use std::os::fd::AsFd;
        let live = self.set.iter().enumerate().filter(|(_, (_, live))| *live);
        live.map(|(place, (trigger, _))| (place, trigger.as_fd()))
    }

    /// What a poll said of the one at a place.
    pub fn polled(&mut self, place: usize, revents: PollFlags) -> Option<Event> {
        use memory::pressure::{Fired, PressureTrigger};
        let (trigger, live) = self.set.get_mut(place)?;
        match PressureTrigger::fired(revents) {
            Fired::No => None,
            Fired::Yes => Some(Event::Triggered {
                full: trigger.taken().full,
            }),
            Fired::Gone => {
                *live = false;
                None
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Triggers {
    /// There are none.
    pub fn set(_policy: &Policy, _sampler: &Sampler) -> Triggers {
        Triggers::default()
    }

    /// None.
    pub fn fds(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        std::iter::empty()
    }

    /// None.
    pub fn polled(&mut self, _place: usize, _revents: PollFlags) -> Option<Event> {
        None
    }
}

/// The kernel's count of what its OOM killer has killed, remembered since the look before the last one: a kill is
/// counted before its child can be reaped, and a look may come between the two.
#[derive(Debug)]
pub struct Kills {
    before: Option<u64>,
    last: Option<u64>,
}

impl Kills {
    /// Counting from now.
    pub fn now() -> Kills {
        let count = memory::oom_kills();
        Kills {
            before: count,
            last: count,
        }
    }

    /// At each look at memory.
    pub fn look(&mut self) {
        self.before = std::mem::replace(&mut self.last, memory::oom_kills());
    }

    /// Whether it has killed anything lately.
    pub fn lately(&self) -> bool {
        self.before.is_some() && memory::oom_kills() > self.before
    }
}
