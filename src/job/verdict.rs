//! How ffwarden ends: the exit codes of its own, and death by a child's signal.

use nix::sys::signal::Signal;

use crate::sys::{self, WaitStatus};

/// A child was stopped by a timeout (timeout(1) has the same).
pub const TIMED_OUT: i32 = 124;
/// ffwarden itself failed, or memory ran out for good (env(1)'s code for its own failures).
pub const FAILED: i32 = 125;
/// The program is there and cannot be run (env(1)).
pub const NOT_EXECUTABLE: i32 = 126;
/// The program was not found (env(1)).
pub const NOT_FOUND: i32 = 127;

/// How ffwarden ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// With this exit code.
    Exit(i32),
    /// By this signal, as the child did.
    Signal(i32),
}

impl From<WaitStatus> for Verdict {
    fn from(status: WaitStatus) -> Verdict {
        match status {
            WaitStatus::Exited(code) => Verdict::Exit(code),
            WaitStatus::Signaled(number) => Verdict::Signal(number),
        }
    }
}

/// Ends this process as the verdict says: the exit code, or death by the same signal without a second core dump.
pub fn die(verdict: Verdict) -> ! {
    match verdict {
        Verdict::Exit(code) => std::process::exit(code),
        Verdict::Signal(number) => {
            let _no_core =
                nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
            if let Ok(signal) = Signal::try_from(number) {
                sys::take_default_action(signal);
            }
            // The signal was one that does not kill, or is blocked.
            std::process::exit(128 + number)
        }
    }
}
