//! Relief: what is done to get memory back without stopping anything.
//!
//! [`Reliefs`] are those under way, for a loop that decides nothing about them: what blocks in the kernel is done by a
//! thread of its own for each (`kernel`), the policy's [`command`] is a child of the loop. Either is given up after the
//! policy's time; when which is due, and whether it helped, is `core`'s. [`now`](mod@now) is relief on demand.

pub mod command;
mod kernel;
#[cfg(target_os = "linux")]
pub mod now;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::policy::{ReliefKind, ReliefRules};
use crate::core::ReliefId;
use crate::mailbox::{Answers, Inbox, mailbox, start_thread};
use crate::sys::Reaped;
use command::{ReliefCommand, ReliefCommandError};

/// How long a child has to act on a relief signal before memory is looked at: unloading a model takes a moment.
const SIGNAL_TAKES: Duration = Duration::from_millis(500);
/// What freezing and the last step of pushing out may take beyond the policy's time; the core waits longer.
const FREEZE_ANSWERS: Duration = Duration::from_secs(3);

/// The reliefs under way.
pub struct Reliefs {
    rules: ReliefRules,
    open_files: Option<u64>,
    under_way: BTreeMap<ReliefId, UnderWay>,
    answers: Answers<Answer>,
    inbox: Inbox<Answer>,
}

enum UnderWay {
    /// A thread works on it.
    Thread(Thread),
    /// A signal was sent.
    Signal { until: Instant },
    /// A command runs.
    Command(Box<ReliefCommand>),
}

#[derive(Clone, Copy)]
struct Thread {
    kind: ReliefKind,
    give_up: Instant,
    /// What was to be done is done already, and the thread adds to it.
    done: bool,
}

/// A thread's: which relief and of which kind, and the bytes that came back; none when the kernel refused.
type Answer = (ReliefId, ReliefKind, Option<u64>);

/// A relief that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// Which.
    pub relief: ReliefId,
    /// What it did.
    pub kind: ReliefKind,
    /// It did what it was asked to.
    pub done: bool,
    /// What the kernel took back, bytes; none where it was not asked to, or has not answered.
    pub bytes: Option<u64>,
    /// How it came to its end.
    pub way: Way,
}

/// How a relief came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By itself.
    Ended,
    /// Its time was up. A thread may still be at work on it.
    GivenUp,
    /// It was given up before, and its thread is at its end only now.
    EndedLate,
}

impl Over {
    fn new(relief: ReliefId, kind: ReliefKind, done: bool, way: Way) -> Over {
        Over {
            relief,
            kind,
            done,
            bytes: None,
            way,
        }
    }
}

impl Reliefs {
    /// None under way. `open_files` is the soft limit of open files before we raised ours.
    ///
    /// # Errors
    /// When no pipe can be made.
    pub fn new(rules: ReliefRules, open_files: Option<u64>) -> io::Result<Reliefs> {
        let (answers, inbox) = mailbox()?;
        Ok(Reliefs {
            rules,
            open_files,
            under_way: BTreeMap::new(),
            answers,
            inbox,
        })
    }

    /// Has a thread take the file cache of these cgroups back. False where there is nothing to do it with.
    pub fn reclaim(&mut self, relief: ReliefId, dirs: Vec<PathBuf>, now: Instant) -> bool {
        let give_up = now + self.rules.timeout;
        let thread = Thread {
            kind: ReliefKind::Reclaim,
            give_up,
            done: false,
        };
        !dirs.is_empty()
            && self.start(relief, thread, move |tell| {
                kernel::reclaim(&dirs, give_up, tell);
            })
    }

    /// Has a thread freeze this cgroup and push its memory out, to so many bytes of swap at most. What does not go within
    /// the policy's time follows for as long as it stands still. False where there is nothing to do it with.
    pub fn freeze(
        &mut self,
        relief: ReliefId,
        dir: PathBuf,
        swap_bytes: u64,
        now: Instant,
    ) -> bool {
        let within = self.rules.timeout;
        let thread = Thread {
            kind: ReliefKind::Freeze,
            give_up: now + within + FREEZE_ANSWERS,
            done: false,
        };
        self.start(relief, thread, move |tell| {
            kernel::freeze(&dir, swap_bytes, within, tell);
        })
    }

    /// Has a thread push out this cgroup, which stands still already, as far as it may swap and for as long as it stands
    /// still. False where there is nothing to do it with.
    pub fn push_out(&mut self, relief: ReliefId, dir: PathBuf, now: Instant) -> bool {
        let within = self.rules.timeout;
        let thread = Thread {
            kind: ReliefKind::Freeze,
            give_up: now + within + FREEZE_ANSWERS,
            done: true,
        };
        self.start(relief, thread, move |tell| {
            kernel::push_out(&dir, within, tell);
        })
    }

    fn start(
        &mut self,
        relief: ReliefId,
        thread: Thread,
        work: impl FnOnce(&dyn Fn(Option<u64>)) + Send + 'static,
    ) -> bool {
        if !kernel::RECLAIMS {
            return false;
        }
        let answers = self.answers.clone();
        let tell = move |bytes| answers.give((relief, thread.kind, bytes));
        if let Err(error) = start_thread("relief", move || work(&tell)) {
            log::warn!("no thread for relief: {error}");
            return false;
        }
        self.under_way.insert(relief, UnderWay::Thread(thread));
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

    /// To be polled for reading: threads' answers, and what commands say.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let commands = self.under_way.values().filter_map(|one| match one {
            UnderWay::Command(command) => command.fd(),
            _ => None,
        });
        std::iter::once(self.inbox.fd()).chain(commands)
    }

    /// When one has to be given up.
    pub fn next_deadline(&self) -> Option<Instant> {
        let times = self.under_way.values().filter_map(|one| match one {
            UnderWay::Thread(thread) => Some(thread.give_up),
            UnderWay::Signal { until } => Some(*until),
            UnderWay::Command(command) => command.kill_at(),
        });
        times.min()
    }

    /// Takes threads' answers, reads what commands say, and gives up what takes too long. What is over then.
    pub fn go_on(&mut self, now: Instant) -> Vec<Over> {
        let mut over = self.answered();
        let first_given_up = over.len();
        for (relief, one) in &mut self.under_way {
            let (kind, done, way) = match one {
                UnderWay::Thread(thread) if now >= thread.give_up => {
                    (thread.kind, thread.done, Way::GivenUp)
                }
                UnderWay::Signal { until } if now >= *until => {
                    (ReliefKind::Signal, true, Way::Ended)
                }
                UnderWay::Command(command) => match command.go_on(now) {
                    Ok(()) => continue,
                    Err(error) => {
                        log::warn!("{error}");
                        (ReliefKind::Command, false, Way::GivenUp)
                    }
                },
                _ => continue,
            };
            over.push(Over::new(*relief, kind, done, way));
        }
        for given_up in &over[first_given_up..] {
            // A command that was killed is still to be reaped.
            if given_up.kind != ReliefKind::Command {
                self.under_way.remove(&given_up.relief);
            }
        }
        over
    }

    fn answered(&mut self) -> Vec<Over> {
        let answers = self.inbox.take().into_iter();
        let over = answers.map(|(relief, kind, bytes)| {
            let (way, done) = match self.under_way.remove(&relief) {
                Some(UnderWay::Thread(thread)) => (Way::Ended, thread.done),
                _ => (Way::EndedLate, false),
            };
            Over {
                bytes,
                ..Over::new(relief, kind, done || bytes.is_some(), way)
            }
        });
        over.collect()
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
        Some(Over::new(relief, ReliefKind::Command, done, Way::Ended))
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

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::sync::mpsc::channel;

    fn reliefs() -> Reliefs {
        let rules = ReliefRules {
            signal: None,
            command: None,
            timeout: Duration::from_secs(5),
            helped_points: 2,
            freeze_at_most: Duration::from_secs(60),
        };
        Reliefs::new(rules, None).unwrap()
    }

    fn over_after(reliefs: &mut Reliefs, now: Instant) -> Vec<Over> {
        let mut fds: Vec<_> = reliefs
            .fds()
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        assert_eq!(poll(&mut fds, PollTimeout::from(60_000u16)), Ok(1));
        drop(fds);
        reliefs.go_on(now)
    }

    fn thread(give_up: Instant, done: bool) -> Thread {
        Thread {
            kind: ReliefKind::Freeze,
            give_up,
            done,
        }
    }

    #[test]
    fn what_a_thread_answers_in_time_is_its_end() {
        let mut reliefs = reliefs();
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        for (id, done, bytes) in [(1, false, Some(7)), (2, false, None), (3, true, None)] {
            let relief = ReliefId(id);
            assert!(reliefs.start(relief, thread(later, done), move |tell| tell(bytes)));
            assert_eq!(reliefs.next_deadline(), Some(later));
            let expected = Over {
                bytes,
                ..Over::new(
                    relief,
                    ReliefKind::Freeze,
                    done || bytes.is_some(),
                    Way::Ended,
                )
            };
            assert_eq!(over_after(&mut reliefs, now), [expected]);
            assert_eq!(reliefs.next_deadline(), None);
        }
    }

    #[test]
    fn one_that_is_given_up_is_told_of_again_when_its_thread_ends() {
        let mut reliefs = reliefs();
        let now = Instant::now();
        let (go, wait) = channel::<()>();
        let relief = ReliefId(1);
        reliefs.start(relief, thread(now, false), move |tell| {
            wait.recv().unwrap();
            tell(Some(7));
        });
        let given_up = Over::new(relief, ReliefKind::Freeze, false, Way::GivenUp);
        assert_eq!(reliefs.go_on(now), [given_up]);
        assert_eq!(reliefs.go_on(now), []);
        go.send(()).unwrap();
        let over = over_after(&mut reliefs, now);
        assert_eq!(over.len(), 1);
        assert_eq!((over[0].relief, over[0].way), (relief, Way::EndedLate));
    }

    #[test]
    fn children_have_a_moment_to_act_on_a_signal() {
        let mut reliefs = reliefs();
        let now = Instant::now();
        reliefs.signalled(ReliefId(1), now);
        assert_eq!(reliefs.go_on(now), []);
        let until = reliefs.next_deadline().unwrap();
        assert!(until > now && until <= now + SIGNAL_TAKES);
        let over = reliefs.go_on(until);
        assert_eq!(
            over,
            [Over::new(ReliefId(1), ReliefKind::Signal, true, Way::Ended)]
        );
    }
}
