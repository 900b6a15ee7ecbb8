//! A slice without cgroups: the process tree is watched and its memory polled against the limit; RLIMIT_DATA
//! stands behind it as the backstop for what grows between two looks.
//!
//! RLIMIT_AS is not used on Linux: FFmpeg's virtual size is 2 to 7.5 times its peak.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Breach, Containment, Limits, Slice, SliceError};
use crate::child::{self, Launch, Placement, Process};
use crate::core::poll;
use crate::memory::Usage;
use crate::memory::tree::Tree;

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
    /// A slice for the children that this process will have.
    pub fn new(limits: Limits) -> RlimitSlice {
        let tree = Tree::below(nix::unistd::getpid());
        RlimitSlice {
            tree,
            limits,
            last: Usage::default(),
            peak: 0,
            breach: None,
        }
    }
}

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
        Ok(child::spawn(launch, &placement)?)
    }

    fn look(&mut self) -> Option<Breach> {
        self.last = self.tree.usage();
        self.peak = self.peak.max(self.last.needs_bytes);
        if self.last.needs_bytes > self.limits.memory_bytes {
            self.breach = Some(Breach::OwnLimit);
        }
        self.breach
    }

    fn next_look(&self) -> Duration {
        poll::next_look(self.last.needs_bytes, self.limits.memory_bytes)
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn activity(&self) -> Usage {
        self.tree.activity()
    }

    fn usage(&mut self) -> Usage {
        self.tree.usage()
    }

    fn freeze(&self, _frozen: bool) -> Result<(), SliceError> {
        Ok(())
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

    fn is_empty(&self) -> bool {
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
}
