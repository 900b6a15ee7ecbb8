//! Who is whose child, read once for all the trees of one supervisor.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::COOKIE;
use super::births::{Birth, Births, Since};
use crate::memory::proc::{self, Newest};

/// For so long what one tree has read is fresh enough for the next: less than the least time between two looks.
const ROUND: Duration = Duration::from_millis(2);
/// After this time it is read again though nothing was started: parents may have ended.
const OLD: Duration = Duration::from_secs(1);
/// Reading takes no more than one part in so many of one processor, even where processes are started all the time.
const SHARE: u32 = 200;

/// The processes below this supervisor, and to which attempt each that fell to it belongs. Cheap to clone; all the
/// trees of one supervisor share one.
#[derive(Debug, Clone)]
pub struct Kin(Rc<RefCell<Table>>);

impl Default for Kin {
    fn default() -> Kin {
        Kin::new()
    }
}

#[derive(Debug)]
struct Table {
    me: i32,
    /// The kernel lists children (`CONFIG_PROC_CHILDREN`); without, all processes are looked at.
    listed: bool,
    /// The newest PID, and when it was read.
    news: Option<(Option<u64>, Instant)>,
    newest_file: Newest,
    /// Who was started lately.
    births: Births,
    /// The newest PID when the rest was read.
    newest: Option<u64>,
    /// When the rest was read, and when it may be read again.
    read: Option<Instant>,
    again: Option<Instant>,
    /// Our own children.
    own: Vec<i32>,
    /// Every process, where children are not listed.
    all: BTreeMap<i32, Entry>,
    /// The cookies of our own children, each read once.
    cookies: BTreeMap<i32, Option<Vec<u8>>>,
}

#[derive(Debug)]
struct Entry {
    start: u64,
    children: Vec<i32>,
}

impl Kin {
    /// For the attempts of this process.
    pub fn new() -> Kin {
        Kin(Rc::new(RefCell::new(Table {
            me: nix::unistd::getpid().as_raw(),
            listed: proc::lists_children(),
            news: None,
            newest_file: Newest::default(),
            births: Births::default(),
            newest: None,
            read: None,
            again: None,
            own: Vec::new(),
            all: BTreeMap::new(),
            cookies: BTreeMap::new(),
        })))
    }

    #[cfg(test)]
    pub(super) fn listed(self, listed: bool) -> Kin {
        self.0.borrow_mut().listed = listed;
        self
    }

    /// How many trees share it.
    pub(super) fn trees(&self) -> usize {
        Rc::strong_count(&self.0).max(1)
    }

    /// The newest PID, read once for all the trees that look in one round.
    pub(super) fn newest(&self) -> Option<u64> {
        let table = &mut *self.0.borrow_mut();
        match table.news {
            Some((newest, at)) if at.elapsed() < ROUND => newest,
            _ => {
                let newest = table.newest_file.read();
                table.news = Some((newest, Instant::now()));
                newest
            }
        }
    }

    /// Who was started since the newest PID was `then`; read once for all the trees.
    pub(super) fn births(&self, then: u64, newest: u64) -> Since {
        self.0.borrow_mut().births.since(then, newest)
    }

    /// Whether it fell to us, or is our child, and carries this cookie.
    pub(super) fn carries(&self, birth: &Birth, cookie: &[u8]) -> bool {
        let Table { me, cookies, .. } = &mut *self.0.borrow_mut();
        let of_it = || proc::variable(birth.pid, COOKIE);
        birth.parent == *me
            && cookies.entry(birth.pid).or_insert_with(of_it).as_deref() == Some(cookie)
    }

    /// Reads it anew, unless nothing was started since it was read last, or that would take too large a share of the
    /// time; `forced` in any case. The newest PID that it stands for then.
    pub(super) fn refresh(&self, newest: Option<u64>, forced: bool) -> Option<u64> {
        let table = &mut *self.0.borrow_mut();
        let begin = Instant::now();
        let current = newest.is_some() && table.newest == newest;
        let is_old = table.read.is_none_or(|read| begin >= read + OLD);
        let too_soon = table.again.is_some_and(|again| begin < again);
        if !forced && !is_old && (current || too_soon) {
            return table.newest;
        }
        table.read = Some(begin);
        table.newest = newest;
        if table.listed {
            table.own = proc::children(table.me);
        } else {
            table.read_all();
        }
        let own = &table.own;
        table.cookies.retain(|pid, _| own.contains(pid));
        table.again = Some(begin + begin.elapsed() * SHARE);
        newest
    }

    /// The children of a process that was started at `start`.
    pub(super) fn children(&self, pid: i32, start: u64) -> Vec<i32> {
        let table = self.0.borrow();
        if table.listed {
            return proc::children(pid);
        }
        table
            .all
            .get(&pid)
            .filter(|entry| entry.start == start)
            .map_or_else(Vec::new, |entry| entry.children.clone())
    }

    /// The children of a process, whichever has this PID now; our own are those that were read.
    pub(super) fn children_of_any(&self, pid: i32) -> Vec<i32> {
        if pid == self.0.borrow().me {
            return self.0.borrow().own.clone();
        }
        let start = self.start(pid).unwrap_or(0);
        self.children(pid, start)
    }

    /// When a process was started that was there when this was read; not where children are listed.
    pub(super) fn start(&self, pid: i32) -> Option<u64> {
        Some(self.0.borrow().all.get(&pid)?.start)
    }

    /// Our own children that carry this cookie.
    pub(super) fn with_cookie(&self, cookie: &[u8]) -> Vec<i32> {
        let Table { own, cookies, .. } = &mut *self.0.borrow_mut();
        let carries = |pid: &&i32| {
            cookies
                .entry(**pid)
                .or_insert_with(|| proc::variable(**pid, COOKIE))
                .as_deref()
                == Some(cookie)
        };
        own.iter().filter(carries).copied().collect()
    }
}

impl Table {
    fn read_all(&mut self) {
        self.all.clear();
        let mut parents = Vec::new();
        for pid in proc::all() {
            if let Some(stat) = proc::stat(pid) {
                parents.push((pid, stat.parent));
                let children = Vec::new();
                let start = stat.start;
                self.all.insert(pid, Entry { start, children });
            }
        }
        for (pid, parent) in parents {
            if let Some(entry) = self.all.get_mut(&parent) {
                entry.children.push(pid);
            }
        }
        let own = self.all.get(&self.me);
        self.own = own.map_or_else(Vec::new, |entry| entry.children.clone());
    }
}
