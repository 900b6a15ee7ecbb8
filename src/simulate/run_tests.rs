#![allow(clippy::unwrap_used, clippy::panic)]

use super::super::check::Kind;
use super::*;
use crate::config::policies::Policies;
use crate::config::profiles::Profiles;
use crate::core::ladder::Outcome;
use crate::core::{AttemptId, JobId, Sample, Start};

fn policy() -> Policy {
    let none: [&str; 0] = [];
    let profiles = Profiles::load(&none).unwrap();
    Policies::load(&none, &profiles)
        .unwrap()
        .get("default")
        .unwrap()
        .clone()
}

fn scenario(rest: &str) -> Scenario {
    let text =
        format!("name: test\nmachine: {{memory: 10G, cpus: 2, swap: 1G}}\npolicy: default\n{rest}");
    Scenario::parse(&text, "test.yaml").unwrap_or_else(|error| panic!("{error}"))
}

/// Starts every job at once with a limit; keeps what it is told.
fn told(scenario: &Scenario, limit_bytes: u64) -> (Vec<(f64, Event)>, Played) {
    let policy = policy();
    let mut events = Vec::new();
    let mut run = Run::new(scenario, &policy, settings(scenario));
    let mut step = |event: Event, now: Duration| {
        let actions = match &event {
            Event::Submitted { job, .. } => vec![Action::Start(Start {
                job: *job,
                attempt: AttemptId(job.0),
                rung: 0,
                limit_bytes,
                reserved_bytes: 0,
                batch: None,
                segment: Duration::ZERO,
            })],
            Event::Ended { attempt, end } => {
                let end = match end.success {
                    true => crate::core::Final::Done,
                    false => crate::core::Final::Failed(end.outcome),
                };
                vec![Action::Finish {
                    job: JobId(attempt.0),
                    end,
                }]
            }
            _ => Vec::new(),
        };
        events.push((now.as_secs_f64(), event));
        actions
    };
    run.drive(&mut step);
    (events, run.finish(&policy))
}

fn ends(events: &[(f64, Event)]) -> Vec<(f64, u64, Outcome)> {
    let end = |(at, event): &(f64, Event)| match event {
        Event::Ended { attempt, end } => Some((*at, attempt.0, end.outcome)),
        _ => None,
    };
    events.iter().filter_map(end).collect()
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-3
}

#[test]
fn more_processors_wanted_than_there_are_slow_all_down_alike() {
    // 3 processors wanted of 2 until the shorter ends: 10 s of work take 15 s, and of the other's 20 s half is done.
    let scenario = scenario(
        "jobs:\n- {rungs: [{peak: 1M, duration: 10s, cpus: 1}]}\n- {rungs: [{peak: 1M, duration: 20s, cpus: 2}]}\n",
    );
    let (events, _) = told(&scenario, u64::MAX);
    let ends = ends(&events);
    assert!(near(ends[0].0, 15.0) && near(ends[1].0, 25.0), "{ends:?}");
    let Event::Ended { end, .. } = &events
        .iter()
        .rev()
        .find(|(_, event)| matches!(event, Event::Ended { .. }))
        .unwrap()
        .1
    else {
        panic!()
    };
    assert!(near(end.cpu.as_secs_f64(), 40.0), "{end:?}");
}

#[test]
fn a_child_dies_when_its_curve_meets_its_limit() {
    let gib = 1_u64 << 30;
    // From a twentieth of 4 GiB to 4 GiB in 10 s; 2 GiB are met at 18/19 of the way to the middle.
    let ramp = scenario("jobs:\n- {ramp: 100%, rungs: [{peak: 4G, duration: 10s}]}\n");
    let (events, played) = told(&ramp, 2 * gib);
    let ends_of_ramp = ends(&events);
    assert_eq!(ends_of_ramp[0].2, Outcome::Oom);
    assert!(
        near(ends_of_ramp[0].0, 10.0 * 9.0 / 19.0),
        "{ends_of_ramp:?}"
    );
    assert_eq!(played.counts.peak_used_bytes, 2 * gib);
    let spike = scenario(
        "jobs:\n- {spike: {at: 50%, lasts: 10%, base: 25%}, rungs: [{peak: 4G, duration: 10s}]}\n",
    );
    let (events, _) = told(&spike, 2 * gib);
    assert!(near(ends(&events)[0].0, 5.0));
    let (events, played) = told(&spike, 4 * gib);
    assert_eq!(ends(&events)[0].2, Outcome::Exited);
    assert_eq!(played.counts.peak_used_bytes, 4 * gib);
    let at_once = scenario("jobs:\n- {rungs: [{peak: 4G, duration: 10s}]}\n");
    let (events, played) = told(&at_once, 2 * gib);
    assert_eq!(ends(&events), [(0.0, 0, Outcome::Oom)]);
    assert_eq!(
        played.counts.peak_used_bytes,
        2 * gib,
        "never above its limit"
    );
}

#[test]
fn a_leak_meets_the_limit_in_its_time() {
    let leak = scenario("jobs:\n- {leak: 100M, rungs: [{peak: 1000M, duration: 100s}]}\n");
    let (events, _) = told(&leak, 2000 << 20);
    assert!(near(ends(&events)[0].0, 10.0), "{:?}", ends(&events));
}

#[test]
fn the_kernel_kills_the_largest_when_ram_and_swap_are_full() {
    // 4 + 5 of 10 GiB, and 1 GiB of swap: others reach 2 GiB at 20 s of 0 to 5 GiB in 50 s.
    let full = scenario(
        "background:\n- {at: 0s, used: 0}\n- {at: 50s, used: 5G, ramp: true}\n\
         jobs:\n- {rungs: [{peak: 4G, duration: 100s}]}\n- {rungs: [{peak: 5G, duration: 100s}]}\n",
    );
    let (events, played) = told(&full, u64::MAX);
    let ends = ends(&events);
    assert_eq!((ends[0].1, ends[0].2), (1, Outcome::Pressure));
    assert!(near(ends[0].0, 20.0), "{ends:?}");
    assert_eq!(played.counts.kills, 1);
    assert_eq!(played.counts.stops, 0);
    assert!(
        played
            .violations
            .iter()
            .any(|violation| violation.kind == Kind::MachineFull)
    );
    assert_eq!(played.counts.peak_used_bytes, 10 << 30);
}

#[test]
fn what_overflows_into_swap_slows_down_and_stalls() {
    // Half a GiB too much from 10 s on: what is left of 20 s takes ten times as long.
    let swapping = scenario(
        "background:\n- {at: 0s, used: 0}\n- {at: 10s, used: 1.5G}\n\
         jobs:\n- {rungs: [{peak: 9G, duration: 20s}]}\n",
    );
    let (events, _) = told(&swapping, u64::MAX);
    assert!(near(ends(&events)[0].0, 110.0), "{:?}", ends(&events));
    let samples: Vec<&Sample> = events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Measured(sample) => Some(sample),
            _ => None,
        })
        .collect();
    let stalled = samples.last().unwrap().full_total.unwrap().as_secs_f64();
    assert!((95.0..=100.0).contains(&stalled), "{stalled}");
    let swapped = samples
        .iter()
        .filter(|sample| sample.swap_free_bytes == 512 << 20)
        .count();
    assert!(swapped > 40, "{swapped} of {}", samples.len());
}

#[test]
fn every_fault_comes_at_its_place() {
    let faults = scenario(
        "jobs:\n\
         - {count: 2, fault: {kind: signal, at: 30%, every: 2}, rungs: [{peak: 1M, duration: 10s, cpus: 0.1}]}\n\
         - {at: 100s, fault: {kind: start}, rungs: [{peak: 1M, duration: 10s}]}\n\
         - {at: 200s, fault: {kind: exit, at: 90%}, rungs: [{peak: 1M, duration: 10s}]}\n",
    );
    let (events, played) = told(&faults, u64::MAX);
    let ends = ends(&events);
    assert!(
        near(ends[0].0, 3.0) && ends[0].2 == Outcome::Signaled,
        "{ends:?}"
    );
    assert!(
        near(ends[1].0, 10.0) && ends[1].2 == Outcome::Exited,
        "{ends:?}"
    );
    assert!(near(ends[2].0, 100.0), "{ends:?}");
    assert!(near(ends[3].0, 209.0), "{ends:?}");
    assert_eq!((played.counts.done, played.counts.failed), (1, 3));
}

#[test]
fn samples_that_are_lost_do_not_arrive() {
    let lost = scenario(
        "lost_samples: [{from: 10s, until: 20s}]\njobs:\n- {rungs: [{peak: 1M, duration: 30s}]}\n",
    );
    let (events, _) = told(&lost, u64::MAX);
    let measured: Vec<f64> = events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Measured(_)))
        .map(|(at, _)| *at)
        .collect();
    assert!(
        measured.iter().any(|at| *at < 10.0) && measured.iter().any(|at| *at >= 20.0),
        "{measured:?}"
    );
    assert!(
        !measured.iter().any(|at| (10.0..20.0).contains(at)),
        "{measured:?}"
    );
}

#[test]
fn a_core_that_does_nothing_starves_all_jobs() {
    let idle = scenario("jobs:\n- {count: 3, rungs: [{peak: 1M, duration: 1s}]}\n");
    let policy = policy();
    let mut run = Run::new(&idle, &policy, settings(&idle));
    run.drive(&mut |_, _| Vec::new());
    let played = run.finish(&policy);
    assert_eq!(played.violation_count, 3);
    assert!(
        played
            .violations
            .iter()
            .all(|violation| violation.kind == Kind::Starved)
    );
    assert!(!played.is_good());
}

#[test]
fn what_is_kept_is_bounded() {
    let many = scenario(
        "background:\n- {at: 0s, used: 20%}\n\
         jobs:\n- {count: 6000, spread: 50%, rungs: [{estimate: 1G, peak: 900M, duration: 10s, cpus: 0.2}]}\n",
    );
    let options = Options {
        baselines: Some(false),
    };
    let played = play(&many, &policy(), options);
    assert_eq!(played.counts.done, 6_000);
    assert!(played.is_good(), "{:?}", played.violations);
    assert!(played.baselines.is_none());
    assert!(played.timeline.len() <= 20_000 && played.dropped_lines > 0);
    assert!(
        played.curves.len() <= 1_001 && played.curves.len() > 300,
        "{}",
        played.curves.len()
    );
    assert_eq!(played.attempts.len(), 500);
    assert!(super::super::html::page(&played).len() < 1 << 20);
}

#[test]
fn the_oracle_packs_by_true_peaks_and_a_static_number_pays_for_not_knowing() {
    // 9 GiB hold three at once; by the estimates of 1 GiB nine would be taken to fit.
    let liars = scenario(
        "jobs:\n- {count: 9, retries: 0, rungs: [{estimate: 1G, peak: 3G, duration: 10s, cpus: 0.2}]}\n",
    );
    let baselines = baseline::all(&liars, &policy());
    assert!(
        near(baselines.oracle.makespan, 30.0),
        "{:?}",
        baselines.oracle
    );
    assert!(near(baselines.sequential.makespan, 90.0));
    assert_eq!(baselines.oracle.lost, 0);
    assert_eq!(baselines.statics.len(), 4, "twice the processors");
    assert_eq!(baselines.best_static.workers, Some(3));
    assert!(
        baselines.statics[3].lost > 0 && baselines.statics[3].kills > 0,
        "{:?}",
        baselines.statics[3]
    );
}
