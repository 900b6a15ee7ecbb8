use std::path::Path;

use super::*;
use crate::config::profile::{Origin, Profiles};

pub(super) fn command(line: &str) -> Command {
    Command::parse(
        &line
            .split_whitespace()
            .map(OsString::from)
            .collect::<Vec<_>>(),
    )
    .unwrap()
}

fn apply(profile: &Profile, line: &str) -> String {
    let words = rewrite(&command(line), profile, 8).command.to_argv();
    words
        .iter()
        .map(|word| word.to_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}

pub(super) fn shipped(name: &str) -> Profile {
    Profiles::load::<&Path>(&[])
        .unwrap()
        .get(name)
        .unwrap()
        .clone()
}

fn with(name: &str, line: &str) -> String {
    apply(&shipped(name), line)
}

fn custom(yaml: &str) -> Profile {
    Profile::parse(&format!("name: mine\nrank: 5\n{yaml}"), Origin::BuiltIn).unwrap()
}

/// The options of the output, in the order FFmpeg will read them.
fn output_options(name: &str, options: &str) -> String {
    let line = with(name, &format!("ffmpeg -i a {options} o.mkv"));
    line.split_once(" -i a ")
        .unwrap()
        .1
        .trim_end_matches(" o.mkv")
        .to_owned()
}

// The first five defects below were found in another program that rewrites FFmpeg commands by editing text.

#[test]
fn defect_1_codecs_quality_and_copies_survive() {
    for line in [
        "ffmpeg -i input.mp4 -c:v libx264 -preset medium -crf 18 -c:a libopus output.mp4",
        "ffmpeg -i input.mp4 -c:v libx265 -crf 18 -pix_fmt yuv420p10le -c:a copy output.mkv",
        "ffmpeg -i input.mp4 -c:v copy -c:a aac output.mp4",
        "ffmpeg -i input.mp4 -map 0 -c copy output.mkv",
    ] {
        for name in ["minimal", "low", "balanced", "high"] {
            let rewritten = with(name, line);
            for word in line.split(' ').filter(|word| *word != "medium") {
                assert!(
                    rewritten.split(' ').any(|kept| kept == word),
                    "{name}: {word} is gone from {rewritten}"
                );
            }
        }
    }
    let copy = "ffmpeg -i input.mp4 -c:v copy -c:a copy output.mp4";
    assert_eq!(with("minimal", copy), copy);
}

#[test]
fn defect_2_decoder_options_stand_before_their_input() {
    assert_eq!(
        with("low", "ffmpeg -y -ss 5 -i a.mov -i b.mov -c:v mpeg4 o.avi"),
        "ffmpeg -y -threads 1 -ss 5 -i a.mov -threads 1 -i b.mov -threads:v 2 -c:v mpeg4 o.avi"
    );
}

#[test]
fn defect_3_nothing_is_added_behind_the_last_output() {
    for tail in ["-y", "-an", "-threads 9"] {
        let before = command(&format!("ffmpeg -i a -c:v libx264 o.mp4 {tail}"));
        let after = rewrite(&before, &shipped("minimal"), 8).command;
        assert_eq!(after.trailing, before.trailing);
        assert_eq!(
            after.outputs().next().unwrap().value("preset:v"),
            Some(OsStr::new("ultrafast"))
        );
    }
}

#[test]
fn defect_4_each_output_gets_its_own_and_aliases_are_known() {
    assert_eq!(
        with(
            "low",
            "ffmpeg -i a -vcodec libx264 -preset slow o.mp4 -c:v copy p.mp4 -vcodec mpeg4 q.avi"
        ),
        "ffmpeg -threads 1 -i a -threads:v 2 -vcodec libx264 -preset veryfast o.mp4 \
         -c:v copy p.mp4 -threads:v 2 -vcodec mpeg4 q.avi"
    );
}

#[test]
fn defect_5_no_shipped_profile_sets_rate_control() {
    for name in ["minimal", "low", "balanced", "high"] {
        let changes = rewrite(
            &command("ffmpeg -i a -c:v libx264 o.mp4"),
            &shipped(name),
            8,
        )
        .changes;
        for change in changes {
            let base = change
                .option
                .trim_start_matches('-')
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned();
            assert!(
                !crate::config::profile::RATE_OPTIONS.contains(&base.as_str()),
                "{name}: {change:?}"
            );
        }
    }
}

#[test]
fn an_open_preset_is_filled_in_and_a_lighter_one_kept() {
    assert_eq!(
        output_options("low", "-c:v libx264"),
        "-threads:v 2 -preset:v veryfast -c:v libx264"
    );
    assert_eq!(
        output_options("low", "-c:v libx264 -preset ultrafast"),
        "-threads:v 2 -c:v libx264 -preset ultrafast"
    );
    assert_eq!(
        output_options("low", "-c:v libx264 -preset 7"),
        "-threads:v 2 -c:v libx264 -preset veryfast"
    );
    assert_eq!(
        output_options("balanced", "-c:v libx264 -preset slow"),
        "-threads:v 4 -c:v libx264 -preset slow"
    );
    assert_eq!(
        output_options("high", "-c:v libx264"),
        "-threads:v 8 -c:v libx264"
    );
}

#[test]
fn threads_are_lowered_only_where_the_profile_may() {
    assert_eq!(
        output_options("balanced", "-c:v libx264 -preset fast -threads 16"),
        "-c:v libx264 -preset fast -threads 4"
    );
    assert_eq!(
        output_options("balanced", "-c:v libx264 -preset fast -threads 0"),
        "-c:v libx264 -preset fast -threads 4"
    );
    assert_eq!(
        output_options("balanced", "-c:v libx264 -preset fast -threads 2"),
        "-c:v libx264 -preset fast -threads 2"
    );
    assert_eq!(
        output_options("high", "-c:v libx264 -threads 16"),
        "-c:v libx264 -threads 16"
    );
    assert_eq!(
        output_options(
            "balanced",
            "-c:v libx264 -preset fast -x264-params threads=16"
        ),
        "-c:v libx264 -preset fast -x264-params threads=4"
    );
    assert_eq!(
        with("low", "ffmpeg -threads 8 -i a -c:a aac -vn o.m4a"),
        "ffmpeg -threads 1 -i a -c:a aac -vn o.m4a"
    );
}

#[test]
fn no_profile_uses_more_threads_than_there_are_processors_or_ffmpeg_would() {
    let argv = |cpus| {
        rewrite(
            &command("ffmpeg -i a -c:v mpeg4 o.avi"),
            &shipped("high"),
            cpus,
        )
        .command
    };
    assert_eq!(
        argv(2),
        command("ffmpeg -threads 2 -i a -threads:v 2 -c:v mpeg4 o.avi")
    );
    assert_eq!(
        argv(64),
        command("ffmpeg -threads 16 -i a -threads:v 16 -c:v mpeg4 o.avi")
    );
}

#[test]
fn parameters_of_the_user_are_merged_and_only_heavier_ones_lowered() {
    assert_eq!(
        output_options(
            "low",
            "-c:v libx264 -preset veryfast -x264-params rc_lookahead=60:ref=1:psy-rd=1.0"
        ),
        "-threads:v 2 -c:v libx264 -preset veryfast -x264-params rc_lookahead=10:ref=1:psy-rd=1.0"
    );
    assert_eq!(
        output_options(
            "low",
            "-c:v libx264 -x264opts rc-lookahead=60:keyint=50 -refs 5 -bf 2"
        ),
        "-threads:v 2 -preset:v veryfast -c:v libx264 -x264opts rc-lookahead=10:keyint=50 -refs 1 -bf 2"
    );
    // Nothing to add: veryfast is no heavier than what `low` asks for.
    assert_eq!(
        output_options("low", "-c:v libx264 -tune zerolatency"),
        "-threads:v 2 -preset:v veryfast -c:v libx264 -tune zerolatency"
    );
    assert_eq!(
        output_options("balanced", "-c:v libx264 -x264-params rc-lookahead=60"),
        "-threads:v 4 -c:v libx264 -x264-params rc-lookahead=60"
    );
}

#[test]
fn a_tune_that_adds_pictures_is_countered() {
    assert_eq!(
        output_options("minimal", "-c:v libx264 -tune animation"),
        "-threads:v 1 -preset:v ultrafast -x264-params:v bframes=0 -c:v libx264 -tune animation"
    );
}

#[test]
fn x265_gets_pools_and_frame_threads_in_place_of_threads() {
    assert_eq!(
        output_options("low", "-c:v libx265 -crf 20"),
        "-x265-params:v pools=2:frame-threads=1:bframes=2:rc-lookahead=8 -preset:v veryfast -c:v libx265 -crf 20"
    );
    assert_eq!(
        output_options("balanced", "-c:v libx265 -x265-params pools=16:crf=20"),
        "-c:v libx265 -x265-params pools=4:crf=20:frame-threads=2"
    );
    assert_eq!(
        output_options("balanced", "-c:v libx265 -threads 16"),
        "-x265-params:v pools=4 -c:v libx265 -threads 2"
    );
    assert_eq!(output_options("high", "-c:v libx265"), "-c:v libx265");
}

#[test]
fn x265_keeps_more_lookahead_than_b_frames() {
    let profile = custom("encoders:\n  libx265:\n    params: {rc-lookahead: 4}\n");
    assert_eq!(
        apply(&profile, "ffmpeg -i a -c:v libx265 -bf 8 o.mkv"),
        "ffmpeg -i a -x265-params:v rc-lookahead=9 -c:v libx265 -bf 8 o.mkv"
    );
    assert_eq!(
        apply(
            &profile,
            "ffmpeg -i a -c:v libx265 -x265-params bframes=0 o.mkv"
        ),
        "ffmpeg -i a -c:v libx265 -x265-params bframes=0:rc-lookahead=4 o.mkv"
    );
}

#[test]
fn an_output_without_a_codec_gets_what_its_default_encoder_takes() {
    let low = |file: &str| with("low", &format!("ffmpeg -i a {file}"));
    for file in ["o.mp4", "o.mkv", "-f matroska -"] {
        assert!(low(file).contains("-preset:v veryfast"), "{file}");
    }
    for file in ["o.ts", "o.flv", "o.webm", "o.wav", "-vn o.mp4"] {
        assert_eq!(low(file), format!("ffmpeg -threads 1 -i a {file}"));
    }
}

#[test]
fn video_streams_with_encoders_of_their_own_are_aimed_at() {
    assert_eq!(
        output_options(
            "low",
            "-map 0:v:0 -map 0:v:1 -c:v:0 libx264 -c:v:1 libx265 -preset:v:1 slow"
        ),
        "-x265-params:v:1 pools=2:frame-threads=1:bframes=2:rc-lookahead=8 \
         -threads:v:0 2 -preset:v:0 veryfast \
         -map 0:v:0 -map 0:v:1 -c:v:0 libx264 -c:v:1 libx265 -preset:v:1 veryfast"
    );
    // A picture of an album stays a copy.
    assert_eq!(
        output_options("low", "-c:v libx264 -c:v:1 copy"),
        "-threads:v 2 -preset:v veryfast -c:v libx264 -c:v:1 copy"
    );
}

#[test]
fn who_chose_a_preset_chose_what_it_implies() {
    assert_eq!(
        output_options("balanced", "-c:v libx264"),
        "-threads:v 4 -x264-params:v rc-lookahead=20 -c:v libx264"
    );
    assert_eq!(
        output_options("balanced", "-c:v libx264 -preset medium"),
        "-threads:v 4 -c:v libx264 -preset medium"
    );
}

#[test]
fn an_option_for_one_stream_stays_in_force() {
    assert_eq!(
        output_options("balanced", "-c:v libx264 -preset fast -threads:v:1 2"),
        "-threads:v 4 -c:v libx264 -preset fast -threads:v:1 2"
    );
}

#[test]
fn other_encoders_get_threads_and_hardware_ones_nothing() {
    assert_eq!(
        output_options("low", "-c:v libsvtav1 -preset 6"),
        "-threads:v 2 -c:v libsvtav1 -preset 6"
    );
    assert_eq!(
        output_options("low", "-c:v hevc_nvenc -preset p6"),
        "-c:v hevc_nvenc -preset p6"
    );
    assert_eq!(
        output_options("low", "-c:a libopus -vn"),
        "-c:a libopus -vn"
    );
}

#[test]
fn filter_threads_are_global_and_only_where_there_are_filters() {
    assert_eq!(
        with("low", "ffmpeg -y -i a -vf scale=640:-2 -c:v mpeg4 o.avi"),
        "ffmpeg -y -filter_threads 1 -threads 1 -i a -threads:v 2 -vf scale=640:-2 -c:v mpeg4 o.avi"
    );
    assert_eq!(
        with(
            "low",
            "ffmpeg -f lavfi -i testsrc2 -filter_complex_threads 8 -filter_complex [0]null[v] -map [v] -c:v mpeg4 o.avi"
        ),
        "ffmpeg -f lavfi -i testsrc2 -filter_complex_threads 1 -filter_complex [0]null[v] -threads:v 2 -map [v] -c:v mpeg4 o.avi"
    );
}

#[test]
fn the_passes_of_one_encode_keep_their_settings() {
    for pass in ["-pass 1", "-pass:v 2", "-x264-params pass=2:stats=x.log"] {
        let line = format!("-c:v libx264 -preset slow {pass}");
        assert_eq!(
            output_options("minimal", &line),
            format!("-threads:v 1 {line}")
        );
    }
}

#[test]
fn what_cannot_be_read_is_left_alone() {
    let line = "-c:v libx264 -preset slow -/x264-params file.txt";
    assert_eq!(output_options("balanced", line), line);
    assert_eq!(
        output_options("low", "-c:v libx264 -vpre mine"),
        "-threads:v 2 -c:v libx264 -vpre mine"
    );
    for line in [
        "ffmpeg -version",
        "ffmpeg -i a",
        "ffmpeg -h encoder=libx264",
    ] {
        assert_eq!(with("minimal", line), line);
    }
}

#[test]
fn the_rate_is_touched_only_by_a_profile_that_says_so() {
    let fill = custom("encoders:\n  libx264:\n    options: {crf: 28}\n");
    let set = custom("encoders:\n  libx264:\n    options: {crf: 28}\nmay: [rate]\n");
    let line = |options: &str| format!("ffmpeg -i a{options} -c:v libx264 o.mp4");
    assert_eq!(
        apply(&fill, &line("")),
        "ffmpeg -i a -crf:v 28 -c:v libx264 o.mp4"
    );
    for options in [" -crf 18", " -b:v 2M", " -qp 20", " -x264-params crf=18"] {
        assert_eq!(apply(&fill, &line(options)), line(options));
    }
    assert_eq!(apply(&set, &line(" -crf 18")), line(" -crf 28"));
    // Another way to set the rate is not traded for this one.
    assert_eq!(apply(&set, &line(" -b:v 2M")), line(" -b:v 2M"));
}

#[test]
fn a_loopback_decoder_gets_threads_before_it() {
    assert_eq!(
        with(
            "low",
            "ffmpeg -i a -c:v mpeg4 o.avi -dec 0:0 -c:v mpeg4 p.avi"
        ),
        "ffmpeg -threads 1 -i a -threads:v 2 -c:v mpeg4 o.avi -threads 1 -dec 0:0 -threads:v 2 -c:v mpeg4 p.avi"
    );
}

#[test]
fn every_change_says_what_was_there_and_why() {
    let rewritten = rewrite(
        &command("ffmpeg -i a -c:v libx264 -preset slow o.mp4"),
        &shipped("low"),
        8,
    );
    let preset = rewritten
        .changes
        .iter()
        .find(|change| change.option == "-preset")
        .unwrap();
    assert_eq!(
        (preset.from.as_deref(), preset.to.as_str()),
        (Some("slow"), "veryfast")
    );
    assert!(
        preset.why.contains("profile low") && preset.why.contains("o.mp4"),
        "{}",
        preset.why
    );
    let threads = rewritten
        .changes
        .iter()
        .find(|change| change.option == "-threads:v")
        .unwrap();
    assert_eq!((threads.from.as_deref(), threads.to.as_str()), (None, "2"));
}
