//! What finished attempts teach about the ones to come: how much jobs of the same command really need.
//!
//! Fixed estimates per job were found off by a factor of six in the field; measured peaks are not.

use std::collections::BTreeMap;

/// Classes that are remembered; more are not learned from.
const CLASSES: usize = 1024;
/// Attempts that must have finished before an estimate is believed to be too high.
const BEFORE_LOWERING: u32 = 3;
/// What is added to the highest peak seen, percent: jobs differ.
const HEADROOM_PERCENT: u64 = 10;
/// What a running attempt may still grow to, in thousandths of what it was seen with.
const SEEN_THOUSANDTHS: u64 = 2000;
/// An attempt that ran out of memory needs at least so much of its peak, percent (design, section 6).
pub const AFTER_OOM_PERCENT: u64 = 125;

/// Peaks by class.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    classes: BTreeMap<u32, Class>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Class {
    /// Attempts that had an estimate.
    estimated: u32,
    /// The highest peak of those, in thousandths of the estimate.
    ratio: u64,
    /// The highest peak of attempts without an estimate, bytes.
    peak: u64,
    /// The most that one of them was seen with while it ran, bytes.
    seen: u64,
}

impl Learned {
    /// An attempt of a class peaked at `peak` bytes, with this estimate.
    pub fn observe(&mut self, class: u32, estimate: Option<u64>, peak: u64) {
        if self.classes.len() >= CLASSES && !self.classes.contains_key(&class) {
            return;
        }
        let known = self.classes.entry(class).or_default();
        match estimate {
            Some(estimate) => {
                let ratio = u128::from(peak) * 1000 / u128::from(estimate.max(1));
                known.estimated = known.estimated.saturating_add(1);
                known.ratio = known.ratio.max(u64::try_from(ratio).unwrap_or(u64::MAX));
            }
            None => known.peak = known.peak.max(peak),
        }
    }

    /// A running attempt of a class, without an estimate and past its start, uses so many bytes.
    pub fn glimpse(&mut self, class: u32, bytes: u64) {
        if self.classes.len() < CLASSES || self.classes.contains_key(&class) {
            let known = self.classes.entry(class).or_default();
            known.seen = known.seen.max(bytes);
        }
    }

    /// Bytes that an attempt of a class is expected to need: by its estimate corrected by what was seen, or by what
    /// was seen alone, or `unknown`.
    pub fn needs(&self, class: u32, estimate: Option<u64>, unknown: u64) -> u64 {
        let known = self.classes.get(&class).copied().unwrap_or_default();
        match estimate {
            Some(estimate) if known.ratio > 1000 || known.estimated >= BEFORE_LOWERING => {
                with_headroom(scale(estimate, known.ratio), estimate)
            }
            Some(estimate) => estimate,
            None if known.peak > 0 => scale(known.peak, 1000 + 10 * HEADROOM_PERCENT),
            None if known.seen > 0 => unknown.min(scale(known.seen, SEEN_THOUSANDTHS)),
            None => unknown,
        }
    }
}

/// The headroom is not put on top of an estimate that has proved right.
fn with_headroom(seen: u64, estimate: u64) -> u64 {
    let generous = scale(seen, 1000 + 10 * HEADROOM_PERCENT);
    if seen <= estimate {
        generous.min(estimate)
    } else {
        generous
    }
}

fn scale(bytes: u64, thousandths: u64) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(thousandths) / 1000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_raised_at_once_and_lowered_with_care() {
        let mut learned = Learned::default();
        assert_eq!(learned.needs(0, Some(1000), 0), 1000);
        learned.observe(0, Some(1000), 500);
        learned.observe(0, Some(1000), 600);
        assert_eq!(learned.needs(0, Some(1000), 0), 1000, "two are too few");
        learned.observe(0, Some(1000), 400);
        assert_eq!(learned.needs(0, Some(1000), 0), 660);
        assert_eq!(learned.needs(0, Some(2000), 0), 1320);
        learned.observe(0, Some(1000), 6000);
        assert_eq!(learned.needs(0, Some(1000), 0), 6600);
        assert_eq!(learned.needs(1, Some(1000), 0), 1000, "another class");
    }

    #[test]
    fn an_estimate_that_was_right_stays() {
        let mut learned = Learned::default();
        (0..5).for_each(|_| learned.observe(0, Some(1000), 990));
        assert_eq!(learned.needs(0, Some(1000), 0), 1000);
    }

    #[test]
    fn without_an_estimate_the_highest_peak_counts() {
        let mut learned = Learned::default();
        assert_eq!(learned.needs(0, None, 777), 777);
        learned.observe(0, None, 100);
        learned.observe(0, None, 50);
        assert_eq!(learned.needs(0, None, 777), 110);
    }

    #[test]
    fn what_runs_tells_before_it_has_ended() {
        let mut learned = Learned::default();
        learned.glimpse(0, 100);
        learned.glimpse(0, 40);
        assert_eq!(learned.needs(0, None, 777), 200);
        assert_eq!(
            learned.needs(0, None, 50),
            50,
            "never more than what was believed before"
        );
        learned.observe(0, None, 300);
        assert_eq!(learned.needs(0, None, 777), 330);
    }

    #[test]
    fn it_is_bounded() {
        let mut learned = Learned::default();
        (0..5000).for_each(|class| learned.observe(class, None, 1));
        assert_eq!(learned.classes.len(), CLASSES);
    }
}
