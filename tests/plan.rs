//! `plan`, `doctor` and `profile`: they run nothing and tell the truth.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Command;

use support::{ffwarden, names, reported};

fn material() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(
        support::clip("640x360", "1", false),
        dir.path().join("in.mov"),
    )
    .unwrap();
    dir
}

fn plan(dir: &Path, args: &[&str]) -> serde_json::Value {
    let mut words = vec!["plan", "--json"];
    words.extend(args);
    let ran = ffwarden(words).dir(dir).run().succeeded();
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[test]
fn the_last_line_is_the_command_and_a_shell_can_run_it() {
    let dir = material();
    let ran = ffwarden([
        "plan",
        "-p",
        "low",
        "ffmpeg",
        "-v",
        "error",
        "-i",
        "in.mov",
        "-c:v",
        "libx264",
        "it's new.mp4",
    ])
    .dir(dir.path())
    .run()
    .succeeded();
    assert_eq!(names(dir.path()), ["in.mov"], "nothing was run");
    let text = ran.stdout();
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("ffmpeg -v error -threads 1 -i in.mov"),
        "{last}"
    );
    let status = Command::new("bash")
        .args(["-c", last])
        .current_dir(dir.path())
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(names(dir.path()), ["in.mov", "it's new.mp4"]);
    for word in [
        "profile   low",
        "estimate ",
        "limit ",
        "slice     rlimit",
        "change    -preset:v veryfast",
        "lighter   minimal",
    ] {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
}

#[test]
fn json_has_the_contract() {
    let dir = material();
    let shown = plan(
        dir.path(),
        &[
            "-m", "1G", "-p", "low", "ffmpeg", "-i", "in.mov", "-c:v", "libx264", "-preset",
            "slow", "o.mp4",
        ],
    );
    assert_eq!(shown["profile"], "low");
    assert_eq!(shown["limit_bytes"], 1u64 << 30);
    assert!(shown["estimate_bytes"].as_u64().unwrap() > 50 << 20);
    assert!(shown["budget_bytes"].as_u64().unwrap() > 0);
    assert_eq!(shown["inputs"], serde_json::json!(["in.mov"]));
    assert_eq!(
        shown["outputs"],
        serde_json::json!([{"url": "o.mp4", "kind": "file"}])
    );
    let changes = shown["changes"].as_array().unwrap();
    let preset = changes
        .iter()
        .find(|change| change["option"].as_str().unwrap().starts_with("-preset"))
        .unwrap();
    assert_eq!(
        (&preset["from"], &preset["to"]),
        (&"slow".into(), &"veryfast".into())
    );
    assert!(!preset["why"].as_str().unwrap().is_empty());
    assert_eq!(shown["argv"].as_array().unwrap().last().unwrap(), "o.mp4");
}

#[test]
fn what_is_planned_is_what_is_run() {
    let dir = material();
    let command = [
        "-p", "low", "ffmpeg", "-v", "error", "-y", "-i", "in.mov", "-c:v", "libx264", "-f",
        "null", "-",
    ];
    let shown = plan(dir.path(), &command);
    let ran = reported(command).dir(dir.path()).run().succeeded();
    assert_eq!(ran.attempt(0)["argv"], shown["argv"]);
    assert_eq!(ran.attempt(0)["estimate_bytes"], shown["estimate_bytes"]);
}

#[test]
fn ffmpeg_by_path_and_ffprobe_work() {
    let dir = material();
    let path =
        String::from_utf8(Command::new("which").arg("ffmpeg").output().unwrap().stdout).unwrap();
    let shown = plan(
        dir.path(),
        &["-p", "low", path.trim(), "-i", "in.mov", "o.mp4"],
    );
    assert_eq!(
        (&shown["argv"][0], &shown["profile"]),
        (&path.trim().into(), &"low".into())
    );
    let ran = ffwarden([
        "-q",
        "ffprobe",
        "-v",
        "error",
        "-show_entries",
        "format=nb_streams",
        "-of",
        "csv=p=0",
        "in.mov",
    ])
    .dir(dir.path())
    .run()
    .succeeded();
    assert_eq!(ran.stdout(), "1\n");
    let version = ffwarden(["ffmpeg", "-version"]).run().succeeded();
    assert!(
        version.stdout().starts_with("ffmpeg version") && version.stderr.is_empty(),
        "{}",
        version.stderr
    );
}

#[test]
fn a_users_profile_overrides_by_name_and_a_typo_is_placed() {
    let dir = material();
    let config = dir.path().join("ffwarden/profiles");
    std::fs::create_dir_all(&config).unwrap();
    let mine = "name: low\nrank: 20\nsummary: mine\nthreads: {encoder: 1}\n";
    std::fs::write(config.join("low.yaml"), mine).unwrap();
    let list = ffwarden(["profile", "list"])
        .env("XDG_CONFIG_HOME", dir.path())
        .run()
        .succeeded()
        .stdout();
    let rows: Vec<&str> = list.lines().collect();
    assert_eq!(rows.len(), 4, "{list}");
    assert!(
        rows[0].starts_with("minimal") && rows[0].ends_with("(built in)"),
        "{list}"
    );
    assert!(
        rows[1].contains("mine") && rows[1].ends_with("low.yaml)"),
        "{list}"
    );
    let shown = ffwarden(["profile", "show", "low"])
        .env("XDG_CONFIG_HOME", dir.path())
        .run()
        .succeeded();
    assert_eq!(shown.stdout(), mine);
    std::fs::write(config.join("low.yaml"), mine.replace("threads", "thraeds")).unwrap();
    let ran = ffwarden(["ffmpeg", "-i", "in.mov", "-f", "null", "-"])
        .dir(dir.path())
        .env("XDG_CONFIG_HOME", dir.path())
        .run();
    assert_eq!(ran.code(), Some(125));
    assert!(
        ran.stderr.contains("low.yaml:4:1") && ran.stderr.contains("threads"),
        "{}",
        ran.stderr
    );
}

#[test]
fn check_and_profile_files() {
    let dir = material();
    let file = dir.path().join("own.yaml");
    std::fs::write(
        &file,
        "name: own\nrank: 25\nsummary: mine\nmemory_max: 300M\nthreads: {encoder: 1}\n",
    )
    .unwrap();
    let ran = ffwarden(["profile", "check", "own.yaml"])
        .dir(dir.path())
        .run()
        .succeeded();
    assert_eq!(
        ran.stdout(),
        "own.yaml: profile own, rank 25: no mistakes\n"
    );
    let shown = plan(
        dir.path(),
        &[
            "-p", "own.yaml", "ffmpeg", "-i", "in.mov", "-c:v", "libx264", "o.mp4",
        ],
    );
    assert_eq!(
        (&shown["profile"], &shown["limit_bytes"]),
        (&"own".into(), &(300u64 << 20).into())
    );
    assert_eq!(
        shown["lighter"][0]["profile"], "low",
        "the ladder goes on below its rank"
    );
    let unknown = ffwarden(["-p", "lwo", "plan", "ffmpeg", "-i", "in.mov", "o.mp4"])
        .dir(dir.path())
        .run();
    assert_eq!(unknown.code(), Some(125));
    assert!(unknown.stderr.contains("`low`"), "{}", unknown.stderr);
}

#[test]
fn doctor_tells_what_this_machine_gives() {
    let ran = ffwarden(["doctor", "--json"]).run().succeeded();
    let diagnosis: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert!(["cgroup", "scope", "rlimit"].contains(&diagnosis["containment"].as_str().unwrap()));
    assert!(!diagnosis["why"].as_str().unwrap().is_empty());
    let ffmpeg = &diagnosis["programs"][0];
    assert!(
        ffmpeg["encoders"]
            .as_array()
            .unwrap()
            .iter()
            .any(|name| name == "libx264"),
        "{ffmpeg}"
    );
    let meminfo = <procfs::Meminfo as procfs::Current>::current().unwrap();
    assert!(diagnosis["memory"]["total_bytes"].as_u64().unwrap() <= meminfo.mem_total);
    let tmpfs = ffwarden(["doctor"])
        .env("TMPDIR", "/dev/shm")
        .run()
        .succeeded();
    assert!(
        tmpfs.stdout().contains("/dev/shm is a tmpfs"),
        "{}",
        tmpfs.stdout()
    );
    let lost = ffwarden(["doctor"])
        .env("PATH", "/nowhere")
        .run()
        .succeeded();
    assert!(
        lost.stdout().contains("ffmpeg is not in PATH"),
        "{}",
        lost.stdout()
    );
}
