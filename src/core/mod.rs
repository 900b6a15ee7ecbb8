//! PURE decisions: no clock, no file, no random number. What comes in is numbers and events, what goes out is what
//! to do. The shell around it (`job` for the prefix, `engine` for many jobs, `simulate` with a virtual clock) feeds
//! it and carries its actions out.
//!
//! The heart is a deterministic state machine, [`step`]: the same policy, settings and events give the same actions,
//! whoever plays them.
//!
//! - [`event`], [`action`], [`decision`], [`job`]: the words that the core and its shells exchange
//! - [`state`]: the state of jobs and memory, and `step`
//! - `adopted`: attempts that the core did not start
//! - `lives`: a job from its submission over its attempts to its one end
//! - `admission`: which job starts now, on which plan; `queue`: the jobs that wait; `running`: those that run
//! - [`level`]: which stage of the policy is in force; [`stall`]: the share of time lost to pressure
//! - `pressure`: relief, its judgement, and stopping a [`victim`]; `freeze`: standing still in swap instead
//! - `fall`: how fast memory goes
//! - [`breaker`]: no new work after a storm; [`learn`]: what finished attempts teach
//! - [`budget`], [`ladder`], [`poll`]: also used by the prefix, which has one job
//! - [`outcome`]: what an attempt's end means, for every shell that has real children

pub mod action;
mod admission;
mod adopted;
pub mod breaker;
pub mod budget;
pub mod decision;
pub mod event;
mod fall;
#[cfg(test)]
mod fixtures;
mod freeze;
pub mod job;
pub mod ladder;
pub mod learn;
pub mod level;
mod lives;
pub mod outcome;
pub mod poll;
mod pressure;
#[cfg(test)]
mod promises;
mod queue;
mod running;
pub mod stall;
pub mod state;
pub mod thrash;
pub mod victim;

pub use action::{Action, ReliefId, Start};
pub use decision::Decision;
pub use event::{Event, Sample, Use};
pub use job::{AttemptId, End, Final, JobId, JobSpec, Rung};
pub use state::{Settings, State, step};
