//! `ffwarden ffmpeg ARGS...` and `ffwarden run -- COMMAND...`: run a command in a slice.
//!
//! Two processes from here on: the guard, which is the one the user started, and the supervisor, which does the
//! work (see `job::guard`).

use std::ffi::OsString;

use super::args::Options;
use crate::config::size::format_bytes;
use crate::core::ladder::Outcome;
use crate::job::guard::{Side, split};
use crate::job::link::GuardLink;
use crate::job::verdict::{FAILED, Verdict};
use crate::job::{self, Finished, Job, JobError, Request};
use crate::report::{ContainmentReport, Report};
use crate::slice::detect::Container;

/// Runs the command; in the guard, returns how ffwarden is to end.
///
/// # Errors
/// When the process cannot be split in two.
pub fn run(options: &Options, command: Vec<OsString>) -> anyhow::Result<Verdict> {
    match split()? {
        Side::Guard(verdict) => Ok(verdict),
        Side::Supervisor(mut guard) => {
            let verdict = supervise(options, command, &mut guard).unwrap_or_else(|error| {
                log::error!("{}", super::with_cause(&error));
                exit_for(&error)
            });
            guard.conclude(verdict)
        }
    }
}

/// What a scope of ours is called.
pub fn scope_name() -> String {
    // A PID comes back while a scope of that name may still be there; the time does not.
    let moment = std::time::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_millis();
    format!("ffwarden-{}-{moment:x}", std::process::id())
}

fn supervise(
    options: &Options,
    command: Vec<OsString>,
    guard: &mut GuardLink,
) -> anyhow::Result<Verdict> {
    let request = options.request();
    let mut container = Container::open(&scope_name(), options.containment)?;
    log::debug!(
        "{} slice: {}",
        container.containment(),
        container.choice().why
    );
    let job = Job::prepare(command, &request, container.memory_floor())?;
    job.announce(container.containment());
    let finished = job::run(&job, &request, &mut container, guard)?;
    conclude(&job, &finished);
    if let Some(path) = &options.report {
        let choice = container.choice();
        let containment = ContainmentReport {
            kind: container.containment(),
            why: choice.why.clone(),
        };
        write_report(path, &job, finished, containment)
    } else {
        Ok(finished.verdict)
    }
}

fn write_report(
    path: &std::path::Path,
    job: &Job,
    finished: Finished,
    containment: ContainmentReport,
) -> anyhow::Result<Verdict> {
    let exit_code = match finished.verdict {
        Verdict::Exit(code) => code,
        Verdict::Signal(number) => 128 + number,
    };
    let report = Report {
        containment,
        command: job.command.clone(),
        attempts: finished.attempts,
        outputs: finished.outputs,
        exit_code,
    };
    // The command has done its work; a report that cannot be written does not undo it.
    if let Err(error) = report.write(path) {
        log::error!("cannot write the report {}: {error}", path.display());
    }
    Ok(finished.verdict)
}

/// The last words: what it needed, or why it had to end.
fn conclude(job: &Job, finished: &Finished) {
    let Some(last) = finished.attempts.last() else {
        return;
    };
    if let Some(give_up) = finished.gave_up {
        let reason = last.reason.as_deref().unwrap_or("stopped");
        let needed = finished
            .attempts
            .iter()
            .filter_map(|attempt| attempt.estimate_bytes)
            .min();
        let needed = needed.map_or_else(
            || format!("more than {}", format_bytes(last.limit_bytes)),
            |bytes| {
                format!(
                    "more than {}, by its estimate {}",
                    format_bytes(last.limit_bytes),
                    format_bytes(bytes)
                )
            },
        );
        let there = format_bytes(job.available_bytes);
        log::error!(
            "{reason}; {give_up}. It needs {needed}; {there} were available when it was planned"
        );
    } else if let Some(reason) = &last.reason {
        log::error!("{reason}");
    } else if job.ffmpeg.is_some() && last.outcome == Outcome::Exited {
        let profile = last.profile.as_deref().unwrap_or("not rewritten");
        let peak = format_bytes(last.peak_needs_bytes.max(1).min(last.peak_bytes));
        let attempts = match finished.attempts.len() {
            1 => String::new(),
            count => format!(", attempt {count}"),
        };
        log::info!(
            "{profile}{attempts}: peak {peak} of {}, {:.1} s",
            format_bytes(last.limit_bytes),
            last.wall_seconds
        );
    }
}

/// The exit code of a failure, by env(1)'s rules.
fn exit_for(error: &anyhow::Error) -> Verdict {
    let job = error.downcast_ref::<JobError>();
    Verdict::Exit(job.map_or(FAILED, JobError::exit_code))
}

impl Options {
    /// What they ask of a job.
    pub fn request(&self) -> Request {
        Request {
            profile: self.profile.clone().filter(|name| name != "auto"),
            memory: self.memory,
            no_rewrite: self.no_rewrite,
            retries: self.retries.unwrap_or(3),
            timeout: self.timeout,
            stall_timeout: self.stall_timeout,
        }
    }
}
