//! What is done to running children: stops, reliefs, and the kernel's triggers that lead to them.

use std::time::Duration;

use super::super::scenario::{Relief, ReliefResult};
use super::agenda::Timer;
use super::{World, nanos};
use crate::config::policy::ReliefKind;
use crate::core::{AttemptId, Event, ReliefId};

/// A child that does not stop is killed after this, as in the real shell.
const KILLED_AFTER: Duration = Duration::from_secs(5);

impl World<'_> {
    /// Fires a trigger whose window is stalled enough, and again after each window for as long as it is.
    pub(super) fn trigger(&mut self, index: usize, stall: usize) {
        let current = self
            .scenario
            .stalls
            .get(stall)
            .is_some_and(|stall| *stall == self.stall);
        let Some(trigger) = self.rules.triggers.get(index).filter(|_| current) else {
            return;
        };
        let percent = if trigger.full {
            self.stall.full
        } else {
            self.stall.some
        };
        if trigger.window.as_secs_f64() * percent / 100.0 >= trigger.stall.as_secs_f64() {
            self.ready
                .push_back(Event::Triggered { full: trigger.full });
            self.measure_at = self.measure_at.map(|_| self.now);
            let again = self.now + nanos(trigger.window).max(1);
            self.agenda.set(
                again,
                Timer::Trigger {
                    trigger: index,
                    stall,
                },
            );
        }
    }

    pub(super) fn stop(&mut self, id: AttemptId) {
        let Some(attempt) = self.running.get(&id).filter(|attempt| !attempt.stopping) else {
            return;
        };
        let takes = self
            .group(attempt)
            .map_or(KILLED_AFTER, |group| group.stops_in.min(KILLED_AFTER));
        self.change(id, |attempt, service| {
            attempt.swapped = 0.0;
            attempt.set(false, true, service);
        });
        self.agenda.set(self.now + nanos(takes), Timer::Stopped(id));
    }

    pub(super) fn relieve(&mut self, relief: ReliefId, kind: ReliefKind, attempts: &[AttemptId]) {
        let does = self.relief(kind);
        let timeout = self.rules.relief_timeout;
        let in_time = does.takes <= timeout && does.result != ReliefResult::Hangs;
        let works = in_time && does.result == ReliefResult::Works;
        self.reliefs
            .insert(relief, (kind, attempts.to_vec(), works));
        let takes = if in_time { does.takes } else { timeout };
        self.agenda
            .set(self.now + nanos(takes), Timer::Relieved(relief));
    }

    pub(super) fn relieved(&mut self, relief: ReliefId) {
        let Some((kind, attempts, works)) = self.reliefs.remove(&relief) else {
            return;
        };
        if works {
            for attempt in &attempts {
                self.relieve_attempt(kind, *attempt);
            }
            self.background = (self.background - self.relief(kind).gives_bytes as f64).max(0.0);
            self.head_for_background();
        }
        self.ready.push_back(Event::Relieved {
            relief,
            done: works,
        });
    }

    pub(super) fn relieve_attempt(&mut self, kind: ReliefKind, id: AttemptId) {
        let Some(group) = self
            .running
            .get(&id)
            .and_then(|attempt| self.group(attempt))
        else {
            return;
        };
        let gives = group.gives_bytes.unwrap_or(0) as f64;
        let swap_free = self.swap_free();
        self.change(id, |attempt, service| match kind {
            ReliefKind::Reclaim => attempt.cache = 0.0,
            ReliefKind::Signal => attempt.give_back(gives, service),
            ReliefKind::Command => {}
            ReliefKind::Freeze => {
                attempt.set(true, attempt.stopping, service);
                attempt.cache = 0.0;
                attempt.swapped = attempt.needs_at(service).min(attempt.swapped + swap_free);
            }
        });
    }

    pub(super) fn relief(&self, kind: ReliefKind) -> Relief {
        let reliefs = &self.scenario.relief;
        match kind {
            ReliefKind::Reclaim => reliefs.reclaim,
            ReliefKind::Signal => reliefs.signal,
            ReliefKind::Command => reliefs.command,
            ReliefKind::Freeze => reliefs.freeze,
        }
    }
}
