//! What the machine and each process tree use. Reads numbers; decides nothing.

use std::time::Duration;

pub mod tree;

#[cfg(target_os = "linux")]
mod bounds;
#[cfg(target_os = "linux")]
mod cpu_lists;
#[cfg(target_os = "linux")]
pub mod kept;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "linux")]
pub mod pressure;
#[cfg(target_os = "linux")]
pub mod proc;
pub mod sample;
pub mod triggers;

#[cfg(target_os = "linux")]
pub use linux::{has_pressure, machine, needs_from_stat, oom_kills, swap_total_bytes, value};
#[cfg(target_os = "macos")]
pub use macos::{has_pressure, machine, oom_kills, swap_total_bytes};

/// Memory of the machine, or of the part of it that this process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// All memory that could be used: RAM, or the limit of the nearest ancestor cgroup. Bytes.
    pub total_bytes: u64,
    /// What could be used now without swapping, bytes.
    pub available_bytes: u64,
    /// What bounds it when it is not the RAM: the limiting cgroup file.
    pub bound_by: Option<String>,
}

/// What a process tree or slice uses at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory that cannot be reclaimed, swap included, bytes (design, rule 1).
    pub needs_bytes: u64,
    /// Of that in swap and not in memory, bytes; 0 where it cannot be told.
    pub swapped_bytes: u64,
    /// Processes in it.
    pub processes: u64,
    /// Bytes read and written by all of it, ever; a sign of life.
    pub io_bytes: u64,
    /// CPU time used by what is alive and by what it has waited for; in a cgroup by all that ever was in it.
    pub cpu: Duration,
}

/// Why the memory of the machine could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// A file of the kernel was missing or not what it should be.
    #[error("cannot read the machine's memory from {what}: {why}")]
    Unreadable {
        /// The file or call.
        what: String,
        /// What went wrong.
        why: String,
    },
}
