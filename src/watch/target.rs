//! One watched process with its descendants.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::find::Found;
use super::keeper::{Frozen, Keeper};
use super::place::Place;
use crate::core::AttemptId;
use crate::memory::tree::Tree;
use crate::memory::{Usage, proc};
use crate::slice::{SliceError, delegated};

/// From SIGTERM to SIGKILL, as for our own children.
const GRACE: Duration = Duration::from_secs(5);

/// One watched process with its descendants.
#[derive(Debug)]
pub struct Target {
    /// What was found.
    pub found: Found,
    /// Its name in the core.
    pub attempt: AttemptId,
    /// What it used when it was looked at last.
    pub usage: Usage,
    /// Processors it kept busy between the last two looks, percent of one.
    pub cpu_percent: f64,
    /// We have frozen it.
    pub frozen: bool,
    tree: Tree,
    place: Place,
    /// Its cgroup before we moved it.
    from: Option<PathBuf>,
    /// As long as it is open, the PID is not given away.
    _pidfd: OwnedFd,
    looked: Instant,
    kill_at: Option<Instant>,
}

impl Target {
    /// Takes hold of a process; none when it has ended. It is named by a pidfd from here on.
    pub fn new(found: Found, attempt: AttemptId) -> Option<Target> {
        let pid = Pid::from_raw(found.pid)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Looked at again with the pidfd in hand: the PID may have been given away since it was found.
        proc::stat(found.pid).filter(|stat| stat.start == found.start)?;
        let tree = Tree::of(nix::unistd::Pid::from_raw(found.pid));
        Some(Target {
            place: Place::of(found.pid, &tree.pids()),
            found,
            attempt,
            usage: Usage::default(),
            cpu_percent: 0.0,
            frozen: false,
            from: None,
            tree,
            _pidfd: pidfd,
            looked: Instant::now(),
            kill_at: None,
        })
    }

    /// Looks what it uses; whether anything of it is alive.
    pub fn look(&mut self) -> bool {
        let mut usage = self.tree.usage();
        usage.swapped_bytes = self.place.swapped_bytes();
        usage.needs_bytes += usage.swapped_bytes;
        let seconds = self.looked.elapsed().as_secs_f64();
        let used = usage.cpu.saturating_sub(self.usage.cpu);
        if seconds > 0.0 && !self.usage.cpu.is_zero() {
            self.cpu_percent = used.as_secs_f64() * 100.0 / seconds;
        }
        self.looked = Instant::now();
        self.usage = usage;
        usage.processes > 0
    }

    /// The processes of it.
    pub fn pids(&self) -> Vec<i32> {
        self.tree.pids()
    }

    /// The cgroup that it alone lives in.
    pub fn cgroup(&self) -> Option<&Path> {
        self.place.cgroup()
    }

    /// It was given this cgroup of its own, and comes from that one.
    pub fn moved(&mut self, dir: PathBuf, from: PathBuf) {
        self.place = Place::Cgroup(dir);
        self.from = Some(from);
    }

    /// Lets go of it: it goes on, where it came from.
    pub fn release(&mut self, keeper: &mut Keeper) {
        self.thaw(keeper);
        if let (Place::Cgroup(dir), Some(from)) = (&self.place, &self.from) {
            let moved = delegated::let_out(dir, from);
            self.say(moved);
        }
    }

    /// Freezes it; whether it stands still.
    pub fn freeze(&mut self, keeper: &mut Keeper) -> bool {
        let what = self.to_freeze();
        keeper.freezes(&what);
        self.frozen = self.say(self.place.freeze(&self.tree, true)).is_some();
        if !self.frozen {
            keeper.thawed(&what);
        }
        self.frozen
    }

    fn to_freeze(&self) -> Frozen {
        match self.cgroup() {
            Some(dir) => Frozen::Cgroup(dir.to_owned()),
            None => Frozen::Tree(self.found.pid, self.found.start),
        }
    }

    /// Lets it go on.
    pub fn thaw(&mut self, keeper: &mut Keeper) {
        if self.frozen {
            // What still stands still is the keeper's in the end.
            if self.say(self.place.freeze(&self.tree, false)).is_some() {
                keeper.thawed(&self.to_freeze());
            }
            self.frozen = false;
        }
    }

    /// Asks it to end.
    pub fn stop(&mut self, keeper: &mut Keeper) {
        self.thaw(keeper);
        self.tree.signal(Signal::SIGTERM);
        // One that others have stopped takes its SIGTERM only when it goes on.
        self.tree.signal(Signal::SIGCONT);
        self.kill_at = Some(Instant::now() + GRACE);
    }

    /// Whether it was asked to end.
    pub fn is_stopping(&self) -> bool {
        self.kill_at.is_some()
    }

    /// When it is to be killed.
    pub fn kill_at(&self) -> Option<Instant> {
        self.kill_at
    }

    /// Kills it when its time is up.
    pub fn kill_if_late(&mut self) {
        if self.kill_at.is_some_and(|at| at <= Instant::now()) {
            self.place.kill(&self.tree);
            self.kill_at = Some(Instant::now() + GRACE);
        }
    }

    fn say<T>(&self, result: Result<T, SliceError>) -> Option<T> {
        result
            .inspect_err(|error| log::warn!("{} [{}]: {error}", self.found.name, self.found.pid))
            .ok()
    }
}
