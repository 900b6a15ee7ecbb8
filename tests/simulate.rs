//! Plays every scenario of tests/scenarios, and asks the verb what it prints, writes and exits with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use ffwarden::config::policies::Policies;
use ffwarden::config::policy::Policy;
use ffwarden::config::profile::Origin;
use ffwarden::config::profiles::Profiles;
use ffwarden::simulate::scenario::PolicyChoice;
use ffwarden::simulate::{Options, Played, Scenario, play, text};
use support::{Ran, ffwarden};

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn played(file: &Path) -> Played {
    let text = fs::read_to_string(file).unwrap();
    let scenario = Scenario::parse(&text, &file.display().to_string())
        .unwrap_or_else(|error| panic!("{error}"));
    let no_dirs: [&Path; 0] = [];
    let profiles = Profiles::load(&no_dirs).unwrap();
    let policy = match &scenario.policy {
        PolicyChoice::Named(name) => Policies::load(&no_dirs, &profiles)
            .unwrap()
            .resolve(name, &profiles)
            .unwrap(),
        PolicyChoice::Inline(text) => {
            Policy::parse(text, Origin::File(file.to_owned()), &profiles).unwrap()
        }
    };
    let options = Options {
        baselines: Some(false),
    };
    let first = play(&scenario, &policy, options);
    let second = play(&scenario, &policy, options);
    assert_eq!(first, second, "{}: the same twice", scenario.name);
    first
}

/// Plays the files whose names begin so; all must be good.
fn all_good(prefix: &str, at_least: usize) {
    let mut files: Vec<PathBuf> = fs::read_dir(scenarios())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let name = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
    files.retain(|file| name(file).starts_with(prefix));
    assert!(files.len() >= at_least, "{prefix}: {} files", files.len());
    for file in files {
        let played = played(&file);
        assert!(
            played.is_good(),
            "{}\n{}",
            file.display(),
            text::text(&played, false)
        );
    }
}

#[test]
fn the_default_policy_does_what_its_table_says() {
    all_good("default-", 3);
}

#[test]
fn concurrent_video_does_what_its_table_and_examples_say() {
    all_good("concurrent-video-", 9);
}

#[test]
fn chunked_audio_does_what_its_tiers_say() {
    all_good("chunked-audio-", 2);
}

#[test]
fn workers_are_as_many_as_the_status_block_says() {
    all_good("workers-", 5);
}

#[test]
fn the_circuit_breaker_does_what_its_table_says() {
    all_good("circuit-breaker-", 2);
}

#[test]
fn liars_leaks_spikes_hogs_and_faults_lose_nothing() {
    all_good("hard-", 12);
}

/// The verb, with no policies of this machine's user in the way.
fn simulate(args: &[&str]) -> Ran {
    let nowhere = tempfile::tempdir().unwrap();
    ffwarden([&["simulate"], args].concat())
        .env("XDG_CONFIG_HOME", nowhere.path())
        .dir(&scenarios())
        .run()
}

#[test]
fn what_is_not_as_expected_exits_with_1_and_names_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wrong.yaml");
    let text = "name: wrong\nmachine: {memory: 8G, cpus: 2}\npolicy: default\njobs:\n\
                - {count: 3, rungs: [{estimate: 1G, peak: 900M, duration: 10s}]}\n\
                expect:\n  rows:\n  - {at: 5s, running: 3}\n  end: {done: 4}\n";
    fs::write(&file, text).unwrap();
    let ran = simulate(&[file.to_str().unwrap()]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    let shown = ran.stdout();
    assert!(shown.contains("3 jobs: 3 done"), "{shown}");
    assert!(
        shown.contains("line 8: at 5.0 s: the number of running attempts is 2, expected 3"),
        "{shown}"
    );
    assert!(
        shown.contains("line 9: at the end: the number of done jobs is 3, expected 4"),
        "{shown}"
    );
}

/// Three jobs of 2 GiB run on 8 GiB when another program takes 4.8 GiB at once: two have to go.
fn filled_at_once() -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("full.yaml");
    let text = "name: full\nmachine: {memory: 8G, cpus: 4}\npolicy: default\n\
                background:\n- {at: 5s, used: 60%}\n- {at: 100s, used: 10%}\n\
                jobs:\n- {count: 6, rungs: [{estimate: 2G, peak: 2G, duration: 20s}]}\n";
    fs::write(&file, text).unwrap();
    let ran = simulate(&[file.to_str().unwrap()]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    ran.stdout()
}

#[test]
fn a_machine_that_another_program_fills_at_once_is_a_violation() {
    let shown = filled_at_once();
    assert!(
        shown.contains("10.8 GiB wanted at once, the kernel killed attempt 3"),
        "{shown}"
    );
    assert!(
        shown.contains("6 jobs: 6 done"),
        "nothing is lost all the same: {shown}"
    );
}

#[test]
fn after_a_kill_nothing_starts_before_memory_was_looked_at() {
    let shown = filled_at_once();
    assert!(shown.contains("violations: 2\n"), "{shown}");
}

#[test]
fn mistakes_are_told_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("it's\n\"odd\".yaml");
    for (wrong, message) in [
        ("cpus: 0", "cpus: a machine has 1 to 4096 processors"),
        ("cpus: 2, ram: 3", ":2:32: ram: unknown key"),
        ("cpus: 2, swap: 1X", ":2:38: swap: `1X` is no size"),
    ] {
        let text = format!(
            "name: x\nmachine: {{memory: 8G, {wrong}}}\npolicy: default\n\
             jobs:\n- {{rungs: [{{peak: 1G, duration: 1s}}]}}\n"
        );
        fs::write(&file, text).unwrap();
        let ran = simulate(&[file.to_str().unwrap()]);
        assert_eq!(ran.code(), Some(125));
        assert!(ran.stderr.contains(message), "{wrong}: {}", ran.stderr);
    }
    let ran = simulate(&["no such.yaml"]);
    assert_eq!(ran.code(), Some(125));
    assert!(
        ran.stderr.contains("cannot read no such.yaml"),
        "{}",
        ran.stderr
    );
}

#[test]
fn another_policy_can_be_tried_and_all_is_told_as_json() {
    let ran = simulate(&["hard-spikes.yaml", "--json", "--policy", "concurrent-video"]);
    let json: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(json["policy"], "concurrent-video");
    assert_eq!(json["counts"]["done"], 60);
    assert_eq!(json["counts"]["most_running"], 4, "its four workers");
    assert_eq!(json["attempts"].as_array().unwrap().len(), 60);
    // Sixty jobs of 42 to 78 s: what they add up to, and the best that 16 GiB and 16 processors allow.
    let sequential = json["baselines"]["sequential"]["makespan"]
        .as_f64()
        .unwrap();
    assert!((3400.0..3800.0).contains(&sequential), "{sequential}");
    let oracle = json["baselines"]["oracle"]["makespan"].as_f64().unwrap();
    assert!(
        (sequential / 16.0..sequential / 6.0).contains(&oracle),
        "{oracle}"
    );
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("named.yaml");
    let text = fs::read_to_string(scenarios().join("default-batch.yaml")).unwrap();
    fs::write(
        &file,
        text.replace("name: transcripts", "name: '<img src=x>'"),
    )
    .unwrap();
    let page = dir.path().join("page.html");
    let ran = simulate(&[file.to_str().unwrap(), "--html", page.to_str().unwrap()]);
    assert_eq!(ran.code(), Some(0), "{}{}", ran.stdout(), ran.stderr);
    let html = fs::read_to_string(page).unwrap();
    assert!(html.contains("<svg") && html.contains("&lt;img src=x&gt; job 0, plan 0: exited"));
    for elsewhere in [
        "http:", "https:", "src=\"", "href=", "<script", "@import", "url(", "<img",
    ] {
        assert!(!html.contains(elsewhere), "{elsewhere}");
    }
    assert!(html.len() < 1 << 20, "{} bytes", html.len());
}

#[test]
fn the_scenario_of_the_manual_can_be_played() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/simulate.md");
    let manual = fs::read_to_string(manual).unwrap();
    let blocks: Vec<&str> = manual
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let text = blocks.concat();
    let scenario =
        Scenario::parse(&text, "docs/simulate.md").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (blocks.len(), scenario.jobs(), scenario.expect.rows.len()),
        (2, 40, 1)
    );
}
