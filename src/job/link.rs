//! The supervisor's end of what ties it to its guard: what is to be cleaned up after it, how it ended, and whether it is
//! to stand still. The other end is `guard`.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::stop::{Turn, WORD_WITHIN};
use super::verdict::Verdict;
use crate::child::stop_unless;

/// The supervisor's end of the pipe to its guard.
#[derive(Debug)]
pub struct GuardLink {
    pipe: PipeWriter,
    /// The guard's words; never blocks.
    words: PipeReader,
}

impl GuardLink {
    /// Tells through `pipe`, and is told through `words`.
    ///
    /// # Errors
    /// When the OS refuses not to block.
    pub(super) fn new(pipe: PipeWriter, words: PipeReader) -> io::Result<GuardLink> {
        fcntl(&words, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(GuardLink { pipe, words })
    }

    /// To be polled: an error condition on it means that the guard is dead.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// A cgroup that has to go if we are killed.
    pub fn cgroup_made(&mut self, dir: &Path) {
        self.tell(b'C', dir.as_os_str().as_bytes());
    }

    /// That cgroup is gone.
    pub fn cgroup_removed(&mut self, dir: &Path) {
        self.tell(b'c', dir.as_os_str().as_bytes());
    }

    /// A file that has to go if we are killed.
    pub fn file_made(&mut self, path: &Path) {
        self.tell(b'F', path.as_os_str().as_bytes());
    }

    /// That file is finished or gone.
    pub fn file_done(&mut self, path: &Path) {
        self.tell(b'f', path.as_os_str().as_bytes());
    }

    /// Ends the supervisor and tells the guard how ffwarden is to end. An exit code is told by our own; that we
    /// exit at all says that everything is cleaned up.
    pub fn conclude(self, verdict: Verdict) -> ! {
        match verdict {
            Verdict::Exit(code) => std::process::exit(code),
            Verdict::Signal(number) => {
                self.tell(b'S', number.to_string().as_bytes());
                std::process::exit(0)
            }
        }
    }

    /// Stands still for as long as the guard wants us to, if it does. `children` is called with true before and
    /// with false after: they stand still with us. To be called after a SIGTSTP and a SIGCONT, whoever sent it.
    pub fn stand_still_if_asked(&self, mut children: impl FnMut(bool)) {
        let Some(mut turn) = self.last_word().filter(|turn| turn.is_still()) else {
            return;
        };
        let mut answered = None;
        while turn.is_still() {
            // Also when somebody has continued us, and our children with us, but not the guard.
            children(true);
            if answered.replace(turn) != Some(turn) {
                self.tell(b'H', turn.0.to_string().as_bytes());
            }
            stop_unless(|| self.has_word(PollTimeout::ZERO));
            if self.has_word(PollTimeout::from(WORD_WITHIN)) {
                match self.last_word() {
                    Some(next) => turn = next,
                    // It is dead, which the caller will see.
                    None => break,
                }
            }
        }
        children(false);
    }

    /// Whether the guard says something, or is dead.
    fn has_word(&self, timeout: PollTimeout) -> bool {
        let mut fds = [PollFd::new(self.words.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, timeout).is_ok_and(|ready| ready > 0)
    }

    /// The last of the guard's words that have not been read.
    fn last_word(&self) -> Option<Turn> {
        let mut last = None;
        let mut chunk = [0u8; 64];
        while let Ok(count @ 1..) = (&self.words).read(&mut chunk) {
            last = Some(Turn(chunk[count - 1]));
        }
        last
    }

    fn tell(&self, tag: u8, body: &[u8]) {
        let message = [&[tag], body, &[0]].concat();
        if let Err(error) = (&self.pipe).write_all(&message) {
            log::debug!("the guard cannot be told: {error}");
        }
    }
}
