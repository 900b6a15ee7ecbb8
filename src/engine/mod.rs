//! Many jobs at once: the one loop around [`core::step`](crate::core::step), which decides, while this carries out.
//!
//! The loop sleeps until something happens: a signal, a child's end, a slice's `memory.events`, a trigger on the
//! machine's memory pressure, an answer from a thread, a time. Nothing in it waits for a disk, a child or the kernel
//! to take memory back; that is done by threads: `planner` (ffprobe before a job), `settle` (outputs and cgroups
//! after it), and one for each relief. Children are started by the loop's own thread alone, for they die with the
//! thread that started them.
//!
//! Not here: which job runs when and with how much (`core`), what a job is and where its results go (the caller).

mod act;
mod attempt;
mod desk;
mod ends;
mod event_loop;
mod interrupt;
mod planner;
mod settle;
mod sources;
mod start;
mod task;

pub use task::{
    BATCH, BatchRule, JobReport, Observer, Outcome, Pull, Running, SEGMENT, Stage, Started, Status,
    Task, Tasks,
};

use std::time::Duration;

use crate::config::policy::Policy;
use crate::core::Settings;
use crate::job::JobError;
use crate::job::link::GuardLink;
use crate::report::record::Recorder;
use crate::slice::detect::Container;

/// What a thread has to tell.
#[derive(Debug)]
enum Answer {
    /// A job has been planned.
    Planned(Box<planner::Planned>),
    /// What an attempt left has been cleared.
    Settled(Box<settle::Settled>),
}

/// What the engine runs with.
#[derive(Debug)]
pub struct Setup<'a> {
    /// What is done at which pressure.
    pub policy: Policy,
    /// What else the core wants to know.
    pub settings: Settings,
    /// Where attempts are contained.
    pub container: &'a mut Container,
    /// Told what has to go if we are killed.
    pub guard: &'a mut GuardLink,
    /// Where everything the core is told is written down, to be replayed.
    pub record: Option<Recorder>,
    /// How often [`Observer::progress`] is called while something runs; none is never, and costs nothing.
    pub show_every: Option<Duration>,
}

/// Runs all jobs to their end, or until a signal asks us to end. Has to be called on the main thread.
///
/// # Errors
/// When the machine's memory cannot be read, or a pipe or thread of our own cannot be made. What goes wrong with one
/// job is told to the observer.
pub fn run(
    setup: Setup<'_>,
    tasks: &mut dyn Tasks,
    observer: &mut dyn Observer,
) -> Result<Outcome, JobError> {
    event_loop::Engine::new(setup, tasks, observer)?.until_the_end()
}
