//! What has become of our children: wait4, the only call that gives a child's own resource usage.

use std::io;
use std::time::Duration;

use nix::unistd::Pid;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitStatus {
    /// It called exit with this code, 0 to 255.
    Exited(i32),
    /// This signal killed it.
    Signaled(i32),
}

/// A process that ended, with what it and the children it waited for used.
#[derive(Debug, Clone, Copy)]
pub struct Reaped {
    /// Which.
    pub pid: Pid,
    /// How.
    pub status: WaitStatus,
    /// User and system time.
    pub cpu: Duration,
    /// Peak resident set of the largest process, bytes.
    pub max_rss_bytes: u64,
}

/// Children of the calling thread alone: what another thread has started (ffprobe) is that thread's to wait for.
/// Orphans fall to the main thread.
#[cfg(target_os = "linux")]
const OWN: libc::c_int = libc::__WNOTHREAD;
#[cfg(not(target_os = "linux"))]
const OWN: libc::c_int = 0;

/// Reaps one child of this thread that has ended, if any has; never blocks.
///
/// # Errors
/// None is expected but `ECHILD`, which is given as `Ok(None)`.
pub fn reap_one() -> io::Result<Option<Reaped>> {
    match wait_one(0)? {
        Some(Change::Ended(reaped)) => Ok(Some(reaped)),
        _ => Ok(None),
    }
}

/// What has become of a child.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// It has ended, and is reaped.
    Ended(Reaped),
    /// It was stopped.
    Stopped(Pid),
    /// It goes on.
    Continued(Pid),
}

/// Tells one change of a child of this thread, each once, if there is any; never blocks.
///
/// # Errors
/// As [`reap_one`].
pub fn next_change() -> io::Result<Option<Change>> {
    wait_one(libc::WUNTRACED | libc::WCONTINUED)
}

fn wait_one(also: libc::c_int) -> io::Result<Option<Change>> {
    let options = libc::WNOHANG | OWN | also;
    loop {
        let mut status = 0;
        // SAFETY: rusage is plain data; wait4 fills both.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        let pid = unsafe { libc::wait4(-1, &raw mut status, options, &raw mut usage) };
        if pid == 0 {
            return Ok(None);
        }
        if pid < 0 {
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EINTR) => continue,
                Some(libc::ECHILD) => return Ok(None),
                _ => return Err(io::Error::last_os_error()),
            }
        }
        if libc::WIFSTOPPED(status) {
            return Ok(Some(Change::Stopped(Pid::from_raw(pid))));
        }
        if libc::WIFCONTINUED(status) {
            return Ok(Some(Change::Continued(Pid::from_raw(pid))));
        }
        let status = if libc::WIFSIGNALED(status) {
            WaitStatus::Signaled(libc::WTERMSIG(status))
        } else {
            WaitStatus::Exited(libc::WEXITSTATUS(status))
        };
        // Linux counts KiB (getrusage(2)), macOS bytes.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        return Ok(Some(Change::Ended(Reaped {
            pid: Pid::from_raw(pid),
            status,
            cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * unit,
        })));
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_usec).unwrap_or(0) * 1000,
    )
}
