//! The fallback's memory limit: the tree is watched, and what asks for more is stopped for a reason that is known.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use support::{ffwarden, hog, processes, reported, unique};

const MIB: u64 = 1 << 20;

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

fn with_hog(options: &[&str], hog_args: &[&str]) -> Vec<String> {
    let mut all = words(options);
    all.extend([
        "run".to_owned(),
        "--".to_owned(),
        hog().display().to_string(),
    ]);
    all.extend(words(hog_args));
    all
}

#[test]
fn a_child_over_its_limit_is_stopped_and_the_reason_is_one_sentence() {
    let ran = reported(with_hog(
        &["-m", "200M"],
        &["--touch", "2G", "--step", "4M", "--delay", "5ms"],
    ))
    .run();
    assert_eq!(ran.code(), Some(125));
    let attempt = ran.attempt(0);
    assert_eq!(attempt["outcome"], "oom");
    let peak = attempt["peak_bytes"].as_u64().unwrap();
    // 5 ms between looks near the limit: some steps of 4 MiB over it at the most, on a busy machine.
    assert!((200 * MIB..300 * MIB).contains(&peak), "{peak}");
    assert_eq!(ran.attempts(), 1, "an unknown command has nothing lighter");
    assert!(
        ran.stderr
            .starts_with("ffwarden: stopped at its own memory limit of 200 MiB (peak 2"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("nothing lighter is left to try"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[test]
fn a_hog_at_full_speed_is_stopped_too() {
    let ran = reported(with_hog(
        &["-m", "300M"],
        &["--touch", "8G", "--step", "64M"],
    ))
    .run();
    assert_ne!(ran.code(), Some(0));
    let peak = ran.attempt(0)["peak_bytes"].as_u64().unwrap();
    assert!(
        peak < 1024 * MIB,
        "{peak}: the backstop or the watch holds it"
    );
}

#[test]
fn the_limit_counts_the_whole_tree() {
    // Four times 80 MiB: none is over the limit alone.
    let args = [
        "--fork", "4", "--touch", "80M", "--step", "4M", "--delay", "10ms", "--hold", "20s",
    ];
    let ran = reported(with_hog(&["-m", "250M"], &args)).run();
    assert_eq!(ran.attempt(0)["outcome"], "oom", "{}", ran.report);
}

#[test]
fn a_daemon_that_left_its_parents_is_counted_and_ended() {
    let tag = unique("daemon");
    let script = format!(
        "{} --daemonize --touch 2G --step 4M --delay 10ms & : {tag}; while :; do sleep 0.1; done",
        hog().display()
    );
    let ran = reported(["-m", "200M", "run", "--", "sh", "-c", &script]).run();
    assert_eq!(ran.attempt(0)["outcome"], "oom", "{}", ran.report);
    assert_eq!(processes(&[&tag]), [0i32; 0]);
}

#[test]
fn shared_libraries_and_buffers_are_counted_once() {
    // Five processes that share what they share: far below the limit although the sum of their RSS is not.
    let ran = reported(with_hog(
        &["-m", "64M"],
        &["--fork", "5", "--touch", "1M", "--hold", "1s"],
    ))
    .run();
    assert_eq!(ran.attempt(0)["outcome"], "exited", "{}", ran.report);
}

#[test]
fn what_stays_below_its_limit_is_left_alone() {
    let ran = reported(with_hog(
        &["-m", "200M"],
        &["--touch", "120M", "--hold", "300ms", "--then", "exit:9"],
    ))
    .run();
    assert_eq!(ran.code(), Some(9));
    let peak = ran.attempt(0)["peak_bytes"].as_u64().unwrap();
    assert!((120 * MIB..150 * MIB).contains(&peak), "{peak}");
}

#[test]
fn a_kill_from_elsewhere_is_not_taken_for_ours() {
    let ran = reported(with_hog(
        &["-m", "500M"],
        &["--touch", "20M", "--then", "signal:KILL"],
    ))
    .run();
    assert_eq!((ran.signal(), ran.attempts()), (Some(9), 1));
    assert_eq!(ran.attempt(0)["outcome"], "signaled");
    assert_eq!(ran.attempt(0)["signal"], 9);
}

#[test]
fn a_timeout_ends_even_a_child_that_ignores_term() {
    let tag = unique("late");
    let script = format!("trap '' TERM; : {tag}; while :; do sleep 0.1; done");
    let ran = reported(["--timeout", "0.3", "run", "--", "sh", "-c", &script]).run();
    assert_eq!(ran.code(), Some(124));
    assert_eq!(ran.attempt(0)["outcome"], "timeout");
    assert_eq!(processes(&[&tag]), [0i32; 0]);
}

#[test]
fn no_progress_for_the_stall_timeout_ends_it() {
    let ran = reported(["--stall-timeout", "0.5", "run", "--", "sleep", "60"]).run();
    assert_eq!(
        (ran.code(), &ran.attempt(0)["outcome"]),
        (Some(124), &"stalled".into())
    );
    let busy = "for i in 1 2 3 4 5 6 7 8; do echo line; sleep 0.2; done";
    let ran = reported(["--stall-timeout", "0.8", "run", "--", "sh", "-c", busy]).run();
    assert_eq!(ran.code(), Some(0), "{}", ran.stderr);
}

#[test]
fn a_share_of_the_machine_is_a_limit_too() {
    let ran = ffwarden(["-m", "0%", "run", "true"]).run();
    assert_eq!(ran.code(), Some(125));
    let ran = reported(["-m", "10%", "run", "true"]).run().succeeded();
    let meminfo = <procfs::Meminfo as procfs::Current>::current().unwrap();
    let limit = ran.attempt(0)["limit_bytes"].as_u64().unwrap();
    assert!(
        limit <= meminfo.mem_total / 10 && limit > meminfo.mem_total / 20,
        "{limit}"
    );
}
