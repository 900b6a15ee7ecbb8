//! Where a watched process lives: in a cgroup of its own, which it had or was given, or just anywhere.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::memory::tree::Tree;
use crate::slice::{SliceError, cgroup};

/// Where cgroup v2 is mounted.
pub const MOUNT: &str = "/sys/fs/cgroup";

/// Where a watched process lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a cgroup in which nobody else is.
    Cgroup(PathBuf),
    /// Among others.
    Anywhere,
}

impl Place {
    /// Where a tree lives: in a cgroup of its own if nobody else is there and we may write to it.
    pub fn of(pid: i32, members: &[i32]) -> Place {
        let Some(dir) = cgroup_of(pid) else {
            return Place::Anywhere;
        };
        let is_root = dir == Path::new(MOUNT);
        let is_alone = || all_members(&dir).iter().all(|pid| members.contains(pid));
        let is_ours = || access(&dir.join("cgroup.freeze"), AccessFlags::W_OK).is_ok();
        if !is_root && dir.join("memory.current").exists() && is_ours() && is_alone() {
            Place::Cgroup(dir)
        } else {
            Place::Anywhere
        }
    }

    /// Stops all of it where it stands, or lets it go on.
    ///
    /// # Errors
    /// When it has not taken effect in a second.
    pub fn freeze(&self, tree: &Tree, frozen: bool) -> Result<(), SliceError> {
        match self {
            Place::Cgroup(dir) => cgroup::freeze(dir, frozen),
            Place::Anywhere => tree.freeze(frozen).map_err(SliceError::Freeze),
        }
    }

    /// Its own cgroup.
    pub fn cgroup(&self) -> Option<&Path> {
        match self {
            Place::Cgroup(dir) => Some(dir),
            Place::Anywhere => None,
        }
    }

    /// What it has in swap, bytes; 0 where that cannot be told.
    pub fn swapped_bytes(&self) -> u64 {
        match self {
            Place::Cgroup(dir) => cgroup::number(dir, "memory.swap.current").unwrap_or(0),
            Place::Anywhere => 0,
        }
    }

    /// Kills all of it.
    pub fn kill(&self, tree: &Tree) {
        match self {
            Place::Cgroup(dir) => cgroup::kill(dir),
            Place::Anywhere => tree.kill(),
        }
    }
}

/// The cgroup directory of a process.
pub fn cgroup_of(pid: i32) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(MOUNT).join(path))
}

/// All processes in a cgroup and below it.
fn all_members(dir: &Path) -> Vec<i32> {
    let mut found = cgroup::members(dir);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(all_members(&entry.path()));
        }
    }
    found
}
