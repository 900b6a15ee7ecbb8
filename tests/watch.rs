//! Processes that ffwarden did not start: told about, and left alone unless it is told to enforce.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{eventually, ffwarden, hog, processes, state};

/// A hog under a name of its own, holding its memory.
struct Held(Child);

fn held(program: &Path, args: &[&str]) -> Held {
    let mut child = Command::new(program)
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "hog: holding\n");
    Held(child)
}

impl Held {
    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The hog under a name that no other process has.
fn named(dir: &Path, name: &str) -> PathBuf {
    let program = dir.join(name);
    std::fs::copy(hog(), &program).unwrap();
    program
}

/// A policy that is critical on any machine, and stops.
fn always_critical(dir: &Path) -> String {
    let file = dir.join("policy.yaml");
    let text = "\
name: policy
summary: always critical
grace: 100ms
poll: 100ms
levels:
  - level: normal
  - level: critical
    enter: {used: 1K}
    workers: 0
    stop: true
    say: error
";
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_process_is_told_of_until_its_end() {
    let hog = held(&hog(), &["--touch", "60M", "--hold", "2s"]);
    let args = ["watch", "--pid", &hog.pid(), "--json", "--interval", "0.1"];
    let ran = ffwarden(args).run().succeeded();
    let objects = objects(&ran.stdout());
    let rows: Vec<&Value> = objects
        .iter()
        .filter_map(|object| object["processes"].as_array()?.first())
        .collect();
    assert!(!rows.is_empty(), "{}", ran.stdout());
    for row in &rows {
        assert_eq!(row["pid"].to_string(), hog.pid());
        assert_eq!(row["state"], "running");
    }
    let needs = |row: &&Value| row["needs_bytes"].as_u64();
    let most = rows.iter().filter_map(needs).max().unwrap();
    assert!((60 << 20..90 << 20).contains(&most), "{most}");
    let events: Vec<&str> = objects
        .iter()
        .filter_map(|object| object["event"].as_str())
        .filter(|event| *event != "level")
        .collect();
    assert_eq!(events, ["found", "ended"]);
}

#[test]
fn what_is_named_is_found_when_it_appears_and_nothing_is_done_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let program = named(dir.path(), "hog-of-a-long-name");
    let policy = always_critical(dir.path());
    let args = ["watch", "--name", "hog-of-a-long-name", "--interval", "0.1"];
    let mut watch = ffwarden(args.iter().chain(&["--policy", &policy])).start();
    let mut lines = Vec::new();
    let mut hogs: Vec<Held> = (0..2)
        .map(|_| held(&program, &["--touch", "30M", "--hold", "60s"]))
        .collect();
    let mut reader = BufReader::new(watch.child.stdout.take().unwrap());
    eventually("both are told of, with all they hold", || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        lines.push(line);
        let line = lines.last().unwrap();
        line.contains("2 processes with 6")
            && hogs
                .iter()
                .all(|hog| line.contains(&format!("[{}]", hog.pid())))
    });
    let line = lines.last().unwrap();
    assert!(line.starts_with("critical, "), "{line}");
    watch.signal(Signal::SIGINT);
    let (status, stderr) = watch.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("level normal -> critical"), "{stderr}");
    assert!(hogs.iter_mut().all(Held::is_alive));
}

#[test]
fn it_stops_and_goes_on_as_any_program_does() {
    let args = ["watch", "--name", "no-such-program", "--interval", "0.1"];
    let mut watch = ffwarden(args).start();
    let mut reader = BufReader::new(watch.child.stdout.take().unwrap());
    let mut line = String::new();
    let mut next = || reader.read_line(&mut line).unwrap();
    next();
    for _ in 0..5 {
        watch.signal(Signal::SIGTSTP);
        eventually("it stands still", || state(watch.pid()) == Some('T'));
        watch.signal(Signal::SIGCONT);
        eventually("it goes on", || state(watch.pid()) != Some('T'));
        next();
    }
    watch.signal(Signal::SIGINT);
    let (status, stderr) = watch.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn enforcing_stops_the_one_that_gives_most_and_not_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let program = named(dir.path(), "enforced-hog");
    let policy = always_critical(dir.path());
    let mut small = held(&program, &["--touch", "20M", "--hold", "60s"]);
    let mut large = held(&program, &["--touch", "200M", "--hold", "60s"]);
    let bystander = held(&hog(), &["--touch", "300M", "--hold", "60s"]);
    let args = [
        "watch",
        "--name",
        "enforced-hog",
        "--interval",
        "0.2",
        "--json",
    ];
    let watch = ffwarden(args.iter().chain(&["--enforce", "--policy", &policy])).start();
    eventually("the large one is stopped", || !large.is_alive());
    let status = large.0.wait().unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
    // Longer than the grace time after which the next one would go.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(small.is_alive(), "it is the last");
    watch.signal(Signal::SIGTERM);
    let (status, _) = watch.end();
    assert_eq!(status.code(), Some(0));
    let mut bystander = bystander;
    assert!(bystander.is_alive(), "it was not named");
}

/// Watching goes on while a relief command runs, which may take as long as the policy lets it.
#[test]
fn a_relief_command_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (started, go, policy) = (path("started"), path("go"), path("policy.yaml"));
    let script =
        format!("yes & touch '{started}'; until [ -e '{go}' ]; do sleep 0.05; done; kill $!");
    let command = serde_json::to_string(&["sh", "-c", &script]).unwrap();
    let text = format!(
        "\
name: policy
summary: always critical
grace: 100ms
poll: 100ms
relief: {{timeout: 600s, command: {command}}}
levels:
  - level: normal
  - level: critical
    enter: {{used: 1K}}
    workers: 0
    relief: [command]
"
    );
    std::fs::write(&policy, text).unwrap();
    let program = named(dir.path(), "relieved-hog");
    let mut hog = held(&program, &["--touch", "20M", "--hold", "600s"]);
    let name = ["watch", "--name", "relieved-hog", "--json"];
    let how = ["--interval", "0.1", "--enforce", "--policy", &policy];
    let mut watch = ffwarden(name.iter().chain(&how)).start();
    let mut reader = BufReader::new(watch.child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    eventually("the command runs", || Path::new(&started).exists());
    let mut looks = 0;
    eventually("ten looks while it runs", || {
        let object = next();
        assert_ne!(object["event"], "relief");
        looks += usize::from(object["processes"].is_array());
        looks >= 10
    });
    std::fs::write(&go, "").unwrap();
    eventually("its end is told", || next()["event"] == "relief");
    watch.signal(Signal::SIGTERM);
    assert_eq!(watch.end().0.code(), Some(0));
    assert!(hog.is_alive());
}

#[test]
fn enforcing_spares_what_another_ffwarden_looks_after() {
    let dir = tempfile::tempdir().unwrap();
    let program = named(dir.path(), "managed-hog");
    let policy = always_critical(dir.path());
    let hog = program.display().to_string();
    let run = |size: &str| ffwarden(["run", "--", &hog, "--touch", size, "--hold", "60s"]).start();
    let (one, two) = (run("30M"), run("40M"));
    eventually("both run", || {
        processes(&["managed-hog", "--hold"]).len() >= 2
    });
    let args = [
        "watch",
        "--name",
        "managed-hog",
        "--interval",
        "0.1",
        "--json",
    ];
    let mut watch = ffwarden(args.iter().chain(&["--enforce", "--policy", &policy])).start();
    let mut reader = BufReader::new(watch.child.stdout.take().unwrap());
    let mut looks = 0;
    eventually("ten looks at both", || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_ne!(object["event"], "stopped", "{line}");
        let rows = object["processes"].as_array().cloned().unwrap_or_default();
        let managed = rows.iter().filter(|row| row["state"] == "managed").count();
        looks += usize::from(managed == 2);
        looks >= 10
    });
    watch.signal(Signal::SIGTERM);
    assert_eq!(watch.end().0.code(), Some(0));
    for run in [one, two] {
        run.signal(Signal::SIGTERM);
        let _its_end_was_ours = run.end();
    }
}

#[test]
fn a_process_that_is_not_there_is_an_error() {
    let mut gone = Command::new("true").spawn().unwrap();
    let pid = gone.id().to_string();
    gone.wait().unwrap();
    let ran = ffwarden(["watch", "--pid", &pid]).run();
    assert_eq!(ran.code(), Some(125));
    assert!(
        ran.stderr.contains(&format!("no process {pid}")),
        "{}",
        ran.stderr
    );
}
