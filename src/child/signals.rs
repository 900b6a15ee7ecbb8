//! Signals that are meant for the child, with who sent them.
//!
//! The child shares our process group, so what the terminal sends (Ctrl-C) reaches it without us; what a process
//! sends to us alone has to be handed on. The kernel tells the two apart. Ctrl-Z is the guard's (`job::stop`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use crate::sys;

/// Every signal with a handler here. The child must start with their defaults.
pub const HANDLED: [Signal; 9] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGCHLD,
];

/// Who sent a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The terminal, which sends to the whole foreground process group.
    Terminal,
    /// A process, with its ID.
    Process(i32),
}

/// A signal that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// By whom.
    pub sender: Sender,
}

/// Receives signals through a pipe that can be polled.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, WithOrigin>,
}

impl Signals {
    /// Starts receiving. A signal that was ignored when ffwarden was started (nohup) stays ignored, here and in
    /// the child.
    ///
    /// # Errors
    /// When the pipe cannot be made.
    pub fn receive() -> io::Result<Signals> {
        Signals::receive_all_but(None)
    }

    /// The same, and leaves one signal as it is.
    ///
    /// # Errors
    /// When the pipe cannot be made.
    pub fn receive_all_but(left: Option<Signal>) -> io::Result<Signals> {
        let (read, write) = UnixStream::pair()?;
        let wanted = HANDLED
            .iter()
            .filter(|signal| Some(**signal) != left && !sys::is_ignored(**signal))
            .map(|signal| *signal as i32);
        let delivery = SignalDelivery::with_pipe(read, write, WithOrigin::default(), wanted)?;
        Ok(Signals { delivery })
    }

    /// What to poll for reading.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }

    /// What has arrived since the last call.
    pub fn pending(&mut self) -> Vec<Received> {
        let received = |origin: Origin| {
            let signal = Signal::try_from(origin.signal).ok()?;
            Some(Received {
                signal,
                sender: sender(&origin),
            })
        };
        self.delivery.pending().filter_map(received).collect()
    }
}

fn sender(origin: &Origin) -> Sender {
    match (origin.cause, origin.process) {
        (Cause::Kernel, _) | (_, None) => Sender::Terminal,
        // macOS fills in no cause and gives process 0 for the terminal.
        (_, Some(process)) if process.pid == 0 => Sender::Terminal,
        (_, Some(process)) => Sender::Process(process.pid),
    }
}
