//! Memory back on demand, and the truth about whether it came.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use support::{ffwarden, hog};

/// A policy with this relief command.
fn policy(dir: &std::path::Path, command: &str, helped: u32) -> String {
    let file = dir.join("policy.yaml");
    let text = format!(
        "name: policy\nsummary: a command\nrelief: {{command: {command}, timeout: 1s, helped: {helped}}}\n\
         levels:\n  - level: normal\n  - level: critical\n    enter: {{used: 99%}}\n    relief: [command]\n"
    );
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn a_command_that_gives_memory_back_is_success() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Command::new(hog())
        .args(["--touch", "1500M", "--hold", "60s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(model.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let script = dir.path().join("un load");
    std::fs::write(&script, format!("kill {}\n", model.id())).unwrap();
    let command = format!("[sh, '{}']", script.display());
    let ran = ffwarden(["relief", "--policy", &policy(dir.path(), &command, 1)]).run();
    model.wait().unwrap();
    assert_eq!(ran.code(), Some(0), "{}\n{}", ran.stdout(), ran.stderr);
    assert!(ran.stdout().starts_with("command sh: "), "{}", ran.stdout());
    assert!(
        ran.stdout().contains(" available before, "),
        "{}",
        ran.stdout()
    );
}

#[test]
fn a_command_that_gives_nothing_back_is_1() {
    let dir = tempfile::tempdir().unwrap();
    let ran = ffwarden(["relief", "--policy", &policy(dir.path(), "['true']", 100)]).run();
    assert_eq!(ran.code(), Some(1), "{}\n{}", ran.stdout(), ran.stderr);
}

#[test]
fn a_command_that_hangs_is_ended_at_its_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let ran = ffwarden([
        "relief",
        "--policy",
        &policy(dir.path(), "[sleep, '60']", 100),
    ])
    .run();
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("sleep was killed after 1 s"),
        "{}",
        ran.stderr
    );
}

#[test]
fn with_nothing_to_do_it_says_so() {
    let ran = ffwarden(["relief"]).run();
    assert_eq!(ran.code(), Some(1));
    assert!(ran.stderr.contains("nothing to do"), "{}", ran.stderr);
    assert_eq!(ran.stdout(), "");
}
