//! The share of recent time that was lost to memory pressure, from the kernel's running totals (PSI).
//!
//! The kernel's own avg10 lags: after a kill it stays high for 15 seconds and more. Differences of the totals are
//! exact at once, and are not taken across a kill.

use std::collections::VecDeque;
use std::time::Duration;

/// The longest time looked back, as the kernel's avg10.
const WINDOW: Duration = Duration::from_secs(10);
/// The shortest time that says anything.
const SHORTEST: Duration = Duration::from_secs(1);
/// Totals that are nearer to each other than this are not all kept.
const SPACING: Duration = Duration::from_millis(250);

/// The totals of the last seconds.
#[derive(Debug, Clone, Default)]
pub struct Stalls {
    kept: VecDeque<(Duration, Duration, Duration)>,
}

impl Stalls {
    /// Takes in the totals at `now`; the shares of time in percent (some, full) since ten seconds ago, or since the
    /// last [`Stalls::forget`].
    pub fn share(
        &mut self,
        now: Duration,
        some: Option<Duration>,
        full: Option<Duration>,
    ) -> (Option<f64>, Option<f64>) {
        let (Some(some), Some(full)) = (some, full) else {
            return (None, None);
        };
        // The one before the window's start stays: the share is over the whole window.
        while self.kept.get(1).is_some_and(|(at, ..)| *at + WINDOW <= now) {
            self.kept.pop_front();
        }
        if self.kept.back().is_none_or(|(at, ..)| *at + SPACING <= now) {
            self.kept.push_back((now, some, full));
        }
        let Some((since, some_then, full_then)) = self.kept.front() else {
            return (None, None);
        };
        let time = now.saturating_sub(*since);
        if time < SHORTEST {
            return (None, None);
        }
        let share = |now: Duration, then: &Duration| {
            (now.saturating_sub(*then).as_secs_f64() * 100.0 / time.as_secs_f64()).min(100.0)
        };
        (Some(share(some, some_then)), Some(share(full, full_then)))
    }

    /// Starts afresh: what was lost until now had a cause that is gone.
    pub fn forget(&mut self) {
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: f64) -> Duration {
        Duration::from_secs_f64(secs)
    }

    #[test]
    fn the_share_of_the_last_ten_seconds() {
        let mut stalls = Stalls::default();
        let mut last = (None, None);
        for tick in 0..=40 {
            // Half of the time some, a tenth of the time all.
            let now = f64::from(tick);
            last = stalls.share(secs(now), Some(secs(now / 2.0)), Some(secs(now / 10.0)));
        }
        let (some, full) = (last.0.unwrap(), last.1.unwrap());
        assert!((some - 50.0).abs() < 0.1 && (full - 10.0).abs() < 0.1);
        assert!(stalls.kept.len() <= 12, "bounded: {}", stalls.kept.len());
    }

    #[test]
    fn what_was_before_a_kill_does_not_count() {
        let mut stalls = Stalls::default();
        stalls.share(secs(0.0), Some(secs(0.0)), Some(secs(0.0)));
        assert!(
            stalls
                .share(secs(5.0), Some(secs(5.0)), Some(secs(5.0)))
                .0
                .unwrap()
                > 99.0
        );
        stalls.forget();
        assert_eq!(
            stalls.share(secs(5.1), Some(secs(5.0)), Some(secs(5.0))),
            (None, None)
        );
        let (some, _) = stalls.share(secs(7.0), Some(secs(5.0)), Some(secs(5.0)));
        assert_eq!(some, Some(0.0));
    }

    #[test]
    fn without_psi_there_is_no_share() {
        assert_eq!(Stalls::default().share(secs(1.0), None, None), (None, None));
    }
}
