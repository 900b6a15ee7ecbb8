//! Carrying out relief: what is done to get memory back without stopping anything, and when that is done.
//!
//! What blocks in the kernel is done by a thread of its own for each relief; the user's command is a child of the
//! loop. Either is given up after the policy's time; that it helped is for the core to judge.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::threads::Answers;
use crate::child::relief_command::{ReliefCommand, ReliefCommandError};
use crate::config::policy::ReliefRules;
use crate::core::ReliefId;
use crate::sys::Reaped;

/// How long a child has to act on a relief signal before memory is looked at: unloading a model takes a moment.
const SIGNAL_TAKES: Duration = Duration::from_millis(500);
/// What freezing and the last step of pushing out may take beyond the policy's time; the core waits longer.
const FREEZE_ANSWERS: Duration = Duration::from_secs(3);

/// The reliefs under way.
pub struct Reliefs {
    rules: ReliefRules,
    open_files: Option<u64>,
    under_way: BTreeMap<ReliefId, UnderWay>,
}

enum UnderWay {
    /// A thread works on it.
    Thread { give_up: Instant },
    /// A signal was sent.
    Signal { until: Instant },
    /// A command runs.
    Command(Box<ReliefCommand>),
}

/// A relief that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// Which.
    pub relief: ReliefId,
    /// It did what it was asked to.
    pub done: bool,
}

impl Reliefs {
    /// None under way. `open_files` is the soft limit of open files before we raised ours.
    pub fn new(rules: ReliefRules, open_files: Option<u64>) -> Reliefs {
        Reliefs {
            rules,
            open_files,
            under_way: BTreeMap::new(),
        }
    }

    /// Has a thread take the file cache of these cgroups back. False where there is nothing to do it with.
    pub fn reclaim(
        &mut self,
        relief: ReliefId,
        dirs: Vec<PathBuf>,
        answers: &Answers,
        now: Instant,
    ) -> bool {
        let give_up = now + self.rules.timeout;
        if dirs.is_empty() || !reclaimer::reclaim(relief, dirs, give_up, answers) {
            return false;
        }
        self.under_way.insert(relief, UnderWay::Thread { give_up });
        true
    }

    /// Has a thread freeze this cgroup and push its memory out, to so many bytes of swap at most. What does not go within
    /// the policy's time follows for as long as it stands still. False where there is nothing to do it with.
    pub fn freeze(
        &mut self,
        relief: ReliefId,
        dir: PathBuf,
        swap_bytes: u64,
        answers: &Answers,
        now: Instant,
    ) -> bool {
        let within = self.rules.timeout;
        if !reclaimer::freeze(relief, dir, swap_bytes, within, answers) {
            return false;
        }
        let give_up = now + within + FREEZE_ANSWERS;
        self.under_way.insert(relief, UnderWay::Thread { give_up });
        true
    }

    /// Signals were sent to children.
    pub fn signalled(&mut self, relief: ReliefId, now: Instant) {
        let until = now + SIGNAL_TAKES.min(self.rules.timeout);
        self.under_way.insert(relief, UnderWay::Signal { until });
    }

    /// Starts the policy's command.
    ///
    /// # Errors
    /// When there is none, or it cannot be started.
    pub fn command(&mut self, relief: ReliefId, now: Instant) -> Result<(), ReliefCommandError> {
        let argv = self.rules.command.as_deref().unwrap_or_default();
        let command = ReliefCommand::start(argv, self.rules.timeout, self.open_files, now)?;
        let command = UnderWay::Command(Box::new(command));
        self.under_way.insert(relief, command);
        Ok(())
    }

    /// To be polled for reading: what commands say.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.under_way.values().filter_map(|one| match one {
            UnderWay::Command(command) => command.fd(),
            _ => None,
        })
    }

    /// When one has to be given up.
    pub fn next_deadline(&self) -> Option<Instant> {
        let times = self.under_way.values().filter_map(|one| match one {
            UnderWay::Thread { give_up } => Some(*give_up),
            UnderWay::Signal { until } => Some(*until),
            UnderWay::Command(command) => command.kill_at(),
        });
        times.min()
    }

    /// Reads what commands say, and gives up what takes too long. What is over then.
    pub fn go_on(&mut self, now: Instant) -> Vec<Over> {
        let mut over = Vec::new();
        for (relief, one) in &mut self.under_way {
            match one {
                UnderWay::Thread { give_up } if now >= *give_up => over.push((*relief, false)),
                UnderWay::Signal { until } if now >= *until => over.push((*relief, true)),
                UnderWay::Command(command) => {
                    if let Err(error) = command.go_on(now) {
                        log::warn!("{error}");
                        over.push((*relief, false));
                    }
                }
                _ => {}
            }
        }
        for (relief, _) in &over {
            // A command that was killed is still to be reaped.
            if !matches!(self.under_way.get(relief), Some(UnderWay::Command(_))) {
                self.under_way.remove(relief);
            }
        }
        let over = over.into_iter();
        over.map(|(relief, done)| Over { relief, done }).collect()
    }

    /// A thread has answered. None when it was given up before.
    pub fn answered(&mut self, relief: ReliefId, done: bool) -> Option<Over> {
        self.under_way
            .remove(&relief)
            .map(|_| Over { relief, done })
    }

    /// A child has ended: if it was a command's, whether the relief is over with it.
    pub fn reaped(&mut self, reaped: &Reaped) -> Option<Over> {
        let mine = |one: &UnderWay| match one {
            UnderWay::Command(command) => command.pid() == reaped.pid,
            _ => false,
        };
        let relief = *self.under_way.iter().find(|(_, one)| mine(one))?.0;
        let Some(UnderWay::Command(command)) = self.under_way.remove(&relief) else {
            return None;
        };
        let done = command
            .reaped(reaped.status)?
            .inspect_err(|error| log::warn!("{error}"))
            .is_ok();
        Some(Over { relief, done })
    }

    /// We are to end: commands are killed.
    pub fn end(&mut self) {
        for one in self.under_way.values_mut() {
            if let UnderWay::Command(command) = one {
                command.kill();
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod reclaimer {
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    use super::super::threads::{Answer, Answers, start as start_thread};
    use crate::core::ReliefId;
    use crate::memory::value;
    use crate::slice::{SliceError, cgroup};

    /// Starts a thread that takes the file cache of these cgroups back. Whether it could be started.
    pub fn reclaim(
        relief: ReliefId,
        dirs: Vec<PathBuf>,
        until: Instant,
        answers: &Answers,
    ) -> bool {
        let answers = answers.clone();
        started(move || {
            let mut done = false;
            for dir in dirs {
                if Instant::now() < until {
                    done |= is_done(cgroup::reclaim(&dir, file_cache(&dir)));
                }
            }
            answers.give(Answer::Relieved(relief, done));
        })
    }

    /// Starts a thread that freezes this cgroup and pushes it out. Whether it could be started.
    pub fn freeze(
        relief: ReliefId,
        dir: PathBuf,
        swap_bytes: u64,
        within: Duration,
        answers: &Answers,
    ) -> bool {
        let answers = answers.clone();
        started(move || {
            let pushed = cgroup::freeze(&dir, true)
                .and_then(|()| cgroup::allow_swap(&dir, swap_bytes))
                .and_then(|()| cgroup::push_out(&dir, within));
            answers.give(Answer::Relieved(relief, is_done(pushed)));
            // It may have gone on or have gone meanwhile.
            while cgroup::is_frozen(&dir) && matches!(cgroup::push_out(&dir, within), Ok(1..)) {}
        })
    }

    fn started(work: impl FnOnce() + Send + 'static) -> bool {
        let started = start_thread("relief", work);
        if let Err(error) = &started {
            log::warn!("no thread for relief: {error}");
        }
        started.is_ok()
    }

    fn is_done(result: Result<u64, SliceError>) -> bool {
        result.inspect_err(|error| log::warn!("{error}")).is_ok()
    }

    /// Bytes of page cache of files that a cgroup is charged with.
    fn file_cache(dir: &Path) -> u64 {
        let stat = std::fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
        ["inactive_file", "active_file"]
            .iter()
            .filter_map(|key| value(&stat, key))
            .sum()
    }
}

#[cfg(not(target_os = "linux"))]
mod reclaimer {
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use super::super::threads::Answers;
    use crate::core::ReliefId;

    /// There is nothing to reclaim with.
    pub fn reclaim(
        _relief: ReliefId,
        _dirs: Vec<PathBuf>,
        _until: Instant,
        _answers: &Answers,
    ) -> bool {
        false
    }

    /// There are no cgroups to freeze.
    pub fn freeze(
        _relief: ReliefId,
        _dir: PathBuf,
        _swap_bytes: u64,
        _within: Duration,
        _answers: &Answers,
    ) -> bool {
        false
    }
}
