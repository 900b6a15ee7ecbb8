//! What the core does, case by case.

use super::super::fixtures::*;
use super::*;
use crate::config::policy::{AfterRelief, BatchRange, ReliefKind, Share};
use crate::config::size::Size;
use crate::core::ReliefId;
use crate::core::action::Start;
use crate::core::event::Use;
use crate::core::job::JobSpec;
use crate::core::ladder::Outcome;

#[test]
fn nothing_starts_before_memory_was_seen_and_all_that_fits_after() {
    let mut state = State::new(policy(), settings());
    let actions = submit(&mut state, 1, one(400), secs(0));
    assert_eq!(
        (actions[0].clone(), starts(&actions)),
        (Action::Measure, vec![])
    );
    submit(&mut state, 2, one(400), secs(0));
    submit(&mut state, 3, one(400), secs(0));
    let started = starts(&step(&mut state, sample(1000, 1000), secs(0)));
    let jobs: Vec<u64> = started.iter().map(|start| start.job.0).collect();
    assert_eq!(jobs, [1, 2], "two times 400 of 900");
    assert_eq!(started[0].reserved_bytes, 400 * MIB);
    assert_eq!(started[0].limit_bytes / MIB, 500, "a quarter more");
    let ended = Event::Ended {
        attempt: started[0].attempt,
        end: end(Outcome::Exited, true, 400),
    };
    let actions = step(&mut state, ended, secs(5));
    assert_eq!(starts(&actions)[0].job, JobId(3));
    assert!(actions.contains(&Action::Finish {
        job: JobId(1),
        end: Final::Done
    }));
}

#[test]
fn a_small_job_goes_first_only_where_the_large_one_is_not_delayed() {
    let mut state = seen(policy(), 1000, 1000);
    let running = starts(&submit(&mut state, 1, one(500), secs(0)));
    assert!(
        starts(&submit(&mut state, 2, one(800), secs(0))).is_empty(),
        "500 + 800 > 900"
    );
    assert!(
        starts(&submit(&mut state, 3, one(200), secs(0))).is_empty(),
        "would delay job 2"
    );
    let small = submit(&mut state, 4, one(100), secs(0));
    assert_eq!(starts(&small)[0].job, JobId(4), "100 are left beside job 2");
    let ended = Event::Ended {
        attempt: running[0].attempt,
        end: end(Outcome::Exited, true, 500),
    };
    assert_eq!(starts(&step(&mut state, ended, secs(9)))[0].job, JobId(2));
}

#[test]
fn a_job_that_ends_in_time_may_go_first() {
    let mut state = seen(policy(), 1000, 1000);
    submit(
        &mut state,
        1,
        JobSpec {
            expected: Some(secs(100)),
            ..one(500)
        },
        secs(0),
    );
    submit(&mut state, 2, one(800), secs(0));
    let long = JobSpec {
        expected: Some(secs(101)),
        ..one(200)
    };
    assert!(starts(&submit(&mut state, 3, long, secs(0))).is_empty());
    let short = JobSpec {
        expected: Some(secs(99)),
        ..one(200)
    };
    assert_eq!(
        starts(&submit(&mut state, 4, short, secs(0)))[0].job,
        JobId(4)
    );
}

#[test]
fn encoders_do_not_oversubscribe_the_processors() {
    let mut state = seen(policy(), 100_000, 100_000);
    let mut running = 0;
    for job in 0..10 {
        running += starts(&submit(
            &mut state,
            job,
            spec(vec![rung(40, 100, 4)]),
            secs(0),
        ))
        .len();
    }
    assert_eq!(running, 2, "two times four threads on eight processors");
    let mut by_number = State::new(
        policy(),
        Settings {
            workers: Some(5),
            ..settings()
        },
    );
    step(&mut by_number, sample(100_000, 100_000), secs(0));
    let count = (0..10).map(|job| {
        starts(&submit(
            &mut by_number,
            job,
            spec(vec![rung(40, 100, 4)]),
            secs(0),
        ))
        .len()
    });
    assert_eq!(
        count.sum::<usize>(),
        5,
        "a number that the user chose is the user's"
    );
}

#[test]
fn each_level_lowers_the_plan_and_critical_starts_nothing() {
    let rungs = vec![
        rung(40, 100, 1),
        rung(30, 80, 1),
        rung(20, 60, 1),
        rung(10, 40, 1),
    ];
    for (available, expected) in [(400, Some(0)), (290, Some(1)), (190, Some(2)), (90, None)] {
        let mut state = seen(policy(), 1000, available);
        let started = starts(&submit(&mut state, 1, spec(rungs.clone()), secs(0)));
        assert_eq!(
            started.first().map(|start| start.rung),
            expected,
            "{available} available"
        );
    }
}

#[test]
fn a_level_is_entered_at_once_and_left_after_its_hold_time() {
    let mut state = seen(policy(), 1000, 500);
    step(&mut state, sample(1000, 90), secs(1));
    assert_eq!(state.level(), Level::Critical);
    for (at, available, level) in [
        (2, 140, Level::Critical), // 86 %: not below 85
        (3, 160, Level::Critical), // since now
        (12, 160, Level::Critical),
        (13, 160, Level::High), // ten seconds; 84 % is not below 75
        (14, 400, Level::High),
        (23, 400, Level::High),
        (24, 400, Level::Normal), // high and moderate were both below since 14
    ] {
        step(&mut state, sample(1000, available), secs(at));
        assert_eq!(state.level(), level, "at {at}");
    }
}

#[test]
fn out_of_memory_leads_to_a_lighter_plan_that_is_believed_to_need_more() {
    let mut state = seen(policy(), 10_000, 10_000);
    let rungs = vec![rung(40, 400, 1), rung(20, 200, 1)];
    let first = starts(&submit(&mut state, 1, spec(rungs), secs(0)))[0];
    let ended = Event::Ended {
        attempt: first.attempt,
        end: end(Outcome::Oom, false, 500),
    };
    assert!(
        starts(&step(&mut state, ended, secs(1))).is_empty(),
        "memory is looked at first"
    );
    let second = starts(&step(&mut state, sample(10_000, 10_000), secs(1)))[0];
    assert_eq!(
        (second.rung, second.reserved_bytes / MIB),
        (1, 625),
        "1.25 x 500"
    );
    let ended = Event::Ended {
        attempt: second.attempt,
        end: end(Outcome::Oom, false, 800),
    };
    step(&mut state, ended, secs(2));
    let third = starts(&step(&mut state, sample(10_000, 10_000), secs(2)))[0];
    assert_eq!(
        (third.rung, third.reserved_bytes / MIB),
        (1, 1000),
        "the lightest again, with more room"
    );
    let ended = Event::Ended {
        attempt: third.attempt,
        end: end(Outcome::Exited, true, 900),
    };
    let actions = step(&mut state, ended, secs(3));
    assert!(actions.contains(&Action::Finish {
        job: JobId(1),
        end: Final::Done
    }));
}

#[test]
fn a_job_that_needs_more_than_its_limit_fails_with_both_numbers() {
    let mut state = seen(policy(), 10_000, 10_000);
    let limited = JobSpec {
        limit_bytes: Some(300 * MIB),
        ..one(200)
    };
    let first = starts(&submit(&mut state, 1, limited, secs(0)))[0];
    assert_eq!(first.limit_bytes, 300 * MIB);
    let ended = Event::Ended {
        attempt: first.attempt,
        end: end(Outcome::Oom, false, 300),
    };
    let actions = step(&mut state, ended, secs(1));
    let finished = actions.iter().find_map(|action| match action {
        Action::Finish {
            end: Final::OutOfMemory { needs_bytes, .. },
            ..
        } => Some(needs_bytes / MIB),
        _ => None,
    });
    assert_eq!(finished, Some(375));
}

/// Two attempts at the critical level; the actions of each second from there.
fn critical(state: &mut State) -> (Vec<Start>, Vec<Action>) {
    let mut started = starts(&submit(state, 1, one(300), secs(0)));
    started.extend(starts(&submit(state, 2, one(300), secs(0))));
    // Not so fast that the wall is near.
    step(state, usage(&started, 1000, 305, &[300, 250]), secs(0));
    let actions = step(state, usage(&started, 1000, 60, &[300, 250]), secs(10));
    (started, actions)
}

fn usage(started: &[Start], total: u64, available: u64, needs: &[u64]) -> Event {
    let attempts = started.iter().zip(needs).map(|(start, needs)| {
        let used = Use {
            needs_bytes: needs * MIB,
            cpu: secs(5),
            ..Use::default()
        };
        (start.attempt, used)
    });
    Event::Measured(Sample {
        total_bytes: total * MIB,
        available_bytes: available * MIB,
        attempts: attempts.collect(),
        ..Sample::default()
    })
}

fn relief_in(actions: &[Action]) -> Option<(ReliefId, ReliefKind)> {
    actions.iter().find_map(|action| match action {
        Action::Relieve { relief, kind, .. } => Some((*relief, *kind)),
        _ => None,
    })
}

fn stops(actions: &[Action]) -> Vec<AttemptId> {
    let stop = |action: &Action| match action {
        Action::Stop { attempt } => Some(*attempt),
        _ => None,
    };
    actions.iter().filter_map(stop).collect()
}

#[test]
fn a_burst_between_two_looks_is_no_reason_to_stop_anyone_before_relief() {
    let mut state = seen(policy(), 1000, 1000);
    let (started, _) = critical(&mut state);
    // At that rate there would be nothing left in 0.3 s.
    let soon = secs(10) + Duration::from_millis(25);
    let actions = step(&mut state, usage(&started, 1000, 55, &[300, 250]), soon);
    assert_eq!(stops(&actions), []);
}

#[test]
fn critical_is_relief_first_then_one_victim_then_a_look() {
    let mut state = seen(policy(), 1000, 1000);
    let (started, actions) = critical(&mut state);
    let (relief, kind) = relief_in(&actions).expect("relief comes first");
    assert_eq!((kind, stops(&actions)), (ReliefKind::Reclaim, vec![]));
    let actions = step(&mut state, Event::Relieved { relief, done: true }, secs(10));
    assert!(actions.contains(&Action::Measure));
    let actions = step(&mut state, usage(&started, 1000, 55, &[300, 250]), secs(11));
    assert!(stops(&actions).is_empty(), "the grace time is not over");
    let actions = step(&mut state, usage(&started, 1000, 55, &[300, 250]), secs(12));
    assert_eq!(
        stops(&actions),
        [started[0].attempt],
        "the larger one, for the same work"
    );
    let actions = step(&mut state, usage(&started, 1000, 55, &[300, 250]), secs(20));
    assert!(stops(&actions).is_empty(), "one at a time");
    let ended = Event::Ended {
        attempt: started[0].attempt,
        end: end(Outcome::Pressure, false, 300),
    };
    let actions = step(&mut state, ended, secs(21));
    assert!(actions.contains(&Action::Measure));
    let actions = step(&mut state, usage(&started[1..], 1000, 55, &[250]), secs(30));
    assert!(stops(&actions).is_empty(), "never the last one");
    assert_eq!(state.waiting(), 1, "the victim's job waits");
}

#[test]
fn a_job_that_is_stopped_again_and_again_ends() {
    let mut state = State::new(policy(), settings());
    submit(&mut state, 1, one(300), secs(0));
    let mut stopped = 0;
    for at in 0..3000 {
        let actions = step(&mut state, sample(1000, 1000), secs(at));
        if let Some(start) = starts(&actions).first() {
            // Nothing but it, and yet the kernel is about to kill.
            step(&mut state, usage(&[*start], 1000, 10, &[900]), secs(at));
            let attempt = start.attempt;
            let ended = Event::Ended {
                attempt,
                end: end(Outcome::Pressure, false, 900),
            };
            let actions = step(&mut state, ended, secs(at));
            stopped += 1;
            if actions
                .iter()
                .any(|action| matches!(action, Action::Finish { .. }))
            {
                assert_eq!(stopped, 8 + 1 + 3, "eight for nothing, then its retries");
                return;
            }
        }
    }
    panic!("stopped {stopped} times, and not over");
}

#[test]
fn what_fits_nowhere_lets_others_go_first_for_a_while_and_is_then_tried_alone() {
    let mut state = seen(policy(), 1000, 1000);
    assert!(starts(&submit(&mut state, 1, one(2000), secs(0))).is_empty());
    let other = starts(&submit(&mut state, 2, one(300), secs(1)))[0];
    submit(&mut state, 3, one(700), secs(1));
    step(&mut state, sample(1000, 1000), secs(40));
    let ended = Event::Ended {
        attempt: other.attempt,
        end: end(Outcome::Exited, true, 300),
    };
    let tried = starts(&step(&mut state, ended, secs(41)));
    assert_eq!(
        tried[0].job,
        JobId(1),
        "its patience is over, and nothing else runs"
    );
    assert!(tried[0].reserved_bytes <= state.budget_bytes());
}

#[test]
fn relief_that_shows_late_is_looked_at_once_more() {
    for (second_look, helped) in [(300, true), (60, false)] {
        let mut state = seen(policy(), 1000, 1000);
        let (started, actions) = critical(&mut state);
        let (relief, _) = relief_in(&actions).unwrap();
        step(&mut state, Event::Relieved { relief, done: true }, secs(10));
        let verdict = |actions: &[Action]| {
            actions.iter().find_map(|action| match action {
                Action::Note(Decision::Relieved { helped, .. }) => Some(*helped),
                _ => None,
            })
        };
        let actions = step(&mut state, usage(&started, 1000, 60, &[300, 250]), secs(10));
        assert_eq!(verdict(&actions), None, "not yet");
        let actions = step(
            &mut state,
            usage(&started, 1000, second_look, &[300, 250]),
            secs(11),
        );
        assert_eq!(verdict(&actions), Some(helped));
    }
}

#[test]
fn relief_that_helped_stops_nobody() {
    let mut state = seen(policy(), 1000, 1000);
    let (started, actions) = critical(&mut state);
    let (relief, _) = relief_in(&actions).unwrap();
    step(&mut state, Event::Relieved { relief, done: true }, secs(11));
    for at in 11..40 {
        let actions = step(
            &mut state,
            usage(&started, 1000, 300, &[300, 250]),
            secs(at),
        );
        assert_eq!((stops(&actions), relief_in(&actions)), (vec![], None));
    }
}

#[test]
fn where_memory_goes_fast_the_grace_time_is_not_waited_for() {
    let mut state = seen(policy(), 1000, 1000);
    let mut started = starts(&submit(&mut state, 1, one(300), secs(0)));
    started.extend(starts(&submit(&mut state, 2, one(300), secs(0))));
    step(&mut state, usage(&started, 1000, 300, &[300, 250]), secs(0));
    let actions = step(&mut state, usage(&started, 1000, 60, &[300, 250]), secs(1));
    assert_eq!(
        stops(&actions),
        [started[0].attempt],
        "gone in a quarter of a second"
    );
}

#[test]
fn when_the_kernel_is_about_to_kill_even_the_last_is_stopped_at_once() {
    let mut state = seen(policy(), 1000, 1000);
    let started = starts(&submit(&mut state, 1, one(300), secs(0)));
    let actions = step(&mut state, usage(&started, 1000, 20, &[300]), secs(1));
    assert_eq!(stops(&actions), [started[0].attempt]);
}

/// A machine of 1000 MiB with much swap, on which the youngest of the attempts with these needs is being frozen at ten
/// seconds; and that relief.
fn freezing(needs: &[u64], changed: impl FnOnce(&mut Policy)) -> (State, Vec<Start>, ReliefId) {
    let mut policy = policy();
    policy.stages[3].relief = vec![ReliefKind::Freeze];
    changed(&mut policy);
    let with_swap = Settings {
        swap_bytes: 4000 * MIB,
        ..settings()
    };
    let mut state = State::new(policy, with_swap);
    step(&mut state, sample(1000, 1000), secs(0));
    let started: Vec<Start> = (1u64..)
        .zip(needs)
        .flat_map(|(job, _)| starts(&submit(&mut state, job, one(300), secs(0))))
        .collect();
    let uses: Vec<(u64, u64)> = needs.iter().map(|needs| (*needs, 0)).collect();
    step(&mut state, swapped(&started, 305, &uses), secs(0));
    let actions = step(&mut state, swapped(&started, 60, &uses), secs(10));
    let (relief, kind) = relief_in(&actions).unwrap();
    assert_eq!(kind, ReliefKind::Freeze);
    assert!(actions.iter().any(|action| matches!(
        action,
        Action::Relieve { attempts, .. } if *attempts == [started[needs.len() - 1].attempt]
    )));
    (state, started, relief)
}

/// The machine of [`freezing`] with so much available, and what attempts need, of that in swap.
fn swapped(started: &[Start], available: u64, uses: &[(u64, u64)]) -> Event {
    let attempts = started.iter().zip(uses).map(|(start, (needs, swapped))| {
        let used = Use {
            needs_bytes: needs * MIB,
            swapped_bytes: swapped * MIB,
            cpu: secs(5),
            progress: None,
        };
        (start.attempt, used)
    });
    Event::Measured(Sample {
        total_bytes: 1000 * MIB,
        available_bytes: available * MIB,
        swap_free_bytes: 4000 * MIB,
        attempts: attempts.collect(),
        ..Sample::default()
    })
}

/// Who goes on at which second, from one second to the other, if that is what is measured.
fn thaws(
    state: &mut State,
    during: std::ops::Range<u64>,
    measured: impl Fn() -> Event,
) -> Vec<(u64, AttemptId)> {
    let mut thawed = Vec::new();
    for at in during {
        let actions = step(state, measured(), secs(at));
        thawed.extend(actions.into_iter().filter_map(|action| match action {
            Action::Thaw { attempt } => Some((at, attempt)),
            _ => None,
        }));
    }
    thawed
}

#[test]
fn what_is_in_swap_takes_no_memory_and_keeps_its_place_in_the_budget() {
    let (mut state, started, relief) = freezing(&[300, 250], |_| ());
    step(&mut state, Event::Relieved { relief, done: true }, secs(10));
    step(
        &mut state,
        swapped(&started, 310, &[(300, 0), (250, 250)]),
        secs(11),
    );
    assert_eq!(state.measures().children_bytes, 300 * MIB);
    // 690 in use, 300 by children: others use 390, a tenth stays free.
    assert_eq!(state.others_bytes, 390 * MIB);
    assert_eq!(state.budget_bytes(), 510 * MIB);
    assert_eq!(
        state.committed_bytes(),
        600 * MIB,
        "the frozen one will want its memory back"
    );
}

#[test]
fn what_is_frozen_goes_on_only_where_there_is_room_for_its_memory() {
    let (mut state, started, relief) = freezing(&[300, 250], |_| ());
    step(&mut state, Event::Relieved { relief, done: true }, secs(10));
    // 690 in use are below all that is critical, but not with 250 more.
    let away = || swapped(&started, 310, &[(300, 0), (250, 250)]);
    assert_eq!(thaws(&mut state, 11..40, away), []);
    let less = || swapped(&started, 400, &[(300, 0), (250, 250)]);
    assert_eq!(thaws(&mut state, 40..50, less), [(40, started[1].attempt)]);
}

#[test]
fn two_that_are_frozen_do_not_come_back_at_once() {
    let (mut state, started, relief) =
        freezing(&[300, 250, 100], |policy| policy.stages[3].stop = false);
    step(&mut state, Event::Relieved { relief, done: true }, secs(10));
    let full = || swapped(&started, 60, &[(300, 0), (250, 0), (100, 100)]);
    let again = (11..30).find_map(|at| {
        let relief = relief_in(&step(&mut state, full(), secs(at)));
        relief.map(|(relief, _)| (relief, at))
    });
    let (relief, at) = again.unwrap();
    step(&mut state, Event::Relieved { relief, done: true }, secs(at));
    let calm = || swapped(&started, 400, &[(300, 0), (250, 250), (100, 100)]);
    let thawed = thaws(&mut state, at + 1..at + 30, calm);
    assert_eq!(
        thawed.len(),
        1,
        "both together would be critical: {thawed:?}"
    );
    assert_eq!(thawed[0].1, started[1].attempt, "the oldest first");
    let back = || swapped(&started, 310, &[(300, 0), (250, 0), (100, 100)]);
    let thawed = thaws(&mut state, at + 30..at + 40, back);
    assert_eq!(thawed, [(at + 30, started[2].attempt)]);
}

#[test]
fn a_victim_is_not_chosen_while_memory_is_being_pushed_out_and_gives_back_only_what_it_has_there() {
    let (mut state, started, relief) = freezing(&[300, 250], |_| ());
    let half = || swapped(&started, 70, &[(300, 0), (400, 200)]);
    for at in 11..15 {
        let actions = step(&mut state, half(), secs(at));
        assert_eq!(
            stops(&actions),
            [],
            "at {at} s it is still being pushed out"
        );
    }
    let actions = step(&mut state, Event::Relieved { relief, done: true }, secs(16));
    assert_eq!(stops(&actions), [], "memory has to be looked at first");
    let after: Vec<AttemptId> = (16..19)
        .flat_map(|at| stops(&step(&mut state, half(), secs(at))))
        .collect();
    assert_eq!(
        after,
        [started[0].attempt],
        "300 of its own, not 200 of 400"
    );
}

#[test]
fn whose_time_is_up_goes_on_at_any_level_and_the_other_stands_still_next() {
    let (mut state, started, relief) =
        freezing(&[300, 250], |policy| policy.stages[3].stop = false);
    step(&mut state, Event::Relieved { relief, done: true }, secs(10));
    let full = || swapped(&started, 60, &[(300, 0), (250, 250)]);
    assert_eq!(thaws(&mut state, 11..70, full), []);
    let actions = step(&mut state, full(), secs(70));
    assert!(actions.contains(&Action::Thaw {
        attempt: started[1].attempt
    }));
    let next: Vec<AttemptId> = (71..100)
        .flat_map(|at| step(&mut state, full(), secs(at)))
        .filter_map(|action| match action {
            Action::Relieve { attempts, .. } => Some(attempts[0]),
            _ => None,
        })
        .collect();
    assert_eq!(next, [started[0].attempt]);
}

#[test]
fn with_swap_the_youngest_is_frozen_and_thawed_when_the_level_has_fallen() {
    let mut policy = policy();
    policy.stages[3].relief = vec![ReliefKind::Freeze];
    let mut state = State::new(
        policy,
        Settings {
            swap_bytes: 4000 * MIB,
            ..settings()
        },
    );
    let with_swap = |event: Event| match event {
        Event::Measured(sample) => Event::Measured(Sample {
            swap_free_bytes: 4000 * MIB,
            ..sample
        }),
        other => other,
    };
    step(&mut state, with_swap(sample(1000, 1000)), secs(0));
    let mut started = starts(&submit(&mut state, 1, one(300), secs(0)));
    started.extend(starts(&submit(&mut state, 2, one(300), secs(0))));
    let actions = step(
        &mut state,
        with_swap(usage(&started, 1000, 50, &[300, 250])),
        secs(10),
    );
    let (relief, kind) = relief_in(&actions).unwrap();
    assert_eq!(kind, ReliefKind::Freeze);
    assert!(actions.iter().any(|action| matches!(
        action,
        Action::Relieve { attempts, .. } if *attempts == [started[1].attempt]
    )));
    step(&mut state, Event::Relieved { relief, done: true }, secs(10));
    let mut thawed = Vec::new();
    for at in 11..60 {
        let actions = step(
            &mut state,
            with_swap(usage(&started, 1000, 400, &[300, 0])),
            secs(at),
        );
        thawed.extend(actions.into_iter().filter_map(|action| match action {
            Action::Thaw { attempt } => Some((at, attempt)),
            _ => None,
        }));
        assert!(thawed.len() <= 1);
    }
    assert_eq!(
        thawed,
        [(21, started[1].attempt)],
        "ten seconds after the level began to fall"
    );
}

#[test]
fn after_relief_work_goes_on_one_at_a_time_until_normal() {
    let mut policy = policy();
    policy.stages[3].after_relief = Some(AfterRelief {
        workers: 1,
        even_above: Some(Size::Percent(88.0)),
    });
    policy.stages[3].stop = false;
    let mut state = seen(policy, 1000, 1000);
    let (started, actions) = critical(&mut state);
    assert_eq!(state.workers(), 0);
    let (relief, _) = relief_in(&actions).unwrap();
    step(&mut state, Event::Relieved { relief, done: true }, secs(11));
    step(
        &mut state,
        usage(&started, 1000, 110, &[300, 250]),
        secs(11),
    );
    assert_eq!(
        state.workers(),
        1,
        "still above 88 %: not none for ever, but one"
    );
    for at in 12..60 {
        step(
            &mut state,
            usage(&started, 1000, 260, &[300, 250]),
            secs(at),
        );
    }
    assert_eq!(
        (state.level(), state.workers()),
        (Level::Moderate, 1),
        "until normal"
    );
    for at in 60..80 {
        step(
            &mut state,
            usage(&started, 1000, 500, &[300, 250]),
            secs(at),
        );
    }
    assert_eq!(state.workers(), u32::MAX);
}

#[test]
fn batches_and_segments_follow_the_level() {
    let mut state = seen(policy(), 1000, 1000);
    let range = BatchRange {
        maximum: 8,
        minimum: 3,
    };
    let taker = JobSpec {
        batch: Some(range),
        tellable: true,
        ..one(50)
    };
    let first = starts(&submit(&mut state, 1, taker.clone(), secs(0)))[0];
    assert_eq!((first.batch, first.segment), (Some(8), secs(300)));
    let told = step(&mut state, usage(&[first], 1000, 190, &[50]), secs(1));
    assert!(told.contains(&Action::Tell {
        attempt: first.attempt,
        batch: 4
    }));
    state.normal_running = 4;
    let second = starts(&submit(&mut state, 2, taker, secs(1)))[0];
    assert_eq!((second.batch, second.segment), (Some(4), secs(150)));
    assert_eq!(
        Share::Percent(10).batch(range),
        3,
        "no fewer than the minimum"
    );
    assert_eq!(Share::Count(0).batch(range), 0, "or none at all");
}

#[test]
fn a_drain_ends_what_waits_and_lets_the_rest_end() {
    let mut state = seen(policy(), 1000, 1000);
    let first = starts(&submit(&mut state, 1, one(800), secs(0)))[0];
    submit(&mut state, 2, one(800), secs(0));
    let actions = step(&mut state, Event::Drain, secs(1));
    assert!(actions.contains(&Action::Finish {
        job: JobId(2),
        end: Final::Cancelled
    }));
    let ended = Event::Ended {
        attempt: first.attempt,
        end: end(Outcome::Exited, true, 1),
    };
    assert!(step(&mut state, ended, secs(2)).contains(&Action::Finish {
        job: JobId(1),
        end: Final::Done
    }));
}
