//! Two processes that answer for each other, so that nothing is orphaned when either is killed.
//!
//! The process the user started becomes the *guard*; its child is the *supervisor*, which does all the work.
//! The guard hands signals on and ends the way the supervisor tells it to. If the supervisor is killed, its
//! descendants fall to the guard (a child subreaper), which ends them, removes their cgroups and their temporary
//! outputs. If the guard is killed, the supervisor notices (their pipe breaks) and does the same. The direct
//! child has a parent-death signal besides.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::unistd::Pid;

use super::verdict::{FAILED, Verdict};
use crate::child::{HANDLED, Received, Sender, Signals};
use crate::memory::tree::Tree;
use crate::sys::{self, Forked, WaitStatus};

/// Longest message between the two, bytes: a path of PATH_MAX and its tag.
const MESSAGE_BOUND: usize = 4096 + 64;

/// Which of the two this process is.
#[derive(Debug)]
pub enum Side {
    /// The guard, after everything has ended: how to end.
    Guard(Verdict),
    /// The supervisor, with its link to the guard.
    Supervisor(GuardLink),
}

/// The supervisor's end of the pipe to its guard.
#[derive(Debug)]
pub struct GuardLink {
    pipe: PipeWriter,
}

impl GuardLink {
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
    pub fn conclude(mut self, verdict: Verdict) -> ! {
        match verdict {
            Verdict::Exit(code) => std::process::exit(code),
            Verdict::Signal(number) => {
                self.tell(b'S', number.to_string().as_bytes());
                std::process::exit(0)
            }
        }
    }

    fn tell(&mut self, tag: u8, body: &[u8]) {
        let message = [&[tag], body, &[0]].concat();
        if let Err(error) = self.pipe.write_all(&message) {
            log::debug!("the guard cannot be told: {error}");
        }
    }
}

/// Splits this process in two. Returns in the supervisor at once, in the guard when all is over.
///
/// # Errors
/// When no pipe or process can be made.
pub fn split() -> io::Result<Side> {
    let (reader, writer) = io::pipe()?;
    // The child may run first, and what is sent to us before we listen must not be our end.
    let before = blocked()?;
    match sys::fork()? {
        Forked::Child => {
            before.thread_set_mask()?;
            drop(reader);
            become_subreaper();
            Ok(Side::Supervisor(GuardLink { pipe: writer }))
        }
        Forked::Parent(supervisor) => {
            drop(writer);
            become_subreaper();
            let signals = Signals::receive()?;
            before.thread_set_mask()?;
            Guard {
                supervisor,
                reader,
                signals,
                ledger: Ledger::default(),
            }
            .stand()
            .map(Side::Guard)
        }
    }
}

/// Holds back the signals that are handed on; what was blocked before.
fn blocked() -> io::Result<SigSet> {
    let mut ours = SigSet::empty();
    HANDLED.iter().for_each(|signal| ours.add(*signal));
    Ok(ours.thread_swap_mask(SigmaskHow::SIG_BLOCK)?)
}

/// Orphans in the tree become our children instead of init's. macOS has no such thing.
fn become_subreaper() {
    #[cfg(target_os = "linux")]
    if let Err(errno) = nix::sys::prctl::set_child_subreaper(true) {
        log::warn!(
            "cannot become a child subreaper ({errno}): a process that detaches itself may be left behind"
        );
    }
}

struct Guard {
    supervisor: Pid,
    reader: PipeReader,
    signals: Signals,
    ledger: Ledger,
}

impl Guard {
    fn stand(mut self) -> io::Result<Verdict> {
        let_go_of_input_and_output();
        loop {
            let mut fds = [
                PollFd::new(self.signals.fd(), PollFlags::POLLIN),
                PollFd::new(self.reader.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let told = fds[1].any().unwrap_or(false);
            if told {
                let mut chunk = [0u8; 4096];
                let count = self.reader.read(&mut chunk)?;
                self.ledger.read(&chunk[..count]);
            }
            for received in self.signals.pending() {
                self.hand_on(received);
            }
            if let Some(status) = self.reap()? {
                return Ok(self.conclude(status));
            }
        }
    }

    fn hand_on(&self, received: Received) {
        match received {
            Received {
                signal: Signal::SIGCHLD,
                ..
            } => {}
            Received { signal, sender } => {
                if let Sender::Process(_) = sender {
                    // Our child, not yet reaped: its PID is its own.
                    let _already_gone = kill(self.supervisor, signal);
                }
                if signal == Signal::SIGTSTP {
                    sys::take_default_action(signal);
                }
            }
        }
    }

    fn reap(&self) -> io::Result<Option<WaitStatus>> {
        let mut ended = None;
        while let Some(reaped) = sys::reap_one()? {
            if reaped.pid == self.supervisor {
                ended = Some(reaped.status);
            }
        }
        Ok(ended)
    }

    /// The supervisor has ended. With a verdict it has cleaned up; without, that is for us to do.
    fn conclude(mut self, status: WaitStatus) -> Verdict {
        let mut rest = Vec::new();
        // The write end is closed in every process (close-on-exec, and the supervisor is dead), so this ends.
        if let Err(error) = self.reader.read_to_end(&mut rest) {
            log::debug!("the supervisor's last words are lost: {error}");
        }
        self.ledger.read(&rest);
        // A panic aborts, so an exit code is always one that was meant.
        if let WaitStatus::Exited(code) = status {
            return self.ledger.verdict.unwrap_or(Verdict::Exit(code));
        }
        end_tree();
        self.ledger.clean();
        match status {
            // Before the child was started the supervisor takes these by default, as the child would.
            WaitStatus::Signaled(
                number @ (libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT),
            ) => {
                return Verdict::Signal(number);
            }
            WaitStatus::Signaled(number) => {
                log::error!(
                    "the supervisor was killed by signal {number}; its child was ended with it"
                );
            }
            WaitStatus::Exited(_) => {}
        }
        Verdict::Exit(FAILED)
    }
}

/// Kills all our descendants and waits until none is left.
fn end_tree() {
    let tree = Tree::below(nix::unistd::getpid());
    while !tree.is_empty() {
        tree.kill();
        while let Ok(Some(_)) = sys::reap_one() {}
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Keeps a reader or writer at the other end of our stdin and stdout from waiting for us.
fn let_go_of_input_and_output() {
    if let Ok(null) = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
    {
        let _still_open = nix::unistd::dup2_stdin(&null);
        let _still_open = nix::unistd::dup2_stdout(&null);
    }
}

/// What the supervisor has told so far.
#[derive(Debug, Default)]
struct Ledger {
    partial: Vec<u8>,
    cgroups: Vec<PathBuf>,
    files: Vec<PathBuf>,
    verdict: Option<Verdict>,
}

impl Ledger {
    fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte != 0 {
                if self.partial.len() < MESSAGE_BOUND {
                    self.partial.push(byte);
                }
                continue;
            }
            let message = std::mem::take(&mut self.partial);
            if let Some((tag, body)) = message.split_first() {
                self.note(*tag, body);
            }
        }
    }

    fn note(&mut self, tag: u8, body: &[u8]) {
        let path = PathBuf::from(std::ffi::OsString::from_vec(body.to_vec()));
        let number = || std::str::from_utf8(body).ok()?.parse().ok();
        match tag {
            b'C' => self.cgroups.push(path),
            b'c' => self.cgroups.retain(|dir| *dir != path),
            b'F' => self.files.push(path),
            b'f' => self.files.retain(|file| *file != path),
            b'S' => self.verdict = number().map(Verdict::Signal),
            _ => {}
        }
    }

    fn clean(&self) {
        #[cfg(target_os = "linux")]
        for dir in &self.cgroups {
            if let Err(error) = crate::slice::cgroup::remove(dir) {
                log::warn!("{error}");
            }
        }
        for file in &self.files {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    log::warn!(
                        "cannot remove the temporary output {}: {error}",
                        file.display()
                    );
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_holds_what_is_still_to_be_cleaned_whatever_the_reads_cut() {
        let told = b"C/cg/attempt-1\0F/out/.a\nb\0c/cg/attempt-1\0C/cg/attempt-2\0F/x\0f/x\0S9\0";
        for cut in 0..told.len() {
            let mut ledger = Ledger::default();
            ledger.read(&told[..cut]);
            ledger.read(&told[cut..]);
            assert_eq!(ledger.cgroups, [PathBuf::from("/cg/attempt-2")]);
            assert_eq!(ledger.files, [PathBuf::from("/out/.a\nb")]);
            assert_eq!(ledger.verdict, Some(Verdict::Signal(9)));
        }
    }

    #[test]
    fn an_endless_message_is_bounded() {
        let mut ledger = Ledger::default();
        ledger.read(&vec![b'x'; 10 * MESSAGE_BOUND]);
        assert_eq!(ledger.partial.len(), MESSAGE_BOUND);
    }
}
