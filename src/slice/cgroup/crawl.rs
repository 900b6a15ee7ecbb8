//! Feeds `core::thrash` with a cgroup's counters, once the child needs nearly all of its limit; from then on the
//! kernel wakes us when the child loses time waiting for memory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use crate::config::policy::Trigger;
use crate::core::thrash::{self, Look, Thrash};
use crate::memory::kept::Kept;
use crate::memory::pressure::{Fired, Pressure, PressureTrigger};
use crate::memory::{needs_from_stat, value};

/// Half of what is crawling in the long run, and a window that the kernel takes from anybody.
const TRIGGER: Trigger = Trigger {
    full: true,
    stall: Duration::from_millis(200),
    window: Duration::from_secs(2),
};

/// What is known of one cgroup's crawling.
#[derive(Debug)]
pub(super) struct Crawl {
    limit_bytes: u64,
    thrash: Thrash,
    made: Instant,
    files: Files,
    found: bool,
}

/// Opened when they are needed for the first time, for most children never need them.
#[derive(Debug)]
enum Files {
    NotYet,
    Open {
        pressure: Pressure,
        held: Kept,
        /// None where the kernel gives none: then it is looked at now and then.
        trigger: Option<PressureTrigger>,
    },
    /// No PSI here.
    Missing,
}

impl Crawl {
    pub(super) fn new(limit_bytes: u64) -> Crawl {
        Crawl {
            limit_bytes,
            thrash: Thrash::default(),
            made: Instant::now(),
            files: Files::NotYet,
            found: false,
        }
    }

    /// Whether its counters are to be looked at: it needs nearly all of its limit.
    pub(super) fn is_near(&mut self, needs_bytes: u64) -> bool {
        let near = thrash::is_near(needs_bytes, self.limit_bytes);
        if !near {
            self.thrash.forget();
        }
        near
    }

    /// Looks at what its `memory.stat` and `memory.events` say: whether it crawls. Once it has, it stays so.
    pub(super) fn look(&mut self, dir: &Path, stat: &str, events: &str) -> bool {
        self.found = self.found || self.measure(dir, stat, events).unwrap_or(false);
        self.found
    }

    /// What wakes us when the child loses time, once it needs nearly all of its limit.
    pub(super) fn wake(&self) -> Option<BorrowedFd<'_>> {
        match &self.files {
            Files::Open { trigger, .. } => trigger.as_ref().map(AsFd::as_fd),
            Files::NotYet | Files::Missing => None,
        }
    }

    /// What a poll said of it: whether the child has lost time.
    pub(super) fn polled(&mut self, revents: PollFlags) -> bool {
        let fired = PressureTrigger::fired(revents);
        if fired == Fired::Gone {
            drop(self.let_go());
        }
        fired == Fired::Yes
    }

    /// Gives up what wakes us. Closing it takes the kernel a while.
    pub(super) fn let_go(&mut self) -> Option<OwnedFd> {
        match &mut self.files {
            Files::Open { trigger, .. } => trigger.take().map(OwnedFd::from),
            Files::NotYet | Files::Missing => None,
        }
    }

    fn measure(&mut self, dir: &Path, stat: &str, events: &str) -> Option<bool> {
        if let Files::NotYet = self.files {
            let open = || {
                let pressure = Pressure::of(dir)?;
                let held = Kept::open(&dir.join("memory.current")).ok()?;
                let trigger = PressureTrigger::open(pressure.path(), TRIGGER)
                    .inspect_err(|error| log::debug!("{error}"))
                    .ok();
                Some(Files::Open {
                    pressure,
                    held,
                    trigger,
                })
            };
            self.files = open().unwrap_or(Files::Missing);
        }
        let Files::Open { pressure, held, .. } = &mut self.files else {
            return None;
        };
        let look = Look {
            full_total: pressure.totals()?.full,
            needs_bytes: needs_from_stat(stat),
            held_bytes: held.read().ok()?.trim().parse().ok()?,
            limit_bytes: self.limit_bytes,
            at_limit: value(events, "max")?,
            restored: restored(stat),
        };
        Some(self.thrash.look(self.made.elapsed(), look))
    }
}

/// Pages that were in use, were evicted and read again. One number before Linux 5.9.
fn restored(stat: &str) -> u64 {
    let get = |key| value(stat, key);
    match ["workingset_restore_file", "workingset_restore_anon"].map(get) {
        [None, None] => get("workingset_restore").unwrap_or(0),
        both => both.into_iter().flatten().sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restored_pages_have_had_two_names() {
        let new = "workingset_restore_anon 3\nworkingset_restore_file 40\n";
        assert_eq!(restored(new), 43);
        assert_eq!(restored("workingset_restore 7\n"), 7);
        assert_eq!(restored("anon 1\n"), 0);
    }
}
