//! The tree on macOS. There is no subreaper and no `/proc`: a process whose parent has ended is lost sight of.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::memory::Usage;

/// What several trees share; nothing on macOS.
#[derive(Debug, Clone, Default)]
pub struct Kin;

impl Kin {
    /// For the attempts of this process.
    pub fn new() -> Kin {
        Kin
    }
}

/// The descendants of one process.
#[derive(Debug)]
pub struct Tree {
    root: Cell<Option<i32>>,
    with_root: bool,
}

impl Tree {
    /// The descendants of `root`, itself not among them.
    pub fn below(root: Pid) -> Tree {
        Tree {
            root: Cell::new(Some(root.as_raw())),
            with_root: false,
        }
    }

    /// `root` and its descendants.
    pub fn of(root: Pid) -> Tree {
        Tree {
            root: Cell::new(Some(root.as_raw())),
            with_root: true,
        }
    }

    /// The processes of one attempt, empty until its child is given to [`Tree::adopt`]. The cookie is not looked for.
    pub fn attempt(_cookie: &OsStr, _kin: &Kin) -> Tree {
        Tree {
            root: Cell::new(None),
            with_root: true,
        }
    }

    /// The attempt's child has been started.
    pub fn adopt(&self, child: Pid) {
        self.root.set(Some(child.as_raw()));
    }

    fn members(&self) -> Vec<i32> {
        let Some(root) = self.root.get() else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if self.with_root && kill(Pid::from_raw(root), None).is_ok() {
            found.push(root);
        }
        let mut open = crate::sys::macos::children(root);
        while let Some(pid) = open.pop() {
            if !found.contains(&pid) {
                open.extend(crate::sys::macos::children(pid));
                found.push(pid);
            }
        }
        found
    }

    /// What the tree uses: the sum of physical footprints. CPU time is not known.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for pid in self.members() {
            if let Ok(bytes) = crate::sys::macos::footprint_bytes(pid) {
                usage.processes += 1;
                usage.needs_bytes += bytes;
            }
        }
        usage
    }

    /// Not known.
    pub fn cpu(&self) -> Duration {
        Duration::ZERO
    }

    /// The same as [`Tree::usage`].
    pub fn memory(&self) -> Usage {
        self.usage()
    }

    /// What the tree has read and written.
    pub fn activity(&self) -> Usage {
        let io = self
            .members()
            .into_iter()
            .filter_map(|pid| crate::sys::macos::disk_io_bytes(pid).ok());
        Usage {
            io_bytes: io.sum(),
            ..Usage::default()
        }
    }

    /// Sends a signal to every member.
    pub fn signal(&self, signal: Signal) -> usize {
        self.members()
            .into_iter()
            .filter(|pid| kill(Pid::from_raw(*pid), signal).is_ok())
            .count()
    }

    /// Kills all members.
    pub fn kill(&self) {
        self.signal(Signal::SIGSTOP);
        self.signal(Signal::SIGKILL);
    }

    /// Stops all members where they stand, or lets them go on.
    ///
    /// # Errors
    /// None.
    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        self.signal(if frozen {
            Signal::SIGSTOP
        } else {
            Signal::SIGCONT
        });
        Ok(())
    }

    /// Whether no member is left.
    pub fn is_empty(&self) -> bool {
        self.members().is_empty()
    }
}
