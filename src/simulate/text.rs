//! The result for a terminal: what happened, what must not have happened, and how it compares.

use std::fmt::Write;

use super::baseline::{Baseline, Baselines};
use super::record::Line;
use super::run::{MOST_FOR_BASELINES, Played};
use crate::config::size::format_bytes;

/// Lines of the short timeline.
const SHORT: usize = 60;

/// The result as text. With `all_lines` every decision that was kept; otherwise those that are of more than one
/// attempt, with the starts and ends between them counted.
pub fn text(played: &Played, all_lines: bool) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _infallible = write(&mut out, played, all_lines);
    out
}

fn write(out: &mut String, played: &Played, all_lines: bool) -> std::fmt::Result {
    writeln!(
        out,
        "{}: {} (policy {})",
        played.scenario, played.summary, played.policy
    )?;
    if all_lines {
        for line in &played.timeline {
            writeln!(out, "{}  {}", clock(line.at), line.text)?;
        }
    } else {
        short(out, &played.timeline)?;
    }
    if played.dropped_lines > 0 {
        writeln!(
            out,
            "{:>12}  {} more decisions were not kept",
            "", played.dropped_lines
        )?;
    }
    let counts = &played.counts;
    writeln!(out)?;
    let of = if played.cut_off { ", cut off" } else { "" };
    writeln!(
        out,
        "{} jobs: {} done, {} failed, {} out of memory, {} unfinished{of}",
        counts.jobs,
        counts.done,
        counts.failed,
        counts.out_of_memory,
        counts.unfinished()
    )?;
    writeln!(
        out,
        "{} attempts, {} met their own limit, {} stopped for memory, {} killed by the kernel",
        counts.attempts, counts.ooms, counts.stops, counts.kills
    )?;
    writeln!(
        out,
        "at most {} at once; at most {} of {} in use ({:.1} %); longest wait {}",
        counts.most_running,
        format_bytes(counts.peak_used_bytes),
        format_bytes(played.total_bytes),
        counts.peak_used_bytes as f64 * 100.0 / played.total_bytes.max(1) as f64,
        span(counts.longest_wait.as_secs_f64())
    )?;
    let makespan = counts.makespan.as_secs_f64();
    writeln!(out, "makespan {}", span(makespan))?;
    match &played.baselines {
        Some(baselines) => compare(out, makespan, baselines)?,
        None if counts.jobs > MOST_FOR_BASELINES => {
            writeln!(
                out,
                "no baselines for so many jobs; --baselines plays them all the same"
            )?;
        }
        None => {}
    }
    verdict(out, played)
}

fn verdict(out: &mut String, played: &Played) -> std::fmt::Result {
    match played.violation_count {
        0 => writeln!(out, "violations: none")?,
        count => writeln!(out, "violations: {count}")?,
    }
    for violation in &played.violations {
        writeln!(out, "{}  {}", clock(violation.at), violation.text)?;
    }
    if played.violation_count > played.violations.len() as u64 {
        writeln!(out, "{:>12}  and more", "")?;
    }
    if !played.unmet.is_empty() {
        writeln!(out, "expectations not met: {}", played.unmet.len())?;
    }
    for unmet in &played.unmet {
        writeln!(out, "  line {}: {}", unmet.line, unmet.text)?;
    }
    Ok(())
}

fn compare(out: &mut String, makespan: f64, baselines: &Baselines) -> std::fmt::Result {
    let mut row = |name: &str, baseline: &Baseline| {
        let ratio = makespan / baseline.makespan.max(1e-9);
        let losses = match (baseline.kills, baseline.lost) {
            (0, 0) => String::new(),
            (kills, lost) => format!("; {kills} killed by the kernel, {lost} jobs lost"),
        };
        writeln!(
            out,
            "  {name:<24} {:>12}  ours is {ratio:.2} of it{losses}",
            span(baseline.makespan)
        )
    };
    row("one after the other", &baselines.sequential)?;
    let workers = baselines.best_static.workers.unwrap_or(1);
    row(
        &format!("best static, {workers} workers"),
        &baselines.best_static,
    )?;
    row("an oracle", &baselines.oracle)
}

/// The notable lines, with what went on between them in numbers. If there are many, the first and the last.
fn short(out: &mut String, lines: &[Line]) -> std::fmt::Result {
    let notable = lines.iter().filter(|line| line.notable).count();
    let (mut seen, mut between) = (0, [0_u64; 3]);
    let mut skipped = 0;
    for line in lines {
        if !line.notable {
            let kind = if line.text.contains(" starts on plan ") {
                0
            } else if line.text.contains(" goes back for plan ") {
                1
            } else {
                2
            };
            if let Some(count) = between.get_mut(kind) {
                *count += 1;
            }
            continue;
        }
        seen += 1;
        if seen > SHORT / 2 && seen + SHORT / 2 <= notable {
            skipped += 1;
            continue;
        }
        if skipped > 0 {
            writeln!(
                out,
                "{:>12}  ... {skipped} lines; --timeline shows them",
                ""
            )?;
            skipped = 0;
        }
        counted(out, &mut between)?;
        writeln!(out, "{}  {}", clock(line.at), line.text)?;
    }
    counted(out, &mut between)
}

fn counted(out: &mut String, between: &mut [u64; 3]) -> std::fmt::Result {
    let [starts, requeues, others] = std::mem::take(between);
    if starts + requeues + others > 0 {
        writeln!(
            out,
            "{:>12}  {starts} started, {requeues} went back, {others} other lines",
            ""
        )?;
    }
    Ok(())
}

/// A time of the virtual clock, twelve characters wide.
fn clock(seconds: f64) -> String {
    format!("{seconds:>10.3} s")
}

/// A span of time for people: `12.3 s`, `4 min 10 s`, `3 h 20 min`.
pub(super) fn span(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..120 => format!("{seconds:.1} s"),
        120..7200 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}
