use super::*;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

fn shell(script: &str, cookie: Option<&str>) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    if let Some(cookie) = cookie {
        command.env(super::super::COOKIE, cookie);
    }
    command.process_group(0).stdin(Stdio::piped());
    command.spawn().unwrap()
}

fn pid(child: &Child) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap())
}

#[track_caller]
fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not in 10 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end(tree: &Tree, mut child: Child) {
    tree.kill();
    child.kill().unwrap();
    child.wait().unwrap();
    eventually(|| tree.is_empty());
}

const FAMILY: &str = "sleep 30 & sh -c 'sleep 30 & wait' & wait";

#[test]
fn both_ways_find_the_same_family() {
    let child = shell(FAMILY, None);
    let root = Roots::ChildrenOf(pid(&child).as_raw());
    let scanned = Tree::new(root, &Kin::new().listed(false));
    eventually(|| scanned.pids().len() == 3);
    if proc::lists_children() {
        assert_eq!(Tree::below(pid(&child)).pids(), scanned.pids());
    }
    assert!(scanned.usage().needs_bytes > 0);
    assert_eq!(scanned.usage().processes, 3, "two sleeps and a shell");
    let with_root = Tree::of(pid(&child));
    assert_eq!(with_root.pids().len(), 4);
    end(&scanned, child);
}

/// All processes that there are, as if all had been started since the last look.
fn all_births() -> Vec<Birth> {
    let mut pids = proc::all();
    pids.sort_unstable();
    // A thread of this process, which is nobody's process.
    pids.push(nix::unistd::gettid().as_raw());
    let born = |pid: i32| {
        let stat = proc::stat(pid)?;
        let (start, parent) = (stat.start, stat.parent);
        Some(Birth { pid, start, parent })
    };
    pids.into_iter().filter_map(born).collect()
}

#[test]
fn who_was_started_lately_is_taken_in_where_it_belongs() {
    let (kin, cookie) = (Kin::new(), "tree-test-births");
    let child = shell(FAMILY, Some(cookie));
    let searched = Tree::of(pid(&child));
    eventually(|| searched.pids().len() == 4);
    let by_parent = Tree::new(Roots::Nowhere, &kin);
    by_parent.adopt(pid(&child));
    let by_cookie = Tree::attempt(OsStr::new(cookie), &kin);
    let (stranger, nobodys) = (
        Tree::attempt(OsStr::new("tree-test-other"), &kin),
        Tree::new(Roots::Nowhere, &kin),
    );
    let members = |tree: &Tree| {
        tree.take_in(&all_births());
        let known = tree.known.borrow();
        known.members.keys().copied().collect::<Vec<_>>()
    };
    for tree in [&by_parent, &by_cookie] {
        assert_eq!(members(tree), searched.pids());
    }
    for tree in [&stranger, &nobodys] {
        assert_eq!(members(tree), [0i32; 0]);
    }
    let below_us = Tree::below(nix::unistd::getpid());
    let threads = members(&below_us);
    assert!(!threads.contains(&nix::unistd::gettid().as_raw()));
    end(&searched, child);
}

#[test]
fn a_grandchild_that_comes_later_is_found() {
    let mut child = shell("read go; sleep 30 & wait", None);
    let tree = Tree::attempt(OsStr::new("no-such-cookie"), &Kin::new());
    tree.adopt(pid(&child));
    assert_eq!(tree.memory().processes, 1);
    drop(child.stdin.take());
    eventually(|| tree.memory().processes == 2);
    end(&tree, child);
}

#[test]
fn two_attempts_are_told_apart() {
    let kin = Kin::new();
    let (one, two) = (
        shell(FAMILY, Some("tree-test-1")),
        shell(FAMILY, Some("tree-test-2")),
    );
    let tree = |child: &Child, cookie: &str| {
        let tree = Tree::attempt(OsStr::new(cookie), &kin);
        tree.adopt(pid(child));
        tree
    };
    let (first, second) = (tree(&one, "tree-test-1"), tree(&two, "tree-test-2"));
    eventually(|| first.pids().len() == 4 && second.pids().len() == 4);
    let both: BTreeSet<_> = first.pids().into_iter().chain(second.pids()).collect();
    assert_eq!(both.len(), 8, "nobody is in both");
    end(&first, one);
    assert_eq!(second.pids().len(), 4, "the other one is untouched");
    end(&second, two);
}

#[test]
fn who_was_seen_stays_a_member_when_its_parent_has_ended() {
    let script = "sh -c 'env -i sleep 31 </dev/null & read go'; exec sleep 30";
    let mut child = shell(script, None);
    let tree = Tree::attempt(OsStr::new("no-such-cookie"), &Kin::new());
    tree.adopt(pid(&child));
    eventually(|| tree.pids().len() == 3);
    // The inner shell ends.
    drop(child.stdin.take());
    eventually(|| tree.memory().processes == 2);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!tree.is_empty());
    tree.kill();
    eventually(|| tree.is_empty());
}

#[test]
fn a_frozen_tree_stands_still_and_goes_on() {
    let child = shell("while :; do :; done", None);
    let tree = Tree::attempt(OsStr::new("frozen"), &Kin::new());
    tree.adopt(pid(&child));
    tree.freeze(true).unwrap();
    let stopped = |is| {
        let stat = proc::stat(pid(&child).as_raw()).unwrap();
        stat.is_stopped() == is
    };
    assert!(stopped(true));
    let cpu = tree.usage().cpu;
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(tree.usage().cpu, cpu);
    tree.freeze(false).unwrap();
    eventually(|| stopped(false) && tree.usage().cpu > cpu);
    end(&tree, child);
}

#[test]
fn a_pid_given_to_another_process_is_not_signalled() {
    let mut child = shell("exec sleep 30", None);
    let start = proc::stat(pid(&child).as_raw()).unwrap().start;
    assert!(!send(pid(&child).as_raw(), start + 1, Signal::SIGKILL));
    assert!(child.try_wait().unwrap().is_none());
    assert!(send(pid(&child).as_raw(), start, Signal::SIGKILL));
    child.wait().unwrap();
}
