//! Which processes are meant: by PID, or by the name of their program.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::memory::proc;
use crate::memory::tree::COOKIE;

/// The kernel cuts the name of a process to so many bytes (TASK_COMM_LEN less the NUL).
const COMM_BYTES: usize = 15;

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// These processes.
    pub pids: Vec<i32>,
    /// All whose program has one of these names.
    pub names: Vec<String>,
}

/// A process that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its process ID.
    pub pid: i32,
    /// When it was started, clock ticks since boot.
    pub start: u64,
    /// The name of its program.
    pub name: String,
    /// Another ffwarden looks after it.
    pub is_managed: bool,
}

/// A process as far as finding goes.
struct Seen {
    start: u64,
    parent: i32,
    name: String,
    wanted: bool,
}

/// The processes that are meant, without those below another that is, and without this one and its ancestors.
pub fn find(wanted: &Wanted) -> Vec<Found> {
    let mut seen = BTreeMap::new();
    for pid in proc::all() {
        if let Some(stat) = proc::stat(pid).filter(proc::Stat::is_alive) {
            let comm = comm(pid);
            let by_name = wanted.names.iter().any(|name| is_called(pid, &comm, name));
            let process = Seen {
                start: stat.start,
                parent: stat.parent,
                wanted: by_name || wanted.pids.contains(&pid),
                name: comm,
            };
            seen.insert(pid, process);
        }
    }
    let own: Vec<i32> = chain(&seen, std::process::id().try_into().unwrap_or(0)).collect();
    let mut found = Vec::new();
    for (pid, process) in &seen {
        let above = || chain(&seen, process.parent);
        let is_part = |pid: i32| seen.get(&pid).is_some_and(|process| process.wanted);
        if !process.wanted || own.contains(pid) || above().any(is_part) {
            continue;
        }
        let of_a_warden = |pid: i32| seen.get(&pid).is_some_and(|above| above.name == "ffwarden");
        found.push(Found {
            pid: *pid,
            start: process.start,
            name: process.name.clone(),
            is_managed: is_in_attempt(*pid) || above().any(of_a_warden),
        });
    }
    found
}

/// A process and its ancestors.
fn chain(seen: &BTreeMap<i32, Seen>, pid: i32) -> impl Iterator<Item = i32> {
    // A parent is known by its PID only, which may be another's by now: the way up could run in a circle.
    let parent = |pid: &i32| seen.get(pid).map(|process| process.parent);
    std::iter::successors(Some(pid), parent)
        .take_while(|pid| *pid > 0)
        .take(1000)
}

fn is_in_attempt(pid: i32) -> bool {
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    cgroup.contains("/attempt-") || proc::variable(pid, COOKIE).is_some()
}

fn comm(pid: i32) -> String {
    let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    printable(&String::from_utf8_lossy(&comm))
}

/// By the kernel's name of it, or by the file name of the first word of its command line.
fn is_called(pid: i32, comm: &str, name: &str) -> bool {
    if comm.len() < COMM_BYTES {
        return comm == name || first_word_is(pid, name);
    }
    name.as_bytes().starts_with(comm.as_bytes()) || first_word_is(pid, name)
}

fn first_word_is(pid: i32, name: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let word = line.split(|byte| *byte == 0).next().unwrap_or_default();
    Path::new(std::ffi::OsStr::from_bytes(word))
        .file_name()
        .is_some_and(|file| file.as_bytes() == name.as_bytes())
}

/// A name as it can be shown: a process may call itself anything, escape sequences of the terminal too.
fn printable(name: &str) -> String {
    let name = name.strip_suffix('\n').unwrap_or(name);
    name.chars()
        .map(|sign| if sign.is_control() { '?' } else { sign })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_topmost_is_found_by_name_and_by_pid() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than the kernel's names are.
        let program = dir.path().join("a-name-that-is-long");
        std::fs::copy("/bin/sh", &program).unwrap();
        let script = format!("{} -c 'sleep 30; true'; true", program.display());
        let mut child = Command::new(&program)
            .args(["-c", &script])
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let by_name = Wanted {
            names: vec!["a-name-that-is-long".into()],
            ..Wanted::default()
        };
        let by_pid = Wanted {
            pids: vec![pid],
            ..Wanted::default()
        };
        for wanted in [by_name, by_pid] {
            let found = find(&wanted);
            assert_eq!(found.iter().map(|one| one.pid).collect::<Vec<_>>(), [pid]);
            assert!(!found[0].is_managed);
        }
        let tree = crate::memory::tree::Tree::of(nix::unistd::Pid::from_raw(pid));
        tree.kill();
        child.wait().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let itself = Wanted {
            pids: vec![own],
            ..Wanted::default()
        };
        assert_eq!(find(&itself), []);
    }

    #[test]
    fn a_name_cannot_write_to_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a?[2Jb");
    }
}
