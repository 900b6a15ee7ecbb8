//! One line for every decision: what was considered, what was chosen, and why.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::job::{AttemptId, Final, JobId};
use super::ladder::Outcome;
use crate::config::policy::{Level, ReliefKind, Say};
use crate::config::size::format_bytes;

/// A decision, to be written down. Its text is one line; its JSON has the same in fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// The level or the stage within it has changed.
    Level {
        /// Before.
        from: Level,
        /// After.
        to: Level,
        /// The stage's place in the policy, from 0.
        stage: usize,
        /// The measure that decided.
        why: String,
        /// How loudly.
        say: Say,
    },
    /// An attempt is started.
    Start {
        /// Which job.
        job: JobId,
        /// Which attempt.
        attempt: AttemptId,
        /// On which plan.
        rung: usize,
        /// Held for it, bytes.
        reserved_bytes: u64,
        /// Held for all, itself included, bytes.
        all_reserved_bytes: u64,
        /// For all, bytes.
        budget_bytes: u64,
        /// It went before this job, which it does not delay.
        overtakes: Option<JobId>,
    },
    /// A job goes back to the queue.
    Requeue {
        /// Which job.
        job: JobId,
        /// How its attempt ended.
        outcome: Outcome,
        /// The plan it gets next.
        rung: usize,
        /// Bytes it is now believed to need.
        estimate_bytes: u64,
        /// How long it waits first.
        after: Duration,
    },
    /// A job has come to its end.
    Finish {
        /// Which job.
        job: JobId,
        /// How.
        end: Final,
        /// Peak of its last attempt, bytes.
        peak_bytes: u64,
    },
    /// Relief is tried.
    Relief {
        /// Which kind.
        kind: ReliefKind,
        /// On how many attempts.
        attempts: usize,
        /// Available before, bytes.
        available_bytes: u64,
    },
    /// Relief was looked at.
    Relieved {
        /// Which kind.
        kind: ReliefKind,
        /// It was carried out.
        done: bool,
        /// Memory came back.
        helped: bool,
        /// Available before and after, bytes.
        available_bytes: (u64, u64),
    },
    /// A frozen attempt goes on.
    Thaw {
        /// Which.
        attempt: AttemptId,
        /// Why.
        why: String,
    },
    /// A victim was chosen.
    Victim {
        /// Which.
        attempt: AttemptId,
        /// Of which job; none where it was adopted.
        job: Option<JobId>,
        /// Memory it gives back, bytes.
        needs_bytes: u64,
        /// Work that is lost.
        lost: Duration,
        /// Among how many.
        considered: usize,
    },
    /// The breaker opened.
    BreakerOpen {
        /// For how long at least.
        wait: Duration,
        /// Why.
        why: String,
    },
    /// A probe job runs.
    BreakerProbe {
        /// Which.
        job: JobId,
    },
    /// The breaker closed.
    BreakerClosed,
    /// From now on, until the level is normal, no more than so many at once.
    Sequential {
        /// At once.
        workers: u32,
        /// Memory in use, percent.
        used_percent: f64,
    },
    /// The line on memory that a policy asks for after so many jobs.
    Memory {
        /// Jobs finished so far.
        finished: u64,
        /// Memory of the machine in use, bytes.
        used_bytes: u64,
        /// All there is, bytes.
        total_bytes: u64,
        /// What the children need, bytes.
        children_bytes: u64,
    },
}

impl Decision {
    /// How loudly it is to be said.
    pub fn say(&self) -> Say {
        match self {
            Decision::Level { say, .. } => *say,
            Decision::Victim { .. }
            | Decision::BreakerOpen { .. }
            | Decision::Sequential { .. } => Say::Warning,
            Decision::Relieved { helped: false, .. } => Say::Warning,
            _ => Say::Info,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: &Duration| format!("{:.1} s", time.as_secs_f64());
        match self {
            Decision::Level {
                from,
                to,
                stage,
                why,
                ..
            } if from == to => {
                write!(f, "level {to} (stage {stage}): {why}")
            }
            Decision::Level { from, to, why, .. } => write!(f, "level {from} -> {to}: {why}"),
            Decision::Start {
                job,
                attempt,
                rung,
                reserved_bytes,
                all_reserved_bytes,
                budget_bytes,
                overtakes,
            } => {
                write!(
                    f,
                    "{job}: {attempt} starts on plan {rung}, {} reserved, {} of {} in all",
                    format_bytes(*reserved_bytes),
                    format_bytes(*all_reserved_bytes),
                    format_bytes(*budget_bytes)
                )?;
                overtakes.map_or(Ok(()), |head| write!(f, "; {head} is not delayed by it"))
            }
            Decision::Requeue {
                job,
                outcome,
                rung,
                estimate_bytes,
                after,
            } => write!(
                f,
                "{job}: {outcome}, goes back for plan {rung} with {} in {}",
                format_bytes(*estimate_bytes),
                seconds(after)
            ),
            Decision::Finish {
                job,
                end,
                peak_bytes,
            } => {
                write!(f, "{job}: {end}, peak {}", format_bytes(*peak_bytes))
            }
            Decision::Relief {
                kind,
                attempts,
                available_bytes,
            } => write!(
                f,
                "relief by {kind} on {}, {} available",
                counted(*attempts as u64, "attempt"),
                format_bytes(*available_bytes)
            ),
            Decision::Relieved {
                kind,
                done,
                helped,
                available_bytes: (before, after),
            } => write!(
                f,
                "relief by {kind} {}: {} available before, {} after",
                match (done, helped) {
                    (false, _) => "was not carried out",
                    (true, false) => "did not help",
                    (true, true) => "helped",
                },
                format_bytes(*before),
                format_bytes(*after)
            ),
            Decision::Thaw { attempt, why } => write!(f, "{attempt} goes on: {why}"),
            Decision::Victim {
                attempt,
                job,
                needs_bytes,
                lost,
                considered,
            } => {
                job.map_or(Ok(()), |job| write!(f, "{job}: "))?;
                write!(
                    f,
                    "{attempt} is stopped, the one of {considered} that gives most back ({}) for the work lost ({})",
                    format_bytes(*needs_bytes),
                    seconds(lost)
                )
            }
            Decision::BreakerOpen { wait, why } => {
                write!(f, "no new work for {}: {why}", seconds(wait))
            }
            Decision::BreakerProbe { job } => write!(f, "{job} is tried alone"),
            Decision::BreakerClosed => f.write_str("new work is started again"),
            Decision::Sequential {
                workers,
                used_percent,
            } => write!(
                f,
                "{workers} at once until the level is normal, at {used_percent:.1} % after relief"
            ),
            Decision::Memory {
                finished,
                used_bytes,
                total_bytes,
                children_bytes,
            } => write!(
                f,
                "memory after {}: {} of {} in use ({:.1} %), {} by children",
                counted(*finished, "job"),
                format_bytes(*used_bytes),
                format_bytes(*total_bytes),
                *used_bytes as f64 * 100.0 / (*total_bytes).max(1) as f64,
                format_bytes(*children_bytes)
            ),
        }
    }
}

/// `1 job`, `2 jobs`.
fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
