use std::ffi::OsString;

use super::*;
use crate::config::profile::Profiles;

fn run(profile: &str, cpus: u32, line: &str) -> (String, Vec<Change>) {
    let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let profiles = Profiles::load(&[]).unwrap();
    let command = Command::parse(&argv).unwrap();
    let rewritten = rewrite(&command, profiles.get(profile).unwrap(), cpus);
    let words = rewritten.command.to_argv();
    let text = words
        .iter()
        .map(|word| word.to_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ");
    (text, rewritten.changes)
}

#[track_caller]
fn gives(profile: &str, cpus: u32, line: &str, expected: &str) {
    let (text, changes) = run(profile, cpus, line);
    assert_eq!(text, expected);
    assert_eq!(
        changes.is_empty(),
        line == expected,
        "a change is told, and only a change: {changes:?}"
    );
}

#[test]
fn high_writes_the_threads_down_and_nothing_else() {
    gives(
        "high",
        8,
        "ffmpeg -i in.mov -c:v libx264 -crf 18 out.mp4",
        "ffmpeg -threads 8 -i in.mov -c:v libx264 -crf 18 -threads 8 out.mp4",
    );
}

#[test]
fn balanced_shortens_a_lookahead_that_nobody_chose() {
    gives(
        "balanced",
        16,
        "ffmpeg -i in.mov -c:v libx264 out.mp4",
        "ffmpeg -threads 2 -i in.mov -c:v libx264 -threads 4 -x264-params rc-lookahead=20 out.mp4",
    );
    gives(
        "balanced",
        16,
        "ffmpeg -i in.mov -c:v libx264 -preset veryslow out.mp4",
        "ffmpeg -threads 2 -i in.mov -c:v libx264 -preset veryslow -threads 4 out.mp4",
    );
    gives(
        "balanced",
        16,
        "ffmpeg -i in.mov -c:v libx264 -preset veryfast out.mp4",
        "ffmpeg -threads 2 -i in.mov -c:v libx264 -preset veryfast -threads 4 out.mp4",
    );
}

#[test]
fn balanced_may_lower_threads_and_nothing_else() {
    gives(
        "balanced",
        16,
        "ffmpeg -threads 1 -i in.mov -c:v libx264 -threads 12 -x264-params rc-lookahead=250 out.mp4",
        "ffmpeg -threads 1 -i in.mov -c:v libx264 -threads 4 -x264-params rc-lookahead=250 out.mp4",
    );
    gives(
        "balanced",
        16,
        "ffmpeg -i in.mov -c:v libx264 -threads 0 -rc-lookahead 60 out.mp4",
        "ffmpeg -threads 2 -i in.mov -c:v libx264 -threads 4 -rc-lookahead 60 out.mp4",
    );
}

#[test]
fn low_and_minimal_lower_a_preset_and_never_raise_one() {
    gives(
        "low",
        16,
        "ffmpeg -i a.mov -c:v libx264 -preset slow b.mp4",
        "ffmpeg -threads 1 -i a.mov -c:v libx264 -preset veryfast -threads 2 b.mp4",
    );
    gives(
        "low",
        16,
        "ffmpeg -i a.mov -c:v libx264 -preset ultrafast b.mp4",
        "ffmpeg -threads 1 -i a.mov -c:v libx264 -preset ultrafast -threads 2 b.mp4",
    );
    gives(
        "minimal",
        16,
        "ffmpeg -i a.mov -c:v libx264 -x264-params ref=8:rc_lookahead=60:me=dia b.mp4",
        "ffmpeg -threads 1 -i a.mov -c:v libx264 -x264-params ref=1:rc_lookahead=0:me=dia \
         -threads 1 -preset ultrafast b.mp4",
    );
}

#[test]
fn x265_has_its_threads_in_its_parameters() {
    gives(
        "low",
        8,
        "ffmpeg -i a.mov -c:v libx265 -x265-params crf=20:pools=8 b.mkv",
        "ffmpeg -threads 1 -i a.mov -c:v libx265 \
         -x265-params crf=20:pools=2:frame-threads=1 -preset superfast b.mkv",
    );
    gives(
        "high",
        8,
        "ffmpeg -i a.mov -c:v libx265 b.mkv",
        "ffmpeg -threads 8 -i a.mov -c:v libx265 -x265-params pools=8 b.mkv",
    );
}

#[test]
fn rate_control_is_never_touched() {
    for profile in ["minimal", "low", "balanced", "high"] {
        let line =
            "ffmpeg -i a.mov -c:v libx264 -crf 18 -b:v 4M -maxrate 5M -bufsize 9M -q:a 2 b.mp4";
        let (text, _) = run(profile, 8, line);
        assert!(
            text.contains("-crf 18 -b:v 4M -maxrate 5M -bufsize 9M -q:a 2"),
            "{text}"
        );
    }
}

#[test]
fn zerolatency_keeps_its_meaning() {
    gives(
        "balanced",
        8,
        "ffmpeg -i a.mov -c:v libx264 -tune zerolatency b.mp4",
        "ffmpeg -threads 2 -i a.mov -c:v libx264 -tune zerolatency -threads 4 b.mp4",
    );
}

#[test]
fn a_copy_and_an_audio_file_have_no_video_encoder() {
    gives(
        "low",
        8,
        "ffmpeg -i a.mov -c copy b.mp4",
        "ffmpeg -threads 1 -i a.mov -c copy b.mp4",
    );
    gives(
        "minimal",
        8,
        "ffmpeg -i a.mov -vn -c:a libopus b.mka",
        "ffmpeg -threads 1 -i a.mov -vn -c:a libopus b.mka",
    );
    gives(
        "minimal",
        8,
        "ffmpeg -i a.wav b.flac",
        "ffmpeg -threads 1 -i a.wav b.flac",
    );
}

#[test]
fn filters_get_threads_where_there_are_filters() {
    gives(
        "low",
        8,
        "ffmpeg -y -i a.mov -vf scale=640:-2 -c:v mpeg4 b.avi",
        "ffmpeg -filter_threads 1 -y -threads 1 -i a.mov -vf scale=640:-2 -c:v mpeg4 -threads 2 b.avi",
    );
    gives(
        "low",
        8,
        "ffmpeg -filter_complex_threads 6 -i a.mov -filter_complex hflip -c:v copy b.mkv",
        "ffmpeg -filter_complex_threads 1 -threads 1 -i a.mov -filter_complex hflip -c:v copy b.mkv",
    );
}

#[test]
fn two_inputs_and_two_outputs_each_get_their_own() {
    gives(
        "low",
        8,
        "ffmpeg -i a.mov -i b.wav -c:v libx264 c.mp4 -c:v libx265 -an d.mkv",
        "ffmpeg -threads 1 -i a.mov -threads 1 -i b.wav -c:v libx264 -threads 2 -preset veryfast c.mp4 \
         -c:v libx265 -an -preset superfast -x265-params frame-threads=1:pools=2 d.mkv",
    );
}

#[test]
fn several_encoders_in_one_output_are_told_apart() {
    gives(
        "low",
        8,
        "ffmpeg -i a.mov -map 0:v -map 0:v -c:v:0 libx264 -c:v:1 libx265 -preset:v:1 slow b.mkv",
        "ffmpeg -threads 1 -i a.mov -map 0:v -map 0:v -c:v:0 libx264 -c:v:1 libx265 -preset:v:1 superfast \
         -threads:v:0 2 -preset:v:0 veryfast -x265-params:v:1 frame-threads=1:pools=2 b.mkv",
    );
}

#[test]
fn what_only_asks_for_information_is_left_alone() {
    gives("minimal", 8, "ffmpeg -version", "ffmpeg -version");
    gives(
        "minimal",
        8,
        "ffmpeg -hide_banner -h encoder=libx264",
        "ffmpeg -hide_banner -h encoder=libx264",
    );
}

#[test]
fn the_passes_of_a_two_pass_encode_keep_their_settings() {
    gives(
        "minimal",
        8,
        "ffmpeg -i a.mov -c:v libx264 -b:v 2M -pass 2 -preset slow b.mp4",
        "ffmpeg -threads 1 -i a.mov -c:v libx264 -b:v 2M -pass 2 -preset slow -threads 1 b.mp4",
    );
}

#[test]
fn hardware_encoders_get_no_threads() {
    gives(
        "low",
        8,
        "ffmpeg -i a.mov -c:v h264_nvenc -preset p7 b.mp4",
        "ffmpeg -threads 1 -i a.mov -c:v h264_nvenc -preset p7 b.mp4",
    );
}

// What a system of before us did to command lines, each found by running its code.

#[test]
fn montage_1_the_codec_the_preset_and_the_crf_stay() {
    let (text, _) = run(
        "low",
        8,
        "ffmpeg -i input.mp4 -c:v libx264 -c:a libopus -crf 18 output.mkv",
    );
    assert!(text.contains("-c:v libx264 -c:a libopus -crf 18"), "{text}");
    let (copy, _) = run("low", 8, "ffmpeg -i input.mp4 -c:v copy output.mp4");
    assert!(
        copy.contains("-c:v copy output.mp4"),
        "a copy stays a copy: {copy}"
    );
}

#[test]
fn montage_2_no_input_option_stands_with_an_output() {
    for profile in ["minimal", "low", "balanced", "high"] {
        let (text, _) = run(profile, 8, "ffmpeg -i input.mp4 output.mp4");
        assert!(!text.contains("hwaccel"), "{text}");
    }
}

#[test]
fn montage_3_nothing_is_put_behind_the_last_output() {
    for line in [
        "ffmpeg -i in.mp4 -c:v libx264 -y out.mp4",
        "ffmpeg -i in.mp4 -c:v libx264 -an out.mp4 -y",
    ] {
        let (text, changes) = run("low", 8, line);
        let behind = text.split("out.mp4").nth(1).unwrap();
        assert!(behind.is_empty() || behind == " -y", "{text}");
        assert!(!changes.is_empty());
    }
}

#[test]
fn montage_4_aliases_are_known() {
    gives(
        "low",
        8,
        "ffmpeg -i a.mov -vcodec libx264 b.avi",
        "ffmpeg -threads 1 -i a.mov -vcodec libx264 -threads 2 -preset veryfast b.avi",
    );
}

#[test]
fn montage_5_no_bufsize_without_a_maxrate() {
    let (text, _) = run("high", 8, "ffmpeg -i a.mov -c:v libx264 b.mp4");
    assert!(!text.contains("bufsize"), "{text}");
}
