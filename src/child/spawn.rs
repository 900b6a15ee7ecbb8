//! Starting a program: found in `PATH` as execvp(3) does, born in its slice, named by a pidfd.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::{AccessFlags, Pid, access};

use super::signals::HANDLED;
use crate::sys;

/// What to start.
#[derive(Debug)]
pub struct Launch {
    /// The executable file.
    pub path: PathBuf,
    /// All words of the command, the first as the user typed it.
    pub argv: Vec<OsString>,
    /// A descriptor that the child inherits under its own number.
    pub keep_fd: Option<OwnedFd>,
    /// What sets it apart from us; none shares our standard streams, process group and environment.
    pub apart: Option<Apart>,
}

/// A child that runs beside others, with nothing of the terminal.
#[derive(Debug)]
pub struct Apart {
    /// Its stdin, stdout and stderr. It leads a process group of its own.
    pub stdio: [OwnedFd; 3],
    /// Added to our environment, in place of what has the same name.
    pub env: Vec<(OsString, OsString)>,
    /// Its soft limit of open files, where ours was raised.
    pub open_files: Option<u64>,
}

impl Apart {
    /// Our environment with the additions, as the kernel wants it.
    fn environment(&self) -> io::Result<Vec<CString>> {
        let added = |name: &OsString| self.env.iter().any(|(known, _)| known == name);
        let kept = std::env::vars_os().filter(|(name, _)| !added(name));
        kept.chain(self.env.iter().cloned())
            .map(|(name, value)| {
                let mut word = name.into_encoded_bytes();
                word.push(b'=');
                word.extend_from_slice(value.as_bytes());
                sys::c_string(&word)
            })
            .collect()
    }
}

/// Where and under which limits it starts.
#[derive(Debug)]
pub struct Placement<'a> {
    /// The cgroup it is born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// `cgroup.procs` of the same, open for writing, for kernels without clone3.
    pub cgroup_procs: Option<BorrowedFd<'a>>,
    /// RLIMIT_DATA, bytes.
    pub rlimit_data: Option<u64>,
}

/// Why a program did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No such file in `PATH`, or at the path given: exit code 127.
    #[error("{}: command not found", .0.display())]
    NotFound(PathBuf),
    /// It is there and cannot be run: exit code 126.
    #[error("cannot run {}: {source}", .path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The system could not make a process: exit code 125.
    #[error("cannot start {}: {source}", .path.display())]
    Os {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A running child, ours until it is reaped.
#[derive(Debug)]
pub struct Process {
    /// Its process ID.
    pub pid: Pid,
    #[cfg(target_os = "linux")]
    pidfd: Option<OwnedFd>,
}

impl Process {
    /// A process of that ID, for tests that start none.
    #[cfg(test)]
    pub fn named(pid: i32) -> Process {
        Process {
            pid: Pid::from_raw(pid),
            #[cfg(target_os = "linux")]
            pidfd: None,
        }
    }

    /// Sends it a signal, through its pidfd where the kernel has them.
    pub fn signal(&self, signal: Signal) {
        #[cfg(target_os = "linux")]
        if let (Some(pidfd), Some(number)) = (
            &self.pidfd,
            rustix::process::Signal::from_named_raw(signal as i32),
        ) {
            let _already_gone = rustix::process::pidfd_send_signal(pidfd, number);
            return;
        }
        // Safe by PID too: it is our child and not reaped, so its PID cannot have been given away.
        let _already_gone = nix::sys::signal::kill(self.pid, signal);
    }
}

/// Looks a program up as execvp(3) does: a name with a slash is a path, any other is searched for in `PATH`.
///
/// # Errors
/// [`LaunchError::NotFound`], or [`LaunchError::NotExecutable`] when only files without permission were found.
pub fn find_program(name: &OsStr) -> Result<PathBuf, LaunchError> {
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match runnable(&path) {
            Ok(()) => Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(LaunchError::NotFound(path))
            }
            Err(source) => Err(LaunchError::NotExecutable { path, source }),
        };
    }
    let search = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
    let mut refused = None;
    for dir in std::env::split_paths(&search) {
        let path = if dir.as_os_str().is_empty() {
            Path::new(".").join(name)
        } else {
            dir.join(name)
        };
        match runnable(&path) {
            Ok(()) => return Ok(path),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                refused.get_or_insert(LaunchError::NotExecutable { path, source });
            }
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| LaunchError::NotFound(PathBuf::from(name))))
}

fn runnable(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(access(path, AccessFlags::X_OK)?)
}

/// Points by which a child is more likely than its supervisor to be the kernel's choice when memory is out.
const OOM_SCORE_STEP: i32 = 100;

/// A child's `oom_score_adj`: above the supervisor's own and never below zero. An inherited -900 would keep the
/// kernel from enforcing the child's limit.
fn oom_score_adj() -> Option<CString> {
    let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj")
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let score = (own.max(0) + OOM_SCORE_STEP).min(1000);
    sys::c_string(score.to_string().as_bytes()).ok()
}

/// Starts a program in its place. Returns when it has exec'd.
///
/// # Errors
/// [`LaunchError`]: not executable when the kernel refused the file, else what the OS said.
pub fn spawn(launch: &Launch, placement: &Placement<'_>) -> Result<Process, LaunchError> {
    let os_error = |source: io::Error| LaunchError::Os {
        path: launch.path.clone(),
        source,
    };
    let words = launch
        .argv
        .iter()
        .map(|word| sys::c_string(word.as_bytes()))
        .collect::<io::Result<_>>();
    // What was ignored when we were started stays ignored in the child.
    let handled: Vec<Signal> = HANDLED
        .into_iter()
        .filter(|signal| !sys::is_ignored(*signal))
        .collect();
    let environment = launch.apart.as_ref().map(Apart::environment);
    let exec = sys::Exec {
        path: sys::c_string(launch.path.as_os_str().as_bytes()).map_err(os_error)?,
        argv: words.map_err(os_error)?,
        cgroup: placement.cgroup,
        cgroup_procs: placement.cgroup_procs,
        env: environment.transpose().map_err(os_error)?,
        stdio: launch
            .apart
            .as_ref()
            .map(|apart| apart.stdio.each_ref().map(AsFd::as_fd)),
        own_group: launch.apart.is_some(),
        rlimit_data: placement.rlimit_data,
        rlimit_nofile: launch.apart.as_ref().and_then(|apart| apart.open_files),
        oom_score_adj: oom_score_adj(),
        keep_fd: launch.keep_fd.as_ref().map(AsFd::as_fd),
        handled: &handled,
    };
    let pid = sys::spawn(&exec).map_err(|source| match source.raw_os_error() {
        Some(libc::ENOEXEC | libc::EACCES | libc::ETXTBSY | libc::E2BIG) => {
            LaunchError::NotExecutable {
                path: launch.path.clone(),
                source,
            }
        }
        Some(libc::ENOENT) => LaunchError::NotFound(launch.path.clone()),
        _ => os_error(source),
    })?;
    Ok(Process {
        pid,
        #[cfg(target_os = "linux")]
        pidfd: rustix::process::Pid::from_raw(pid.as_raw()).and_then(|pid| {
            rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn programs_are_found_as_execvp_finds_them() {
        assert!(find_program(OsStr::new("sh")).unwrap().is_absolute());
        assert!(matches!(
            find_program(OsStr::new("no-such-command-here")),
            Err(LaunchError::NotFound(_))
        ));
        assert!(matches!(
            find_program(OsStr::new("/no/such/file")),
            Err(LaunchError::NotFound(_))
        ));
        assert!(matches!(
            find_program(OsStr::new("/")),
            Err(LaunchError::NotExecutable { .. })
        ));
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "text").unwrap();
        std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            find_program(plain.as_os_str()),
            Err(LaunchError::NotExecutable { .. })
        ));
    }
}
