//! What can be typed behind `batch`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::Options;
use crate::config::size::Size;

/// `batch [OPTIONS] INPUT... -- COMMAND {} ...`
#[derive(Debug, Args)]
#[command(
    override_usage = "ffwarden batch [OPTIONS] INPUT... -- COMMAND {} ...",
    after_help = "In the command {} is the input, {.} without its extension, {/} its name, {/.} its name without \
                  extension, {//} its directory, {#} its number; {batch} items at once, {segment} seconds. What is \
                  done is not done again when the same batch is started again.\n--memory is for all children \
                  together, --memory-limit for each.\nExit code: the number of failed jobs, 101 for more than 100; \
                  125 ffwarden failed."
)]
pub struct Batch {
    /// As before the verb.
    #[command(flatten)]
    pub options: Options,
    /// Jobs at once: a number, or auto for what memory and processors allow [default: auto]
    #[arg(short = 'j', long, value_name = "N", env = "FFWARDEN_WORKERS")]
    pub workers: Option<Workers>,
    /// Items at once at most, for a command that takes {batch} or reads BATCH_SIZE
    #[arg(
        long,
        alias = "batch_size",
        value_name = "N",
        env = "FFWARDEN_BATCH_SIZE",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub batch_size: Option<u32>,
    /// Tell a running job its new batch size by this signal: USR1, 10
    #[arg(long, value_name = "SIG", value_parser = signal)]
    pub batch_signal: Option<i32>,
    /// Keep the current batch size in this file
    #[arg(long, value_name = "FILE")]
    pub batch_file: Option<PathBuf>,
    /// Memory that each job may use: 512M, 2GB
    #[arg(
        long,
        alias = "memory_limit",
        value_name = "SIZE",
        env = "FFWARDEN_MEMORY_LIMIT"
    )]
    pub memory_limit: Option<Size>,
    /// Half the workers, a batch half of that, and a line on memory after each job
    #[arg(long, alias = "low_memory")]
    pub low_memory: bool,
    /// What is done at which memory pressure: a name or a YAML file [default: default]
    #[arg(long, value_name = "POLICY", env = "FFWARDEN_POLICY")]
    pub policy: Option<String>,
    /// Write a line for each job that ends, in GNU parallel's format
    #[arg(long, value_name = "FILE")]
    pub joblog: Option<PathBuf>,
    /// Keep what each job prints in DIR/1/INPUT/{stdout,stderr}
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// Do again what is done
    #[arg(long)]
    pub again: bool,
    /// The list on stdin is separated by NUL
    #[arg(short = '0', long)]
    pub null: bool,
    /// Write everything that is decided on to FILE, to be played again by `simulate --replay`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Print the commands that would be run, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Files, patterns in quotes, or - for a list on stdin.
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<OsString>,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Jobs at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// What memory and processors allow.
    Auto,
    /// So many, at least 1.
    Count(u32),
}

impl std::str::FromStr for Workers {
    type Err = String;

    fn from_str(text: &str) -> Result<Workers, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Workers::Auto),
            Ok(0) | Err(_) => Err("write a number from 1, or auto".to_owned()),
            Ok(count) => Ok(Workers::Count(count)),
        }
    }
}

/// A signal by its name, with or without SIG, or by its number.
fn signal(text: &str) -> Result<i32, String> {
    use nix::sys::signal::Signal;
    let by_number = text
        .parse()
        .ok()
        .and_then(|number: i32| Signal::try_from(number).ok());
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    by_number
        .or_else(|| format!("SIG{name}").parse().ok())
        .map(|signal| signal as i32)
        .ok_or_else(|| "there is no such signal; write a name or a number, such as USR1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["USR1", "SIGUSR1", "usr1"] {
            assert_eq!(signal(text), Ok(libc::SIGUSR1));
        }
        assert_eq!(signal("15"), Ok(15));
        assert!(signal("0").is_err() && signal("FOO").is_err() && signal("99").is_err());
    }
}
