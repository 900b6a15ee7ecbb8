//! Waiting for a better moment, without being deaf meanwhile.

use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::link::GuardLink;
use crate::child::Signals;

/// Waits; the signal that asks us to end instead, if one came (SIGTERM when the guard is dead).
pub fn wait(signals: &mut Signals, guard: &GuardLink, time: Duration) -> Option<Signal> {
    let deadline = Instant::now() + time;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let mut fds = [
            PollFd::new(signals.fd(), PollFlags::POLLIN),
            PollFd::new(guard.fd(), PollFlags::empty()),
        ];
        let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        // An interruption is a signal, and that is looked at below.
        let _interrupted = poll(&mut fds, timeout);
        if fds[1].any().unwrap_or(false) {
            return Some(Signal::SIGTERM);
        }
        let ends = [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
        ];
        guard.stand_still_if_asked(|_no_child| {});
        let mut received = signals
            .pending()
            .into_iter()
            .map(|received| received.signal);
        if let Some(signal) = received.find(|signal| ends.contains(signal)) {
            return Some(signal);
        }
    }
}
