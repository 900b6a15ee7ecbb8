//! A policy's relief command: an argv, never a shell, that runs beside the attempts and no longer than it may.
//!
//! Who has a loop of its own starts it and tells it what happens; [`run`] is the loop of who has none.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{self, WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::child::{Apart, Launch, LaunchError, Placement, Process, find_program, spawn};
use crate::sys::{self, WaitStatus};

/// Bytes of what it says that are kept for the log.
const SAID_BOUND: usize = 4096;
/// Reads of 1 KiB at once.
const READS: u32 = 64;
/// Between two looks whether it has ended, milliseconds.
const LOOK_MS: u8 = 5;

/// Why it did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ReliefCommandError {
    /// There is no such program, or it cannot be run.
    #[error("the relief command: {0}")]
    Launch(#[from] LaunchError),
    /// A pipe of ours failed, or waiting for it.
    #[error("cannot run the relief command {program}: {source}")]
    Io {
        /// Its first word.
        program: String,
        /// What the OS said.
        source: io::Error,
    },
    /// It ended with another status than 0.
    #[error("the relief command {program} failed: {}", ending(.status))]
    Failed {
        /// Its first word.
        program: String,
        /// How it ended.
        status: WaitStatus,
    },
    /// It ran longer than it may, and was killed.
    #[error(
        "the relief command was killed with all that it had started: {program} was killed after {} s",
        .after.as_secs_f64()
    )]
    Late {
        /// Its first word.
        program: String,
        /// What it was allowed.
        after: Duration,
    },
}

fn ending(status: &WaitStatus) -> String {
    match status {
        WaitStatus::Exited(code) => format!("it exited with {code}"),
        WaitStatus::Signaled(number) => format!("signal {number} killed it"),
    }
}

/// One that was started. Our child until it is reaped, which is its starter's to do.
#[derive(Debug)]
pub struct ReliefCommand {
    program: String,
    process: Process,
    /// None when it has closed it.
    said: Option<OwnedFd>,
    kept: Vec<u8>,
    timeout: Duration,
    kill_at: Instant,
    killed: bool,
}

impl ReliefCommand {
    /// Starts it with nothing on stdin, in a process group of its own. `open_files` is the soft limit of open files
    /// that it gets, where ours was raised.
    ///
    /// # Errors
    /// [`ReliefCommandError::Launch`], [`ReliefCommandError::Io`].
    pub fn start(
        argv: &[String],
        timeout: Duration,
        open_files: Option<u64>,
        now: Instant,
    ) -> Result<ReliefCommand, ReliefCommandError> {
        let program = argv.first().cloned().unwrap_or_default();
        let io = |source: io::Error| ReliefCommandError::Io {
            program: program.clone(),
            source,
        };
        let path = find_program(OsStr::new(&program))?;
        let (said, says) = sys::cloexec_pipe().map_err(io)?;
        fcntl(&said, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|errno| io(errno.into()))?;
        let null = File::open("/dev/null").map_err(io)?;
        let says_too = says.try_clone().map_err(io)?;
        let launch = Launch {
            path,
            argv: argv.iter().map(OsString::from).collect(),
            keep_fd: None,
            apart: Some(Apart {
                stdio: [null.into(), says_too, says],
                env: Vec::new(),
                open_files,
            }),
        };
        let placement = Placement {
            cgroup: None,
            cgroup_procs: None,
            rlimit_data: None,
        };
        let process = spawn(&launch, &placement)?;
        Ok(ReliefCommand {
            program,
            process,
            said: Some(said),
            kept: Vec::new(),
            timeout,
            kill_at: now + timeout,
            killed: false,
        })
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// To be polled for reading: what it says. None when it says nothing more.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        let said = self.said.as_ref().filter(|_| !self.killed);
        said.map(AsFd::as_fd)
    }

    /// When its time is up; none when it was killed.
    pub fn kill_at(&self) -> Option<Instant> {
        (!self.killed).then_some(self.kill_at)
    }

    /// Reads what it says, and kills it with its process group when its time is up.
    ///
    /// # Errors
    /// [`ReliefCommandError::Late`] when it was killed now. It only has to be reaped then.
    pub fn go_on(&mut self, now: Instant) -> Result<(), ReliefCommandError> {
        if self.killed {
            return Ok(());
        }
        self.read();
        if now < self.kill_at {
            return Ok(());
        }
        self.kill();
        Err(ReliefCommandError::Late {
            program: self.program.clone(),
            after: self.timeout,
        })
    }

    /// Kills it with its process group. Not to be called when it was reaped.
    pub fn kill(&mut self) {
        if !self.killed {
            self.say();
            // Its group, which it leads: not reaped, so the number is still its own.
            let _already_gone = killpg(self.process.pid, Signal::SIGKILL);
            self.killed = true;
        }
    }

    /// It has ended and was reaped: whether it did its work. None when it was killed.
    pub fn reaped(mut self, status: WaitStatus) -> Option<Result<(), ReliefCommandError>> {
        if self.killed {
            return None;
        }
        self.read();
        self.say();
        Some(match status {
            WaitStatus::Exited(0) => Ok(()),
            status => Err(ReliefCommandError::Failed {
                program: self.program,
                status,
            }),
        })
    }

    /// No more at once than a pipe holds: one that never pauses must not hold its loop up.
    fn read(&mut self) {
        let mut chunk = [0u8; 1024];
        for _ in 0..READS {
            let Some(said) = &self.said else { return };
            match nix::unistd::read(said, &mut chunk) {
                // A pipe that is closed is always ready.
                Ok(0) => self.said = None,
                Ok(count) => {
                    let room = SAID_BOUND.saturating_sub(self.kept.len()).min(count);
                    self.kept.extend_from_slice(&chunk[..room]);
                }
                Err(_) => return,
            }
        }
    }

    fn say(&self) {
        for line in String::from_utf8_lossy(&self.kept).lines() {
            log::info!("relief command: {}", line.escape_debug());
        }
    }
}

/// Runs one to its end. Blocks its caller for as long as it may run at most.
///
/// # Errors
/// [`ReliefCommandError`].
pub fn run(argv: &[String], timeout: Duration) -> Result<(), ReliefCommandError> {
    let mut command = ReliefCommand::start(argv, timeout, None, Instant::now())?;
    let failed = |program: &str, source| ReliefCommandError::Io {
        program: program.to_owned(),
        source,
    };
    loop {
        let ended = reap(command.pid(), WaitPidFlag::WNOHANG);
        if let Some(status) = ended.map_err(|source| failed(&command.program, source))? {
            return command.reaped(status).unwrap_or(Ok(()));
        }
        if let Err(late) = command.go_on(Instant::now()) {
            let _killed = reap(command.pid(), WaitPidFlag::empty());
            return Err(late);
        }
        let mut fds: Vec<PollFd> = command.fd().map(readable).into_iter().collect();
        let _interrupted = poll(&mut fds, PollTimeout::from(LOOK_MS));
    }
}

/// How a child of ours ended; none when it has not.
fn reap(pid: Pid, flags: WaitPidFlag) -> io::Result<Option<WaitStatus>> {
    match waitpid(pid, Some(flags)) {
        Ok(wait::WaitStatus::Exited(_, code)) => Ok(Some(WaitStatus::Exited(code))),
        Ok(wait::WaitStatus::Signaled(_, signal, _)) => {
            Ok(Some(WaitStatus::Signaled(signal as i32)))
        }
        Ok(_) | Err(Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::POLLIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn its_end_is_told() {
        let minute = Duration::from_secs(60);
        run(&argv(&["true"]), minute).unwrap();
        let failed = run(&argv(&["false"]), minute).unwrap_err();
        assert_eq!(
            failed.to_string(),
            "the relief command false failed: it exited with 1"
        );
        let missing = run(&argv(&["/no/such/program"]), minute).unwrap_err();
        assert!(
            matches!(missing, ReliefCommandError::Launch(_)),
            "{missing}"
        );
        // No shell: this is a program's name.
        assert!(run(&argv(&["true; true"]), minute).is_err());
    }

    #[test]
    fn one_that_says_more_than_is_kept_is_read_to_its_end() {
        let minute = Duration::from_secs(60);
        let words = argv(&["sh", "-c", "head -c 1000000 /dev/zero; exit 3"]);
        let failed = run(&words, minute).unwrap_err();
        assert!(failed.to_string().ends_with("it exited with 3"), "{failed}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_late_one_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 60 & echo $! >'{}'; wait", file.display());
        let late = run(&argv(&["sh", "-c", &script]), Duration::from_millis(500)).unwrap_err();
        assert!(matches!(late, ReliefCommandError::Late { .. }), "{late}");
        let pid: i32 = std::fs::read_to_string(file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let is_alive = || {
            let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
            stat.is_ok_and(|stat| stat.state != 'Z')
        };
        while is_alive() {
            assert!(Instant::now() < deadline, "{pid} lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
