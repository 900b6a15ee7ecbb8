//! Taking hold of what is meant, as it appears.

use std::io;
use std::path::Path;

use super::{MOST, Watcher};
use crate::core::AttemptId;
use crate::memory::proc;
use crate::watch::adopt;
use crate::watch::find::find;
use crate::watch::place::{MOUNT, cgroup_of};
use crate::watch::target::Target;

impl Watcher<'_> {
    /// Takes hold of what has appeared since.
    pub(super) fn search(&mut self) -> io::Result<()> {
        let newest = proc::newest();
        if newest.is_some() && newest == self.newest {
            return Ok(());
        }
        self.newest = newest;
        for found in find(&self.options.wanted) {
            let known = |target: &Target| {
                (target.found.pid, target.found.start) == (found.pid, found.start)
            };
            if self.targets.values().any(known) || self.targets.len() >= MOST {
                continue;
            }
            let attempt = AttemptId::adopted(self.next);
            let Some(mut target) = Target::new(found, attempt) else {
                continue;
            };
            self.next += 1;
            if self.options.enforce && target.cgroup().is_none() && !target.found.is_managed {
                self.move_apart(&mut target);
            }
            let (pid, text) = (target.found.pid, format!("{} is there", target.found.name));
            self.happened("found", Some(pid), &text)?;
            let adopted = (!target.found.is_managed).then(|| adopt::adopted(&target));
            self.targets.insert(attempt, target);
            if let Some(event) = adopted {
                self.feed(event)?;
            }
        }
        Ok(())
    }

    /// Gives it a cgroup of its own. Only out of the tree's root or out of what is delegated to us: elsewhere it is
    /// somebody's who would miss it there, a unit of systemd's or a container.
    fn move_apart(&mut self, target: &mut Target) {
        let Some(container) = &mut self.container else {
            return;
        };
        let Some(from) = cgroup_of(target.found.pid) else {
            return;
        };
        let ours = container.next_dir();
        let is_ours = ours
            .as_deref()
            .and_then(Path::parent)
            .is_some_and(|dir| from.starts_with(dir));
        if !is_ours && from != Path::new(MOUNT) {
            return;
        }
        match container.take_in(|| target.pids()) {
            Ok(Some(dir)) => target.moved(dir, from),
            Ok(None) => {}
            Err(error) => log::warn!("{} stays where it is: {error}", target.found.name),
        }
    }
}
