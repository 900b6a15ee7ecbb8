//! Hears from the engine what happens and tells it on: to the terminal or the log, the job log, the journal, the
//! report, and with each job's output.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::feed::{About, Shared};
use super::joblog::{Joblog, Line};
use super::journal::Journal;
use super::output::{Output, Show, Written};
use super::progress::{self, Shown, View, printable};
use super::report::{BatchReport, JobEntry, MOST_ATTEMPTS, lossy};
use crate::config::policy::{Level, Say};
use crate::config::size::format_bytes;
use crate::core::ladder::Outcome as End;
use crate::core::{Decision, Final, JobId};
use crate::engine::{JobReport, Observer, Stage, Started, Status};
use crate::ffmpeg::output::file_prefix;
use crate::job::verdict::TIMED_OUT;
use crate::report::Attempt;

/// Who is told.
#[derive(Debug)]
pub struct Telling {
    /// The terminal, stdout and stderr.
    pub output: Output,
    /// What is done.
    pub journal: Journal,
    /// `--joblog`.
    pub joblog: Option<Joblog>,
    /// `--report`.
    pub report: Option<BatchReport>,
    /// The files of the outputs stay (`--results`).
    pub keep: bool,
    /// The stderr of every job is shown (`-v`), or of none (`-q`).
    pub stderr: Show,
    /// Progress lines have colours.
    pub color: bool,
}

/// Memory as the report has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// In use when last seen, bytes.
    pub used_bytes: u64,
    /// The most that was in use, bytes.
    pub peak_bytes: u64,
    /// All there is, bytes.
    pub total_bytes: u64,
    /// Warnings and alerts on memory.
    pub warnings: u64,
}

/// The one who listens.
#[derive(Debug)]
pub struct Reporter {
    telling: Telling,
    shared: Shared,
    /// When the last attempt of a job started, and on what.
    running: HashMap<JobId, SystemTime>,
    attempts: HashMap<JobId, Vec<Attempt>>,
    figures: Figures,
    told: Told,
}

/// What is told once only.
#[derive(Debug, Default)]
struct Told {
    journal: bool,
    joblog: bool,
    report: bool,
}

impl Reporter {
    /// With nothing heard yet. `shared` is the feed's.
    pub fn new(telling: Telling, shared: Shared) -> Reporter {
        Reporter {
            telling,
            shared,
            running: HashMap::new(),
            attempts: HashMap::new(),
            figures: Figures::default(),
            told: Told::default(),
        }
    }

    /// Memory so far.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// Waits until everything is written, unless we are in a hurry; the report remains to be ended.
    pub fn end(self, hurry: bool) -> Option<BatchReport> {
        if hurry {
            self.telling.output.hurry();
        }
        self.telling.report
    }

    fn name(&self, job: JobId) -> String {
        self.shared
            .pending
            .borrow()
            .get(&job)
            .map_or_else(|| job.to_string(), |about| printable(&about.input))
    }

    fn plain(&self) -> bool {
        !self.telling.output.has_terminal()
    }

    fn journal(&mut self, about: &About, report: &JobReport) {
        let outputs: Vec<_> = report
            .outputs
            .iter()
            .filter(|output| output.kind == "file")
            .map(|output| {
                let skip = file_prefix(&output.url).len();
                let url = output.url.as_encoded_bytes();
                use std::os::unix::ffi::OsStrExt;
                std::path::PathBuf::from(std::ffi::OsStr::from_bytes(&url[skip..]))
            })
            .collect();
        if let Err(error) = self.telling.journal.finished(about.key, &outputs)
            && !std::mem::replace(&mut self.told.journal, true)
        {
            log::error!("{error}; jobs that are done now will be done again next time");
        }
    }

    fn log_line(&mut self, job: JobId, about: &About, report: &JobReport) {
        let Some(joblog) = &mut self.telling.joblog else {
            return;
        };
        let (exit_value, signal) = exit(report);
        let started = self.running.get(&job).copied();
        let line = Line {
            sequence: job.0,
            started: started.unwrap_or_else(SystemTime::now),
            runtime: started.map_or(Duration::ZERO, |_| report.wall),
            received: fs::metadata(&about.stdout).map_or(0, |file| file.len()),
            exit_value,
            signal,
            argv: &about.argv,
        };
        if let Err(error) = joblog.append(&line)
            && !std::mem::replace(&mut self.told.joblog, true)
        {
            log::error!("{error}");
        }
    }

    fn report_entry(&mut self, job: JobId, about: &About, report: &JobReport) {
        let attempts = self.attempts.remove(&job).unwrap_or_default();
        let Some(file) = &mut self.telling.report else {
            return;
        };
        let entry = JobEntry {
            sequence: job.0,
            input: lossy(&about.input),
            end: report.end,
            exit_code: report.exit_code,
            reason: report.reason.as_deref(),
            peak_bytes: report.peak_bytes,
            attempts: &attempts,
            outputs: &report.outputs,
        };
        if let Err(error) = file.job(&entry)
            && !std::mem::replace(&mut self.told.report, true)
        {
            log::error!("the report will not be whole: {error}");
        }
    }

    fn say_end(&self, job: JobId, name: &str, report: &JobReport) {
        if report.is_done() {
            let wall = report.wall.as_secs_f64();
            let peak = format_bytes(report.peak_bytes);
            let tries = match report.attempts {
                0 | 1 => String::new(),
                attempts => format!(", attempt {attempts}"),
            };
            if self.plain() {
                log::info!("{job} done: {name} ({wall:.1} s, peak {peak}{tries})");
            }
            return;
        }
        let why = match (&report.reason, report.signal) {
            (Some(reason), _) => reason.clone(),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => format!("exit code {}", report.exit_code),
        };
        log::error!("{job} failed: {name}: {why}");
    }
}

/// Exit value and signal as parallel has them.
fn exit(report: &JobReport) -> (i32, i32) {
    let timed_out = report.exit_code == TIMED_OUT
        && matches!(report.end, Some(Final::Failed(End::Timeout | End::Stalled)));
    match (timed_out, report.signal, report.end) {
        (true, signal, _) => (-1, signal.unwrap_or(libc::SIGTERM)),
        (false, Some(signal), Some(Final::Failed(End::Signaled))) => (0, signal),
        _ => (report.exit_code, 0),
    }
}

fn stage(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Running => None,
        Stage::Frozen => Some("frozen"),
        Stage::Stopping => Some("stopping"),
        Stage::Settling => Some("finishing"),
    }
}

impl Observer for Reporter {
    fn started(&mut self, started: &Started<'_>) {
        self.running.insert(started.job, SystemTime::now());
        if !self.plain() {
            return;
        }
        let profile = started
            .profile
            .map_or_else(String::new, |profile| format!("{profile} profile, "));
        let attempt = match started.number {
            1 => String::new(),
            number => format!(", attempt {number}"),
        };
        let limit = format_bytes(started.limit_bytes);
        let name = self.name(started.job);
        log::info!(
            "{} started: {name} ({profile}limit {limit}{attempt})",
            started.job
        );
    }

    fn progress(&mut self, now: &Status<'_>) {
        let used_bytes = now.total_bytes.saturating_sub(now.available_bytes);
        self.figures.used_bytes = used_bytes;
        self.figures.total_bytes = now.total_bytes;
        self.figures.peak_bytes = self.figures.peak_bytes.max(used_bytes);
        if self.plain() {
            return;
        }
        let jobs = now.running.iter().map(|running| Shown {
            name: self.name(running.job),
            profile: running.profile.map(str::to_owned),
            progress: running.progress,
            speed: running.speed,
            needs_bytes: running.needs_bytes,
            limit_bytes: running.limit_bytes,
            elapsed: running.elapsed,
            stage: stage(running.stage),
        });
        let view = View {
            jobs: jobs.collect(),
            done: now.done,
            before: self.shared.skipped.load(Ordering::Relaxed),
            failed: now.failed,
            queued: (!self.shared.open.get()).then_some(now.queued),
            level: now.level,
            used_bytes,
            total_bytes: now.total_bytes,
            elapsed: now.elapsed,
        };
        let size = terminal_size::terminal_size_of(std::io::stderr());
        let (columns, rows) = size.map_or((80, 24), |(columns, rows)| (columns.0, rows.0));
        let (columns, rows) = (usize::from(columns), usize::from(rows));
        let lines = progress::lines(&view, columns, rows, self.telling.color);
        self.telling.output.draw(lines);
    }

    fn ended(&mut self, job: JobId, attempt: &Attempt) {
        if self.telling.report.is_some() {
            let attempts = self.attempts.entry(job).or_default();
            if attempts.len() == MOST_ATTEMPTS {
                attempts.remove(0);
            }
            attempts.push(attempt.clone());
        }
    }

    fn finished(&mut self, job: JobId, report: &JobReport) {
        let Some(about) = self.shared.pending.borrow_mut().remove(&job) else {
            return;
        };
        if report.is_done() {
            self.journal(&about, report);
        }
        self.log_line(job, &about, report);
        self.report_entry(job, &about, report);
        self.running.remove(&job);
        self.say_end(job, &printable(&about.input), report);
        self.telling.output.job(Written {
            stdout: about.stdout,
            stderr: about.stderr,
            show: match self.telling.stderr {
                Show::Tail if report.is_done() => Show::Nothing,
                show => show,
            },
            keep: self.telling.keep,
        });
    }

    fn decided(&mut self, decision: &Decision) {
        let say = decision.say();
        match say {
            Say::Error => log::error!("{decision}"),
            Say::Warning => log::warn!("{decision}"),
            Say::Info => match decision {
                // What is asked for by name, and the end of what was warned of.
                Decision::Memory { .. } | Decision::Level { .. } | Decision::BreakerClosed => {
                    log::info!("{decision}");
                }
                _ => log::debug!("{decision}"),
            },
        }
        let on_memory = matches!(
            decision,
            Decision::Level { .. } | Decision::Sequential { .. } | Decision::BreakerOpen { .. }
        );
        let falls = matches!(decision, Decision::Level { from, to, .. } if to < from || *to == Level::Normal);
        if on_memory && say != Say::Info && !falls {
            self.figures.warnings += 1;
        }
    }
}

/// The words of a command for the report.
pub fn words(command: &[OsString]) -> Vec<String> {
    command.iter().map(lossy).collect()
}
