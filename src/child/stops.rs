//! Stopping ourselves without missing the SIGCONT that ends it: a stop is held back as a pending signal, which the
//! kernel throws away when a SIGCONT comes, and let through when we are ready for it.
//!
//! The SIGTSTP that somebody sends the guard is held back by [`Stops`]. On Linux it is blocked and left pending, and
//! taken by letting it through. So it stays the kernel's: a SIGCONT that comes meanwhile takes it back, at whatever
//! moment. A handler could not do that, for what it has written down is beyond the kernel's reach, and to raise the
//! signal anew would throw away a SIGCONT that has just been sent. macOS, which has no signalfd, raises it anew.

use std::io;
use std::os::fd::BorrowedFd;

use nix::sys::signal::{SigSet, Signal, raise};

use crate::sys;

/// Holds SIGTSTP back. For a process with one thread.
#[derive(Debug)]
pub struct Stops {
    #[cfg(target_os = "linux")]
    pending: Option<nix::sys::signalfd::SignalFd>,
    #[cfg(not(target_os = "linux"))]
    pending: bool,
}

#[cfg(target_os = "linux")]
impl Stops {
    /// Holds them back from when `mask`, to which SIGTSTP is added, is the thread's. Where it was ignored or blocked
    /// when ffwarden was started, it stays so and we are never stopped.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn hold_back(mask: &mut SigSet) -> io::Result<Stops> {
        use nix::sys::signalfd::{SfdFlags, SignalFd};
        if sys::is_ignored(Signal::SIGTSTP) || mask.contains(Signal::SIGTSTP) {
            return Ok(Stops { pending: None });
        }
        mask.add(Signal::SIGTSTP);
        // Never read: that would take the signal.
        let fd = SignalFd::with_flags(&only(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Stops { pending: Some(fd) })
    }

    /// The signals that must have no handler for it.
    pub const HELD: Option<Signal> = Some(Signal::SIGTSTP);

    /// A handler has received one; here there is none.
    pub fn received(&mut self) {}

    /// To be polled: readable while a stop is pending.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        self.pending.as_ref().map(AsFd::as_fd)
    }

    /// Whether we are to stop.
    pub fn is_pending(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        self.fd().is_some_and(|fd| {
            let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        })
    }

    /// Stops this process, if it still is to be, and returns when it goes on.
    pub fn take(&mut self) {
        if self.pending.is_none() {
            return;
        }
        for change in [SigSet::thread_unblock, SigSet::thread_block] {
            if let Err(errno) = change(&only()) {
                log::debug!("SIGTSTP can be neither let through nor held back: {errno}");
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn only() -> SigSet {
    SigSet::from(Signal::SIGTSTP)
}

#[cfg(not(target_os = "linux"))]
impl Stops {
    /// Holds them back; `mask` is left as it is.
    ///
    /// # Errors
    /// None.
    pub fn hold_back(_mask: &mut SigSet) -> io::Result<Stops> {
        Ok(Stops { pending: false })
    }

    /// The signals that must have no handler for it.
    pub const HELD: Option<Signal> = None;

    /// A handler has received one.
    pub fn received(&mut self) {
        self.pending = true;
    }

    /// To be polled: none, a handler tells.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether we are to stop.
    pub fn is_pending(&self) -> bool {
        self.pending
    }

    /// Stops this process, and returns when it goes on.
    pub fn take(&mut self) {
        self.pending = false;
        sys::take_default_action(Signal::SIGTSTP);
    }
}

/// Stops this process, unless `changed` says that there is no more reason to, or a SIGCONT comes after `changed` has
/// looked; returns when it goes on. Whoever makes a change therefore sends SIGCONT after it.
///
/// With a signal that has no handler in any thread. Where it was ignored when ffwarden was started nothing is stopped.
pub fn stop_unless(changed: impl FnOnce() -> bool) {
    let stop = SigSet::from(Signal::SIGTTOU);
    let held = stop.thread_block().and_then(|()| {
        raise(Signal::SIGTTOU)?;
        if changed() {
            // Takes it back.
            raise(Signal::SIGCONT)?;
        }
        Ok(())
    });
    if let Err(errno) = held.and(stop.thread_unblock()) {
        log::debug!("cannot stop: {errno}");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// If it were taken all the same, this test would stand still and time out.
    #[test]
    fn a_stop_waits_until_it_is_taken_and_a_continue_takes_it_back() {
        let mut mask = SigSet::thread_get_mask().unwrap();
        let mut stops = Stops::hold_back(&mut mask).unwrap();
        mask.thread_set_mask().unwrap();
        assert!(!stops.is_pending());
        raise(Signal::SIGTSTP).unwrap();
        assert!(stops.is_pending());
        assert!(stops.is_pending(), "to look is not to take");
        raise(Signal::SIGCONT).unwrap();
        assert!(!stops.is_pending());
        stops.take();
        raise(Signal::SIGTSTP).unwrap();
        assert!(stops.is_pending(), "the next is held back again");
        raise(Signal::SIGCONT).unwrap();
    }

    /// If it stopped, this test would stand still and time out.
    #[test]
    fn what_has_changed_is_seen_before_a_stop_and_a_continue_after_that_takes_it_back() {
        stop_unless(|| true);
        stop_unless(|| {
            raise(Signal::SIGCONT).unwrap();
            false
        });
    }
}
