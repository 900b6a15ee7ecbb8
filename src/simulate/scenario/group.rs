//! Jobs that are alike: what they say, what they take, and what goes wrong with them.

use std::time::Duration;

use crate::config::policy::BatchRange;

/// Jobs that are alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// For people.
    pub name: String,
    /// How many.
    pub count: u64,
    /// When the first arrives.
    pub at: Duration,
    /// Time between two arrivals.
    pub every: Duration,
    /// Higher goes first.
    pub priority: i32,
    /// Its plans, the heaviest first.
    pub rungs: Vec<GroupRung>,
    /// Further attempts after running out of memory.
    pub retries: u32,
    /// Can be run again.
    pub repeatable: bool,
    /// Size of the input, bytes.
    pub input_bytes: Option<u64>,
    /// How long the core is told that it runs.
    pub expected: Option<Duration>,
    /// The user's own limit, bytes.
    pub limit_bytes: Option<u64>,
    /// Peaks and durations differ from job to job by up to this part, 0 to below 1.
    pub spread: f64,
    /// This part of the jobs, 0 to 1, needs so many times what is said of it.
    pub liars: (f64, f64),
    /// How memory runs over an attempt.
    pub shape: Shape,
    /// File cache, bytes, that stays in use until reclaim takes it.
    pub cache_bytes: u64,
    /// Bytes it gives back when the relief signal comes; none if it takes no such signal.
    pub gives_bytes: Option<u64>,
    /// It takes batches.
    pub batch: Option<GroupBatch>,
    /// Bytes per second of the segment length that an attempt is given.
    pub bytes_per_segment_second: u64,
    /// How long it takes to stop.
    pub stops_in: Duration,
    /// What goes wrong with it.
    pub fault: Option<Fault>,
}

/// One plan of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupRung {
    /// The rank of its profile.
    pub rank: u32,
    /// What is said of it.
    pub estimate: Option<Estimate>,
    /// What it really peaks at, bytes, before spread and lies.
    pub peak_bytes: u64,
    /// How long it runs when it has the processors it wants.
    pub duration: Duration,
    /// Processors it keeps busy, in thousandths.
    pub cpu_milli: u32,
    /// The profile's ceiling, bytes.
    pub ceiling_bytes: Option<u64>,
}

/// What is said of a plan's peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Estimate {
    /// So many bytes.
    Bytes(u64),
    /// This part of what the job really peaks at, before it lies.
    OfPeak(f64),
}

/// How memory runs over an attempt. Without any of it: at the peak from start to end.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shape {
    /// Rises evenly until this part of the run, 0 to 1.
    pub ramp: f64,
    /// Is below the peak but for a spike.
    pub spike: Option<Spike>,
    /// Grows by so many bytes per second on top.
    pub leak_bytes: u64,
}

/// A short time at the peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spike {
    /// Where it begins, part of the run.
    pub at: f64,
    /// How long it lasts, part of the run.
    pub lasts: f64,
    /// The rest of the time, part of the peak.
    pub base: f64,
}

/// How a group takes batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBatch {
    /// What it can take.
    pub range: BatchRange,
    /// Bytes for each item of a batch, on top of the peak.
    pub item_bytes: u64,
    /// Items of a job. 0: its duration does not depend on the batch. Otherwise the plan's duration is that of one
    /// batch.
    pub items: u64,
    /// It can be told a new size while it runs.
    pub tellable: bool,
}

/// What goes wrong with jobs of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// In which way.
    pub kind: FaultKind,
    /// Where, part of the run.
    pub at: f64,
    /// With every n-th job, from the first one on.
    pub every: u64,
    /// With so many first attempts of it.
    pub attempts: u32,
}

/// In which way an attempt goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// It cannot be started.
    Start,
    /// It is killed by somebody else's signal.
    Signal,
    /// It exits with an error.
    Exit,
}

/// What is drawn for one job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// Its group.
    pub group: usize,
    /// Its place within the group, from 0.
    pub index: u64,
    /// What its peak is multiplied with, before it lies.
    pub peak: f64,
    /// What its duration is multiplied with.
    pub duration: f64,
    /// What its peak is multiplied with besides; the core is not told.
    pub lie: f64,
}

impl Group {
    /// When its n-th job arrives, from 0.
    pub fn arrival(&self, index: u64) -> Duration {
        let every = u64::try_from(self.every.as_nanos()).unwrap_or(u64::MAX);
        self.at + Duration::from_nanos(every.saturating_mul(index))
    }

    /// Bytes that a job of it really peaks at on a plan, with a batch and a segment length.
    pub fn peak_bytes(
        &self,
        drawn: &Drawn,
        rung: usize,
        batch: Option<u32>,
        segment: Duration,
    ) -> u64 {
        self.memory(drawn, rung, batch, segment)
            .iter()
            .fold(0.0_f64, |most, (_, bytes)| most.max(*bytes)) as u64
    }

    /// How long an attempt of it runs undisturbed.
    pub fn duration(&self, drawn: &Drawn, rung: usize, batch: Option<u32>) -> Duration {
        let Some(rung) = self.rungs.get(rung) else {
            return Duration::ZERO;
        };
        let batches = match (self.batch, batch) {
            (Some(rule), Some(batch)) if rule.items > 0 => {
                rule.items.div_ceil(u64::from(batch.max(1)))
            }
            _ => 1,
        };
        rung.duration.mul_f64(drawn.duration * batches as f64)
    }

    /// Memory over an attempt: bytes at parts of the run, in between evenly. Two points at the same place are a jump.
    pub fn memory(
        &self,
        drawn: &Drawn,
        rung: usize,
        batch: Option<u32>,
        segment: Duration,
    ) -> Vec<(f64, f64)> {
        let Some(plan) = self.rungs.get(rung) else {
            return vec![(0.0, 0.0), (1.0, 0.0)];
        };
        let peak = plan.peak_bytes as f64 * drawn.peak * drawn.lie;
        let shape = self.shape;
        let base = shape.spike.map_or(peak, |spike| peak * spike.base);
        let mut points = if shape.ramp > 0.0 {
            vec![(0.0, base * START_PART), (shape.ramp, base)]
        } else {
            vec![(0.0, base)]
        };
        if let Some(spike) = shape.spike {
            let end = (spike.at + spike.lasts).min(1.0);
            points.extend([(spike.at, base), (spike.at, peak), (end, peak), (end, base)]);
        }
        points.push((1.0, base));
        let leak = shape.leak_bytes as f64 * self.duration(drawn, rung, batch).as_secs_f64();
        let items =
            self.batch.map_or(0.0, |rule| rule.item_bytes as f64) * f64::from(batch.unwrap_or(0));
        let segment = self.bytes_per_segment_second as f64 * segment.as_secs_f64();
        for (part, bytes) in &mut points {
            *bytes += leak * *part + (items + segment) * drawn.lie;
        }
        points
    }

    /// Where and how an attempt goes wrong; `earlier` attempts of the job were made.
    pub fn fault_of(&self, drawn: &Drawn, earlier: u32) -> Option<Fault> {
        self.fault
            .filter(|fault| drawn.index.is_multiple_of(fault.every) && earlier < fault.attempts)
    }
}

/// An attempt that ramps up begins with this part of its memory: code, tables, the first buffers.
const START_PART: f64 = 0.05;
