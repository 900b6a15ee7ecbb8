//! A batch's record, played again: the same events give the same decisions.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;

use support::{Ran, ffwarden, hog};

fn replayed(dir: &Path, options: &[&str]) -> Ran {
    ffwarden(
        ["simulate", "--replay", "night.jsonl"]
            .iter()
            .chain(options),
    )
    .dir(dir)
    .run()
}

/// One job succeeds, one fails, one meets its own limit.
fn recorded(dir: &Path) -> String {
    let hog = hog().to_str().unwrap().to_owned();
    let words = [
        "-v",
        "batch",
        "--again",
        "--record",
        "night.jsonl",
        "--memory-limit",
        "80M",
        "--retries",
        "1",
        "10M",
        "20X",
        "300M",
        "--",
        &hog,
        "--touch",
        "{}",
        "--hold",
        "200ms",
    ];
    let ran = ffwarden(words).dir(dir).env("XDG_STATE_HOME", dir).run();
    assert_eq!(ran.code(), Some(2), "{}", ran.stderr);
    ran.stderr
}

#[test]
fn the_same_events_give_the_same_decisions() {
    let root = tempfile::tempdir().unwrap();
    let said = recorded(root.path());
    let again = replayed(root.path(), &[]).succeeded().stdout();
    let decisions: Vec<&str> = again
        .lines()
        .map(|line| line.split_once(" s  ").unwrap().1)
        .collect();
    assert!(
        decisions
            .iter()
            .any(|decision| decision.contains("failed for memory")),
        "{again}"
    );
    assert!(
        decisions
            .iter()
            .filter(|decision| decision.contains(" starts on plan "))
            .count()
            >= 3,
        "{again}"
    );
    // All of them were made that night, in that order.
    let mut lines = said.lines();
    for decision in decisions {
        assert!(
            lines.any(|line| line.ends_with(decision)),
            "`{decision}` is not in order in\n{said}"
        );
    }
}

#[test]
fn another_policy_decides_otherwise() {
    let root = tempfile::tempdir().unwrap();
    recorded(root.path());
    let policy = "name: shut\nlevels:\n- level: normal\n- {level: critical, enter: {used: 1M}, workers: 0}\n";
    fs::write(root.path().join("shut.yaml"), policy).unwrap();
    let again = replayed(root.path(), &["--policy", "shut.yaml", "--json"])
        .succeeded()
        .stdout();
    let first: serde_json::Value = serde_json::from_str(again.lines().next().unwrap()).unwrap();
    assert_eq!(first["decision"]["decision"], "level", "{again}");
    assert!(!again.contains("\"start\""), "{again}");
}

#[test]
fn a_record_that_was_cut_short_is_played_as_far_as_it_goes_and_a_wrong_one_is_told() {
    let root = tempfile::tempdir().unwrap();
    recorded(root.path());
    let file = root.path().join("night.jsonl");
    let whole = fs::read(&file).unwrap();
    let all = replayed(root.path(), &[]).succeeded().stdout();
    fs::write(&file, &whole[..whole.len() - 20]).unwrap();
    let cut = replayed(root.path(), &[]).succeeded().stdout();
    assert!(all.starts_with(&cut) && !cut.is_empty());

    let lines: Vec<&str> = std::str::from_utf8(&whole).unwrap().lines().collect();
    fs::write(&file, [lines[0], "{\"at\": 3}", lines[2]].join("\n")).unwrap();
    let ran = replayed(root.path(), &[]);
    assert_eq!(ran.code(), Some(125));
    assert!(ran.stderr.contains("night.jsonl:2: "), "{}", ran.stderr);
}
