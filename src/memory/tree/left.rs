//! What a supervisor that was killed has left behind where there are no cgroups: processes that carry the cookie of an
//! attempt of it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::COOKIE;
use super::linux::send;
use crate::memory::proc;

/// Kills this user's processes whose cookie says that they were left behind, again until there is none; how many.
/// Those of other containers are left alone: a PID means another process there.
pub fn kill_left(is_left: impl Fn(&OsStr) -> bool) -> usize {
    let mut killed = 0;
    // One that forks while we look is met in the next round.
    for _ in 0..ROUNDS {
        let found = find(&is_left);
        if found.is_empty() {
            break;
        }
        let sent = |(pid, start): &&(i32, u64)| send(*pid, *start, Signal::SIGKILL);
        killed += found.iter().filter(sent).count();
    }
    killed
}

/// Rounds of looking.
const ROUNDS: usize = 16;

fn find(is_left: &impl Fn(&OsStr) -> bool) -> Vec<(i32, u64)> {
    let Some(own) = place(nix::unistd::getpid().as_raw()) else {
        return Vec::new();
    };
    let one = |pid: i32| {
        let stat = proc::stat(pid).filter(proc::Stat::is_alive)?;
        let cookie = proc::variable(pid, COOKIE)?;
        (is_left(OsStr::from_bytes(&cookie)) && place(pid).as_ref() == Some(&own))
            .then_some((pid, stat.start))
    };
    proc::all().into_iter().filter_map(one).collect()
}

/// A process's user and PID namespace.
fn place(pid: i32) -> Option<(u32, PathBuf)> {
    let user = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    Some((user, fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?))
}
