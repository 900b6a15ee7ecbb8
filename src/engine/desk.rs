//! The jobs that are in the engine's hands: pulled from the caller a bounded number ahead, planned, and told of when
//! they have ended. What is known of a job goes with it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::planner::{Planned, Planner, spec};
use super::{JobReport, Outcome, Pull, Task, Tasks};
use crate::config::policy::{BaseWorkers, Policy};
use crate::core::ladder;
use crate::core::{Final, JobId, JobSpec, Settings};
use crate::job::outputs::Outputs;
use crate::job::verdict::{FAILED, TIMED_OUT};
use crate::job::{Job, JobError};
use crate::sys::WaitStatus;

/// The least number of jobs that are kept ready to start.
const LEAST_AHEAD: usize = 8;

/// A job that has been planned.
pub struct Held {
    /// What was asked for.
    pub task: Task,
    /// Its plans.
    pub job: Job,
    /// Its outputs, between attempts and before the first.
    pub outputs: Option<Outputs>,
    /// Attempts that were started.
    pub attempts: u32,
    /// The most that any needed, bytes.
    pub peak_bytes: u64,
    /// How the last one ended.
    pub last: Option<Last>,
}

/// How an attempt ended, as far as its job's report wants to know.
#[derive(Debug)]
pub struct Last {
    /// The child's end; none when none was started.
    pub status: Option<WaitStatus>,
    /// From start to end.
    pub wall: Duration,
    /// Why it was no success, where there is more to say than an exit code.
    pub reason: Option<String>,
    /// What kept it from starting, or its outputs from their places.
    pub exit_code: Option<i32>,
}

enum Entry {
    Planning,
    Held(Box<Held>),
}

/// The jobs in hand.
pub struct Desk {
    entries: BTreeMap<JobId, Entry>,
    planner: Planner,
    ahead: usize,
    can_relieve: bool,
    exhausted: bool,
    /// How it has gone so far.
    pub outcome: Outcome,
}

impl Desk {
    /// With nothing in hand.
    pub fn new(planner: Planner, policy: &Policy, settings: &Settings) -> Desk {
        let by_policy = match policy.workers {
            BaseWorkers::Auto => settings.cpus,
            BaseWorkers::Count(count) => count,
        };
        let workers = settings.workers.unwrap_or(by_policy);
        let twice = usize::try_from(workers)
            .unwrap_or(usize::MAX)
            .saturating_mul(2);
        Desk {
            entries: BTreeMap::new(),
            planner,
            ahead: twice.max(LEAST_AHEAD),
            can_relieve: policy.relief.signal.is_some(),
            exhausted: false,
            outcome: Outcome::default(),
        }
    }

    /// Takes jobs from the caller until enough are in hand besides the `running` ones.
    pub fn pull(&mut self, tasks: &mut dyn Tasks, running: usize) {
        while self.is_hungry(running) {
            match tasks.next() {
                Pull::Job(id, task) => {
                    self.entries.insert(id, Entry::Planning);
                    self.planner.plan(id, *task);
                }
                Pull::Later => return,
                Pull::End => self.exhausted = true,
            }
        }
    }

    /// More would be taken if there were more to be had.
    pub fn is_hungry(&self, running: usize) -> bool {
        !self.exhausted && self.waiting(running) < self.ahead
    }

    /// Jobs in hand that do not run.
    pub fn waiting(&self, running: usize) -> usize {
        self.entries.len().saturating_sub(running)
    }

    /// Nothing is in hand, and nothing more will come.
    pub fn is_done(&self) -> bool {
        self.exhausted && self.entries.is_empty()
    }

    /// Takes no more jobs, and lets go of those that are not planned.
    pub fn close(&mut self) {
        self.exhausted = true;
        self.planner.leave();
        self.entries
            .retain(|_, entry| matches!(entry, Entry::Held(_)));
    }

    /// A job has been planned. Its specification for the core, or its report if it cannot be run at all.
    ///
    /// # Errors
    /// The report. The job is no longer in hand then.
    pub fn planned(&mut self, planned: Planned) -> Option<Result<JobSpec, JobReport>> {
        let Planned {
            job: id,
            task,
            plans,
        } = planned;
        // Not in hand any more: we are to end.
        self.entries.get(&id)?;
        Some(match plans {
            Ok(job) => {
                let spec = spec(&task, &job, self.can_relieve);
                let held = Held {
                    task,
                    job,
                    outputs: None,
                    attempts: 0,
                    peak_bytes: 0,
                    last: None,
                };
                self.entries.insert(id, Entry::Held(Box::new(held)));
                Ok(spec)
            }
            Err(error) => {
                self.entries.remove(&id);
                self.outcome.failed += 1;
                Err(refused(&error))
            }
        })
    }

    /// A job in hand that has been planned.
    pub fn held(&mut self, id: JobId) -> Option<&mut Held> {
        match self.entries.get_mut(&id) {
            Some(Entry::Held(held)) => Some(held),
            _ => None,
        }
    }

    /// A job is left for another time.
    pub fn drop_job(&mut self, id: JobId) {
        self.entries.remove(&id);
    }

    /// A job has come to its end: its report.
    pub fn finish(&mut self, id: JobId, end: Final) -> Option<JobReport> {
        let Some(Entry::Held(held)) = self.entries.remove(&id) else {
            return None;
        };
        match end {
            Final::Done => self.outcome.done += 1,
            Final::Cancelled => self.outcome.cancelled += 1,
            Final::Failed(_) | Final::OutOfMemory { .. } => self.outcome.failed += 1,
        }
        Some(held.report(end))
    }
}

fn refused(error: &JobError) -> JobReport {
    JobReport {
        end: None,
        exit_code: error.exit_code(),
        signal: None,
        reason: Some(error.to_string()),
        attempts: 0,
        wall: Duration::ZERO,
        peak_bytes: 0,
        outputs: Vec::new(),
    }
}

impl Held {
    fn report(&self, end: Final) -> JobReport {
        let last = self.last.as_ref();
        let status = last.and_then(|last| last.status);
        let of_child = match status {
            Some(WaitStatus::Exited(code)) => code,
            Some(WaitStatus::Signaled(number)) => 128 + number,
            None => FAILED,
        };
        let own = last.and_then(|last| last.exit_code);
        let (exit_code, more) = match end {
            Final::Done => (0, None),
            Final::Failed(ladder::Outcome::Timeout | ladder::Outcome::Stalled) => (TIMED_OUT, None),
            Final::Failed(_) => (own.unwrap_or(of_child), None),
            Final::OutOfMemory { .. } => (FAILED, Some(end.to_string())),
            Final::Cancelled => (own.unwrap_or(of_child), Some(end.to_string())),
        };
        let reasons = [last.and_then(|last| last.reason.clone()), more];
        let reason = reasons.into_iter().flatten().collect::<Vec<_>>().join("; ");
        JobReport {
            end: Some(end),
            exit_code,
            signal: match status {
                Some(WaitStatus::Signaled(number)) => Some(number),
                _ => None,
            },
            reason: Some(reason).filter(|reason| !reason.is_empty() && end != Final::Done),
            attempts: self.attempts,
            wall: last.map_or(Duration::ZERO, |last| last.wall),
            peak_bytes: self.peak_bytes,
            outputs: self
                .outputs
                .as_ref()
                .map(Outputs::report)
                .unwrap_or_default(),
        }
    }
}
