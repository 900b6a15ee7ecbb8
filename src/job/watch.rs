//! One attempt from its start to its end: a single loop that sleeps until a signal, the slice, the guard, the
//! child's progress or a deadline wakes it.

use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::heartbeat::Heartbeat;
use super::link::GuardLink;
use crate::child::{Launch, Process, Received, Sender, Signals};
use crate::core::outcome::Cause;
use crate::slice::{Breach, Slice, SliceError, Wake};
use crate::sys::{self, Reaped, WaitStatus};

/// From SIGTERM to SIGKILL when we stop a child. FFmpeg needs a moment to write its trailer.
pub const GRACE: Duration = Duration::from_secs(5);
/// The same for what a child left behind when it ended.
pub const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// How long killed processes may take to be gone before we stop waiting.
pub const GONE_WITHIN: Duration = Duration::from_secs(10);
/// One signal to a whole process group reaches us on several ways within this time; it is handed on once.
pub const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// From the start to the first look: nothing fills memory sooner than it takes to exec.
const FIRST_LOOK: Duration = Duration::from_millis(2);
/// Between two looks whether what a child left behind has ended, milliseconds.
const EMPTY_LOOK: u8 = 2;
/// The same where the kernel tells.
const EMPTY_TOLD: u8 = 100;

/// What a breach makes of an attempt's end.
pub fn cause(breach: Breach) -> Cause {
    match breach {
        Breach::OwnLimit => Cause::OwnLimit,
        Breach::Crawl => Cause::Crawl,
        Breach::MachineFull => Cause::MachineFull,
    }
}

/// Asks all that is in a slice to end. What is frozen would take the signal only when it goes on, so it is thawed
/// first; what stands still for a job control signal is continued after, for it must not get to the point that
/// stopped it again.
pub fn ask_to_end(slice: &dyn Slice, frozen: bool) {
    if frozen && let Err(error) = slice.freeze(false) {
        log::warn!("{error}");
    }
    slice.signal(Signal::SIGTERM);
    slice.signal(Signal::SIGCONT);
}

/// How an attempt ended and what it cost.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// The child's own end.
    pub status: WaitStatus,
    /// What brought it about.
    pub cause: Cause,
    /// The user asked for the end (INT, TERM, HUP or QUIT): nothing is to be tried again.
    pub interrupted: bool,
    /// From start to end.
    pub wall: Duration,
    /// CPU time of the child and the children it waited for.
    pub cpu: Duration,
    /// Peak resident set of the largest process, bytes.
    pub max_rss_bytes: u64,
}

/// One attempt to be watched.
pub struct Watch<'a> {
    /// Its container.
    pub slice: &'a mut dyn Slice,
    /// What is sent to us.
    pub signals: &'a mut Signals,
    /// Our guard.
    pub guard: &'a GuardLink,
    /// The longest it may run.
    pub timeout: Option<Duration>,
    /// The longest it may go without progress, and what shows progress.
    pub stall: Option<(Duration, &'a mut dyn Heartbeat)>,
}

impl Watch<'_> {
    /// Starts the child and watches it until everything in its slice has ended. `started` is called when the
    /// child runs.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(self, launch: Launch, started: impl FnOnce()) -> Result<Ended, SliceError> {
        let start = Instant::now();
        let process = self.slice.spawn(&launch)?;
        // The parent's copy of what the child inherited is closed here, so that we see its end of file.
        drop(launch);
        started();
        Running {
            watch: self,
            process,
            start,
            look_at: start + FIRST_LOOK,
            stop: None,
            kill_at: None,
            interrupts: 0,
            handed_on: Vec::new(),
            last_beat: (0, start),
        }
        .until_the_end()
    }
}

struct Running<'a> {
    watch: Watch<'a>,
    process: Process,
    start: Instant,
    look_at: Instant,
    stop: Option<Cause>,
    kill_at: Option<Instant>,
    interrupts: u32,
    handed_on: Vec<(Signal, Instant)>,
    last_beat: (u64, Instant),
}

impl Running<'_> {
    fn until_the_end(mut self) -> Result<Ended, SliceError> {
        let reaped = loop {
            self.sleep();
            if let Some(reaped) = self.signals()? {
                break reaped;
            }
            self.look();
            self.deadlines();
        };
        let wall = self.start.elapsed();
        let verdict = self.watch.slice.verdict();
        self.end_leftovers();
        let cause = self.stop.or(verdict.map(cause)).unwrap_or(Cause::Itself);
        Ok(Ended {
            status: reaped.status,
            cause,
            interrupted: self.interrupts > 0,
            wall,
            cpu: reaped.cpu,
            max_rss_bytes: reaped.max_rss_bytes,
        })
    }

    fn sleep(&mut self) {
        let until = self
            .next_deadline()
            .saturating_duration_since(Instant::now());
        let mut fds = vec![
            PollFd::new(self.watch.signals.fd(), PollFlags::POLLIN),
            PollFd::new(self.watch.guard.fd(), PollFlags::empty()),
        ];
        let slice_from = fds.len();
        let mut wakes = Vec::new();
        for wake in [Wake::Limit, Wake::Pressure] {
            if let Some(fd) = self.watch.slice.wake(wake) {
                fds.push(PollFd::new(fd, PollFlags::POLLPRI));
                wakes.push(wake);
            }
        }
        if let Some(fd) = self
            .watch
            .stall
            .as_ref()
            .and_then(|(_, heartbeat)| heartbeat.fd())
        {
            fds.push(PollFd::new(fd, PollFlags::POLLIN));
        }
        // Rounded up: a wait of 0.3 ms must not become a busy loop of 0 ms.
        let millis = until.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        if let Err(errno) = poll(&mut fds, timeout)
            && errno != nix::errno::Errno::EINTR
        {
            log::warn!("poll: {errno}");
        }
        let guard_lost = fds[1].any().unwrap_or(false);
        let of_slice = fds[slice_from..].iter().zip(wakes);
        let said: Vec<_> = of_slice
            .filter_map(|(fd, wake)| Some((wake, fd.revents()?)))
            .filter(|(_, revents)| !revents.is_empty())
            .collect();
        drop(fds);
        for (wake, revents) in said {
            if self.watch.slice.polled(wake, revents) {
                self.look_at = Instant::now();
            }
        }
        if guard_lost && self.stop.is_none() {
            self.stop_now(Cause::Leaving);
        }
    }

    fn next_deadline(&self) -> Instant {
        let timeout = self.watch.timeout.map(|timeout| self.start + timeout);
        let stall = self
            .watch
            .stall
            .as_ref()
            .map(|(limit, _)| self.last_beat.1 + *limit);
        let pending = if self.stop.is_none() {
            [timeout, stall]
        } else {
            [None, None]
        };
        pending
            .into_iter()
            .chain([self.kill_at])
            .flatten()
            .fold(self.look_at, Instant::min)
    }

    /// Handles what was sent to us; the child's end when it has come.
    fn signals(&mut self) -> Result<Option<Reaped>, SliceError> {
        let mut ended = None;
        let mut asked = false;
        for received in self.watch.signals.pending() {
            match received.signal {
                Signal::SIGCHLD => ended = ended.or(self.reap()),
                Signal::SIGTSTP => asked = true,
                Signal::SIGCONT => {
                    self.hand_on(received);
                    self.last_beat.1 = Instant::now();
                    asked = true;
                }
                _ => self.interrupt(received),
            }
        }
        if asked {
            self.stand_still_if_asked(ended.is_none());
        }
        Ok(ended)
    }

    /// Stops the child when we are to stop. It may have been stopped with us, and then has one SIGTSTP more, which
    /// SIGCONT takes back; that it has not gone on meanwhile is worth it.
    fn stand_still_if_asked(&mut self, is_alive: bool) {
        let child = is_alive.then_some(&self.process);
        self.watch.guard.stand_still_if_asked(|still| {
            let signal = if still {
                Signal::SIGTSTP
            } else {
                Signal::SIGCONT
            };
            child.inspect(|child| child.signal(signal));
        });
        self.last_beat.1 = Instant::now();
    }

    fn reap(&self) -> Option<Reaped> {
        let mut ended = None;
        loop {
            match sys::reap_one() {
                Ok(Some(reaped)) if reaped.pid == self.process.pid => ended = Some(reaped),
                // An orphan that fell to us.
                Ok(Some(_)) => {}
                Ok(None) => return ended,
                Err(error) => {
                    log::warn!("wait: {error}");
                    return ended;
                }
            }
        }
    }

    fn interrupt(&mut self, received: Received) {
        let now = Instant::now();
        self.handed_on
            .retain(|(_, at)| now.duration_since(*at) < SAME_SIGNAL);
        if self
            .handed_on
            .iter()
            .any(|(signal, _)| *signal == received.signal)
        {
            return;
        }
        self.handed_on.push((received.signal, now));
        self.hand_on(received);
        if matches!(
            received.signal,
            Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT
        ) {
            self.interrupts += 1;
            // The second time the child gets a last moment, and is then killed.
            if self.interrupts > 1 {
                self.kill_at.get_or_insert(now + GRACE);
            }
        }
    }

    /// What the terminal sends has reached the child as well.
    fn hand_on(&self, received: Received) {
        if let Sender::Process(_) = received.sender {
            self.process.signal(received.signal);
        }
    }

    fn look(&mut self) {
        if Instant::now() < self.look_at {
            return;
        }
        let breach = self.watch.slice.look();
        if let (Some(breach), None) = (breach, self.stop) {
            self.stop_now(cause(breach));
        }
        self.look_at = Instant::now() + self.watch.slice.next_look();
    }

    fn deadlines(&mut self) {
        let now = Instant::now();
        if let Some((_, heartbeat)) = &mut self.watch.stall {
            let beat = heartbeat.beat(self.watch.slice);
            if beat != self.last_beat.0 {
                self.last_beat = (beat, now);
            }
        }
        if self.stop.is_none() {
            if self
                .watch
                .timeout
                .is_some_and(|timeout| now >= self.start + timeout)
            {
                self.stop_gently(Cause::Timeout);
            } else if self
                .watch
                .stall
                .as_ref()
                .is_some_and(|(limit, _)| now >= self.last_beat.1 + *limit)
            {
                self.stop_gently(Cause::Stalled);
            }
        }
        if self.kill_at.is_some_and(|at| now >= at) {
            self.watch.slice.kill();
            // Again, in case something was forked meanwhile.
            self.kill_at = Some(now + GRACE);
        }
    }

    fn stop_gently(&mut self, cause: Cause) {
        self.stop = Some(cause);
        ask_to_end(self.watch.slice, false);
        self.kill_at = Some(Instant::now() + GRACE);
    }

    fn stop_now(&mut self, cause: Cause) {
        self.stop = Some(cause);
        self.watch.slice.kill();
        self.kill_at = Some(Instant::now() + GRACE);
    }

    /// A child's descendants end with it.
    fn end_leftovers(&mut self) {
        if self.watch.slice.is_empty() {
            return;
        }
        if self.stop.is_none() {
            ask_to_end(self.watch.slice, false);
            self.wait_until_empty(LEFTOVER_GRACE);
        }
        let deadline = Instant::now() + GONE_WITHIN;
        while !self.watch.slice.is_empty() && Instant::now() < deadline {
            self.watch.slice.kill();
            self.wait_until_empty(Duration::from_millis(100));
        }
        if !self.watch.slice.is_empty() {
            log::warn!(
                "a killed process has not ended after {} s",
                GONE_WITHIN.as_secs()
            );
        }
    }

    fn wait_until_empty(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            self.reap();
            if self.watch.slice.is_empty() {
                return;
            }
            let _looked_at_next = match self.watch.slice.wake(Wake::Empty) {
                Some(fd) => poll(&mut [PollFd::new(fd, PollFlags::POLLPRI)], EMPTY_TOLD),
                None => poll(&mut [], EMPTY_LOOK),
            };
        }
    }
}
