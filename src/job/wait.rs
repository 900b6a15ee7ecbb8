//! Waiting for a better moment, without being deaf meanwhile.

use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::child::{GuardLink, Signals};

/// Waits; false when a signal asks us to end, or the guard is dead.
pub fn wait(signals: &mut Signals, guard: &GuardLink, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        let mut fds = [
            PollFd::new(signals.fd(), PollFlags::POLLIN),
            PollFd::new(guard.fd(), PollFlags::empty()),
        ];
        let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        // An interruption is a signal, and that is looked at below.
        let _interrupted = poll(&mut fds, timeout);
        if fds[1].any().unwrap_or(false) {
            return false;
        }
        let ends = |signal| {
            matches!(
                signal,
                Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT
            )
        };
        if signals
            .pending()
            .iter()
            .any(|received| ends(received.signal))
        {
            return false;
        }
    }
}
