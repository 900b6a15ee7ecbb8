//! The engine with real children, on the fallback path: many jobs at once around the core, from the first start to
//! the last temporary file.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::{eventually, ffmpeg, ffprobe, hog, names, processes, state, unique};
use tempfile::TempDir;

/// Jobs and a policy in a directory of their own.
struct Run {
    dir: TempDir,
}

/// What came of it.
struct Ran {
    code: Option<i32>,
    lines: Vec<Value>,
    stderr: String,
}

/// One under way.
struct Going {
    child: std::process::Child,
}

/// A policy with these levels and settings besides the normal one.
fn policy(rest: &str, levels: &str) -> String {
    format!(
        "name: test\nsummary: for a test\npoll: 100ms\nhold: 200ms\ngrace: 100ms\nbackoff: {{first: 100ms, longest: 1s}}\n\
         breaker: {{ends: 0}}\n{rest}\nlevels:\n  - level: normal\n{levels}"
    )
}

impl Run {
    fn new(jobs: &[Value], policy: &str) -> Run {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("jobs.json"), json!(jobs).to_string()).unwrap();
        std::fs::write(dir.path().join("test.yaml"), policy).unwrap();
        Run { dir }
    }

    fn command(&self) -> Command {
        let bin = PathBuf::from(env!("CARGO_BIN_EXE_ffwarden"));
        let program = bin.parent().unwrap().join("examples/engine-run");
        assert!(
            program.exists(),
            "build the examples first: cargo build --examples"
        );
        let mut command = Command::new(program);
        command
            .args(["jobs.json", "test.yaml"])
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self) -> Ran {
        let output = self.command().output().unwrap();
        ran(&output)
    }

    fn start(&self) -> Going {
        use std::os::unix::process::CommandExt;
        let child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Going { child }
    }
}

fn ran(output: &std::process::Output) -> Ran {
    let text = String::from_utf8_lossy(&output.stdout);
    Ran {
        code: output.status.code(),
        lines: text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Going {
    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    fn supervisor(&self) -> i32 {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        std::fs::read_to_string(path)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    fn end(self) -> Ran {
        ran(&self.child.wait_with_output().unwrap())
    }
}

impl Ran {
    /// The lines of one kind, their contents.
    fn all(&self, kind: &str) -> Vec<&Value> {
        let of_kind = |line: &'_ Value| line.get(kind).is_some();
        let lines = self.lines.iter().filter(|line| of_kind(line));
        lines.map(|line| &line[kind]).collect()
    }

    fn finished(&self, job: u64) -> &Value {
        let all = self.all("finished");
        let mine: Vec<_> = all.iter().filter(|one| one["job"] == job).collect();
        assert_eq!(
            mine.len(),
            1,
            "job {job} finished not once: {}",
            self.stderr
        );
        mine[0]
    }

    fn outcomes(&self, job: u64) -> Vec<&str> {
        let all = self.all("ended").into_iter();
        all.filter(|one| one["job"] == job)
            .map(|one| one["attempt"]["outcome"].as_str().unwrap())
            .collect()
    }

    fn decisions(&self, kind: &str) -> Vec<&Value> {
        let all = self.all("decided").into_iter();
        all.filter(|one| one["decision"] == kind).collect()
    }

    fn outcome(&self) -> &Value {
        self.all("outcome")
            .pop()
            .unwrap_or_else(|| panic!("no outcome: {}", self.stderr))
    }
}

fn hogs(arguments: &[&str]) -> Value {
    let words = std::iter::once(hog().display().to_string());
    let words = words.chain(arguments.iter().map(|word| (*word).to_owned()));
    json!(words.collect::<Vec<_>>())
}

#[test]
fn many_jobs_finish_and_failures_are_told_for_what_they_are() {
    let mut jobs: Vec<Value> = (0..40).map(|_| json!({"argv": ["true"]})).collect();
    jobs.push(json!({"argv": ["sh", "-c", "echo out; echo err >&2; exit 3"], "stdout": "o", "stderr": "e"}));
    jobs.push(json!({"argv": ["sh", "-c", "kill -USR2 $$"]}));
    jobs.push(json!({"argv": ["no-such-command-here"]}));
    jobs.push(json!({"argv": ["/etc/passwd"]}));
    jobs.push(json!({"argv": ["sleep", "60"], "timeout": 0.3}));
    jobs.push(json!({"argv": ["sleep", "60"], "stall": 0.3}));
    jobs.push(json!({"argv": ["cat"], "stdout": "cat"}));
    let run = Run::new(&jobs, &policy("workers: 4", ""));
    let ran = run.run();
    let codes: Vec<i64> = (41..=47)
        .map(|job| ran.finished(job)["exit_code"].as_i64().unwrap())
        .collect();
    assert_eq!(codes, [3, 140, 127, 126, 124, 124, 0], "{}", ran.stderr);
    assert!((1..=40).all(|job| ran.finished(job)["done"] == true));
    assert_eq!(ran.outcome()["done"], 41);
    assert_eq!(ran.outcome()["failed"], 6);
    assert_eq!(std::fs::read(run.path("o")).unwrap(), b"out\n");
    assert_eq!(std::fs::read(run.path("e")).unwrap(), b"err\n");
    assert_eq!(
        std::fs::read(run.path("cat")).unwrap(),
        b"",
        "stdin is empty"
    );
    assert_eq!(ran.outcomes(42), ["signaled"]);
    let reason = ran.finished(43)["reason"].as_str().unwrap();
    assert_eq!(reason, "no-such-command-here: command not found");
}

#[test]
fn no_more_run_at_once_than_the_policy_lets() {
    let dir = tempfile::tempdir().unwrap();
    let count = format!(
        "touch {0}/$$; ls {0} | wc -l; sleep 0.05; rm {0}/$$",
        dir.path().display()
    );
    let jobs: Vec<Value> = (0..12)
        .map(|job| json!({"argv": ["sh", "-c", count], "stdout": format!("o{job}")}))
        .collect();
    let run = Run::new(&jobs, &policy("workers: 2\ncpu: 1000%", ""));
    let ran = run.run();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let seen = (0..12).map(|job| {
        let text = std::fs::read_to_string(run.path(&format!("o{job}"))).unwrap();
        text.trim().parse::<u32>().unwrap()
    });
    let most = seen.max().unwrap();
    assert_eq!(most, 2);
}

#[test]
fn what_needs_more_than_it_may_have_fails_with_what_it_needs() {
    let jobs = [json!({"argv": hogs(&["--touch", "200M", "--hold", "300ms"]), "memory": "100M"})];
    let ran = Run::new(&jobs, &policy("workers: 1", "")).run();
    assert_eq!(ran.outcomes(1), ["oom"], "{}", ran.stderr);
    assert_eq!(ran.finished(1)["exit_code"], 125);
    let reason = ran.finished(1)["reason"].as_str().unwrap();
    assert!(
        reason.contains("stopped at its own memory limit of 100 MiB")
            && reason.contains("nothing lighter is left to try"),
        "{reason}"
    );
}

/// A program called ffmpeg that needs much unless it is given a light preset.
fn pretender(dir: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join("ffmpeg");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *ultrafast*) exec {0} --touch 10M;; *) exec {0} --touch 400M --hold 300ms;; esac\n",
        hog().display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_job_that_meets_its_own_limit_is_tried_again_lighter() {
    let dir = tempfile::tempdir().unwrap();
    let words = [
        pretender(dir.path()).display().to_string(),
        "-f".into(),
        "lavfi".into(),
        "-i".into(),
        "testsrc2=size=320x240:rate=25:duration=1".into(),
        "-c:v".into(),
        "libx264".into(),
        "out.mp4".into(),
    ];
    let job = json!({"argv": words, "memory": "250M", "profile": "low"});
    let run = Run::new(&[job], &policy("workers: 1", ""));
    let ran = run.run();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.outcomes(1), ["oom", "exited"], "{}", ran.stderr);
    let profiles: Vec<&Value> = ran
        .all("started")
        .iter()
        .map(|one| &one["profile"])
        .collect();
    assert_eq!(profiles, ["low", "minimal"]);
}

/// Critical when the children need so much; then one is stopped.
fn crowded(bytes: &str) -> String {
    policy(
        "workers: 2\ncpu: 1000%\nmemory_per_job: 60M",
        &format!(
            "  - level: critical\n    enter: {{children: {bytes}}}\n    workers: 0\n    stop: true\n"
        ),
    )
}

#[test]
fn a_victim_is_stopped_leaves_nothing_and_finishes_later() {
    let dir = tempfile::tempdir().unwrap();
    let encode = |name: &str| {
        let out = dir.path().join(name).display().to_string();
        json!({"argv": ["ffmpeg", "-loglevel", "error", "-re", "-f", "lavfi", "-i",
            "testsrc2=size=640x360:rate=25:duration=3", "-c:v", "libx264", "-preset", "ultrafast", out]})
    };
    // The hog comes when both run; what it takes makes it critical for a while.
    let jobs = [
        encode("a.mp4"),
        json!({"argv": hogs(&["--touch", "300M", "--delay", "20ms", "--hold", "1s"])}),
    ];
    let run = Run::new(&jobs, &crowded("250M"));
    let ran = run.run();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.decisions("victim").is_empty(), "{}", ran.stderr);
    let stopped: Vec<_> = [1, 2]
        .into_iter()
        .filter(|job| ran.outcomes(*job).contains(&"pressure"))
        .collect();
    assert!(!stopped.is_empty(), "{}", ran.stderr);
    for job in [1, 2] {
        assert_eq!(ran.outcomes(job).last(), Some(&"exited"));
        assert_eq!(ran.finished(job)["done"], true);
    }
    assert_eq!(names(dir.path()), ["a.mp4"]);
    let packets = ffprobe("stream=nb_read_packets", &dir.path().join("a.mp4"));
    assert_eq!(packets, "75");
}

fn relieved(rest: &str, relief: &str) -> String {
    policy(
        &format!("workers: 1\nmemory_per_job: 60M\nrelief: {{{rest}}}"),
        &format!("  - level: moderate\n    enter: {{children: 100M}}\n    relief: [{relief}]\n"),
    )
}

#[test]
fn a_relief_command_runs_and_its_words_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark");
    let jobs = [json!({"argv": hogs(&["--touch", "150M", "--hold", "1s"])})];
    let rest = format!(
        "command: [sh, -c, 'echo unloaded; touch {}'], timeout: 5s",
        mark.display()
    );
    let ran = Run::new(&jobs, &relieved(&rest, "command")).run();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(mark.exists());
    assert!(
        ran.stderr.contains("relief command: unloaded"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.decisions("relieved")[0]["done"], true);
}

#[test]
fn a_relief_command_is_killed_with_all_of_its_own_when_its_time_is_up() {
    let tag = unique("relief");
    let jobs = [json!({"argv": hogs(&["--touch", "150M", "--hold", "2s"])})];
    let rest =
        format!("command: [sh, -c, ': {tag}; sleep 300 | : {tag}; sleep 300'], timeout: 300ms");
    let ran = Run::new(&jobs, &relieved(&rest, "command")).run();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the relief command was killed"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.decisions("relieved")[0]["done"], false);
    assert_eq!(processes(&[&tag]), [0i32; 0]);
}

#[test]
fn a_relief_signal_reaches_only_children_that_asked_for_it() {
    let script = format!(
        "trap 'echo freed' USR1; {} --touch 150M --hold 1s & while kill -0 $!; do wait $!; done; exit 0",
        hog().display()
    );
    let jobs = [json!({"argv": ["sh", "-c", script], "stdout": "o", "relievable": true})];
    let run = Run::new(&jobs, &relieved("signal: USR1", "signal"));
    let ran = run.run();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let said = std::fs::read_to_string(run.path("o")).unwrap();
    assert!(said.contains("freed"), "{said}");
    // USR1 ends a program that does not catch it.
    let deaf = [json!({"argv": hogs(&["--touch", "150M", "--hold", "1s"])})];
    let ran = Run::new(&deaf, &relieved("signal: USR1", "signal")).run();
    assert_eq!(ran.outcomes(1), ["exited"], "{}", ran.stderr);
}

#[test]
fn a_batch_size_is_given_at_the_start_and_told_when_it_changes() {
    let script =
        "echo $FFWARDEN_LEVEL $FFWARDEN_BATCH_SIZE {batch} $FFWARDEN_SEGMENT_SECONDS; cat b";
    let jobs = [
        json!({"argv": ["sh", "-c", script], "adaptive": [2], "stdout": "o", "batch": 8, "batch_file": "b"}),
    ];
    let run = Run::new(&jobs, &policy("segment: {length: 60s, minimum: 10s}", ""));
    let ran = run.run();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let said = std::fs::read_to_string(run.path("o")).unwrap();
    assert_eq!(said, "normal 8 8 60\n8\n");

    let pressed = policy(
        "memory_per_job: 60M",
        "  - level: high\n    enter: {children: 100M}\n    batch: 50%\n",
    );
    let script = format!("{} --touch 150M --hold 1s; cat b", hog().display());
    let jobs =
        [json!({"argv": ["sh", "-c", script], "stdout": "o", "batch": 8, "batch_file": "b"})];
    let run = Run::new(&jobs, &pressed);
    let ran = run.run();
    let said = std::fs::read_to_string(run.path("o")).unwrap();
    assert_eq!(said, "hog: holding\n4\n", "{}", ran.stderr);
}

/// Encodes that take their time, and a shell with descendants of all kinds.
fn long_jobs(dir: &Path, tag: &str) -> Vec<Value> {
    let script = format!(
        "sh -c ': {tag}; sleep 300' & setsid sh -c ': {tag}; trap \"\" TERM; sleep 300' & : {tag}; while :; do sleep 1; done"
    );
    let out = dir.join("out.mp4").display().to_string();
    vec![
        json!({"argv": ["ffmpeg", "-loglevel", "error", "-re", "-f", "lavfi", "-i",
            "testsrc2=size=320x180:rate=25:duration=300", "-c:v", "libx264", "-metadata",
            format!("comment={tag}"), out]}),
        json!({"argv": ["sh", "-c", script]}),
        json!({"argv": ["true"]}),
    ]
}

fn long_run(dir: &Path, tag: &str) -> (Run, Going) {
    let run = Run::new(
        &long_jobs(dir, tag),
        &policy("workers: 2\ncpu: 1000%\nmemory_per_job: 60M", ""),
    );
    let going = run.start();
    eventually("both run", || {
        processes(&[tag]).len() >= 4 && names(dir).iter().any(|name| name.starts_with('.'))
    });
    (run, going)
}

#[test]
fn an_interrupt_ends_all_and_leaves_what_was_not_done_for_another_time() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (dir, tag) = (tempfile::tempdir().unwrap(), unique("drain"));
        let (_run, going) = long_run(dir.path(), &tag);
        going.signal(signal);
        let ran = going.end();
        assert_eq!(processes(&[&tag]), [0i32; 0]);
        assert_eq!(names(dir.path()), [""; 0]);
        assert_eq!(ran.outcome()["interrupted"], signal.as_str());
        assert!(ran.all("finished").is_empty(), "{:?}", ran.lines);
    }
}

#[test]
fn a_second_interrupt_kills_what_does_not_listen() {
    let tag = unique("deaf");
    let script = format!(": {tag}; trap '' TERM; while :; do sleep 0.05; done");
    let run = Run::new(&[json!({"argv": ["sh", "-c", script]})], &policy("", ""));
    let going = run.start();
    // The child, and neither guard nor supervisor.
    eventually("the child runs", || processes(&[&tag]).len() == 1);
    std::thread::sleep(Duration::from_millis(100));
    going.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(processes(&[&tag]).len(), 1, "it is given its time");
    going.signal(Signal::SIGINT);
    let ran = going.end();
    assert_eq!(processes(&[&tag]), [0i32; 0]);
    assert_eq!(ran.outcome()["interrupted"], "SIGINT");
}

#[test]
fn sigkill_to_guard_or_supervisor_leaves_neither_process_nor_file() {
    for supervisor in [true, false] {
        let (dir, tag) = (tempfile::tempdir().unwrap(), unique("sigkill"));
        let (_run, going) = long_run(dir.path(), &tag);
        let pid = if supervisor {
            going.supervisor()
        } else {
            going.pid()
        };
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        eventually("all is gone", || {
            processes(&[&tag]).is_empty() && names(dir.path()).is_empty()
        });
        drop(going.end());
    }
}

#[test]
fn a_daemon_ends_with_its_attempt_and_only_with_that() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (unique("first"), unique("second"));
    let daemon = |tag: &str, time: &str| {
        let script = format!(
            "setsid sh -c 'echo up >{0}/{tag}; : {tag}; sleep 300' & : {tag}; while [ ! -e {0}/{tag} ]; do sleep 0.02; done; sleep {time}",
            dir.path().display()
        );
        json!({"argv": ["sh", "-c", script]})
    };
    let jobs = [daemon(&first, "0.1"), daemon(&second, "4")];
    let run = Run::new(
        &jobs,
        &policy("workers: 2\ncpu: 1000%\nmemory_per_job: 20M", ""),
    );
    let going = run.start();
    eventually("both are up", || names(dir.path()).len() == 2);
    eventually("the first has gone with its daemon", || {
        processes(&[&first]).is_empty()
    });
    assert_eq!(processes(&[&second]).len(), 2, "the other's is untouched");
    let ran = going.end();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(processes(&[&second]), [0i32; 0]);
}

#[test]
fn the_terminals_stop_reaches_the_children_through_us() {
    let tag = unique("stop");
    // It starts no other: a shell stopped between vfork and exec is not itself stopped.
    let script = format!(": {tag}; while :; do :; done");
    let run = Run::new(&[json!({"argv": ["sh", "-c", script]})], &policy("", ""));
    let going = run.start();
    eventually("the child runs", || processes(&[&tag]).len() == 1);
    let child = processes(&[&tag])[0];
    let (guard, supervisor) = (going.pid(), going.supervisor());
    let all = |wanted: bool| {
        let stopped = |pid: &i32| (state(*pid) == Some('T')) == wanted;
        [guard, supervisor, child].iter().all(stopped)
    };
    for _ in 0..10 {
        nix::sys::signal::killpg(Pid::from_raw(guard), Signal::SIGTSTP).unwrap();
        eventually("all of it is stopped", || all(true));
        nix::sys::signal::killpg(Pid::from_raw(guard), Signal::SIGCONT).unwrap();
        eventually("all of it goes on", || all(false));
    }
    going.signal(Signal::SIGTERM);
    going.end();
    assert_eq!(processes(&[&tag]), [0i32; 0]);
}

#[test]
fn an_output_that_is_there_is_neither_asked_for_nor_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    ffmpeg(
        &["-f", "lavfi", "-i", "sine=duration=1", "in.wav"],
        dir.path(),
    );
    std::fs::write(dir.path().join("out.wav"), "precious").unwrap();
    let (input, out) = (dir.path().join("in.wav"), dir.path().join("out.wav"));
    let argv = json!(["ffmpeg", "-loglevel", "error", "-i", input, out]);
    let run = Run::new(&[json!({"argv": argv, "stderr": "e"})], &policy("", ""));
    let ran = run.run();
    assert_eq!(ran.finished(1)["exit_code"], 1, "{}", ran.stderr);
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
    let said = std::fs::read_to_string(run.path("e")).unwrap();
    assert!(said.contains("Not overwriting - exiting"), "{said}");
}
