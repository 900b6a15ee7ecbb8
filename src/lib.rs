//! ffwarden runs FFmpeg and model jobs as fast as a machine's memory allows, and never out of memory.
//!
//! The map of the house. A job flows forward only:
//! argv -> [`ffmpeg::command`] -> [`ffmpeg::probe`] -> [`ffmpeg::estimate`] -> plan (profile and limits)
//! -> [`slice`](mod@slice) -> [`child`] -> outcome -> done, or a lighter attempt.
//!
//! - [`cli`]: the command line; one file per verb
//! - [`config`]: sizes, profiles and policies: YAML in, checked values out
//! - [`ffmpeg`]: the typed command line, its rewriting, probing, the memory estimate, its outputs, its progress
//! - [`core`]: PURE decisions: pressure levels, which job starts when and how, relief, victims, what follows a failure
//! - [`memory`]: what the machine and each process tree use
//! - [`slice`](mod@slice): the container of one attempt: a cgroup v2 directory, or rlimits and a watched tree
//! - [`child`]: start a process in its place, name it by a pidfd, receive the signals that are meant for it
//! - [`engine`]: many jobs at once: the loop around the core, its children and threads
//! - [`job`]: a job from its command line to its end, and the guard that outlives us if we are killed
//! - `watch`: processes that ffwarden did not start
//! - [`batch`]: many inputs for one command: placeholders, lists, logs, the journal of what is done, progress lines
//! - [`relief`]: getting memory back without stopping anything: the kernel's means, the user's command
//! - [`report`]: what a run did, as JSON
//! - [`simulate`]: a virtual machine and clock that plays scenarios against the core
//! - `mailbox`: how threads answer a loop
//! - [`sys`]: the one module with `unsafe`: fork, clone3, wait4

pub mod batch;
pub mod child;
pub mod cli;
pub mod config;
pub mod core;
pub mod engine;
pub mod ffmpeg;
pub mod job;
mod mailbox;
pub mod memory;
pub mod relief;
pub mod report;
pub mod simulate;
pub mod slice;
pub mod sys;
#[cfg(target_os = "linux")]
pub mod watch;
