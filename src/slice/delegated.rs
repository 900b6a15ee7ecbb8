//! The cgroup that attempts live in: ffwarden itself moves to a leaf beside them, and the leavings of an earlier
//! ffwarden that was killed are swept.
//!
//! A cgroup that has processes of its own cannot give its children controllers (the no-internal-process rule).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cgroup::{self, CgroupSlice, file_error};
use super::owner::{self, Owner};
use super::{Containment, Limits, SliceError};

/// The leaf that ffwarden itself lives in; `DelegateSubgroup=supervisor` in a unit gives the same shape.
pub const LEAF: &str = "supervisor";
/// What the names of attempts' directories begin with.
const ATTEMPT: &str = "attempt-";
/// The same for processes that were taken in and are not ours.
const WATCHED: &str = "watched-";
/// Controllers that attempts use. Memory must be had; the others are taken where they are delegated.
const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "io"];
/// Rounds of moving processes out, for those that are forked meanwhile.
const ROUNDS: usize = 16;

/// How long a cgroup may take to be empty after its processes were moved or have ended.
const EMPTY_WITHIN: Duration = Duration::from_secs(1);

/// A cgroup in which ffwarden may make children.
#[derive(Debug)]
pub struct Delegated {
    dir: PathBuf,
    containment: Containment,
    attempts: u32,
}

/// Whose processes may be moved out of the way into the leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movable {
    /// Nobody's: the cgroup is one that no process needs to leave (the root, or a directory made for us).
    None,
    /// Only ffwarden's own: others live there on their own account (a container).
    Own,
    /// All of them: a unit that was delegated as a whole.
    All,
}

impl Delegated {
    /// Prepares `dir`: moves processes to the leaf, turns the controllers on, sweeps what was left behind.
    ///
    /// # Errors
    /// When processes that may not be moved are in the way, or the memory controller is not there.
    pub fn prepare(
        dir: PathBuf,
        containment: Containment,
        movable: Movable,
    ) -> Result<Delegated, SliceError> {
        let enabled = read_words(&dir.join("cgroup.subtree_control"))?;
        let available = read_words(&dir.join("cgroup.controllers"))?;
        if !available.iter().any(|name| name == "memory") {
            return Err(SliceError::NoController {
                path: dir,
                controller: "memory",
            });
        }
        if !enabled.iter().any(|name| name == "memory") {
            if movable != Movable::None {
                move_to_leaf(&dir, movable)?;
            }
            for name in CONTROLLERS {
                if available.iter().any(|has| has == name) {
                    enable(&dir, name)?;
                }
            }
        }
        sweep(&dir);
        Ok(Delegated {
            dir,
            containment,
            attempts: 0,
        })
    }

    /// Makes `dir` directly below the root of the tree at `mount`, as only root without systemd may.
    ///
    /// # Errors
    /// As [`Delegated::prepare`], or when the directory cannot be made.
    pub fn make(dir: &Path, mount: &Path) -> Result<Delegated, SliceError> {
        if !read_words(&mount.join("cgroup.subtree_control"))?
            .iter()
            .any(|name| name == "memory")
        {
            for name in read_words(&mount.join("cgroup.controllers"))? {
                if CONTROLLERS.contains(&name.as_str()) {
                    enable(mount, &name)?;
                }
            }
        }
        if let Err(source) = fs::create_dir(dir)
            && source.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(file_error("create", dir, source));
        }
        Delegated::prepare(dir.to_owned(), Containment::Cgroup, Movable::None)
    }

    /// The cgroup itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How it was come by.
    pub fn containment(&self) -> Containment {
        self.containment
    }

    /// The directory the next attempt will have.
    pub fn next_dir(&self) -> PathBuf {
        self.dir_of(ATTEMPT)
    }

    /// A name says which process made it, so that a later ffwarden knows whether it was left behind.
    fn dir_of(&self, kind: &str) -> PathBuf {
        let number = u64::from(self.attempts) + 1;
        self.dir.join(format!("{kind}{}", owner::name(number)))
    }

    /// Makes the slice of the next attempt.
    ///
    /// # Errors
    /// As [`CgroupSlice::create`].
    pub fn slice(&mut self, limits: &Limits) -> Result<CgroupSlice, SliceError> {
        let dir = self.next_dir();
        self.attempts += 1;
        CgroupSlice::create(dir, self.containment, limits)
    }
}

impl Delegated {
    /// Moves processes that ffwarden did not start to a cgroup of their own, without limits. `members` is asked until
    /// none is left elsewhere. What they have in memory stays charged where they come from.
    ///
    /// # Errors
    /// When the directory cannot be made, or a process not be moved: it is another user's.
    pub fn take_in(&mut self, members: impl Fn() -> Vec<i32>) -> Result<PathBuf, SliceError> {
        let dir = self.dir_of(WATCHED);
        self.attempts += 1;
        fs::create_dir(&dir).map_err(|source| file_error("create", &dir, source))?;
        for _ in 0..ROUNDS {
            let there = cgroup::members(&dir);
            let mut left = members();
            left.retain(|pid| !there.contains(pid));
            if left.is_empty() {
                break;
            }
            move_to(&dir, &left)?;
        }
        Ok(dir)
    }
}

/// Moves what was taken in back to where it came from, and removes the cgroup.
///
/// # Errors
/// When a process cannot be moved, or one stays.
pub fn let_out(dir: &Path, from: &Path) -> Result<(), SliceError> {
    let deadline = Instant::now() + EMPTY_WITHIN;
    loop {
        move_to(from, &cgroup::members(dir))?;
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(source) if Instant::now() >= deadline => {
                return Err(file_error("remove", dir, source));
            }
            // Forked meanwhile, or ending: large processes hold their cgroup busy for a moment.
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn enable(dir: &Path, controller: &str) -> Result<(), SliceError> {
    let path = dir.join("cgroup.subtree_control");
    match fs::write(&path, format!("+{controller}")) {
        Ok(()) => Ok(()),
        Err(_) if controller != "memory" => Ok(()),
        Err(source) if source.kind() == std::io::ErrorKind::ResourceBusy => {
            Err(SliceError::Shared {
                path: dir.to_owned(),
            })
        }
        Err(source) => Err(file_error("write +memory to", &path, source)),
    }
}

fn move_to_leaf(dir: &Path, movable: Movable) -> Result<(), SliceError> {
    let own = [
        std::process::id(),
        nix::unistd::getppid().as_raw().unsigned_abs(),
    ];
    let is_own = |pid: &i32| own.contains(&pid.unsigned_abs());
    if movable == Movable::Own && !cgroup::members(dir).iter().all(is_own) {
        return Err(SliceError::Shared {
            path: dir.to_owned(),
        });
    }
    let leaf = dir.join(LEAF);
    if let Err(source) = fs::create_dir(&leaf)
        && source.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(file_error("create", &leaf, source));
    }
    for _ in 0..ROUNDS {
        let members = cgroup::members(dir);
        if members.is_empty() {
            return Ok(());
        }
        move_to(&leaf, &members)?;
    }
    Err(SliceError::Shared {
        path: dir.to_owned(),
    })
}

fn move_to(dir: &Path, pids: &[i32]) -> Result<(), SliceError> {
    let procs = dir.join("cgroup.procs");
    for pid in pids {
        match fs::write(&procs, pid.to_string()) {
            Ok(()) => {}
            // It ended meanwhile.
            Err(source) if source.raw_os_error() == Some(libc::ESRCH) => {}
            Err(source) => {
                let action = format!("move process {pid} to");
                return Err(file_error(&action, &procs, source));
            }
        }
    }
    Ok(())
}

/// Sweeps the scopes of other ffwardens beside ours: a scope lives on while a process in it does.
pub fn sweep_scopes(slice: &Path) {
    let Ok(entries) = fs::read_dir(slice) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name
            .to_str()
            .is_some_and(|name| name.starts_with("ffwarden-") && name.ends_with(".scope"));
        if is_ours {
            sweep(&entry.path());
        }
    }
}

/// Ends and removes the attempts whose ffwarden is gone. What cannot be removed is left for the next start.
pub fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        let is_left = |kind| owner_of(name, kind).is_some_and(|owner| owner.is_gone());
        if is_left(WATCHED) {
            // Somebody else's processes: they go on, and an empty directory goes.
            let _thawed = cgroup::freeze(&entry.path(), false);
            let _removed = fs::remove_dir(entry.path());
        }
        if !is_left(ATTEMPT) {
            continue;
        }
        match cgroup::remove(&entry.path()) {
            Ok(()) => log::info!(
                "ended and removed {}, left behind by an earlier ffwarden",
                entry.path().display()
            ),
            Err(error) => log::warn!("{error}"),
        }
    }
}

/// Whether a directory of this name is that of an attempt.
pub fn is_attempt(name: &str) -> bool {
    owner_of(name, ATTEMPT).is_some()
}

fn owner_of(name: &str, kind: &str) -> Option<Owner> {
    Owner::of(name.strip_prefix(kind)?)
}

fn read_words(path: &Path) -> Result<Vec<String>, SliceError> {
    let text = fs::read_to_string(path).map_err(|source| file_error("read", path, source))?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_attempts_directory_is_called_so() {
        assert!(is_attempt("attempt-42-1234-1"));
        for other in ["supervisor", "attempt-", "watched-42-1234-1", "42-1234-1"] {
            assert!(!is_attempt(other), "{other}");
        }
    }

    #[test]
    fn a_sweep_spares_the_living_and_strangers() {
        let root = tempfile::tempdir().unwrap();
        let living = root.path().join(format!("attempt-{}", owner::name(1)));
        let reused = root
            .path()
            .join(format!("attempt-{}-1-1", std::process::id()));
        let stranger = root.path().join("supervisor");
        for dir in [&living, &reused, &stranger] {
            fs::create_dir(dir).unwrap();
        }
        sweep(root.path());
        assert!(living.exists() && stranger.exists());
        assert!(!reused.exists(), "same PID, other process: left behind");
    }
}
