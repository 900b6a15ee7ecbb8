//! PURE decisions: no clock, no file, no random number. What comes in is numbers and events, what goes out is what
//! to do. The shell around it (`job` for the prefix, `engine` for many jobs, `simulate` with a virtual clock) feeds
//! it and carries its actions out.
//!
//! The heart is a deterministic state machine, [`step`]: the same policy, settings and events give the same actions,
//! whoever plays them.
//!
//! - [`event`], [`action`], [`decision`], [`job`]: the words that the core and its shells exchange
//! - [`state`]: the state and `step`
//! - [`budget`], [`ladder`], [`poll`]: also used by the prefix, which has one job
//! - [`outcome`]: what an attempt's end means, for every shell that has real children

pub mod action;
pub mod budget;
pub mod decision;
pub mod event;
pub mod job;
pub mod ladder;
pub mod outcome;
pub mod poll;
pub mod state;

pub use action::{Action, ReliefId, Start};
pub use decision::Decision;
pub use event::{Event, Sample, Use};
pub use job::{AttemptId, End, Final, JobId, JobSpec, Rung};
pub use state::{Settings, State, step};
