//! Memory pressure as the kernel measures it (PSI): the time that tasks have lost waiting for memory, and triggers
//! that wake us when they lose too much. Of the machine, or of one cgroup.
//!
//! Pressure is time lost, not memory that is short: a fast hog dies before any shows. Levels are decided in `core`.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::PollFlags;

use super::kept::Kept;
use crate::config::policy::Trigger;

/// The machine's pressure.
const MACHINE: &str = "/proc/pressure/memory";
/// A cgroup's pressure.
const CGROUP: &str = "memory.pressure";
/// Without CAP_SYS_RESOURCE the kernel takes windows that are multiples of this (psi_trigger_create).
const UNPRIVILEGED: Duration = Duration::from_secs(2);
/// The longest window the kernel takes (WINDOW_MAX_US).
const LONGEST: Duration = Duration::from_secs(10);

/// Time lost since boot, or since the cgroup was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// In which at least one task waited for memory.
    pub some: Duration,
    /// In which all tasks that had something to do waited for memory.
    pub full: Duration,
}

/// Where pressure is read.
#[derive(Debug)]
pub struct Pressure {
    path: PathBuf,
    file: Kept,
}

impl Pressure {
    /// Of the machine; none where the kernel was built without PSI or booted with `psi=0`.
    pub fn machine() -> Option<Pressure> {
        Pressure::open(PathBuf::from(MACHINE))
    }

    /// Of a cgroup.
    pub fn of(cgroup: &Path) -> Option<Pressure> {
        Pressure::open(cgroup.join(CGROUP))
    }

    /// Of what bounds our memory: the cgroup whose limit `bound_by` names
    /// ([`Machine::bound_by`](super::Machine::bound_by)), else the machine.
    pub fn of_bound(bound_by: Option<&str>) -> Option<Pressure> {
        bound_by
            .and_then(|file| Pressure::of(Path::new(file).parent()?))
            .or_else(Pressure::machine)
    }

    fn open(path: PathBuf) -> Option<Pressure> {
        let mut file = Kept::open(&path).ok()?;
        // With PSI disabled the file may be there, and reading it an error.
        parse(file.read().ok()?)?;
        Some(Pressure { path, file })
    }

    /// Its file, for a [`PressureTrigger`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Time lost so far; none when the cgroup is gone.
    pub fn totals(&mut self) -> Option<Totals> {
        parse(self.file.read().ok()?)
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`. Microseconds.
fn parse(text: &str) -> Option<Totals> {
    let total = |kind: &str| {
        let line = text.lines().find(|line| line.starts_with(kind))?;
        let (_, micros) = line.split_once(" total=")?;
        Some(Duration::from_micros(micros.trim().parse().ok()?))
    };
    Some(Totals {
        some: total("some ")?,
        full: total("full ")?,
    })
}

/// Why there is no trigger.
#[derive(Debug, thiserror::Error)]
#[error("no pressure trigger on {}: {source}; memory is polled instead", .path.display())]
pub struct NoTrigger {
    /// The pressure file.
    pub path: PathBuf,
    /// The kernel's answer.
    pub source: io::Error,
}

/// What a poll of a trigger tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fired {
    /// Nothing.
    No,
    /// So much time was lost within a window. At most once in each window.
    Yes,
    /// Its cgroup is gone, or PSI was switched off: it is not to be polled again, it would be ready at once for ever.
    Gone,
}

/// A descriptor that has `POLLPRI` when tasks lose too much time.
///
/// Closing it costs 13 ms (measured; the kernel waits for a grace period): it is kept open for as long as it may be
/// of use.
#[derive(Debug)]
pub struct PressureTrigger {
    file: File,
    taken: Trigger,
}

impl PressureTrigger {
    /// Sets a trigger on a pressure file. Where the kernel refuses the window, which it does without
    /// CAP_SYS_RESOURCE, it is rounded up to a multiple of 2 s and the stall with it.
    ///
    /// # Errors
    /// When neither is taken: no permission (a unit's own files are root's), no PSI, or a kernel before 6.5 without
    /// the capability.
    pub fn open(path: &Path, wanted: Trigger) -> Result<PressureTrigger, NoTrigger> {
        let error = |source| NoTrigger {
            path: path.to_owned(),
            source,
        };
        let refused = match set(path, wanted) {
            Ok(file) => {
                let taken = wanted;
                return Ok(PressureTrigger { file, taken });
            }
            Err(refused) => refused,
        };
        let taken = rounded(wanted);
        if refused.raw_os_error() != Some(libc::EINVAL) || taken == wanted {
            return Err(error(refused));
        }
        let file = set(path, taken).map_err(error)?;
        Ok(PressureTrigger { file, taken })
    }

    /// What the kernel took, which may have a longer window than was asked for.
    pub fn taken(&self) -> Trigger {
        self.taken
    }

    /// What a poll for `POLLPRI` said of it.
    pub fn fired(revents: PollFlags) -> Fired {
        if revents.intersects(PollFlags::POLLERR | PollFlags::POLLNVAL) {
            Fired::Gone
        } else if revents.contains(PollFlags::POLLPRI) {
            Fired::Yes
        } else {
            Fired::No
        }
    }
}

impl From<PressureTrigger> for OwnedFd {
    fn from(trigger: PressureTrigger) -> OwnedFd {
        trigger.file.into()
    }
}

impl AsFd for PressureTrigger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The next multiple of 2 s, at most 10 s, with the stall in proportion.
fn rounded(trigger: Trigger) -> Trigger {
    let unit = UNPRIVILEGED.as_micros();
    let multiple = trigger.window.as_micros().div_ceil(unit).max(1);
    let count = u32::try_from(multiple).unwrap_or(u32::MAX);
    let window = UNPRIVILEGED.saturating_mul(count).min(LONGEST);
    let factor = window.as_secs_f64() / trigger.window.as_secs_f64().max(1e-6);
    Trigger {
        stall: trigger.stall.mul_f64(factor).min(window),
        window,
        ..trigger
    }
}

fn set(path: &Path, trigger: Trigger) -> io::Result<File> {
    let mut file = File::options().read(true).write(true).open(path)?;
    file.write_all(&command(trigger))?;
    Ok(file)
}

/// The kernel overwrites the last byte with NUL, so there has to be one to spare.
fn command(trigger: Trigger) -> Vec<u8> {
    let kind = if trigger.full { "full" } else { "some" };
    let (stall, window) = (trigger.stall.as_micros(), trigger.window.as_micros());
    format!("{kind} {stall} {window}\0").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(stall: u64, window: u64) -> Trigger {
        Trigger {
            full: true,
            stall: Duration::from_millis(stall),
            window: Duration::from_millis(window),
        }
    }

    #[test]
    fn totals_are_microseconds() {
        let text = "some avg10=1.53 avg60=0.26 avg300=0.00 total=1234567\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=89\n";
        let expected = Totals {
            some: Duration::from_micros(1_234_567),
            full: Duration::from_micros(89),
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("some avg10=0.00 total=1\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_window_grows_to_a_multiple_of_two_seconds_and_its_stall_with_it() {
        assert_eq!(rounded(trigger(150, 1000)), trigger(300, 2000));
        assert_eq!(rounded(trigger(150, 2000)), trigger(150, 2000));
        assert_eq!(rounded(trigger(300, 3000)), trigger(400, 4000));
        assert_eq!(rounded(trigger(1000, 9500)).window, LONGEST);
    }

    #[test]
    fn the_kernel_has_a_byte_to_overwrite() {
        assert_eq!(command(trigger(150, 2000)), b"full 150000 2000000\0");
    }

    #[test]
    fn a_trigger_that_is_gone_is_not_taken_for_one_that_fired() {
        let both = PollFlags::POLLERR | PollFlags::POLLPRI;
        assert_eq!(PressureTrigger::fired(both), Fired::Gone);
        assert_eq!(PressureTrigger::fired(PollFlags::POLLPRI), Fired::Yes);
        assert_eq!(PressureTrigger::fired(PollFlags::empty()), Fired::No);
    }

    #[test]
    fn the_bound_is_looked_at_where_a_cgroup_is_it() {
        let dir = tempfile::tempdir().unwrap();
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";
        std::fs::write(dir.path().join(CGROUP), text).unwrap();
        let bound = dir.path().join("memory.max").display().to_string();
        let mut pressure = Pressure::of_bound(Some(&bound)).unwrap();
        assert!(pressure.path().starts_with(dir.path()));
        assert_eq!(pressure.totals().unwrap().full, Duration::from_micros(5));
    }
}
