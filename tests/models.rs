//! Model runners under memory pressure, with real programs: espeak-ng speaks texts, FFmpeg converts the speech,
//! pocketsphinx transcribes it, while another program takes the memory and gives it back. Every transcript arrives.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Ran, ffwarden, hog, names};

const TEXTS: [(&str, &str); 6] = [
    ("one", "one two three four five"),
    ("with space", "the weather is good today"),
    ("quo'te", "go forward ten meters"),
    ("new\nline", "please open the window"),
    ("-dash", "we will meet again tomorrow"),
    ("six", "the quick brown fox"),
];

fn batch(dir: &Path, options: &[&str], command: &[&str]) -> Ran {
    let mut words = vec!["batch"];
    words.extend(options);
    words.push("--");
    words.extend(command);
    ffwarden(words)
        .dir(dir)
        .env("XDG_STATE_HOME", dir.join("state"))
        .run()
}

/// MiB available on the machine now.
fn available() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

/// A policy whose levels lie below what is available now, so that a hog is pressure on a machine of any size: high
/// when an eighth of it is gone, critical at a fifth.
fn policy(dir: &Path, available: u64) {
    let text = format!(
        "name: tight\n\
         summary: pressure begins a little below what is available now\n\
         hold: 1s\ngrace: 200ms\npoll: 100ms\nmemory_per_job: 150M\n\
         batch: {{maximum: 8, minimum: 2}}\n\
         levels:\n\
         - level: normal\n\
         - {{level: high, enter: {{available: {}M}}, batch: 50%}}\n\
         - {{level: critical, enter: {{available: {}M}}, workers: 0, relief: [reclaim], stop: true}}\n",
        available / 8 * 7,
        available / 5 * 4,
    );
    fs::write(dir.join("tight.yaml"), text).unwrap();
}

#[test]
fn all_transcripts_arrive_while_another_program_takes_the_memory() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path();
    for name in ["text", "speech", "wav"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    for (name, text) in TEXTS {
        fs::write(dir.join("text").join(format!("{name}.txt")), text).unwrap();
    }
    let speak = [
        "espeak-ng",
        "-s",
        "130",
        "-f",
        "{}",
        "-w",
        "speech/{/.}.wav",
    ];
    batch(dir, &["text/*.txt"], &speak).succeeded();
    let convert = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        "{}",
        "-ar",
        "16000",
        "-ac",
        "1",
        "wav/{/.}.wav",
    ];
    batch(dir, &["speech/*.wav"], &convert).succeeded();
    assert_eq!(names(&dir.join("wav")).len(), TEXTS.len());

    let available = available();
    policy(dir, available);
    let size = format!("{}M", available / 3);
    let mut hog = Command::new(hog())
        .args([
            "--touch", &size, "--step", "200M", "--delay", "20ms", "--hold", "5s",
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The batch size reaches the runner as an argument: its number of transcripts kept at most.
    let transcribe = [
        "pocketsphinx_continuous",
        "-infile",
        "{}",
        "-logfn",
        "/dev/null",
        "-maxhmmpf",
        "{batch}000",
    ];
    let options = [
        "-v",
        "--policy",
        "./tight.yaml",
        "--workers",
        "4",
        "--batch-size",
        "8",
        "--results",
        "results",
        "--report",
        "report.json",
        "wav/*.wav",
    ];
    let ran = batch(dir, &options, &transcribe).succeeded();
    assert!(
        hog.wait().unwrap().success(),
        "the other program was left alone"
    );

    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("report.json")).unwrap()).unwrap();
    let jobs = report["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), TEXTS.len(), "{report:#}");
    for input in fs::read_dir(dir.join("results/1")).unwrap() {
        let transcript = fs::read_to_string(input.unwrap().path().join("stdout")).unwrap();
        assert!(transcript.split_whitespace().count() > 1, "{transcript:?}");
    }
    assert_eq!(
        fs::read_dir(dir.join("results/1")).unwrap().count(),
        TEXTS.len()
    );
    assert!(ran.stderr.contains("-> critical"), "{}", ran.stderr);
}
