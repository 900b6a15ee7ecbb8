//! Watching with enforcement, and relief on demand, with real cgroups.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::swap::{self, Swap};
use crate::support::{Place, Warden, hog, hog_text, kernel, warden_path};

const POLICY: &str = "\
name: policy
summary: always critical
grace: 1s
poll: 500ms
levels:
  - level: normal
  - level: critical
    enter: {used: 1K}
    workers: 0
    relief: [reclaim]
    stop: true
";

struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A hog of this name, in the root of the tree, as all processes are where no systemd is.
fn held(program: &Path, size: &str) -> Held {
    held_as(program, &["--touch", size, "--hold", "3600s"])
}

fn held_as(program: &Path, args: &[&str]) -> Held {
    let mut child = Command::new(program)
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 13];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
    let root = Path::new(kernel::CGROUP_ROOT).join("cgroup.procs");
    std::fs::write(root, child.id().to_string()).unwrap();
    Held(child)
}

fn watched() -> Vec<PathBuf> {
    kernel::cgroups(|name| name.starts_with("watched-"))
}

#[test]
fn enforced_puts_processes_in_cgroups_stops_one_and_lets_the_other_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("watched-hog");
    std::fs::copy(hog(), &program).unwrap();
    let small = held(&program, "20M");
    let mut large = held(&program, "120M");
    let running = Warden::at(Place::NoSystemd).start_with(
        |dir| std::fs::write(dir.join("policy.yaml"), POLICY).unwrap(),
        &[
            "watch",
            "--name",
            "watched-hog",
            "--interval",
            "0.5",
            "--json",
            "--enforce",
            "--policy",
            "./policy.yaml",
        ],
    );
    running.until_running("each to have a cgroup", || {
        watched()
            .iter()
            .any(|dir| kernel::members(dir) == [small.0.id()])
    });
    let status = large.0.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(15)
    );
    running.terminate();
    let done = running.wait();
    assert_eq!(done.code, 0, "{}", done.state());
    assert_eq!(
        kernel::cgroup_of(small.0.id()).unwrap(),
        Path::new(kernel::CGROUP_ROOT)
    );
    assert_eq!(watched(), Vec::<PathBuf>::new(), "{}", done.state());
    assert!(
        done.stdout().contains("\"event\":\"stopped\""),
        "{}",
        done.state()
    );
}

/// The youngest stands still in swap for as long as it is watched, and watching goes on while it is pushed out.
#[test]
fn what_is_frozen_goes_to_swap_and_goes_on_when_watching_ends() {
    const FREEZING: &str = "\
name: policy
summary: always critical
grace: 1s
poll: 500ms
relief: {timeout: 600s, freeze_at_most: 3600s}
levels:
  - level: normal
  - level: critical
    enter: {used: 1K}
    workers: 0
    relief: [freeze]
";
    let _swap = Swap::of(400);
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("watched-hog");
    std::fs::copy(hog(), &program).unwrap();
    let older = held(&program, "20M");
    let args = ["--touch", "150M", "--hold", "20s", "--check"];
    let mut younger = held_as(&program, &args);
    let watch = ["watch", "--name", "watched-hog", "--interval", "0.5"];
    let how = ["--json", "--enforce", "--policy", "./policy.yaml"];
    let running = Warden::at(Place::NoSystemd).start_with(
        |dir| std::fs::write(dir.join("policy.yaml"), FREEZING).unwrap(),
        &[&watch[..], &how].concat(),
    );
    let cgroup = || kernel::cgroup_of(younger.0.id()).unwrap();
    running.until_running("the younger to be pushed out", || {
        let dir = cgroup();
        kernel::is_frozen(&dir) && swap::held(&dir) > 120 << 20
    });
    running.terminate();
    let done = running.wait();
    assert_eq!(done.code, 0, "{}", done.state());
    let said = done.stdout();
    assert!(said.contains("\"event\":\"frozen\""), "{}", done.state());
    let status = younger.0.wait().unwrap();
    assert!(status.success(), "{status}: it has read all of it again");
    let older_is_in = kernel::cgroup_of(older.0.id()).unwrap();
    assert_eq!(older_is_in, Path::new(kernel::CGROUP_ROOT));
    assert_eq!(watched(), Vec::<PathBuf>::new(), "{}", done.state());
}

#[test]
fn relief_takes_back_the_file_cache_of_slices() {
    let job = [
        "run",
        "--",
        &hog_text(),
        "--write",
        "big",
        "150M",
        "--touch",
        "10M",
        "--hold",
        "600s",
    ];
    let running = Warden::at(Place::Undelegated)
        .options(&["-q", "-m", "512M"])
        .start(&job);
    let attempt = running.attempt_after("hog: holding");
    nix::unistd::sync();
    let held = || {
        kernel::value(&attempt, "memory.current")
            .parse::<u64>()
            .unwrap()
    };
    let before = held();
    assert!(before > 150 << 20, "{before}");
    let relief = || Command::new(warden_path()).arg("relief").output().unwrap();
    let first = relief();
    let said = String::from_utf8_lossy(&first.stdout).into_owned();
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert!(said.starts_with("file cache of 1 slice: "), "{said}");
    assert!(held() < before - (140 << 20), "{said}");
    // There is nothing more.
    assert_eq!(relief().status.code(), Some(1));
    running.terminate();
    running.wait().assert_nothing_left();
}
