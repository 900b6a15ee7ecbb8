//! How full the virtual machine is, when it next becomes full, and what the kernel does then.

use std::time::Duration;

use super::super::attempt::Attempt;
use super::{Kill, World, ceil_nanos, nanos};
use crate::core::ladder::Outcome;
use crate::core::{Sample, Use};

/// How fast children get on while memory overflows into swap: as seen with a thrashing disk, not measured.
const THRASHING: f64 = 0.1;

/// Over all children.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub needs: f64,
    pub slope: f64,
    pub cache: f64,
    pub swapped: f64,
    pub cpu_milli: u64,
    pub frozen: usize,
}

impl World<'_> {
    /// Other programs run evenly to their next point, if it is to be reached so.
    pub(super) fn head_for_background(&mut self) {
        self.background_slope = match self.scenario.background.get(self.background_next) {
            Some(point) if point.ramp => {
                let seconds = nanos(point.at).saturating_sub(self.now) as f64 / 1e9;
                if seconds > 0.0 {
                    (point.bytes as f64 - self.background) / seconds
                } else {
                    0.0
                }
            }
            _ => 0.0,
        };
    }

    pub(super) fn total(&self) -> f64 {
        self.scenario.machine.total_bytes as f64
    }

    /// Memory that is wanted in RAM, bytes.
    pub(super) fn wanted(&self) -> f64 {
        (self.background + self.sums.needs + self.sums.cache - self.sums.swapped).max(0.0)
    }

    /// Swap that is left but for what overflows now, bytes.
    pub(super) fn swap_left(&self) -> f64 {
        (self.scenario.machine.swap_bytes as f64 - self.sums.swapped).max(0.0)
    }

    pub(super) fn overflow(&self) -> f64 {
        (self.wanted() - self.total()).max(0.0)
    }

    pub(super) fn swap_free(&self) -> f64 {
        (self.swap_left() - self.overflow()).max(0.0)
    }

    /// When memory next fills up, overflows into swap, or does so no more.
    pub(super) fn full_at(&self) -> Option<u64> {
        let slope = self.sums.slope * self.rate + self.background_slope;
        let over = self.overflow() > 0.0;
        let border = match (over, slope > 0.0) {
            (false, true) => self.total() + 1.0,
            (true, true) => self.total() + self.swap_left() + 1.0,
            (true, false) if slope < 0.0 => self.total() - 1.0,
            _ => return None,
        };
        let seconds = (border - self.wanted()) / slope;
        Some(self.now.saturating_add(ceil_nanos(seconds.max(0.0)).max(1)))
    }

    pub(super) fn advance(&mut self, at: u64) {
        let seconds = (at - self.now) as f64 / 1e9;
        let service = self.rate * seconds;
        self.service += service;
        self.sums.needs += self.sums.slope * service;
        self.background = (self.background + self.background_slope * seconds).max(0.0);
        let thrashes = if self.overflow() > 0.0 { 100.0 } else { 0.0 };
        self.stalled.0 += seconds * self.stall.some.max(thrashes) / 100.0;
        self.stalled.1 += seconds * self.stall.full.max(thrashes) / 100.0;
        self.now = at;
        self.peak_used = self.peak_used.max(self.wanted());
    }

    /// The kernel makes room where none is left, and processors are shared out anew.
    pub(super) fn settle(&mut self) {
        self.peak_used = self.peak_used.max(self.wanted());
        while self.wanted() > self.total() + self.swap_left() + 0.5 {
            let service = self.service;
            let resident =
                |attempt: &Attempt| attempt.needs_at(service) + attempt.cache - attempt.swapped;
            let largest = self
                .running
                .iter()
                .max_by(|(_, a), (_, b)| resident(a).total_cmp(&resident(b)));
            let Some((&attempt, _)) = largest else { break };
            self.kills.push(Kill {
                attempt,
                wanted_bytes: self.wanted() as u64,
            });
            self.end(attempt, Outcome::Pressure, false);
        }
        let cpus = f64::from(self.scenario.machine.cpus) * 1000.0;
        let share = (cpus / (self.sums.cpu_milli as f64).max(1.0)).min(1.0);
        self.rate = if self.overflow() > 0.0 {
            share * THRASHING
        } else {
            share
        };
    }

    pub(super) fn resum(&mut self) {
        self.changes = 0;
        self.sums = Sums::default();
        for attempt in self.running.values() {
            self.sums.add(attempt, self.service);
        }
    }

    pub(super) fn sample(&self) -> Sample {
        let usage = |attempt: &Attempt| Use {
            needs_bytes: attempt.needs_at(self.service).max(0.0) as u64,
            swapped_bytes: attempt.swapped.max(0.0) as u64,
            cpu: Duration::from_secs_f64(attempt.cpu_at(self.service).max(0.0)),
            progress: Some((attempt.part_at(self.service) * 1000.0) as u32),
        };
        Sample {
            total_bytes: self.scenario.machine.total_bytes,
            available_bytes: (self.total() - self.wanted()).max(0.0) as u64,
            swap_free_bytes: self.swap_free() as u64,
            some_total: Some(Duration::from_secs_f64(self.stalled.0)),
            full_total: Some(Duration::from_secs_f64(self.stalled.1)),
            attempts: self
                .running
                .iter()
                .map(|(id, attempt)| (*id, usage(attempt)))
                .collect(),
        }
    }
}

impl Sums {
    pub(super) fn add(&mut self, attempt: &Attempt, service: f64) {
        self.count(attempt, service, 1.0);
        self.cpu_milli += if attempt.runs() {
            u64::from(attempt.cpu_milli)
        } else {
            0
        };
        self.frozen += usize::from(attempt.frozen);
    }

    pub(super) fn take(&mut self, attempt: &Attempt, service: f64) {
        self.count(attempt, service, -1.0);
        let cpu = if attempt.runs() {
            u64::from(attempt.cpu_milli)
        } else {
            0
        };
        self.cpu_milli = self.cpu_milli.saturating_sub(cpu);
        self.frozen = self.frozen.saturating_sub(usize::from(attempt.frozen));
    }

    fn count(&mut self, attempt: &Attempt, service: f64, sign: f64) {
        self.needs += sign * attempt.needs_at(service);
        self.slope += sign * attempt.slope();
        self.cache += sign * attempt.cache;
        self.swapped += sign * attempt.swapped;
    }
}
