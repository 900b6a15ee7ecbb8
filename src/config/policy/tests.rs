use std::path::Path;

use super::*;
use crate::config::policies::Policies;

fn profiles() -> Profiles {
    Profiles::load::<&Path>(&[]).unwrap()
}

pub(super) fn parse(text: &str) -> Result<Policy, Box<ContentError>> {
    Policy::parse(text, Origin::File("my.yaml".into()), &profiles())
}

pub(super) const NORMAL: &str = "levels:\n  - level: normal";

#[test]
fn a_short_policy_takes_the_numbers_of_the_default_one() {
    let mine = parse(&format!("name: mine\n{NORMAL}\n")).unwrap();
    let policies = Policies::load::<&Path>(&[], &profiles()).unwrap();
    let default = policies.get("default").unwrap().clone();
    let expected = Policy {
        name: "mine".into(),
        summary: String::new(),
        relief: ReliefRules {
            signal: None,
            ..default.relief
        },
        large_files: vec![],
        stages: vec![default.stages[0].clone()],
        origin: Origin::File("my.yaml".into()),
        source: mine.source.clone(),
        ..default
    };
    assert_eq!(mine, expected);
}

#[test]
fn everything_that_can_be_said_is_read() {
    let text = "
name: full
summary: all of it
reserves:
  - {name: system, share: 15%, at_most: 20G, for: others}
  - {name: buffer, share: 1G}
workers: 6
memory_per_job: 1.5G
cpu: 150%
margin: 2.5
hold: 30
grace: 500ms
poll: 0.25
relief: {signal: 12, command: [curl, -fsS, 'http://localhost/x y'], timeout: 3s, helped: 4%, freeze_at_most: 2m}
breaker: {ends: 5, within: 2m, first: 1s, longest: 10m, opens_at: high}
backoff: {first: 1s, longest: 30s}
batch: {maximum: 5, minimum: 2}
segment: {length: 10m, minimum: 1m}
large_files: [{above: 500M, profile: balanced}, {above: 2G, profile: low}]
report_every: 5
levels:
  - level: normal
    profile: balanced
  - level: moderate
    enter: {used: 70%, children: 60%, available: 4G, some_avg10: 20%, full_avg10: 5, slice: 90, trigger: some 0.1 1}
    workers: 4
    profile: {lower: 1}
    batch: 3
    segment: 50%
    relief: [command, freeze, reclaim, signal]
    verify: false
  - level: high
    enter: {used: 90%, available: 2G, trigger: full 150ms 2s}
    workers: 0%
    relief: [reclaim]
    after_relief: {workers: 2, even_above: 88%}
    stop: true
    say: info
";
    let policy = parse(text).unwrap();
    let secs = Duration::from_secs;
    assert_eq!(
        policy.reserves,
        [
            Reserve {
                name: "system".into(),
                share: Size::Percent(15.0),
                at_most: Some(20 << 30),
                for_others: true,
            },
            Reserve {
                name: "buffer".into(),
                share: Size::Bytes(1 << 30),
                at_most: None,
                for_others: false,
            },
        ]
    );
    assert_eq!(policy.workers, BaseWorkers::Count(6));
    assert_eq!(policy.memory_per_job, Some(Size::Bytes(3 << 29)));
    assert_eq!((policy.cpu_percent, policy.margin), (150, 2.5));
    assert_eq!(policy.hold, secs(30));
    assert_eq!(policy.grace, Duration::from_millis(500));
    assert_eq!(policy.poll, Duration::from_millis(250));
    let command = ["curl", "-fsS", "http://localhost/x y"].map(str::to_owned);
    assert_eq!(
        policy.relief,
        ReliefRules {
            signal: Some(12),
            command: Some(command.to_vec()),
            timeout: secs(3),
            helped_points: 4,
            freeze_at_most: secs(120),
        }
    );
    assert_eq!(
        policy.breaker,
        BreakerRules {
            ends: 5,
            within: secs(120),
            opens_at: Some(Level::High),
            first: secs(1),
            longest: secs(600),
        }
    );
    assert_eq!(
        (policy.backoff.first, policy.backoff.longest),
        (secs(1), secs(30))
    );
    assert_eq!((policy.batch.maximum, policy.batch.minimum), (5, 2));
    assert_eq!(
        (policy.segment.length, policy.segment.minimum),
        (secs(600), secs(60))
    );
    assert_eq!(policy.large_files, large_files());
    assert_eq!(policy.report_every, Some(5));
    assert_eq!(policy.source, text);
    let (moderate, high) = (&policy.stages[1], &policy.stages[2]);
    assert_eq!(
        *moderate,
        Stage {
            level: Level::Moderate,
            enter: Thresholds {
                used: Some(Size::Percent(70.0)),
                children: Some(Size::Percent(60.0)),
                available: Some(Size::Bytes(4 << 30)),
                some_avg10: Some(20.0),
                full_avg10: Some(5.0),
                trigger: Some(Trigger {
                    full: false,
                    stall: Duration::from_millis(100),
                    window: secs(1),
                }),
                slice: Some(90.0),
            },
            workers: Share::Count(4),
            profile: Ceiling::Lower(1),
            batch: Share::Count(3),
            segment_percent: 50,
            relief: vec![
                ReliefKind::Command,
                ReliefKind::Freeze,
                ReliefKind::Reclaim,
                ReliefKind::Signal,
            ],
            verify: false,
            stop: false,
            after_relief: None,
            say: Say::Info,
        }
    );
    assert_eq!(
        *high,
        Stage {
            level: Level::High,
            enter: Thresholds {
                used: Some(Size::Percent(90.0)),
                available: Some(Size::Bytes(2 << 30)),
                trigger: Some(Trigger {
                    full: true,
                    stall: Duration::from_millis(150),
                    window: secs(2),
                }),
                ..Thresholds::default()
            },
            workers: Share::Percent(0),
            // What is not said is as at the level before; what is done to running work is not.
            profile: Ceiling::Lower(1),
            batch: Share::Count(3),
            segment_percent: 50,
            relief: vec![ReliefKind::Reclaim],
            verify: true,
            stop: true,
            after_relief: Some(AfterRelief {
                workers: 2,
                even_above: Some(Size::Percent(88.0)),
            }),
            say: Say::Info,
        }
    );
}

/// The Montage document's.
pub(super) fn large_files() -> [LargeFile; 2] {
    [(500 << 20, "balanced", 30), (2 << 30, "low", 20)].map(|(above, profile, rank)| LargeFile {
        above,
        profile: Ceiling::AtMost {
            profile: profile.into(),
            rank,
        },
    })
}

#[test]
fn signals_have_names_with_and_without_sig_and_numbers() {
    for (text, number) in [("USR1", 10), ("SIGUSR1", 10), ("sigusr2", 12), ("hup", 1)] {
        let policy = parse(&format!(
            "name: mine\nrelief: {{signal: {text}}}\n{NORMAL}\n"
        ));
        #[cfg(target_os = "linux")]
        assert_eq!(policy.unwrap().relief.signal, Some(number), "{text}");
        #[cfg(not(target_os = "linux"))]
        assert!(policy.is_ok(), "{text} {number}");
    }
}

#[test]
fn one_end_of_a_range_moves_the_other_that_is_left_out() {
    let policy = parse(&format!(
        "name: mine\nsegment: {{length: 10s}}\nbatch: {{minimum: 20}}\nbackoff: {{first: 5m}}\n{NORMAL}\n"
    ))
    .unwrap();
    assert_eq!(policy.segment.minimum, Duration::from_secs(10));
    assert_eq!(policy.batch.maximum, 20);
    assert_eq!(policy.backoff.longest, Duration::from_secs(300));
}

#[test]
fn a_users_file_replaces_the_built_in_one_and_may_name_own_profiles() {
    let dir = tempfile::tempdir().unwrap();
    let config = |folder: &str, name: &str, text: &str| {
        let folder = dir.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), text).unwrap();
        folder
    };
    let own = config("profiles", "tiny.yaml", "name: tiny\nrank: 5\n");
    let profiles = Profiles::load(&[own]).unwrap();
    let mine = format!("name: workers\n{NORMAL}\n    profile: tiny\n");
    let dirs = [config("policies", "workers.yaml", &mine)];
    let policies = Policies::load(&dirs, &profiles).unwrap();
    let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "workers",
            "default",
            "concurrent-video",
            "chunked-audio",
            "circuit-breaker"
        ]
    );
    let workers = policies.resolve("workers", &profiles).unwrap();
    assert_eq!(
        workers.stages[0].profile,
        Ceiling::AtMost {
            profile: "tiny".into(),
            rank: 5
        }
    );
    let path = dirs[0].join("workers.yaml");
    let by_path = policies.resolve(path.to_str().unwrap(), &profiles).unwrap();
    assert_eq!(by_path, workers);

    let error = policies.resolve("defualt", &profiles).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no policy `defualt` (did you mean `default`?); known are workers, default, concurrent-video, \
         chunked-audio, circuit-breaker"
    );
    std::fs::rename(&path, dirs[0].join("other.yaml")).unwrap();
    let error = Policies::load(&dirs, &profiles).unwrap_err().to_string();
    assert!(
        error.ends_with("other.yaml: name: the policy is called `workers`, its file is not; call the file workers.yaml or change the name"),
        "{error}"
    );
    let error = policies.resolve("./missing.yaml", &profiles).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot read ./missing.yaml:"),
        "{error}"
    );
}
