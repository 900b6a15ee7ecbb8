//! What can be typed. Meaning is given to it by the verbs.

mod batch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::batch::{Batch, Workers};

use crate::config::size::Size;
use crate::config::time;
use crate::slice::Containment;

/// Run FFmpeg and model jobs as fast as the machine's memory allows, and never out of memory.
#[derive(Debug, Parser)]
#[command(
    name = "ffwarden",
    version,
    override_usage = "ffwarden [OPTIONS] ffmpeg ARGS...\n       ffwarden [OPTIONS] run -- COMMAND...\n       ffwarden batch [OPTIONS] INPUT... -- COMMAND {} ...\n       ffwarden plan|doctor|profile|policy|simulate|watch|relief ...",
    after_help = "Everything behind the command word belongs to the command. A command that has a verb's name is \
                  reached with `run --`.\nExit code: the command's own; 124 timed out, 125 ffwarden failed or memory \
                  ran out for good, 126 not executable, 127 not found."
)]
pub struct Cli {
    /// How a command is run.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run any command in a slice
    Run(Run),
    /// Run a command on many inputs, as many at once as memory allows
    Batch(Box<Batch>),
    /// Show what would be run and why, and run nothing
    Plan(Plan),
    /// Tell how children are contained on this machine, why, and what would be better
    Doctor(Doctor),
    /// List, show or check profiles
    Profile(Profile),
    /// List, show or check policies
    Policy(Policy),
    /// Monitor processes that ffwarden did not start: memory, level, warnings
    Watch(Watch),
    /// Get memory back now: the file cache of ffwarden's slices, and the policy's command
    #[command(after_help = "Exit code: 0 memory came back, 1 none did, 125 ffwarden failed.")]
    Relief(Relief),
    /// Play a scenario on a virtual machine against the real decisions
    Simulate(Simulate),
    /// `ffmpeg ARGS...`: the same as `run -- ffmpeg ARGS...`
    #[command(external_subcommand)]
    Prefix(Vec<OsString>),
}

/// `run -- COMMAND...`
#[derive(Debug, Args)]
pub struct Run {
    /// As before the verb.
    #[command(flatten)]
    pub options: Options,
    /// The command and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub command: Vec<OsString>,
}

/// `plan ffmpeg ARGS...`
#[derive(Debug, Args)]
pub struct Plan {
    /// As before the verb.
    #[command(flatten)]
    pub options: Options,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
    /// The command and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub command: Vec<OsString>,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `watch`
#[derive(Debug, Args)]
pub struct Watch {
    /// This process with its descendants; may be given again
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub pid: Vec<i32>,
    /// All processes whose program has this name; may be given again [default: ffmpeg, if no --pid is given]
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// Between two lines or tables: 1, 0.5, 10s, 1m
    #[arg(long, value_name = "TIME", value_parser = time::parse, default_value = "2")]
    pub interval: Duration,
    /// Print a JSON object on a line for each look and each event
    #[arg(long)]
    pub json: bool,
    /// The policy whose levels are told, by name or YAML file [default: default]
    #[arg(long, value_name = "POLICY", env = "FFWARDEN_POLICY")]
    pub policy: Option<String>,
    /// Hold them to the policy: take back file cache, freeze, and stop a victim
    #[arg(long)]
    pub enforce: bool,
}

/// `relief`
#[derive(Debug, Args)]
pub struct Relief {
    /// The policy whose command is run, by name or YAML file [default: default]
    #[arg(long, value_name = "POLICY", env = "FFWARDEN_POLICY")]
    pub policy: Option<String>,
}

/// `profile list|show|check`
#[derive(Debug, Args)]
pub struct Profile {
    /// What about them.
    #[command(subcommand)]
    pub verb: ProfileVerb,
}

/// What about profiles.
#[derive(Debug, Subcommand)]
pub enum ProfileVerb {
    /// List the profiles, the lightest first, with where each comes from
    List,
    /// Print a profile as YAML
    Show {
        /// Its name.
        name: String,
    },
    /// Check a profile file and tell the first mistake in it
    Check {
        /// The YAML file.
        file: PathBuf,
    },
}

/// `policy list|show|check`
#[derive(Debug, Args)]
pub struct Policy {
    /// What about them.
    #[command(subcommand)]
    pub verb: PolicyVerb,
}

/// `simulate SCENARIO.yaml`
#[derive(Debug, Args)]
pub struct Simulate {
    /// The YAML file; with --replay, a record of `batch --record`
    pub scenario: PathBuf,
    /// Play a record again instead, and print its decisions
    #[arg(long, conflicts_with_all = ["html", "baselines"])]
    pub replay: bool,
    /// A policy of this name, or a YAML file, instead of the scenario's or the record's own
    #[arg(short = 'P', long, value_name = "POLICY")]
    pub policy: Option<String>,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
    /// Write a page with charts to FILE
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print every decision
    #[arg(long)]
    pub timeline: bool,
    /// Compare with simpler deciders, however many jobs there are
    #[arg(long)]
    pub baselines: bool,
}

/// What about policies.
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// List the policies, with where each comes from
    List,
    /// Print a policy as YAML
    Show {
        /// Its name.
        name: String,
    },
    /// Check a policy file and tell the first mistake in it
    Check {
        /// The YAML file.
        file: PathBuf,
    },
}

/// How a command is run. Each can also be given as `FFWARDEN_...` in the environment.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// auto, minimal, low, balanced, high, or a YAML file [default: auto]
    #[arg(short, long, value_name = "PROFILE", env = "FFWARDEN_PROFILE")]
    pub profile: Option<OsString>,
    /// Memory the command may use: 512M, 2G, 50% [default: what is free, less a tenth of the machine]
    #[arg(short, long, value_name = "SIZE", env = "FFWARDEN_MEMORY")]
    pub memory: Option<Size>,
    /// Run the command as it was typed
    #[arg(long)]
    pub no_rewrite: bool,
    /// Further attempts after running out of memory [default: 3]
    #[arg(long, value_name = "N", env = "FFWARDEN_RETRIES")]
    pub retries: Option<u32>,
    /// Stop an attempt that runs longer: 90, 30s, 5m, 2h
    #[arg(long, value_name = "TIME", value_parser = time::parse, env = "FFWARDEN_TIMEOUT")]
    pub timeout: Option<Duration>,
    /// Stop an attempt that makes no progress for this long
    #[arg(long, value_name = "TIME", value_parser = time::parse, env = "FFWARDEN_STALL_TIMEOUT")]
    pub stall_timeout: Option<Duration>,
    /// Write what was done to FILE as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Use this kind of slice and no other: cgroup, scope, rlimit [default: the best there is]
    #[arg(long, value_name = "KIND", env = "FFWARDEN_CONTAINMENT")]
    pub containment: Option<Containment>,
    /// Say nothing
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// When to colour messages: auto, always, never [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub color: Option<Color>,
}

/// When to colour messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Options {
    /// These options with what was typed again behind the verb.
    pub fn overridden_by(&self, later: Options) -> Options {
        Options {
            profile: later.profile.or_else(|| self.profile.clone()),
            memory: later.memory.or(self.memory),
            no_rewrite: later.no_rewrite || self.no_rewrite,
            retries: later.retries.or(self.retries),
            timeout: later.timeout.or(self.timeout),
            stall_timeout: later.stall_timeout.or(self.stall_timeout),
            report: later.report.or_else(|| self.report.clone()),
            containment: later.containment.or(self.containment),
            quiet: later.quiet || self.quiet,
            verbose: later.verbose.max(self.verbose),
            color: later.color.or(self.color),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Cli {
        Cli::try_parse_from(words).unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn what_stands_behind_the_command_word_is_the_commands() {
        let cli = parse(&[
            "ffwarden",
            "-m",
            "2G",
            "ffmpeg",
            "-i",
            "in",
            "-m",
            "x",
            "--profile",
            "foo",
            "-h",
            "--",
        ]);
        assert_eq!(cli.options.memory, Some(Size::Bytes(2 << 30)));
        let Verb::Prefix(command) = cli.verb else {
            panic!("not a prefix")
        };
        assert_eq!(
            command,
            [
                "ffmpeg",
                "-i",
                "in",
                "-m",
                "x",
                "--profile",
                "foo",
                "-h",
                "--"
            ]
        );
    }

    #[test]
    fn a_command_with_a_verbs_name_is_reached_with_run() {
        let cli = parse(&[
            "ffwarden",
            "-q",
            "run",
            "--retries",
            "1",
            "--",
            "plan",
            "--json",
        ]);
        let Verb::Run(run) = cli.verb else {
            panic!("not run")
        };
        assert_eq!(run.command, ["plan", "--json"]);
        let options = cli.options.overridden_by(run.options);
        assert_eq!((options.quiet, options.retries), (true, Some(1)));
    }

    #[test]
    fn a_batch_has_its_inputs_before_the_dashes_and_its_command_behind() {
        let words = "ffwarden -m 4G batch -0 -j 3 --batch_size 2 a - b* -- cmd -j {} -- -x";
        let words: Vec<&str> = words.split(' ').collect();
        let Verb::Batch(batch) = parse(&words).verb else {
            panic!("not a batch")
        };
        assert_eq!(batch.inputs, ["a", "-", "b*"]);
        assert_eq!(batch.command, ["cmd", "-j", "{}", "--", "-x"]);
        assert_eq!(batch.workers, Some(Workers::Count(3)));
        assert_eq!((batch.batch_size, batch.null), (Some(2), true));
        for wrong in [
            "a cmd",
            "-- cmd",
            "a --",
            "-j 0 a -- cmd",
            "--batch-size 0 a -- cmd",
        ] {
            let words = ["ffwarden", "batch"].into_iter().chain(wrong.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{wrong}");
        }
    }
}
