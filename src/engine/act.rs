//! Carrying out what the core asks for.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::Started;
use super::event_loop::Engine;
use super::start::{self, Moment, tell_by_file};
use crate::config::policy::ReliefKind;
use crate::core::outcome::Cause;
use crate::core::{Action, AttemptId, Event, ReliefId, Start};
use crate::job::JobError;
use crate::job::outputs::{Outputs, Prepared};
use crate::relief::{Over, Way};

impl Engine<'_> {
    /// Carries one action out, or sets about it.
    pub fn act(&mut self, action: Action) {
        let now = Instant::now();
        match action {
            Action::Start(start) => {
                if let Err(error) = self.start(&start) {
                    self.not_started(&start, &error);
                }
            }
            Action::Stop { attempt } => {
                if let Some(attempt) = self.attempts.get_mut(&attempt) {
                    attempt.stop(Cause::Victim, now);
                }
            }
            Action::Relieve {
                relief,
                kind,
                attempts,
            } => self.relieve(relief, kind, &attempts, now),
            Action::Thaw { attempt } => {
                if let Some(attempt) = self.attempts.get_mut(&attempt)
                    && attempt.frozen
                {
                    attempt.thaw(now);
                }
            }
            Action::Tell { attempt, batch } => self.tell(attempt, batch),
            Action::Finish { job, end } => self.finish(job, end),
            Action::Measure => self.times.measure = true,
            Action::Wake { at } => self.times.wake = Some(at),
            Action::Note(decision) => self.observer.decided(&decision),
        }
    }

    fn start(&mut self, start: &Start) -> Result<(), JobError> {
        let moment = Moment {
            level: self.core.level(),
            swap_bytes: self.swap_bytes,
            open_files: self.open_files,
        };
        let Some(held) = self.desk.held(start.job) else {
            return Err(std::io::Error::other("the job is not in hand").into());
        };
        held.attempts += 1;
        let mut outputs = match held.outputs.take() {
            Some(outputs) => outputs,
            None => match Outputs::prepare(&held.job, false)? {
                Prepared::Outputs(outputs) => outputs,
                // Nobody was asked.
                Prepared::NotOverwriting => return Err(JobError::NoProfile),
            },
        };
        let rung = start.rung.min(held.job.rungs.len().saturating_sub(1));
        let plan = &held.job.rungs[rung];
        let words = outputs.begin(plan);
        let temporaries: Vec<_> = outputs.temporaries().map(ToOwned::to_owned).collect();
        let dir = self.container.next_dir();
        temporaries
            .iter()
            .for_each(|path| self.guard.file_made(path));
        dir.iter().for_each(|dir| self.guard.cgroup_made(dir));
        match start::start(start, held, plan, words, &moment, self.container) {
            Ok(mut attempt) => {
                attempt.outputs = Some(outputs);
                attempt.temporaries = temporaries;
                self.observer.started(&Started {
                    job: start.job,
                    attempt: start.attempt,
                    number: held.attempts,
                    profile: attempt.profile.as_deref(),
                    argv: &attempt.argv,
                    estimate_bytes: attempt.estimate_bytes,
                    limit_bytes: attempt.limit_bytes,
                    batch: start.batch,
                    pid: attempt.process.pid.as_raw(),
                });
                self.attempts.insert(start.attempt, attempt);
                Ok(())
            }
            Err(error) => {
                outputs.discard();
                held.outputs = Some(outputs);
                temporaries
                    .iter()
                    .for_each(|path| self.guard.file_done(path));
                dir.iter().for_each(|dir| self.guard.cgroup_removed(dir));
                Err(error)
            }
        }
    }

    fn relieve(
        &mut self,
        relief: ReliefId,
        kind: ReliefKind,
        attempts: &[AttemptId],
        now: Instant,
    ) {
        let begun = match kind {
            ReliefKind::Reclaim => {
                let alive = |id: &AttemptId| self.attempts.get(id).filter(|one| one.is_alive());
                let dirs = attempts.iter().filter_map(alive);
                let dirs = dirs.filter_map(|attempt| attempt.dir.clone()).collect();
                self.reliefs.reclaim(relief, dirs, now)
            }
            ReliefKind::Signal => {
                let sent = self.signal(attempts);
                if sent {
                    self.reliefs.signalled(relief, now);
                }
                sent
            }
            ReliefKind::Command => match self.reliefs.command(relief, now) {
                Ok(()) => true,
                Err(error) => {
                    log::warn!("{error}");
                    false
                }
            },
            ReliefKind::Freeze => return self.freeze(relief, attempts, now),
        };
        if !begun {
            self.relieved(relief, false);
        }
    }

    /// The children themselves are told, and not what they have started: a shell around one would die of it.
    fn signal(&self, attempts: &[AttemptId]) -> bool {
        let number = self.core.policy().relief.signal;
        let Some(signal) = number.and_then(|number| Signal::try_from(number).ok()) else {
            return false;
        };
        let alive = |id: &AttemptId| self.attempts.get(id).filter(|one| one.is_alive());
        let mut sent = false;
        for attempt in attempts.iter().filter_map(alive) {
            attempt.process.signal(signal);
            sent = true;
        }
        sent
    }

    /// A cgroup's anonymous memory can be pushed out when it stands still; a watched tree only stands still.
    fn freeze(&mut self, relief: ReliefId, attempts: &[AttemptId], now: Instant) {
        let mut done = false;
        for id in attempts {
            let Some(attempt) = self.attempts.get_mut(id).filter(|one| one.is_alive()) else {
                continue;
            };
            if let Some(dir) = attempt.dir.clone() {
                attempt.frozen = self.reliefs.freeze(relief, dir, self.swap_bytes, now);
                if attempt.frozen {
                    self.freezing.insert(relief, *id);
                    return;
                }
            } else {
                let frozen = attempt.slice.freeze(true);
                attempt.frozen = frozen.is_ok();
                done |= attempt.frozen;
                if let Err(error) = frozen {
                    log::warn!("{error}");
                }
            }
        }
        self.relieved(relief, done);
    }

    /// A relief is over.
    pub fn over(&mut self, over: Over) {
        match over.way {
            Way::Ended => {
                self.freezing_ended(over.relief, over.done);
                self.relieved(over.relief, over.done);
            }
            Way::GivenUp => {
                let freezing = self.freezing.get(&over.relief);
                if let Some(attempt) = freezing.and_then(|id| self.attempts.get_mut(id)) {
                    attempt.frozen = false;
                }
                self.relieved(over.relief, over.done);
            }
            Way::EndedLate => self.freezing_ended(over.relief, over.done),
        }
    }

    /// What was to go on or to end meanwhile must not stand still because the thread that froze it came later.
    fn freezing_ended(&mut self, relief: ReliefId, done: bool) {
        let frozen = self.freezing.remove(&relief);
        if let Some(attempt) = frozen.and_then(|id| self.attempts.get_mut(&id)) {
            attempt.frozen &= done;
            if !attempt.frozen && attempt.is_alive() {
                attempt.thaw(Instant::now());
            }
        }
    }

    fn relieved(&mut self, relief: ReliefId, done: bool) {
        self.events.push_back(Event::Relieved { relief, done });
    }

    fn tell(&mut self, id: AttemptId, batch: u32) {
        let Some(attempt) = self.attempts.get(&id).filter(|one| one.is_alive()) else {
            return;
        };
        let Some(rule) = self
            .desk
            .held(attempt.job)
            .and_then(|held| held.task.batch.as_ref())
        else {
            return;
        };
        if let Some(file) = &rule.file
            && let Err(error) = tell_by_file(file, batch)
        {
            log::warn!("{}: {error}", attempt.job);
        }
        let signal = rule.signal.and_then(|number| Signal::try_from(number).ok());
        if let Some(signal) = signal {
            attempt.process.signal(signal);
        }
    }
}
