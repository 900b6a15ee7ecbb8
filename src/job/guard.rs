//! Two processes that answer for each other, so that nothing is orphaned when either is killed.
//!
//! The process the user started becomes the *guard*; its child is the *supervisor*, which does all the work.
//! The guard hands signals on and ends the way the supervisor tells it to. If the supervisor is killed, its
//! descendants fall to the guard (a child subreaper), which ends them, removes their cgroups and their temporary
//! outputs. If the guard is killed, the supervisor notices (their pipe breaks) and does the same. The direct
//! child has a parent-death signal besides, and so has a supervisor that stands still, to wake up.
//!
//! How the two stop and go on as one is decided in `stop`.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::unistd::Pid;

use super::link::GuardLink;
use super::messages::Messages;
use super::stop::{Act, Halt, Turn};
use super::verdict::{FAILED, Verdict};
use crate::child::{HANDLED, Received, Sender, Signals, Stops};
use crate::memory::tree::Tree;
use crate::sys::{self, Change, Forked, WaitStatus};

/// Which of the two this process is.
#[derive(Debug)]
pub enum Side {
    /// The guard, after everything has ended: how to end.
    Guard(Verdict),
    /// The supervisor, with its link to the guard.
    Supervisor(GuardLink),
}

/// Splits this process in two. Returns in the supervisor at once, in the guard when all is over.
///
/// # Errors
/// When no pipe or process can be made.
pub fn split() -> io::Result<Side> {
    let (reader, writer) = io::pipe()?;
    let (words, orders) = io::pipe()?;
    // The child may run first, and what is sent to us before we listen must not be our end.
    let mut before = blocked()?;
    match sys::fork()? {
        Forked::Child => {
            before.thread_set_mask()?;
            drop((reader, orders));
            become_subreaper();
            wake_when_the_guard_dies();
            Ok(Side::Supervisor(GuardLink::new(writer, words)?))
        }
        Forked::Parent(supervisor) => {
            drop((writer, words));
            become_subreaper();
            let signals = Signals::receive_all_but(Stops::HELD)?;
            let stops = Stops::hold_back(&mut before)?;
            before.thread_set_mask()?;
            Guard {
                supervisor,
                stopped: false,
                reader,
                orders,
                signals,
                stops,
                halt: Halt::default(),
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

/// While all of it is stopped, a killed guard would be noticed only when somebody continues the supervisor.
fn wake_when_the_guard_dies() {
    #[cfg(target_os = "linux")]
    if let Err(errno) = nix::sys::prctl::set_pdeathsig(Signal::SIGCONT) {
        log::debug!("no signal at the guard's death: {errno}");
    }
}

struct Guard {
    supervisor: Pid,
    /// The supervisor is.
    stopped: bool,
    reader: PipeReader,
    orders: PipeWriter,
    signals: Signals,
    stops: Stops,
    halt: Halt,
    ledger: Ledger,
}

impl Guard {
    fn stand(mut self) -> io::Result<Verdict> {
        let_go_of_input_and_output();
        loop {
            if self.sleep()? {
                let mut chunk = [0u8; 4096];
                let count = self.reader.read(&mut chunk)?;
                self.ledger.read(&chunk[..count]);
                if let Some(turn) = self.ledger.halted.take() {
                    self.halt.answered(turn, Instant::now());
                }
            }
            for received in self.signals.pending() {
                self.hand_on(received);
            }
            if let Some(status) = self.reap()? {
                return Ok(self.conclude(status));
            }
            self.stop_and_go();
        }
    }

    /// Sleeps until something happens; whether the supervisor has told us something.
    fn sleep(&self) -> io::Result<bool> {
        let mut fds = vec![
            PollFd::new(self.reader.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.fd(), PollFlags::POLLIN),
        ];
        let deadline = self.halt.deadline();
        // Once it is being answered it stays pending.
        let stops = self.stops.fd().filter(|_| deadline.is_none());
        fds.extend(stops.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            PollTimeout::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(fds[0].any().unwrap_or(false)),
            Err(errno) => Err(errno.into()),
        }
    }

    fn hand_on(&mut self, received: Received) {
        match (received.signal, received.sender) {
            (Signal::SIGCHLD, _) => {}
            (Signal::SIGTSTP, _) => self.stops.received(),
            (signal, Sender::Process(_)) => self.signal(signal),
            (_, Sender::Terminal) => {}
        }
    }

    /// Our child, not yet reaped: its PID is its own.
    fn signal(&self, signal: Signal) {
        let _already_gone = kill(self.supervisor, signal);
    }

    /// Does what is to be done for us to stop and go on as one.
    fn stop_and_go(&mut self) {
        loop {
            let pending = self.stops.is_pending();
            match self.halt.next(pending, self.stopped, Instant::now()) {
                Act::Wait => return,
                Act::Ask(turn) => {
                    self.say(turn);
                    self.signal(Signal::SIGTSTP);
                }
                Act::Stop => self.stops.take(),
                Act::GoOn(turn) => {
                    self.say(turn);
                    self.signal(Signal::SIGCONT);
                    self.stopped = false;
                }
            }
        }
    }

    fn say(&self, turn: Turn) {
        if let Err(error) = (&self.orders).write_all(&[turn.0]) {
            log::debug!("the supervisor cannot be told: {error}");
        }
    }

    fn reap(&mut self) -> io::Result<Option<WaitStatus>> {
        let mut ended = None;
        while let Some(change) = sys::next_change()? {
            match change {
                Change::Ended(reaped) if reaped.pid == self.supervisor => {
                    ended = Some(reaped.status);
                }
                Change::Stopped(pid) if pid == self.supervisor => self.stopped = true,
                Change::Continued(pid) if pid == self.supervisor => self.stopped = false,
                // An orphan that fell to us.
                _ => {}
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
pub(crate) fn let_go_of_input_and_output() {
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
    messages: Messages,
    cgroups: Vec<PathBuf>,
    files: Vec<PathBuf>,
    verdict: Option<Verdict>,
    /// The supervisor stands still, as this word of ours asked it to.
    halted: Option<Turn>,
}

impl Ledger {
    fn read(&mut self, bytes: &[u8]) {
        let mut messages = std::mem::take(&mut self.messages);
        messages.read(bytes, |tag, body| self.note(tag, body));
        self.messages = messages;
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
            b'H' => self.halted = number().and_then(|turn| u8::try_from(turn).ok()).map(Turn),
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
}
