//! `ffwarden batch INPUT... -- COMMAND {} ...`: many jobs in the foreground, on the engine.

mod plan;

use std::env;
use std::io::{self, BufReader, Stdin};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::args::{Batch, Color, Options};
use crate::batch::feed::{self, Feed, Recipe};
use crate::batch::inputs::Inputs;
use crate::batch::joblog::Joblog;
use crate::batch::journal::{self, Journal};
use crate::batch::observer::{Figures, Reporter, Telling, words};
use crate::batch::output::{Output, Show};
use crate::batch::placeholder::Template;
use crate::batch::report::{BatchReport, Summary, gigabytes};
use crate::config::policy::Policy;
use crate::core::Settings;
use crate::engine::{self, Outcome, Setup, Task};
use crate::ffmpeg::quote::shell_quoted;
use crate::job::guard::{Side, split};
use crate::job::link::GuardLink;
use crate::job::verdict::{FAILED, Verdict};
use crate::memory;
use crate::report::ContainmentReport;
use crate::report::record::Recorder;
use crate::slice::detect::Container;

/// The most failed jobs that an exit code tells; one more stands for all above, as in parallel.
const MOST_FAILED: i32 = 100;

/// Four frames a second are fluent enough, and cost nothing beside an encoder.
const SHOW_EVERY: Duration = Duration::from_millis(250);

/// Runs the batch; in the guard, returns how ffwarden is to end.
///
/// # Errors
/// When something is wrong with what was typed, or a file of the batch's own cannot be had.
pub fn batch(options: &Options, arguments: Batch) -> anyhow::Result<Verdict> {
    let dir = env::current_dir().context("cannot tell the working directory")?;
    if arguments.dry_run {
        return rehearse(&arguments, &dir);
    }
    match split()? {
        Side::Guard(verdict) => Ok(verdict),
        Side::Supervisor(mut guard) => {
            let verdict = supervise(options, arguments, dir, &mut guard).unwrap_or_else(|error| {
                log::error!("{}", super::with_cause(&error));
                Verdict::Exit(FAILED)
            });
            guard.conclude(verdict)
        }
    }
}

fn inputs(arguments: &Batch) -> anyhow::Result<Inputs<BufReader<Stdin>>> {
    let stdin = BufReader::new(io::stdin());
    Ok(Inputs::new(
        arguments.inputs.clone(),
        stdin,
        arguments.null,
    )?)
}

/// Prints what would be run.
fn rehearse(arguments: &Batch, dir: &Path) -> anyhow::Result<Verdict> {
    let mut done = Journal::peek(&journal::home()?, dir, &arguments.command)?;
    if arguments.again {
        done.forget();
    }
    let recipe = Recipe {
        template: Template::new(&arguments.command),
        dir: dir.to_owned(),
        task: Task::default(),
        results: None,
        spool: PathBuf::new(),
    };
    let left_out = feed::rehearse(&recipe, inputs(arguments)?, &mut done, |argv| {
        let mut line = shell_quoted(argv).into_encoded_bytes();
        line.push(b'\n');
        super::print(&line).map_err(io::Error::other)
    })?;
    if left_out > 0 {
        log::info!("{left_out} are done and left out; --again does them again");
    }
    Ok(Verdict::Exit(0))
}

fn supervise(
    options: &Options,
    arguments: Batch,
    dir: PathBuf,
    guard: &mut GuardLink,
) -> anyhow::Result<Verdict> {
    let begun = Instant::now();
    let inputs = inputs(&arguments)?;
    let mut container = Container::open(&super::run::scope_name(), options.containment)?;
    log::debug!(
        "{} slices: {}",
        container.containment(),
        container.choice().why
    );
    let plan = plan::plan(
        options,
        &arguments,
        &memory::machine()?,
        container.memory_floor(),
    )?;
    let (journal, mut done) = Journal::open(&journal::home()?, &dir, &arguments.command)?;
    if arguments.again {
        done.forget();
    }
    let spool = journal.spool();
    feed::empty_spool(&spool)
        .with_context(|| format!("cannot make the directory {}", spool.display()))?;
    let telling = Telling {
        output: Output::start(!options.quiet)?,
        journal,
        joblog: arguments.joblog.as_deref().map(Joblog::open).transpose()?,
        report: begin_report(options.report.as_deref())?,
        keep: arguments.results.is_some(),
        stderr: match (options.quiet, options.verbose) {
            (true, _) => Show::Nothing,
            (false, 0) => Show::Tail,
            (false, _) => Show::All,
        },
        color: wants_color(options.color),
    };
    let summary = Summary {
        status: "success",
        command: words(&arguments.command),
        policy: plan.policy.name.clone(),
        containment: ContainmentReport {
            kind: container.containment(),
            why: container.choice().why.clone(),
        },
        done: 0,
        done_before: 0,
        failed: 0,
        wall_seconds: 0.0,
        memory_usage_gb: 0.0,
        peak_memory_gb: 0.0,
        memory_warnings: 0,
        total_memory_gb: 0.0,
        exit_code: 0,
    };
    let recipe = Recipe {
        template: Template::new(&arguments.command),
        dir,
        task: plan.task,
        results: arguments.results,
        spool: spool.clone(),
    };
    let record = begin_record(arguments.record.as_deref(), &plan.policy, &plan.settings)?;
    let mut feed = Feed::start(recipe, inputs, done)?;
    let shows = telling.output.has_terminal() || telling.report.is_some();
    let mut reporter = Reporter::new(telling, feed.shared());
    let setup = Setup {
        policy: plan.policy,
        settings: plan.settings,
        container: &mut container,
        guard,
        record,
        show_every: shows.then_some(SHOW_EVERY),
    };
    let outcome = engine::run(setup, &mut feed, &mut reporter)?;
    let before = feed.shared().skipped.load(Ordering::Relaxed);
    let verdict = verdict(&outcome, feed.broken.is_some());
    let figures = reporter.figures();
    let report = reporter.end(outcome.interrupted.is_some());
    let _emptied_next_time = std::fs::remove_dir_all(&spool);
    conclude(&outcome, before);
    if let Some(report) = report {
        let summary = told(summary, &outcome, before, figures, verdict, begun);
        // The jobs have done their work; a report that cannot be written does not undo it.
        if let Err(error) = report.end(&summary) {
            log::error!("cannot write the report: {error}");
        }
    }
    Ok(verdict)
}

fn begin_record(
    path: Option<&Path>,
    policy: &Policy,
    settings: &Settings,
) -> anyhow::Result<Option<Recorder>> {
    path.map(|path| {
        Recorder::begin(path, policy, settings)
            .with_context(|| format!("cannot write the record {}", path.display()))
    })
    .transpose()
}

fn begin_report(path: Option<&Path>) -> anyhow::Result<Option<BatchReport>> {
    path.map(|path| {
        BatchReport::begin(path)
            .with_context(|| format!("cannot write the report {}", path.display()))
    })
    .transpose()
}

/// How ffwarden ends.
fn verdict(outcome: &Outcome, broken: bool) -> Verdict {
    match outcome.interrupted {
        Some(signal) => Verdict::Signal(signal as i32),
        None if broken => Verdict::Exit(FAILED),
        None => {
            let failed = i32::try_from(outcome.failed).unwrap_or(i32::MAX);
            Verdict::Exit(failed.min(MOST_FAILED + 1))
        }
    }
}

fn conclude(outcome: &Outcome, before: u64) {
    let before = match before {
        0 => String::new(),
        before => format!(", {before} done before (--again does them again)"),
    };
    let left = match outcome.interrupted {
        Some(signal) => format!("; ended by {signal}, start it again for the rest"),
        None => String::new(),
    };
    log::info!(
        "{} done, {} failed{before}{left}",
        outcome.done,
        outcome.failed
    );
}

fn told(
    summary: Summary,
    outcome: &Outcome,
    before: u64,
    figures: Figures,
    verdict: Verdict,
    begun: Instant,
) -> Summary {
    Summary {
        status: match (outcome.interrupted, verdict) {
            (Some(_), _) => "interrupted",
            (None, Verdict::Exit(0)) => "success",
            _ => "failed",
        },
        done: outcome.done,
        done_before: before,
        failed: outcome.failed,
        wall_seconds: begun.elapsed().as_secs_f64(),
        memory_usage_gb: gigabytes(figures.used_bytes),
        peak_memory_gb: gigabytes(figures.peak_bytes),
        memory_warnings: figures.warnings,
        total_memory_gb: gigabytes(figures.total_bytes),
        exit_code: match verdict {
            Verdict::Exit(code) => code,
            Verdict::Signal(number) => 128 + number,
        },
        ..summary
    }
}

/// The level of `LOG_LEVEL`, which `FFWARDEN_LOG_LEVEL` goes before, by the names of Python's logging.
pub fn log_level() -> Option<log::LevelFilter> {
    let value = ["FFWARDEN_LOG_LEVEL", "LOG_LEVEL"]
        .into_iter()
        .filter_map(env::var_os)
        .find(|value| !value.is_empty())?;
    match value.to_str()?.to_ascii_uppercase().as_str() {
        "TRACE" => Some(log::LevelFilter::Trace),
        "DEBUG" => Some(log::LevelFilter::Debug),
        "INFO" => Some(log::LevelFilter::Info),
        "WARNING" | "WARN" => Some(log::LevelFilter::Warn),
        "ERROR" | "CRITICAL" | "FATAL" => Some(log::LevelFilter::Error),
        _ => None,
    }
}

/// Whether colours are wanted on a terminal.
pub fn wants_color(color: Option<Color>) -> bool {
    match color {
        Some(Color::Always) => true,
        Some(Color::Never) => false,
        Some(Color::Auto) | None => env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}
