//! At a terminal: FFmpeg's keys, Ctrl-C, Ctrl-Z, its question, and a terminal left as it was found.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::terminal::Terminal;
use support::{eventually, ffprobe, names, processes, state, unique};

/// An encode without end, at the speed of the film.
fn endless(tag: &str) -> Vec<String> {
    let title = format!("title={tag}");
    [
        "-q",
        "ffmpeg",
        "-hide_banner",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=25",
        "-metadata",
    ]
    .into_iter()
    .chain([
        title.as_str(),
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "out.mp4",
    ])
    .map(str::to_owned)
    .collect()
}

fn started(tag: &str, dir: &Path) -> Terminal {
    let args = endless(tag);
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let terminal = Terminal::run(&words, dir);
    eventually("FFmpeg encodes", || terminal.shows("frame="));
    terminal
}

#[test]
fn q_ends_ffmpeg_with_a_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = started(&unique("q"), dir.path());
    terminal.type_keys(b"q");
    assert_eq!(terminal.end(), Some(0));
    assert_eq!(names(dir.path()), ["out.mp4"]);
    let packets: u32 = ffprobe("stream=nb_read_packets", &dir.path().join("out.mp4"))
        .parse()
        .unwrap();
    assert!(packets > 0);
}

#[test]
fn ctrl_c_reaches_ffmpeg_once() {
    let dir = tempfile::tempdir().unwrap();
    let tag = unique("ctrl-c");
    let mut terminal = started(&tag, dir.path());
    terminal.type_keys(&[3]);
    let screen = terminal.screen.clone();
    assert_eq!(terminal.end(), Some(255));
    let text = String::from_utf8_lossy(&screen.lock().unwrap()).into_owned();
    assert!(text.contains("received signal 2"), "{text}");
    assert!(!text.contains("hard exiting"), "{text}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    assert_eq!(processes(&[&tag]), [0i32; 0]);
}

#[test]
fn ctrl_z_and_fg_work_in_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let tag = unique("ctrl-z");
    let mut shell = Terminal::start("bash", &["--norc", "--noprofile", "-i"], dir.path());
    let line = format!(
        "{} {}\n",
        env!("CARGO_BIN_EXE_ffwarden"),
        endless(&tag).join(" ")
    );
    shell.type_keys(line.as_bytes());
    eventually("FFmpeg encodes", || shell.shows("frame="));
    let ours = processes(&[&tag]);
    assert_eq!(ours.len(), 3, "guard, supervisor, FFmpeg: {ours:?}");
    shell.type_keys(&[0x1a]);
    eventually("the shell has it as stopped", || shell.shows("Stopped"));
    eventually("all of it is stopped", || {
        ours.iter().all(|pid| state(*pid) == Some('T'))
    });
    shell.type_keys(b"fg\n");
    eventually("all goes on", || {
        ours.iter().all(|pid| state(*pid) != Some('T'))
    });
    // With its newline: FFmpeg does not ask for single keys again after it was stopped, prefix or not.
    shell.type_keys(b"q\n");
    eventually("the file is whole", || names(dir.path()) == ["out.mp4"]);
    shell.type_keys(b"exit 7\n");
    assert_eq!(shell.end(), Some(7));
}

#[test]
fn the_question_is_answered_at_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("out.mp4"), "old").unwrap();
    let args = endless(&unique("ask"));
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut terminal = Terminal::run(&words, dir.path());
    eventually("the question is asked", || {
        terminal.shows("already exists. Overwrite? [y/N] ")
    });
    terminal.type_keys(b"y\n");
    eventually("FFmpeg encodes", || terminal.shows("frame="));
    assert_eq!(
        std::fs::read(dir.path().join("out.mp4")).unwrap(),
        b"old",
        "until it has succeeded"
    );
    terminal.type_keys(b"q");
    assert_eq!(terminal.end(), Some(0));
    assert_ne!(std::fs::read(dir.path().join("out.mp4")).unwrap(), b"old");
}

#[test]
fn a_killed_ffmpeg_leaves_the_terminal_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let tag = unique("raw");
    let terminal = started(&tag, dir.path());
    eventually("FFmpeg reads single keys", || !terminal.is_canonical());
    // Its own command line begins with its name; ours have it further back.
    let is_ffmpeg = |pid: &i32| {
        procfs::process::Process::new(*pid)
            .unwrap()
            .cmdline()
            .unwrap()[0]
            == "ffmpeg"
    };
    let ffmpeg = processes(&[&tag]).into_iter().find(is_ffmpeg).unwrap();
    kill(Pid::from_raw(ffmpeg), Signal::SIGKILL).unwrap();
    eventually("the terminal reads lines again", || terminal.is_canonical());
    terminal.end();
}
