//! The container of one attempt: what holds a child to its limits, and what knows why it ended.
//!
//! [`Slice`] has two backends: a cgroup v2 directory (`cgroup`), and rlimits with a watched process tree
//! (`rlimit`). `ways` decides which one a machine gets and says why, `detect` looks at the machine and opens it;
//! `delegated` prepares the cgroup that attempts live in; `scope` asks systemd for one; `owner` tells whose an attempt is.
//! A slice serves one attempt only: what a dead attempt left in tmpfs stays charged to its cgroup.

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::PollFlags;
use nix::sys::signal::Signal;

use crate::child::{Launch, Process};
use crate::memory::Usage;

#[cfg(target_os = "linux")]
pub mod cgroup;
#[cfg(target_os = "linux")]
pub mod delegated;
pub mod detect;
pub mod owner;
pub mod rlimit;
#[cfg(target_os = "linux")]
pub mod scope;
pub mod ways;

/// The smallest `memory.max` of a cgroup slice, bytes. Below it a child that only writes a file is killed:
/// measured on Linux 6.12 with MGLRU, 64 MiB killed 3 of 3 writers of 700 MB, 256 MiB none.
pub const CGROUP_MEMORY_FLOOR: u64 = 256 << 20;

/// Which kind of container a slice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Containment {
    /// A cgroup v2 directory under a cgroup that is ours already.
    Cgroup,
    /// A cgroup v2 directory under a transient scope that systemd made for us.
    Scope,
    /// Rlimits and a watched process tree.
    Rlimit,
}

impl fmt::Display for Containment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Containment::Cgroup => "cgroup",
            Containment::Scope => "scope",
            Containment::Rlimit => "rlimit",
        })
    }
}

/// What a slice holds its child to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory that the child may use, bytes.
    pub memory_bytes: u64,
    /// Processes and threads it may have (cgroup slices only).
    pub pids_max: u64,
    /// Threads it is expected to have; each takes up to 8 MiB of address space that RLIMIT_DATA counts.
    pub expected_threads: u64,
    /// Swap that it may be pushed out to while it is frozen, bytes (cgroup slices only). What runs gets none, so that it
    /// fails where it was predicted to; what it has in swap comes back as it is used.
    pub swap_bytes: u64,
}

/// Why a child had to end, known from the kernel's counters or from our own measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// It reached its own limit: a lighter profile next time.
    OwnLimit,
    /// It stands at its own limit and hardly gets on, for its own code is evicted and read again all the time: the
    /// same as if it had been killed there.
    Crawl,
    /// An ancestor's limit or the machine's memory was full: the same profile, later.
    MachineFull,
}

/// What the kernel can wake us for, instead of our looking again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The child has run into its limit, or was killed for memory.
    Limit,
    /// The child needs nearly all of its limit, and loses time waiting for memory there.
    Pressure,
    /// Nothing may be alive in the slice any more.
    Empty,
}

/// The container of one attempt.
pub trait Slice: fmt::Debug {
    /// Which kind it is.
    fn containment(&self) -> Containment;
    /// Its cgroup directory, where it has one.
    fn path(&self) -> Option<&Path>;
    /// Starts the one child of this slice, inside it from its first instruction.
    ///
    /// # Errors
    /// What the OS said when it refused to start the program.
    fn spawn(&mut self, launch: &Launch) -> Result<Process, SliceError>;
    /// Looks at what the child uses, keeps the highest, and tells if it has to be stopped.
    fn look(&mut self) -> Option<Breach>;
    /// How long the next look may wait.
    fn next_look(&self) -> Duration;
    /// A descriptor that has `POLLPRI` when there is a reason to look at once; none where, or while, there is none.
    fn wake(&self, wake: Wake) -> Option<BorrowedFd<'_>>;
    /// What a poll for `POLLPRI` said of such a descriptor: whether there is a reason to look. To be told each time,
    /// for a descriptor that has become useless would be ready for ever.
    fn polled(&mut self, wake: Wake, revents: PollFlags) -> bool;
    /// Signs of life of all that is in the slice.
    fn activity(&self) -> Usage;
    /// CPU time of all that is in the slice, now, and memory as [`Slice::look`] saw it last.
    fn usage(&mut self) -> Usage;
    /// Stops every process in the slice where it stands, or lets them go on. Returns when it has taken effect (13 to
    /// 31 ms were measured), or after a second. What is frozen keeps its memory; it takes SIGKILL, but a SIGTERM that
    /// it handles only when it goes on.
    ///
    /// # Errors
    /// When the kernel refuses, or it has not taken effect in time; what was to be frozen then goes on.
    fn freeze(&self, frozen: bool) -> Result<(), SliceError>;
    /// Asks the kernel to take so many bytes back, from a frozen slice too: file cache first. The bytes that the slice
    /// holds less afterwards; 0 where there is no such means. Blocks its caller for about a second at most.
    ///
    /// # Errors
    /// When the kernel refuses. Less than was asked for is no error.
    fn reclaim(&mut self, bytes: u64) -> Result<u64, SliceError>;
    /// Pushes the anonymous memory of a frozen slice out as far as [`Limits::swap_bytes`] goes. The bytes that it holds
    /// less afterwards; 0 where there is no such means. Blocks its caller for about the time `within` at most.
    ///
    /// # Errors
    /// When the kernel refuses. That nothing went is no error.
    fn push_out(&mut self, within: Duration) -> Result<u64, SliceError> {
        let _ = within;
        Ok(0)
    }
    /// Sends a signal to all that is in the slice.
    fn signal(&self, signal: Signal);
    /// Kills all that is in the slice.
    fn kill(&self);
    /// Whether nothing is alive in it.
    fn is_empty(&mut self) -> bool;
    /// Why a process in the slice was killed, as far as the kernel's counters tell.
    fn verdict(&mut self) -> Option<Breach>;
    /// The most memory it used, bytes; `max_rss_bytes` is what wait4 said of the child.
    fn peak_bytes(&self, max_rss_bytes: u64) -> u64;
    /// The most memory it used that could not have been reclaimed, bytes, as sampled.
    fn peak_needs_bytes(&self) -> u64;
    /// Ends what is left in the slice and removes it.
    ///
    /// # Errors
    /// When the directory could not be removed in a second.
    fn remove(&mut self) -> Result<(), SliceError>;
    /// Somebody else removes it, and closes this descriptor where there is one: it may take the kernel a while.
    fn let_go(&mut self) -> Option<OwnedFd>;
}

/// What went wrong with a slice.
#[derive(Debug, thiserror::Error)]
pub enum SliceError {
    /// A file of the cgroup tree could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// `read`, `write 1 to`, `create` or `remove`.
        action: String,
        /// Which.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A limit was written, and the kernel holds another value.
    #[error("the limit {path} did not take: {wanted} was written, the kernel holds {found}")]
    NotTaken {
        /// The limit's file.
        path: PathBuf,
        /// What was written.
        wanted: String,
        /// What was read back.
        found: String,
    },
    /// The cgroup has no such controller.
    #[error(
        "the cgroup {path} has no {controller} controller; `ffwarden doctor` tells how to get it"
    )]
    NoController {
        /// The cgroup.
        path: PathBuf,
        /// The controller's name.
        controller: &'static str,
    },
    /// The cgroup holds processes of others, so it can have no children with limits.
    #[error(
        "the cgroup {path} holds other processes; run ffwarden in a service or scope with Delegate=yes"
    )]
    Shared {
        /// The cgroup.
        path: PathBuf,
    },
    /// systemd was asked for a scope and did not give one.
    #[error("systemd gave no scope: {0}")]
    Scope(String),
    /// The kind of slice that was demanded is not to be had here.
    #[error("this machine gives no {0} slice; `ffwarden doctor` tells why")]
    Unavailable(Containment),
    /// A watched tree did not stand still.
    #[error("cannot freeze the child's processes: {0}")]
    Freeze(#[source] io::Error),
    /// The program could not be started.
    #[error(transparent)]
    Launch(#[from] crate::child::LaunchError),
}

/// The limit as a page multiple, as the kernel keeps it.
pub fn whole_pages(bytes: u64) -> u64 {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| u64::try_from(size).ok())
        .unwrap_or(4096);
    bytes / page * page
}
