//! The one place with `unsafe`: system calls that no safe crate offers.
//!
//! Fork and clone3 (std's `Command` cannot place a child in a cgroup before exec: nix has no clone3), wait4
//! (the only call that gives a child's own resource usage), and a look at a signal's disposition.
//! Policy lives elsewhere; everything here is mechanism.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::Pid;

#[cfg(target_os = "macos")]
pub mod macos;
mod wait;

pub use wait::{Change, Reaped, WaitStatus, next_change, reap_one};

/// Which side of a [`fork`] one is on.
#[derive(Debug)]
pub enum Forked {
    /// In the parent; the new process.
    Parent(Pid),
    /// In the new process.
    Child,
}

/// Forks this process. Meant for the first moments of a run, before any thread exists.
///
/// # Errors
/// `EAGAIN` or `ENOMEM` from fork(2).
pub fn fork() -> io::Result<Forked> {
    // SAFETY: the process is single-threaded here (called before any thread is started), so the child may
    // go on with any code.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Forked::Parent(child)),
        nix::unistd::ForkResult::Child => Ok(Forked::Child),
    }
}

/// What a new process needs to know before it execs. All of it is prepared by the parent, for between
/// fork and exec only async-signal-safe calls are allowed.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The executable, already searched for in `PATH`.
    pub path: CString,
    /// argv, its word 0 as the user typed it.
    pub argv: Vec<CString>,
    /// A cgroup directory the process is born in (clone3 with CLONE_INTO_CGROUP, kernel 5.7).
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The same cgroup's `cgroup.procs`, open for writing: used where clone3 is not to be had.
    pub cgroup_procs: Option<BorrowedFd<'a>>,
    /// The environment as `NAME=value`; none is our own.
    pub env: Option<Vec<CString>>,
    /// What becomes its stdin, stdout and stderr; each above 2. None leaves it ours.
    pub stdio: Option<[BorrowedFd<'a>; 3]>,
    /// It leads a process group of its own, which the terminal's signals do not reach.
    pub own_group: bool,
    /// RLIMIT_DATA, bytes per process.
    pub rlimit_data: Option<u64>,
    /// RLIMIT_NOFILE, soft: what it was before we raised ours.
    pub rlimit_nofile: Option<u64>,
    /// Written to `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<CString>,
    /// A descriptor that stays open across exec under its own number.
    pub keep_fd: Option<BorrowedFd<'a>>,
    /// Signals whose handlers must not run in the child before it execs.
    pub handled: &'a [Signal],
}

/// Starts a process and waits until it has exec'd. Its process ID stays ours until it is waited for.
///
/// # Errors
/// What fork or clone3 said, or the child's own error before or at exec, with `errno` as the OS gave it.
pub fn spawn(exec: &Exec<'_>) -> io::Result<Pid> {
    let mut argv: Vec<*const libc::c_char> = exec.argv.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(std::ptr::null());
    let env: Option<Vec<*const libc::c_char>> = exec.env.as_ref().map(|env| {
        let words = env.iter().map(|word| word.as_ptr());
        words.chain([std::ptr::null()]).collect()
    });
    let (failure_read, failure_write) = cloexec_pipe()?;
    let parent = nix::unistd::getpid();

    // No handler of ours may run in the child between clone and exec: it would write to our pipe.
    let mut before = SigSet::empty();
    sigprocmask(
        SigmaskHow::SIG_BLOCK,
        Some(&SigSet::all()),
        Some(&mut before),
    )?;
    let born = match exec.cgroup {
        Some(cgroup) => match clone_into(cgroup) {
            Err(error) if clone3_is_missing(&error) => fork_plain().map(|pid| (pid, false)),
            other => other.map(|pid| (pid, true)),
        },
        None => fork_plain().map(|pid| (pid, false)),
    };
    let pid = match born {
        Ok((0, by_clone3)) => {
            // SAFETY: we are the new process; `become_child` makes only async-signal-safe calls and never returns.
            unsafe {
                become_child(
                    exec,
                    &argv,
                    env.as_deref(),
                    by_clone3,
                    parent,
                    &before,
                    failure_write.as_raw_fd(),
                )
            }
        }
        Ok((pid, _)) => Pid::from_raw(pid),
        Err(error) => {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
            return Err(error);
        }
    };
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    drop(failure_write);

    let mut errno = [0u8; 4];
    if read_all(&failure_read, &mut errno)? == errno.len() {
        let _reaped = nix::sys::wait::waitpid(pid, None);
        return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)));
    }
    Ok(pid)
}

/// clone3 is absent before Linux 5.3, and refused by the seccomp filters of older container runtimes.
fn clone3_is_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::EPERM | libc::EINVAL)
    )
}

fn fork_plain() -> io::Result<libc::pid_t> {
    // SAFETY: the child goes straight to `become_child`, which is async-signal-safe.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

/// From linux/sched.h; libc's constant is an `int` and overflows.
#[cfg(target_os = "linux")]
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

#[cfg(target_os = "linux")]
fn clone_into(cgroup: BorrowedFd<'_>) -> io::Result<libc::pid_t> {
    // SAFETY: zeroed `clone_args` is valid; without CLONE_VM the child has its own copy of the stack, as with
    // fork, and goes straight to `become_child`.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = cgroup.as_raw_fd() as u64;
    let size = std::mem::size_of::<libc::clone_args>();
    match unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size) } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid as libc::pid_t),
    }
}

#[cfg(not(target_os = "linux"))]
fn clone_into(_cgroup: BorrowedFd<'_>) -> io::Result<libc::pid_t> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

/// The new process between fork and exec.
///
/// # Safety
/// Only in a process just forked. Every call below is async-signal-safe: no allocation, no lock.
unsafe fn become_child(
    exec: &Exec<'_>,
    argv: &[*const libc::c_char],
    env: Option<&[*const libc::c_char]>,
    by_clone3: bool,
    parent: Pid,
    mask: &SigSet,
    failure: RawFd,
) -> ! {
    let fail = |errno: i32| -> ! {
        let bytes = errno.to_ne_bytes();
        // SAFETY: write and _exit are async-signal-safe; `bytes` lives on this stack.
        unsafe {
            libc::write(failure, bytes.as_ptr().cast(), bytes.len());
            libc::_exit(127)
        }
    };
    // SAFETY: plain system calls on memory that the parent prepared and this process has a copy of.
    unsafe {
        for signal in exec.handled {
            libc::signal(*signal as libc::c_int, libc::SIG_DFL);
        }
        // Rust's runtime ignores SIGPIPE; a child expects the default.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        #[cfg(target_os = "linux")]
        {
            // Fires when the thread that forked ends; that is the main thread, so: when the supervisor dies.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::getppid() != parent.as_raw() {
                libc::_exit(127);
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = parent;
        if let (false, Some(procs)) = (by_clone3, exec.cgroup_procs)
            && libc::write(procs.as_raw_fd(), c"0".as_ptr().cast(), 1) != 1
        {
            fail(io_errno());
        }
        if let Some(adjust) = &exec.oom_score_adj {
            let fd = libc::open(
                c"/proc/self/oom_score_adj".as_ptr(),
                libc::O_WRONLY | libc::O_CLOEXEC,
            );
            // Raising the score is always allowed; where /proc is not writable the limit still holds.
            if fd >= 0 {
                libc::write(fd, adjust.as_ptr().cast(), adjust.count_bytes());
            }
        }
        if let Some(bytes) = exec.rlimit_data {
            let limit = libc::rlimit {
                rlim_cur: bytes as libc::rlim_t,
                rlim_max: bytes as libc::rlim_t,
            };
            if libc::setrlimit(libc::RLIMIT_DATA, &limit) != 0 {
                fail(io_errno());
            }
        }
        if let Some(soft) = exec.rlimit_nofile {
            let mut limit: libc::rlimit = std::mem::zeroed();
            if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
                limit.rlim_cur = (soft as libc::rlim_t).min(limit.rlim_max);
                libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
            }
        }
        if exec.own_group && libc::setpgid(0, 0) != 0 {
            fail(io_errno());
        }
        if let Some(fds) = &exec.stdio {
            for (number, fd) in fds.iter().enumerate() {
                if libc::dup2(fd.as_raw_fd(), number as libc::c_int) == -1 {
                    fail(io_errno());
                }
            }
        }
        if let Some(fd) = exec.keep_fd {
            libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0);
        }
        libc::sigprocmask(libc::SIG_SETMASK, mask.as_ref(), std::ptr::null_mut());
        match env {
            Some(env) => libc::execve(exec.path.as_ptr(), argv.as_ptr(), env.as_ptr()),
            None => libc::execv(exec.path.as_ptr(), argv.as_ptr()),
        };
        fail(io_errno())
    }
}

fn io_errno() -> i32 {
    nix::errno::Errno::last_raw()
}

fn read_all(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match nix::unistd::read(fd, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(filled)
}

/// A pipe whose ends are closed by exec: (read, write).
///
/// # Errors
/// `EMFILE` or `ENFILE` when no descriptor is left.
pub fn cloexec_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(target_os = "linux")]
    {
        Ok(nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        let (read, write) = nix::unistd::pipe()?;
        fcntl(&read, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        fcntl(&write, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok((read, write))
    }
}

/// Whether a signal was ignored when ffwarden was started, as under nohup(1).
pub fn is_ignored(signal: Signal) -> bool {
    // SAFETY: a null new action only asks.
    unsafe {
        let mut current: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal as libc::c_int, std::ptr::null(), &raw mut current) == 0
            && current.sa_sigaction == libc::SIG_IGN
    }
}

/// Does to this process what a signal does by default: stops or ends it. For a signal that stops, returns after
/// the process has been continued.
pub fn take_default_action(signal: Signal) {
    // SAFETY: the disposition is put back before any other code runs; raise acts on the calling thread.
    unsafe {
        let mut saved: libc::sigaction = std::mem::zeroed();
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        let number = signal as libc::c_int;
        // Fails for SIGKILL and SIGSTOP, which always have their default action.
        let handled = libc::sigaction(number, &default, &raw mut saved) == 0;
        libc::raise(number);
        if handled {
            libc::sigaction(number, &saved, std::ptr::null_mut());
        }
    }
}

/// A C string from bytes that came from an `OsStr` (which the kernel made without NUL).
///
/// # Errors
/// `InvalidInput` for a NUL byte inside.
pub fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a NUL byte inside an argument"))
}
