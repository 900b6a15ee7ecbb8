//! The machine's part of a [`Sample`], read as often as the policy says: files kept open, few lines parsed.
//!
//! The uses of the attempts are added by whoever has their slices.

#[cfg(target_os = "linux")]
use std::path::Path;

use super::{Machine, MemoryError};
use crate::core::Sample;

#[cfg(target_os = "linux")]
use super::bounds::Bounds;
#[cfg(target_os = "linux")]
use super::cpu_lists::CpuLists;
#[cfg(target_os = "linux")]
use super::kept::Kept;
#[cfg(target_os = "linux")]
use super::pressure::Pressure;

/// Reads the machine's memory again and again.
///
/// Opened after the process has moved to the cgroup where it stays: limits are those above the cgroup that it was in
/// then. A limit that is changed later counts.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Sampler {
    meminfo: Kept,
    cpu_lists: CpuLists,
    bounds: Bounds,
    pressure: Option<Pressure>,
    bound_by: Option<String>,
}

/// Of `/proc/meminfo`, bytes.
#[cfg(target_os = "linux")]
#[derive(Debug, Default, PartialEq, Eq)]
struct Meminfo {
    total: u64,
    available: Option<u64>,
    swap_free: u64,
}

#[cfg(target_os = "linux")]
impl Sampler {
    /// Opens what is to be read.
    ///
    /// # Errors
    /// When there is no `/proc/meminfo`.
    pub fn open() -> Result<Sampler, MemoryError> {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Ok(Sampler {
            meminfo: Kept::open(Path::new("/proc/meminfo"))
                .map_err(|error| unreadable(error.to_string()))?,
            cpu_lists: CpuLists::open(),
            bounds: Bounds::of(&own, Path::new("/sys/fs/cgroup")),
            pressure: None,
            bound_by: None,
        })
    }

    /// Memory of the machine, or of the part of it that this process may use.
    ///
    /// # Errors
    /// When `/proc/meminfo` has no `MemAvailable` (kernels before 3.14).
    pub fn machine(&mut self) -> Result<Machine, MemoryError> {
        Ok(self.look()?.0)
    }

    fn look(&mut self) -> Result<(Machine, u64), MemoryError> {
        // First: pages that leave a list meanwhile are then counted twice and not missed, which would be a false alarm.
        let in_cpu_lists = self.cpu_lists.bytes();
        let text = self
            .meminfo
            .read()
            .map_err(|error| unreadable(error.to_string()))?;
        let meminfo = parse(text);
        let available = meminfo
            .available
            .ok_or_else(|| unreadable("no MemAvailable line".into()))?;
        let available = available.saturating_add(in_cpu_lists);
        let mut machine = Machine {
            total_bytes: meminfo.total,
            available_bytes: available.min(meminfo.total),
            bound_by: None,
        };
        self.bounds.apply(&mut machine);
        Ok((machine, self.bounds.swap_free(meminfo.swap_free)))
    }

    /// A sample without attempts. Pressure is that of the cgroup that bounds us, else the machine's.
    ///
    /// # Errors
    /// As [`Sampler::machine`].
    pub fn sample(&mut self) -> Result<Sample, MemoryError> {
        let (machine, swap_free_bytes) = self.look()?;
        if self.pressure.is_none() || self.bound_by != machine.bound_by {
            self.pressure = Pressure::of_bound(machine.bound_by.as_deref());
            self.bound_by = machine.bound_by;
        }
        let totals = self.pressure.as_mut().and_then(Pressure::totals);
        Ok(Sample {
            total_bytes: machine.total_bytes,
            available_bytes: machine.available_bytes,
            swap_free_bytes,
            some_total: totals.map(|totals| totals.some),
            full_total: totals.map(|totals| totals.full),
            ..Sample::default()
        })
    }

    /// The file that pressure was read from in the last sample, for a trigger on the same.
    pub fn pressure_path(&self) -> Option<&Path> {
        self.pressure.as_ref().map(Pressure::path)
    }
}

#[cfg(target_os = "linux")]
fn unreadable(why: String) -> MemoryError {
    MemoryError::Unreadable {
        what: "/proc/meminfo".into(),
        why,
    }
}

/// The lines that count, `Name: NUMBER kB`.
#[cfg(target_os = "linux")]
fn parse(text: &str) -> Meminfo {
    let mut meminfo = Meminfo::default();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else {
            continue;
        };
        let bytes = || {
            let kibibytes = rest
                .trim()
                .strip_suffix("kB")?
                .trim_end()
                .parse::<u64>()
                .ok()?;
            kibibytes.checked_mul(1024)
        };
        match name {
            "MemTotal" => meminfo.total = bytes().unwrap_or(0),
            "MemAvailable" => meminfo.available = bytes(),
            "SwapFree" => {
                meminfo.swap_free = bytes().unwrap_or(0);
                // The last that counts, a third of the way.
                break;
            }
            _ => {}
        }
    }
    meminfo
}

/// Reads the machine's memory again and again.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub struct Sampler;

#[cfg(not(target_os = "linux"))]
impl Sampler {
    /// Nothing is kept open.
    ///
    /// # Errors
    /// None.
    pub fn open() -> Result<Sampler, MemoryError> {
        Ok(Sampler)
    }

    /// Memory of the machine.
    ///
    /// # Errors
    /// As [`super::machine`].
    pub fn machine(&mut self) -> Result<Machine, MemoryError> {
        super::machine()
    }

    /// A sample without attempts, swap and pressure.
    ///
    /// # Errors
    /// As [`super::machine`].
    pub fn sample(&mut self) -> Result<Sample, MemoryError> {
        let machine = super::machine()?;
        Ok(Sample {
            total_bytes: machine.total_bytes,
            available_bytes: machine.available_bytes,
            ..Sample::default()
        })
    }

    /// None.
    pub fn pressure_path(&self) -> Option<&std::path::Path> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn few_lines_count() {
        let text = "MemTotal:       2000 kB\nMemFree:  1 kB\nMemAvailable:   1500 kB\nSwapCached: 3 kB\nSwapTotal: 900 kB\nSwapFree:   700 kB\nDirty: 8 kB\n";
        let expected = Meminfo {
            total: 2000 * 1024,
            available: Some(1500 * 1024),
            swap_free: 700 * 1024,
        };
        assert_eq!(parse(text), expected);
        assert_eq!(
            parse("MemTotal: many\nHugePages_Total: 0\n"),
            Meminfo::default()
        );
    }

    #[test]
    fn this_machine_is_as_procfs_says() {
        let sample = Sampler::open().unwrap().sample().unwrap();
        let machine = super::super::machine().unwrap();
        assert_eq!(sample.total_bytes, machine.total_bytes);
        assert!(sample.available_bytes > 0 && sample.available_bytes <= sample.total_bytes);
        assert_eq!(sample.some_total.is_some(), super::super::has_pressure());
    }
}
