//! The promises of the core, played against a small random world: see also `tests/simulate.rs`, whose world has
//! curves, faults and CPU.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::action::{Action, Start};
use super::decision::Decision;
use super::event::{Event, Sample, Use};
use super::fixtures::*;
use super::job::{AttemptId, JobId, JobSpec};
use super::ladder::Outcome;
use super::state::{State, step};
use crate::config::policy::Policy;

/// A job of the small world: what it says, what it takes, how long it runs.
#[derive(Debug, Clone)]
struct Made {
    spec: JobSpec,
    peak_mib: u64,
    secs: u64,
    fails: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let kind = (
        50u64..600,
        50u64..700,
        1u64..60,
        0u32..20,
        -1i32..2,
        1u32..9,
        any::<bool>(),
    );
    kind.prop_map(|(says, peak_mib, secs, luck, priority, cpus, known)| Made {
        spec: JobSpec {
            priority,
            expected: known.then(|| Duration::from_secs(secs)),
            rungs: vec![rung(40, says, cpus), rung(20, says / 2, 1)],
            ..one(1)
        },
        peak_mib,
        secs,
        fails: luck == 0,
    })
}

/// A process that the core did not start: what it takes, and from when to when it runs, in seconds.
#[derive(Debug, Clone)]
struct Found {
    mib: u64,
    from: u64,
    until: u64,
}

/// Some end soon and some never; those leave room enough.
fn found() -> impl Strategy<Value = Found> {
    (50u64..250, 0u64..120, 1u64..200, any::<bool>()).prop_map(|(mib, from, secs, ends)| Found {
        mib,
        from,
        until: if ends { from + secs } else { u64::MAX },
    })
}

/// Plays jobs and other programs' memory (MiB, one value for each ten seconds; later ones are the last) on a machine
/// of 2000 MiB. Returns all that was said and done.
fn play(jobs: &[Made], others: &[u64]) -> Vec<(u64, Action)> {
    play_beside(policy(), jobs, others, &[])
}

/// The same under a policy that never leaves its first stage.
fn play_calm(jobs: &[Made]) -> Vec<(u64, Action)> {
    let mut calm = policy();
    calm.stages.truncate(1);
    play_beside(calm, jobs, &[0], &[])
}

fn play_beside(
    policy: Policy,
    jobs: &[Made],
    others: &[u64],
    found: &[Found],
) -> Vec<(u64, Action)> {
    const TOTAL: u64 = 2000;
    let mut state = State::new(policy, settings());
    let mut log = Vec::new();
    let mut finals = BTreeSet::new();
    let mut live: BTreeMap<AttemptId, (Start, u64)> = BTreeMap::new();
    let mut adopted: BTreeMap<AttemptId, &Found> = BTreeMap::new();
    // What the core was last told of them, in all.
    let mut adopted_use: BTreeMap<AttemptId, u64> = BTreeMap::new();
    let mut wake = Some(Duration::ZERO);
    let mut events: VecDeque<Event> = jobs
        .iter()
        .enumerate()
        .map(|(job, made)| Event::Submitted {
            job: JobId(job as u64),
            spec: made.spec.clone(),
        })
        .collect();
    for now in 0..40_000u64 {
        if wake.is_some_and(|at| at <= secs(now)) {
            wake = None;
            events.push_back(Event::Tick);
        }
        for (number, process) in found.iter().enumerate() {
            let attempt = AttemptId::adopted(number as u64);
            if process.from == now {
                adopted.insert(attempt, process);
                let started = secs(now);
                events.push_back(Event::Adopted { attempt, started });
            } else if process.until == now && adopted.remove(&attempt).is_some() {
                let end = end(Outcome::Exited, true, 0);
                events.push_back(Event::Ended { attempt, end });
            }
        }
        let ended: Vec<AttemptId> = live
            .iter()
            .filter(|(_, (_, until))| *until <= now)
            .map(|(id, _)| *id)
            .collect();
        for attempt in ended {
            let (start, _) = live.remove(&attempt).unwrap();
            let made = &jobs[start.job.0 as usize];
            // The second plan takes half.
            let peak = made.peak_mib / (start.rung as u64 + 1);
            let oom = peak * MIB > start.limit_bytes;
            let outcome = if oom { Outcome::Oom } else { Outcome::Exited };
            let end = end(
                outcome,
                !oom && !made.fails,
                peak.min(start.limit_bytes / MIB),
            );
            events.push_back(Event::Ended { attempt, end });
        }
        while let Some(event) = events.pop_front() {
            if let Event::Ended { attempt, .. } = event {
                adopted_use.remove(&attempt);
            }
            if let Event::Measured(sample) = &event {
                let uses = sample.attempts.iter();
                adopted_use = uses
                    .filter(|(id, _)| adopted.contains_key(id))
                    .map(|(id, used)| (*id, used.needs_bytes))
                    .collect();
            }
            for action in step(&mut state, event, secs(now)) {
                match &action {
                    Action::Start(start) => {
                        assert!(!start.attempt.is_adopted());
                        let reserved: u64 =
                            live.values().map(|(start, _)| start.reserved_bytes).sum();
                        let adopted: u64 = adopted_use.values().sum();
                        assert!(
                            reserved + adopted + start.reserved_bytes <= state.budget_bytes(),
                            "the sum of reservations passes the budget"
                        );
                        let made = &jobs[start.job.0 as usize];
                        live.insert(start.attempt, (*start, now + made.secs));
                    }
                    Action::Stop { attempt } => {
                        let ran = live.remove(attempt).is_some();
                        let was_adopted = adopted.remove(attempt).is_some();
                        if ran || was_adopted {
                            let end = end(Outcome::Pressure, false, 10);
                            events.push_back(Event::Ended {
                                attempt: *attempt,
                                end,
                            });
                        } else {
                            let is_its_end = |event: &Event| matches!(event, Event::Ended { attempt: ended, .. } if ended == attempt);
                            assert!(events.iter().any(is_its_end), "what is stopped was running");
                        }
                    }
                    Action::Measure => {
                        let other = others[(now / 10).min(others.len() as u64 - 1) as usize];
                        let needs = |start: &Start| {
                            jobs[start.job.0 as usize].peak_mib / (start.rung as u64 + 1)
                        };
                        let children: u64 = live.values().map(|(start, _)| needs(start)).sum();
                        let children = children + adopted.values().map(|one| one.mib).sum::<u64>();
                        let used = |mib: u64| Use {
                            needs_bytes: mib * MIB,
                            ..Use::default()
                        };
                        let started = live
                            .iter()
                            .map(|(id, (start, _))| (*id, used(needs(start))));
                        let found = adopted.iter().map(|(id, one)| (*id, used(one.mib)));
                        let attempts = started.chain(found);
                        events.push_back(Event::Measured(Sample {
                            total_bytes: TOTAL * MIB,
                            available_bytes: TOTAL.saturating_sub(other + children) * MIB,
                            attempts: attempts.collect(),
                            ..Sample::default()
                        }));
                    }
                    Action::Relieve { relief, .. } => {
                        events.push_back(Event::Relieved {
                            relief: *relief,
                            done: true,
                        });
                    }
                    Action::Finish { job, .. } => {
                        assert!(finals.insert(*job), "{job} ends twice");
                    }
                    Action::Wake { at } => wake = Some(*at),
                    Action::Thaw { .. } | Action::Tell { .. } | Action::Note(_) => {}
                }
                log.push((now, action));
            }
        }
        if finals.len() == jobs.len() {
            assert!(live.is_empty() && state.running() == adopted.len());
            return log;
        }
    }
    panic!(
        "{} of {} jobs never ended",
        jobs.len() - finals.len(),
        jobs.len()
    );
}

/// A job of one plan that takes just what it says, for just as long.
fn honest() -> impl Strategy<Value = Made> {
    (50u64..1700, 1u64..60).prop_map(|(mib, secs)| Made {
        spec: JobSpec {
            expected: Some(Duration::from_secs(secs)),
            // Memory alone is what they wait for.
            ..spec(vec![rung(40, mib, 0)])
        },
        peak_mib: mib,
        secs,
        fails: false,
    })
}

/// When a job could start if nothing but what runs now had to end, in seconds.
fn soonest(now: u64, needs_mib: u64, budget_mib: u64, live: &BTreeMap<JobId, (u64, u64)>) -> u64 {
    let mut ends: Vec<(u64, u64)> = live.values().copied().collect();
    ends.sort_unstable();
    let mut free = budget_mib - ends.iter().map(|(_, mib)| mib).sum::<u64>();
    let mut at = now;
    for (until, mib) in ends {
        if needs_mib <= free {
            break;
        }
        (at, free) = (until, free + mib);
    }
    at
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Every job comes to exactly one end, none starves, no reservation passes the budget: `play` asserts all three.
    /// And the same events give the same actions.
    #[test]
    fn every_job_ends_once_within_the_budget_and_the_same_way_again(
        jobs in proptest::collection::vec(made(), 1..40),
        mut others in proptest::collection::vec(0u64..1900, 0..12),
    ) {
        // In the end the other programs leave room enough: else waiting for ever is right.
        others.push(300);
        let log = play(&jobs, &others);
        prop_assert_eq!(play(&jobs, &others), log);
    }

    /// The same beside processes that the core did not start: what they use is within the budget, they are not
    /// started again when they were stopped, and one that never ends keeps no job from its end.
    #[test]
    fn the_same_beside_adopted_ones(
        jobs in proptest::collection::vec(made(), 1..20),
        mut others in proptest::collection::vec(0u64..1900, 0..12),
        found in proptest::collection::vec(found(), 1..4),
    ) {
        others.push(300);
        let log = play_beside(policy(), &jobs, &others, &found);
        prop_assert_eq!(play_beside(policy(), &jobs, &others, &found), log);
    }

    /// What is at the head of the line starts no later than it would have if nothing had gone before it.
    #[test]
    fn the_head_of_the_line_is_never_delayed(jobs in proptest::collection::vec(honest(), 2..40)) {
        let mut live: BTreeMap<JobId, (u64, u64)> = BTreeMap::new();
        let mut promised: BTreeMap<JobId, u64> = BTreeMap::new();
        // 2000 MiB less a tenth; nothing ever leaves normal, for the other programs take nothing.
        for (now, action) in play_calm(&jobs) {
            live.retain(|_, (until, _)| *until > now);
            match action {
                Action::Note(Decision::Start { overtakes: Some(head), .. }) => {
                    let needs = jobs[head.0 as usize].peak_mib;
                    promised.entry(head).or_insert_with(|| soonest(now, needs, 1800, &live));
                }
                Action::Start(start) => {
                    let made = &jobs[start.job.0 as usize];
                    if let Some(by) = promised.remove(&start.job) {
                        prop_assert!(now <= by, "{} at {} instead of {}", start.job, now, by);
                    }
                    live.insert(start.job, (now + made.secs, made.peak_mib));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_level_never_flaps_faster_than_its_hold_time(
        used in proptest::collection::vec((0u64..1000, 1u64..4000), 1..200),
    ) {
        let mut state = State::new(policy(), settings());
        let mut now = Duration::ZERO;
        let mut entered = [Duration::ZERO; 4];
        let mut stage = 0;
        for (available, wait) in used {
            now += Duration::from_millis(wait);
            step(&mut state, sample(1000, available), now);
            let next = state.stage_index();
            for entry in entered.iter_mut().take(next + 1).skip(stage + 1) {
                *entry = now;
            }
            for entry in entered.iter().take(stage + 1).skip(next + 1) {
                prop_assert!(now - *entry >= secs(10), "left after {:?}", now - *entry);
            }
            stage = next;
        }
    }
}
