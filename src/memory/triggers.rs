//! The kernel's triggers on memory pressure that a policy's stages name, to be waited for by a loop.
//!
//! Where there is none to be had, samples tell of pressure, a little later.

use std::os::fd::BorrowedFd;

use nix::poll::PollFlags;

use super::sample::Sampler;
use crate::config::policy::{Policy, Trigger};

/// Those that the kernel took.
#[derive(Debug, Default)]
pub struct Triggers {
    #[cfg(target_os = "linux")]
    set: Vec<(super::pressure::PressureTrigger, bool)>,
}

#[cfg(target_os = "linux")]
impl Triggers {
    /// Sets them where `sampler` reads pressure, which it knows after its first sample.
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
            super::pressure::PressureTrigger::open(path, trigger)
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

    /// What a poll said of the one at a place: the trigger, if it has fired.
    pub fn polled(&mut self, place: usize, revents: PollFlags) -> Option<Trigger> {
        use super::pressure::{Fired, PressureTrigger};
        let (trigger, live) = self.set.get_mut(place)?;
        match PressureTrigger::fired(revents) {
            Fired::No => None,
            Fired::Yes => Some(trigger.taken()),
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
    pub fn polled(&mut self, _place: usize, _revents: PollFlags) -> Option<Trigger> {
        None
    }
}
