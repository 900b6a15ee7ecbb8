//! A slice without cgroups: the process tree is watched and its memory polled against the limit; RLIMIT_DATA
//! stands behind it as the backstop for what grows between two looks.
//!
//! RLIMIT_AS is not used on Linux: FFmpeg's virtual size is 2 to 7.5 times its peak.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::poll::PollFlags;
use nix::sys::signal::Signal;

#[cfg(target_os = "linux")]
use super::owner::Owner;
use super::{Breach, Containment, Limits, Slice, SliceError, Wake};
use crate::child::{self, Launch, Placement, Process};
use crate::core::poll;
use crate::memory::Usage;
use crate::memory::tree::{Kin, Tree};

/// One attempt's watched tree.
#[derive(Debug)]
pub struct RlimitSlice {
    tree: Tree,
    limits: Limits,
    last: Usage,
    peak: u64,
    breach: Option<Breach>,
}

impl RlimitSlice {
    /// A slice of all that is and will be below this process, which has no other attempt.
    pub fn new(limits: Limits) -> RlimitSlice {
        RlimitSlice::with(limits, Tree::below(nix::unistd::getpid()))
    }

    /// A slice of one of several attempts of this process. The cookie is the value that its child gets as
    /// [`COOKIE`](crate::memory::tree::COOKIE) in its environment; unique among all attempts of the machine.
    pub fn for_attempt(limits: Limits, cookie: &OsStr, kin: &Kin) -> RlimitSlice {
        RlimitSlice::with(limits, Tree::attempt(cookie, kin))
    }

    fn with(limits: Limits, tree: Tree) -> RlimitSlice {
        RlimitSlice {
            tree,
            limits,
            last: Usage::default(),
            peak: 0,
            breach: None,
        }
    }
}

/// Ends what an earlier ffwarden that was killed has left behind; only attempts that were among several can be found.
#[cfg(target_os = "linux")]
pub fn sweep() {
    let is_left = |cookie: &OsStr| {
        let owner = cookie.to_str().and_then(Owner::of);
        owner.is_some_and(|owner| owner.is_gone())
    };
    match crate::memory::tree::kill_left(is_left) {
        0 => {}
        count => log::info!("ended {count} processes, left behind by an earlier ffwarden"),
    }
}

/// Nothing can be found.
#[cfg(not(target_os = "linux"))]
pub fn sweep() {}

impl Slice for RlimitSlice {
    fn containment(&self) -> Containment {
        Containment::Rlimit
    }

    fn path(&self) -> Option<&Path> {
        None
    }

    fn spawn(&mut self, launch: &Launch) -> Result<Process, SliceError> {
        let data = poll::rlimit_data(self.limits.memory_bytes, self.limits.expected_threads);
        let placement = Placement {
            cgroup: None,
            cgroup_procs: None,
            rlimit_data: Some(data),
        };
        let process = child::spawn(launch, &placement)?;
        self.tree.adopt(process.pid);
        Ok(process)
    }

    fn look(&mut self) -> Option<Breach> {
        self.last = self.tree.memory();
        self.peak = self.peak.max(self.last.needs_bytes);
        if self.last.needs_bytes > self.limits.memory_bytes {
            self.breach = Some(Breach::OwnLimit);
        }
        self.breach
    }

    fn next_look(&self) -> Duration {
        poll::next_look(self.last.needs_bytes, self.limits.memory_bytes)
    }

    fn wake(&self, _wake: Wake) -> Option<BorrowedFd<'_>> {
        None
    }

    fn polled(&mut self, _wake: Wake, _revents: PollFlags) -> bool {
        false
    }

    fn activity(&self) -> Usage {
        self.tree.activity()
    }

    fn usage(&mut self) -> Usage {
        Usage {
            cpu: self.tree.cpu(),
            ..self.last
        }
    }

    fn freeze(&self, frozen: bool) -> Result<(), SliceError> {
        self.tree.freeze(frozen).map_err(SliceError::Freeze)
    }

    fn reclaim(&mut self, _bytes: u64) -> Result<u64, SliceError> {
        Ok(0)
    }

    fn signal(&self, signal: Signal) {
        self.tree.signal(signal);
    }

    fn kill(&self) {
        self.tree.kill();
    }

    fn is_empty(&mut self) -> bool {
        self.tree.is_empty()
    }

    fn verdict(&mut self) -> Option<Breach> {
        self.breach
    }

    fn peak_bytes(&self, max_rss_bytes: u64) -> u64 {
        self.peak.max(max_rss_bytes)
    }

    fn peak_needs_bytes(&self) -> u64 {
        self.peak
    }

    fn remove(&mut self) -> Result<(), SliceError> {
        Ok(())
    }

    fn let_go(&mut self) -> Option<OwnedFd> {
        None
    }
}
