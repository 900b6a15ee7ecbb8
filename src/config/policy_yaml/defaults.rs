//! What holds where a policy does not say: the numbers of the policy `default`, whose comments say where they come
//! from.

use std::time::Duration;

use crate::config::policy::{Backoff, BatchRange, SegmentRange};

pub(super) const RESERVE_PERCENT: f64 = 10.0;
pub(super) const CPU_PERCENT: u32 = 100;
pub(super) const MARGIN: f64 = 5.0;
pub(super) const HOLD: Duration = Duration::from_secs(10);
pub(super) const GRACE: Duration = Duration::from_secs(2);
pub(super) const POLL: Duration = Duration::from_secs(2);
pub(super) const RELIEF_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const HELPED_POINTS: u32 = 2;
pub(super) const FREEZE_AT_MOST: Duration = Duration::from_secs(60);
pub(super) const BREAKER_ENDS: u32 = 3;
pub(super) const BREAKER_WITHIN: Duration = Duration::from_secs(60);
pub(super) const BREAKER_FIRST: Duration = Duration::from_secs(5);
pub(super) const BREAKER_LONGEST: Duration = Duration::from_secs(300);
pub(super) const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(2),
    longest: Duration::from_secs(60),
};
pub(super) const BATCH: BatchRange = BatchRange {
    maximum: 8,
    minimum: 1,
};
pub(super) const SEGMENT: SegmentRange = SegmentRange {
    length: Duration::from_secs(300),
    minimum: Duration::from_secs(30),
};
