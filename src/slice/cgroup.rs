//! A slice that is a cgroup v2 directory: limits the kernel enforces, counters that tell why a child died.
//!
//! Limits are written into the empty cgroup and read back before the child is born in it. `memory.high` is not
//! used: it stops an encoder for ever instead of slowing it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::fs::{Mode, OFlags};

use super::{Breach, Containment, Limits, Slice, SliceError, whole_pages};
use crate::child::{self, Launch, Placement, Process};
use crate::core::poll;
use crate::memory::{Usage, value};

/// How long a killed cgroup may take to be empty: 2 GiB take 64 ms to free (measured), a stuck disk longer.
const EMPTY_WITHIN: Duration = Duration::from_secs(5);
/// Longest `memory.stat`, `memory.events` or `cgroup.procs` we read, bytes.
const READ_BOUND: u64 = 1 << 20;

/// One attempt's cgroup.
#[derive(Debug)]
pub struct CgroupSlice {
    dir: PathBuf,
    fd: OwnedFd,
    containment: Containment,
    events: File,
    stat: File,
    swap: Option<File>,
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
        set(
            &dir.join("memory.max"),
            &whole_pages(limits.memory_bytes.max(super::CGROUP_MEMORY_FLOOR)).to_string(),
        )?;
        // Absent where the kernel was built or booted without swap accounting: then there is nothing to forbid.
        if dir.join("memory.swap.max").exists() {
            set(&dir.join("memory.swap.max"), "0")?;
        }
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
            File::open(&path).map_err(|source| file_error("read", &path, source))
        };
        Ok(CgroupSlice {
            dir: dir.to_owned(),
            fd,
            containment,
            events: open("memory.events")?,
            stat: open("memory.stat")?,
            swap: open("memory.swap.current").ok(),
            peak_needs: 0,
            made: Instant::now(),
            removed: false,
        })
    }

    fn counter(&mut self, key: &str) -> u64 {
        let text = reread(&mut self.events).unwrap_or_default();
        value(&text, key).unwrap_or(0)
    }

    /// What it holds that cannot be reclaimed, swap included, bytes.
    fn needs(&mut self) -> u64 {
        let needs = reread(&mut self.stat)
            .map(|text| crate::memory::needs_from_stat(&text))
            .unwrap_or(0);
        let swap: Option<u64> = self
            .swap
            .as_mut()
            .and_then(|file| reread(file).ok())
            .and_then(|text| text.trim().parse().ok());
        needs + swap.unwrap_or(0)
    }

    fn number(&self, name: &str) -> Option<u64> {
        fs::read_to_string(self.dir.join(name))
            .ok()?
            .trim()
            .parse()
            .ok()
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
        self.peak_needs = self.peak_needs.max(self.needs());
        self.verdict()
    }

    fn next_look(&self) -> Duration {
        poll::next_sample(self.made.elapsed())
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        Some(self.events.as_fd())
    }

    fn activity(&self) -> Usage {
        let mut usage = Usage::default();
        for pid in members(&self.dir) {
            usage.processes += 1;
            let Ok(process) = procfs::process::Process::new(pid) else {
                continue;
            };
            usage.io_bytes += process.io().map_or(0, |io| io.rchar + io.wchar);
        }
        usage
    }

    fn usage(&mut self) -> Usage {
        Usage {
            needs_bytes: self.needs(),
            ..Usage::default()
        }
    }

    fn freeze(&self, _frozen: bool) -> Result<(), SliceError> {
        Ok(())
    }

    fn reclaim(&mut self, _bytes: u64) -> Result<u64, SliceError> {
        Ok(0)
    }

    fn signal(&self, signal: Signal) {
        for pid in members(&self.dir) {
            // A process of this cgroup is named by pidfd and looked up again in the cgroup afterwards, so a PID
            // that ended and was reused elsewhere is not signalled.
            let Some(pid) = rustix::process::Pid::from_raw(pid) else {
                continue;
            };
            let flags = rustix::process::PidfdFlags::empty();
            let Ok(pidfd) = rustix::process::pidfd_open(pid, flags) else {
                continue;
            };
            let number = rustix::process::Signal::from_named_raw(signal as i32);
            if let (true, Some(number)) = (
                members(&self.dir).contains(&pid.as_raw_nonzero().get()),
                number,
            ) {
                let _already_gone = rustix::process::pidfd_send_signal(pidfd, number);
            }
        }
    }

    fn kill(&self) {
        kill(&self.dir);
    }

    fn is_empty(&self) -> bool {
        is_empty(&self.dir)
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
        self.number("memory.peak")
            .unwrap_or_else(|| self.peak_needs.max(max_rss_bytes))
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
}

impl Drop for CgroupSlice {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            log::warn!("{error}; the next start of ffwarden removes it");
        }
    }
}

/// Kills all that is in a cgroup and below it, at once and safe against forks (`cgroup.kill`, Linux 5.14).
pub fn kill(dir: &Path) {
    if fs::write(dir.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for pid in members(dir) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid)
            && let Ok(pidfd) =
                rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
            && members(dir).contains(&pid.as_raw_nonzero().get())
        {
            let _already_gone =
                rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL);
        }
    }
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
    fs::read_to_string(dir.join("cgroup.events"))
        .map_or(true, |text| value(&text, "populated").unwrap_or(0) == 0)
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

pub(super) fn file_error(action: &str, path: &Path, source: std::io::Error) -> SliceError {
    SliceError::File {
        action: action.to_owned(),
        path: path.to_owned(),
        source,
    }
}

/// The file again from its start, through a descriptor kept open: 4 to 7 times cheaper than opening it, and
/// possible when no memory is left.
fn reread(file: &mut File) -> std::io::Result<String> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(READ_BOUND).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(memory_bytes: u64) -> Limits {
        Limits {
            memory_bytes,
            pids_max: 64,
            expected_threads: 4,
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
}
