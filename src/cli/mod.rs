//! The command line: what was typed, one file per verb. Verbs print and return a [`Verdict`]; they decide nothing
//! that `core` or `job` could.

pub mod args;
mod doctor;
mod plan;
mod profile;
mod run;

use std::io::{self, Write};

use crate::child::Verdict;
use args::{Cli, Verb};

/// Exit code for a failure of ffwarden itself, as env(1) and timeout(1) have it.
pub const FAILED: i32 = 125;
/// Exit code for a program that is there and cannot be run.
pub const NOT_EXECUTABLE: i32 = 126;
/// Exit code for a program that was not found.
pub const NOT_FOUND: i32 = 127;
/// Exit code for a child that was stopped by a timeout.
pub const TIMED_OUT: i32 = 124;

/// Runs the verb that was typed.
///
/// # Errors
/// Whatever kept it from being done, for the user to read.
pub fn run(cli: Cli) -> anyhow::Result<Verdict> {
    match cli.verb {
        Verb::Run(verb) => run::run(&cli.options.overridden_by(verb.options), verb.command),
        Verb::Prefix(command) => run::run(&cli.options, command),
        Verb::Plan(verb) => plan::plan(
            &cli.options.overridden_by(verb.options),
            verb.command,
            verb.json,
        ),
        Verb::Doctor(verb) => doctor::doctor(verb.json),
        Verb::Profile(verb) => profile::profile(verb),
    }
}

/// Writes to stdout; a reader that has gone away is no error.
fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
