//! Ctrl-Z, `fg` and their like: guard, supervisor and child stop and go on as one, whoever is told and how often,
//! with the prefix (one child, in our process group) and in a batch (children with groups of their own).
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use support::batch::{Place, place};
use support::terminal::Terminal;
use support::{Started, eventually, ffwarden, processes, state, unique};

/// A child (bash) that shows that it goes on. It starts no others: a shell that is stopped between vfork and exec
/// waits for a stopped process and is not itself stopped.
fn script(beats: &Path, tag: &str) -> String {
    let beats = beats.display();
    format!(
        ": {tag}; mkfifo {beats}.never; exec 9<>{beats}.never; while :; do echo >>{beats}; read -t 0.01 <&9; done"
    )
}

/// All that has to stop and to go on.
struct Family {
    guard: i32,
    supervisor: i32,
    child: i32,
    beats: PathBuf,
}

fn only_child(pid: i32) -> Option<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(path).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

impl Family {
    fn of(guard: i32, beats: &Path) -> Family {
        let beats = beats.to_owned();
        eventually("the child runs", || beats.exists());
        let supervisor = only_child(guard).unwrap();
        let child = only_child(supervisor).unwrap();
        Family {
            guard,
            supervisor,
            child,
            beats,
        }
    }

    fn states(&self) -> Vec<Option<char>> {
        [self.guard, self.supervisor, self.child]
            .into_iter()
            .map(state)
            .collect()
    }

    fn beats(&self) -> u64 {
        self.beats.metadata().map_or(0, |file| file.len())
    }

    #[track_caller]
    fn stops(&self, when: &str) {
        let mut last = Vec::new();
        eventually_said("all of it is stopped", when, || {
            last = self.states();
            (last == [Some('T'); 3], format!("{last:?}"))
        });
    }

    /// And stays so: the child gets on for some beats, and then all of it runs.
    #[track_caller]
    fn goes_on(&self, when: &str) {
        for _ in 0..3 {
            let from = self.beats();
            eventually_said("all of it goes on", when, || {
                let last = self.states();
                let runs = last.iter().all(|state| *state != Some('T'));
                (
                    runs && self.beats() >= from + 3,
                    format!("{last:?} {} beats", self.beats() - from),
                )
            });
        }
    }

    fn to_group(&self, signal: Signal) {
        killpg(Pid::from_raw(self.guard), signal).unwrap();
    }

    fn to_guard(&self, signal: Signal) {
        kill(Pid::from_raw(self.guard), signal).unwrap();
    }
}

#[track_caller]
fn eventually_said(what: &str, when: &str, mut holds: impl FnMut() -> (bool, String)) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let (true_now, said) = holds();
        if true_now {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "not within 30 s: {what} ({when}): guard, supervisor, child: {said}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One run, and what it runs in.
struct Run {
    started: Started,
    family: Family,
    tag: String,
    _place: Place,
}

impl Run {
    fn prefix() -> Run {
        Run::of(|_, script| ffwarden(["-q", "run", "--", "bash", "-c", script]).start())
    }

    fn batch() -> Run {
        Run::of(|place, script| {
            place
                .batch(&["-q", "a", "--", "bash", "-c", script, "{}"])
                .start()
        })
    }

    fn both() -> [(&'static str, Run); 2] {
        [("prefix", Run::prefix()), ("batch", Run::batch())]
    }

    fn of(start: impl Fn(&Place, &str) -> Started) -> Run {
        let (place, tag) = (place(), unique("stop"));
        place.write("a", "");
        let beats = place.root.path().join("beats");
        let started = start(&place, &script(&beats, &tag));
        let family = Family::of(started.pid(), &beats);
        Run {
            started,
            family,
            tag,
            _place: place,
        }
    }

    #[track_caller]
    fn end(self) {
        self.started.signal(Signal::SIGTERM);
        self.started.end();
        assert_eq!(processes(&[&self.tag]), [0i32; 0]);
    }
}

/// Stops and continues again and again, each time with one signal each.
#[track_caller]
fn again_and_again(stop: fn(&Family, Signal), go: fn(&Family, Signal)) {
    for (path, run) in Run::both() {
        for round in 0..10 {
            let when = format!("{path}, round {round}");
            stop(&run.family, Signal::SIGTSTP);
            run.family.stops(&when);
            go(&run.family, Signal::SIGCONT);
            run.family.goes_on(&when);
        }
        run.end();
    }
}

#[test]
fn by_a_process_to_the_whole_group() {
    again_and_again(Family::to_group, Family::to_group);
}

#[test]
fn by_a_process_to_the_guard_alone() {
    again_and_again(Family::to_guard, Family::to_guard);
}

#[test]
fn stopped_as_a_group_and_continued_by_the_guard_alone() {
    again_and_again(Family::to_group, Family::to_guard);
}

#[test]
fn stopped_by_the_guard_alone_and_continued_as_a_group() {
    again_and_again(Family::to_guard, Family::to_group);
}

/// SIGSTOP cannot be held back: it stops whom it is sent to, and the others run.
#[test]
fn a_guard_that_was_stopped_by_force_goes_on_as_before() {
    for (path, run) in Run::both() {
        let family = &run.family;
        family.to_guard(Signal::SIGSTOP);
        eventually("the guard is stopped", || state(family.guard) == Some('T'));
        family.to_guard(Signal::SIGCONT);
        family.goes_on(path);
        family.to_group(Signal::SIGTSTP);
        family.stops(path);
        family.to_group(Signal::SIGCONT);
        family.goes_on(path);
        run.end();
    }
}

/// What came last holds, at whatever moment of the stop it comes.
#[test]
fn a_continue_overtakes_a_stop_and_a_stop_a_continue() {
    for (path, run) in Run::both() {
        let family = &run.family;
        for step in 0..30u64 {
            let when = format!("{path}, step {step}");
            let pause = || std::thread::sleep(Duration::from_micros(step * step * 20));
            family.to_group(Signal::SIGTSTP);
            pause();
            family.to_group(Signal::SIGCONT);
            family.goes_on(&when);
            family.to_group(Signal::SIGTSTP);
            pause();
            family.to_group(Signal::SIGCONT);
            pause();
            family.to_group(Signal::SIGTSTP);
            family.stops(&when);
            let beats = family.beats();
            std::thread::sleep(Duration::from_millis(30));
            family.stops(&when);
            assert_eq!(family.beats(), beats, "{when}: it stands");
            family.to_group(Signal::SIGCONT);
            family.goes_on(&when);
        }
        run.end();
    }
}

/// A copy that reaches only the supervisor is no wish of the guard's.
#[test]
fn the_supervisor_alone_cannot_be_made_to_stop() {
    for (path, run) in Run::both() {
        let family = &run.family;
        for _ in 0..3 {
            kill(Pid::from_raw(family.supervisor), Signal::SIGTSTP).unwrap();
            family.goes_on(path);
        }
        family.to_guard(Signal::SIGTSTP);
        family.stops(path);
        family.to_guard(Signal::SIGCONT);
        family.goes_on(path);
        run.end();
    }
}

/// Nobody continues it: the guard's death does. Orphans fall to this process, which is of the same session, so the
/// kernel does not take them for a process group that no shell looks after, and wakes nobody by itself.
#[test]
fn a_guard_killed_while_all_is_stopped_leaves_nobody() {
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    for (path, run) in Run::both() {
        run.family.to_group(Signal::SIGTSTP);
        run.family.stops(path);
        run.started.signal(Signal::SIGKILL);
        eventually("nobody is left", || processes(&[&run.tag]).is_empty());
        run.started.end();
    }
}

/// At any moment of the start, also before there are two processes and before they listen.
#[test]
fn a_stop_at_any_moment_of_the_start() {
    for wait in 0..30u64 {
        let (place, tag) = (place(), unique("early"));
        place.write("a", "");
        let beats = place.root.path().join("beats");
        let script = script(&beats, &tag);
        let started = if wait % 2 == 0 {
            ffwarden(["-q", "run", "--", "bash", "-c", &script]).start()
        } else {
            let words = ["-q", "a", "--", "bash", "-c", &script, "{}"];
            place.batch(&words).start()
        };
        std::thread::sleep(Duration::from_micros(wait * 300));
        started.signal(Signal::SIGTSTP);
        eventually("the guard is stopped", || state(started.pid()) == Some('T'));
        started.signal(Signal::SIGCONT);
        let family = Family::of(started.pid(), &beats);
        family.goes_on(&format!("after {wait} x 0.3 ms"));
        started.signal(Signal::SIGTERM);
        started.end();
        assert_eq!(processes(&[&tag]), [0i32; 0]);
    }
}

/// The kernel stops nobody in a process group that no shell looks after (a container's first process, `setsid`).
#[test]
fn where_nobody_could_continue_it_ctrl_z_is_nothing() {
    let place = place();
    place.write("a", "");
    let script = script(&place.root.path().join("beats"), &unique("alone"));
    let bin = env!("CARGO_BIN_EXE_ffwarden");
    let state_home = format!("XDG_STATE_HOME={}", place.root.path().display());
    let paths: [&[&str]; 2] = [
        &["run", "--", "bash", "-c", &script],
        &["batch", "a", "--", "bash", "-c", &script, "{}"],
    ];
    for words in paths {
        let beats = place.root.path().join("beats");
        let args = [&[&state_home, bin, "-q"][..], words].concat();
        let mut terminal = Terminal::start("env", &args, &place.dir);
        let guard = i32::try_from(terminal.session.id()).unwrap();
        eventually("ffwarden runs", || command(guard).starts_with(bin));
        let family = Family::of(guard, &beats);
        for _ in 0..3 {
            terminal.type_keys(&[0x1a]);
            family.goes_on(&format!("{words:?}"));
        }
        terminal.type_keys(&[3]);
        eventually("all has ended", || state(guard) != Some('S'));
        terminal.end();
        std::fs::remove_file(beats.with_extension("never")).unwrap();
        std::fs::remove_file(beats).unwrap();
    }
}

/// A shell with job control, and a job of ours in it.
fn in_a_shell(words: &[&str], place: &Place) -> (Terminal, Family) {
    let mut shell = Terminal::start("bash", &["--norc", "--noprofile", "-i"], &place.dir);
    let beats = place.root.path().join("beats");
    let script = script(&beats, &unique("shell"));
    let state = place.root.path().join("state");
    let words = words.join(" ").replace("SCRIPT", &format!("'{script}'"));
    let bin = env!("CARGO_BIN_EXE_ffwarden");
    let line = format!("PS1=; XDG_STATE_HOME={} {bin} {words}\n", state.display());
    shell.type_keys(line.as_bytes());
    eventually("the child runs", || beats.exists());
    // `setsid` and the shell come before it.
    let mut guard = i32::try_from(shell.session.id()).unwrap();
    while !command(guard).starts_with(bin) {
        guard = only_child(guard).unwrap();
    }
    (shell, Family::of(guard, &beats))
}

fn command(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

fn times(shell: &Terminal, text: &str) -> usize {
    let screen = shell.screen.lock().unwrap();
    String::from_utf8_lossy(&screen).matches(text).count()
}

#[test]
fn at_a_terminal_by_ctrl_z_and_fg_and_by_the_shells_kill_and_bg() {
    let paths: [&[&str]; 2] = [
        &["-q", "run", "--", "bash", "-c", "SCRIPT"],
        &["-q", "batch", "a", "--", "bash", "-c", "SCRIPT", "{}"],
    ];
    for words in paths {
        let place = place();
        place.write("a", "");
        let (mut shell, family) = in_a_shell(words, &place);
        for round in 0..10 {
            let when = format!("{words:?}, round {round}");
            shell.type_keys(&[0x1a]);
            eventually("the shell has it as stopped", || {
                times(&shell, "Stopped") > round * 2
            });
            assert_eq!(
                state(family.supervisor),
                Some('T'),
                "it was stopped before the shell was told"
            );
            family.stops(&when);
            shell.type_keys(b"bg\n");
            family.goes_on(&when);
            shell.type_keys(b"kill -TSTP %1\n");
            family.stops(&when);
            eventually("the shell has it as stopped again", || {
                // It says so before a prompt.
                shell.type_keys(b"\n");
                times(&shell, "Stopped") > round * 2 + 1
            });
            shell.type_keys(b"fg\n");
            family.goes_on(&when);
        }
        shell.type_keys(&[3]);
        eventually("all has ended", || state(family.guard).is_none());
        shell.type_keys(b"exit 7\n");
        assert_eq!(shell.end(), Some(7));
    }
}
