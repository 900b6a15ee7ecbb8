//! The tree on Linux, from `/proc`.
//!
//! Who belongs to it is searched only now and then; in between, those that were started somewhere since (`births`)
//! are looked at, and a look costs one small read for each process of the tree.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use super::Kin;
use super::births::{Birth, Since};
use crate::memory::Usage;
use crate::memory::proc::{self, Files};

/// Rounds of looking for processes that were forked while others were being stopped.
const ROUNDS: usize = 64;
/// The longest time between two searches for members, as long as all who are started are looked at. Nobody can be
/// missed then but who was given a PID out of turn (`clone3` with `set_tid`, a checkpoint that is restored).
const SEARCH_AT_LEAST: Duration = Duration::from_secs(60);
/// The same where not all could be looked at.
const SEARCH_SOON: Duration = Duration::from_secs(1);
/// Searches take no more than one part in so many of one processor, for all trees together, even where processes
/// are started all the time.
const SEARCH_SHARE: u32 = 200;
/// Members whose memory is read through a descriptor kept open; an attempt has one process as a rule, or a shell
/// and one.
const KEPT: usize = 2;
/// How long stopped processes may take to stand still.
const FREEZE_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks whether they do.
const FREEZE_LOOK: Duration = Duration::from_millis(2);

/// The processes of one attempt, or the descendants of one process.
#[derive(Debug)]
pub struct Tree {
    kin: Kin,
    roots: Roots,
    known: RefCell<Known>,
    page_bytes: u64,
}

/// Where members come from, besides the descendants of those known.
#[derive(Debug)]
enum Roots {
    Nowhere,
    ChildrenOf(i32),
    Cookie(Vec<u8>),
}

#[derive(Debug, Default)]
struct Known {
    members: BTreeMap<i32, Member>,
    /// The newest PID when members were searched for, and when that was.
    searched: Option<(Option<u64>, Instant)>,
    /// How long to wait before the next search.
    wait: Duration,
}

/// A process named for good.
#[derive(Debug)]
struct Member {
    start: u64,
    files: Option<Files>,
}

impl Member {
    fn new(start: u64) -> Member {
        Member { start, files: None }
    }

    /// None when it has ended and been reaped.
    fn stat(&self, pid: i32) -> Option<proc::Stat> {
        let stat = match &self.files {
            Some(files) => files.stat(),
            None => proc::stat(pid),
        };
        stat.filter(|stat| stat.start == self.start)
    }
}

impl Tree {
    /// The descendants of `root`, itself not among them.
    pub fn below(root: nix::unistd::Pid) -> Tree {
        Tree::new(Roots::ChildrenOf(root.as_raw()), &Kin::new())
    }

    /// `root`, its descendants, and those that were its descendants when they were seen.
    pub fn of(root: nix::unistd::Pid) -> Tree {
        let tree = Tree::new(Roots::Nowhere, &Kin::new());
        tree.adopt(root);
        tree
    }

    /// The processes of one attempt, none until its child is given to [`Tree::adopt`]: that child, its descendants,
    /// those that were seen there, and those that fell to this process and carry the cookie.
    pub fn attempt(cookie: &OsStr, kin: &Kin) -> Tree {
        Tree::new(Roots::Cookie(cookie.as_bytes().to_vec()), kin)
    }

    fn new(roots: Roots, kin: &Kin) -> Tree {
        Tree {
            kin: kin.clone(),
            roots,
            known: RefCell::default(),
            page_bytes: procfs::page_size(),
        }
    }

    /// A process that belongs to the tree: the attempt's child.
    pub fn adopt(&self, child: nix::unistd::Pid) {
        if let Some(stat) = proc::stat(child.as_raw()) {
            let mut known = self.known.borrow_mut();
            known
                .members
                .insert(child.as_raw(), Member::new(stat.start));
            known.searched = None;
        }
    }

    /// Takes in who was started since the last look, or searches for members where that is not known.
    fn update(&self) {
        let newest = self.kin.newest();
        let Some((then, at)) = self.known.borrow().searched else {
            return self.search(newest, false);
        };
        let age = at.elapsed();
        if age < SEARCH_AT_LEAST && newest.is_some() && then == newest {
            return;
        }
        if age < SEARCH_AT_LEAST
            && let (Some(then), Some(newest)) = (then, newest)
        {
            match self.kin.births(then, newest) {
                Since::Born(births, upto) => {
                    self.take_in(&births);
                    self.known.borrow_mut().searched = Some((Some(upto), at));
                    return;
                }
                Since::Wait => return,
                Since::Unknown => {}
            }
        }
        if age >= self.known.borrow().wait {
            self.search(newest, false);
        }
    }

    /// Takes in those that belong here. Parents come before their children.
    fn take_in(&self, births: &[Birth]) {
        let known = &mut *self.known.borrow_mut();
        for birth in births {
            let belongs = known.members.contains_key(&birth.parent)
                || match &self.roots {
                    Roots::Nowhere => false,
                    Roots::ChildrenOf(root) => birth.parent == *root,
                    Roots::Cookie(cookie) => self.kin.carries(birth, cookie),
                };
            let is_new = |member: &Member| member.start != birth.start;
            // Threads have numbers of the same kind.
            if belongs
                && known.members.get(&birth.pid).is_none_or(is_new)
                && proc::is_process(birth.pid)
            {
                known.members.insert(birth.pid, Member::new(birth.start));
            }
        }
    }

    /// Finds all members alive now. A process that ends while we look is left out.
    fn search(&self, newest: Option<u64>, forced: bool) {
        let begin = Instant::now();
        let known = &mut *self.known.borrow_mut();
        let newest = self.kin.refresh(newest, forced);
        let mut open = match &self.roots {
            Roots::Nowhere => Vec::new(),
            Roots::ChildrenOf(root) => self.kin.children_of_any(*root),
            Roots::Cookie(cookie) => self.kin.with_cookie(cookie),
        };
        known.members.retain(|pid, member| {
            if member.stat(*pid).is_some_and(|stat| stat.is_alive()) {
                open.push(*pid);
                return true;
            }
            // Where children are not listed, those of one that has just ended are known.
            if self.kin.start(*pid) == Some(member.start) {
                open.extend(self.kin.children(*pid, member.start));
            }
            false
        });
        let mut seen = BTreeSet::new();
        while let Some(pid) = open.pop() {
            if !seen.insert(pid) {
                continue;
            }
            let start = match known.members.get(&pid) {
                Some(member) => Some(member.start),
                None => match proc::stat(pid) {
                    Some(stat) if stat.is_alive() => {
                        known.members.insert(pid, Member::new(stat.start));
                        Some(stat.start)
                    }
                    _ => self.kin.start(pid),
                },
            };
            if let Some(start) = start {
                open.extend(self.kin.children(pid, start));
            }
        }
        known.searched = Some((newest, begin));
        let trees = u32::try_from(self.kin.trees()).unwrap_or(u32::MAX);
        known.wait = begin
            .elapsed()
            .saturating_mul(SEARCH_SHARE.saturating_mul(trees))
            .min(SEARCH_SOON);
    }

    /// Memory and number of processes. Memory is the private resident memory of each plus the largest shared part,
    /// so that libraries and shared buffers are counted once.
    pub fn memory(&self) -> Usage {
        self.update();
        let known = &mut *self.known.borrow_mut();
        let mut usage = Usage::default();
        let mut largest_shared = 0;
        let mut place = 0;
        known.members.retain(|pid, member| {
            let Some((resident, shared)) = pages(*pid, member, place < KEPT) else {
                return false;
            };
            place += 1;
            usage.processes += 1;
            usage.needs_bytes += resident.saturating_sub(shared) * self.page_bytes;
            largest_shared = largest_shared.max(shared * self.page_bytes);
            true
        });
        usage.needs_bytes += largest_shared;
        usage
    }

    /// Memory, processes, and CPU time of what is alive and of what it has waited for.
    pub fn usage(&self) -> Usage {
        let usage = self.memory();
        Usage {
            cpu: self.cpu(),
            ..usage
        }
    }

    /// CPU time of those members that are known and alive, and of what they have waited for.
    pub fn cpu(&self) -> Duration {
        let members = &self.known.borrow().members;
        let ticks = members
            .iter()
            .filter_map(|(pid, member)| member.stat(*pid))
            .map(|stat| stat.cpu_ticks)
            .sum();
        proc::ticks(ticks)
    }

    /// What the tree has read, written and computed: its signs of life. Costs more than [`Tree::usage`].
    pub fn activity(&self) -> Usage {
        let usage = self.usage();
        let members = &self.known.borrow().members;
        Usage {
            io_bytes: members.keys().filter_map(|pid| proc::io_bytes(*pid)).sum(),
            ..usage
        }
    }

    /// Sends a signal to every member, each named by a pidfd; how many got it.
    pub fn signal(&self, signal: Signal) -> usize {
        self.search(proc::newest(), true);
        let members = &self.known.borrow().members;
        members
            .iter()
            .filter(|(pid, member)| send(**pid, member.start, signal))
            .count()
    }

    /// Stops every member; again, until no more of them turn up. How many.
    fn stop(&self) -> usize {
        let mut stopped = 0;
        for _ in 0..ROUNDS {
            let count = self.signal(Signal::SIGSTOP);
            if count <= stopped {
                break;
            }
            stopped = count;
        }
        stopped
    }

    /// Kills all members. Each is stopped before any is killed, so that a fork bomb cannot outrun us.
    pub fn kill(&self) {
        self.stop();
        self.signal(Signal::SIGKILL);
    }

    /// Stops all members where they stand, or lets them go on. Returns when they stand still.
    ///
    /// # Errors
    /// `TimedOut` when they do not in a second; they then go on.
    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        if !frozen {
            self.signal(Signal::SIGCONT);
            return Ok(());
        }
        self.stop();
        let deadline = Instant::now() + FREEZE_WITHIN;
        while !self.is_still() {
            if Instant::now() >= deadline {
                self.signal(Signal::SIGCONT);
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(FREEZE_LOOK);
        }
        Ok(())
    }

    fn is_still(&self) -> bool {
        let members = &self.known.borrow().members;
        members
            .keys()
            .filter_map(|pid| proc::stat(*pid))
            .all(|stat| stat.is_stopped() || !stat.is_alive())
    }

    /// Whether no member is alive (zombies do not count).
    pub fn is_empty(&self) -> bool {
        let is_alive = |pid: i32, start| {
            proc::stat(pid).is_some_and(|stat| stat.start == start && stat.is_alive())
        };
        let known_alive = self
            .known
            .borrow()
            .members
            .iter()
            .any(|(pid, member)| is_alive(*pid, member.start));
        if known_alive {
            return false;
        }
        self.search(proc::newest(), true);
        self.known.borrow().members.is_empty()
    }

    /// The PIDs of all members alive now, ascending.
    pub fn pids(&self) -> Vec<i32> {
        self.update();
        self.known.borrow().members.keys().copied().collect()
    }
}

/// Resident and shared pages; none when the process is gone.
fn pages(pid: i32, member: &mut Member, keep: bool) -> Option<(u64, u64)> {
    let pages = match &member.files {
        Some(files) => files.pages(),
        None => {
            let files = Files::open(pid, member.start)?;
            let pages = files.pages();
            member.files = keep.then_some(files);
            pages
        }
    };
    pages.filter(|(resident, _)| *resident > 0)
}

/// A pidfd is opened first; only then is the process looked at again, so a reused PID is not signalled.
pub(super) fn send(pid: i32, start: u64, signal: Signal) -> bool {
    let (Some(pid), Some(number)) = (
        Pid::from_raw(pid),
        rustix::process::Signal::from_named_raw(signal as i32),
    ) else {
        return false;
    };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return false;
    };
    let is_it = proc::stat(pid.as_raw_nonzero().get())
        .is_some_and(|stat| stat.start == start && stat.is_alive());
    is_it && pidfd_send_signal(pidfd, number).is_ok()
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
