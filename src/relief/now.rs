//! The relief actions, once and now: the file cache of all of ffwarden's slices, and the policy's command.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::command;
use crate::config::policy::Policy;
use crate::memory::{self, Machine, MemoryError};
use crate::slice::{cgroup, delegated};

/// How far below the mount slices are looked for: systemd's user services are seven levels deep.
const DEPTH: u32 = 12;
/// Less than this is what changes by itself, bytes.
const NOTICEABLE: u64 = 1 << 20;

/// Between two looks whether memory has come back.
const LOOK: Duration = Duration::from_millis(20);

/// What one action did.
#[derive(Debug)]
pub struct Done {
    /// What it was.
    pub what: String,
    /// Available before and after, bytes.
    pub available_bytes: (u64, u64),
    /// What the kernel says was taken back, where it says so, bytes.
    pub reclaimed_bytes: Option<u64>,
    /// What went wrong.
    pub error: Option<String>,
}

impl Done {
    /// Whether memory came back: by the kernel's own count, or enough of it to be no accident.
    pub fn helped(&self, machine: &Machine, policy: &Policy) -> bool {
        let (before, after) = self.available_bytes;
        let enough = machine.total_bytes / 100 * u64::from(policy.relief.helped_points);
        self.reclaimed_bytes
            .is_some_and(|bytes| bytes >= NOTICEABLE)
            || after.saturating_sub(before) >= enough.max(NOTICEABLE)
    }
}

/// Runs every action that there is; none is no error.
///
/// # Errors
/// When the machine's memory cannot be read.
pub fn run(policy: &Policy) -> Result<Vec<Done>, MemoryError> {
    let mut done = Vec::new();
    let slices = slices(Path::new("/sys/fs/cgroup"));
    if !slices.is_empty() {
        done.push(reclaim(&slices)?);
    }
    if let Some(argv) = &policy.relief.command {
        done.push(run_command(argv, policy)?);
    }
    Ok(done)
}

/// Memory may come back a moment after the command has ended: it is waited for as long as the policy says.
fn run_command(argv: &[String], policy: &Policy) -> Result<Done, MemoryError> {
    let machine = memory::machine()?;
    let before = machine.available_bytes;
    let ran = command::run(argv, policy.relief.timeout);
    let mut done = Done {
        what: format!("command {}", argv.first().map_or("", String::as_str)),
        available_bytes: (before, before),
        reclaimed_bytes: None,
        error: ran.err().map(|error| error.to_string()),
    };
    let deadline = Instant::now() + policy.grace;
    loop {
        done.available_bytes.1 = memory::machine()?.available_bytes;
        if done.helped(&machine, policy) || done.error.is_some() || Instant::now() >= deadline {
            return Ok(done);
        }
        std::thread::sleep(LOOK);
    }
}

fn reclaim(slices: &[PathBuf]) -> Result<Done, MemoryError> {
    let before = memory::machine()?.available_bytes;
    let (mut bytes, mut errors) = (0, Vec::new());
    for dir in slices {
        match cgroup::reclaim(dir, cgroup::file_cache(dir)) {
            Ok(some) => bytes += some,
            Err(error) => errors.push(error.to_string()),
        }
    }
    let slices = match slices.len() {
        1 => "1 slice".to_owned(),
        count => format!("{count} slices"),
    };
    // The first says it: all have the same cause, a missing permission.
    let more = match errors.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    Ok(Done {
        what: format!("file cache of {slices}"),
        available_bytes: (before, memory::machine()?.available_bytes),
        reclaimed_bytes: Some(bytes),
        error: errors.into_iter().next().map(|first| first + &more),
    })
}

/// The directories of all attempts that run now, whoever's they are.
fn slices(mount: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![(mount.to_owned(), 0)];
    while let Some((dir, depth)) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry
                .file_name()
                .to_str()
                .is_some_and(delegated::is_attempt)
            {
                found.push(entry.path());
            } else if depth < DEPTH {
                open.push((entry.path(), depth + 1));
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_found_wherever_they_are() {
        let root = tempfile::tempdir().unwrap();
        let attempts = [
            "ffwarden/attempt-1-2-3",
            "system.slice/ffwarden-1-a.scope/attempt-4-5-6",
        ];
        for dir in attempts
            .iter()
            .chain(&["system.slice/cron.service", "attempt-x"])
        {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let expected: Vec<_> = attempts.iter().map(|dir| root.path().join(dir)).collect();
        assert_eq!(slices(root.path()), expected);
    }
}
