//! Watching with enforcement, and relief on demand, with real cgroups.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::swap::{self, Swap};
use crate::support::{Place, Running, Warden, hog, hog_text, kernel, signal, warden_path};
use nix::sys::signal::Signal;

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
    let mut command = Command::new(program);
    let held = holding(command.args(["--touch", size, "--hold", "3600s"]));
    move_to_root(held.0.id());
    held
}

/// A hog that has its memory.
fn holding(command: &mut Command) -> Held {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 13];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
    Held(child)
}

fn move_to_root(pid: u32) {
    let root = Path::new(kernel::CGROUP_ROOT).join("cgroup.procs");
    std::fs::write(root, pid.to_string()).unwrap();
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

/// Watches hogs of that name, one of which is to be frozen for good.
fn freezing(place: Place) -> Running {
    let watch = ["watch", "--name", "watched-hog", "--interval", "0.5"];
    let how = ["--json", "--enforce", "--policy", "./policy.yaml"];
    Warden::at(place).start_with(
        |dir| std::fs::write(dir.join("policy.yaml"), FREEZING).unwrap(),
        &[&watch[..], &how].concat(),
    )
}

/// The youngest stands still in swap for as long as it is watched, and watching goes on while it is pushed out. It was
/// born in a cgroup of its own: what it had before it was moved into one would be charged elsewhere.
#[test]
fn what_is_frozen_goes_to_swap_and_goes_on_when_watching_ends() {
    let _swap = Swap::of(400);
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("watched-hog");
    std::fs::copy(hog(), &program).unwrap();
    let _older = held(&program, "20M");
    let script = "echo $$ >\"$1/cgroup.procs\"; exec \"$2\" --touch 150M --hold 20s --check";
    let own = Path::new(kernel::CGROUP_ROOT).join("own");
    std::fs::create_dir(&own).unwrap();
    let mut command = Command::new("sh");
    let mut younger = holding(command.args(["-c", script, "sh"]).args([&own, &program]));
    let running = freezing(Place::NoSystemd);
    running.until_running("the younger to be pushed out", || {
        kernel::is_frozen(&own) && swap::held(&own) > 120 << 20
    });
    running.terminate();
    let done = running.wait();
    assert_eq!(done.code, 0, "{}", done.state());
    let said = done.stdout();
    assert!(said.contains("\"event\":\"frozen\""), "{}", done.state());
    let status = younger.0.wait().unwrap();
    assert!(status.success(), "{status}: it has read all of it again");
    std::fs::remove_dir(&own).unwrap();
    assert_eq!(watched(), Vec::<PathBuf>::new(), "{}", done.state());
}

/// A night's encodes must not stand still until morning because somebody killed the one who froze them.
#[test]
fn what_is_frozen_goes_on_when_the_watcher_is_killed() {
    let _swap = Swap::of(100);
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("watched-hog");
    std::fs::copy(hog(), &program).unwrap();
    let hogs = [held(&program, "20M"), held(&program, "20M")];
    let stand_still = || {
        let is_frozen = |hog: &&Held| {
            let pid = hog.0.id();
            let cgroup = kernel::cgroup_of(pid).unwrap();
            kernel::state(pid) == Some('T') || kernel::is_frozen(&cgroup)
        };
        hogs.iter().filter(is_frozen).count()
    };
    // With a cgroup for each, and without.
    for place in [Place::NoSystemd, Place::Undelegated] {
        let running = freezing(place);
        running.until_running("one to stand still", || stand_still() == 1);
        signal(running.wardens()[0].pid, Signal::SIGKILL);
        running.until("it to go on", || stand_still() == 0);
        running.until("both processes to go", || running.wardens().is_empty());
        let done = running.wait();
        let said = done.stderr();
        assert!(said.contains("the watcher was killed"), "{said}");
        for hog in &hogs {
            move_to_root(hog.0.id());
        }
        for cgroup in watched() {
            std::fs::remove_dir(cgroup).unwrap();
        }
    }
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
