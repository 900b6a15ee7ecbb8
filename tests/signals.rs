//! Signals reach the child, once, and do to it what they would do without the prefix.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use support::{eventually, ffwarden, processes, state, unique};

#[test]
fn signals_sent_to_the_prefix_reach_the_child() {
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
    ] {
        let tag = unique("sig");
        let name = signal.as_str().trim_start_matches("SIG");
        let dir = tempfile::tempdir().unwrap();
        let ready = dir.path().join("ready");
        let script = format!(
            "trap 'exit 42' {name}; : {tag}; touch {}; while :; do sleep 0.05; done",
            ready.display()
        );
        let run = ffwarden(["-q", "run", "--", "sh", "-c", &script]).start();
        eventually("the child has set its trap", || ready.exists());
        run.signal(signal);
        assert_eq!(run.end().0.code(), Some(42), "{signal}");
        assert_eq!(processes(&[&tag]), [0i32; 0]);
    }
}

#[test]
fn death_by_a_signal_that_was_handed_on_is_ours_too() {
    let tag = unique("term");
    let run = ffwarden(["run", "--", "sh", "-c", &format!(": {tag}; exec sleep 60")]).start();
    eventually("the child runs", || {
        !processes(&["sleep", "60"]).is_empty() && processes(&[&tag]).len() == 2
    });
    run.signal(Signal::SIGTERM);
    assert_eq!(run.end().0.signal(), Some(15));
}

#[test]
fn a_signal_to_the_whole_group_is_handed_on_once() {
    let tag = unique("group");
    let dir = tempfile::tempdir().unwrap();
    let count = dir.path().join("count");
    // A shell runs a trap once per signal that it received one after the other.
    let script = format!(
        ": {tag}; trap 'echo x >>{0}' INT; trap 'exit 0' TERM; while :; do sleep 0.02; done",
        count.display()
    );
    let run = ffwarden(["-q", "run", "--", "sh", "-c", &script]).start();
    eventually("the child runs", || processes(&[&tag]).len() == 3);
    std::thread::sleep(std::time::Duration::from_millis(100));
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(run.pid()), Signal::SIGINT).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    run.signal(Signal::SIGTERM);
    assert_eq!(run.end().0.code(), Some(0));
    let times = std::fs::read_to_string(&count).unwrap().lines().count();
    assert!((1..=2).contains(&times), "{times} times");
}

#[test]
fn a_second_interrupt_ends_a_child_that_ignores_the_first() {
    let tag = unique("deaf");
    let script = format!(": {tag}; trap '' INT; while :; do sleep 0.05; done");
    let run = ffwarden(["-q", "run", "--", "sh", "-c", &script]).start();
    eventually("the child runs", || processes(&[&tag]).len() == 3);
    run.signal(Signal::SIGINT);
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert_eq!(
        processes(&[&tag]).len(),
        3,
        "one interrupt is the child's to ignore"
    );
    run.signal(Signal::SIGINT);
    assert_eq!(run.end().0.signal(), Some(9));
}

#[test]
fn stop_and_continue() {
    let tag = unique("stop");
    let run = ffwarden([
        "-q",
        "run",
        "--",
        "sh",
        "-c",
        &format!(": {tag}; while :; do sleep 0.05; done"),
    ])
    .start();
    eventually("the child runs", || processes(&[&tag]).len() == 3);
    run.signal(Signal::SIGTSTP);
    eventually("all of it is stopped", || {
        processes(&[&tag])
            .iter()
            .all(|pid| state(*pid) == Some('T'))
    });
    run.signal(Signal::SIGCONT);
    eventually("all of it goes on", || {
        processes(&[&tag])
            .iter()
            .all(|pid| state(*pid) != Some('T'))
    });
    run.signal(Signal::SIGTERM);
    assert_eq!(run.end().0.signal(), Some(15));
}

/// Whenever it comes: before the two processes are there, between them, or when the child runs.
#[test]
fn a_signal_at_any_moment_of_the_start_ends_all_of_it() {
    for wait in 0..60u64 {
        let tag = unique("early");
        let started = ffwarden(["run", "--", "sh", "-c", "sleep 300", &tag]).start();
        std::thread::sleep(std::time::Duration::from_micros(wait * 100));
        started.signal(Signal::SIGTERM);
        let (status, said) = started.end();
        assert_eq!(
            status.signal(),
            Some(libc::SIGTERM),
            "after {wait} x 0.1 ms: {said}"
        );
        eventually("nothing is left", || processes(&[&tag]).is_empty());
    }
}
