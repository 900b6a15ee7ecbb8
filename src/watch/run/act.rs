//! What the core says is done here, and told.

use std::io;
use std::path::Path;
use std::time::Instant;

use super::Watcher;
use crate::config::policy::{ReliefKind, Say};
use crate::config::size::format_bytes;
use crate::core::{Action, AttemptId, Decision, Event, ReliefId, step};
use crate::memory::proc::since_boot;
use crate::relief::{Over, Way};
use crate::watch::show::{Format, Happened, json, time};

impl Watcher<'_> {
    /// Tells the core, and does what it says until it has nothing more to say.
    pub(super) fn feed(&mut self, event: Event) -> io::Result<()> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in step(&mut self.core, event, since_boot()) {
                events.extend(self.act(action)?);
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> io::Result<Option<Event>> {
        match action {
            Action::Measure => self.measure_now = true,
            Action::Wake { at } => self.wake = Some(at),
            Action::Note(decision) => self.note(&decision)?,
            Action::Relieve {
                relief,
                kind,
                attempts,
            } => {
                let done = self.relieve(relief, kind, &attempts)?;
                return Ok(done.map(|done| Event::Relieved { relief, done }));
            }
            Action::Thaw { attempt } => {
                if let Some(target) = self.targets.get_mut(&attempt) {
                    target.thaw(&mut self.keeper);
                    let (pid, text) = (target.found.pid, format!("{} goes on", target.found.name));
                    self.happened("thawed", Some(pid), &text)?;
                }
            }
            Action::Stop { attempt } => {
                if let Some(target) = self.targets.get_mut(&attempt) {
                    target.stop(&mut self.keeper);
                    let needs = format_bytes(target.usage.needs_bytes);
                    let text = format!("{} is stopped, it holds {needs}", target.found.name);
                    let pid = target.found.pid;
                    self.happened("stopped", Some(pid), &text)?;
                }
            }
            // There are no jobs.
            Action::Start(_) | Action::Tell { .. } | Action::Finish { .. } => {}
        }
        Ok(None)
    }

    /// Whether it is done, or could not be begun; none while it is under way.
    fn relieve(
        &mut self,
        relief: ReliefId,
        kind: ReliefKind,
        attempts: &[AttemptId],
    ) -> io::Result<Option<bool>> {
        let now = Instant::now();
        let begun = match kind {
            ReliefKind::Reclaim => {
                let targets = attempts.iter().filter_map(|id| self.targets.get(id));
                let dirs = targets.filter_map(|target| target.cgroup().map(Path::to_owned));
                let dirs = dirs.collect();
                self.reliefs.reclaim(relief, dirs, now)
            }
            ReliefKind::Freeze => return self.freeze(relief, attempts, now),
            ReliefKind::Command => {
                let begun = self.reliefs.command(relief, now);
                begun.inspect_err(|error| log::warn!("{error}")).is_ok()
            }
            ReliefKind::Signal => false,
        };
        Ok((!begun).then_some(false))
    }

    /// A cgroup's anonymous memory can be pushed out when it stands still; a watched tree only stands still.
    fn freeze(
        &mut self,
        relief: ReliefId,
        attempts: &[AttemptId],
        now: Instant,
    ) -> io::Result<Option<bool>> {
        for attempt in attempts {
            let Some(target) = self.targets.get_mut(attempt) else {
                continue;
            };
            if !target.freeze(&mut self.keeper) {
                continue;
            }
            let dir = target.cgroup().map(Path::to_owned);
            let (pid, text) = (target.found.pid, format!("{} is frozen", target.found.name));
            self.happened("frozen", Some(pid), &text)?;
            let begun = dir.is_some_and(|dir| self.reliefs.push_out(relief, dir, now));
            return Ok((!begun).then_some(true));
        }
        Ok(Some(false))
    }

    /// A relief is over.
    pub(super) fn over(&mut self, over: Over) -> io::Result<()> {
        let Over { relief, done, .. } = over;
        match (over.kind, over.bytes) {
            (ReliefKind::Reclaim, Some(bytes)) => {
                let bytes = format_bytes(bytes);
                self.happened("relief", None, &format!("reclaimed {bytes} of file cache"))?;
            }
            (ReliefKind::Command, _) if done => {
                self.happened("relief", None, "the relief command was run")?;
            }
            _ => {}
        }
        match over.way {
            Way::Ended | Way::GivenUp => self.feed(Event::Relieved { relief, done }),
            Way::EndedLate => Ok(()),
        }
    }

    /// Of what the core notes, the level is news here; the rest is told by what is done.
    fn note(&mut self, decision: &Decision) -> io::Result<()> {
        if let Decision::Level { say, .. } = decision {
            let text = decision.to_string();
            match (self.options.format, say) {
                (Format::Json, _) => self.happened("level", None, &text)?,
                (_, Say::Info) => log::info!("{text}"),
                (_, Say::Warning) => log::warn!("{text}"),
                (_, Say::Error) => log::error!("{text}"),
            }
        }
        Ok(())
    }

    /// Tells an event: as an object of its own, or as a message beside the lines. A table shows it in itself.
    pub(super) fn happened(
        &mut self,
        event: &'static str,
        pid: Option<i32>,
        text: &str,
    ) -> io::Result<()> {
        match self.options.format {
            Format::Json => {
                let happened = Happened {
                    time: time(),
                    event,
                    pid,
                    text,
                };
                self.print(&json(&happened))
            }
            Format::Lines | Format::Table => {
                let pid = pid.map_or(String::new(), |pid| format!("[{pid}] "));
                match event {
                    "found" | "ended" => log::debug!("{pid}{text}"),
                    _ => log::warn!("{pid}{text}"),
                }
                Ok(())
            }
        }
    }
}
