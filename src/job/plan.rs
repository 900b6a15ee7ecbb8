//! What would be run at each rung of the ladder: the rewritten command, its estimate, its limits.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{JobError, Request};
use crate::child::find_program;
use crate::core::budget;
use crate::memory;
use crate::slice::{Containment, Limits};

/// Threads an unknown command is expected to have: a base, and three per CPU (decoder, filter and encoder pools).
const THREADS_BASE: u64 = 16;

/// A command with everything that was found out before its first attempt.
#[derive(Debug)]
pub struct Job {
    /// As typed.
    pub command: Vec<OsString>,
    /// The executable that was found for it.
    pub program: PathBuf,
    /// The plans, from the heaviest to the lightest; at least one.
    pub rungs: Vec<Plan>,
    /// The rung to start on.
    pub first: usize,
    /// It can be run again: nothing goes through a pipe.
    pub repeatable: bool,
    /// The memory limit that was asked for, bytes.
    pub asked_bytes: Option<u64>,
    /// What a child started now may use, bytes.
    pub budget_bytes: u64,
    /// What was available when it was planned, bytes.
    pub available_bytes: u64,
}

/// One rung.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The profile; none for a command that is not rewritten.
    pub profile: Option<String>,
    /// What is run, with the outputs as the user named them.
    pub argv: Vec<OsString>,
    /// What the slice is limited to.
    pub limits: Limits,
    /// The profile's own ceiling of the limit, bytes.
    pub ceiling_bytes: Option<u64>,
}
impl Plan { 
    /// x
    pub fn estimate_bytes(&self) -> Option<u64> { None } }
impl Job {
    /// x
    pub fn announce(&self, _c: Containment) {}
    /// x
    pub fn prepare(command: Vec<OsString>, request: &Request, floor: u64) -> Result<Job, JobError> {
        let program = find_program(&command[0])?;
        let machine = memory::machine()?;
        let budget_bytes = budget::budget(machine.total_bytes, machine.available_bytes);
        let asked_bytes = request.memory.map(|size| size.resolve(machine.total_bytes).max(floor));
        let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let limits = Limits { memory_bytes: asked_bytes.unwrap_or(budget_bytes).max(floor), pids_max: 4096, expected_threads: THREADS_BASE + 3 * cpus };
        let plan = Plan { profile: None, argv: command.clone(), limits, ceiling_bytes: None };
        let repeatable = !super::run::is_pipe(std::io::stdin()) && !super::run::is_pipe(std::io::stdout());
        Ok(Job { command, program, rungs: vec![plan], first: 0, repeatable, asked_bytes, budget_bytes, available_bytes: machine.available_bytes })
    }
}
