//! The prefix is as transparent as nice(1): streams, exit codes, death by signal, words of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use support::{ffwarden, reported};

#[test]
fn streams_are_the_childs_byte_for_byte() {
    let bytes: Vec<u8> = (0..=255u8).cycle().take(3_000_000).collect();
    let ran = ffwarden(["-q", "run", "--", "cat"])
        .stdin(bytes.clone())
        .run()
        .succeeded();
    assert_eq!(ran.stdout, bytes);
    assert_eq!(ran.stderr, "");
}

#[test]
fn stdout_is_never_ours_and_our_words_have_our_name() {
    let ran = ffwarden(["-v", "run", "--", "sh", "-c", "echo out; echo err >&2"])
        .run()
        .succeeded();
    assert_eq!(ran.stdout(), "out\n");
    let (ours, theirs): (Vec<_>, Vec<_>) = ran
        .stderr
        .lines()
        .partition(|line| line.starts_with("ffwarden: "));
    assert_eq!(theirs, ["err"]);
    assert!(!ours.is_empty());
}

#[test]
fn exit_codes_are_the_childs() {
    for code in [0, 1, 2, 123, 255] {
        let ran = ffwarden(["run", "--", "sh", "-c", &format!("exit {code}")]).run();
        assert_eq!((ran.code(), ran.stderr.as_str()), (Some(code), ""));
    }
}

#[test]
fn a_child_that_dies_by_a_signal_takes_us_the_same_way() {
    for signal in [6, 9, 11, 15] {
        let ran = ffwarden(["-q", "run", "--", "sh", "-c", &format!("kill -{signal} $$")]).run();
        assert_eq!((ran.signal(), ran.stderr.as_str()), (Some(signal), ""));
    }
}

#[test]
fn own_failures_have_the_codes_of_env() {
    let missing = ffwarden(["run", "--", "no-such-command-at-all"]).run();
    assert_eq!(missing.code(), Some(127));
    assert_eq!(
        missing.stderr,
        "ffwarden: no-such-command-at-all: command not found\n"
    );
    let plain = ffwarden(["run", "--", "/etc/passwd"]).run();
    assert_eq!(plain.code(), Some(126));
    assert!(
        plain
            .stderr
            .starts_with("ffwarden: cannot run /etc/passwd: Permission denied"),
        "{}",
        plain.stderr
    );
    assert_eq!(
        ffwarden(["--no-such-option", "run", "true"]).run().code(),
        Some(125)
    );
    assert_eq!(
        ffwarden(["-m", "lots", "run", "true"]).run().code(),
        Some(125)
    );
    // Also where no profile would be applied: it was meant to be.
    let unknown = ffwarden(["-p", "lwo", "run", "true"]).run();
    assert_eq!(unknown.code(), Some(125));
    assert!(unknown.stderr.contains("`low`"), "{}", unknown.stderr);
    assert_eq!(
        ffwarden(["--timeout", "0.2", "run", "sleep", "30"])
            .run()
            .code(),
        Some(124)
    );
}

#[test]
fn words_reach_the_child_as_they_were_typed() {
    let odd = OsStr::from_bytes(b"a 'b\" \n$(c) \xff%d -x");
    let words = [
        OsStr::new("run"),
        OsStr::new("--"),
        OsStr::new("printf"),
        OsStr::new("%s"),
        odd,
    ];
    let ran = ffwarden(words).run().succeeded();
    assert_eq!(ran.stdout, odd.as_bytes());
}

#[test]
fn the_environment_and_the_working_directory_are_the_childs() {
    let dir = tempfile::tempdir().unwrap();
    let ran = ffwarden(["run", "--", "sh", "-c", "echo $GREETING; pwd -P"])
        .env("GREETING", "hello")
        .dir(dir.path());
    let expected = format!("hello\n{}\n", dir.path().canonicalize().unwrap().display());
    assert_eq!(ran.run().succeeded().stdout(), expected);
}

#[test]
fn a_writer_into_a_closed_stdin_is_told_at_once() {
    // The child closes its stdin and goes on: whoever writes to us must get SIGPIPE as without the prefix.
    let bin = env!("CARGO_BIN_EXE_ffwarden");
    let script =
        format!("set -o pipefail; yes | {bin} -q run -- sh -c 'exec <&-; sleep 1; echo done'");
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .env("FFWARDEN_CONTAINMENT", "rlimit")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
    assert_eq!(output.status.code(), Some(141), "yes died of SIGPIPE");
}

#[test]
fn signals_that_were_ignored_stay_ignored() {
    // nohup's way; the child's SigIgn mask has SIGHUP (bit 0) set.
    let script = format!(
        "trap '' HUP; {} -q run -- grep SigIgn /proc/self/status",
        env!("CARGO_BIN_EXE_ffwarden")
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mask = u64::from_str_radix(text.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(mask & 1, 1, "{text}");
}

#[test]
fn a_child_inherits_no_descriptor_of_ours() {
    let list = ["sh", "-c", "ls /proc/$$/fd"];
    let plain = std::process::Command::new(list[0])
        .args(&list[1..])
        .output()
        .unwrap();
    let ran = ffwarden(["-q", "run", "--"].into_iter().chain(list))
        .run()
        .succeeded();
    assert_eq!(ran.stdout(), String::from_utf8_lossy(&plain.stdout));
}

#[test]
fn the_report_tells_what_happened() {
    let ran = reported(["-m", "1G", "run", "--", "sh", "-c", "exit 3"]).run();
    assert_eq!(ran.code(), Some(3));
    assert_eq!(ran.report["containment"]["kind"], "rlimit");
    assert_eq!(ran.report["exit_code"], 3);
    let attempt = ran.attempt(0);
    assert_eq!(
        (&attempt["outcome"], &attempt["exit_code"]),
        (&"exited".into(), &3.into())
    );
    assert_eq!(attempt["argv"], serde_json::json!(["sh", "-c", "exit 3"]));
    assert_eq!(attempt["limit_bytes"], 1u64 << 30);
    assert!(attempt["peak_bytes"].as_u64().unwrap() > 100_000);
    assert!(attempt["wall_seconds"].as_f64().unwrap() > 0.0);
}
