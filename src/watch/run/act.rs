//! What the core says is done here, and told.

use std::io;

use super::Watcher;
use crate::child::relief_command;
use crate::config::policy::{ReliefKind, Say};
use crate::config::size::format_bytes;
use crate::core::{Action, AttemptId, Decision, Event, step};
use crate::memory::proc::since_boot;
use crate::watch::show::{Format, Happened, json, time};
use crate::watch::target::Target;

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
                let done = self.relieve(kind, &attempts)?;
                return Ok(Some(Event::Relieved { relief, done }));
            }
            Action::Thaw { attempt } => {
                if let Some(target) = self.targets.get_mut(&attempt) {
                    target.thaw();
                    let (pid, text) = (target.found.pid, format!("{} goes on", target.found.name));
                    self.happened("thawed", Some(pid), &text)?;
                }
            }
            Action::Stop { attempt } => {
                if let Some(target) = self.targets.get_mut(&attempt) {
                    target.stop();
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

    /// Whether it did what it was asked to.
    fn relieve(&mut self, kind: ReliefKind, attempts: &[AttemptId]) -> io::Result<bool> {
        match kind {
            ReliefKind::Reclaim => {
                let mut back = None;
                for attempt in attempts {
                    let bytes = self.targets.get(attempt).and_then(Target::reclaim);
                    back = back
                        .or(bytes.map(|_| 0))
                        .map(|sum: u64| sum + bytes.unwrap_or(0));
                }
                if let Some(bytes) = back {
                    let bytes = format_bytes(bytes);
                    self.happened("relief", None, &format!("reclaimed {bytes} of file cache"))?;
                }
                Ok(back.is_some())
            }
            ReliefKind::Freeze => {
                let mut done = false;
                for attempt in attempts {
                    if let Some(target) = self.targets.get_mut(attempt)
                        && target.freeze()
                    {
                        let (pid, text) =
                            (target.found.pid, format!("{} is frozen", target.found.name));
                        self.happened("frozen", Some(pid), &text)?;
                        done = true;
                    }
                }
                Ok(done)
            }
            ReliefKind::Command => {
                let Some(argv) = self.policy.relief.command.clone() else {
                    return Ok(false);
                };
                let ran = relief_command::run(&argv, self.policy.relief.timeout);
                match &ran {
                    Ok(()) => self.happened("relief", None, "the relief command was run")?,
                    Err(error) => log::warn!("{error}"),
                }
                Ok(ran.is_ok())
            }
            ReliefKind::Signal => Ok(false),
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
