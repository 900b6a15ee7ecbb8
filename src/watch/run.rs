//! The loop of a watcher: look, tell the core, do what it says, print, and sleep until the next look is due or
//! something wakes it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::adopt;
use super::find::Wanted;
use super::keeper::Keeper;
use super::show::{Format, Memory, Row, Shape, Snapshot, time};
use super::target::Target;
use crate::child::Signals;
use crate::config::policy::Policy;
use crate::core::{AttemptId, Event, Sample, State, Use};
use crate::memory::MemoryError;
use crate::memory::proc::since_boot;
use crate::memory::sample::Sampler;
use crate::memory::triggers::Triggers;
use crate::relief::Reliefs;
use crate::slice::detect::Container;
use crate::sys;

/// Lines of a terminal that does not tell.
const USUAL_LINES: usize = 24;
/// Processes that are watched at once; three descriptors for each.
const MOST: usize = 300;
/// Between two looks whether what was asked to end has ended.
const END_LOOK: Duration = Duration::from_millis(50);

/// What to watch and how.
#[derive(Debug)]
pub struct Options {
    /// Which processes.
    pub wanted: Wanted,
    /// Between two lines or tables.
    pub interval: Duration,
    /// How to print.
    pub format: Format,
    /// Hold them to the policy.
    pub enforce: bool,
}

/// Why watching ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Memory could not be read.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Signals could not be received, or nothing be written.
    #[error("cannot watch: {0}")]
    Io(#[from] io::Error),
    /// None of the processes is there.
    #[error("no process {0}: it has ended, or was never there")]
    NoProcess(i32),
}

/// Watches until it is interrupted, or all processes named by PID have ended and no name is watched for. What was
/// frozen goes on.
///
/// # Errors
/// [`WatchError`]; a reader of the output that has gone away is the end, but no error.
pub fn run(
    options: Options,
    policy: &Policy,
    container: Option<Container>,
    out: &mut dyn Write,
) -> Result<(), WatchError> {
    // Before there is any thread.
    let keeper = match options.enforce && policy.freezes() {
        true => Keeper::start()?,
        false => Keeper::none(),
    };
    let mut watcher = Watcher {
        signals: Signals::receive_all_but(Some(Signal::SIGTSTP))?,
        sampler: Sampler::open()?,
        core: adopt::core(policy, options.enforce),
        policy: policy.clone(),
        container,
        targets: BTreeMap::new(),
        triggers: Triggers::default(),
        keeper,
        reliefs: Reliefs::new(policy.relief.clone(), None)?,
        newest: None,
        next: 1,
        wake: None,
        measure_now: false,
        looked: Instant::now(),
        swap_free_bytes: 0,
        show_at: Instant::now(),
        options,
        out,
    };
    let result = watcher.until_the_end();
    watcher.reliefs.end();
    for target in watcher.targets.values_mut() {
        target.release(&mut watcher.keeper);
    }
    match result {
        Err(WatchError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

mod act;
mod search;

struct Watcher<'a> {
    options: Options,
    policy: Policy,
    signals: Signals,
    sampler: Sampler,
    core: State,
    container: Option<Container>,
    targets: BTreeMap<AttemptId, Target>,
    triggers: Triggers,
    reliefs: Reliefs,
    keeper: Keeper,
    /// The newest PID when processes were searched for.
    newest: Option<u64>,
    /// The number of the next one that is found.
    next: u64,
    /// On the core's clock.
    wake: Option<Duration>,
    measure_now: bool,
    looked: Instant,
    swap_free_bytes: u64,
    show_at: Instant,
    out: &'a mut dyn Write,
}

impl Watcher<'_> {
    fn until_the_end(&mut self) -> Result<(), WatchError> {
        // Where pressure is read is known after the first sample.
        self.measure()?;
        self.triggers = Triggers::set(&self.policy, &self.sampler);
        self.search()?;
        for pid in self.options.wanted.pids.clone() {
            let is_there = |target: &Target| target.pids().contains(&pid);
            if !self.targets.values().any(is_there) {
                return Err(WatchError::NoProcess(pid));
            }
        }
        self.look()?;
        loop {
            let waits_for_more = !self.options.wanted.names.is_empty();
            if self.targets.is_empty() && !waits_for_more {
                return Ok(());
            }
            self.show()?;
            self.sleep()?;
            if self.take_signals()? {
                return Ok(());
            }
            self.search()?;
            // What a command of the user's prints wakes us as well.
            if self.due() <= Instant::now() {
                self.look()?;
            }
        }
    }

    fn measure(&mut self) -> Result<Sample, WatchError> {
        let mut sample = self.sampler.sample()?;
        self.swap_free_bytes = sample.swap_free_bytes;
        for target in self.targets.values_mut() {
            let _alive = target.look();
            if !target.found.is_managed {
                let used = Use {
                    needs_bytes: target.usage.needs_bytes,
                    swapped_bytes: target.usage.swapped_bytes,
                    cpu: target.usage.cpu,
                    progress: None,
                };
                sample.attempts.insert(target.attempt, used);
            }
        }
        Ok(sample)
    }

    fn look(&mut self) -> Result<(), WatchError> {
        self.measure_now = false;
        self.looked = Instant::now();
        let sample = self.measure()?;
        self.feed(Event::Measured(sample))?;
        let ended: Vec<AttemptId> = self
            .targets
            .values()
            .filter(|target| target.usage.processes == 0)
            .map(|target| target.attempt)
            .collect();
        for attempt in ended {
            if let Some(mut target) = self.targets.remove(&attempt) {
                target.release(&mut self.keeper);
                let text = format!("{} has ended", target.found.name);
                self.happened("ended", Some(target.found.pid), &text)?;
                if !target.found.is_managed {
                    self.feed(adopt::ended(&target))?;
                }
            }
        }
        self.targets.values_mut().for_each(Target::kill_if_late);
        Ok(())
    }

    fn show(&mut self) -> io::Result<()> {
        if Instant::now() < self.show_at {
            return Ok(());
        }
        self.show_at = Instant::now() + self.options.interval;
        let measures = self.core.measures();
        let mut rows: Vec<Row> = self.targets.values().map(row).collect();
        rows.sort_by(|a, b| (b.needs_bytes, a.pid).cmp(&(a.needs_bytes, b.pid)));
        let snapshot = Snapshot {
            time: time(),
            level: self.core.level(),
            memory: Memory {
                total_bytes: measures.total_bytes,
                available_bytes: measures.available_bytes,
                used_percent: measures.used_percent(),
                swap_free_bytes: self.swap_free_bytes,
                some_percent: measures.some_percent,
                full_percent: measures.full_percent,
            },
            processes: rows,
        };
        let text = snapshot.text(self.options.format, lines());
        self.print(&text)
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// When the next look is.
    fn due(&self) -> Instant {
        if self.measure_now && self.options.enforce {
            return self.looked;
        }
        let kill = self.targets.values().filter_map(Target::kill_at);
        let from_now = |at: Duration| Instant::now() + at.saturating_sub(since_boot());
        // Without enforcing, nobody needs a look sooner than it is shown.
        let core = self.wake.filter(|_| self.options.enforce).map(from_now);
        let poll_at = self.options.enforce.then(|| self.looked + self.policy.poll);
        let stopping = self.targets.values().any(Target::is_stopping);
        let end_at = stopping.then(|| self.looked + END_LOOK);
        kill.chain(core)
            .chain(poll_at)
            .chain(end_at)
            .chain(self.reliefs.next_deadline())
            .fold(self.show_at, Instant::min)
    }

    /// Sleeps until something happens or is due, and tells the core.
    fn sleep(&mut self) -> io::Result<()> {
        let wait = self.due().saturating_duration_since(Instant::now());
        let mut fds = vec![PollFd::new(self.signals.fd(), PollFlags::POLLIN)];
        let of_reliefs = self.reliefs.fds();
        fds.extend(of_reliefs.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let triggers_from = fds.len();
        let mut places = Vec::new();
        for (place, fd) in self.triggers.fds() {
            fds.push(PollFd::new(fd, PollFlags::POLLPRI));
            places.push(place);
        }
        let millis = wait.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        let _interrupted = poll(&mut fds, timeout);
        let of_triggers = fds[triggers_from..].iter().zip(places);
        let said: Vec<_> = of_triggers
            .filter_map(|(fd, place)| Some((place, fd.revents()?)))
            .collect();
        drop(fds);
        for (place, revents) in said {
            if let Some(trigger) = self.triggers.polled(place, revents) {
                let full = trigger.full;
                self.feed(Event::Triggered { full })?;
            }
        }
        for over in self.reliefs.go_on(Instant::now()) {
            self.over(over)?;
        }
        if self.wake.is_some_and(|at| at <= since_boot()) {
            self.wake = None;
            self.feed(Event::Tick)?;
        }
        Ok(())
    }

    /// Answers the signals that have come; whether we are to end.
    fn take_signals(&mut self) -> io::Result<bool> {
        let mut end = false;
        for received in self.signals.pending() {
            match received.signal {
                Signal::SIGCHLD => self.reap()?,
                Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT => end = true,
                _ => {}
            }
        }
        Ok(end)
    }

    /// Our children are relief commands and the keeper, whose end its broken pipe tells.
    fn reap(&mut self) -> io::Result<()> {
        while let Some(reaped) = sys::reap_one()? {
            if let Some(over) = self.reliefs.reaped(&reaped) {
                self.over(over)?;
            }
        }
        Ok(())
    }
}

/// Lines of the terminal that stdout is.
fn lines() -> usize {
    rustix::termios::tcgetwinsize(io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_row))
        .filter(|lines| *lines > 0)
        .unwrap_or(USUAL_LINES)
}

fn row(target: &Target) -> Row {
    let state = if target.is_stopping() {
        Shape::Stopping
    } else if target.frozen {
        Shape::Frozen
    } else if target.found.is_managed {
        Shape::Managed
    } else {
        Shape::Running
    };
    Row {
        pid: target.found.pid,
        name: target.found.name.clone(),
        state,
        needs_bytes: target.usage.needs_bytes,
        processes: target.usage.processes,
        cpu_seconds: target.usage.cpu.as_secs_f64(),
        cpu_percent: target.cpu_percent,
        own_cgroup: target.cgroup().is_some(),
    }
}
