//! Rewritten commands, run by FFmpeg itself; and what holds for any command.

use proptest::prelude::*;

use super::tests::{command, shipped};
use super::*;

/// Runs the command as each profile rewrites it and returns the settings x264 wrote into its stream.
fn x264_settings(profile: &str, options: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let line =
        format!("ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=320x240:d=0.2 {options} o.h264");
    let argv = rewrite(&command(&line), &shipped(profile), 8)
        .command
        .to_argv();
    let output = std::process::Command::new(&argv[0])
        .args(&argv[1..])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{argv:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let stream = std::fs::read(dir.path().join("o.h264")).unwrap();
    let text = String::from_utf8_lossy(&stream);
    let settings = text
        .split_once(" - options: ")
        .unwrap()
        .1
        .split('\0')
        .next()
        .unwrap();
    settings.split(' ').map(str::to_owned).collect()
}

#[test]
fn x264_reports_the_settings_that_were_meant() {
    let heavy = "-preset slow -threads 6 -x264-params rc-lookahead=60:keyint=99";
    for (profile, options, expected) in [
        (
            "minimal",
            "",
            &["threads=1", "ref=1", "bframes=0", "mbtree=0", "crf=23.0"][..],
        ),
        (
            "minimal",
            heavy,
            &["threads=1", "ref=1", "bframes=0", "keyint=99", "crf=23.0"],
        ),
        (
            "low",
            "-crf 30",
            &[
                "threads=2",
                "ref=1",
                "bframes=3",
                "rc_lookahead=10",
                "crf=30.0",
            ],
        ),
        (
            "low",
            heavy,
            &["threads=2", "ref=1", "rc_lookahead=10", "keyint=99"],
        ),
        (
            "low",
            "-refs 8 -bf 6 -vf scale=160:120",
            &["threads=2", "ref=1", "bframes=3", "rc_lookahead=10"],
        ),
        (
            "balanced",
            heavy,
            &["threads=4", "ref=5", "rc_lookahead=60", "keyint=99"],
        ),
        (
            "balanced",
            "-vcodec libx264 -b:v 300k",
            &["threads=4", "rc_lookahead=20", "bitrate=300"],
        ),
        ("high", heavy, &["threads=6", "ref=5", "rc_lookahead=60"]),
    ] {
        let settings = x264_settings(profile, options);
        for wanted in expected {
            let settings = settings.iter().map(String::as_str);
            assert!(
                settings.clone().any(|is| is == *wanted),
                "{profile}: {options}: {wanted}: {:?}",
                settings.collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn x265_accepts_what_each_profile_asks_of_it() {
    for profile in ["minimal", "low", "balanced", "high"] {
        for options in [
            "",
            "-preset slow -x265-params bframes=5",
            "-bf 7",
            "-tune zerolatency",
            "-preset 2 -threads 6",
        ] {
            let line = format!(
                "ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=320x240:d=0.2 -c:v libx265 {options} -f null -"
            );
            let argv = rewrite(&command(&line), &shipped(profile), 8)
                .command
                .to_argv();
            let output = std::process::Command::new(&argv[0])
                .args(&argv[1..])
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && !stderr.contains("[error]"),
                "{argv:?}: {stderr}"
            );
        }
    }
}

fn options() -> impl Strategy<Value = String> {
    let words = [
        "-c:v libx264",
        "-c:v libx265",
        "-vcodec mpeg4",
        "-c copy",
        "-c:v:1 libx265",
        "-c:a aac",
        "-vn",
        "-an",
        "-preset slow",
        "-preset:v:0 fast",
        "-threads 8",
        "-threads:v 1",
        "-crf 20",
        "-b:v 1M",
        "-vf null",
        "-map 0",
        "-x264-params ref=9:rc-lookahead=50",
        "-x265-params bframes=9:pools=9",
        "-x264opts ref=4",
        "-bf 3",
        "-tune film",
        "-pass 2",
        "-y",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..6)
        .prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn a_second_rewrite_changes_nothing_and_nothing_is_lost(first in options(), second in options()) {
        let line = format!("ffmpeg -i a {first} o.mp4 {second} p.mkv");
        let before = command(&line);
        for name in ["minimal", "low", "balanced", "high"] {
            let profile = shipped(name);
            let once = rewrite(&before, &profile, 8);
            let twice = rewrite(&once.command, &profile, 8);
            prop_assert_eq!(&twice.command, &once.command, "{}: {:?}", name, twice.changes);
            prop_assert_eq!(twice.changes, []);
            // Every option of the user is still there, in its order, perhaps with another value.
            for (old, new) in before.groups.iter().zip(&once.command.groups) {
                let mut names = new.options.iter().map(|opt| &opt.name);
                for opt in &old.options {
                    prop_assert!(names.any(|name| *name == opt.name), "{}: {:?} is gone", name, opt);
                }
            }
            // A change is told if and only if there is one.
            prop_assert_eq!(once.changes.is_empty(), once.command == before);
        }
    }

    #[test]
    fn a_lighter_profile_never_asks_for_more_threads(options in options()) {
        let line = format!("ffmpeg -i a {options} o.mp4");
        let before = command(&line);
        let count = |name: &str| {
            let after = rewrite(&before, &shipped(name), 8).command;
            let output = after.outputs().next().unwrap();
            let value = output.option_for("threads", options::StreamKind::Video);
            value.map_or(u32::MAX, |value| value.to_str().unwrap().parse().unwrap())
        };
        prop_assert!(count("minimal") <= count("low"));
        prop_assert!(count("low") <= count("balanced"));
        prop_assert!(count("balanced") <= count("high"));
    }
}
