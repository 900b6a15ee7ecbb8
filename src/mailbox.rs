//! How threads answer a loop: through a channel, and a byte in a pipe that wakes it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::sys;

/// Stack of a thread of ours, bytes: ffprobe's answer and a few paths are on the heap.
const STACK: usize = 512 << 10;

/// A thread's end.
#[derive(Debug)]
pub struct Answers<T> {
    send: Sender<T>,
    wake: Arc<OwnedFd>,
}

impl<T> Clone for Answers<T> {
    fn clone(&self) -> Self {
        Answers {
            send: self.send.clone(),
            wake: Arc::clone(&self.wake),
        }
    }
}

impl<T> Answers<T> {
    /// Tells the loop.
    pub fn give(&self, answer: T) {
        // The loop has gone when nobody wants to know any more; a full pipe wakes it as well as another byte.
        if self.send.send(answer).is_ok() {
            let _full = nix::unistd::write(&self.wake, &[0]);
        }
    }
}

/// The loop's end.
#[derive(Debug)]
pub struct Inbox<T> {
    receive: Receiver<T>,
    wake: OwnedFd,
}

impl<T> Inbox<T> {
    /// To be polled for reading.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// What has been told since the last call.
    pub fn take(&mut self) -> Vec<T> {
        let mut bytes = [0u8; 64];
        while let Ok(1..) = nix::unistd::read(&self.wake, &mut bytes) {}
        self.receive.try_iter().collect()
    }
}

/// Both ends.
///
/// # Errors
/// When no pipe can be made.
pub fn mailbox<T>() -> io::Result<(Answers<T>, Inbox<T>)> {
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
pub fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
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
        start_thread("test", move || {
            answers.give(1);
            answers.clone().give(2);
        })
        .unwrap();
        let mut taken = Vec::new();
        while taken.len() < 2 {
            let mut fds = [PollFd::new(inbox.fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, PollTimeout::from(10_000u16)), Ok(1));
            taken.extend(inbox.take());
        }
        assert_eq!(taken, [1, 2]);
        assert!(inbox.take().is_empty());
    }
}
