//! What the core knows of a running attempt.

use std::time::Duration;

use super::event::Use;
use super::job::{JobId, JobSpec};

/// From the start until measured use says more than what was expected.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// A running attempt.
#[derive(Debug, Clone)]
pub(super) struct Running {
    /// None for one that was adopted.
    pub job: Option<JobId>,
    pub rung: usize,
    pub started: Duration,
    pub reserved_bytes: u64,
    pub limit_bytes: u64,
    /// Threads it is believed to keep busy, in thousandths of a processor.
    pub cpu_milli: u32,
    pub batch: Option<u32>,
    pub used: Use,
    /// Since when it is frozen, and at which stage that was.
    pub frozen: Option<(Duration, usize)>,
    /// It was asked to end.
    pub stopping: bool,
}

impl Running {
    /// One that the core did not start. Nothing is known of it but what it will be measured with.
    pub fn adopted(started: Duration) -> Running {
        Running {
            job: None,
            rung: 0,
            started,
            reserved_bytes: 0,
            limit_bytes: u64::MAX,
            cpu_milli: 0,
            batch: None,
            used: Use::default(),
            frozen: None,
            stopping: false,
        }
    }

    /// Whether the core did not start it.
    pub fn is_adopted(&self) -> bool {
        self.job.is_none()
    }

    /// Bytes held for it: what was reserved, or what it uses if it is more.
    pub fn held(&self) -> u64 {
        self.reserved_bytes.max(self.used.needs_bytes)
    }

    /// What it needs of its own limit, percent; nothing of one that has none.
    pub fn share(&self) -> f64 {
        self.used.needs_bytes as f64 * 100.0 / self.limit_bytes.max(1) as f64
    }

    /// Whether it is past its start, and what it uses tells something.
    pub fn is_settled(&self, now: Duration) -> bool {
        now.saturating_sub(self.started) >= SETTLED_AFTER
    }

    /// Takes in what it uses now.
    pub fn measured(&mut self, used: Use, now: Duration) {
        self.used = used;
        let age = now.saturating_sub(self.started);
        if self.is_settled(now) && self.frozen.is_none() && !used.cpu.is_zero() {
            let milli = used.cpu.as_millis() * 1000 / age.as_millis().max(1);
            let milli = u32::try_from(milli).unwrap_or(u32::MAX);
            self.cpu_milli = if self.is_adopted() {
                milli
            } else {
                self.cpu_milli.min(milli)
            };
        }
    }

    /// Work that is lost if it is stopped at `now`.
    pub fn lost(&self, now: Duration) -> Duration {
        if self.used.cpu.is_zero() {
            now.saturating_sub(self.started)
        } else {
            self.used.cpu
        }
    }

    /// How much longer it will run, where that can be told.
    pub fn left(&self, spec: &JobSpec, now: Duration) -> Option<Duration> {
        let age = now.saturating_sub(self.started);
        let by_progress = self
            .used
            .progress
            .filter(|progress| *progress >= 20)
            .map(|progress| {
                age.mul_f64(f64::from(1000 - progress.min(1000)) / f64::from(progress))
            });
        by_progress.or_else(|| Some(spec.expected?.saturating_sub(age)))
    }

    /// The most its slice may ever be given, bytes.
    pub fn most_bytes(&self, spec: &JobSpec, total_bytes: u64) -> u64 {
        most_bytes(spec, self.rung, total_bytes)
    }
}

/// The most that an attempt on this rung may be given, bytes: the user's limit, the profile's ceiling, the machine.
pub(super) fn most_bytes(spec: &JobSpec, rung: usize, total_bytes: u64) -> u64 {
    let ceiling = spec.rungs[rung].ceiling_bytes;
    [spec.limit_bytes, ceiling]
        .into_iter()
        .flatten()
        .fold(total_bytes, u64::min)
}
