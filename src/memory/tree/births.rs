//! Who was started lately: the kernel gives PIDs away in order and tells the newest, so the processes started since
//! an earlier look are those in between. What is read of each serves all trees of one supervisor.

use std::time::Instant;

use crate::memory::proc::{self, Stat};

/// PIDs that are looked at one by one; when more were given away, each tree is searched as a whole.
const MOST: u64 = 256;
/// Births that are remembered, for the trees that look less often than others.
const REMEMBERED: usize = 1024;
/// Reading takes no more than one part in so many of one processor, even where processes are started all the time.
const SHARE: u32 = 200;

/// A process that was started lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Birth {
    /// Itself.
    pub pid: i32,
    /// When it was started, clock ticks since boot.
    pub start: u64,
    /// Its parent when this was read.
    pub parent: i32,
}

/// Who was started since the newest PID was the one that a tree remembers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// These; and the newest PID that this stands for.
    Born(Vec<Birth>, u64),
    /// It was looked for a moment ago; not again now.
    Wait,
    /// Too many, or too long ago.
    Unknown,
}

/// The births of the last moments, oldest first.
#[derive(Debug, Default)]
pub(super) struct Births {
    list: Vec<Birth>,
    /// They are those after this PID.
    from: u64,
    /// And up to this one.
    upto: u64,
    again: Option<Instant>,
}

impl Births {
    /// Those after `then`, where the newest PID now is `newest`.
    pub(super) fn since(&mut self, then: u64, newest: u64) -> Since {
        let begin = Instant::now();
        if self.upto == 0 {
            (self.from, self.upto) = (then, then);
        }
        if newest != self.upto {
            if self.again.is_some_and(|again| begin < again) {
                return Since::Wait;
            }
            self.read(newest, proc::stat);
            self.again = Some(begin + begin.elapsed().saturating_mul(SHARE));
        }
        if !(self.from..=self.upto).contains(&then) {
            return Since::Unknown;
        }
        let is_seen = |birth: &Birth| u64::try_from(birth.pid).is_ok_and(|pid| pid <= then);
        let first = self.list.partition_point(is_seen);
        Since::Born(self.list[first..].to_vec(), self.upto)
    }

    fn read(&mut self, newest: u64, stat: impl Fn(i32) -> Option<Stat>) {
        // PIDs begin anew when all were given away.
        if newest < self.upto || newest - self.upto > MOST {
            self.list.clear();
            self.from = newest;
        } else {
            let pids = (self.upto + 1..=newest).filter_map(|pid| i32::try_from(pid).ok());
            let alive = pids
                .filter_map(|pid| Some((pid, stat(pid)?)))
                .filter(|(_, stat)| stat.is_alive());
            self.list.extend(alive.map(|(pid, stat)| Birth {
                pid,
                start: stat.start,
                parent: stat.parent,
            }));
        }
        self.upto = newest;
        let excess = self.list.len().saturating_sub(REMEMBERED);
        if let Some(last) = self.list.drain(..excess).next_back() {
            self.from = u64::try_from(last.pid).unwrap_or(self.upto);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: i32) -> Option<Stat> {
        // Odd ones have ended; every tenth is a zombie.
        (pid % 2 == 0).then_some(Stat {
            parent: pid / 2,
            state: if pid % 10 == 0 { b'Z' } else { b'S' },
            start: 1,
            cpu_ticks: 0,
        })
    }

    fn pids(births: &mut Births, then: u64, newest: u64) -> Option<Vec<i32>> {
        births.read(newest, stat);
        match births.since(then, newest) {
            Since::Born(list, upto) => {
                assert_eq!(upto, newest);
                Some(list.iter().map(|birth| birth.pid).collect())
            }
            _ => None,
        }
    }

    #[test]
    fn each_tree_is_told_of_those_after_its_own_last_look() {
        let mut births = Births::default();
        assert_eq!(births.since(1000, 1000), Since::Born(vec![], 1000));
        assert_eq!(
            pids(&mut births, 1000, 1008),
            Some(vec![1002, 1004, 1006, 1008])
        );
        assert_eq!(pids(&mut births, 1004, 1012), Some(vec![1006, 1008, 1012]));
        assert_eq!(
            pids(&mut births, 999, 1012),
            None,
            "from before the first look"
        );
    }

    #[test]
    fn too_many_and_pids_that_begin_anew_are_unknown() {
        let mut births = Births::default();
        pids(&mut births, 0, 1000);
        assert_eq!(pids(&mut births, 1000, 1001 + MOST), None);
        assert_eq!(pids(&mut births, 1001 + MOST, 400), None);
        assert_eq!(pids(&mut births, 400, 402), Some(vec![402]));
    }

    #[test]
    fn no_more_are_remembered_than_a_bound() {
        let mut births = Births::default();
        pids(&mut births, 0, 1000);
        let mut newest = 1000;
        while births.from == 1000 {
            newest += MOST;
            pids(&mut births, newest, newest);
            assert!(births.list.len() <= REMEMBERED);
        }
        assert_eq!(pids(&mut births, 1000, newest), None);
        assert_eq!(
            pids(&mut births, newest - 4, newest).map(|list| list.len()),
            Some(2)
        );
    }
}
