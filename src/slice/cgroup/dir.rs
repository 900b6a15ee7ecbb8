//! What is done to a cgroup's directory, whoever's it is.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::memory::kept::Kept;
use crate::memory::value;
use crate::slice::{SliceError, whole_pages};

/// How long a killed cgroup may take to be empty: 2 GiB take 64 ms to free (measured), a stuck disk longer.
const EMPTY_WITHIN: Duration = Duration::from_secs(5);
/// How long a cgroup may take to freeze or thaw: 13 to 31 ms were measured.
const FREEZE_WITHIN: Duration = Duration::from_secs(1);
/// How long one call may reclaim.
const RECLAIM_WITHIN: Duration = Duration::from_secs(1);
/// What is reclaimed at once, bytes: short enough to look at the clock in between.
const RECLAIM_STEP: u64 = 64 << 20;
/// What is pushed out at once, bytes: a slow disk writes it in less than a second.
const PUSH_STEP: u64 = 16 << 20;
/// Less than this, bytes, is no progress.
const PUSH_LEAST: u64 = 1 << 20;
/// So often in a row the kernel may make no progress before there is nothing more to push out. It gives up on pages
/// that are still being written.
const PUSH_TRIES: u32 = 3;
/// The pause between these.
const PUSH_PAUSE: Duration = Duration::from_millis(50);
/// Processes that are named at once before they are signalled; each takes a descriptor.
const AT_ONCE: usize = 128;
/// Longest `cgroup.procs` that is read, bytes.
const READ_BOUND: u64 = 1 << 20;

/// Sends a signal to each process directly in a cgroup.
pub fn signal(dir: &Path, signal: Signal) {
    let Some(number) = rustix::process::Signal::from_named_raw(signal as i32) else {
        return;
    };
    for some in members(dir).chunks(AT_ONCE) {
        let named = |pid: &i32| {
            let pidfd = pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok()?;
            Some((*pid, pidfd))
        };
        let named: Vec<_> = some.iter().filter_map(named).collect();
        // Processes of this cgroup are named by pidfd and looked up again in the cgroup afterwards, so a PID that
        // ended and was reused elsewhere is not signalled.
        let there: BTreeSet<i32> = members(dir).into_iter().collect();
        for (_, pidfd) in named.iter().filter(|(pid, _)| there.contains(pid)) {
            let _already_gone = pidfd_send_signal(pidfd, number);
        }
    }
}

/// Stops all that is in a cgroup and below it, or lets it go on. Returns when it has taken effect.
///
/// # Errors
/// When the kernel refuses, or it has not taken effect in a second; what was to be frozen then goes on.
pub fn freeze(dir: &Path, frozen: bool) -> Result<(), SliceError> {
    let path = dir.join("cgroup.freeze");
    let wanted = if frozen { "1" } else { "0" };
    let write = |text: &str| {
        write_to(&path, text)
            .map_err(|source| file_error(&format!("write {text} to"), &path, source))
    };
    let events_path = dir.join("cgroup.events");
    let unreadable = |source| file_error("read", &events_path, source);
    // Open before the write, so that no change of it is missed.
    let mut events = Kept::open(&events_path).map_err(unreadable)?;
    write(wanted)?;
    let deadline = Instant::now() + FREEZE_WITHIN;
    loop {
        let text = events.read().map_err(unreadable)?;
        if value(text, "frozen").unwrap_or(0) == u64::from(frozen) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            if frozen {
                write("0")?;
            }
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            return Err(file_error(
                &format!("see the effect of {wanted} in"),
                &path,
                late,
            ));
        }
        // Rounded up: a wait of 0.3 ms must not become a busy loop of 0 ms.
        let millis = left.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        let _interrupted = poll(
            &mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)],
            timeout,
        );
    }
}

/// Whether all in a cgroup is to stand still.
pub fn is_frozen(dir: &Path) -> bool {
    number(dir, "cgroup.freeze") == Some(1)
}

/// Lets a cgroup have so many bytes of swap. What it has there already stays until it is used again.
///
/// # Errors
/// When the kernel refuses. A kernel without swap accounting is no error: there is nothing to limit then.
pub fn allow_swap(dir: &Path, bytes: u64) -> Result<(), SliceError> {
    let path = dir.join("memory.swap.max");
    if path.exists() {
        set(&path, &whole_pages(bytes).to_string())?;
    }
    Ok(())
}

/// Pushes the anonymous memory of a frozen cgroup out to swap, as far as [`allow_swap`] lets and for as long as the
/// cgroup stays frozen (`memory.reclaim`, Linux 5.19). The bytes that it holds less afterwards; 0 where the kernel has
/// no such file. Blocks for the time `within` at most, and for one step of 16 MiB beyond.
///
/// File cache is left alone where the kernel can be told so (tried on 6.12): it counts as available as it is. An older
/// one swaps as much as `vm.swappiness` lets; with 0 not at all.
///
/// # Errors
/// When the kernel refuses. That it found nothing to push out is no error.
pub fn push_out(dir: &Path, within: Duration) -> Result<u64, SliceError> {
    let path = dir.join("memory.reclaim");
    let held = || number(dir, "memory.current").unwrap_or(0);
    let before = held();
    let deadline = Instant::now() + within;
    let mut options = " swappiness=200";
    let (mut now, mut tries) = (before, 0);
    while tries < PUSH_TRIES && is_frozen(dir) && Instant::now() < deadline {
        match write_to(&path, &format!("{PUSH_STEP}{options}")) {
            Ok(()) => {}
            // It knows no options.
            Err(source)
                if source.kind() == std::io::ErrorKind::InvalidInput && !options.is_empty() =>
            {
                options = "";
                continue;
            }
            Err(source) if source.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(PUSH_PAUSE);
            }
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => break,
            Err(source) => return Err(file_error("write to", &path, source)),
        }
        let last = std::mem::replace(&mut now, held());
        tries = if now + PUSH_LEAST <= last {
            0
        } else {
            tries + 1
        };
    }
    Ok(before.saturating_sub(now))
}

/// Asks the kernel to take so many bytes back from a cgroup (`memory.reclaim`, Linux 5.19): file cache, and anonymous
/// memory as far as its swap limit allows. The bytes that it holds less afterwards; 0 where the kernel has no such
/// file. Blocks for a second at most, and for one step of 64 MiB beyond.
///
/// # Errors
/// When the kernel refuses. That it found less than was asked for is no error.
pub fn reclaim(dir: &Path, bytes: u64) -> Result<u64, SliceError> {
    let path = dir.join("memory.reclaim");
    let held = || number(dir, "memory.current").unwrap_or(0);
    let before = held();
    let deadline = Instant::now() + RECLAIM_WITHIN;
    let mut left = bytes.min(before);
    while left > 0 && Instant::now() < deadline {
        let step = left.min(RECLAIM_STEP);
        match write_to(&path, &step.to_string()) {
            Ok(()) => left -= step,
            // Less than a step was found: that was all.
            Err(source) if source.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(source) => return Err(file_error(&format!("write {step} to"), &path, source)),
        }
    }
    Ok(before.saturating_sub(held()))
}

/// Writes to a file that is there; the kernel answers an attempt to make one with another error than that it is not.
fn write_to(path: &Path, text: &str) -> std::io::Result<()> {
    File::options()
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())
}

/// Bytes of page cache of files that a cgroup is charged with, as far as it can be reclaimed.
pub fn file_cache(dir: &Path) -> u64 {
    let stat = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
    let lists = ["inactive_file", "active_file"];
    lists.iter().filter_map(|key| value(&stat, key)).sum()
}

/// The number in a file of a cgroup; none for `max`, or where there is no such file.
pub fn number(dir: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok()
}

/// Kills all that is in a cgroup and below it, at once and safe against forks (`cgroup.kill`, Linux 5.14).
pub fn kill(dir: &Path) {
    if fs::write(dir.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    signal(dir, Signal::SIGKILL);
}

/// Kills what is left in a cgroup, waits until it is empty, and removes it with all below it.
///
/// # Errors
/// When it is not empty after five seconds, or the kernel refuses.
pub fn remove(dir: &Path) -> Result<(), SliceError> {
    let deadline = Instant::now() + EMPTY_WITHIN;
    loop {
        if !is_empty(dir) {
            kill(dir);
        } else {
            match remove_tree(dir) {
                Ok(()) => return Ok(()),
                Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                // Large processes hold their cgroup busy for a moment after they have ended.
                Err(source) if Instant::now() >= deadline => {
                    return Err(file_error("remove", dir, source));
                }
                Err(_) => {}
            }
        }
        if Instant::now() >= deadline {
            let source = std::io::Error::from(std::io::ErrorKind::ResourceBusy);
            return Err(file_error("empty", dir, source));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A child may have made cgroups of its own below; rmdir wants them gone first.
fn remove_tree(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}

/// Whether no process is in the cgroup or below it.
pub fn is_empty(dir: &Path) -> bool {
    fs::read_to_string(dir.join("cgroup.events")).map_or(true, |text| says_empty(&text))
}

/// Whether a `cgroup.events` tells of no process.
pub(super) fn says_empty(events: &str) -> bool {
    value(events, "populated").unwrap_or(0) == 0
}

/// The processes directly in a cgroup.
pub fn members(dir: &Path) -> Vec<i32> {
    let mut text = String::new();
    let Ok(file) = File::open(dir.join("cgroup.procs")) else {
        return Vec::new();
    };
    if file.take(READ_BOUND).read_to_string(&mut text).is_err() {
        return Vec::new();
    }
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Writes a limit and reads it back; the kernel may take a write and hold another value.
pub fn set(path: &Path, wanted: &str) -> Result<(), SliceError> {
    fs::write(path, wanted)
        .map_err(|source| file_error(&format!("write {wanted} to"), path, source))?;
    let found = fs::read_to_string(path).map_err(|source| file_error("read", path, source))?;
    if found.trim() == wanted {
        Ok(())
    } else {
        Err(SliceError::NotTaken {
            path: path.to_owned(),
            wanted: wanted.to_owned(),
            found: found.trim().to_owned(),
        })
    }
}

pub(in crate::slice) fn file_error(
    action: &str,
    path: &Path,
    source: std::io::Error,
) -> SliceError {
    SliceError::File {
        action: action.to_owned(),
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_does_not_take_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        // /dev/null takes any write and reads back empty: a limit that was accepted and not held.
        let limit = root.path().join("memory.max");
        std::os::unix::fs::symlink("/dev/null", &limit).unwrap();
        let error = set(&limit, "1073741824").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the limit {} did not take: 1073741824 was written, the kernel holds ",
                limit.display()
            )
        );
    }

    fn cgroup(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn a_kernel_without_memory_reclaim_reclaims_nothing_and_makes_no_file() {
        let dir = cgroup(&[("memory.current", "1000000\n")]);
        assert_eq!(reclaim(dir.path(), 4096).unwrap(), 0);
        assert!(!dir.path().join("memory.reclaim").exists());
    }

    #[test]
    fn no_more_is_asked_for_than_is_held() {
        let dir = cgroup(&[("memory.current", "70000000\n"), ("memory.reclaim", "")]);
        // Nothing comes back from files.
        assert_eq!(reclaim(dir.path(), u64::MAX).unwrap(), 0);
        let last = fs::read_to_string(dir.path().join("memory.reclaim")).unwrap();
        assert!(last.starts_with(&(70_000_000 - RECLAIM_STEP).to_string()));
    }

    #[test]
    fn only_what_stands_still_is_pushed_out_and_not_for_ever() {
        let asked = |frozen: &str| {
            let dir = cgroup(&[
                ("memory.current", "70000000\n"),
                ("memory.reclaim", ""),
                ("cgroup.freeze", frozen),
            ]);
            // Nothing goes from files.
            assert_eq!(push_out(dir.path(), Duration::from_secs(600)).unwrap(), 0);
            fs::read_to_string(dir.path().join("memory.reclaim")).unwrap()
        };
        assert_eq!(asked("0\n"), "");
        assert_eq!(asked("1\n"), "16777216 swappiness=200");
    }

    #[test]
    fn what_does_not_freeze_in_time_goes_on() {
        let dir = cgroup(&[
            ("cgroup.freeze", "0"),
            ("cgroup.events", "populated 1\nfrozen 0\n"),
        ]);
        assert!(freeze(dir.path(), true).is_err());
        let state = fs::read_to_string(dir.path().join("cgroup.freeze")).unwrap();
        assert_eq!(state, "0");
        freeze(dir.path(), false).unwrap();
    }
}
