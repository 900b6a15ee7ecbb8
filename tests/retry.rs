//! Out of memory by its own limit: the next attempt is lighter, until one works or nothing is left. With real
//! encodes, on the fallback path.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use support::{ffmpeg, ffprobe, names, reported};

const MIB: u64 = 1 << 20;

/// 720p, long enough to fill every lookahead.
fn clip() -> &'static Path {
    support::clip("1280x720", "4", false)
}

fn encode(options: &[&str], rest: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = options.iter().map(|word| (*word).to_owned()).collect();
    words.extend(["ffmpeg", "-loglevel", "error", "-i"].map(str::to_owned));
    words.push(clip().display().to_string());
    words.extend(rest.iter().map(|word| (*word).to_owned()));
    words
}

fn outcomes(ran: &support::Ran) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    let attempts = ran.report["attempts"].as_array().unwrap();
    attempts
        .iter()
        .map(|attempt| (text(&attempt["profile"]), text(&attempt["outcome"])))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(profile, outcome)| ((*profile).to_owned(), (*outcome).to_owned()))
        .collect()
}

#[test]
fn the_next_attempt_is_lighter_until_one_works() {
    let dir = tempfile::tempdir().unwrap();
    // 720p needs some 260 MiB as medium on two threads, 160 as veryfast, 85 as ultrafast on one.
    let ran = reported(encode(
        &["-p", "low", "-m", "130M"],
        &["-c:v", "libx264", "out.mp4"],
    ))
    .dir(dir.path())
    .run();
    assert_eq!(
        outcomes(&ran),
        pairs(&[("low", "oom"), ("minimal", "exited")]),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.code(), Some(0));
    assert_eq!(names(dir.path()), ["out.mp4"]);
    assert_eq!(
        ffprobe("stream=nb_read_packets", &dir.path().join("out.mp4")),
        "100"
    );
    let (first, second) = (ran.attempt(0), ran.attempt(1));
    assert!(first["peak_bytes"].as_u64().unwrap() > 130 * MIB);
    assert!(second["peak_bytes"].as_u64().unwrap() <= 130 * MIB);
    let text = second["argv"].to_string();
    assert!(text.contains("ultrafast"), "{text}");
    assert!(
        ran.stderr
            .contains("stopped at its own memory limit of 130 MiB")
            && ran.stderr.contains("trying again with profile minimal"),
        "{}",
        ran.stderr
    );
}

#[test]
fn nothing_left_is_125_with_what_was_needed_and_what_there_was() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("out.mp4"), "precious").unwrap();
    let ran = reported(encode(
        &["-p", "low", "-m", "60M"],
        &["-c:v", "libx264", "-y", "out.mp4"],
    ))
    .dir(dir.path())
    .run();
    assert_eq!(ran.code(), Some(125));
    assert_eq!(
        outcomes(&ran),
        pairs(&[("low", "oom"), ("minimal", "oom")]),
        "{}",
        ran.stderr
    );
    assert_eq!(
        std::fs::read(dir.path().join("out.mp4")).unwrap(),
        b"precious"
    );
    assert_eq!(names(dir.path()), ["out.mp4"]);
    let last = ran.stderr.lines().last().unwrap();
    assert!(
        last.contains("nothing lighter is left to try")
            && last.contains("It needs more than 60 MiB"),
        "{last}"
    );
    assert_eq!(ran.report["outputs"][0]["complete"], false);
}

#[test]
fn retries_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let ran = reported(encode(
        &["-p", "low", "-m", "60M", "--retries", "0"],
        &["-c:v", "libx264", "out.mp4"],
    ))
    .dir(dir.path())
    .run();
    assert_eq!((ran.code(), ran.attempts()), (Some(125), 1));
    assert!(ran.stderr.contains("no retries are left"), "{}", ran.stderr);
}

#[test]
fn what_goes_through_a_pipe_is_run_once() {
    let bytes = std::fs::read(clip()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let transport = dir.path().join("in.ts");
    ffmpeg(
        &["-i", clip().to_str().unwrap(), "-c", "copy", "in.ts"],
        dir.path(),
    );
    let input = std::fs::read(&transport).unwrap();
    assert!(!bytes.is_empty());
    let from_pipe = [
        "-p",
        "low",
        "-m",
        "80M",
        "ffmpeg",
        "-loglevel",
        "error",
        "-i",
        "pipe:0",
        "-c:v",
        "libx264",
    ];
    let ran = reported([&from_pipe[..], &["out.mp4"]].concat())
        .dir(dir.path())
        .stdin(input)
        .run();
    assert_eq!(
        (ran.code(), ran.attempts()),
        (Some(125), 1),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("its input or output is a pipe"),
        "{}",
        ran.stderr
    );
    let to_pipe = encode(
        &["-p", "low", "-m", "80M"],
        &["-c:v", "libx264", "-f", "mpegts", "-"],
    );
    let ran = reported(to_pipe).dir(dir.path()).run();
    assert_eq!(
        (ran.code(), ran.attempts()),
        (Some(125), 1),
        "{}",
        ran.stderr
    );
}

#[test]
fn auto_takes_the_highest_profile_that_fits() {
    let dir = tempfile::tempdir().unwrap();
    let profile_at = |memory: &str| {
        let ran = reported(encode(
            &["-m", memory],
            &["-c:v", "libx264", "-y", "out.mp4"],
        ))
        .dir(dir.path())
        .run();
        assert_eq!(
            (ran.code(), ran.attempts()),
            (Some(0), 1),
            "{memory}: {}",
            ran.stderr
        );
        let (estimate, peak) = (
            &ran.attempt(0)["estimate_bytes"],
            &ran.attempt(0)["peak_bytes"],
        );
        let ratio = estimate.as_f64().unwrap() / peak.as_f64().unwrap();
        assert!(
            (0.95..1.6).contains(&ratio),
            "{memory}: estimate {estimate}, peak {peak}"
        );
        ran.attempt(0)["profile"].as_str().unwrap().to_owned()
    };
    assert_eq!(profile_at("4G"), "high");
    assert_eq!(profile_at("190M"), "low");
    assert_eq!(profile_at("120M"), "minimal");
}

#[test]
fn a_failure_that_is_not_memory_is_not_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let ran = reported(encode(
        &["-p", "low"],
        &["-c:v", "libx264", "-vf", "nosuchfilter", "out.mp4"],
    ))
    .dir(dir.path())
    .run();
    assert_eq!((ran.code(), ran.attempts()), (Some(1), 1));
}

#[test]
fn no_rewrite_runs_what_was_typed() {
    let dir = tempfile::tempdir().unwrap();
    let ran = reported(encode(
        &["--no-rewrite"],
        &["-c:v", "libx264", "-preset", "ultrafast", "-f", "null", "-"],
    ))
    .dir(dir.path())
    .run()
    .succeeded();
    let argv = ran.attempt(0)["argv"].as_array().unwrap().clone();
    let expected = encode(
        &[],
        &["-c:v", "libx264", "-preset", "ultrafast", "-f", "null", "-"],
    );
    assert_eq!(
        argv,
        expected
            .iter()
            .map(|word| serde_json::json!(word))
            .collect::<Vec<_>>()
    );
    assert!(ran.attempt(0)["profile"].is_null());
}

#[test]
fn ffmpeg_that_makes_no_progress_is_stalled() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("never.ts");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Open for writing, so that FFmpeg's open succeeds, and never written to.
    let _writer = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    let ran = reported([
        "--stall-timeout",
        "1",
        "ffmpeg",
        "-loglevel",
        "error",
        "-i",
        "never.ts",
        "-c",
        "copy",
        "o.ts",
    ])
    .dir(dir.path())
    .run();
    assert_eq!(
        (ran.code(), &ran.attempt(0)["outcome"]),
        (Some(124), &"stalled".into()),
        "{}",
        ran.stderr
    );
    // Read at the speed of the film: it takes longer than the timeout, and never stands still.
    let mut slow = encode(
        &["--stall-timeout", "2"],
        &["-c", "copy", "-f", "null", "-"],
    );
    let input = slow.iter().position(|word| word == "-i").unwrap();
    slow.insert(input, "-re".to_owned());
    let ran = reported(slow).dir(dir.path()).run().succeeded();
    assert!(
        ran.attempt(0)["wall_seconds"].as_f64().unwrap() > 2.5,
        "{}",
        ran.report
    );
}
