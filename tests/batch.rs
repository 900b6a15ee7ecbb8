//! `ffwarden batch`: many inputs, what is told of each, and what parallel says to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use ffwarden::batch::placeholder::Template;
use support::batch::place;
use support::{Ffwarden, eventually, ffmpeg, ffprobe, names};

/// What parallel prints for these inputs; it reads them from stdin, separated by NUL.
fn parallel(dir: &Path, options: &[&str], inputs: &[&[u8]]) -> std::process::Output {
    let mut child = Command::new("parallel")
        .args(["--will-cite", "-0", "-k"])
        .args(options)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("parallel is installed by scripts/setup");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&inputs.join(&0)).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

const NAMES: [&[u8]; 16] = [
    b"a.txt",
    b"dir/a.tar.gz",
    b".hidden",
    b"dir/.hidden",
    b"dir.d/a",
    b"dir/",
    b"/",
    b"/a.b",
    b"a//b.c",
    b"..",
    b"a.",
    b"a b.c",
    b"q'u\"o.te",
    b"-x.y",
    b"n\nl.e",
    b"nu\xff.e",
];

#[test]
fn placeholders_are_those_of_the_parallel_that_is_installed() {
    let place = place();
    let placeholders = [
        "{}", "{.}", "{/}", "{/.}", "{//}", "{#}", "x{}y{.}", "{{}}", "{...}",
    ];
    let options = [&["--quote", "printf", "%s\\0"][..], &placeholders].concat();
    let theirs = parallel(&place.dir, &options, &NAMES);
    let template = Template::new(&placeholders.map(OsString::from));
    let ours: Vec<u8> = NAMES
        .iter()
        .zip(1..)
        .flat_map(|(name, sequence)| template.argv(OsStr::from_bytes(name), sequence))
        .flat_map(|word| [word.as_bytes(), b"\0"].concat())
        .collect();
    assert_eq!(
        String::from_utf8_lossy(&ours),
        String::from_utf8_lossy(&theirs.stdout)
    );
    assert_eq!(ours, theirs.stdout);
}

/// A job log without the two columns that are times.
fn without_times(log: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let columns = |line: &[u8]| -> Vec<Vec<u8>> {
        let all: Vec<Vec<u8>> = line
            .splitn(9, |byte| *byte == b'\t')
            .map(<[u8]>::to_vec)
            .collect();
        assert_eq!(all.len(), 9, "{}", String::from_utf8_lossy(line));
        [&all[..2], &all[4..]].concat()
    };
    log.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(columns)
        .collect()
}

#[test]
fn the_job_log_and_the_results_are_parallels() {
    let place = place();
    let script = r#"echo "out $1"; echo err >&2; case $1 in *.txt) exit 3;; a.) kill -9 $$;; esac"#;
    let inputs: Vec<&[u8]> = NAMES.into_iter().filter(|name| *name != b"..").collect();
    let command = ["sh", "-c", script, "x", "{}"];
    let options = [
        &[
            "-j1",
            "--quote",
            "--joblog",
            "theirs",
            "--results",
            "results",
        ],
        &command[..],
    ];
    let theirs = parallel(&place.dir, &options.concat(), &inputs);
    let words = [
        "-q",
        "-j",
        "1",
        "-0",
        "--joblog",
        "ours",
        "--results",
        "kept",
        "-",
        "--",
    ];
    let ours = place
        .batch(&[&words[..], &command].concat())
        .stdin(inputs.join(&0))
        .run();
    assert_eq!(ours.code(), theirs.status.code());
    assert_eq!(ours.code(), Some(2), "{}", ours.stderr);
    assert_eq!(ours.stdout(), String::from_utf8_lossy(&theirs.stdout));
    let log = |name: &str| without_times(&fs::read(place.dir.join(name)).unwrap());
    assert_eq!(log("ours"), log("theirs"));

    assert_eq!(
        names(&place.dir.join("kept/1")),
        names(&place.dir.join("results/1"))
    );
    for dir in fs::read_dir(place.dir.join("results/1")).unwrap() {
        let dir = dir.unwrap().path();
        let kept = place.dir.join("kept/1").join(dir.file_name().unwrap());
        assert_eq!(names(&kept), names(&dir));
        for file in ["stdout", "stderr", "seq"] {
            assert_eq!(
                fs::read(kept.join(file)).unwrap(),
                fs::read(dir.join(file)).unwrap()
            );
        }
    }
}

#[test]
fn real_clips_of_any_name_are_encoded() {
    let place = place();
    fs::create_dir(place.dir.join("out")).unwrap();
    let clip = [
        "-f",
        "lavfi",
        "-i",
        "testsrc=s=64x64:d=0.4:r=25",
        "-c:v",
        "mpeg4",
        "first.avi",
    ];
    ffmpeg(&clip, &place.dir);
    let odd: [&[u8]; 6] = [
        b"plain.avi",
        b"two words.avi",
        b"quo'te\".avi",
        b"new\nline.avi",
        b"-dash.avi",
        b"nu\xff{batch}.avi",
    ];
    for name in odd {
        fs::copy(
            place.dir.join("first.avi"),
            place.dir.join(OsStr::from_bytes(name)),
        )
        .unwrap();
    }
    fs::remove_file(place.dir.join("first.avi")).unwrap();
    let command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        "{}",
        "-c:v",
        "libx264",
        "out/{/.}.mp4",
    ];
    let run = place
        .reported(&[&["*.avi", "--"], &command[..]].concat())
        .run()
        .succeeded();
    for name in odd {
        let mut output = Path::new("out").join(OsStr::from_bytes(name));
        output.set_extension("mp4");
        let packets = ffprobe("stream=nb_read_packets", &place.dir.join(output));
        assert_eq!(packets, "10", "{}", String::from_utf8_lossy(name));
    }
    let jobs = run.report["jobs"].as_array().unwrap();
    assert_eq!(jobs.len(), 6);
    assert_eq!(run.report["status"], "success");
    assert_eq!(run.report["done"], 6);
    assert!(
        jobs.iter()
            .all(|job| job["attempts"][0]["profile"].is_string())
    );
    let peak = run.report["peak_memory_gb"].as_f64().unwrap();
    assert!(peak > 0.0 && peak <= run.report["total_memory_gb"].as_f64().unwrap());
    assert!(run.report["memory_warnings"].is_u64());

    // Again there is nothing to do, until an output is gone or an input has changed.
    let again = place
        .batch(&[&["*.avi", "--"], &command[..]].concat())
        .run()
        .succeeded();
    assert!(
        again.stderr.contains("0 done, 0 failed, 6 done before"),
        "{}",
        again.stderr
    );
    fs::remove_file(place.dir.join("out/plain.mp4")).unwrap();
    place
        .batch(&[&["*.avi", "--"], &command[..]].concat())
        .run()
        .succeeded();
    assert_eq!(
        ffprobe("stream=nb_read_packets", &place.dir.join("out/plain.mp4")),
        "10"
    );
}

#[test]
fn the_exit_code_counts_the_failures() {
    let place = place();
    let run = place
        .batch(&["0", "1", "0", "7", "--", "sh", "-c", "exit {}"])
        .run();
    assert_eq!(run.code(), Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("exit code 7"), "{}", run.stderr);
    let many: String = (0..103).map(|number| format!("{number}\n")).collect();
    let run = place
        .batch(&["-q", "-j", "8", "-", "--", "false"])
        .stdin(many)
        .run();
    assert_eq!(run.code(), Some(101));
    let run = place.batch(&["a", "b", "--", "no such program"]).run();
    assert_eq!(run.code(), Some(2), "{}", run.stderr);
}

#[test]
fn what_is_printed_is_printed_whole_and_of_a_failed_job_the_end_is_shown() {
    let place = place();
    let script = "for n in 1 2 3 4 5; do echo $1$1$1; sleep 0.02; done; seq 100 >&2; [ $1 != b ]";
    let run = place
        .batch(&["-j", "3", "a", "b", "c", "--", "sh", "-c", script, "sh"])
        .run();
    assert_eq!(run.code(), Some(1));
    let text = run.stdout();
    let blocks: Vec<&str> = text.lines().collect();
    assert_eq!(blocks.len(), 15);
    for block in blocks.chunks(5) {
        assert!(block.iter().all(|line| *line == block[0]), "{text}");
    }
    let shown: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| !line.starts_with("ffwarden:"))
        .collect();
    let last: Vec<String> = (81..=100).map(|number| number.to_string()).collect();
    assert_eq!(shown, last, "of b only, and no more than 20 lines");
}

#[test]
fn a_list_on_stdin_is_read_while_jobs_run() {
    let place = place();
    let echo = ["-q", "-j", "1", "-", "z", "--", "printf", "[%s]"];
    let lines = place.batch(&echo).stdin("a b\n\n-c\n").run().succeeded();
    assert_eq!(lines.stdout(), "[a b][-c][z]");
    let nul = [&["-0"], &echo[..]].concat();
    let nul = place.batch(&nul).stdin("a\nb\0c").run().succeeded();
    assert_eq!(nul.stdout(), "[a\nb][c]", "z was done before");

    // The first job runs and ends though the list is still open.
    let mut child = Command::new(env!("CARGO_BIN_EXE_ffwarden"))
        .args([
            "batch",
            "-",
            "--",
            "sh",
            "-c",
            "echo {} >>log; echo {} >{}.end",
        ])
        .env("FFWARDEN_CONTAINMENT", "rlimit")
        .env("XDG_STATE_HOME", place.root.path().join("state"))
        .current_dir(&place.dir)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"first\n").unwrap();
    let state = place.root.path().join("state/ffwarden/batch");
    let noted = || {
        let journals = names(&state)
            .into_iter()
            .filter(|name| name.ends_with(".journal"));
        let lines = |name: String| {
            fs::read_to_string(state.join(name))
                .unwrap_or_default()
                .lines()
                .count()
        };
        // A heading and one job; the journal of the lists above is longer.
        journals.map(lines).min() == Some(2)
    };
    eventually("the first is done and noted", || {
        place.read("first.end") == "first\n" && noted()
    });
    stdin.write_all(b"second\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.contains("2 done"),
        "{stderr}"
    );
    assert_eq!(place.lines("log"), ["first", "second"]);

    let long = "x".repeat(200_000);
    let run = place
        .batch(&["-", "--", "true"])
        .stdin(format!("a\n{long}\n"))
        .run();
    assert_eq!(run.code(), Some(125));
    assert!(run.stderr.contains("entry 2"), "{}", run.stderr);
    assert!(run.stderr.contains("1 done"), "{}", run.stderr);
}

#[test]
fn a_profile_that_is_not_there_is_told_once_and_before_anything_runs() {
    let place = place();
    let job = ["-p", "lwo", "a", "b", "--", "touch", "{}"];
    let run = place.batch(&job).run();
    assert_eq!(run.code(), Some(125));
    assert_eq!(run.stderr.matches("`low`").count(), 1, "{}", run.stderr);
    assert!(!place.dir.join("a").exists());
}

#[test]
fn the_environment_of_the_document_is_honoured_and_options_go_before() {
    let place = place();
    let overlap = "mkdir busy || echo overlap >>log; sleep 0.05; rmdir busy";
    let words = ["a", "b", "c", "d", "--", "sh", "-c", overlap, "sh"];
    place
        .batch(&words)
        .env("MAX_WORKERS", "1")
        .run()
        .succeeded();
    assert_eq!(place.read("log"), "");

    let show = [
        "-q",
        "a",
        "--",
        "sh",
        "-c",
        "echo $BATCH_SIZE $FFWARDEN_BATCH_SIZE {batch}",
        "sh",
    ];
    let run = place.batch(&show).env("BATCH_SIZE", "3").run().succeeded();
    assert_eq!(run.stdout(), "3 3 3\n");
    let run = place
        .batch(&[&["--again", "--batch-size", "2"], &show[..]].concat())
        .env("BATCH_SIZE", "3")
        .run()
        .succeeded();
    assert_eq!(run.stdout(), "2 2 2\n");

    let limit = |run: Ffwarden| {
        let run = run
            .env("MEMORY_LIMIT_PER_WORKER", "300MB")
            .run()
            .succeeded();
        run.report["jobs"][0]["attempts"][0]["limit_bytes"].as_u64()
    };
    assert_eq!(limit(place.reported(&["a", "--", "true"])), Some(300 << 20));
    let option = ["--again", "--memory-limit", "400M", "a", "--", "true"];
    assert_eq!(limit(place.reported(&option)), Some(400 << 20));

    let quiet = place
        .batch(&["x", "--", "true"])
        .env("LOG_LEVEL", "ERROR")
        .run()
        .succeeded();
    assert_eq!(quiet.stderr, "");
    let loud = place
        .batch(&["-v", "y", "--", "true"])
        .env("LOG_LEVEL", "ERROR")
        .run()
        .succeeded();
    assert!(loud.stderr.contains("1 done"), "{}", loud.stderr);
    let wrong = place
        .batch(&["x", "--", "true"])
        .env("MAX_WORKERS", "many")
        .run();
    assert_eq!(wrong.code(), Some(125));
    assert!(
        wrong.stderr.contains("MAX_WORKERS=many"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn automatic_workers_are_counted_aloud_and_low_memory_halves_them() {
    let place = place();
    let words = [
        "--policy",
        "workers",
        "--memory-limit",
        "1G",
        "--low-memory",
        "a",
        "--",
        "true",
    ];
    let run = place
        .batch(&words)
        .env("MAX_WORKERS", "1")
        .run()
        .succeeded();
    let block: Vec<&str> = run
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("ffwarden: "))
        .skip_while(|line| *line != "Memory-aware worker calculation:")
        .take(7)
        .collect();
    assert!(
        block[1].starts_with("  Available memory: ") && block[1].ends_with("GB"),
        "{block:?}"
    );
    assert_eq!(block[2], "  Memory per worker: 1.0GB");
    assert!(block[3].starts_with("  Workers by memory: "));
    assert_eq!(block[4..6], ["  Max workers: 1", "  Optimal workers: 1"]);
    assert_eq!(block[6], "Low memory mode: 1 workers, batch size 1");
    assert!(
        run.stderr.contains("memory after 1 job: "),
        "{}",
        run.stderr
    );
}

#[test]
fn a_rehearsal_prints_what_bash_would_run_and_runs_nothing() {
    let place = place();
    let words = ["a b", "c'd", "--", "touch", "{}.{#}"];
    let dry = [&["--dry-run"], &words[..]].concat();
    let run = place.batch(&dry).run().succeeded();
    assert!(names(&place.dir).is_empty());
    let bash = Command::new("bash")
        .arg("-c")
        .arg(run.stdout())
        .current_dir(&place.dir)
        .status();
    assert!(bash.unwrap().success());
    assert_eq!(names(&place.dir), ["a b.1", "c'd.2"]);

    place.batch(&words).run().succeeded();
    let run = place.batch(&dry).run().succeeded();
    assert_eq!(run.stdout(), "");
    assert!(run.stderr.contains("2 are done"), "{}", run.stderr);
}

#[test]
fn a_pattern_without_a_match_runs_nothing() {
    let place = place();
    place.write("a.mov", "");
    let run = place.batch(&["a.mov", "*.mp4", "--", "touch", "ran"]).run();
    assert_eq!(run.code(), Some(125));
    assert!(run.stderr.contains("*.mp4"), "{}", run.stderr);
    assert_eq!(names(&place.dir), ["a.mov"]);
}

#[test]
fn a_job_that_takes_batches_is_told_how_many_in_every_way() {
    let place = place();
    let file = place.dir.join("size");
    let words = [
        "-q",
        "--batch-size",
        "4",
        "--batch-file",
        file.to_str().unwrap(),
        "--batch-signal",
        "USR1",
    ];
    let command = [
        "a",
        "--",
        "sh",
        "-c",
        "echo $BATCH_SIZE {batch} $(cat size)",
        "sh",
    ];
    let run = place
        .batch(&[&words[..], &command].concat())
        .run()
        .succeeded();
    assert_eq!(run.stdout(), "4 4 4\n");
}
