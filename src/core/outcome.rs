//! What the end of an attempt means, from what is known for certain: what we did, what the kernel counted, and only
//! then how the child exited.

use super::ladder::Outcome;

/// SIGKILL, the one signal that the kernel's OOM killer sends.
const KILL: i32 = 9;

/// What brought an attempt's end about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The child ended by itself, or by a signal that was not ours.
    Itself,
    /// It reached its own limit.
    OwnLimit,
    /// It stood at its own limit and hardly got on.
    Crawl,
    /// An ancestor's limit or the machine's memory was full.
    MachineFull,
    /// We stopped it to get its memory back.
    Victim,
    /// It ran longer than the timeout.
    Timeout,
    /// It made no progress.
    Stalled,
    /// We stopped it because we are to end ourselves.
    Leaving,
}

/// The outcome of an attempt: `signal` is what killed the child, if anything did; `kernel_killed` says that the
/// kernel's OOM killer was at work on the machine meanwhile, where no counter of the slice's own can tell.
pub fn outcome(cause: Cause, signal: Option<i32>, kernel_killed: bool) -> Outcome {
    match (cause, signal) {
        (Cause::OwnLimit | Cause::Crawl, _) => Outcome::Oom,
        (Cause::MachineFull | Cause::Victim, _) => Outcome::Pressure,
        (Cause::Timeout, _) => Outcome::Timeout,
        (Cause::Stalled, _) => Outcome::Stalled,
        (Cause::Itself | Cause::Leaving, Some(KILL)) if kernel_killed => Outcome::Pressure,
        (Cause::Itself | Cause::Leaving, Some(_)) => Outcome::Signaled,
        (Cause::Itself | Cause::Leaving, None) => Outcome::Exited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_and_the_kernel_did_counts_before_how_the_child_exited() {
        for signal in [None, Some(KILL), Some(15)] {
            for kernel_killed in [false, true] {
                let of = |cause| outcome(cause, signal, kernel_killed);
                assert_eq!(of(Cause::OwnLimit), Outcome::Oom);
                assert_eq!(of(Cause::Crawl), Outcome::Oom);
                assert_eq!(of(Cause::MachineFull), Outcome::Pressure);
                assert_eq!(of(Cause::Victim), Outcome::Pressure);
                assert_eq!(of(Cause::Timeout), Outcome::Timeout);
                assert_eq!(of(Cause::Stalled), Outcome::Stalled);
            }
        }
    }

    #[test]
    fn only_a_sigkill_can_be_the_kernels() {
        assert_eq!(outcome(Cause::Itself, Some(KILL), true), Outcome::Pressure);
        assert_eq!(outcome(Cause::Itself, Some(KILL), false), Outcome::Signaled);
        assert_eq!(outcome(Cause::Itself, Some(15), true), Outcome::Signaled);
        assert_eq!(outcome(Cause::Itself, None, true), Outcome::Exited);
    }
}
