//! A slice that is a cgroup v2 directory: limits the kernel enforces, counters that tell why a child died.
//!
//! Limits are written into the empty cgroup and read back before the child is born in it. `memory.high` is not
//! used: it stops an encoder for ever instead of slowing it.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use nix::sys::signal::Signal;
use rustix::fs::{Mode, OFlags};

use super::{Breach, Containment, Limits, Slice, SliceError, Wake, whole_pages};
use crate::child::{self, Launch, Placement, Process};
use crate::core::poll;
use crate::memory::kept::Kept;
use crate::memory::{self, Usage, value};

mod crawl;
mod dir;

use crawl::Crawl;
pub(super) use dir::file_error;
pub use dir::{
    allow_swap, file_cache, freeze, is_empty, is_frozen, kill, members, number, push_out, reclaim,
    remove, set, signal,
};

/// One attempt's cgroup.
#[derive(Debug)]
pub struct CgroupSlice {
    dir: PathBuf,
    fd: OwnedFd,
    containment: Containment,
    /// `memory.events`.
    events: Kept,
    /// `cgroup.events`.
    population: Kept,
    stat: Kept,
    /// Only where it may have swap.
    swap: Option<Kept>,
    /// What it may have of it while it is frozen, bytes.
    swap_bytes: u64,
    cpu: Option<Kept>,
    crawl: Crawl,
    /// At the last look, bytes: in memory, and in swap.
    needs: (u64, u64),
    peak_needs: u64,
    made: Instant,
    removed: bool,
}

impl CgroupSlice {
    /// Makes the directory, sets every limit and reads it back.
    ///
    /// # Errors
    /// When a file is missing or refuses, or a limit did not take. The directory is then removed again.
    pub fn create(
        dir: PathBuf,
        containment: Containment,
        limits: &Limits,
    ) -> Result<CgroupSlice, SliceError> {
        fs::create_dir(&dir).map_err(|source| file_error("create", &dir, source))?;
        Self::set_up(&dir, containment, limits).inspect_err(|_| {
            // The error to report is the first one; an empty cgroup left behind is swept by the next start.
            let _swept_later = fs::remove_dir(&dir);
        })
    }

    fn set_up(
        dir: &Path,
        containment: Containment,
        limits: &Limits,
    ) -> Result<CgroupSlice, SliceError> {
        if !dir.join("memory.max").exists() {
            return Err(SliceError::NoController {
                path: dir.to_owned(),
                controller: "memory",
            });
        }
        let memory_bytes = whole_pages(limits.memory_bytes.max(super::CGROUP_MEMORY_FLOOR));
        set(&dir.join("memory.max"), &memory_bytes.to_string())?;
        // Not before it is frozen: what runs has to fail at its limit, and would run on from swap instead.
        allow_swap(dir, 0)?;
        set(&dir.join("memory.oom.group"), "1")?;
        if dir.join("pids.max").exists() {
            set(&dir.join("pids.max"), &limits.pids_max.to_string())?;
        }
        let fd = rustix::fs::open(
            dir,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| file_error("open", dir, errno.into()))?;
        let open = |name: &str| {
            let path = dir.join(name);
            Kept::open(&path).map_err(|source| file_error("read", &path, source))
        };
        let has_swap = limits.swap_bytes > 0;
        Ok(CgroupSlice {
            dir: dir.to_owned(),
            fd,
            containment,
            events: open("memory.events")?,
            population: open("cgroup.events")?,
            stat: open("memory.stat")?,
            swap: open("memory.swap.current").ok().filter(|_| has_swap),
            swap_bytes: limits.swap_bytes,
            cpu: open("cpu.stat").ok(),
            crawl: Crawl::new(memory_bytes),
            needs: (0, 0),
            peak_needs: 0,
            made: Instant::now(),
            removed: false,
        })
    }

    fn counter(&mut self, key: &str) -> u64 {
        let text = self.events.read();
        text.ok().and_then(|text| value(text, key)).unwrap_or(0)
    }

    fn crawls(&mut self) -> bool {
        let (Ok(stat), Ok(events)) = (self.stat.read(), self.events.read()) else {
            return false;
        };
        self.crawl.look(&self.dir, stat, events)
    }

    /// What it holds that cannot be reclaimed, bytes: in memory, and in swap.
    fn read_needs(&mut self) -> (u64, u64) {
        let Ok(stat) = self.stat.read() else {
            return (0, 0);
        };
        let needs = memory::needs_from_stat(stat);
        let Some(swap) = &mut self.swap else {
            return (needs, 0);
        };
        // What is in both counts once.
        let cached = value(stat, "swapcached").unwrap_or(0);
        let swap: Option<u64> = swap.read().ok().and_then(|text| text.trim().parse().ok());
        (needs, swap.unwrap_or(0).saturating_sub(cached))
    }
}

impl Slice for CgroupSlice {
    fn containment(&self) -> Containment {
        self.containment
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.dir)
    }

    fn spawn(&mut self, launch: &Launch) -> Result<Process, SliceError> {
        let path = self.dir.join("cgroup.procs");
        let procs = File::options()
            .write(true)
            .open(&path)
            .map_err(|source| file_error("open for writing", &path, source))?;
        let placement = Placement {
            cgroup: Some(self.fd.as_fd()),
            cgroup_procs: Some(procs.as_fd()),
            rlimit_data: None,
        };
        Ok(child::spawn(launch, &placement)?)
    }

    fn look(&mut self) -> Option<Breach> {
        self.needs = self.read_needs();
        let (held, swapped) = self.needs;
        self.peak_needs = self.peak_needs.max(held + swapped);
        let near = self.crawl.is_near(held);
        self.verdict()
            .or_else(|| (near && self.crawls()).then_some(Breach::Crawl))
    }

    fn next_look(&self) -> Duration {
        poll::next_sample(self.made.elapsed())
    }

    fn wake(&self, wake: Wake) -> Option<BorrowedFd<'_>> {
        match wake {
            Wake::Limit => Some(self.events.as_fd()),
            Wake::Pressure => self.crawl.wake(),
            Wake::Empty => Some(self.population.as_fd()),
        }
    }

    fn polled(&mut self, wake: Wake, revents: PollFlags) -> bool {
        match wake {
            Wake::Pressure => self.crawl.polled(revents),
            Wake::Limit | Wake::Empty => !revents.is_empty(),
        }
    }

    fn activity(&self) -> Usage {
        let mut usage = Usage::default();
        for pid in members(&self.dir) {
            usage.processes += 1;
            usage.io_bytes += memory::proc::io_bytes(pid).unwrap_or(0);
        }
        usage
    }

    fn usage(&mut self) -> Usage {
        let micros = |text: &str| value(text, "usage_usec");
        let cpu = self.cpu.as_mut().and_then(|cpu| micros(cpu.read().ok()?));
        let (needs_bytes, swapped_bytes) = self.needs;
        Usage {
            needs_bytes: needs_bytes + swapped_bytes,
            swapped_bytes,
            cpu: Duration::from_micros(cpu.unwrap_or(0)),
            ..Usage::default()
        }
    }

    fn freeze(&self, frozen: bool) -> Result<(), SliceError> {
        if frozen {
            freeze(&self.dir, true)?;
            return allow_swap(&self.dir, self.swap_bytes).inspect_err(|_| {
                let _first_error_counts = freeze(&self.dir, false);
            });
        }
        let closed = allow_swap(&self.dir, 0);
        freeze(&self.dir, false).and(closed)
    }

    fn reclaim(&mut self, bytes: u64) -> Result<u64, SliceError> {
        reclaim(&self.dir, bytes)
    }

    fn push_out(&mut self, within: Duration) -> Result<u64, SliceError> {
        push_out(&self.dir, within)
    }

    fn signal(&self, number: Signal) {
        signal(&self.dir, number);
    }

    fn kill(&self) {
        kill(&self.dir);
    }

    fn is_empty(&mut self) -> bool {
        self.population.read().map_or(true, dir::says_empty)
    }

    /// `oom_kill` alone: an ancestor or the machine was full. With `oom`: our own limit (counted where the limit is).
    fn verdict(&mut self) -> Option<Breach> {
        if self.counter("oom_kill") == 0 {
            return None;
        }
        Some(if self.counter("oom") > 0 {
            Breach::OwnLimit
        } else {
            Breach::MachineFull
        })
    }

    fn peak_bytes(&self, max_rss_bytes: u64) -> u64 {
        // memory.peak came with Linux 5.19.
        number(&self.dir, "memory.peak").unwrap_or_else(|| self.peak_needs.max(max_rss_bytes))
    }

    fn peak_needs_bytes(&self) -> u64 {
        self.peak_needs
    }

    fn remove(&mut self) -> Result<(), SliceError> {
        // Once: what could not be removed in five seconds is left to the next start.
        if std::mem::replace(&mut self.removed, true) {
            return Ok(());
        }
        remove(&self.dir)
    }

    fn let_go(&mut self) -> Option<OwnedFd> {
        self.removed = true;
        self.crawl.let_go()
    }
}

impl Drop for CgroupSlice {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            log::warn!("{error}; the next start of ffwarden removes it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(memory_bytes: u64) -> Limits {
        Limits {
            memory_bytes,
            pids_max: 64,
            expected_threads: 4,
            swap_bytes: 0,
        }
    }

    #[test]
    fn a_cgroup_without_the_memory_controller_is_an_error_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("attempt-1");
        let error =
            CgroupSlice::create(dir.clone(), Containment::Cgroup, &limits(1 << 30)).unwrap_err();
        assert!(
            matches!(
                error,
                SliceError::NoController {
                    controller: "memory",
                    ..
                }
            ),
            "{error}"
        );
        assert!(!dir.exists());
    }
}
