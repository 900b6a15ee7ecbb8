use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::super::command::Command as FfmpegCommand;
use super::*;

fn group(options: &[&str], url: &OsStr) -> Group {
    let mut argv: Vec<OsString> = vec!["ffmpeg".into()];
    argv.extend(options.iter().map(OsString::from));
    argv.extend(["-i".into(), url.to_owned(), "out.mp4".into()]);
    FfmpegCommand::parse(&argv)
        .unwrap()
        .inputs()
        .next()
        .unwrap()
        .clone()
}

fn probe(options: &[&str], url: &OsStr) -> Result<Option<MediaInfo>, ProbeError> {
    Prober::default().probe(&group(options, url))
}

fn make(dir: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments)
        .arg(&path)
        .status()
        .expect("the tests need ffmpeg");
    assert!(done.success());
    path
}

const FILM: [&str; 12] = [
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=320x180:rate=25:duration=1",
    "-f",
    "lavfi",
    "-i",
    "sine=duration=1",
    "-c:v",
    "mpeg4",
    "-c:a",
    "aac",
];

#[test]
fn films_and_sound() {
    let dir = tempfile::tempdir().unwrap();
    for (name, demuxer) in [
        ("a.mp4", "mov,mp4,m4a,3gp,3g2,mj2"),
        ("a.mkv", "matroska,webm"),
    ] {
        let path = make(dir.path(), name, &FILM);
        let info = probe(&[], path.as_os_str()).unwrap().unwrap();
        assert_eq!(info.format_name.as_deref(), Some(demuxer));
        assert!((info.duration_seconds.unwrap() - 1.0).abs() < 0.1);
        assert_eq!(info.size_bytes, Some(fs::metadata(&path).unwrap().len()));
        let video = info.best_video().unwrap();
        assert_eq!((video.width, video.height), (Some(320), Some(180)));
        assert_eq!(video.codec_name.as_deref(), Some("mpeg4"));
        assert_eq!(video.pix_fmt.as_deref(), Some("yuv420p"));
        assert_eq!(video.frame_rate, Some(25.0));
        let audio = info
            .streams
            .iter()
            .find(|stream| stream.is("audio"))
            .unwrap();
        assert_eq!((audio.sample_rate, audio.channels), (Some(44_100), Some(1)));
    }
    let path = make(
        dir.path(),
        "a.wav",
        &["-f", "lavfi", "-i", "sine=duration=1"],
    );
    let info = probe(&[], path.as_os_str()).unwrap().unwrap();
    assert_eq!(info.best_video(), None);
    assert!(info.has("audio"));
}

#[test]
fn any_name_a_file_can_have() {
    let dir = tempfile::tempdir().unwrap();
    let film = make(dir.path(), "plain.mp4", &FILM);
    let names: [&[u8]; 7] = [
        b"it's \"quoted\".mp4",
        b"new\nline.mp4",
        b"-dash.mp4",
        b"a:b.mp4",
        b"not utf-8 \xff\xfe.mp4",
        b"100%d.mp4",
        b"[0]*?.mp4",
    ];
    for name in names {
        let path = dir.path().join(OsStr::from_bytes(name));
        fs::copy(&film, &path).unwrap();
        let info = probe(&[], path.as_os_str()).unwrap();
        assert!(info.unwrap().best_video().is_some(), "{path:?}");
    }
    // A bare name that looks like an option is a file of the working directory all the same.
    let arguments =
        Prober::default().arguments(&group(&[], OsStr::new("-dash.mp4")), Path::new("-dash.mp4"));
    assert_eq!(arguments.last().unwrap(), "file:-dash.mp4");
    // With the protocol written out, the rest is the name as it is.
    let mut url = OsString::from("file:");
    url.push(dir.path().join("a:b.mp4"));
    assert!(probe(&[], &url).unwrap().is_some());
}

#[test]
fn a_name_with_a_colon_is_what_ffmpeg_takes_it_for() {
    for url in [
        "a:b.mp4",
        "http://host/a",
        "pipe:0",
        "concat:a|b",
        "subfile,,start,0,end,9,,:a.mp4",
        "c+d:e",
    ] {
        assert!(has_protocol(url.as_bytes()), "{url}");
    }
    for url in [
        "./a:b.mp4",
        "/tmp/a:b.mp4",
        "a b:c.mp4",
        "plain.mp4",
        "",
        "-dash.mp4",
        "a_b:c.mp4",
    ] {
        assert!(!has_protocol(url.as_bytes()), "{url}");
    }
}

#[test]
fn broken_files_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let film = fs::read(make(dir.path(), "whole.mp4", &FILM)).unwrap();
    let broken: [(&str, &[u8]); 3] = [
        ("cut.mp4", &film[..film.len() / 2]),
        ("text.txt", b"hello\n"),
        ("empty.mp4", b""),
    ];
    for (name, bytes) in broken {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = probe(&[], path.as_os_str()).unwrap_err();
        let ProbeError::Refused { reason, .. } = &error else {
            panic!("{name}: {error}")
        };
        assert!(
            reason.contains("Invalid data") || reason.contains("moov"),
            "{name}: {reason}"
        );
        assert!(!reason.contains("file:") && reason.len() <= 200, "{reason}");
    }
}

#[test]
fn nothing_is_run_for_what_is_no_regular_file() {
    let prober = Prober {
        program: "/nonexistent/ffprobe".into(),
        ..Prober::default()
    };
    for url in [
        "pipe:0",
        "-",
        "http://127.0.0.1:1/a.mp4",
        "/dev/zero",
        "concat:a.ts|b.ts",
        "missing.mp4",
        "frame%03d.png",
        "/",
    ] {
        assert_eq!(
            prober.probe(&group(&[], OsStr::new(url))).unwrap(),
            None,
            "{url}"
        );
    }
}

#[test]
fn a_lavfi_input_is_read_from_its_text() {
    let prober = Prober {
        program: "/nonexistent/ffprobe".into(),
        ..Prober::default()
    };
    let size = |text: &str| {
        let info = prober
            .probe(&group(&["-f", "lavfi"], OsStr::new(text)))
            .unwrap()?;
        let video = info.best_video()?;
        Some((video.width?, video.height?, video.frame_rate?))
    };
    assert_eq!(
        size("testsrc2=size=1920x1080:rate=50:duration=3"),
        Some((1920, 1080, 50.0))
    );
    assert_eq!(
        size("testsrc2=s=hd720,scale=640:-2"),
        Some((640, 360, 25.0))
    );
    assert_eq!(size("sine=frequency=1000"), None);
}

#[test]
fn raw_video_needs_the_users_options() {
    let dir = tempfile::tempdir().unwrap();
    let path = make(
        dir.path(),
        "a.yuv",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x180:duration=1",
            "-f",
            "rawvideo",
        ],
    );
    let options = [
        "-f", "rawvideo", "-s", "320x180", "-r", "50", "-pix_fmt", "yuv420p", "-ss", "0.1",
    ];
    let info = probe(&options, path.as_os_str()).unwrap().unwrap();
    let video = info.best_video().unwrap();
    assert_eq!(
        (video.width, video.height, video.frame_rate),
        (Some(320), Some(180), Some(50.0))
    );
    assert_eq!(
        declared_size(&group(&options, path.as_os_str())),
        Some((320, 180))
    );
}

fn script(dir: &Path, text: &str) -> Prober {
    let program = dir.join("ffprobe.sh");
    fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    Prober {
        program: program.into(),
        timeout: Duration::from_millis(300),
    }
}

#[test]
fn a_missing_ffprobe_is_told_apart() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let prober = Prober {
        program: "/nonexistent/ffprobe".into(),
        ..Prober::default()
    };
    let error = prober
        .probe(&group(&[], file.path().as_os_str()))
        .unwrap_err();
    assert!(matches!(error, ProbeError::Missing { .. }), "{error}");
}

#[test]
fn one_that_hangs_is_killed_with_what_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let prober = script(
        dir.path(),
        &format!("sleep 60 &\necho $! > '{}'\nwait", pid_file.display()),
    );
    let error = prober
        .probe(&group(&[], prober.program.as_os_str()))
        .unwrap_err();
    assert!(matches!(error, ProbeError::TimedOut { .. }), "{error}");
    let pid: i32 = fs::read_to_string(&pid_file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    // Killed; until init reaps it, it is a zombie.
    let gone = (0..200).any(|_| {
        let state =
            fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_else(|_| ") Z".to_owned());
        let dead = state
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'));
        if !dead {
            std::thread::sleep(Duration::from_millis(10));
        }
        dead
    });
    assert!(gone, "the child's child lives on");
}

#[test]
fn an_answer_without_end_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut prober = script(dir.path(), "head -c 5000000 /dev/zero");
    prober.timeout = Duration::from_secs(20);
    let error = prober
        .probe(&group(&[], prober.program.as_os_str()))
        .unwrap_err();
    assert!(
        matches!(&error, ProbeError::Answer { reason, .. } if reason.contains("4 MiB")),
        "{error}"
    );
}

#[test]
fn numbers_that_are_text_or_not_there() {
    let info = MediaInfo::from_json(
        br#"{"streams":[{"index":0,"codec_type":"video","width":16,"height":0,"avg_frame_rate":"0/0",
        "r_frame_rate":"30000/1001","nb_frames":"N/A","side_data_list":[{"x":1},{"rotation":-90}]}],
        "format":{"duration":"N/A","size":"12"}}"#,
    )
    .unwrap();
    let stream = &info.streams[0];
    assert_eq!(
        (stream.width, stream.height, stream.frames, stream.rotation),
        (Some(16), None, None, Some(-90))
    );
    assert!((stream.frame_rate.unwrap() - 29.97).abs() < 0.01);
    assert_eq!((info.duration_seconds, info.size_bytes), (None, Some(12)));
    assert_eq!(MediaInfo::from_json(b"{}").unwrap(), MediaInfo::default());
    assert!(MediaInfo::from_json(b"").is_err());
}
