//! A machine that another program fills step by step while many encodes run: every encode finishes, nothing but
//! ffwarden's own children is ever stopped, and the kernel's OOM killer of the whole machine has nothing to do.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Place, Warden, hog, packets};

const CLIPS: usize = 12;
const FRAMES: u32 = 24;

/// 1080p, which costs libx264 some 300 MiB; a still picture, which costs an emulated processor little.
fn clips(dir: &Path) {
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i"])
        .args(["color=gray:s=1920x1080:r=25", "-frames:v"])
        .arg(FRAMES.to_string())
        .args(["-c:v", "libx264", "-preset", "ultrafast", "clip.mp4"])
        .current_dir(dir)
        .status();
    assert!(made.unwrap().success());
    fs::create_dir(dir.join("in")).unwrap();
    fs::create_dir(dir.join("out")).unwrap();
    for clip in 0..CLIPS {
        fs::hard_link(dir.join("clip.mp4"), dir.join(format!("in/{clip}.mp4"))).unwrap();
    }
}

/// Takes memory in steps, keeps it for a while and gives it back.
fn other_program() -> Child {
    Command::new(hog())
        .args([
            "--touch", "1200M", "--step", "100M", "--delay", "3s", "--hold", "60s",
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills by the OOM killer of the whole machine; those of a cgroup at its own limit are worded otherwise.
fn machine_kills() -> usize {
    let log = Command::new("dmesg").output().unwrap().stdout;
    let log = String::from_utf8_lossy(&log).into_owned();
    log.lines()
        .filter(|line| line.contains("Out of memory: Killed process"))
        .count()
}

#[test]
#[ignore = "fills the machine's memory: for the emulated machine only"]
fn every_encode_finishes_while_another_program_takes_the_memory() {
    let kills = machine_kills();
    let mut other = other_program();
    let job = [
        "-v",
        "batch",
        "--workers",
        "4",
        "in/*.mp4",
        "--",
        "ffmpeg",
        "-v",
        "error",
        "-i",
        "{}",
        "-c:v",
        "libx264",
        "-preset",
        "medium",
        "out/{/.}.mp4",
    ];
    let done = Warden::at(Place::Undelegated)
        .start_with(clips, &job)
        .wait();
    assert_eq!(done.code, 0, "{}", done.state());
    for clip in 0..CLIPS {
        assert_eq!(packets(&done.dir().join(format!("out/{clip}.mp4"))), FRAMES);
    }
    // There was something to hold out against: new work stopped, and running work gave way.
    assert!(done.stderr().contains("-> critical"), "{}", done.state());
    if let Some(status) = other.try_wait().unwrap() {
        assert!(status.success(), "the other program was killed: {status}");
    }
    assert_eq!(machine_kills(), kills, "{}", done.state());
    let _already_ended = other.kill();
    other.wait().unwrap();
    done.assert_nothing_left();
}
