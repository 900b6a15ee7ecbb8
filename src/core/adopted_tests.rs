//! Attempts that the core did not start, alone and beside jobs.

use super::super::fixtures::*;
use super::*;
use crate::config::policy::{Level, Policy, ReliefKind, Share, Thresholds};
use crate::core::ladder::Outcome;
use crate::core::{Action, Decision, Event, Sample, Settings, Use, step};

fn adopt(state: &mut State, number: u64, started: u64, now: u64) -> Vec<Action> {
    let event = Event::Adopted {
        attempt: AttemptId::adopted(number),
        started: secs(started),
    };
    step(state, event, secs(now))
}

/// A look at a machine of 1000 MiB: what is available, and what each attempt needs, in MiB, after five seconds of work.
fn look(state: &mut State, available: u64, needs: &[(AttemptId, u64)], now: u64) -> Vec<Action> {
    let attempts = needs.iter().map(|(attempt, mib)| {
        let used = Use {
            needs_bytes: mib * MIB,
            cpu: secs(5),
            ..Use::default()
        };
        (*attempt, used)
    });
    let sample = Sample {
        total_bytes: 1000 * MIB,
        available_bytes: available * MIB,
        swap_free_bytes: 4000 * MIB,
        attempts: attempts.collect(),
        ..Sample::default()
    };
    step(state, Event::Measured(sample), secs(now))
}

fn ended(state: &mut State, attempt: AttemptId, outcome: Outcome, now: u64) -> Vec<Action> {
    let end = end(outcome, false, 300);
    step(state, Event::Ended { attempt, end }, secs(now))
}

fn stopped(actions: &[Action]) -> Vec<AttemptId> {
    let stop = |action: &Action| match action {
        Action::Stop { attempt } => Some(*attempt),
        _ => None,
    };
    actions.iter().filter_map(stop).collect()
}

fn relieved(actions: &[Action]) -> Vec<(ReliefKind, Vec<AttemptId>)> {
    let relief = |action: &Action| match action {
        Action::Relieve { kind, attempts, .. } => Some((*kind, attempts.clone())),
        _ => None,
    };
    actions.iter().filter_map(relief).collect()
}

/// Whether something is said or done that only jobs give cause for.
fn is_a_jobs(action: &Action) -> bool {
    matches!(
        action,
        Action::Start(_)
            | Action::Finish { .. }
            | Action::Note(Decision::Requeue { .. } | Decision::BreakerOpen { .. })
    )
}

/// The test's policy without relief: what helps is stopping.
fn stops_only() -> Policy {
    let mut policy = policy();
    policy
        .stages
        .iter_mut()
        .for_each(|stage| stage.relief = vec![]);
    policy
}

const A: AttemptId = AttemptId(ADOPTED_FIRST);
const B: AttemptId = AttemptId(ADOPTED_FIRST + 1);
const ADOPTED_FIRST: u64 = 1 << 52;

#[test]
fn the_one_that_gives_most_is_stopped_it_is_not_made_up_for_and_the_last_is_left() {
    let mut state = seen(stops_only(), 1000, 500);
    adopt(&mut state, 0, 0, 0);
    adopt(&mut state, 1, 0, 0);
    look(&mut state, 300, &[(A, 200), (B, 300)], 1);
    let actions = look(&mut state, 95, &[(A, 200), (B, 500)], 10);
    assert_eq!(stopped(&actions), [B]);
    assert!(actions.iter().any(|action| matches!(
        action,
        Action::Note(Decision::Victim {
            job: None,
            considered: 2,
            ..
        })
    )));
    let mut after = ended(&mut state, B, Outcome::Pressure, 13);
    assert!(
        after.contains(&Action::Measure),
        "what is free is looked at"
    );
    for now in 14..60 {
        after.extend(look(&mut state, 95, &[(A, 200)], now));
    }
    assert_eq!(stopped(&after), [], "it is the last");
    assert_eq!(after.iter().find(|action| is_a_jobs(action)), None);
    assert_eq!((state.running(), state.waiting()), (1, 0));
    // As for jobs: when nothing is available any more, even the last.
    assert_eq!(stopped(&look(&mut state, 20, &[(A, 900)], 60)), [A]);
}

#[test]
fn after_a_victim_there_is_a_grace_time_before_the_next() {
    let mut state = seen(stops_only(), 1000, 500);
    (0..3).for_each(|number| drop(adopt(&mut state, number, 0, 0)));
    let c = AttemptId::adopted(2);
    let all = [(A, 300), (B, 200), (c, 100)];
    assert_eq!(stopped(&look(&mut state, 95, &all, 10)), [A]);
    ended(&mut state, A, Outcome::Pressure, 20);
    assert_eq!(stopped(&look(&mut state, 95, &all[1..], 21)), []);
    assert_eq!(stopped(&look(&mut state, 95, &all[1..], 22)), [B]);
}

#[test]
fn the_youngest_is_frozen_whatever_its_number_and_the_oldest_goes_on_first() {
    let mut policy = policy();
    policy.stages[3].relief = vec![ReliefKind::Freeze];
    policy.stages[3].stop = false;
    let settings = Settings {
        swap_bytes: 4000 * MIB,
        ..settings()
    };
    let mut state = State::new(policy, settings);
    look(&mut state, 500, &[], 100);
    // The older ones were found later.
    for (number, started) in [(0, 90), (1, 50), (2, 10)] {
        adopt(&mut state, number, started, 100);
    }
    let all = [(A, 200), (B, 200), (AttemptId::adopted(2), 200)];
    let mut frozen = Vec::new();
    for now in 101..140 {
        for (kind, attempts) in relieved(&look(&mut state, 50, &all, now)) {
            assert_eq!(kind, ReliefKind::Freeze);
            frozen.extend(attempts);
            let relief = super::super::action::ReliefId(frozen.len() as u64);
            step(
                &mut state,
                Event::Relieved { relief, done: true },
                secs(now),
            );
        }
        if frozen.len() == 2 {
            break;
        }
    }
    assert_eq!(frozen, [A, B]);
    let thawed: Vec<AttemptId> = (140..180)
        .flat_map(|now| look(&mut state, 900, &all, now))
        .filter_map(|action| match action {
            Action::Thaw { attempt } => Some(attempt),
            _ => None,
        })
        .collect();
    assert_eq!(thawed, [B, A]);
}

#[test]
fn relief_is_for_them_but_no_signal_that_they_would_die_of() {
    let mut policy = policy();
    // SIGUSR1.
    policy.relief.signal = Some(10);
    policy.stages[3].relief = vec![ReliefKind::Signal, ReliefKind::Reclaim];
    let mut state = seen(policy, 1000, 500);
    adopt(&mut state, 0, 0, 0);
    let actions = look(&mut state, 95, &[(A, 300)], 1);
    assert_eq!(relieved(&actions), [(ReliefKind::Reclaim, vec![A])]);
}

#[test]
fn a_job_gets_what_they_leave_and_goes_back_for_them() {
    let mut state = seen(stops_only(), 1000, 700);
    adopt(&mut state, 0, 0, 0);
    look(&mut state, 700, &[(A, 300)], 0);
    assert_eq!(
        state.budget_bytes(),
        900 * MIB,
        "they are no other programs"
    );
    let rungs = vec![rung(40, 700, 1), rung(20, 400, 1)];
    let started = starts(&submit(&mut state, 1, spec(rungs), secs(1)));
    assert_eq!((started[0].rung, started[0].reserved_bytes), (1, 400 * MIB));
    assert!(!started[0].attempt.is_adopted());
    assert_eq!(
        starts(&submit(&mut state, 2, one(300), secs(1))),
        [],
        "of 900"
    );
    // It can be run again, they cannot: it is the victim though it gives less.
    let both = [(A, 500), (started[0].attempt, 400)];
    let actions = look(&mut state, 95, &both, 10);
    assert_eq!(stopped(&actions), [started[0].attempt]);
    ended(&mut state, started[0].attempt, Outcome::Pressure, 13);
    assert_eq!((state.running(), state.waiting()), (1, 2));
    ended(&mut state, A, Outcome::Exited, 14);
    let again: Vec<u64> = (15..40)
        .flat_map(|now| starts(&look(&mut state, 1000, &[], now)))
        .map(|start| start.job.0)
        .collect();
    assert_eq!(again, [1, 2]);
}

#[test]
fn one_that_never_ends_keeps_no_job_waiting_for_ever() {
    let mut state = seen(policy(), 1000, 600);
    adopt(&mut state, 0, 0, 0);
    look(&mut state, 600, &[(A, 400)], 0);
    assert_eq!(starts(&submit(&mut state, 1, one(600), secs(0))), []);
    let tried: Vec<_> = (1..60)
        .flat_map(|now| starts(&look(&mut state, 600, &[(A, 400)], now)))
        .collect();
    assert_eq!(tried.len(), 1, "as if nothing ran");
    assert_eq!(tried[0].reserved_bytes, 500 * MIB, "with what there is");
}

#[test]
fn they_take_no_workers_place_but_the_processors_that_they_use() {
    let by_number = Settings {
        workers: Some(1),
        ..settings()
    };
    let mut state = State::new(policy(), by_number);
    look(&mut state, 900, &[], 0);
    adopt(&mut state, 0, 0, 0);
    look(&mut state, 900, &[(A, 10)], 0);
    assert_eq!(starts(&submit(&mut state, 1, one(10), secs(0))).len(), 1);

    let mut state = seen(policy(), 1000, 900);
    adopt(&mut state, 0, 0, 0);
    let busy = Use {
        needs_bytes: MIB,
        cpu: secs(70),
        ..Use::default()
    };
    let sample = Sample {
        total_bytes: 1000 * MIB,
        available_bytes: 900 * MIB,
        attempts: [(A, busy)].into(),
        ..Sample::default()
    };
    step(&mut state, Event::Measured(sample), secs(10));
    let two = || spec(vec![rung(40, 10, 2)]);
    assert_eq!(
        starts(&submit(&mut state, 1, two(), secs(10))),
        [],
        "seven of eight are in use"
    );
}

#[test]
fn nothing_is_concluded_from_how_they_end() {
    let mut with_breaker = policy();
    with_breaker.breaker.ends = 1;
    let mut state = seen(with_breaker, 1000, 900);
    let mut said = Vec::new();
    for (number, outcome) in [Outcome::Oom, Outcome::Pressure, Outcome::Signaled]
        .into_iter()
        .enumerate()
    {
        let attempt = AttemptId::adopted(number as u64);
        adopt(&mut state, number as u64, 0, 1);
        said.extend(look(&mut state, 900, &[(attempt, 500)], 10));
        said.extend(ended(&mut state, attempt, outcome, 11));
    }
    assert_eq!(said.iter().find(|action| is_a_jobs(action)), None);
    assert_eq!(state.running(), 0);
    look(&mut state, 900, &[], 12);
    let started = starts(&submit(&mut state, 1, one(300), secs(12)));
    assert_eq!(started[0].reserved_bytes, 300 * MIB, "no lesson either");
}

#[test]
fn they_have_no_limit_that_they_could_come_near_to() {
    let mut policy = policy();
    policy.stages[3].enter = Thresholds {
        slice: Some(50.0),
        ..Thresholds::default()
    };
    policy.stages[3].workers = Share::Count(0);
    let mut state = seen(policy, 1000, 900);
    adopt(&mut state, 0, 0, 0);
    look(&mut state, 400, &[(A, 500)], 1);
    assert_eq!(state.level(), Level::Normal);
}

#[test]
fn a_name_in_use_or_one_of_the_cores_own_books_nothing() {
    let mut state = seen(policy(), 1000, 900);
    adopt(&mut state, 0, 0, 0);
    look(&mut state, 800, &[(A, 100)], 1);
    adopt(&mut state, 0, 0, 2);
    assert_eq!(state.committed_bytes(), 100 * MIB, "the first one stays");
    let event = Event::Adopted {
        attempt: AttemptId(1),
        started: secs(0),
    };
    step(&mut state, event, secs(2));
    assert_eq!(state.running(), 1);
    assert_eq!(A.to_string(), "adopted attempt 0");
}
