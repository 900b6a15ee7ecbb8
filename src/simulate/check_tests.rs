#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::config::policies::Policies;
use crate::config::profiles::Profiles;
use crate::core::ladder::Outcome;
use crate::core::{End, Final, JobSpec, Rung, Sample, Start, Use};

const GIB: u64 = 1 << 30;

fn policy(name: &str) -> Policy {
    let none: [&str; 0] = [];
    let profiles = Profiles::load(&none).unwrap();
    Policies::load(&none, &profiles)
        .unwrap()
        .get(name)
        .unwrap()
        .clone()
}

const SETTINGS: Settings = Settings {
    cpus: 8,
    workers: Some(4),
    memory_bytes: None,
    floor_bytes: GIB / 4,
    swap_bytes: GIB,
    seed: 0,
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Feeds a checker a run that was made up.
struct Feed<'a>(Checker<'a>);

impl<'a> Feed<'a> {
    /// Of jobs that were submitted, on a machine of 10 GiB of which so many percent are in use.
    fn new(policy: &'a Policy, jobs: u64, used: u64) -> Feed<'a> {
        let mut feed = Feed(Checker::new(policy, SETTINGS, jobs));
        for job in 0..jobs {
            let spec = JobSpec {
                priority: 0,
                rungs: vec![Rung {
                    rank: 0,
                    estimate_bytes: None,
                    ceiling_bytes: None,
                    cpu_milli: 1000,
                }],
                retries: 0,
                repeatable: true,
                input_bytes: None,
                expected: None,
                class: 0,
                limit_bytes: None,
                batch: None,
                tellable: false,
                relievable: false,
            };
            feed.0.event(
                &Event::Submitted {
                    job: JobId(job),
                    spec,
                },
                secs(0),
            );
        }
        feed.measure(0, used, &[])
    }

    fn measure(mut self, at: u64, used: u64, attempts: &[(u64, u64)]) -> Self {
        let usage = |(id, needs_bytes): &(u64, u64)| {
            (
                AttemptId(*id),
                Use {
                    needs_bytes: *needs_bytes,
                    ..Use::default()
                },
            )
        };
        let sample = Sample {
            total_bytes: 10 * GIB,
            available_bytes: 10 * GIB - 10 * GIB / 100 * used,
            attempts: attempts.iter().map(usage).collect(),
            ..Sample::default()
        };
        self.0.event(&Event::Measured(sample), secs(at));
        self
    }

    fn start(self, at: u64, job: u64, reserved_bytes: u64) -> Self {
        self.action(
            at,
            Action::Start(Start {
                job: JobId(job),
                attempt: AttemptId(job + 100),
                rung: 0,
                limit_bytes: reserved_bytes,
                reserved_bytes,
                batch: None,
                segment: secs(300),
            }),
        )
    }

    fn action(mut self, at: u64, action: Action) -> Self {
        self.0.action(&action, secs(at));
        self
    }

    fn end(mut self, at: u64, job: u64) -> Self {
        let end = End {
            outcome: Outcome::Exited,
            success: true,
            peak_bytes: 1,
            cpu: secs(1),
        };
        self.0.event(
            &Event::Ended {
                attempt: AttemptId(job + 100),
                end,
            },
            secs(at),
        );
        self.action(
            at,
            Action::Finish {
                job: JobId(job),
                end: Final::Done,
            },
        )
    }

    fn level(self, at: u64, from: Level, to: Level, stage: usize) -> Self {
        let say = crate::config::policy::Say::Info;
        self.action(
            at,
            Action::Note(Decision::Level {
                from,
                to,
                stage,
                why: String::new(),
                say,
            }),
        )
    }

    fn freeze(mut self, at: u64, job: u64) -> Self {
        let attempts = vec![AttemptId(job + 100)];
        self = self.action(
            at,
            Action::Relieve {
                relief: ReliefId(1),
                kind: ReliefKind::Freeze,
                attempts,
            },
        );
        self.0.event(
            &Event::Relieved {
                relief: ReliefId(1),
                done: true,
            },
            secs(at),
        );
        self
    }

    fn kinds(mut self) -> Vec<Kind> {
        if self.0.jobs.iter().all(|state| state & RUNNING == 0) {
            self.0.over(secs(1000));
        }
        self.0
            .into_violations()
            .0
            .into_iter()
            .map(|violation| violation.kind)
            .collect()
    }
}

#[test]
fn a_run_as_it_should_be_has_none() {
    let policy = policy("default");
    let feed = Feed::new(&policy, 2, 10)
        .start(1, 0, 2 * GIB)
        .start(1, 1, 5 * GIB)
        .end(5, 0)
        .end(6, 1);
    assert_eq!(feed.kinds(), []);
}

#[test]
fn reservations_above_the_budget() {
    let policy = policy("default");
    // 10 GiB less a tenth, less 4 GiB of others.
    let within = Feed::new(&policy, 2, 40)
        .start(1, 0, 2 * GIB)
        .start(1, 1, 3 * GIB - GIB / 4);
    assert_eq!(within.kinds(), []);
    let over = Feed::new(&policy, 2, 40)
        .start(1, 0, 2 * GIB)
        .start(1, 1, 3 * GIB + GIB / 4);
    assert_eq!(over.kinds(), [Kind::OverBudget]);
}

#[test]
fn a_job_that_runs_twice_or_ends_twice() {
    let policy = policy("default");
    let again = Feed::new(&policy, 1, 10)
        .start(1, 0, GIB)
        .end(2, 0)
        .start(3, 0, GIB);
    assert_eq!(again.kinds(), [Kind::Twice]);
    let twice = Feed::new(&policy, 1, 10).start(1, 0, GIB).end(2, 0).action(
        3,
        Action::Finish {
            job: JobId(0),
            end: Final::Done,
        },
    );
    assert_eq!(twice.kinds(), [Kind::Twice]);
}

#[test]
fn a_job_that_never_starts_or_never_ends() {
    let policy = policy("default");
    let mut feed = Feed::new(&policy, 3, 10)
        .start(1, 0, GIB)
        .end(2, 0)
        .start(3, 1, GIB);
    feed.0.over(secs(100));
    let texts: Vec<String> = feed
        .0
        .into_violations()
        .0
        .into_iter()
        .map(|violation| violation.text)
        .collect();
    assert_eq!(
        texts,
        ["job 1 never came to its end", "job 2 was never started"]
    );
}

#[test]
fn a_level_that_is_left_before_its_time() {
    let policy = policy("default");
    let left_at = |at: u64| {
        Feed::new(&policy, 0, 10)
            .measure(10, 81, &[])
            .level(10, Level::Normal, Level::High, 2)
            .measure(12, 76, &[])
            .measure(14, 50, &[])
            .level(at, Level::High, Level::Normal, 0)
            .kinds()
    };
    // Until 12 s it is not below 80 less 5, so it may be left 10 s later.
    assert_eq!(left_at(23), []);
    assert_eq!(
        left_at(21),
        [Kind::LeftEarly, Kind::LeftEarly],
        "two stages"
    );
}

#[test]
fn more_than_the_stage_allows() {
    let policy = policy("default");
    let high = Feed::new(&policy, 3, 10)
        .start(1, 0, GIB)
        .level(2, Level::Normal, Level::High, 2)
        .start(3, 1, GIB)
        .start(4, 2, GIB);
    assert_eq!(high.kinds(), [Kind::TooManyWorkers], "half of 4");
    let critical = Feed::new(&policy, 1, 10)
        .level(2, Level::Normal, Level::Critical, 3)
        .start(3, 0, GIB);
    assert_eq!(critical.kinds(), [Kind::StartedPaused]);
}

#[test]
fn after_relief_one_may_start_where_nothing_may() {
    let policy = policy("concurrent-video");
    let sequential = Action::Note(Decision::Sequential {
        workers: 1,
        used_percent: 91.0,
    });
    let feed = Feed::new(&policy, 2, 10)
        .level(2, Level::Normal, Level::Critical, 4)
        .action(3, sequential)
        .start(4, 0, GIB)
        .start(5, 1, GIB);
    assert_eq!(feed.kinds(), [Kind::TooManyWorkers], "but not two");
}

#[test]
fn a_start_while_the_breaker_is_open() {
    let policy = policy("default");
    let open = Action::Note(Decision::BreakerOpen {
        wait: secs(5),
        why: String::new(),
    });
    let probe = Action::Note(Decision::BreakerProbe { job: JobId(0) });
    let feed = Feed::new(&policy, 2, 10)
        .action(1, open)
        .action(2, probe)
        .start(2, 0, GIB)
        .start(3, 1, GIB);
    assert_eq!(
        feed.kinds(),
        [Kind::StartedPaused],
        "the probe may, no other"
    );
}

#[test]
fn an_attempt_that_stays_frozen() {
    let policy = policy("default");
    let frozen = || Feed::new(&policy, 1, 10).start(1, 0, GIB).freeze(2, 0);
    assert_eq!(frozen().measure(61, 10, &[]).kinds(), []);
    assert_eq!(
        frozen().measure(65, 10, &[]).measure(70, 10, &[]).kinds(),
        [Kind::FrozenLong],
        "told once"
    );
    let thawed = frozen().action(
        60,
        Action::Thaw {
            attempt: AttemptId(100),
        },
    );
    assert_eq!(thawed.measure(70, 10, &[]).kinds(), []);
}

#[test]
fn the_last_one_is_stopped_only_if_it_breaks_the_limit_alone() {
    let policy = policy("default");
    let stop = |id| Action::Stop {
        attempt: AttemptId(id),
    };
    let two = Feed::new(&policy, 2, 10).start(1, 0, GIB).start(1, 1, GIB);
    assert_eq!(two.action(2, stop(100)).kinds(), []);
    let two = Feed::new(&policy, 2, 10).start(1, 0, GIB).start(1, 1, GIB);
    assert_eq!(
        two.action(2, stop(100)).action(3, stop(101)).kinds(),
        [Kind::LastStopped]
    );
    let large =
        Feed::new(&policy, 1, 10)
            .start(1, 0, 8 * GIB)
            .measure(2, 96, &[(100, 9 * GIB + GIB / 2)]);
    assert_eq!(large.action(3, stop(100)).kinds(), []);
    let unknown = Feed::new(&policy, 0, 10).action(3, stop(7));
    assert_eq!(unknown.kinds(), [Kind::Senseless]);
}

#[test]
fn a_kill_by_the_kernel() {
    let policy = policy("default");
    let mut feed = Feed::new(&policy, 0, 10);
    feed.0.killed(
        &Kill {
            attempt: AttemptId(3),
            wanted_bytes: 11 * GIB,
        },
        secs(1),
    );
    assert_eq!(feed.kinds(), [Kind::MachineFull]);
}
