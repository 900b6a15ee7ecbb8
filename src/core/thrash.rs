//! Whether a child crawls at its own limit: what it cannot do without fills its slice so far that its own code is
//! evicted and read again all the time. The kernel always finds a page to take, so it never kills; the child would
//! be at it for hours.
//!
//! One measure alone would be wrong: an encoder that writes a large file stands at its limit too (with file cache), a
//! full machine makes everybody wait, and code is read again after any shortage.

use std::collections::VecDeque;
use std::time::Duration;

/// For how long it has to crawl, and how badly: the share of that time in which nothing in the slice could do anything
/// but wait for memory, percent. Ten seconds are longer than a start from a cold disk takes.
///
/// Measured on an emulated machine, whose processor is slow beside its disk, with x264 at 720p: 26 to 60 for as long as
/// it crawls; 0 to 7 where it gets on with 87 to 98.7 % of its limit needed. Writing and reading of large files at the
/// limit: 2 to 15.
const CRAWLS: [(Duration, f64); 2] = [
    (Duration::from_secs(10), 40.0),
    (Duration::from_secs(60), 20.0),
];
/// The longest of these.
const LONGEST: Duration = CRAWLS[1].0;
/// The least time between two looks that are kept, so that at most so many are.
const STEP: Duration = Duration::from_millis(900);
/// What it cannot do without, percent of its limit: below, there is room for any program's code. x264 as above crawls
/// at 99.
const NEEDS_PERCENT: u64 = 80;
/// What it holds, percent of its limit: below, it does not wait because of the limit.
const HELD_PERCENT: u64 = 95;
/// How often in a second it runs into its limit, at least. As above: 37 to 425, and 18 where it gets on.
const AT_LIMIT_RATE: f64 = 25.0;
/// Pages in a second, at least, that were in use, were evicted and had to be read again. As above: 390 to 3300, and
/// 15 where it gets on; a file that is read again from its start to its end counts none.
const RESTORED_RATE: f64 = 100.0;

/// The counters of a slice at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Time that all its tasks have waited for memory.
    pub full_total: Duration,
    /// Bytes that cannot be reclaimed.
    pub needs_bytes: u64,
    /// Bytes charged to it, file cache included.
    pub held_bytes: u64,
    /// Its limit, bytes.
    pub limit_bytes: u64,
    /// How often it ran into its limit (`max` in `memory.events`).
    pub at_limit: u64,
    /// Pages that were in use, were evicted and read again (`workingset_restore_file` and `_anon`).
    pub restored: u64,
}

/// What was seen within the window.
#[derive(Debug, Clone, Default)]
pub struct Thrash {
    looks: VecDeque<(Duration, Look)>,
}

/// Whether a slice that needs so much of its limit has to be looked at at all.
pub fn is_near(needs_bytes: u64, limit_bytes: u64) -> bool {
    percent(needs_bytes, limit_bytes) >= NEEDS_PERCENT
}

impl Thrash {
    /// Takes in a look at `now`, on any clock that does not go backwards: whether the child crawls.
    pub fn look(&mut self, now: Duration, look: Look) -> bool {
        let is_at_limit = is_near(look.needs_bytes, look.limit_bytes)
            && percent(look.held_bytes, look.limit_bytes) >= HELD_PERCENT;
        if !is_at_limit {
            self.forget();
            return false;
        }
        if self
            .looks
            .back()
            .is_some_and(|(last, _)| now < *last + STEP)
        {
            return false;
        }
        self.looks.push_back((now, look));
        // The first is kept until the second is as old as the longest window.
        while self
            .looks
            .get(1)
            .is_some_and(|(second, _)| *second + LONGEST <= now)
        {
            self.looks.pop_front();
        }
        CRAWLS
            .iter()
            .any(|(window, percent)| self.has_crawled(now, &look, *window, *percent))
    }

    /// Whether it has crawled since a look that is at least so old.
    fn has_crawled(&self, now: Duration, look: &Look, window: Duration, percent: f64) -> bool {
        let is_old = |(at, _): &&(Duration, Look)| *at + window <= now;
        let Some((since, first)) = self.looks.iter().rev().find(is_old) else {
            return false;
        };
        let seconds = now.saturating_sub(*since).as_secs_f64();
        let waited = look.full_total.saturating_sub(first.full_total);
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        waited.as_secs_f64() * 100.0 / seconds >= percent
            && rate(look.at_limit, first.at_limit) >= AT_LIMIT_RATE
            && rate(look.restored, first.restored) >= RESTORED_RATE
    }

    /// It is not at its limit now.
    pub fn forget(&mut self) {
        self.looks.clear();
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100) / whole.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const LIMIT: u64 = 300 * MIB;

    /// A child for `seconds`: so much of the time waiting, so many pages restored and meetings with its limit a second.
    struct Child {
        needs: u64,
        held: u64,
        full_percent: u32,
        restored: u64,
        at_limit: u64,
    }

    const CRAWLING: Child = Child {
        needs: 290 * MIB,
        held: 299 * MIB,
        full_percent: 90,
        restored: 2000,
        at_limit: 500,
    };

    /// After how many seconds it is found to crawl; looked at every 100 ms for 100 s.
    fn found(child: &Child) -> Option<f64> {
        let mut thrash = Thrash::default();
        (0..1000u32)
            .find(|tenth| {
                let now = Duration::from_millis(100) * *tenth;
                let so_far = |rate: u64| rate * u64::from(*tenth) / 10;
                let look = Look {
                    full_total: now * child.full_percent / 100,
                    needs_bytes: child.needs,
                    held_bytes: child.held,
                    limit_bytes: LIMIT,
                    at_limit: so_far(child.at_limit),
                    restored: so_far(child.restored),
                };
                thrash.look(now, look)
            })
            .map(|tenth| f64::from(tenth) / 10.0)
    }

    #[test]
    fn a_child_that_crawls_is_found_after_the_window() {
        let after = found(&CRAWLING).unwrap();
        assert!((10.0..12.0).contains(&after), "{after}");
        let less = Child {
            full_percent: 28,
            ..CRAWLING
        };
        let after = found(&less).unwrap();
        assert!((60.0..62.0).contains(&after), "{after}");
    }

    #[test]
    fn an_encoder_that_writes_a_large_file_is_left_alone() {
        let writes = Child {
            needs: 120 * MIB,
            held: 300 * MIB,
            full_percent: 80,
            ..CRAWLING
        };
        assert_eq!(found(&writes), None);
    }

    #[test]
    fn one_that_gets_on_at_its_limit_is_left_alone() {
        let gets_on = Child {
            full_percent: 15,
            ..CRAWLING
        };
        assert_eq!(found(&gets_on), None);
        let reads_nothing_again = Child {
            restored: 2,
            ..CRAWLING
        };
        assert_eq!(found(&reads_nothing_again), None);
    }

    #[test]
    fn a_full_machine_is_not_its_own_limit() {
        let squeezed = Child {
            held: 250 * MIB,
            ..CRAWLING
        };
        assert_eq!(found(&squeezed), None);
        let never_at_its_limit = Child {
            at_limit: 0,
            ..CRAWLING
        };
        assert_eq!(found(&never_at_its_limit), None);
    }

    #[test]
    fn what_is_over_within_the_window_is_forgotten() {
        let mut thrash = Thrash::default();
        for second in 0..60u64 {
            let now = Duration::from_secs(second);
            let look = Look {
                full_total: now,
                needs_bytes: if second % 9 == 8 { 100 } else { 290 } * MIB,
                held_bytes: LIMIT,
                limit_bytes: LIMIT,
                at_limit: second * 500,
                restored: second * 500,
            };
            assert!(!thrash.look(now, look), "{second}");
        }
    }
}
