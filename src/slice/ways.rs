//! Which ways of containing a child a machine offers, the best first. Pure: decided from what was [`Found`] alone.

use std::path::PathBuf;

use super::Containment;

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
