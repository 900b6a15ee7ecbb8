//! ffwarden on a machine with systemd and cgroup v2, under real ffmpeg. Started by `scripts/vm`, as root.
//!
//! Each module tests one feature. What ffwarden says of a run (its JSON report) is held against what the
//! kernel says: `memory.events`, `/proc/vmstat`, the tree of cgroups, the list of processes. Those counters
//! are the whole machine's, so one test runs at a time (`--test-threads=1`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod crawl;
mod encode;
mod fork_bomb;
mod limits;
mod machine;
mod machine_full;
mod oom;
mod oom_score;
mod page_cache;
mod place;
mod pressure;
mod retry;
mod service;
mod sigkill;
mod slice;
mod support;
mod swap;
mod watch;
