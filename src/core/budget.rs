//! How much memory children may have now, and which profile fits it.

use crate::config::policy::Reserve;

/// Percent of memory in use at which the default policy is critical: a child that takes its whole budget brings
/// the machine there and not beyond.
const CRITICAL_PERCENT: u64 = 90;

/// Bytes that a child started now may use: what is available, less the tenth of the total that stays free.
pub fn budget(total_bytes: u64, available_bytes: u64) -> u64 {
    let reserve = total_bytes / 100 * (100 - CRITICAL_PERCENT);
    available_bytes.saturating_sub(reserve)
}

/// Bytes that all children may use together, their present use included: the total less what the policy's reserves
/// keep. `others_bytes` is what other programs use now; where a reserve for them is larger, that counts.
pub fn for_all(reserves: &[Reserve], total_bytes: u64, others_bytes: u64) -> u64 {
    let kept = |for_others: bool| {
        reserves
            .iter()
            .filter(|reserve| reserve.for_others == for_others)
            .map(|reserve| {
                let share = reserve.share.resolve(total_bytes);
                reserve.at_most.map_or(share, |most| share.min(most))
            })
            .fold(0, u64::saturating_add)
    };
    total_bytes
        .saturating_sub(kept(false))
        .saturating_sub(kept(true).max(others_bytes))
}

/// How many workers a number of bytes lets, each taking so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// As many as fit the memory; 0 if not even one does.
    pub by_memory: u32,
    /// The most that were allowed.
    pub most: u32,
    /// The number to take: at least 1.
    pub optimal: u32,
}

/// Workers by the memory that is available and what each needs, at most so many.
pub fn workers(available_bytes: u64, per_worker_bytes: u64, most: u32) -> Workers {
    let by_memory = available_bytes / per_worker_bytes.max(1);
    let by_memory = u32::try_from(by_memory).unwrap_or(u32::MAX);
    Workers {
        by_memory,
        most,
        optimal: by_memory.min(most).max(1),
    }
}

/// The least limit that comes from the budget, bytes: on a machine that is full, a child has this much to prove
/// itself with. FFmpeg with nothing to do takes 53 MiB (measured).
const LEAST_BYTES: u64 = 64 << 20;

/// The limit of one attempt: what the user asked for or else the budget, under the profile's own ceiling.
pub fn limit(asked_bytes: Option<u64>, budget_bytes: u64, ceiling_bytes: Option<u64>) -> u64 {
    let limit = asked_bytes.unwrap_or(budget_bytes.max(LEAST_BYTES));
    ceiling_bytes.map_or(limit, |ceiling| limit.min(ceiling))
}

/// A profile with what its command is expected to need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Bytes the rewritten command is expected to peak at; none when nothing is known of it.
    pub estimate_bytes: Option<u64>,
    /// Bytes its slice would be limited to.
    pub limit_bytes: u64,
}

/// Picks among candidates, ordered from the heaviest to the lightest: the first whose estimate fits its limit
/// and the memory that is free now. When none does, the lightest: the estimate may be wrong, and the limit
/// holds. Without an estimate the first is as good as any. None only for no candidates.
pub fn highest_that_fits(candidates: &[Candidate], budget_bytes: u64) -> Option<usize> {
    let fits = |candidate: &Candidate| {
        candidate
            .estimate_bytes
            .is_none_or(|bytes| bytes <= candidate.limit_bytes.min(budget_bytes))
    };
    candidates
        .iter()
        .position(fits)
        .or_else(|| candidates.len().checked_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_tenth_stays_free() {
        assert_eq!(budget(10 * GIB, 4 * GIB), 4 * GIB - 10 * GIB / 100 * 10);
        assert_eq!(budget(10 * GIB, GIB / 2), 0);
    }

    #[test]
    fn the_profile_lowers_a_limit_and_never_raises_it() {
        assert_eq!(limit(None, 8 * GIB, None), 8 * GIB);
        assert_eq!(limit(Some(2 * GIB), 8 * GIB, Some(GIB)), GIB);
        assert_eq!(limit(Some(2 * GIB), GIB, Some(4 * GIB)), 2 * GIB);
        assert_eq!(limit(None, 0, None), LEAST_BYTES, "a full machine");
        assert_eq!(
            limit(Some(GIB / 100), 0, None),
            GIB / 100,
            "what was asked for is taken"
        );
    }

    #[test]
    fn reserves_for_others_count_what_others_really_use() {
        let reserve = |share: f64, at_most: Option<u64>, for_others| Reserve {
            name: String::new(),
            share: crate::config::size::Size::Percent(share),
            at_most,
            for_others,
        };
        let reserves = [
            reserve(15.0, Some(20 * GIB), true),
            reserve(12.0, Some(15 * GIB), true),
            reserve(8.0, None, false),
        ];
        // The concurrent-video document's 128 GB: 19.2 + 15 (12 % would be 15.36) + 10.24 are kept.
        let budget = for_all(&reserves, 128 * GIB, 10 * GIB);
        assert!(
            (budget as f64 / GIB as f64 - 83.56).abs() < 0.01,
            "{budget}"
        );
        let crowded = for_all(&reserves, 128 * GIB, 64 * GIB);
        assert!((crowded as f64 / GIB as f64 - 53.76).abs() < 0.01);
        assert_eq!(for_all(&reserves, 128 * GIB, 200 * GIB), 0);
    }

    #[test]
    fn workers_of_the_document() {
        let eight = workers(GIB * 82 / 10, 2 * GIB, 8);
        assert_eq!((eight.by_memory, eight.most, eight.optimal), (4, 8, 4));
        assert_eq!(workers(GIB, 2 * GIB, 8).optimal, 1);
        assert_eq!(workers(64 * GIB, 2 * GIB, 8).optimal, 8);
    }

    fn candidates(estimates: &[u64], limit: u64) -> Vec<Candidate> {
        let candidate = |bytes: &u64| Candidate {
            estimate_bytes: Some(*bytes),
            limit_bytes: limit,
        };
        estimates.iter().map(candidate).collect()
    }

    #[test]
    fn the_heaviest_that_fits_is_taken() {
        let four = candidates(&[900, 500, 300, 100], 1000);
        assert_eq!(highest_that_fits(&four, 1000), Some(0));
        assert_eq!(highest_that_fits(&four, 400), Some(2));
        assert_eq!(
            highest_that_fits(&four, 50),
            Some(3),
            "none fits: the lightest"
        );
        assert_eq!(
            highest_that_fits(&candidates(&[900, 500], 600), 1000),
            Some(1),
            "the limit binds too"
        );
        assert_eq!(highest_that_fits(&[], 1), None);
    }

    proptest! {
        #[test]
        fn what_is_picked_fits_whenever_anything_does(
            estimates in proptest::collection::vec(0u64..2000, 1..6), limit in 0u64..2000, budget in 0u64..2000,
        ) {
            let all = candidates(&estimates, limit);
            let picked = highest_that_fits(&all, budget).unwrap();
            let fits = |index: usize| estimates[index] <= limit.min(budget);
            prop_assert!(fits(picked) || (0..all.len()).all(|index| !fits(index)));
            prop_assert!((0..picked).all(|heavier| !fits(heavier)));
        }
    }
}
