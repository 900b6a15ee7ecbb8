//! How threads answer the loop: through a channel, and a byte in a pipe that wakes it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::planner::Planned;
use super::settle::Settled;
use crate::core::ReliefId;
use crate::sys;

/// Stack of a thread of ours, bytes: ffprobe's answer and a few paths are on the heap.
const STACK: usize = 512 << 10;

/// What a thread has to tell.
#[derive(Debug)]
pub enum Answer {
    /// A job has been planned.
    Planned(Box<Planned>),
    /// What an attempt left has been cleared.
    Settled(Box<Settled>),
    /// A relief has been carried out.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "there is nothing to reclaim with")
    )]
    Relieved(ReliefId, bool),
}

/// A thread's end.
#[derive(Debug, Clone)]
pub struct Answers {
    send: Sender<Answer>,
    wake: Arc<OwnedFd>,
}

impl Answers {
    /// Tells the loop.
    pub fn give(&self, answer: Answer) {
        // The loop has gone when nobody wants to know any more; a full pipe wakes it as well as another byte.
        if self.send.send(answer).is_ok() {
            let _full = nix::unistd::write(&self.wake, &[0]);
        }
    }
}

/// The loop's end.
#[derive(Debug)]
pub struct Inbox {
    receive: Receiver<Answer>,
    wake: OwnedFd,
}

impl Inbox {
    /// To be polled for reading.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// What has been told since the last call.
    pub fn take(&mut self) -> Vec<Answer> {
        let mut bytes = [0u8; 64];
        while let Ok(1..) = nix::unistd::read(&self.wake, &mut bytes) {}
        self.receive.try_iter().collect()
    }
}

/// Both ends.
///
/// # Errors
/// When no pipe can be made.
pub fn mailbox() -> io::Result<(Answers, Inbox)> {
    let (read, write) = sys::cloexec_pipe()?;
    for end in [&read, &write] {
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    let (send, receive) = channel();
    let wake = Arc::new(write);
    Ok((
        Answers { send, wake },
        Inbox {
            receive,
            wake: read,
        },
    ))
}

/// Starts a thread. It starts no children that have to die with us, for they would die with it.
///
/// # Errors
/// `EAGAIN` when there can be no more.
pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK);
    builder.spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    #[test]
    fn an_answer_wakes_the_loop_and_is_taken_once() {
        let (answers, mut inbox) = mailbox().unwrap();
        assert!(inbox.take().is_empty());
        start("test", move || {
            answers.give(Answer::Relieved(ReliefId(1), true));
            answers.give(Answer::Relieved(ReliefId(2), false));
        })
        .unwrap();
        let mut taken = Vec::new();
        while taken.len() < 2 {
            let mut fds = [PollFd::new(inbox.fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, PollTimeout::from(10_000u16)), Ok(1));
            taken.extend(inbox.take());
        }
        assert!(matches!(
            taken[..],
            [
                Answer::Relieved(ReliefId(1), true),
                Answer::Relieved(ReliefId(2), false)
            ]
        ));
        assert!(inbox.take().is_empty());
    }
}
