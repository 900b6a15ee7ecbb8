//! `policy list|show|check`: they run nothing and tell the truth.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use support::{Ran, ffwarden};

const MINE: &str = "# Mine.\nname: workers\nsummary: mine\nlevels:\n  - level: normal\n  - level: high\n    enter: {used: 80%}\n    profile: low\n";

/// `policy ARGS...` in a directory that is also where a user's own configuration is.
fn policy(dir: &Path, args: &[&str]) -> Ran {
    ffwarden([&["policy"], args].concat())
        .dir(dir)
        .env("XDG_CONFIG_HOME", dir)
        .run()
}

/// A directory with these files in it.
fn with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn five_policies_are_built_in() {
    let dir = with(&[]);
    let list = policy(dir.path(), &["list"]).succeeded().stdout();
    let rows: Vec<(&str, bool)> = list
        .lines()
        .map(|row| {
            let (name, _) = row.split_once(' ').unwrap();
            (name, row.ends_with(" (built in)"))
        })
        .collect();
    let names = [
        "default",
        "concurrent-video",
        "chunked-audio",
        "workers",
        "circuit-breaker",
    ];
    assert_eq!(rows, names.map(|name| (name, true)));
    for name in names {
        let shown = policy(dir.path(), &["show", name]).succeeded().stdout();
        assert!(shown.contains(&format!("\nname: {name}\n")), "{shown}");
        // What is shown can be a file of one's own.
        let file = format!("{name}.yaml");
        std::fs::write(dir.path().join(&file), &shown).unwrap();
        let checked = policy(dir.path(), &["check", &file]).succeeded().stdout();
        let levels = shown.matches("  - level: ").count();
        assert_eq!(
            checked,
            format!("{file}: policy {name}, {levels} levels: no mistakes\n")
        );
    }
}

#[test]
fn a_users_policy_replaces_the_built_in_one() {
    let dir = with(&[("ffwarden/policies/workers.yaml", MINE)]);
    let list = policy(dir.path(), &["list"]).succeeded().stdout();
    let rows: Vec<&str> = list
        .lines()
        .filter(|row| row.starts_with("workers "))
        .collect();
    let path = dir.path().join("ffwarden/policies/workers.yaml");
    assert_eq!(
        rows,
        [format!("workers           mine ({})", path.display())]
    );
    assert_eq!(list.lines().count(), 5);
    let shown = policy(dir.path(), &["show", "workers"]).succeeded();
    assert_eq!(shown.stdout(), MINE);
}

#[test]
fn a_policy_may_name_a_users_own_profile() {
    let mine = MINE.replace("profile: low", "profile: tiny");
    let without = with(&[("mine.yaml", &mine)]);
    let ran = policy(without.path(), &["check", "mine.yaml"]);
    assert_eq!(ran.code(), Some(125));
    assert_eq!(
        ran.stderr,
        "ffwarden: mine.yaml:8:14: profile: there is no profile `tiny`; known are minimal, low, balanced, high\n"
    );
    let profile = ("ffwarden/profiles/tiny.yaml", "name: tiny\nrank: 5\n");
    let dir = with(&[("mine.yaml", &mine), profile]);
    let ran = policy(dir.path(), &["check", "mine.yaml"]).succeeded();
    assert_eq!(
        ran.stdout(),
        "mine.yaml: policy workers, 2 levels: no mistakes\n"
    );
}

#[test]
fn mistakes_are_placed_and_names_are_guessed() {
    let wrong = MINE.replace("enter", "entre");
    let dir = with(&[("ffwarden/policies/workers.yaml", &wrong)]);
    let path = dir.path().join("ffwarden/policies/workers.yaml");
    let message = format!(
        "ffwarden: {}:7:5: entre: unknown key; did you mean `enter`?\n",
        path.display()
    );
    for args in [
        &["list"][..],
        &["show", "default"],
        &["check", path.to_str().unwrap()],
    ] {
        let ran = policy(dir.path(), args);
        assert_eq!((ran.code(), &*ran.stderr), (Some(125), &*message));
        assert!(ran.stdout.is_empty());
    }
    let ran = policy(with(&[]).path(), &["show", "concurrent-vidoe"]);
    assert_eq!(ran.code(), Some(125));
    assert_eq!(
        ran.stderr,
        "ffwarden: there is no policy `concurrent-vidoe` (did you mean `concurrent-video`?); known are default, \
         concurrent-video, chunked-audio, workers, circuit-breaker\n"
    );
    let ran = policy(with(&[]).path(), &["check", "missing.yaml"]);
    assert_eq!(ran.code(), Some(125));
    assert!(
        ran.stderr
            .starts_with("ffwarden: cannot read missing.yaml: "),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_file_without_end_is_no_policy() {
    let ran = policy(with(&[]).path(), &["check", "/dev/zero"]);
    assert_eq!(ran.code(), Some(125));
    assert_eq!(
        ran.stderr,
        "ffwarden: cannot read /dev/zero: longer than 64 KiB, which no policy is\n"
    );
}

#[test]
fn the_example_in_the_documentation_is_a_policy() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies.md"));
    let text = text.unwrap();
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let dir = with(&[("night.yaml", example)]);
    let ran = policy(dir.path(), &["check", "night.yaml"]).succeeded();
    assert_eq!(
        ran.stdout(),
        "night.yaml: policy night, 4 levels: no mistakes\n"
    );
}
