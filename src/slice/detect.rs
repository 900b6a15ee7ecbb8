//! Which container this machine gives, why, and what would give a better one.
//!
//! [`Found`] is read from the machine, [`ways`] decides from it alone, [`Container::open`] tries the ways in order.

use std::fmt;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::path::PathBuf;

use super::rlimit::RlimitSlice;
use super::{Containment, Limits, Slice, SliceError};

/// What the machine offers, as far as containment goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Where cgroup v2 is mounted with a memory controller at hand.
    pub mount: Option<PathBuf>,
    /// Our own cgroup in that tree, absolute in the file system.
    pub own: Option<PathBuf>,
    /// The tree's visible root is the machine's own (no container's namespace).
    pub real_root: bool,
    /// Our own cgroup, or the one above our leaf, was delegated to us.
    pub delegated: Option<PathBuf>,
    /// systemd is the service manager.
    pub systemd: bool,
    /// We are root.
    pub root: bool,
    /// The user's own service manager answers at its bus.
    pub user_manager: bool,
    /// cgroup v1 or the hybrid layout is mounted.
    pub v1: bool,
}

/// A way to contain a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// In a cgroup that was delegated to us.
    Delegated(PathBuf),
    /// In a cgroup of our own at the top of the tree, as root without systemd.
    TopLevel(PathBuf),
    /// In the container's own cgroup, when nobody else lives there.
    Alone(PathBuf),
    /// In a transient scope of systemd's.
    Scope {
        /// The user's manager, not the system's.
        user: bool,
    },
    /// With rlimits and a watched tree.
    Rlimit,
}

/// A way with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is done.
    pub way: Way,
    /// Why this one.
    pub why: String,
    /// What would give a better one, as a command or setting, if there is any.
    pub better: Option<String>,
}

/// The ways to try, the best first; the last always works.
pub fn ways(found: &Found) -> Vec<Choice> {
    let mut ways = Vec::new();
    let mut add = |way, why: &str| {
        ways.push(Choice {
            way,
            why: why.to_owned(),
            better: None,
        })
    };
    if let Some(mount) = &found.mount {
        if let Some(dir) = &found.delegated {
            add(
                Way::Delegated(dir.clone()),
                "this cgroup was delegated to ffwarden",
            );
        }
        if found.root && found.real_root && !found.systemd {
            add(
                Way::TopLevel(mount.join("ffwarden")),
                "root, and no systemd that owns the cgroup tree",
            );
        }
        if found.root && !found.real_root && !found.systemd {
            add(
                Way::Alone(found.own.clone().unwrap_or_else(|| mount.clone())),
                "the container's own cgroup",
            );
        }
        if found.systemd && found.root {
            add(
                Way::Scope { user: false },
                "root under systemd: a delegated transient scope",
            );
        } else if found.systemd && found.user_manager {
            add(
                Way::Scope { user: true },
                "a user with a systemd user manager: a delegated transient scope",
            );
        }
    }
    let (why, better) = fallback(found);
    ways.push(Choice {
        way: Way::Rlimit,
        why,
        better: Some(better),
    });
    ways
}

/// Why there is no cgroup, and what would give one.
fn fallback(found: &Found) -> (String, String) {
    let (why, better) = if cfg!(not(target_os = "linux")) {
        (
            "this system has no cgroups",
            "run it on Linux with cgroup v2",
        )
    } else if found.mount.is_none() && found.v1 {
        (
            "the memory controller belongs to cgroup v1 here",
            "boot with systemd.unified_cgroup_hierarchy=1 (cgroup v2 alone)",
        )
    } else if found.mount.is_none() {
        (
            "no cgroup v2 with a memory controller is mounted",
            "mount -t cgroup2 none /sys/fs/cgroup",
        )
    } else if !found.real_root {
        (
            "a container that was delegated no cgroup",
            "start the container with a writable cgroup of its own (docker run --privileged --cgroupns=private)",
        )
    } else if found.systemd {
        (
            "no delegated cgroup and no service manager to ask for one",
            "loginctl enable-linger \"$USER\" and log in again, or run it in a service with Delegate=yes",
        )
    } else {
        (
            "an ordinary user, and no systemd to ask for a cgroup",
            "run it as root, or have a cgroup delegated",
        )
    };
    (why.to_owned(), better.to_owned())
}

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

    /// Makes the slice of one attempt.
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
}

impl Containment {
    /// The smallest memory limit that is sensible in it, bytes.
    pub fn memory_floor(self) -> u64 {
        match self {
            Containment::Cgroup | Containment::Scope => super::CGROUP_MEMORY_FLOOR,
            Containment::Rlimit => 0,
        }
    }
}

impl Way {
    /// The kind of slice it gives.
    pub fn containment(&self) -> Containment {
        match self {
            Way::Delegated(_) | Way::TopLevel(_) | Way::Alone(_) => Containment::Cgroup,
            Way::Scope { .. } => Containment::Scope,
            Way::Rlimit => Containment::Rlimit,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn v2() -> Found {
        Found {
            mount: Some("/sys/fs/cgroup".into()),
            real_root: true,
            ..Found::default()
        }
    }

    fn first(found: &Found) -> Way {
        ways(found)[0].way.clone()
    }

    #[test]
    fn the_table_of_the_design() {
        let root = Found { root: true, ..v2() };
        assert_eq!(
            first(&root),
            Way::TopLevel("/sys/fs/cgroup/ffwarden".into())
        );
        let service = Found {
            delegated: Some("/sys/fs/cgroup/s/x.service".into()),
            systemd: true,
            ..root.clone()
        };
        assert_eq!(
            first(&service),
            Way::Delegated("/sys/fs/cgroup/s/x.service".into())
        );
        assert_eq!(
            first(&Found {
                systemd: true,
                ..root
            }),
            Way::Scope { user: false }
        );
        let user = Found {
            systemd: true,
            user_manager: true,
            ..v2()
        };
        assert_eq!(first(&user), Way::Scope { user: true });
        assert_eq!(
            first(&Found {
                user_manager: false,
                ..user
            }),
            Way::Rlimit
        );
        assert_eq!(first(&v2()), Way::Rlimit, "a user without systemd");
        let hybrid = Found {
            v1: true,
            root: true,
            systemd: true,
            ..Found::default()
        };
        assert_eq!(first(&hybrid), Way::Rlimit);
    }

    #[test]
    fn no_directory_is_made_where_systemd_rules_and_delegated_nothing() {
        let found = Found {
            root: true,
            systemd: true,
            own: Some("/sys/fs/cgroup/a.service".into()),
            ..v2()
        };
        let inside =
            |way: &Way| matches!(way, Way::TopLevel(_) | Way::Alone(_) | Way::Delegated(_));
        assert!(!ways(&found).iter().any(|choice| inside(&choice.way)));
    }

    #[test]
    fn the_last_way_always_works_and_says_what_would_be_better() {
        for found in [
            v2(),
            Found::default(),
            Found {
                v1: true,
                ..Found::default()
            },
        ] {
            let last = ways(&found).pop().unwrap();
            assert_eq!(last.way, Way::Rlimit);
            assert!(last.better.is_some());
        }
    }
}
