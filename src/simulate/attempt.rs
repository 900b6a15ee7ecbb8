//! One child on the virtual machine: how its memory runs as it goes on, and when something next happens to it.
//!
//! It is measured in service seconds: seconds in which it has the processors it wants. The world maps them to time.

use crate::core::ladder::Outcome;
use crate::core::{JobId, Start};

use super::scenario::{Drawn, FaultKind, Group};

/// A running child.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Of which job.
    pub job: JobId,
    /// What was drawn for its job.
    pub drawn: Drawn,
    /// Which of the job's plans.
    pub rung: usize,
    /// File cache that only reclaim takes back, bytes.
    pub cache: f64,
    /// Of its needs in swap, bytes.
    pub swapped: f64,
    /// It is frozen.
    pub frozen: bool,
    /// It was told to stop.
    pub stopping: bool,
    /// Processors it wants when it runs, in thousandths.
    pub cpu_milli: u32,
    /// Counts its changes: what was foreseen before one is void.
    pub generation: u32,
    /// The most it needed so far, bytes.
    pub peak: f64,
    batch: Option<u32>,
    limit: f64,
    points: Vec<(f64, f64)>,
    next: usize,
    /// Part of the run that is done, memory, and how it grows per part, all as of `since`.
    part: f64,
    needs: f64,
    growth: f64,
    since: f64,
    /// Service seconds of the whole run, and spent so far.
    work: f64,
    spent: f64,
    fate: (f64, Outcome, bool),
    turn: Turn,
}

/// What happens next to it, and at which part of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Turn {
    part: f64,
    hits_limit: bool,
}

impl Attempt {
    /// A child that starts at a service time; `earlier` attempts of its job were made.
    pub fn new(group: &Group, drawn: Drawn, start: &Start, earlier: u32, service: f64) -> Attempt {
        let fate = match group.fault_of(&drawn, earlier) {
            Some(fault) if fault.kind == FaultKind::Signal => (fault.at, Outcome::Signaled, false),
            Some(fault) if fault.kind == FaultKind::Exit => (fault.at, Outcome::Exited, false),
            _ => (1.0, Outcome::Exited, true),
        };
        let points = group.memory(&drawn, start.rung, start.batch, start.segment);
        let needs = points.first().map_or(0.0, |(_, bytes)| *bytes);
        let mut attempt = Attempt {
            job: start.job,
            drawn,
            rung: start.rung,
            cache: group.cache_bytes as f64,
            swapped: 0.0,
            frozen: false,
            stopping: false,
            cpu_milli: group.rungs.get(start.rung).map_or(0, |rung| rung.cpu_milli),
            generation: 0,
            peak: needs,
            batch: start.batch,
            limit: start.limit_bytes as f64,
            points,
            next: 1,
            part: 0.0,
            needs,
            growth: 0.0,
            since: service,
            work: group
                .duration(&drawn, start.rung, start.batch)
                .as_secs_f64()
                .max(1e-6),
            spent: 0.0,
            fate,
            turn: Turn {
                part: 0.0,
                hits_limit: false,
            },
        };
        attempt.foresee();
        attempt.peak = attempt.needs;
        attempt
    }

    /// It gets on: neither frozen nor stopping.
    pub fn runs(&self) -> bool {
        !self.frozen && !self.stopping
    }

    /// What it needs at a service time, bytes.
    pub fn needs_at(&self, service: f64) -> f64 {
        self.needs + self.slope() * (service - self.since)
    }

    /// Bytes by which its needs grow per service second.
    pub fn slope(&self) -> f64 {
        if self.runs() {
            self.growth / self.work
        } else {
            0.0
        }
    }

    /// The part of the run that is done at a service time, 0 to 1.
    pub fn part_at(&self, service: f64) -> f64 {
        if self.runs() {
            self.part + (service - self.since) / self.work
        } else {
            self.part
        }
    }

    /// CPU seconds it has used at a service time.
    pub fn cpu_at(&self, service: f64) -> f64 {
        let running = if self.runs() {
            service - self.since
        } else {
            0.0
        };
        (self.spent + running) * f64::from(self.cpu_milli) / 1000.0
    }

    /// The service time at which something next happens to it, none while it does not get on, and which of its
    /// changes this belongs to.
    pub fn foreseen(&self) -> (Option<f64>, u32) {
        let turn = self
            .runs()
            .then(|| self.since + (self.turn.part - self.part).max(0.0) * self.work);
        (turn, self.generation)
    }

    /// Lets happen what was foreseen for this service time. If it ends: how, and whether it succeeded.
    pub fn take_turn(&mut self, service: f64) -> Option<(Outcome, bool)> {
        let ahead = self.turn.part - self.part;
        let needs = self.needs + self.growth * ahead;
        self.bring_to(service);
        // What was foreseen is exact; what `bring_to` adds up is off by a rounding.
        (self.part, self.needs) = (self.turn.part, needs);
        if self.turn.hits_limit {
            self.peak = self.peak.max(self.limit);
            return Some((Outcome::Oom, false));
        }
        let (fate_at, outcome, success) = self.fate;
        while let Some((part, bytes)) = self.points.get(self.next).copied()
            && part <= self.part
        {
            self.next += 1;
            self.needs = bytes;
            if bytes > self.limit {
                self.peak = self.peak.max(self.limit);
                return Some((Outcome::Oom, false));
            }
            self.peak = self.peak.max(bytes);
        }
        if self.part >= fate_at {
            return Some((outcome, success));
        }
        self.foresee();
        None
    }

    /// Stands still, or goes on, from a service time on.
    pub fn set(&mut self, frozen: bool, stopping: bool, service: f64) {
        self.bring_to(service);
        (self.frozen, self.stopping) = (frozen, stopping);
    }

    /// Gives back so many bytes of its needs, now and for the rest of its run; keeps a little to live on.
    pub fn give_back(&mut self, bytes: f64, service: f64) {
        self.reshape(service, |needs| (needs - bytes).max(needs * 0.05));
    }

    /// Goes on with another batch size. Its needs change at once; the work that is left is done in other steps.
    pub fn tell(&mut self, group: &Group, batch: u32, service: f64) {
        let Some(rule) = group.batch else { return };
        let before = self.batch.unwrap_or(batch);
        let change =
            (f64::from(batch) - f64::from(before)) * rule.item_bytes as f64 * self.drawn.lie;
        self.batch = Some(batch);
        self.reshape(service, |needs| (needs + change).max(0.0));
        self.work = group
            .duration(&self.drawn, self.rung, Some(batch))
            .as_secs_f64()
            .max(1e-6);
    }

    fn reshape(&mut self, service: f64, change: impl Fn(f64) -> f64) {
        self.bring_to(service);
        self.needs = change(self.needs);
        for (_, bytes) in self.points.iter_mut().skip(self.next) {
            *bytes = change(*bytes);
        }
        self.foresee();
    }

    fn bring_to(&mut self, service: f64) {
        if self.runs() {
            let gone = service - self.since;
            self.needs += self.slope() * gone;
            self.part = (self.part + gone / self.work).min(1.0);
            self.spent += gone;
        }
        self.since = service;
        self.peak = self.peak.max(self.needs);
    }

    /// What comes first: the next point of its curve, its limit, or its end.
    fn foresee(&mut self) {
        let (part, bytes) = self
            .points
            .get(self.next)
            .copied()
            .unwrap_or((1.0, self.needs));
        let ahead = part - self.part;
        self.growth = if ahead > 0.0 {
            (bytes - self.needs) / ahead
        } else {
            0.0
        };
        let mut turn = Turn {
            part: part.min(self.fate.0).max(self.part),
            hits_limit: false,
        };
        if self.needs > self.limit {
            // It does not get there: the kernel is in the way.
            self.needs = self.limit;
            turn = Turn {
                part: self.part,
                hits_limit: true,
            };
        } else if self.growth > 0.0 {
            let hit = self.part + (self.limit - self.needs) / self.growth;
            if hit < turn.part {
                turn = Turn {
                    part: hit,
                    hits_limit: true,
                };
            }
        }
        self.turn = turn;
    }
}
