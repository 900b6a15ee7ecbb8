//! The children of the virtual machine, from their start to their end.

use std::time::Duration;

use super::super::attempt::Attempt;
use super::super::scenario::{FaultKind, Group};
use super::World;
use super::memory::Sums;
use crate::core::ladder::Outcome;
use crate::core::{AttemptId, End, Event, Start};

/// After so many changes the sums over all children are made anew, against rounding.
const RESUM: u32 = 256;

impl<'a> World<'a> {
    pub(super) fn start(&mut self, start: &Start) {
        let Some((group, drawn)) = self.scenario.drawn(start.job) else {
            return;
        };
        let earlier = if group.fault.is_some() {
            let made = self.made.entry(start.job).or_insert(0);
            *made += 1;
            *made - 1
        } else {
            0
        };
        if group
            .fault_of(&drawn, earlier)
            .is_some_and(|fault| fault.kind == FaultKind::Start)
        {
            let end = End {
                outcome: Outcome::Exited,
                success: false,
                peak_bytes: 0,
                cpu: Duration::ZERO,
            };
            self.ready.push_back(Event::Ended {
                attempt: start.attempt,
                end,
            });
            return;
        }
        let attempt = Attempt::new(group, drawn, start, earlier, self.service);
        self.sums.add(&attempt, self.service);
        self.foresee(start.attempt, attempt.foreseen());
        self.running.insert(start.attempt, attempt);
    }

    /// Ends an attempt, if it is still there.
    pub(super) fn end(&mut self, id: AttemptId, outcome: Outcome, success: bool) {
        let Some(mut attempt) = self.running.remove(&id) else {
            return;
        };
        self.sums.take(&attempt, self.service);
        attempt.set(attempt.frozen, attempt.stopping, self.service);
        let end = End {
            outcome,
            success,
            peak_bytes: attempt.peak as u64,
            cpu: Duration::from_secs_f64(attempt.cpu_at(self.service).max(0.0)),
        };
        if self.running.is_empty() {
            self.sums = Sums::default();
        }
        self.ready.push_back(Event::Ended { attempt: id, end });
    }

    /// Changes an attempt; the sums and what is foreseen follow.
    pub(super) fn change<R>(
        &mut self,
        id: AttemptId,
        change: impl FnOnce(&mut Attempt, f64) -> R,
    ) -> Option<R> {
        let attempt = self.running.get_mut(&id)?;
        self.sums.take(attempt, self.service);
        let result = change(attempt, self.service);
        attempt.generation += 1;
        self.sums.add(attempt, self.service);
        let foreseen = attempt.foreseen();
        self.foresee(id, foreseen);
        self.changes += 1;
        if self.changes >= RESUM {
            self.resum();
        }
        Some(result)
    }

    fn foresee(&mut self, id: AttemptId, (turn, generation): (Option<f64>, u32)) {
        if let Some(turn) = turn {
            self.agenda.foresee(id, turn, generation);
        }
    }

    pub(super) fn group(&self, attempt: &Attempt) -> Option<&'a Group> {
        self.scenario.groups.get(attempt.drawn.group)
    }
}
