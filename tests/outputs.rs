//! A file output appears complete or not at all, and what FFmpeg means by -y, -n and its question stays true.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use nix::sys::signal::Signal;
use support::{eventually, ffprobe, ffwarden, names, reported, unique};

/// A short clip with video and audio.
fn clip() -> &'static Path {
    support::clip("320x180", "2", true)
}

fn words(options: &[&str], input: &Path, rest: &[&str]) -> Vec<OsString> {
    let mut all: Vec<OsString> = options.iter().map(OsString::from).collect();
    all.extend(["ffmpeg", "-hide_banner", "-loglevel", "error", "-i"].map(OsString::from));
    all.push(input.into());
    all.extend(rest.iter().map(OsString::from));
    all
}

const X264: [&str; 4] = ["-c:v", "libx264", "-c:a", "copy"];

#[test]
fn an_encode_comes_out_whole_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let rest = [&X264[..], &["out.mp4"]].concat();
    let ran = reported(words(&[], clip(), &rest))
        .dir(dir.path())
        .run()
        .succeeded();
    assert_eq!(names(dir.path()), ["out.mp4"]);
    assert_eq!(
        ffprobe("stream=nb_read_packets", &dir.path().join("out.mp4"))
            .lines()
            .next(),
        Some("50")
    );
    let output = &ran.report["outputs"][0];
    assert_eq!(
        (&output["kind"], &output["complete"]),
        (&"file".into(), &true.into())
    );
    assert!(output["size_bytes"].as_u64().unwrap() > 1000);
    // One line before and one after, ours.
    let ours: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        ours.len() == 2 && ours.iter().all(|line| line.starts_with("ffwarden: ")),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_failed_run_leaves_the_target_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out.mp4");
    std::fs::write(&target, "precious").unwrap();
    let rest = [&X264[..], &["-y", "-vf", "nosuchfilter", "out.mp4"]].concat();
    let ran = ffwarden(words(&["-q"], clip(), &rest))
        .dir(dir.path())
        .run();
    assert_eq!(ran.code(), Some(1));
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    assert_eq!(names(dir.path()), ["out.mp4"]);
}

#[test]
fn an_interrupted_encode_leaves_no_truncated_file() {
    let dir = tempfile::tempdir().unwrap();
    let tag = unique("endless");
    let run = ffwarden([
        "-q",
        "ffmpeg",
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360",
        "-metadata",
        &format!("title={tag}"),
        "-c:v",
        "libx264",
        "out.mp4",
    ])
    .dir(dir.path())
    .start();
    eventually("it writes", || {
        names(dir.path())
            .iter()
            .any(|name| name.contains("ffwarden"))
    });
    run.signal(Signal::SIGTERM);
    // 255 is FFmpeg's own code after TERM; before it has its handlers it dies of it.
    let status = run.end().0;
    assert!(
        status.code() == Some(255) || status.signal() == Some(15),
        "{status:?}"
    );
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn sigkill_to_the_prefix_leaves_no_half_file() {
    let dir = tempfile::tempdir().unwrap();
    let run = ffwarden([
        "-q",
        "ffmpeg",
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360",
        "-c:v",
        "libx264",
        "out.mp4",
    ])
    .dir(dir.path())
    .start();
    eventually("it writes", || {
        names(dir.path())
            .iter()
            .any(|name| name.contains("ffwarden"))
    });
    run.signal(Signal::SIGKILL);
    eventually("the temporary is gone", || names(dir.path()).is_empty());
}

#[test]
fn n_and_no_terminal_refuse_in_ffmpegs_words() {
    for refuse in ["-n", "-nostdin"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("out.mp4"), "old").unwrap();
        let rest = [&X264[..], &[refuse, "out.mp4"]].concat();
        let ran = ffwarden(words(&["-q"], clip(), &rest))
            .dir(dir.path())
            .run();
        assert_eq!(ran.code(), Some(1));
        assert!(
            ran.stderr
                .contains("File 'out.mp4' already exists. Exiting."),
            "{}",
            ran.stderr
        );
        assert_eq!(std::fs::read(dir.path().join("out.mp4")).unwrap(), b"old");
    }
}

#[test]
fn the_question_is_asked_and_the_answer_counts() {
    for (answer, code, overwritten) in [("y\n", 0, true), ("n\n", 1, false), ("", 1, false)] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("out.mp4"), "old").unwrap();
        let rest = [&X264[..], &["out.mp4"]].concat();
        let ran = ffwarden(words(&["-q"], clip(), &rest))
            .dir(dir.path())
            .stdin(answer)
            .run();
        assert_eq!(ran.code(), Some(code), "{answer:?}: {}", ran.stderr);
        assert!(
            ran.stderr
                .starts_with("File 'out.mp4' already exists. Overwrite? [y/N] "),
            "{}",
            ran.stderr
        );
        assert_eq!(
            ran.stderr.contains("Not overwriting - exiting"),
            !overwritten
        );
        assert_eq!(
            std::fs::read(dir.path().join("out.mp4")).unwrap() != b"old",
            overwritten
        );
        assert_eq!(names(dir.path()), ["out.mp4"]);
    }
}

#[test]
fn an_output_that_is_the_input_is_refused_under_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.mov");
    std::fs::copy(clip(), &input).unwrap();
    let before = std::fs::read(&input).unwrap();
    std::os::unix::fs::symlink("in.mov", dir.path().join("alias.mov")).unwrap();
    for output in ["in.mov", "./in.mov", "alias.mov"] {
        let ran = ffwarden(words(
            &[],
            Path::new("in.mov"),
            &["-c", "copy", "-y", output],
        ))
        .dir(dir.path())
        .run();
        assert_ne!(ran.code(), Some(0), "{output}: {}", ran.stderr);
        assert_eq!(std::fs::read(&input).unwrap(), before, "{output}");
    }
}

#[test]
fn odd_names_are_names() {
    let dir = tempfile::tempdir().unwrap();
    let odd: [&OsStr; 6] = [
        OsStr::new("a b.mp4"),
        OsStr::new("quote'\"$(x).mp4"),
        OsStr::new("new\nline.mp4"),
        OsStr::new("100%d.mp4"),
        OsStr::from_bytes(b"latin\xe9.mp4"),
        OsStr::new("./a:b.mp4"),
    ];
    for name in odd {
        let mut command = words(&["-q"], clip(), &["-c", "copy"]);
        command.push(name.to_owned());
        let ran = ffwarden(command).dir(dir.path()).run();
        assert_eq!(ran.code(), Some(0), "{name:?}: {}", ran.stderr);
        assert!(
            dir.path().join(name).metadata().unwrap().len() > 1000,
            "{name:?}"
        );
    }
    assert_eq!(
        names(dir.path()).len(),
        odd.len(),
        "{:?}",
        names(dir.path())
    );
    let ran = ffwarden(words(&["-q"], clip(), &["-c", "copy", "--", "-dash.mp4"]))
        .dir(dir.path())
        .run();
    assert_eq!(ran.code(), Some(0), "{}", ran.stderr);
    assert!(dir.path().join("-dash.mp4").metadata().unwrap().len() > 1000);
}

#[test]
fn two_outputs_are_both_there_or_both_not() {
    let dir = tempfile::tempdir().unwrap();
    let rest = [
        "-map", "0:v", "-c:v", "libx264", "v.mp4", "-map", "0:a", "-c:a", "copy", "a.m4a",
    ];
    ffwarden(words(&["-q"], clip(), &rest))
        .dir(dir.path())
        .run()
        .succeeded();
    assert_eq!(names(dir.path()), ["a.m4a", "v.mp4"]);
    std::fs::remove_file(dir.path().join("v.mp4")).unwrap();
    std::fs::remove_file(dir.path().join("a.m4a")).unwrap();
    let broken = [
        "-map",
        "0:v",
        "-c:v",
        "libx264",
        "v.mp4",
        "-map",
        "0:a",
        "-c:a",
        "nosuchcodec",
        "a.m4a",
    ];
    assert_ne!(
        ffwarden(words(&["-q"], clip(), &broken))
            .dir(dir.path())
            .run()
            .code(),
        Some(0)
    );
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn what_is_no_single_file_is_ffmpegs_own_business() {
    let dir = tempfile::tempdir().unwrap();
    let run = |rest: &[&str]| {
        reported(words(&["-q"], clip(), rest))
            .dir(dir.path())
            .run()
            .succeeded()
    };
    assert_eq!(
        run(&["-f", "null", "-"]).report["outputs"][0]["kind"],
        "null"
    );
    let piped = run(&["-c", "copy", "-f", "mpegts", "pipe:1"]);
    assert!(
        piped.stdout.len() > 1000 && piped.stdout[0] == 0x47,
        "a transport stream"
    );
    assert_eq!(piped.report["outputs"][0]["kind"], "pipe");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    run(&["-frames:v", "3", "img%02d.png"]);
    assert_eq!(names(dir.path()), ["img01.png", "img02.png", "img03.png"]);
    let hls = run(&["-c", "copy", "-f", "hls", "list.m3u8"]);
    assert_eq!(hls.report["outputs"][0]["kind"], "many files");
    let list = std::fs::read_to_string(dir.path().join("list.m3u8")).unwrap();
    assert!(
        list.contains("list0.ts") && dir.path().join("list0.ts").exists(),
        "{list}"
    );
}

#[test]
fn a_stream_goes_in_by_a_pipe_and_out_by_a_pipe_or_a_socket() {
    let dir = tempfile::tempdir().unwrap();
    let out = |url: &str| {
        words(
            &["-q"],
            Path::new("pipe:0"),
            &["-c", "copy", "-f", "mpegts", url],
        )
    };
    let transport = ffwarden(words(&["-q"], clip(), &["-c", "copy", "-f", "mpegts", "-"])).run();
    let piped = ffwarden(out("pipe:1"))
        .stdin(transport.stdout.clone())
        .run()
        .succeeded();
    assert!(piped.stdout.len() > 10_000, "{}", piped.stdout.len());

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Read::read_to_end(&mut stream, &mut bytes).unwrap();
        bytes
    });
    let sent = reported(out(&url))
        .dir(dir.path())
        .stdin(transport.stdout)
        .run()
        .succeeded();
    assert_eq!(sent.report["outputs"][0]["kind"], "url");
    assert_eq!(reader.join().unwrap(), piped.stdout);
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn a_link_stays_a_link_and_a_mode_stays() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real.mp4");
    std::fs::write(&real, "old").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real.mp4", dir.path().join("link.mp4")).unwrap();
    ffwarden(words(&["-q"], clip(), &["-c", "copy", "-y", "link.mp4"]))
        .dir(dir.path())
        .run()
        .succeeded();
    assert!(
        dir.path()
            .join("link.mp4")
            .symlink_metadata()
            .unwrap()
            .is_symlink()
    );
    let metadata = real.metadata().unwrap();
    assert!(metadata.len() > 1000);
    assert_eq!(metadata.mode() & 0o777, 0o640);
}

#[test]
fn a_full_disk_is_a_failure_that_loses_nothing() {
    // A file size limit stands in for the full disk: FFmpeg's writes fail the same way.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("out.mp4"), "precious").unwrap();
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} -q ffmpeg -loglevel error -i {} -c copy -y out.mp4",
        env!("CARGO_BIN_EXE_ffwarden"),
        clip().display()
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .env("FFWARDEN_CONTAINMENT", "rlimit")
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert_eq!(
        std::fs::read(dir.path().join("out.mp4")).unwrap(),
        b"precious"
    );
    assert_eq!(names(dir.path()), ["out.mp4"]);
}

#[test]
fn bad_input_is_ffmpegs_to_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(clip()).unwrap();
    std::fs::write(dir.path().join("cut.mov"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(dir.path().join("text.mov"), "not a video\n").unwrap();
    std::fs::write(dir.path().join("empty.mov"), "").unwrap();
    for input in ["cut.mov", "text.mov", "empty.mov", "missing.mov"] {
        let rest = [&X264[..], &["out.mp4"]].concat();
        let ran = ffwarden(words(&["-q"], Path::new(input), &rest))
            .dir(dir.path())
            .run();
        assert_eq!(ran.code(), Some(1), "{input}: {}", ran.stderr);
        assert!(ran.stderr.contains(input), "{}", ran.stderr);
        assert!(!dir.path().join("out.mp4").exists());
    }
}
