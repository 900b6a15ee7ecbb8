//! Which attempt is stopped when nothing else helps: the one that gives most memory back for the least work lost.

use std::time::Duration;

use super::job::AttemptId;

/// An attempt that could be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub attempt: AttemptId,
    /// Memory that comes back, bytes.
    pub needs_bytes: u64,
    /// Work that would be lost: the CPU time it has used, or the time it has run where that is not known.
    pub lost: Duration,
    /// How far it is, in thousandths, where known.
    pub progress: Option<u32>,
    /// Its job's priority.
    pub priority: i32,
    /// How often its job was stopped before.
    pub stops: u32,
    /// Its job can be run again.
    pub repeatable: bool,
}

/// Picks one; the earliest attempt among equals. None only for no candidates.
pub fn choose(candidates: &[Candidate]) -> Option<Candidate> {
    let lowest = candidates
        .iter()
        .map(|candidate| candidate.priority)
        .min()?;
    let repeatable = candidates.iter().any(|candidate| candidate.repeatable);
    candidates
        .iter()
        .filter(|candidate| candidate.repeatable || !repeatable)
        .min_by(|a, b| {
            // a gives more per cost than b: needs_a / cost_a > needs_b / cost_b.
            let left = u128::from(b.needs_bytes).saturating_mul(cost(a, lowest));
            let right = u128::from(a.needs_bytes).saturating_mul(cost(b, lowest));
            left.cmp(&right).then(a.attempt.cmp(&b.attempt))
        })
        .copied()
}

/// What stopping it would cost, in milliseconds of work, weighed: an attempt near its end gives its memory back
/// soon by itself; each earlier stop and each step of priority makes it dearer.
fn cost(candidate: &Candidate, lowest_priority: i32) -> u128 {
    // A second for starting again whatever it had done.
    let lost = candidate.lost.as_millis() + 1000;
    let left = 1000 - u128::from(candidate.progress.unwrap_or(0).min(950));
    let stops = u128::from(candidate.stops.min(1000)) + 1;
    let steps = candidate.priority.abs_diff(lowest_priority).min(16);
    let weight = stops * stops * 1000 * (1 << steps);
    lost.saturating_mul(weight) / left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(attempt: u64, needs_mib: u64, lost_secs: u64) -> Candidate {
        Candidate {
            attempt: AttemptId(attempt),
            needs_bytes: needs_mib << 20,
            lost: Duration::from_secs(lost_secs),
            progress: None,
            priority: 0,
            stops: 0,
            repeatable: true,
        }
    }

    fn chosen(candidates: &[Candidate]) -> u64 {
        choose(candidates).unwrap().attempt.0
    }

    #[test]
    fn most_memory_for_the_least_work() {
        assert_eq!(chosen(&[candidate(1, 500, 60), candidate(2, 900, 60)]), 2);
        assert_eq!(chosen(&[candidate(1, 500, 60), candidate(2, 500, 6)]), 2);
        assert_eq!(chosen(&[candidate(1, 500, 3600), candidate(2, 100, 10)]), 2);
        assert_eq!(
            chosen(&[candidate(1, 500, 5), candidate(2, 500, 5)]),
            1,
            "the first of equals"
        );
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn what_is_nearly_done_is_left_to_finish() {
        let near = Candidate {
            progress: Some(900),
            ..candidate(1, 500, 60)
        };
        let begun = Candidate {
            progress: Some(100),
            ..candidate(2, 500, 60)
        };
        assert_eq!(chosen(&[near, begun]), 2);
    }

    #[test]
    fn a_higher_priority_and_an_earlier_stop_protect() {
        let urgent = Candidate {
            priority: 3,
            ..candidate(1, 500, 60)
        };
        assert_eq!(chosen(&[urgent, candidate(2, 500, 60)]), 2);
        let stopped = Candidate {
            stops: 2,
            ..candidate(1, 500, 60)
        };
        assert_eq!(chosen(&[stopped, candidate(2, 500, 60)]), 2);
    }

    #[test]
    fn what_cannot_be_run_again_is_stopped_only_if_nothing_else_is_there() {
        let once = Candidate {
            repeatable: false,
            ..candidate(1, 4000, 0)
        };
        assert_eq!(chosen(&[once, candidate(2, 10, 600)]), 2);
        assert_eq!(chosen(&[once]), 1);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let huge = Candidate {
            needs_bytes: u64::MAX,
            lost: Duration::MAX,
            stops: u32::MAX,
            priority: i32::MAX,
            ..candidate(1, 0, 0)
        };
        let other = Candidate {
            priority: i32::MIN,
            attempt: AttemptId(2),
            ..huge
        };
        assert!(choose(&[huge, other]).is_some());
    }
}
