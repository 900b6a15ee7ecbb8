//! How closely a process tree is watched where no kernel wall stands around it.

use std::time::Duration;

/// The longest wait between two looks at a tree.
const SLOWEST: Duration = Duration::from_millis(100);
/// The longest at one that stands where it stood. 1000 looks a second at 100 of them were 0.4 % of a core.
const SLOWEST_AT_REST: Duration = Duration::from_millis(200);
/// The shortest: at 6 GB/s a tree grows 30 MB in it.
pub const FASTEST: Duration = Duration::from_millis(5);
/// The fastest a process can fill memory, bytes per millisecond: 6 GB/s (earlyoom's measurement with stress).
const FILL_RATE: u64 = 6_000_000;
/// Bytes of address space per thread that RLIMIT_DATA counts: the default thread stack.
const THREAD_BYTES: u64 = 8 << 20;

/// How long the next look may wait: as long as the room that is left takes to fill.
pub fn next_look(used_bytes: u64, limit_bytes: u64) -> Duration {
    let room = limit_bytes.saturating_sub(used_bytes);
    Duration::from_millis(room / FILL_RATE).clamp(FASTEST, SLOWEST)
}

/// How long the next look at a tree may wait that stands where it stood, after a wait of `last` before this one. It is
/// not watched as if it could fill its room at once: what grows that suddenly meets its rlimit.
pub fn next_look_at_rest(last: Duration) -> Duration {
    (last * 2).min(SLOWEST_AT_REST)
}

/// The shortest and the longest wait between two samples of a slice that the kernel guards.
const SAMPLES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long to wait for the next sample of a slice behind a kernel wall, where sampling only feeds the report: an
/// eighth of its age, so that a short child is seen at all and a long one costs nothing.
pub fn next_sample(age: Duration) -> Duration {
    (age / 8).clamp(SAMPLES.0, SAMPLES.1)
}

/// RLIMIT_DATA for a wanted limit: 1.25 times it plus 8 MiB per expected thread. What the kernel counts there
/// (private writable memory) was measured at 0.95 to 1.7 times the peak of FFmpeg's encoders, thread stacks
/// included.
pub fn rlimit_data(limit_bytes: u64, expected_threads: u64) -> u64 {
    (limit_bytes / 4)
        .saturating_add(limit_bytes)
        .saturating_add(expected_threads.saturating_mul(THREAD_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_the_limit_the_closer_the_watch() {
        let limit = 1 << 30;
        assert_eq!(next_look(0, limit), SLOWEST);
        assert_eq!(
            next_look(limit - 120_000_000, limit),
            Duration::from_millis(20)
        );
        assert_eq!(next_look(limit - 1, limit), FASTEST);
        assert_eq!(next_look(limit * 2, limit), FASTEST);
    }

    #[test]
    fn one_at_rest_is_looked_at_less_and_less_often() {
        let mut wait = FASTEST;
        for expected in [10, 20, 40, 80, 160, 200, 200] {
            wait = next_look_at_rest(wait);
            assert_eq!(wait, Duration::from_millis(expected));
        }
    }

    #[test]
    fn a_short_child_is_sampled_often_and_a_long_one_once_a_second() {
        assert_eq!(next_sample(Duration::ZERO), Duration::from_millis(10));
        assert_eq!(
            next_sample(Duration::from_secs(4)),
            Duration::from_millis(500)
        );
        assert_eq!(
            next_sample(Duration::from_secs(3600)),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn a_tree_cannot_fill_its_room_between_two_looks() {
        for used in (0..1u64 << 30).step_by(10_000_000) {
            let wait = next_look(used, 1 << 30);
            let filled = u64::try_from(wait.as_millis()).unwrap() * FILL_RATE;
            assert!(wait == FASTEST || used + filled <= 1 << 30);
        }
    }
}
