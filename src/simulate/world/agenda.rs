//! What is foreseen: turns on the service clock, timers on the machine's. Of two at the same moment the one that was
//! foreseen first comes first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::core::{AttemptId, ReliefId};

/// A moment on the service clock. Never NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Service(f64);

impl Eq for Service {}

impl PartialOrd for Service {
    fn partial_cmp(&self, other: &Service) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Service {
    fn cmp(&self, other: &Service) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Arrival { group: usize, index: u64 },
    Background(usize),
    Stall(usize),
    Trigger { trigger: usize, stall: usize },
    Stopped(AttemptId),
    Relieved(ReliefId),
}

/// All that is foreseen.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    order: u64,
    timers: BinaryHeap<Reverse<(u64, u64, Timer)>>,
    /// Timers that change something, unlike triggers that repeat.
    changes: usize,
    turns: BinaryHeap<Reverse<(Service, u64, AttemptId, u32)>>,
}

impl Agenda {
    /// A timer goes off at this time, nanoseconds.
    pub fn set(&mut self, at: u64, timer: Timer) {
        self.order += 1;
        if !matches!(timer, Timer::Trigger { .. }) {
            self.changes += 1;
        }
        self.timers.push(Reverse((at, self.order, timer)));
    }

    /// An attempt of this generation takes a turn at this moment of the service clock.
    pub fn foresee(&mut self, attempt: AttemptId, turn: f64, generation: u32) {
        self.order += 1;
        let turn = Reverse((Service(turn), self.order, attempt, generation));
        self.turns.push(turn);
    }

    /// Whether a timer is set that changes something.
    pub fn has_changes(&self) -> bool {
        self.changes > 0
    }

    /// When the next turn is. Those of attempts that have gone or are of another generation by now are left out.
    pub fn next_turn(&mut self, generation_of: impl Fn(AttemptId) -> Option<u32>) -> Option<f64> {
        while let Some(Reverse((at, _, attempt, generation))) = self.turns.peek() {
            if generation_of(*attempt) == Some(*generation) {
                return Some(at.0);
            }
            self.turns.pop();
        }
        None
    }

    /// The next turn: when, and whose.
    pub fn take_turn(&mut self) -> Option<(f64, AttemptId)> {
        let Reverse((at, _, attempt, _)) = self.turns.pop()?;
        Some((at.0, attempt))
    }

    /// When the next timer goes off, nanoseconds.
    pub fn next_timer(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next timer.
    pub fn take_timer(&mut self) -> Option<Timer> {
        let Reverse((_, _, timer)) = self.timers.pop()?;
        if !matches!(timer, Timer::Trigger { .. }) {
            self.changes -= 1;
        }
        Some(timer)
    }
}
