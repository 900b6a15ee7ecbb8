//! `ffwarden plan`: what would be run, and why; runs nothing but ffprobe.

use std::ffi::OsString;
use std::fmt::Write as _;

use serde::Serialize;

use super::args::Options;
use crate::child::Verdict;
use crate::config::size::format_bytes;
use crate::ffmpeg::estimate::{Basis, Part};
use crate::ffmpeg::quote::shell_quoted;
use crate::ffmpeg::rewrite::Change;
use crate::ffmpeg::target;
use crate::job::{Job, Plan, kind_name};
use crate::slice::detect;

/// What is shown as JSON.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    argv: Vec<String>,
    profile: Option<&'a str>,
    estimate_bytes: Option<u64>,
    estimate_parts: &'a [Part],
    estimate_basis: Option<&'a Basis>,
    limit_bytes: u64,
    pids_max: u64,
    budget_bytes: u64,
    slice: String,
    repeatable: bool,
    changes: &'a [Change],
    inputs: Vec<String>,
    outputs: Vec<ShownOutput>,
    lighter: Vec<Lighter<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownOutput {
    url: String,
    kind: &'static str,
}

/// What would follow if memory ran out.
#[derive(Debug, Serialize)]
struct Lighter<'a> {
    profile: Option<&'a str>,
    estimate_bytes: Option<u64>,
}

/// Prints the plan.
///
/// # Errors
/// As a run's, before anything is started; or when stdout cannot be written.
pub fn plan(options: &Options, command: Vec<OsString>, json: bool) -> anyhow::Result<Verdict> {
    let choice = detect::would_choose(options.containment)?;
    let containment = choice.way.containment();
    let job = Job::prepare(command, &options.request(), containment.memory_floor())?;
    let Some(plan) = job.first_plan() else {
        return Ok(Verdict::Exit(super::FAILED));
    };
    let slice = format!("{containment}, {}", choice.why);
    if json {
        let mut text = serde_json::to_vec_pretty(&shown(&job, plan, slice))?;
        text.push(b'\n');
        super::print(&text)?;
    } else {
        let mut text = text(&job, plan, &slice).into_bytes();
        text.extend(shell_quoted(&plan.argv));
        text.push(b'\n');
        super::print(&text)?;
    }
    Ok(Verdict::Exit(0))
}

fn shown<'a>(job: &'a Job, plan: &'a Plan, slice: String) -> Shown<'a> {
    let lossy = |word: &OsString| word.to_string_lossy().into_owned();
    let command = job.ffmpeg.as_ref();
    let outputs = command.into_iter().flat_map(|command| command.outputs());
    Shown {
        argv: plan.argv.iter().map(lossy).collect(),
        profile: plan.profile.as_deref(),
        estimate_bytes: plan.estimate_bytes(),
        estimate_parts: plan
            .estimate
            .as_ref()
            .map_or(&[], |estimate| &estimate.parts),
        estimate_basis: plan.estimate.as_ref().map(|estimate| &estimate.basis),
        limit_bytes: plan.limits.memory_bytes,
        pids_max: plan.limits.pids_max,
        budget_bytes: job.budget_bytes,
        slice,
        repeatable: job.repeatable,
        changes: &plan.changes,
        inputs: command
            .into_iter()
            .flat_map(|command| command.inputs())
            .map(|input| lossy(&input.url))
            .collect(),
        outputs: outputs
            .map(|group| ShownOutput {
                url: lossy(&group.url),
                kind: kind_name(&target::examine(group)),
            })
            .collect(),
        lighter: lighter(job)
            .map(|plan| Lighter {
                profile: plan.profile.as_deref(),
                estimate_bytes: plan.estimate_bytes(),
            })
            .collect(),
    }
}

fn lighter(job: &Job) -> impl Iterator<Item = &Plan> {
    job.rungs.iter().skip(job.first + 1)
}

fn text(job: &Job, plan: &Plan, slice: &str) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{name:<9} {value}");
    };
    line("profile", plan.profile.as_deref().unwrap_or("none"));
    match &plan.estimate {
        Some(estimate) => {
            line(
                "estimate",
                &format!(
                    "{} ({})",
                    format_bytes(estimate.bytes),
                    basis(&estimate.basis)
                ),
            );
            for part in &estimate.parts {
                line(
                    "",
                    &format!("{:>10}  {}", format_bytes(part.bytes), part.what),
                );
            }
        }
        None => line("estimate", "none: nothing is known of this command"),
    }
    let limits = &plan.limits;
    line(
        "limit",
        &format!(
            "{}, {} processes and threads; {} may be used now",
            format_bytes(limits.memory_bytes),
            limits.pids_max,
            format_bytes(job.budget_bytes)
        ),
    );
    line("slice", slice);
    for change in &plan.changes {
        let from = change
            .from
            .as_deref()
            .map_or(String::new(), |from| format!("{from} -> "));
        line(
            "change",
            &format!("{} {from}{}: {}", change.option, change.to, change.why),
        );
    }
    if !job.repeatable {
        line(
            "once",
            "input or output is a pipe, device or URL: not run again if memory runs out",
        );
    }
    for plan in lighter(job) {
        let profile = plan.profile.as_deref().unwrap_or("none");
        let estimate = plan
            .estimate_bytes()
            .map_or_else(|| "?".to_owned(), format_bytes);
        line("lighter", &format!("{profile}, {estimate}"));
    }
    text
}

fn basis(basis: &Basis) -> String {
    match basis {
        Basis::Formula => "measured closed forms".to_owned(),
        Basis::Partial(why) => format!("partly guessed: {}", why.join(", ")),
        Basis::Unbounded(why) => format!("grows with the input: {}", why.join(", ")),
        Basis::Unknown(why) => format!("rough, no measured form: {}", why.join(", ")),
    }
}
