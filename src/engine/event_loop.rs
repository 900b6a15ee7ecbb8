//! The loop: sleep until something happens, take it in, let the core decide, carry it out.
//!
//! What the core asks for is carried out in `act`, what becomes of an attempt that ended in `ends`, signals are
//! answered in `interrupt`.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::attempt::Attempt;
use super::desk::Desk;
use super::interrupt::Interrupts;
use super::planner::Planner;
use super::settle::Settlers;
use super::sources::{self, Kills};
use super::{Answer, Observer, Outcome, Setup, Status, Tasks};
use crate::child::Signals;
use crate::config::policy::Policy;
use crate::config::profile::Profiles;
use crate::core::{AttemptId, Event, ReliefId, Settings, State, step};
use crate::job::JobError;
use crate::job::link::GuardLink;
use crate::mailbox::{Inbox, mailbox};
use crate::memory::sample::Sampler;
use crate::memory::triggers::Triggers;
use crate::relief::Reliefs;
use crate::report::record::Recorder;
use crate::slice::Wake;
use crate::slice::detect::Container;

/// Open files that are enough for some thousand children; each takes about eight.
const OPEN_FILES: u64 = 65_536;

/// What slices have to tell is no reason to measure all of them again sooner than this.
const FRESH: Duration = Duration::from_millis(50);

/// Everything the loop holds.
pub(super) struct Engine<'a> {
    pub core: State,
    pub tasks: &'a mut dyn Tasks,
    pub observer: &'a mut dyn Observer,
    pub container: &'a mut Container,
    pub guard: &'a mut GuardLink,
    pub signals: Signals,
    pub interrupts: Interrupts,
    pub desk: Desk,
    pub attempts: BTreeMap<AttemptId, Attempt>,
    pub settlers: Settlers,
    pub reliefs: Reliefs,
    /// Attempts that a thread is freezing.
    pub freezing: BTreeMap<ReliefId, AttemptId>,
    pub inbox: Inbox<Answer>,
    pub kills: Kills,
    pub sampler: Sampler,
    pub triggers: Triggers,
    /// What happened and is not yet told to the core.
    pub events: VecDeque<Event>,
    pub times: Times,
    /// The machine's memory as last seen: all, and available, bytes.
    pub memory: (u64, u64),
    /// Everything the core is told.
    record: Option<Recorder>,
    /// Swap that a slice may use, bytes.
    pub swap_bytes: u64,
    /// The soft limit of open files before we raised ours.
    pub open_files: Option<u64>,
}

/// When what is to be done by itself.
pub(super) struct Times {
    start: Instant,
    /// The core wants to be woken.
    pub wake: Option<Duration>,
    /// The core wants memory to be looked at.
    pub measure: bool,
    /// When it was looked at last.
    measured: Instant,
    show_every: Option<Duration>,
    show_at: Instant,
}

impl Times {
    /// The core's clock.
    pub fn of(&self, now: Instant) -> Duration {
        now.duration_since(self.start)
    }
}

impl<'a> Engine<'a> {
    /// With nothing in hand.
    pub fn new(
        setup: Setup<'a>,
        tasks: &'a mut dyn Tasks,
        observer: &'a mut dyn Observer,
    ) -> Result<Engine<'a>, JobError> {
        let Setup {
            policy,
            settings,
            container,
            guard,
            record,
            show_every,
        } = setup;
        let signals = Signals::receive()?;
        let (answers, inbox) = mailbox()?;
        let profiles = Profiles::load(&Profiles::directories())?;
        let planner = Planner::start(profiles, container.memory_floor(), answers.clone())?;
        let open_files = raise_open_files();
        let mut sampler = Sampler::open()?;
        // Where pressure is read is known after the first sample.
        sampler.sample()?;
        let start = Instant::now();
        Ok(Engine {
            triggers: Triggers::set(&policy, &sampler),
            sampler,
            desk: Desk::new(planner, &policy, &settings),
            reliefs: Reliefs::new(policy.relief.clone(), open_files)?,
            swap_bytes: swap(&policy, &settings),
            core: State::new(policy, settings),
            tasks,
            observer,
            container,
            guard,
            signals,
            interrupts: Interrupts::default(),
            attempts: BTreeMap::new(),
            settlers: Settlers::start(&answers)?,
            freezing: BTreeMap::new(),
            inbox,
            kills: Kills::now(),
            events: VecDeque::new(),
            times: Times {
                start,
                wake: None,
                measure: false,
                measured: start,
                show_every,
                show_at: start,
            },
            memory: (0, 0),
            record,
            open_files,
        })
    }

    /// Runs until all is done, or we have been asked to end and nothing runs any more.
    pub fn until_the_end(mut self) -> Result<Outcome, JobError> {
        let result = self.run();
        if result.is_err() {
            self.abandon();
        }
        self.reliefs.end();
        result.map(|()| self.desk.outcome)
    }

    fn run(&mut self) -> Result<(), JobError> {
        loop {
            self.desk.pull(self.tasks, self.attempts.len());
            self.decide()?;
            if self.desk.is_done() && self.attempts.is_empty() {
                return Ok(());
            }
            self.sleep();
            self.take_signals()?;
            self.take_answers();
            self.go_on();
            self.show();
        }
    }

    /// Tells the core what happened, and carries out what it decides, until there is nothing more.
    pub fn decide(&mut self) -> Result<(), JobError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                let now = self.times.of(Instant::now());
                if let Some(record) = &mut self.record {
                    record.event(&event, now);
                }
                for action in step(&mut self.core, event, now) {
                    self.act(action);
                }
            } else if std::mem::take(&mut self.times.measure) {
                self.measure()?;
            } else {
                return Ok(());
            }
        }
    }

    fn measure(&mut self) -> Result<(), JobError> {
        let now = Instant::now();
        let sample = sources::sample(&mut self.sampler, &mut self.attempts, now)?;
        self.times.measured = now;
        self.kills.look();
        self.memory = (sample.total_bytes, sample.available_bytes);
        self.events.push_back(Event::Measured(sample));
        Ok(())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let wake = self.times.wake.map(|at| self.times.start + at);
        let show = self.times.show_every.map(|_| self.times.show_at);
        let show = show.filter(|_| !self.attempts.is_empty());
        let of_attempts = self.attempts.values().filter_map(Attempt::next_deadline);
        let others = [wake, show, self.reliefs.next_deadline()];
        of_attempts.chain(others.into_iter().flatten()).min()
    }

    fn sleep(&mut self) {
        let until = self.next_deadline();
        let mut fds = vec![
            PollFd::new(self.signals.fd(), PollFlags::POLLIN),
            PollFd::new(self.inbox.fd(), PollFlags::POLLIN),
        ];
        // Once it is lost its pipe is always ready.
        let guard = (!self.interrupts.guard_lost).then_some(fds.len());
        fds.extend(guard.map(|_| PollFd::new(self.guard.fd(), PollFlags::empty())));
        // While enough is in hand it does not matter that more could be had.
        let hungry = self.desk.is_hungry(self.attempts.len());
        let tasks = self.tasks.ready().filter(|_| hungry);
        fds.extend(tasks.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let of_reliefs = self.reliefs.fds();
        fds.extend(of_reliefs.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let triggers_from = fds.len();
        let mut places = Vec::new();
        for (place, fd) in self.triggers.fds() {
            fds.push(PollFd::new(fd, PollFlags::POLLPRI));
            places.push(place);
        }
        let slices_from = fds.len();
        let mut woken_by = Vec::new();
        let now = Instant::now();
        for (id, attempt) in &self.attempts {
            for wake in attempt.wakes(now) {
                if let Some(fd) = attempt.slice.wake(*wake) {
                    fds.push(PollFd::new(fd, PollFlags::POLLPRI));
                    woken_by.push((*id, *wake));
                }
            }
        }
        // Rounded up: a wait of 0.3 ms must not become a busy loop of 0 ms.
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            let left = until.saturating_duration_since(now);
            PollTimeout::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
        });
        if let Err(errno) = poll(&mut fds, timeout)
            && errno != nix::errno::Errno::EINTR
        {
            log::warn!("poll: {errno}");
        }
        let ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let guard_lost = guard.is_some_and(|index| ready(&fds[index]));
        let of_slices = fds[slices_from..].iter().zip(woken_by);
        let woken: Vec<_> = of_slices
            .filter(|(fd, _)| ready(fd))
            .filter_map(|(fd, (id, wake))| Some((id, wake, fd.revents()?)))
            .collect();
        let of_triggers = fds[triggers_from..].iter().zip(places);
        let said: Vec<(usize, PollFlags)> = of_triggers
            .filter_map(|(fd, place)| Some((place, fd.revents()?)))
            .collect();
        drop(fds);
        let fired = said
            .into_iter()
            .filter_map(|(place, revents)| self.triggers.polled(place, revents));
        let full = fired.map(|trigger| trigger.full);
        self.events
            .extend(full.map(|full| Event::Triggered { full }));
        self.woken(woken);
        if guard_lost {
            self.guard_lost();
        }
    }

    /// Looks at the slices that have something to tell. How near they are to their limits concerns the core where its
    /// policy has a level for that.
    fn woken(&mut self, woken: Vec<(AttemptId, Wake, PollFlags)>) {
        let now = Instant::now();
        for (id, wake, revents) in woken {
            let Some(attempt) = self.attempts.get_mut(&id) else {
                continue;
            };
            if attempt.slice.polled(wake, revents) {
                attempt.woken(now);
                let fresh = now < self.times.measured + FRESH;
                self.times.measure |= wake != Wake::Empty && !fresh && by_slice(self.core.policy());
            }
        }
    }

    fn take_answers(&mut self) {
        for answer in self.inbox.take() {
            match answer {
                Answer::Planned(planned) => {
                    let job = planned.job;
                    match self.desk.planned(*planned) {
                        Some(Ok(spec)) => self.events.push_back(Event::Submitted { job, spec }),
                        Some(Err(report)) => self.observer.finished(job, &report),
                        None => {}
                    }
                }
                Answer::Settled(settled) => self.settled(*settled),
            }
        }
    }

    /// Does what is due.
    fn go_on(&mut self) {
        let now = Instant::now();
        let mut gone = Vec::new();
        for (id, attempt) in &mut self.attempts {
            if attempt.go_on(now) {
                gone.push(*id);
            }
        }
        gone.into_iter().for_each(|id| self.clear(id));
        for over in self.reliefs.go_on(now) {
            self.over(over);
        }
        if self.times.wake.is_some_and(|at| at <= self.times.of(now)) {
            self.times.wake = None;
            self.events.push_back(Event::Tick);
        }
    }

    fn show(&mut self) {
        let now = Instant::now();
        let Some(every) = self.times.show_every.filter(|_| now >= self.times.show_at) else {
            return;
        };
        if self.attempts.is_empty() {
            return;
        }
        self.times.show_at = now + every;
        let waiting = self.desk.waiting(self.attempts.len());
        let status = Status {
            running: self.attempts.values().map(|one| one.shown(now)).collect(),
            level: self.core.level(),
            total_bytes: self.memory.0,
            available_bytes: self.memory.1,
            queued: waiting as u64 + self.tasks.remaining().unwrap_or(0),
            done: self.desk.outcome.done,
            failed: self.desk.outcome.failed,
            elapsed: self.times.of(now),
        };
        self.observer.progress(&status);
    }
}

/// Swap for slices: only where something may be frozen and pushed out; else a child fails where it was predicted to.
fn swap(policy: &Policy, settings: &Settings) -> u64 {
    match policy.freezes() {
        true => settings.swap_bytes,
        false => 0,
    }
}

/// Whether there is a level for a slice that comes near its limit.
fn by_slice(policy: &Policy) -> bool {
    let mut stages = policy.stages.iter();
    stages.any(|stage| stage.enter.slice.is_some())
}

/// Raises our soft limit of open files, and gives what it was.
fn raise_open_files() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let wanted = OPEN_FILES.min(hard);
    if soft >= wanted {
        return None;
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).ok()?;
    Some(soft)
}
