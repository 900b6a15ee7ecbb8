//! What a relief's thread asks of the kernel: to take file cache back, to freeze a cgroup, to push one out to swap.
//! Elsewhere than on Linux there is nothing to ask it with.
//!
//! Each tells once what came back in bytes, or none when the kernel refused.

#[cfg(target_os = "linux")]
pub use linux::{freeze, push_out, reclaim};
#[cfg(not(target_os = "linux"))]
pub use nothing::{freeze, push_out, reclaim};

/// Whether there is a means.
pub const RECLAIMS: bool = cfg!(target_os = "linux");

#[cfg(target_os = "linux")]
mod linux {
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    use crate::slice::{SliceError, cgroup};

    /// Takes the file cache of these cgroups back, until a time.
    pub fn reclaim(dirs: &[PathBuf], until: Instant, tell: &dyn Fn(Option<u64>)) {
        let mut sum = None;
        for dir in dirs {
            if Instant::now() < until
                && let Some(bytes) = said(cgroup::reclaim(dir, cgroup::file_cache(dir)))
            {
                sum = Some(sum.unwrap_or(0) + bytes);
            }
        }
        tell(sum);
    }

    /// Freezes this cgroup and pushes it out.
    pub fn freeze(dir: &Path, swap_bytes: u64, within: Duration, tell: &dyn Fn(Option<u64>)) {
        let frozen = cgroup::freeze(dir, true).and_then(|()| cgroup::allow_swap(dir, swap_bytes));
        match said(frozen) {
            Some(()) => push_out(dir, within, tell),
            None => tell(None),
        }
    }

    /// Pushes out what stands still, and tells after the time `within`. What has not gone by then follows for as long as
    /// it stands still.
    pub fn push_out(dir: &Path, within: Duration, tell: &dyn Fn(Option<u64>)) {
        tell(said(cgroup::push_out(dir, within)));
        // It may have gone on or have gone meanwhile.
        while cgroup::is_frozen(dir) && matches!(cgroup::push_out(dir, within), Ok(1..)) {}
    }

    fn said<T>(result: Result<T, SliceError>) -> Option<T> {
        result.inspect_err(|error| log::warn!("{error}")).ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod nothing {
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    pub fn reclaim(_dirs: &[PathBuf], _until: Instant, tell: &dyn Fn(Option<u64>)) {
        tell(None);
    }

    pub fn freeze(_dir: &Path, _swap_bytes: u64, _within: Duration, tell: &dyn Fn(Option<u64>)) {
        tell(None);
    }

    pub fn push_out(_dir: &Path, _within: Duration, tell: &dyn Fn(Option<u64>)) {
        tell(None);
    }
}
