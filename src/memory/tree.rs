//! A process and all its descendants: who they are, what they use, and their end.
//!
//! Used where there is no cgroup. The root is this supervisor, which is a child subreaper: whoever in the tree
//! loses its parent becomes the supervisor's own child, so no descendant can leave the tree.

use super::Usage;

#[cfg(target_os = "linux")]
pub use linux::Tree;
#[cfg(target_os = "macos")]
pub use macos::Tree;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;

    use nix::sys::signal::Signal;
    use procfs::process::Process;
    use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

    use super::Usage;

    /// Rounds of looking for processes that were forked while others were being stopped.
    const ROUNDS: usize = 64;

    /// The descendants of one process.
    #[derive(Debug)]
    pub struct Tree {
        root: i32,
        page_bytes: u64,
        /// The kernel lists children (`CONFIG_PROC_CHILDREN`); without, all processes are looked at.
        listed: bool,
    }

    impl Tree {
        /// The descendants of `root`, itself not among them.
        pub fn below(root: nix::unistd::Pid) -> Tree {
            Tree {
                root: root.as_raw(),
                page_bytes: procfs::page_size(),
                listed: Path::new("/proc/thread-self/children").exists(),
            }
        }

        /// All descendants alive now. A process that ends while we look is left out.
        fn members(&self) -> BTreeMap<i32, Process> {
            if !self.listed {
                return self.members_by_parent();
            }
            let mut found = BTreeMap::new();
            let mut open = children(self.root);
            while let Some(pid) = open.pop() {
                if found.contains_key(&pid) {
                    continue;
                }
                let Ok(process) = Process::new(pid) else {
                    continue;
                };
                open.extend(children_of(&process));
                found.insert(pid, process);
            }
            found
        }

        /// The same by every process's parent: a look at all of `/proc`.
        fn members_by_parent(&self) -> BTreeMap<i32, Process> {
            let all = procfs::process::all_processes()
                .into_iter()
                .flatten()
                .flatten();
            let mut others: Vec<(i32, Process)> = all
                .filter_map(|process| Some((process.stat().ok()?.ppid, process)))
                .collect();
            let mut found = BTreeMap::new();
            loop {
                let is_ours = |(parent, _): &(i32, Process)| {
                    *parent == self.root || found.contains_key(parent)
                };
                let (ours, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(is_ours);
                if ours.is_empty() {
                    return found;
                }
                found.extend(ours.into_iter().map(|(_, process)| (process.pid, process)));
                others = rest;
            }
        }

        /// What the tree uses. Memory is the private resident memory of each process plus the largest shared
        /// part, so that libraries and shared buffers are counted once.
        pub fn usage(&self) -> Usage {
            let mut usage = Usage::default();
            let mut shared = 0;
            for process in self.members().values() {
                let Ok(statm) = process.statm() else { continue };
                if statm.resident == 0 {
                    continue;
                }
                usage.processes += 1;
                usage.needs_bytes += statm.resident.saturating_sub(statm.shared) * self.page_bytes;
                shared = shared.max(statm.shared * self.page_bytes);
            }
            usage.needs_bytes += shared;
            usage
        }

        /// What the tree has read, written and computed: its signs of life. Costs more than [`Tree::usage`].
        pub fn activity(&self) -> Usage {
            let mut usage = Usage::default();
            for process in self.members().values() {
                if let Ok(io) = process.io() {
                    usage.io_bytes += io.rchar + io.wchar;
                }
                if let Ok(stat) = process.stat() {
                    let ticks = stat.utime + stat.stime;
                    usage.cpu += Duration::from_millis(ticks * 1000 / procfs::ticks_per_second());
                }
            }
            usage
        }

        /// Sends a signal to every descendant, each named by a pidfd.
        pub fn signal(&self, signal: Signal) -> usize {
            self.members()
                .values()
                .filter(|process| self.signal_one(process, signal))
                .count()
        }

        /// Kills all descendants. Each is stopped before any is killed, so that a fork bomb cannot outrun us.
        pub fn kill(&self) {
            let mut stopped = 0;
            for _ in 0..ROUNDS {
                let count = self.signal(Signal::SIGSTOP);
                if count <= stopped {
                    break;
                }
                stopped = count;
            }
            self.signal(Signal::SIGKILL);
        }

        /// Whether no descendant is alive (zombies do not count).
        pub fn is_empty(&self) -> bool {
            !self.members().values().any(is_alive)
        }

        /// A pidfd is opened first; only then is the process looked at again, so a reused PID is not signalled.
        fn signal_one(&self, process: &Process, signal: Signal) -> bool {
            let Some(pid) = Pid::from_raw(process.pid) else {
                return false;
            };
            let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
                return false;
            };
            if !is_alive(process) {
                return false;
            }
            let Some(number) = rustix::process::Signal::from_named_raw(signal as i32) else {
                return false;
            };
            pidfd_send_signal(pidfd, number).is_ok()
        }
    }

    fn is_alive(process: &Process) -> bool {
        process
            .stat()
            .is_ok_and(|stat| stat.state != 'Z' && stat.state != 'X')
    }

    fn children(pid: i32) -> Vec<i32> {
        Process::new(pid)
            .map(|process| children_of(&process))
            .unwrap_or_default()
    }

    /// Children belong to the thread that forked them.
    fn children_of(process: &Process) -> Vec<i32> {
        let Ok(tasks) = process.tasks() else {
            return Vec::new();
        };
        tasks
            .filter_map(Result::ok)
            .filter_map(|task| task.children().ok())
            .flatten()
            .filter_map(|pid| i32::try_from(pid).ok())
            .collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn both_ways_find_the_same_family() {
            let script = "sleep 30 & sh -c 'sleep 30 & wait' & wait";
            let mut child = std::process::Command::new("sh")
                .args(["-c", script])
                .spawn()
                .unwrap();
            let root = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
            let listed = Tree {
                listed: true,
                ..Tree::below(root)
            };
            let scanned = Tree {
                listed: false,
                ..Tree::below(root)
            };
            let pids = |tree: &Tree| tree.members().into_keys().collect::<Vec<_>>();
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            while pids(&listed).len() < 3 && std::time::Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(pids(&listed).len(), 3, "two sleeps and a shell");
            assert_eq!(pids(&listed), pids(&scanned));
            assert!(scanned.usage().needs_bytes > 0);
            scanned.kill();
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[cfg(target_os = "macos")]
mod macos {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::Usage;

    /// The descendants of one process. macOS has no subreaper: a process whose parent has ended is seen only
    /// while its own parent lives.
    #[derive(Debug)]
    pub struct Tree {
        root: i32,
    }

    impl Tree {
        /// The descendants of `root`, itself not among them.
        pub fn below(root: Pid) -> Tree {
            Tree {
                root: root.as_raw(),
            }
        }

        fn members(&self) -> Vec<i32> {
            let mut found = Vec::new();
            let mut open = crate::sys::macos::children(self.root);
            while let Some(pid) = open.pop() {
                if !found.contains(&pid) {
                    open.extend(crate::sys::macos::children(pid));
                    found.push(pid);
                }
            }
            found
        }

        /// What the tree uses: the sum of physical footprints.
        pub fn usage(&self) -> Usage {
            let mut usage = Usage::default();
            for pid in self.members() {
                if let Ok(bytes) = crate::sys::macos::footprint_bytes(pid) {
                    usage.processes += 1;
                    usage.needs_bytes += bytes;
                }
            }
            usage
        }

        /// What the tree has read and written.
        pub fn activity(&self) -> Usage {
            let io = self
                .members()
                .into_iter()
                .filter_map(|pid| crate::sys::macos::disk_io_bytes(pid).ok());
            Usage {
                io_bytes: io.sum(),
                ..Usage::default()
            }
        }

        /// Sends a signal to every descendant.
        pub fn signal(&self, signal: Signal) -> usize {
            self.members()
                .into_iter()
                .filter(|pid| kill(Pid::from_raw(*pid), signal).is_ok())
                .count()
        }

        /// Kills all descendants.
        pub fn kill(&self) {
            self.signal(Signal::SIGSTOP);
            self.signal(Signal::SIGKILL);
        }

        /// Whether no descendant is left.
        pub fn is_empty(&self) -> bool {
            self.members().is_empty()
        }
    }
}
