//! How `ffwarden batch` ends and begins again: by a signal, by `kill -9`, at a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use nix::sys::signal::Signal;
use support::batch::{WAITS_AT_C, place};
use support::terminal::Terminal;
use support::{eventually, processes, unique};

#[test]
fn after_an_interrupt_only_the_rest_is_done() {
    let place = place();
    let words = [
        "-j", "1", "a", "b", "c", "d", "--", "sh", "-c", WAITS_AT_C, "sh", "{}",
    ];
    let run = place.batch(&words).start();
    eventually("c has started", || place.read("log") == "a\nb\nc\n");
    run.signal(Signal::SIGINT);
    let (status, stderr) = run.end();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(status.signal(), Some(2), "{stderr}");
    assert!(stderr.contains("2 done, 0 failed"), "{stderr}");

    place.write("go", "");
    let run = place.batch(&words).run().succeeded();
    assert_eq!(place.read("log"), "a\nb\nc\nc\nd\n");
    assert!(
        run.stderr.contains("2 done, 0 failed, 2 done before"),
        "{}",
        run.stderr
    );
    let run = place.batch(&words).run().succeeded();
    assert!(
        run.stderr.contains("0 done, 0 failed, 4 done before"),
        "{}",
        run.stderr
    );
    place
        .batch(&[&["--again"], &words[..]].concat())
        .run()
        .succeeded();
    assert_eq!(place.read("log"), "a\nb\nc\nc\nd\na\nb\nc\nd\n");
}

#[test]
fn after_kill_9_only_the_rest_is_done() {
    for both in [false, true] {
        let place = place();
        let tag = unique("kill");
        let script = format!(": {tag}; {WAITS_AT_C}");
        let words = [
            "-j", "1", "a", "b", "c", "d", "--", "sh", "-c", &script, "sh", "{}",
        ];
        let run = place.batch(&words).start();
        eventually("c has started", || place.read("log") == "a\nb\nc\n");
        // The guard, the supervisor and the shell.
        let ours = processes(&[&tag, "batch"]);
        assert_eq!(ours.len(), 2);
        let guard = run.pid();
        for pid in ours.into_iter().filter(|pid| both || *pid == guard) {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _other_was_quicker = nix::sys::signal::kill(pid, Signal::SIGKILL);
        }
        run.end();
        eventually("nothing is left running", || processes(&[&tag]).is_empty());

        place.write("go", "");
        let run = place.batch(&words).run().succeeded();
        assert_eq!(place.read("log"), "a\nb\nc\nc\nd\n");
        assert!(run.stderr.contains("2 done before"), "{}", run.stderr);
    }
}

/// Guard and supervisor are killed at one instant: only the kernel is left to end what they started, and it ends their
/// own children.
#[test]
fn what_kill_9_of_both_has_left_is_ended_by_the_next_one() {
    let place = place();
    let tag = unique("left");
    let script = format!("setsid sh -c ': {tag}; sleep 600' & echo $1 >>log; exec sleep 600");
    let run = place
        .batch(&["a", "--", "sh", "-c", &script, "sh", "{}"])
        .start();
    eventually("all of it is there", || {
        place.read("log") == "a\n" && processes(&[&tag]).len() == 3
    });
    // A guard that is given the time ends the rest.
    let ours = processes(&[&tag, "batch"]);
    let supervisor = *ours.iter().find(|pid| **pid != run.pid()).unwrap();
    run.signal(Signal::SIGSTOP);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    run.signal(Signal::SIGKILL);
    run.end();
    place.batch(&["b", "--", "true", "{}"]).run().succeeded();
    eventually("nothing is left running", || processes(&[&tag]).is_empty());
}

#[test]
fn a_changed_input_is_done_again_and_a_failed_job_too() {
    let place = place();
    let words = ["a", "b", "--", "sh", "-c", "echo {} >>log; grep -q good {}"];
    place.write("a", "good");
    place.write("b", "bad");
    assert_eq!(place.batch(&words).run().code(), Some(1));
    assert_eq!(place.batch(&words).run().code(), Some(1));
    assert_eq!(place.lines("log"), ["a", "b", "b"]);
    place.write("a", "as good");
    place.write("b", "good now");
    place.batch(&words).run().succeeded();
    place.batch(&words).run().succeeded();
    assert_eq!(place.lines("log"), ["a", "a", "b", "b", "b"]);
}

#[test]
fn two_of_one_batch_are_not_run_at_once() {
    let place = place();
    let words = ["c", "--", "sh", "-c", WAITS_AT_C, "sh", "{}"];
    let first = place.batch(&words).start();
    eventually("it runs", || place.read("log") == "c\n");
    let second = place.batch(&words).run();
    assert_eq!(second.code(), Some(125));
    assert!(
        second
            .stderr
            .contains("running as a batch in this directory already"),
        "{}",
        second.stderr
    );
    // Another command is another batch.
    place.batch(&["c", "--", "true"]).run().succeeded();
    place.write("go", "");
    assert_eq!(first.end().0.code(), Some(0));
    assert_eq!(place.read("log"), "c\n");
}

/// What is on a terminal's screen after all that was written to it, line by line; it knows the few sequences we use.
fn screen(written: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(written);
    let (mut lines, mut row, mut column) = (vec![Vec::new()], 0usize, 0usize);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x1b' => {
                let sequence: String = characters
                    .by_ref()
                    .take_while(|c| *c != 'J' && *c != 'A')
                    .collect();
                match sequence.as_str() {
                    "[" => {
                        lines.truncate(row + 1);
                        lines[row].truncate(column);
                    }
                    up => row -= up[1..].parse::<usize>().unwrap(),
                }
            }
            character => {
                let width = lines[row].len().max(column + 1);
                lines[row].resize(width, ' ');
                lines[row][column] = character;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    lines
        .into_iter()
        .map(|line| line.into_iter().collect())
        .collect()
}

#[test]
fn at_a_terminal_there_is_a_line_for_each_job_and_none_is_left() {
    let place = place();
    let script = format!("echo says; {WAITS_AT_C}");
    let state = format!(
        "XDG_STATE_HOME={}",
        place.root.path().join("state").display()
    );
    let ffwarden = env!("CARGO_BIN_EXE_ffwarden");
    let before = [
        state.as_str(),
        ffwarden,
        "batch",
        "--color",
        "never",
        "-j",
        "2",
    ];
    let words = [
        &before[..],
        &["a", "c", "b", "--", "sh", "-c", &script, "sh"],
    ]
    .concat();
    let run = Terminal::start("env", &words, &place.dir);
    let now = || screen(&run.screen.lock().unwrap());
    eventually("c alone is left", || {
        now()
            .iter()
            .any(|line| line.starts_with("2 done, 1 running, 0 queued; "))
    });
    let lines = now();
    assert_eq!(lines[..2], ["says", "says"]);
    assert!(lines[lines.len() - 2].starts_with("c  "), "{lines:?}");
    place.write("go", "");
    let screen_of = std::sync::Arc::clone(&run.screen);
    assert_eq!(run.end(), Some(0));
    eventually("all is shown", || {
        let lines = screen(&screen_of.lock().unwrap());
        lines
            .iter()
            .any(|line| line == "ffwarden: 3 done, 0 failed")
    });
    let lines = screen(&screen_of.lock().unwrap());
    assert!(
        !lines.iter().any(|line| line.contains("running")),
        "{lines:?}"
    );
}

#[test]
fn ctrl_c_at_a_terminal_ends_a_batch_and_all_it_started() {
    let place = place();
    let tag = unique("ctrl");
    let script = format!(": {tag}; {WAITS_AT_C}");
    let state = format!(
        "XDG_STATE_HOME={}",
        place.root.path().join("state").display()
    );
    let words = [
        "batch", "-j", "1", "a", "c", "d", "--", "sh", "-c", &script, "sh",
    ];
    let ffwarden = env!("CARGO_BIN_EXE_ffwarden");
    let mut run = Terminal::start(
        "env",
        &[&[&state, ffwarden], &words[..]].concat(),
        &place.dir,
    );
    eventually("c has started", || place.read("log") == "a\nc\n");
    run.type_keys(b"\x03");
    run.end();
    assert_eq!(processes(&[&tag]), [0i32; 0]);
    place.write("go", "");
    place.batch(&words[1..]).run().succeeded();
    assert_eq!(place.read("log"), "a\nc\nc\nd\n");
}

#[test]
fn an_interrupt_ends_a_batch_whose_output_nobody_reads() {
    let place = place();
    let script = format!("[ $1 != a ] || head -c 1000000 /dev/zero; {WAITS_AT_C}");
    let words = ["-j", "1", "a", "c", "--", "sh", "-c", &script, "sh"];
    let run = place.batch(&words).start();
    eventually("c has started", || place.read("log") == "a\nc\n");
    run.signal(Signal::SIGINT);
    let (_, stderr) = run.end();
    assert!(stderr.contains("nobody reads our stdout"), "{stderr}");
}
