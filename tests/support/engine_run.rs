//! Runs the engine on jobs and a policy from two files and prints what it tells as lines of JSON: what the tests of
//! the engine look at.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ffwarden::config::policy::{BatchRange, Policy};
use ffwarden::config::profile::{Origin, Profiles};
use ffwarden::core::{Decision, JobId, Settings};
use ffwarden::engine::{
    self, BatchRule, JobReport, Observer, Pull, Setup, Started, Status, Task, Tasks,
};
use ffwarden::job::Request;
use ffwarden::job::guard::{Side, split};
use ffwarden::job::link::GuardLink;
use ffwarden::job::verdict::{Verdict, die};
use ffwarden::report::Attempt;
use ffwarden::slice::Containment;
use ffwarden::slice::detect::Container;
use serde_json::{Value, json};

fn main() -> anyhow::Result<()> {
    env_logger::Builder::new()
        .filter_module("ffwarden", log::LevelFilter::Info)
        .format(|buffer, record| writeln!(buffer, "ffwarden: {}", record.args()))
        .init();
    match split()? {
        Side::Guard(verdict) => die(verdict),
        Side::Supervisor(mut guard) => {
            let verdict = run(&mut guard).unwrap_or_else(|error| {
                log::error!("{error:#}");
                Verdict::Exit(125)
            });
            guard.conclude(verdict)
        }
    }
}

fn run(guard: &mut GuardLink) -> anyhow::Result<Verdict> {
    let argument = |index| std::env::args_os().nth(index).map(PathBuf::from);
    let (Some(jobs), Some(policy)) = (argument(1), argument(2)) else {
        anyhow::bail!("usage: engine-run JOBS.json POLICY.yaml [cgroup|rlimit]");
    };
    let containment = match argument(3) {
        Some(kind) if kind == Path::new("cgroup") => None,
        _ => Some(Containment::Rlimit),
    };
    let mut container = Container::open("ffwarden-engine-run", containment)?;
    let profiles = Profiles::load::<PathBuf>(&[])?;
    let text = std::fs::read_to_string(&policy)?;
    let policy = Policy::parse(&text, Origin::File(policy), &profiles)?;
    let cpus = match std::env::var("ENGINE_CPUS") {
        Ok(count) => count.parse()?,
        Err(_) => std::thread::available_parallelism()?.get(),
    };
    let settings = Settings {
        cpus: u32::try_from(cpus)?,
        workers: None,
        memory_bytes: None,
        floor_bytes: container.memory_floor(),
        // Where a test says so, as if there were some.
        swap_bytes: std::env::var("ENGINE_SWAP").map_or(0, |bytes| bytes.parse().unwrap_or(0)),
        seed: 1,
    };
    let jobs: Vec<Value> = serde_json::from_slice(&std::fs::read(jobs)?)?;
    let tasks: VecDeque<(JobId, Task)> = (1..).map(JobId).zip(jobs.iter().map(task)).collect();
    let setup = Setup {
        policy,
        settings,
        container: &mut container,
        guard,
        record: None,
        show_every: None,
    };
    let outcome = engine::run(setup, &mut Queue(tasks), &mut Printer)?;
    say(&json!({"outcome": {
        "done": outcome.done,
        "failed": outcome.failed,
        "cancelled": outcome.cancelled,
        "interrupted": outcome.interrupted.map(|signal| signal.as_str()),
    }}));
    Ok(Verdict::Exit(i32::try_from(outcome.failed)?))
}

fn task(job: &Value) -> Task {
    let text = |name: &str| job[name].as_str().map(OsString::from);
    let words = job["argv"].as_array().into_iter().flatten();
    let times = |name: &str| job[name].as_f64().map(Duration::from_secs_f64);
    let number = |name: &str| {
        job[name]
            .as_u64()
            .and_then(|count| u32::try_from(count).ok())
    };
    Task {
        argv: words
            .filter_map(Value::as_str)
            .map(OsString::from)
            .collect(),
        adaptive: job["adaptive"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|index| usize::try_from(index.as_u64()?).ok())
            .collect(),
        stdout: text("stdout").map(PathBuf::from),
        stderr: text("stderr").map(PathBuf::from),
        request: Request {
            profile: text("profile"),
            memory: job["memory"].as_str().and_then(|size| size.parse().ok()),
            retries: number("retries").unwrap_or(3),
            timeout: times("timeout"),
            stall_timeout: times("stall"),
            ..Request::default()
        },
        class: number("class").unwrap_or(0),
        batch: number("batch").map(|maximum| BatchRule {
            range: BatchRange {
                maximum,
                minimum: 1,
            },
            signal: None,
            file: text("batch_file").map(PathBuf::from),
        }),
        relievable: job["relievable"].as_bool().unwrap_or(false),
        ..Task::default()
    }
}

struct Queue(VecDeque<(JobId, Task)>);

impl Tasks for Queue {
    fn next(&mut self) -> Pull {
        self.0
            .pop_front()
            .map_or(Pull::End, |(job, task)| Pull::Job(job, Box::new(task)))
    }

    fn remaining(&self) -> Option<u64> {
        u64::try_from(self.0.len()).ok()
    }
}

struct Printer;

impl Observer for Printer {
    fn started(&mut self, started: &Started<'_>) {
        say(&json!({"started": {
            "job": started.job.0,
            "number": started.number,
            "profile": started.profile,
            "argv": started.argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
            "limit_bytes": started.limit_bytes,
            "pid": started.pid,
        }}));
    }

    fn progress(&mut self, _now: &Status<'_>) {}

    fn ended(&mut self, job: JobId, attempt: &Attempt) {
        say(&json!({"ended": {"job": job.0, "attempt": attempt}}));
    }

    fn finished(&mut self, job: JobId, report: &JobReport) {
        say(&json!({"finished": {
            "job": job.0,
            "done": report.is_done(),
            "exit_code": report.exit_code,
            "signal": report.signal,
            "reason": report.reason,
            "attempts": report.attempts,
        }}));
    }

    fn decided(&mut self, decision: &Decision) {
        say(&json!({"decided": decision}));
    }
}

fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: the test has failed, or has killed its end.
    let _gone = writeln!(out, "{line}").and_then(|()| out.flush());
}
