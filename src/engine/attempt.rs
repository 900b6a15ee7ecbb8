//! One attempt from its start until nothing of it is alive: what it uses, what it is asked, and why it ended.
//!
//! How it is started is in `start`; what it leaves is cleared by `settle`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Running, Stage};
use crate::child::Process;
use crate::core::outcome::Cause;
use crate::core::poll;
use crate::core::{JobId, Use};
use crate::job::heartbeat::{FfmpegHeartbeat, Heartbeat, IoHeartbeat};
use crate::job::outputs::Outputs;
use crate::job::watch::{GONE_WITHIN, GRACE, LEFTOVER_GRACE, ask_to_end, cause};
use crate::slice::{Slice, Wake};
use crate::sys::{Reaped, WaitStatus};

/// From the start to the first look: nothing fills memory sooner than it takes to exec.
pub const FIRST_LOOK: Duration = Duration::from_millis(2);
/// Signs of life are looked for as often as this at least; FFmpeg's pipe holds those of a minute.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// What is taken for growth between two looks, bytes.
const GROWTH: u64 = 1 << 20;
/// The least time between two looks that a slice asks for.
const DEAF: Duration = Duration::from_millis(50);
/// Between two looks whether what a child left behind has ended: at first, and at most.
const EMPTY_LOOKS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// The same where the kernel tells.
const EMPTY_TOLD: Duration = Duration::from_millis(500);

/// An attempt, its child running or just ended.
pub struct Attempt {
    /// Of which job.
    pub job: JobId,
    /// Its container.
    pub slice: Box<dyn Slice>,
    /// The slice's cgroup, where it has one.
    pub dir: Option<PathBuf>,
    /// The child.
    pub process: Process,
    /// What is run.
    pub argv: Vec<OsString>,
    /// Its profile.
    pub profile: Option<String>,
    /// Bytes it is expected to peak at.
    pub estimate_bytes: Option<u64>,
    /// Bytes it is limited to.
    pub limit_bytes: u64,
    /// It is FFmpeg, whose exit code 0 means that it has done all its work even if it was asked to end.
    pub is_ffmpeg: bool,
    /// Seconds of output to come, where known.
    pub seconds: Option<f64>,
    /// FFmpeg's own word on its progress.
    pub heartbeat: Option<FfmpegHeartbeat>,
    /// The longest it may run.
    pub timeout: Option<Duration>,
    /// The longest it may go without progress.
    pub stall: Option<Duration>,
    /// When it was started.
    pub started: Instant,
    /// When it is looked at next, and how long that is after the last time.
    pub look_at: (Instant, Duration),
    /// The last sign of life, and when it came.
    pub last_beat: (u64, Instant),
    /// When signs of life were looked for last.
    pub beat_read: Instant,
    /// The peak from which growth is counted, bytes.
    pub grown_to: u64,
    /// What it used when it was last looked at.
    pub used: Use,
    /// What is done with it.
    pub phase: Phase,
    /// Why we ended it, if we did.
    pub cause: Option<Cause>,
    /// It was killed.
    pub killed: bool,
    /// It stands still.
    pub frozen: bool,
    /// The outputs of its job, until they are cleared.
    pub outputs: Option<Outputs>,
    /// Their temporary names.
    pub temporaries: Vec<PathBuf>,
    /// Until then its slice cannot wake us.
    pub deaf_until: Instant,
    /// The most it used, and the most of that that could not have been reclaimed, bytes; known when it has ended.
    pub peaks: (u64, u64),
}

/// Where an attempt stands.
#[derive(Debug)]
pub enum Phase {
    /// The child runs.
    Running,
    /// It was asked to end; at this time it is killed, if at any.
    Stopping(Option<Instant>),
    /// It has ended, and what it left behind is ending.
    Leaving(Leaving),
    /// All of it has ended; its cgroup and its outputs are being cleared.
    Settling(Ended),
}

/// How a child ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// What wait4 said.
    pub reaped: Reaped,
    /// From start to end.
    pub wall: Duration,
    /// Why.
    pub cause: Cause,
    /// The kernel's OOM killer was at work.
    pub kernel_killed: bool,
}

/// What is left of a child that has ended.
#[derive(Debug)]
pub struct Leaving {
    ended: Ended,
    kill_from: Instant,
    give_up: Instant,
    look_at: Instant,
    pause: Duration,
}

impl Attempt {
    /// When something has to be done with it though nothing happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Running => {
                let timeout = self.timeout.map(|timeout| self.started + timeout);
                let stall = self.stall.map(|stall| self.last_beat.1 + stall);
                let times = [timeout, stall.filter(|_| !self.frozen)];
                let first = times.into_iter().flatten().min();
                Some(first.map_or(self.look_at.0, |first| first.min(self.look_at.0)))
            }
            Phase::Stopping(kill_at) => {
                Some(kill_at.map_or(self.look_at.0, |at| at.min(self.look_at.0)))
            }
            Phase::Leaving(leaving) => Some(leaving.look_at),
            Phase::Settling(_) => None,
        }
    }

    /// Does what is due. True when all of it has ended.
    pub fn go_on(&mut self, now: Instant) -> bool {
        match &mut self.phase {
            Phase::Running => {
                self.look_if_due(now);
                self.deadlines(now);
                false
            }
            Phase::Stopping(kill_at) => {
                if kill_at.is_some_and(|at| now >= at) {
                    // Again, in case something was forked meanwhile.
                    *kill_at = Some(now + GRACE);
                    self.slice.kill();
                }
                self.look_if_due(now);
                false
            }
            Phase::Leaving(_) => self.leave(now),
            Phase::Settling(_) => false,
        }
    }

    /// Looks at once.
    pub fn look(&mut self, now: Instant) {
        if !self.is_alive() {
            return;
        }
        // Also when it was asked to end already: it must not outgrow its limit in the time that it has left.
        if let Some(breach) = self.slice.look()
            && !self.killed
        {
            self.kill(cause(breach), now);
        }
        if now >= self.beat_read + BEAT_EVERY {
            self.beat(now);
        }
        let mut pause = self.slice.next_look();
        let peak = self.slice.peak_needs_bytes();
        if self.dir.is_none() && peak < self.grown_to + GROWTH {
            pause = pause.max(poll::next_look_at_rest(self.look_at.1));
        } else {
            self.grown_to = peak;
        }
        self.look_at = (now + pause, pause);
    }

    /// What its slice may wake us for now.
    pub fn wakes(&self, now: Instant) -> &'static [Wake] {
        match self.phase {
            Phase::Running | Phase::Stopping(_) if now >= self.deaf_until => {
                &[Wake::Limit, Wake::Pressure]
            }
            Phase::Leaving(_) => &[Wake::Empty],
            _ => &[],
        }
    }

    /// Its slice has woken us: looks at once, and then not again for a moment. A child that fills its slice with file
    /// cache runs into its limit a hundred times a second.
    pub fn woken(&mut self, now: Instant) {
        if let Phase::Leaving(leaving) = &mut self.phase {
            leaving.look_at = now;
            return;
        }
        self.look(now);
        self.deaf_until = now + DEAF;
        self.look_at.0 = self.look_at.0.min(self.deaf_until);
    }

    /// What is nearly due is done as well, so that many attempts come to be looked at together.
    fn look_if_due(&mut self, now: Instant) {
        if now + self.look_at.1 / 4 >= self.look_at.0 {
            self.look(now);
        }
    }

    fn beat(&mut self, now: Instant) {
        self.beat_read = now;
        let beat = match (&mut self.heartbeat, self.stall) {
            (Some(heartbeat), _) => heartbeat.beat(&*self.slice),
            (None, Some(_)) => IoHeartbeat.beat(&*self.slice),
            (None, None) => return,
        };
        if beat != self.last_beat.0 || self.frozen {
            self.last_beat = (beat, now);
        }
    }

    fn deadlines(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        if self
            .timeout
            .is_some_and(|timeout| now >= self.started + timeout)
        {
            self.stop(Cause::Timeout, now);
        } else if let Some(stall) = self.stall
            && !self.frozen
            && now >= self.last_beat.1 + stall
        {
            self.beat(now);
            if now >= self.last_beat.1 + stall {
                self.stop(Cause::Stalled, now);
            }
        }
    }

    /// Measures what it uses.
    pub fn measure(&mut self, now: Instant) -> Use {
        if self.is_alive() {
            self.look(now);
            self.beat(now);
            let usage = self.slice.usage();
            self.used = Use {
                needs_bytes: usage.needs_bytes,
                swapped_bytes: usage.swapped_bytes,
                cpu: usage.cpu,
                progress: self.progress().map(|part| (part * 1000.0) as u32),
            };
        } else {
            (self.used.needs_bytes, self.used.swapped_bytes) = (0, 0);
        }
        self.used
    }

    /// How far it is, 0 to 1.
    pub fn progress(&self) -> Option<f64> {
        let whole = self.seconds.filter(|whole| *whole > 0.0)?;
        let written = self.heartbeat.as_ref()?.written_seconds()?;
        Some((written / whole).clamp(0.0, 1.0))
    }

    /// Whether its child has not ended.
    pub fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping(_))
    }

    /// Asks it to end, and kills it after the grace time.
    pub fn stop(&mut self, cause: Cause, now: Instant) {
        self.ask(cause, Some(now + GRACE));
    }

    /// Asks it to end and leaves it the time that it takes.
    pub fn ask(&mut self, cause: Cause, kill_at: Option<Instant>) {
        if matches!(self.phase, Phase::Running) {
            self.cause.get_or_insert(cause);
            ask_to_end(&*self.slice, self.frozen);
            self.frozen = false;
            self.phase = Phase::Stopping(kill_at);
        }
    }

    /// Ends it now.
    pub fn kill(&mut self, cause: Cause, now: Instant) {
        if self.is_alive() {
            self.cause.get_or_insert(cause);
            self.slice.kill();
            self.killed = true;
            self.phase = Phase::Stopping(Some(now + GRACE));
        }
    }

    /// Lets it go on.
    pub fn thaw(&mut self, now: Instant) {
        if let Err(error) = self.slice.freeze(false) {
            log::warn!("{error}");
        }
        self.frozen = false;
        self.last_beat.1 = now;
    }

    /// We are stopped from the terminal, and our children with us; or we go on.
    pub fn pause(&mut self, stopped: bool, now: Instant) {
        if !self.frozen && self.is_alive() {
            let signal = if stopped {
                Signal::SIGSTOP
            } else {
                Signal::SIGCONT
            };
            self.slice.signal(signal);
            self.last_beat.1 = now;
        }
    }

    /// Its child has ended. True when nothing is left of it.
    /// `kernel_killed`: its OOM killer was at work, which no counter of the slice's own can tell.
    pub fn reaped(&mut self, reaped: Reaped, kernel_killed: bool, now: Instant) -> bool {
        self.beat(now);
        let verdict = self.slice.verdict();
        let was_asked = self.cause.is_some();
        let finished = self.is_ffmpeg && reaped.status == WaitStatus::Exited(0);
        let by_us = self.cause.filter(|_| !finished);
        let ended = Ended {
            reaped,
            wall: now.duration_since(self.started),
            cause: by_us.or(verdict.map(cause)).unwrap_or(Cause::Itself),
            kernel_killed,
        };
        let mut kill_from = now;
        if !self.slice.is_empty() && !was_asked {
            ask_to_end(&*self.slice, self.frozen);
            kill_from += LEFTOVER_GRACE;
        }
        self.frozen = false;
        self.phase = Phase::Leaving(Leaving {
            ended,
            kill_from,
            give_up: now + LEFTOVER_GRACE + GONE_WITHIN,
            look_at: now,
            pause: match self.slice.wake(Wake::Empty) {
                Some(_) => EMPTY_TOLD,
                None => EMPTY_LOOKS.0,
            },
        });
        self.leave(now)
    }

    fn leave(&mut self, now: Instant) -> bool {
        let Phase::Leaving(leaving) = &mut self.phase else {
            return false;
        };
        if now < leaving.look_at {
            return false;
        }
        let empty = self.slice.is_empty();
        if !empty && now < leaving.give_up {
            leaving.look_at = now + leaving.pause;
            if now >= leaving.kill_from {
                self.slice.kill();
            } else {
                leaving.look_at = leaving.look_at.min(leaving.kill_from);
            }
            if self.slice.wake(Wake::Empty).is_none() {
                leaving.pause = (leaving.pause * 2).min(EMPTY_LOOKS.1);
            }
            return false;
        }
        let rss = leaving.ended.reaped.max_rss_bytes;
        self.peaks = (self.slice.peak_bytes(rss), self.slice.peak_needs_bytes());
        if !empty {
            log::warn!(
                "{}: a killed process has not ended after {} s",
                self.job,
                GONE_WITHIN.as_secs()
            );
        }
        self.phase = Phase::Settling(leaving.ended);
        true
    }

    /// For the observer.
    pub fn shown(&self, now: Instant) -> Running<'_> {
        Running {
            job: self.job,
            argv: &self.argv,
            profile: self.profile.as_deref(),
            needs_bytes: self.used.needs_bytes,
            limit_bytes: self.limit_bytes,
            progress: self.progress(),
            speed: self.heartbeat.as_ref().and_then(FfmpegHeartbeat::speed),
            elapsed: now.duration_since(self.started),
            stage: match self.phase {
                Phase::Running if self.frozen => Stage::Frozen,
                Phase::Running => Stage::Running,
                Phase::Stopping(_) => Stage::Stopping,
                Phase::Leaving(_) | Phase::Settling(_) => Stage::Settling,
            },
        }
    }
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
