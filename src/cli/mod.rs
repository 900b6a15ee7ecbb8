//! The command line: what was typed, one file per verb. Verbs print and return a [`Verdict`]; they decide nothing
//! that `core` or `job` could.

pub mod args;
mod batch;
mod doctor;
mod plan;
mod policy;
mod profile;
mod relief;
mod run;
mod simulate;
mod watch;

use std::io::{self, Write};

use crate::job::verdict::Verdict;
use args::{Cli, Verb};
pub use batch::{log_level, wants_color};

/// Runs the verb that was typed.
///
/// # Errors
/// Whatever kept it from being done, for the user to read.
pub fn run(cli: Cli) -> anyhow::Result<Verdict> {
    match cli.verb {
        Verb::Run(verb) => run::run(&cli.options.overridden_by(verb.options), verb.command),
        Verb::Prefix(command) => run::run(&cli.options, command),
        Verb::Batch(verb) => {
            let options = cli.options.overridden_by(verb.options.clone());
            batch::batch(&options, *verb)
        }
        Verb::Plan(verb) => plan::plan(
            &cli.options.overridden_by(verb.options),
            verb.command,
            verb.json,
        ),
        Verb::Doctor(verb) => doctor::doctor(verb.json),
        Verb::Profile(verb) => profile::profile(verb),
        Verb::Watch(verb) => watch::watch(verb),
        Verb::Relief(verb) => relief::relief(verb),
        Verb::Policy(verb) => policy::policy(verb),
        Verb::Simulate(verb) => simulate::simulate(verb),
    }
}

/// An error with what caused it. An error of the library's names its cause itself, a context leaves that to its reader.
pub fn with_cause(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Writes to stdout; a reader that has gone away is no error.
fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot run x: {source}")]
        struct Named {
            source: io::Error,
        }
        let full = || io::Error::other("no space");
        let named = anyhow::Error::from(Named { source: full() });
        assert_eq!(with_cause(&named), "cannot run x: no space");
        assert_eq!(with_cause(&named.context("y")), "y: cannot run x: no space");
        let bare = anyhow::Error::from(full()).context("cannot read z");
        assert_eq!(with_cause(&bare), "cannot read z: no space");
    }
}
