//! Model runners under memory pressure, with real programs: espeak-ng speaks texts, FFmpeg converts the speech,
//! pocketsphinx transcribes it, while another program takes the memory and gives it back. Every transcript arrives.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{Ffwarden, ffwarden, hog, names};

const TEXTS: [(&str, &str); 6] = [
    ("one", "one two three four five"),
    ("with space", "the weather is good today"),
    ("quo'te", "go forward ten meters"),
    ("new\nline", "please open the window"),
    ("-dash", "we will meet again tomorrow"),
    ("six", "the quick brown fox"),
];

fn batch(dir: &Path, line: &str, command: &str) -> Ffwarden {
    let words = ["batch"].into_iter().chain(line.split(' '));
    let words = words.chain(["--"]).chain(command.split(' '));
    let state = dir.join("state");
    ffwarden(words).dir(dir).env("XDG_STATE_HOME", state)
}

/// Another program that holds so many MiB until it goes out of scope.
struct Taken(Child);

impl Taken {
    fn now(mib: u64) -> Taken {
        let size = format!("{mib}M");
        let mut child = Command::new(hog())
            .args(["--touch", &size, "--step", "100M", "--hold", "3600s"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It says so when it has its memory.
        let stdout = child.stdout.as_mut().unwrap();
        stdout.read_exact(&mut [0; 12]).unwrap();
        Taken(child)
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// MiB available on the machine now.
fn available() -> u64 {
    ffwarden::memory::machine().unwrap().available_bytes >> 20
}

/// A policy whose levels lie below what is available now, so that a hog is pressure on a machine of any size: critical
/// when `gap` MiB of it are gone, high at three quarters of that.
fn policy(dir: &Path, available: u64, gap: u64) {
    let text = format!(
        "name: tight\n\
         summary: pressure begins a little below what is available now\n\
         hold: 1s\ngrace: 200ms\npoll: 100ms\nmemory_per_job: 150M\n\
         batch: {{maximum: 8, minimum: 2}}\n\
         levels:\n\
         - level: normal\n\
         - {{level: high, enter: {{available: {}M}}, batch: 50%}}\n\
         - {{level: critical, enter: {{available: {}M}}, workers: 0, relief: [reclaim], stop: true}}\n",
        available - gap * 3 / 4,
        available - gap,
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
        // Long enough to be at work when the memory goes.
        let text = [text; 5].join(". ");
        fs::write(dir.join("text").join(format!("{name}.txt")), text).unwrap();
    }
    let speak = "espeak-ng -s 130 -f {} -w speech/{/.}.wav";
    batch(dir, "text/*.txt", speak).run().succeeded();
    let convert = "ffmpeg -v error -i {} -ar 16000 -ac 1 wav/{/.}.wav";
    batch(dir, "speech/*.wav", convert).run().succeeded();
    assert_eq!(names(&dir.join("wav")).len(), TEXTS.len());

    let available = available();
    // More than the jobs need themselves; no more than can be taken while they run, where memory is slow to be had.
    let gap = (available / 10).max(600);
    policy(dir, available, gap);
    // Most of the way before, so that the rest is quick.
    let mut first = Taken::now(gap * 7 / 10);
    // How many hypotheses it keeps follows the level.
    let transcribe = "pocketsphinx_continuous -infile {} -logfn /dev/null -maxhmmpf {batch}000";
    let options = "-v --policy ./tight.yaml --workers 2 --batch-size 8 --results results wav/*.wav";
    let mut started = batch(dir, options, transcribe).start();
    let mut lines = BufReader::new(started.child.stderr.take().unwrap()).lines();
    let mut heard = String::new();
    let mut until = |what: &str| {
        let found = lines.by_ref().map(|line| line.unwrap()).any(|line| {
            heard.push_str(&line);
            heard.push('\n');
            line.contains(what)
        });
        assert!(found, "never said `{what}`:\n{heard}");
    };
    until("started: ");
    let mut second = Taken::now(gap / 2);
    until("-> critical");
    assert!(
        first.is_alive() && second.is_alive(),
        "neither is ours to stop"
    );
    drop((first, second));
    until("6 done, 0 failed");
    assert!(started.end().0.success());

    let results = dir.join("results/1");
    assert_eq!(fs::read_dir(&results).unwrap().count(), TEXTS.len());
    for input in fs::read_dir(&results).unwrap() {
        let transcript = fs::read_to_string(input.unwrap().path().join("stdout")).unwrap();
        assert!(transcript.split_whitespace().count() > 4, "{transcript:?}");
    }
}
