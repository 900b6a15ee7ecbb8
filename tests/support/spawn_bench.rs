//! Times commands against each other: how long each takes from spawn to exit, in interleaved runs.
//!
//! Runs A B C A B C ..., so that whatever else the machine does meets all of them alike; prints medians,
//! the spread and the ratio to the first. Started by `scripts/bench`, on the host and in the test machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

#[derive(Parser)]
#[command(about = "Times commands against each other, in interleaved runs")]
struct Args {
    /// Rounds that count; a tenth as many go before, to warm up
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// A goal, on medians: NAME<OTHER+MILLISECONDS; NAME<OTHER*FACTOR, of what each takes more than the first;
    /// or rss<MEBIBYTES
    #[arg(long)]
    goal: Vec<Goal>,
    /// Command whose processes of its own kind are weighed while it runs (let it sleep for some seconds)
    #[arg(long, value_name = "COMMAND")]
    rss: Option<String>,
    /// What to time: NAME=COMMAND, split at spaces; the first is what the others are compared with
    #[arg(value_name = "NAME=COMMAND")]
    contenders: Vec<Contender>,
}

#[derive(Clone)]
struct Contender {
    name: String,
    argv: Vec<String>,
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("no NAME= in front")?;
        let argv: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
        if argv.is_empty() {
            return Err("no command".to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            argv,
        })
    }
}

#[derive(Clone)]
struct Goal {
    text: String,
    name: String,
    bound: Bound,
}

#[derive(Clone)]
enum Bound {
    Plus(String, f64),
    Times(String, f64),
    Mebibytes(f64),
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            digits
                .parse::<f64>()
                .map_err(|e| format!("'{digits}': {e}"))
        };
        let (name, bound) = text.split_once('<').ok_or("no < in it")?;
        let bound = if let Some((other, ms)) = bound.split_once('+') {
            Bound::Plus(other.to_owned(), number(ms)?)
        } else if let Some((other, factor)) = bound.split_once('*') {
            Bound::Times(other.to_owned(), number(factor)?)
        } else {
            Bound::Mebibytes(number(bound)?)
        };
        Ok(Self {
            text: text.to_owned(),
            name: name.to_owned(),
            bound,
        })
    }
}

/// One command's times, sorted.
struct Times {
    name: String,
    millis: Vec<f64>,
}

impl Times {
    /// The value that `share` (0 to 1) of the runs do not exceed.
    fn quantile(&self, share: f64) -> f64 {
        let last = self.millis.len().saturating_sub(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index into some hundred runs"
        )]
        let index = (last as f64 * share).round() as usize;
        self.millis.get(index).copied().unwrap_or(f64::NAN)
    }
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let times = compare(&args.contenders, args.rounds)?;
    print_times(&times);
    let rss = args.rss.as_deref().map(weigh).transpose()?;
    let mut met = true;
    for goal in &args.goal {
        met &= judge(goal, &times, rss)?;
    }
    Ok(if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn compare(contenders: &[Contender], rounds: u32) -> Result<Vec<Times>> {
    let mut times: Vec<_> = contenders
        .iter()
        .map(|c| Times {
            name: c.name.clone(),
            millis: Vec::new(),
        })
        .collect();
    let warm_up = rounds / 10;
    for round in 0..warm_up + rounds {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let elapsed = time_once(&contender.argv)?;
            if round >= warm_up {
                times.millis.push(elapsed.as_secs_f64() * 1e3);
            }
        }
    }
    for times in &mut times {
        times.millis.sort_by(f64::total_cmp);
    }
    Ok(times)
}

/// From before the spawn until the exit status is there. A failure of the command is one of the benchmark.
fn time_once(argv: &[String]) -> Result<Duration> {
    let (program, rest) = argv.split_first().context("no command")?;
    let mut command = Command::new(program);
    command
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let start = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    let elapsed = start.elapsed();
    ensure!(status.success(), "'{}' failed: {status}", argv.join(" "));
    Ok(elapsed)
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn print_times(times: &[Times]) {
    let Some(first) = times.first() else { return };
    let base = first.quantile(0.5);
    println!(
        "{:<24} {:>11} {:>19} {:>11} {:>8}",
        "", "median (ms)", "10 % .. 90 % (ms)", "over (ms)", "ratio"
    );
    for t in times {
        let median = t.quantile(0.5);
        println!(
            "{:<24} {:>11.2} {:>19} {:>11.2} {:>8.2}",
            t.name,
            median,
            format!("{:.2} .. {:.2}", t.quantile(0.1), t.quantile(0.9)),
            median - base,
            median / base
        );
    }
}

/// Starts `command` and returns the largest peak RSS, in MiB, of its processes that run its own program.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn weigh(command: &str) -> Result<f64> {
    let argv: Vec<_> = command.split_whitespace().collect();
    let (program, rest) = argv.split_first().context("no command to weigh")?;
    let mut child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .spawn()?;
    // It is at rest when its own child runs another program; a benchmark may wait for that by the clock.
    thread::sleep(Duration::from_secs(1));
    let own = exe(child.id()).with_context(|| format!("'{command}' ended too early"))?;
    let mut largest = 0.0_f64;
    for pid in descendants(child.id())? {
        if exe(pid).as_deref() == Some(&own) {
            let peak = status_mebibytes(pid, "VmHWM:")?;
            let anonymous = status_mebibytes(pid, "RssAnon:")?;
            println!(
                "own memory: process {pid}: peak RSS {peak:.2} MiB, {anonymous:.2} MiB of it anonymous now"
            );
            largest = largest.max(peak);
        }
    }
    ensure!(child.wait()?.success(), "'{command}' failed");
    Ok(largest)
}

fn exe(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// `root` and all that descend from it now.
fn descendants(root: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<u32>().ok())
        else {
            continue;
        };
        // Gone since: no matter.
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        if let Some(parent) = field(&status, "PPid:").and_then(|p| p.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|p| p.1 == parent).map(|p| p.0));
        next += 1;
    }
    Ok(found)
}

fn status_mebibytes(pid: u32, name: &str) -> Result<f64> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = fs::read_to_string(&path).with_context(|| at(&path))?;
    let kibibytes = field(&status, name).with_context(|| format!("no {name} in {}", at(&path)))?;
    Ok(kibibytes.parse::<f64>()? / 1024.0)
}

fn at(path: &Path) -> String {
    path.display().to_string()
}

/// The first word behind `name` in a file of `/proc`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()
}

#[expect(
    clippy::print_stdout,
    reason = "the verdict is what this program is for"
)]
fn judge(goal: &Goal, times: &[Times], rss: Option<f64>) -> Result<bool> {
    let median = |name: &str| {
        times
            .iter()
            .find(|t| t.name == name)
            .map(|t| t.quantile(0.5))
            .with_context(|| format!("goal '{}': '{name}' was not timed", goal.text))
    };
    let (value, limit, unit) = match &goal.bound {
        Bound::Plus(other, millis) => (median(&goal.name)?, median(other)? + millis, "ms"),
        Bound::Times(other, factor) => {
            let base = times.first().map_or(0.0, |t| t.quantile(0.5));
            (
                median(&goal.name)? - base,
                (median(other)? - base) * factor,
                "ms",
            )
        }
        Bound::Mebibytes(limit) => match rss {
            Some(rss) if goal.name == "rss" => (rss, *limit, "MiB"),
            _ => bail!("goal '{}' wants --rss", goal.text),
        },
    };
    let met = value <= limit;
    println!(
        "goal {:<32} {} ({value:.2} {unit}, at most {limit:.2})",
        goal.text,
        if met { "met" } else { "MISSED" }
    );
    Ok(met)
}
