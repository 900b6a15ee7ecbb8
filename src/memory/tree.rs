//! A process and all its descendants: who they are, what they use, and their end.
//!
//! Used where there is no cgroup. The supervisor is a child subreaper: whoever below it loses its parent becomes the
//! supervisor's own child, so no descendant can leave it. With one attempt, all that is below the supervisor is that
//! attempt's. With several, an attempt's processes are those below its child, those once seen there, and those that
//! carry its cookie in their environment. Who has cleared its environment and left its parent between two looks
//! belongs to no attempt, and ends with the supervisor.

#[cfg(target_os = "linux")]
mod births;
#[cfg(target_os = "linux")]
mod kin;
#[cfg(target_os = "linux")]
mod left;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

#[cfg(target_os = "linux")]
pub use kin::Kin;
#[cfg(target_os = "linux")]
pub use left::kill_left;
#[cfg(target_os = "linux")]
pub use linux::Tree;
#[cfg(target_os = "macos")]
pub use macos::{Kin, Tree};

/// The environment variable that tells a process's attempt. Its value is unique among all attempts of the machine.
pub const COOKIE: &str = "FFWARDEN_ATTEMPT";
