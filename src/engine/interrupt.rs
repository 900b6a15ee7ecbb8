//! What is sent to us: children that ended, the terminal's stop and go, and the wish that we end.
//!
//! Children lead process groups of their own, so what the terminal sends reaches us alone.

use std::collections::BTreeMap;
use std::time::Instant;

use nix::sys::signal::Signal;

use super::attempt::Attempt;
use super::event_loop::Engine;
use crate::core::outcome::Cause;
use crate::core::{AttemptId, Event};
use crate::job::JobError;
use crate::job::watch::SAME_SIGNAL;

/// How often we were asked to end.
#[derive(Debug, Default)]
pub(super) struct Interrupts {
    count: u32,
    /// The last one. One signal to a whole process group reaches us on several ways.
    last: Option<(Signal, Instant)>,
    /// Our guard is dead.
    pub guard_lost: bool,
}

impl Interrupts {
    /// Counts one; how many there were, if it is a new one.
    fn count(&mut self, signal: Signal, now: Instant) -> Option<u32> {
        let same =
            |(last, at): (Signal, Instant)| last == signal && now.duration_since(at) < SAME_SIGNAL;
        if self.last.is_some_and(same) {
            return None;
        }
        self.last = Some((signal, now));
        self.count += 1;
        Some(self.count)
    }

    /// We are to end.
    pub fn are_any(&self) -> bool {
        self.count > 0
    }
}

impl Engine<'_> {
    /// Answers all signals that have come.
    pub fn take_signals(&mut self) -> Result<(), JobError> {
        let mut asked = false;
        for received in self.signals.pending() {
            match received.signal {
                Signal::SIGCHLD => self.reap()?,
                Signal::SIGTSTP => asked = true,
                Signal::SIGCONT => {
                    pause(&mut self.attempts, false);
                    asked = true;
                }
                Signal::SIGUSR1 => self.events.push_back(Event::ReliefAsked),
                Signal::SIGUSR2 => {}
                signal => self.interrupt(signal)?,
            }
        }
        if asked {
            self.guard
                .stand_still_if_asked(|still| pause(&mut self.attempts, still));
        }
        Ok(())
    }

    /// The first time children are asked to end and nothing new is started; the second time they are killed.
    fn interrupt(&mut self, signal: Signal) -> Result<(), JobError> {
        let now = Instant::now();
        match self.interrupts.count(signal, now) {
            None => {}
            Some(1) => {
                self.desk.outcome.interrupted = Some(signal);
                self.desk.close();
                self.events.push_back(Event::Drain);
                self.decide()?;
                for attempt in self.attempts.values_mut() {
                    attempt.ask(Cause::Leaving, None);
                }
                if !self.attempts.is_empty() {
                    log::warn!(
                        "{}: waiting for {} to end; once more kills",
                        signal.as_str(),
                        match self.attempts.len() {
                            1 => "one job".to_owned(),
                            count => format!("{count} jobs"),
                        }
                    );
                }
            }
            Some(_) => self.kill_all(now),
        }
        Ok(())
    }

    /// Nobody would clean up after us any more: all ends now.
    pub fn guard_lost(&mut self) {
        let now = Instant::now();
        self.interrupts.guard_lost = true;
        if !self.interrupts.are_any() {
            log::error!("the guard was killed; all jobs are ended");
            self.interrupts.count(Signal::SIGTERM, now);
            self.desk.outcome.interrupted = Some(Signal::SIGTERM);
            self.desk.close();
            self.events.push_back(Event::Drain);
        }
        self.kill_all(now);
    }

    fn kill_all(&mut self, now: Instant) {
        for attempt in self.attempts.values_mut() {
            attempt.kill(Cause::Leaving, now);
        }
    }
}

/// Children stop and go on with us.
fn pause(attempts: &mut BTreeMap<AttemptId, Attempt>, stopped: bool) {
    let now = Instant::now();
    for attempt in attempts.values_mut() {
        attempt.pause(stopped, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_signal_that_comes_twice_is_one() {
        let (mut interrupts, now) = (Interrupts::default(), Instant::now());
        assert_eq!(interrupts.count(Signal::SIGINT, now), Some(1));
        let soon = now + Duration::from_millis(50);
        assert_eq!(interrupts.count(Signal::SIGINT, soon), None);
        assert_eq!(interrupts.count(Signal::SIGTERM, soon), Some(2));
        let later = now + Duration::from_secs(1);
        assert_eq!(interrupts.count(Signal::SIGINT, later), Some(3));
    }
}
