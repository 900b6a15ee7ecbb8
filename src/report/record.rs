//! A record of everything the core was told, as lines of JSON, and its replay: the same events give the same
//! decisions, so a night's decisions can be looked at again, or held against another policy.
//!
//! The first line holds the policy and the settings, each further one an event and its time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::policy::Policy;
use crate::config::profile::Origin;
use crate::config::profiles::Profiles;
use crate::core::{Action, Decision, Event, Settings, State, step};

/// The longest line, in bytes: a sample of some ten thousand attempts.
const MAX_LINE: usize = 1 << 20;

/// Why a record could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error("cannot read the record {}: {source}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("{}:{line}: {why}; a record is what `batch --record` has written", .path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The policy in it, or the one to be tried instead.
    #[error(transparent)]
    Policy(#[from] crate::config::error::ConfigError),
}

#[derive(Serialize, Deserialize)]
struct Head {
    policy: String,
    settings: Settings,
}

#[derive(Serialize, Deserialize)]
struct Line<E> {
    at: Duration,
    event: E,
}

/// A record that is being written.
#[derive(Debug)]
pub struct Recorder {
    file: BufWriter<File>,
    broken: bool,
}

impl Recorder {
    /// Begins one.
    ///
    /// # Errors
    /// What the file system said.
    pub fn begin(path: &Path, policy: &Policy, settings: &Settings) -> io::Result<Recorder> {
        let mut file = BufWriter::new(File::create(path)?);
        let head = Head {
            policy: policy.source.clone(),
            settings: *settings,
        };
        write_line(&mut file, &head)?;
        file.flush()?;
        Ok(Recorder {
            file,
            broken: false,
        })
    }

    /// Writes an event down. The first failure is told and ends the record, not the work.
    pub fn event(&mut self, event: &Event, at: Duration) {
        if self.broken {
            return;
        }
        if let Err(error) = write_line(&mut self.file, &Line { at, event }) {
            self.broken = true;
            log::error!("the record ends here: {error}");
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.broken
            && let Err(error) = self.file.flush()
        {
            log::error!("the end of the record is lost: {error}");
        }
    }
}

fn write_line(file: &mut BufWriter<File>, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    file.write_all(b"\n")
}

/// Plays a record again, under its own policy or another; `decided` gets each decision with its time. A last line
/// that was cut short is left out.
///
/// # Errors
/// When the file cannot be read, or a line in it is wrong.
pub fn replay(
    path: &Path,
    instead: Option<Policy>,
    mut decided: impl FnMut(Duration, &Decision),
) -> Result<State, RecordError> {
    let read = |source| RecordError::Read {
        path: path.to_owned(),
        source,
    };
    let wrong = |line: usize, why: String| RecordError::Line {
        path: path.to_owned(),
        line,
        why,
    };
    let mut lines = Lines(BufReader::new(File::open(path).map_err(read)?));
    let first = lines.next().map_err(read)?.unwrap_or_default();
    let head: Head = serde_json::from_slice(&first).map_err(|error| wrong(1, error.to_string()))?;
    let policy = match instead {
        Some(policy) => policy,
        None => {
            let profiles = Profiles::load(&Profiles::directories())?;
            Policy::parse(&head.policy, Origin::File(path.to_owned()), &profiles)
                .map_err(|error| wrong(1, error.to_string()))?
        }
    };
    let mut state = State::new(policy, head.settings);
    let mut number = 1;
    while let Some(line) = lines.next().map_err(read)? {
        number += 1;
        let whole = line.ends_with(b"\n");
        let event: Line<Event> = match serde_json::from_slice(&line) {
            Ok(event) => event,
            // A last line that was cut short; one that is merely too long is not that.
            Err(_) if !whole && line.len() < MAX_LINE => break,
            Err(error) => return Err(wrong(number, error.to_string())),
        };
        for action in step(&mut state, event.event, event.at) {
            if let Action::Note(decision) = action {
                decided(event.at, &decision);
            }
        }
    }
    Ok(state)
}

struct Lines(BufReader<File>);

impl Lines {
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let bound = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        io::Read::take(&mut self.0, bound).read_until(b'\n', &mut line)?;
        Ok((!line.is_empty()).then_some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policies::Policies;
    use crate::core::{AttemptId, Sample, Use};

    /// Two processes that the core did not start, and memory that is nearly used up.
    fn events() -> Vec<Event> {
        let attempt = AttemptId::adopted;
        let used = |gib: u64| Use {
            needs_bytes: gib << 30,
            ..Use::default()
        };
        let sample = Sample {
            total_bytes: 16 << 30,
            available_bytes: 1 << 20,
            attempts: [(attempt(1), used(3)), (attempt(2), used(9))].into(),
            ..Sample::default()
        };
        let started = Duration::from_secs(1);
        let adopted = |number| Event::Adopted {
            attempt: attempt(number),
            started,
        };
        vec![adopted(1), adopted(2), Event::Measured(sample)]
    }

    #[test]
    fn adopted_attempts_are_written_down_and_played_again() {
        let dirs: [&Path; 0] = [];
        let profiles = Profiles::load(&dirs).unwrap();
        let policies = Policies::load(&dirs, &profiles).unwrap();
        let policy = policies.resolve("default", &profiles).unwrap();
        let settings = Settings {
            cpus: 4,
            workers: None,
            memory_bytes: None,
            floor_bytes: 0,
            swap_bytes: 0,
            seed: 0,
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        let mut recorder = Recorder::begin(&path, &policy, &settings).unwrap();
        let mut state = State::new(policy, settings);
        let mut decided = Vec::new();
        for (at, event) in events().into_iter().enumerate() {
            let at = Duration::from_secs(at as u64);
            recorder.event(&event, at);
            for action in step(&mut state, event, at) {
                if let Action::Note(decision) = action {
                    decided.push((at, decision));
                }
            }
        }
        drop(recorder);
        let is_victim = |decision: &Decision| matches!(decision, Decision::Victim { attempt, .. } if *attempt == AttemptId::adopted(2));
        assert!(decided.iter().any(|(_, decision)| is_victim(decision)));
        let mut again = Vec::new();
        let end = replay(&path, None, |at, decision| {
            again.push((at, decision.clone()));
        })
        .unwrap();
        assert_eq!(again, decided);
        assert_eq!(end.running(), 2);
    }
}
