//! The attempts of a job, one after the other, until one works or nothing is left.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::stat::{SFlag, fstat};

use super::heartbeat::FfmpegHeartbeat;
use super::heartbeat::{Heartbeat, IoHeartbeat};
use super::link::GuardLink;
use super::outputs::{Outputs, Prepared};
use super::verdict::{FAILED, TIMED_OUT, Verdict};
use super::watch::{Ended, Watch};
use super::{Job, JobError, Plan, Request, reason, wait};
use crate::child::{Launch, Signals};
use crate::core::ladder::{GiveUp, Ladder, Next, Outcome};
use crate::core::{budget, outcome};
use crate::memory;
use crate::report::{Attempt, Output};
use crate::slice::detect::Container;
use crate::slice::{Limits, Slice};
use crate::sys::WaitStatus;

/// How a job ended.
#[derive(Debug)]
pub struct Finished {
    /// What ffwarden ends with.
    pub verdict: Verdict,
    /// Every attempt.
    pub attempts: Vec<Attempt>,
    /// What was written.
    pub outputs: Vec<Output>,
    /// Why no further attempt was made, when memory ran out for good.
    pub gave_up: Option<GiveUp>,
}

/// What an attempt runs with.
struct Run<'a> {
    job: &'a Job,
    request: &'a Request,
    container: &'a mut Container,
    guard: &'a mut GuardLink,
    signals: Signals,
    terminal: Option<nix::sys::termios::Termios>,
}

/// Runs a job to its end.
///
/// # Errors
/// When the command cannot be started, a slice not be made, or an output not be put in place.
pub fn run(
    job: &Job,
    request: &Request,
    container: &mut Container,
    guard: &mut GuardLink,
) -> Result<Finished, JobError> {
    let mut outputs = match Outputs::prepare(job, true)? {
        Prepared::Outputs(outputs) => outputs,
        // The user answered FFmpeg's question with no; FFmpeg's words and exit code.
        Prepared::NotOverwriting => {
            return Ok(Finished {
                verdict: Verdict::Exit(1),
                attempts: vec![],
                outputs: vec![],
                gave_up: None,
            });
        }
    };
    let mut ladder = Ladder::new(job.rungs.len(), job.first, request.retries, job.repeatable);
    let terminal = std::io::stdin()
        .is_terminal()
        .then(|| nix::sys::termios::tcgetattr(std::io::stdin()).ok());
    let mut run = Run {
        job,
        request,
        container,
        guard,
        signals: Signals::receive()?,
        terminal: terminal.flatten(),
    };
    let mut attempts = Vec::new();
    loop {
        let plan = &job.rungs[ladder.rung()];
        let (attempt, ended, settled) = run.attempt(plan, &mut outputs, &ladder)?;
        let outcome = attempt.outcome;
        attempts.push(attempt);
        if let Err(error) = settled {
            log::error!("{error}");
            let (verdict, outputs) = (Verdict::Exit(FAILED), outputs.report());
            return Ok(Finished {
                verdict,
                outputs,
                attempts,
                gave_up: None,
            });
        }
        let next = if ended.interrupted {
            Next::Done
        } else {
            ladder.after(outcome, jitter())
        };
        let (verdict, gave_up) = match next {
            Next::Retry { rung, after } => {
                run.say_retry(&attempts, &job.rungs[rung], after);
                match wait::wait(&mut run.signals, run.guard, after) {
                    None => continue,
                    Some(signal) => (Verdict::Signal(signal as i32), None),
                }
            }
            Next::Done => (verdict(outcome, ended.status), None),
            Next::GiveUp(reason) => (Verdict::Exit(FAILED), Some(reason)),
        };
        return Ok(Finished {
            verdict,
            outputs: outputs.report(),
            attempts,
            gave_up,
        });
    }
}

/// The verdict on a job whose last attempt ended like this.
fn verdict(outcome: Outcome, status: WaitStatus) -> Verdict {
    match outcome {
        Outcome::Timeout | Outcome::Stalled => Verdict::Exit(TIMED_OUT),
        _ => Verdict::from(status),
    }
}

impl Run<'_> {
    /// One attempt: what it was, how it ended, and whether its outputs are in their place.
    fn attempt(
        &mut self,
        plan: &Plan,
        outputs: &mut Outputs,
        ladder: &Ladder,
    ) -> Result<(Attempt, Ended, Result<(), JobError>), JobError> {
        let limits = if ladder.is_first() {
            plan.limits
        } else {
            self.limits(plan)?
        };
        let command = outputs.begin(plan);
        outputs
            .temporaries()
            .for_each(|path| self.guard.file_made(path));
        let dir = self.container.next_dir();
        dir.iter().for_each(|dir| self.guard.cgroup_made(dir));
        let mut slice = self.container.slice(&limits)?;
        let kills_before = memory::oom_kills();

        let ended = self.watch(&mut *slice, command.clone(), ladder)?;

        let peak_bytes = slice.peak_bytes(ended.max_rss_bytes);
        let peak_needs_bytes = slice.peak_needs_bytes();
        // The attempt has ended, and its output matters more than its empty cgroup.
        if let Err(error) = slice.remove() {
            log::warn!("{error}; the next start of ffwarden removes it");
        }
        drop(slice);
        dir.iter().for_each(|dir| self.guard.cgroup_removed(dir));
        let outcome = outcome(&ended, kills_before);
        self.restore_terminal(&ended);
        let temporaries: Vec<_> = outputs.temporaries().map(ToOwned::to_owned).collect();
        let settled = if outcome == Outcome::Exited && ended.status == WaitStatus::Exited(0) {
            outputs.commit()
        } else {
            outputs.discard();
            Ok(())
        };
        temporaries
            .iter()
            .for_each(|path| self.guard.file_done(path));
        let (exit_code, signal) = match ended.status {
            WaitStatus::Exited(code) => (Some(code), None),
            WaitStatus::Signaled(number) => (None, Some(number)),
        };
        let attempt = Attempt {
            profile: plan.profile.clone(),
            argv: command,
            slice: dir,
            estimate_bytes: plan.estimate_bytes(),
            limit_bytes: limits.memory_bytes,
            peak_bytes,
            peak_needs_bytes,
            outcome,
            exit_code,
            signal,
            wall_seconds: ended.wall.as_secs_f64(),
            cpu_seconds: ended.cpu.as_secs_f64(),
            reason: reason::sentence(
                outcome,
                ended.cause,
                ended.status,
                ended.wall,
                limits.memory_bytes,
                peak_bytes,
            ),
        };
        Ok((attempt, ended, settled))
    }

    /// The plan's limits; where they came from what was free, with what is free now.
    fn limits(&self, plan: &Plan) -> Result<Limits, JobError> {
        if self.job.asked_bytes.is_some() {
            return Ok(plan.limits);
        }
        let machine = memory::machine()?;
        let now = budget::budget(machine.total_bytes, machine.available_bytes);
        let memory_bytes =
            budget::limit(None, now, plan.ceiling_bytes).max(self.container.memory_floor());
        Ok(Limits {
            memory_bytes,
            ..plan.limits
        })
    }

    fn watch(
        &mut self,
        slice: &mut dyn Slice,
        argv: Vec<OsString>,
        ladder: &Ladder,
    ) -> Result<Ended, JobError> {
        let mut launch = Launch {
            path: self.job.program.clone(),
            argv,
            keep_fd: None,
            apart: None,
        };
        let mut heartbeat: Option<Box<dyn Heartbeat>> = None;
        if self.request.stall_timeout.is_some() {
            heartbeat = Some(self.heartbeat(&mut launch)?);
        }
        let stall = match (self.request.stall_timeout, &mut heartbeat) {
            (Some(limit), Some(heartbeat)) => Some((limit, &mut **heartbeat as &mut dyn Heartbeat)),
            _ => None,
        };
        let watch = Watch {
            slice,
            signals: &mut self.signals,
            guard: self.guard,
            timeout: self.request.timeout,
            stall,
        };
        let started = || {
            if !ladder.may_repeat() {
                let_go_of_pipes();
            }
        };
        Ok(watch.run(launch, started)?)
    }

    /// FFmpeg tells its progress when asked to; of any other command only its I/O is seen.
    fn heartbeat(&self, launch: &mut Launch) -> Result<Box<dyn Heartbeat>, JobError> {
        let ffmpeg = self.job.ffmpeg.as_ref();
        if ffmpeg.is_none_or(|command| command.has_global("progress")) {
            return Ok(Box::new(IoHeartbeat));
        }
        let (heartbeat, child_end) = FfmpegHeartbeat::open()?;
        launch.argv = FfmpegHeartbeat::asked(&launch.argv, &child_end);
        launch.keep_fd = Some(child_end);
        Ok(Box::new(heartbeat))
    }

    /// FFmpeg puts the terminal into raw mode and puts it back when it ends; a killed one cannot.
    fn restore_terminal(&self, ended: &Ended) {
        if let (WaitStatus::Signaled(_), Some(before)) = (ended.status, &self.terminal) {
            let stdin = std::io::stdin();
            // tcsetattr from the background would stop us.
            if nix::unistd::tcgetpgrp(&stdin).is_ok_and(|group| group == nix::unistd::getpgrp())
                && let Err(errno) =
                    nix::sys::termios::tcsetattr(&stdin, nix::sys::termios::SetArg::TCSANOW, before)
            {
                log::debug!("cannot restore the terminal: {errno}");
            }
        }
    }

    fn say_retry(&self, attempts: &[Attempt], next: &Plan, after: Duration) {
        let reason = attempts
            .last()
            .and_then(|attempt| attempt.reason.as_deref())
            .unwrap_or("stopped");
        let profile = next
            .profile
            .as_deref()
            .map_or(String::new(), |name| format!(" with profile {name}"));
        let wait = if after.is_zero() {
            String::new()
        } else {
            format!(" in {:.0} s", after.as_secs_f64())
        };
        log::warn!("{reason}; trying again{profile}{wait}");
    }
}

/// What an attempt's end means.
fn outcome(ended: &Ended, kills_before: Option<u64>) -> Outcome {
    let signal = match ended.status {
        WaitStatus::Signaled(number) => Some(number),
        WaitStatus::Exited(_) => None,
    };
    // Without a cgroup the kernel's counter tells whether its OOM killer was at work.
    let killed = signal.is_some() && kills_before.is_some() && memory::oom_kills() > kills_before;
    outcome::outcome(ended.cause, signal, killed)
}

/// 0 to 1, different for jobs that failed at the same moment.
fn jitter() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::hash::RandomState::new().build_hasher().finish();
    (random % 1000) as f64 / 1000.0
}

/// A reader or writer at the other end of a pipe must not wait for us when the child has closed its end.
fn let_go_of_pipes() {
    let Ok(null) = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
    else {
        return;
    };
    if is_pipe(std::io::stdin()) {
        let _still_open = nix::unistd::dup2_stdin(&null);
    }
    if is_pipe(std::io::stdout()) {
        let _still_open = nix::unistd::dup2_stdout(&null);
    }
}

/// Whether a descriptor is a pipe or a socket.
pub fn is_pipe(fd: impl AsFd) -> bool {
    fstat(fd).is_ok_and(|stat| {
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        kind == SFlag::S_IFIFO || kind == SFlag::S_IFSOCK
    })
}
