//! Which container this machine gives: what it offers is read here, [`ways`] decides from it alone, and
//! [`Container::open`] tries the ways in order.

use std::ffi::OsStr;
use std::fmt;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::path::PathBuf;

use super::rlimit::RlimitSlice;
pub use super::ways::{Choice, Found, Way, ways};
use super::{Containment, Limits, Slice, SliceError};
use crate::memory::tree::Kin;

/// The way that would be tried first, without trying it.
///
/// # Errors
/// When only one kind is wanted and this machine does not offer it.
pub fn would_choose(only: Option<Containment>) -> Result<Choice, SliceError> {
    ways(&look())
        .into_iter()
        .find(|choice| only.is_none_or(|only| choice.way.containment() == only))
        .ok_or(SliceError::Unavailable(only.unwrap_or(Containment::Rlimit)))
}

/// What attempts are contained in, once opened.
pub struct Container {
    backend: Backend,
    choice: Choice,
    /// What the watched trees of several attempts share.
    kin: Option<Kin>,
}

enum Backend {
    #[cfg(target_os = "linux")]
    Cgroup(super::delegated::Delegated),
    Rlimit,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container")
            .field("choice", &self.choice)
            .finish_non_exhaustive()
    }
}

impl Container {
    /// Opens the best way that works. `name` names a scope, if one is asked for. A way that fails is skipped and
    /// told in the reason of the one that is taken. `only` restricts to one kind and then fails if it cannot be had.
    ///
    /// # Errors
    /// Only with `only`: the last error of the ways of that kind, or that there is none.
    pub fn open(name: &str, only: Option<Containment>) -> Result<Container, SliceError> {
        let found = look();
        let mut skipped = Vec::new();
        for choice in ways(&found) {
            if only.is_some_and(|only| choice.way.containment() != only) {
                continue;
            }
            match open_way(&choice.way, &found, name) {
                Ok(backend) => {
                    let why = [choice.why]
                        .into_iter()
                        .chain(skipped)
                        .collect::<Vec<_>>()
                        .join("; ");
                    return Ok(Container {
                        backend,
                        choice: Choice { why, ..choice },
                        kin: None,
                    });
                }
                Err(error) if only.is_some() => return Err(error),
                Err(error) => {
                    // What was promised and not given is worth a word; a container that forbids cgroups is not.
                    if matches!(choice.way, Way::Delegated(_) | Way::Scope { .. }) {
                        log::warn!("{error}; the child is contained in another way");
                    }
                    skipped.push(error.to_string());
                }
            }
        }
        Err(SliceError::Unavailable(only.unwrap_or(Containment::Rlimit)))
    }

    /// Which way was taken and why.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Its kind.
    pub fn containment(&self) -> Containment {
        self.choice.way.containment()
    }

    /// The smallest memory limit that is sensible in it, bytes.
    pub fn memory_floor(&self) -> u64 {
        self.containment().memory_floor()
    }

    /// Where the next attempt's slice will be.
    pub fn next_dir(&self) -> Option<PathBuf> {
        match &self.backend {
            #[cfg(target_os = "linux")]
            Backend::Cgroup(delegated) => Some(delegated.next_dir()),
            Backend::Rlimit => None,
        }
    }

    /// Moves processes that ffwarden did not start to a cgroup of their own, if this container has cgroups; where it
    /// is. `members` is asked again until none is left elsewhere.
    ///
    /// # Errors
    /// When it cannot be made, or they cannot be moved.
    pub fn take_in(
        &mut self,
        members: impl Fn() -> Vec<i32>,
    ) -> Result<Option<PathBuf>, SliceError> {
        match &mut self.backend {
            #[cfg(target_os = "linux")]
            Backend::Cgroup(delegated) => delegated.take_in(members).map(Some),
            Backend::Rlimit => {
                let _ = members;
                Ok(None)
            }
        }
    }

    /// Makes the slice of the only attempt of this process.
    ///
    /// # Errors
    /// When a limit cannot be set.
    pub fn slice(&mut self, limits: &Limits) -> Result<Box<dyn Slice>, SliceError> {
        Ok(match &mut self.backend {
            #[cfg(target_os = "linux")]
            Backend::Cgroup(delegated) => Box::new(delegated.slice(limits)?),
            Backend::Rlimit => Box::new(RlimitSlice::new(*limits)),
        })
    }

    /// Makes the slice of one of several attempts. Its child is to be started with the cookie as the value of
    /// [`COOKIE`](crate::memory::tree::COOKIE) in its environment; it is unique among all attempts of the machine.
    ///
    /// # Errors
    /// When a limit cannot be set.
    pub fn slice_among(
        &mut self,
        limits: &Limits,
        cookie: &OsStr,
    ) -> Result<Box<dyn Slice>, SliceError> {
        Ok(match &mut self.backend {
            #[cfg(target_os = "linux")]
            Backend::Cgroup(delegated) => Box::new(delegated.slice(limits)?),
            Backend::Rlimit => {
                let kin = self.kin.get_or_insert_with(|| {
                    super::rlimit::sweep();
                    Kin::new()
                });
                Box::new(RlimitSlice::for_attempt(*limits, cookie, kin))
            }
        })
    }
}

#[cfg(not(target_os = "linux"))]
fn open_way(_way: &Way, _found: &Found, _name: &str) -> Result<Backend, SliceError> {
    Ok(Backend::Rlimit)
}

/// What this machine offers.
#[cfg(not(target_os = "linux"))]
pub fn look() -> Found {
    Found {
        root: nix::unistd::geteuid().is_root(),
        ..Found::default()
    }
}

#[cfg(target_os = "linux")]
fn open_way(way: &Way, found: &Found, name: &str) -> Result<Backend, SliceError> {
    use super::delegated::{self, Delegated, Movable};
    use super::scope::{self, Manager};

    let mount = found
        .mount
        .as_deref()
        .unwrap_or(Path::new("/sys/fs/cgroup"));
    let delegated = match way {
        Way::Rlimit => return Ok(Backend::Rlimit),
        Way::Delegated(dir) => Delegated::prepare(dir.clone(), Containment::Cgroup, Movable::All)?,
        Way::Alone(dir) => Delegated::prepare(dir.clone(), Containment::Cgroup, Movable::Own)?,
        Way::TopLevel(dir) => Delegated::make(dir, mount)?,
        Way::Scope { user } => {
            let manager = if *user {
                Manager::user()
            } else {
                Some(Manager::System)
            };
            let manager =
                manager.ok_or_else(|| SliceError::Scope("the user's bus is gone".into()))?;
            let dir = scope::enter(&manager, name, mount)?;
            dir.parent().into_iter().for_each(delegated::sweep_scopes);
            Delegated::prepare(dir, Containment::Scope, Movable::All)?
        }
    };
    Ok(Backend::Cgroup(delegated))
}

/// What this machine offers.
#[cfg(target_os = "linux")]
pub fn look() -> Found {
    let mount = PathBuf::from("/sys/fs/cgroup");
    let has_memory = read(&mount.join("cgroup.controllers"))
        .split_whitespace()
        .any(|name| name == "memory");
    let own =
        super::scope::own_cgroup().map(|relative| mount.join(relative.trim_start_matches('/')));
    Found {
        // The root of a container's namespace has a cgroup.type; the machine's own root has none.
        real_root: !mount.join("cgroup.type").exists(),
        delegated: own
            .as_deref()
            .filter(|_| has_memory)
            .and_then(delegated_to_us),
        own: own.filter(|_| has_memory),
        systemd: Path::new("/run/systemd/system").is_dir(),
        root: nix::unistd::geteuid().is_root(),
        user_manager: super::scope::Manager::user().is_some(),
        v1: Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists(),
        mount: has_memory.then_some(mount),
    }
}

/// systemd marks what it delegates with an extended attribute on the directory: our own cgroup, or the one above
/// when we are in its leaf already.
#[cfg(target_os = "linux")]
fn delegated_to_us(own: &Path) -> Option<PathBuf> {
    let is_marked = |dir: &Path| {
        ["user.delegate", "trusted.delegate"].iter().any(|name| {
            xattr::get(dir, name)
                .ok()
                .flatten()
                .is_some_and(|value| value == b"1")
        })
    };
    let is_ours = |dir: &Path| {
        nix::unistd::access(&dir.join("cgroup.procs"), nix::unistd::AccessFlags::W_OK).is_ok()
    };
    let leaf = own
        .file_name()
        .is_some_and(|name| name == super::delegated::LEAF);
    let dir = if leaf { own.parent()? } else { own };
    (is_marked(dir) && is_ours(dir)).then(|| dir.to_owned())
}

#[cfg(target_os = "linux")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
