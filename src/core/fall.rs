//! How fast available memory goes: over a quarter of a second at least, for what starts takes its first megabytes at
//! once, and looks may be a few milliseconds apart.

use std::time::Duration;

/// The shortest time that a rate is taken over.
const OVER: Duration = Duration::from_millis(250);

/// What was available a while ago.
#[derive(Debug, Clone, Default)]
pub(super) struct Fall {
    /// From which the rate is taken, [`OVER`] ago at least where there is one so old.
    from: Option<Seen>,
    /// The one that comes after it.
    next: Option<Seen>,
    rate: u64,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Duration,
    available_bytes: u64,
}

impl Fall {
    /// So much is available now.
    pub fn measured(&mut self, available_bytes: u64, now: Duration) {
        let seen = Seen {
            at: now,
            available_bytes,
        };
        match &mut self.next {
            // The later word of one moment counts.
            Some(next) if next.at == now => *next = seen,
            Some(next) if now < next.at + OVER => {}
            next => self.from = next.replace(seen),
        }
        if let Some(from) = self.from.or(self.next) {
            let gone = from.available_bytes.saturating_sub(available_bytes);
            let time = now.saturating_sub(from.at).max(OVER);
            self.rate = (gone as f64 / time.as_secs_f64()) as u64;
        }
    }

    /// Bytes per second that go; 0 where none do.
    pub fn rate(&self) -> u64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_start_is_no_fall() {
        let mut fall = Fall::default();
        fall.measured(1000 * MIB, millis(0));
        fall.measured(1000 * MIB, millis(500));
        fall.measured(1000 * MIB, millis(1000));
        fall.measured(988 * MIB, millis(1025));
        assert!(fall.rate() <= 48 * MIB, "{}", fall.rate());
        fall.measured(988 * MIB, millis(1500));
        fall.measured(988 * MIB, millis(2000));
        assert_eq!(fall.rate(), 0);
    }

    #[test]
    fn what_goes_steadily_is_known_after_half_a_second_however_often_it_is_looked_at() {
        for step in [10, 50, 250, 1000] {
            let mut fall = Fall::default();
            for at in (0..=2000).step_by(step) {
                let at = at as u64;
                // 500 MiB each second.
                fall.measured(2000 * MIB - at * MIB / 2, millis(at));
                if at >= 500 {
                    let rate = fall.rate() / MIB;
                    assert!((490..=510).contains(&rate), "{rate} at {at}, every {step}");
                }
            }
        }
    }

    #[test]
    fn what_comes_back_is_seen_at_once() {
        let mut fall = Fall::default();
        for at in 0..100 {
            fall.measured((1000 - at) * MIB, millis(at * 10));
        }
        assert!(fall.rate() > 90 * MIB);
        fall.measured(1100 * MIB, millis(1000));
        assert_eq!(fall.rate(), 0);
    }
}
