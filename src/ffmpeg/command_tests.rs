use proptest::prelude::*;

use super::*;

fn argv(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

fn parse(line: &str) -> Command {
    Command::parse(&argv(line)).unwrap()
}

#[test]
fn a_plain_transcode_is_two_groups() {
    let command = parse("ffmpeg -y -ss 10 -i in.mov -c:v libx264 -preset slow out.mp4");
    assert_eq!(command.groups.len(), 2);
    let input = command.inputs().next().unwrap();
    assert_eq!(
        (input.url.as_os_str(), input.value("ss")),
        (OsStr::new("in.mov"), Some(OsStr::new("10")))
    );
    let output = command.outputs().next().unwrap();
    assert_eq!(
        (output.url.as_os_str(), output.value("preset")),
        (OsStr::new("out.mp4"), Some(OsStr::new("slow")))
    );
    assert!(command.trailing.is_empty());
    assert!(command.has_global("y"));
}

#[test]
fn options_behind_the_last_output_are_trailing() {
    let command = parse("ffmpeg -i in.mov out.mp4 -threads 2 -y");
    assert_eq!(command.trailing, [Opt::new("threads", "2"), Opt::flag("y")]);
    assert_eq!(command.global_boolean("y"), Some(true));
}

// Each line was split by FFmpeg 5.1 in the same way (`ffmpeg -v debug`).
#[test]
fn dashes_are_read_as_ffmpeg_reads_them() {
    let command = parse("ffmpeg -i - -f mpegts -");
    assert_eq!(command.inputs().next().unwrap().url, "-");
    assert_eq!(command.outputs().next().unwrap().url, "-");

    let command = parse("ffmpeg -i -odd.mov -- -y -n");
    assert_eq!(command.inputs().next().unwrap().url, "-odd.mov");
    assert_eq!(command.outputs().next().unwrap().url, "-y");
    assert_eq!(command.trailing, [Opt::flag("n")]);

    let command = parse("ffmpeg -- -- -y -i -- out --");
    assert_eq!(
        command
            .outputs()
            .map(|group| group.dashdash)
            .collect::<Vec<_>>(),
        [2, 0]
    );
    assert_eq!(command.inputs().next().unwrap().url, "--");
    assert_eq!(command.trailing_dashdash, 1);
}

#[test]
fn a_value_may_look_like_an_option() {
    let command = parse("ffmpeg -i a -map -0:s -metadata -y out.mkv");
    let output = command.outputs().next().unwrap();
    assert_eq!(output.value("map"), Some(OsStr::new("-0:s")));
    assert_eq!(output.value("metadata"), Some(OsStr::new("-y")));
    assert!(!command.has_global("y"));
}

#[test]
fn a_missing_value_names_the_option() {
    for (line, option) in [
        ("ffmpeg -i a out -preset", "preset"),
        ("ffmpeg -i", "i"),
        ("ffmpeg -b:v", "b:v"),
    ] {
        let error = Command::parse(&argv(line)).unwrap_err();
        assert_eq!(
            error,
            CommandError::MissingValue {
                name: option.into()
            }
        );
        assert!(
            error.to_string().contains(&format!("-{option} ")),
            "{error}"
        );
    }
    assert_eq!(Command::parse(&[]), Err(CommandError::Empty));
}

#[test]
fn a_loopback_decoder_is_a_group_of_its_own() {
    let command = parse("ffmpeg -i a -c:v libx264 b -threads 1 -dec 0:0 -c:v libx265 c");
    assert_eq!(command.groups[2].kind, FileKind::Decoder);
    assert_eq!(command.groups[2].value("threads"), Some(OsStr::new("1")));
    assert_eq!(command.outputs().count(), 2);
}

#[test]
fn the_last_codec_written_wins_in_every_spelling() {
    let codec = |options: &str, kind| {
        let command = parse(&format!("ffmpeg -i a {options} out"));
        let codec = command
            .outputs()
            .next()
            .unwrap()
            .codec(kind)
            .map(|codec| codec.to_str().unwrap().to_owned());
        codec.unwrap_or_default()
    };
    for spelling in [
        "-c", "-codec", "-c:v", "-codec:v", "-vcodec", "-c:v:0", "-c:V",
    ] {
        assert_eq!(
            codec(&format!("{spelling} libx264"), StreamKind::Video),
            "libx264",
            "{spelling}"
        );
    }
    assert_eq!(codec("-c:v libx264 -c copy", StreamKind::Video), "copy");
    assert_eq!(
        codec("-c copy -vcodec libx264", StreamKind::Video),
        "libx264"
    );
    assert_eq!(codec("-c copy -vcodec libx264", StreamKind::Audio), "copy");
    assert_eq!(
        codec("-acodec aac -scodec srt -dcodec copy", StreamKind::Video),
        ""
    );
    assert_eq!(
        codec("-acodec aac -scodec srt", StreamKind::Subtitle),
        "srt"
    );
}

#[test]
fn options_are_found_per_kind_and_per_stream() {
    let command = parse(
        "ffmpeg -i a -preset slow -preset:v:1 fast -b:a 96k -ab 128k -b:v 1M -threads:v 3 -vn -novn -an out",
    );
    let output = command.outputs().next().unwrap();
    let nth = |index| {
        output
            .option_for_nth("preset", StreamKind::Video, index)
            .unwrap()
            .to_str()
            .unwrap()
    };
    assert_eq!((nth(0), nth(1)), ("slow", "fast"));
    assert_eq!(
        output.option_for("b", StreamKind::Video),
        Some(OsStr::new("1M"))
    );
    assert_eq!(
        output.option_for("b", StreamKind::Audio),
        Some(OsStr::new("128k"))
    );
    assert_eq!(
        output.option_for("threads", StreamKind::Video),
        Some(OsStr::new("3"))
    );
    assert_eq!(output.option_for("threads", StreamKind::Audio), None);
    assert!(!output.disables(StreamKind::Video));
    assert!(output.disables(StreamKind::Audio));
}

#[test]
fn informational_commands_are_known() {
    for line in [
        "ffmpeg",
        "ffmpeg -version",
        "ffmpeg -h full",
        "ffmpeg -i in.mov",
        "ffmpeg -i a out -encoders",
    ] {
        assert!(parse(line).is_informational(), "{line}");
    }
    // `-h` takes the next word whatever it is, so there is no output here.
    assert!(parse("ffmpeg -h out.mp4").outputs().next().is_none());
    assert!(!parse("ffmpeg -i in.mov -f null -").is_informational());
}

#[test]
fn ffmpeg_is_known_by_its_file_name() {
    for name in [
        "ffmpeg",
        "/opt/ff/bin/ffmpeg",
        "./ffmpeg",
        "ffmpeg6",
        "ffmpeg-5.1",
        "ffmpeg_7",
        "ffmpeg-n7.1",
    ] {
        assert!(is_ffmpeg(OsStr::new(name)), "{name}");
    }
    for name in [
        "ffprobe",
        "ffplay",
        "ffmpeg-normalize",
        "ffmpegn",
        "ffmpeg-",
        "ffmpegthumbnailer",
        "/ffmpeg/x",
        "",
    ] {
        assert!(!is_ffmpeg(OsStr::new(name)), "{name}");
    }
}

#[test]
fn a_name_that_reads_as_an_option_gets_its_dashes() {
    let mut command = parse("ffmpeg -i a out.mp4");
    command.outputs_mut().next().unwrap().url = "-y".into();
    assert_eq!(command.to_argv(), argv("ffmpeg -i a -- -y"));
}

fn word() -> impl Strategy<Value = OsString> {
    let known = prop::sample::select(vec![
        "-y",
        "-i",
        "-",
        "--",
        "-c:v",
        "-an",
        "-nostdin",
        "-version",
        "-h",
        "-dec",
        "-autorotate",
        "0",
        "-/filter:v",
        "",
        "./-x",
        "a b",
        "new\nline",
        "it's \"quoted\"",
        "-map",
        "-0:s",
        "out.mp4",
    ]);
    let bytes = prop::collection::vec(1u8.., 0..6);
    prop_oneof![3 => known.prop_map(OsString::from), 1 => bytes.prop_map(OsString::from_vec)]
}

proptest! {
    #[test]
    fn any_line_that_parses_comes_back_byte_for_byte(words in prop::collection::vec(word(), 1..20)) {
        match Command::parse(&words) {
            Ok(command) => prop_assert_eq!(command.to_argv(), words),
            // Only the last word can lack its value.
            Err(CommandError::MissingValue { name }) => {
                let mut dashed = OsString::from("-");
                dashed.push(name);
                prop_assert_eq!(Some(&dashed), words.last());
            }
            Err(CommandError::Empty) => prop_assert!(false, "the line was not empty"),
        }
    }

    #[test]
    fn parsing_again_gives_the_same_command(words in prop::collection::vec(word(), 1..20)) {
        if let Ok(command) = Command::parse(&words) {
            prop_assert_eq!(Command::parse(&command.to_argv()), Ok(command));
        }
    }
}
