//! The YAML of a scenario, as it is written, and the checks that make a [`Scenario`] of it. Pure.

mod expected;
mod group;
mod raw;

use std::time::Duration;

use serde_yaml::{Location, Spanned};

use self::raw::*;
use super::scenario::{Background, Machine, PolicyChoice, Relief, Reliefs, Scenario, Stall};
use crate::config::error::ContentError;
use crate::config::size::Size;

type Checked<T> = Result<T, ContentError>;

/// The most jobs that one scenario may have: each costs a byte while it is played.
const MAX_JOBS: u64 = 100_000_000;
/// The longest time that can be written: a hundred years. With it sums of times do not overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The shortest that a plan may run: below it, virtual time would stand still.
const SHORTEST_RUN: Duration = Duration::from_millis(1);

/// The least limit of a slice where the scenario says none, bytes: as for cgroups (the design, rule 2).
const FLOOR_BYTES: u64 = 256 << 20;

pub(super) fn parse(text: &str, file: &str) -> Result<Scenario, Box<ContentError>> {
    let options = serde_yaml::options! { strict_booleans: true };
    let raw: RawScenario = serde_yaml::from_str_with_options(text, options)
        .map_err(|error| Box::new(ContentError::from_yaml(file, text, &error)))?;
    Checker { file }.scenario(raw).map_err(Box::new)
}

struct Checker<'a> {
    file: &'a str,
}

impl Checker<'_> {
    fn scenario(&self, raw: RawScenario) -> Checked<Scenario> {
        let machine = self.machine(raw.machine)?;
        if raw
            .workers
            .as_ref()
            .is_some_and(|workers| workers.value == 0)
        {
            return Err(self
                .wrong(
                    raw.workers.map_or(Location::UNKNOWN, |at| at.referenced),
                    "workers",
                    "0 lets nothing start",
                )
                .with_hint("leave it out for as many as the policy allows"));
        }
        let jobs_place = raw.jobs.referenced;
        let mut groups = Vec::new();
        for (index, group) in raw.jobs.value.into_iter().enumerate() {
            groups.push(self.group(index, group, &machine)?);
        }
        let jobs = groups
            .iter()
            .fold(0_u64, |sum, group| sum.saturating_add(group.count));
        if jobs == 0 || jobs > MAX_JOBS {
            return Err(self.wrong(
                jobs_place,
                "jobs",
                format!("{jobs} jobs: from 1 to {MAX_JOBS} can be played"),
            ));
        }
        let policy = if raw.policy.value.contains('\n') {
            PolicyChoice::Inline(raw.policy.value)
        } else {
            PolicyChoice::Named(raw.policy.value)
        };
        Ok(Scenario {
            name: raw.name,
            summary: raw.summary,
            seed: raw.seed,
            policy,
            workers: raw.workers.map(|workers| workers.value),
            memory_bytes: self.bytes("memory", raw.memory, machine.total_bytes)?,
            background: self.background(raw.background, &machine)?,
            stalls: self.stalls(raw.stalls)?,
            lost_samples: self.lost(raw.lost_samples)?,
            relief: Reliefs {
                reclaim: self.relief(raw.relief.reclaim, &machine)?,
                signal: self.relief(raw.relief.signal, &machine)?,
                command: self.relief(raw.relief.command, &machine)?,
                freeze: self.relief(raw.relief.freeze, &machine)?,
            },
            groups,
            until: self.time("until", raw.until)?,
            expect: self.expect(raw.expect, &machine)?,
            machine,
        })
    }

    fn machine(&self, raw: RawMachine) -> Checked<Machine> {
        let place = raw.memory.referenced;
        let Some(total_bytes) = self
            .bytes("memory", Some(raw.memory), 0)?
            .filter(|bytes| *bytes > 1)
        else {
            return Err(self
                .wrong(place, "memory", "a machine's memory is no percentage")
                .with_hint("write bytes, such as 128G"));
        };
        if !(1..=4096).contains(&raw.cpus.value) {
            return Err(self.wrong(
                raw.cpus.referenced,
                "cpus",
                "a machine has 1 to 4096 processors",
            ));
        }
        Ok(Machine {
            total_bytes,
            cpus: raw.cpus.value,
            swap_bytes: self.bytes("swap", raw.swap, total_bytes)?.unwrap_or(0),
            floor_bytes: self
                .bytes("floor", raw.floor, total_bytes)?
                .unwrap_or(FLOOR_BYTES),
        })
    }

    fn background(&self, raw: Vec<RawBackground>, machine: &Machine) -> Checked<Vec<Background>> {
        let mut points: Vec<Background> = Vec::new();
        for raw in raw {
            let (at, used) = (raw.at.referenced, raw.used.referenced);
            let point = Background {
                at: self.needed_time("at", raw.at)?,
                bytes: self
                    .bytes("used", Some(raw.used), machine.total_bytes)?
                    .unwrap_or(0),
                ramp: raw.ramp,
            };
            if points.last().is_some_and(|before| before.at >= point.at) {
                return Err(self
                    .wrong(at, "at", "not after the point before it")
                    .with_hint("write the points in the order of time"));
            }
            if point.bytes >= machine.total_bytes {
                return Err(self
                    .wrong(
                        used,
                        "used",
                        "other programs fill the machine, whatever is done",
                    )
                    .with_hint("leave some memory to the jobs"));
            }
            points.push(point);
        }
        Ok(points)
    }

    fn stalls(&self, raw: Vec<RawStall>) -> Checked<Vec<Stall>> {
        let mut stalls: Vec<Stall> = Vec::new();
        for raw in raw {
            let place = raw.at.referenced;
            let percent = |key, value: Option<Spanned<f64>>| match value {
                None => Ok(0.0),
                Some(value) if (0.0..=100.0).contains(&value.value) => Ok(value.value),
                Some(value) => Err(self.wrong(
                    value.referenced,
                    key,
                    "percent of the time go from 0 to 100",
                )),
            };
            let full = percent("full", raw.full)?;
            let stall = Stall {
                at: self.needed_time("at", raw.at)?,
                some: percent("some", raw.some)?.max(full),
                full,
            };
            if stalls.last().is_some_and(|before| before.at >= stall.at) {
                return Err(self
                    .wrong(place, "at", "not after the point before it")
                    .with_hint("write the points in the order of time"));
            }
            stalls.push(stall);
        }
        Ok(stalls)
    }

    fn lost(&self, raw: Vec<RawLost>) -> Checked<Vec<(Duration, Duration)>> {
        raw.into_iter()
            .map(|raw| {
                Ok((
                    self.needed_time("from", raw.from)?,
                    self.needed_time("until", raw.until)?,
                ))
            })
            .collect()
    }

    fn relief(&self, raw: RawRelief, machine: &Machine) -> Checked<Relief> {
        Ok(Relief {
            takes: self
                .time("takes", raw.takes)?
                .unwrap_or(Duration::from_millis(50)),
            result: raw.result,
            gives_bytes: self
                .bytes("gives", raw.gives, machine.total_bytes)?
                .unwrap_or(0),
        })
    }

    /// A part of the whole, written in percent.
    fn part(&self, key: &str, word: Option<Word>, most: f64) -> Checked<Option<f64>> {
        let Some(word) = word else { return Ok(None) };
        let percent = word
            .value
            .trim()
            .strip_suffix('%')
            .and_then(|number| number.trim().parse::<f64>().ok());
        match percent.map(|percent| percent / 100.0) {
            Some(part) if (0.0..=most).contains(&part) => Ok(Some(part)),
            _ => Err(self
                .wrong(
                    word.referenced,
                    key,
                    format!("`{}` is no such part", word.value),
                )
                .with_hint(format!(
                    "write a percentage from 0% to {:.0}%",
                    most * 100.0
                ))),
        }
    }

    fn size(&self, key: &str, word: &Word) -> Checked<Size> {
        word.value
            .parse::<Size>()
            .map_err(|error| self.wrong(word.referenced, key, error.to_string()))
    }

    /// Bytes; a percentage is one of `total`. Other than elsewhere 0 is a size here.
    fn bytes(&self, key: &str, word: Option<Word>, total: u64) -> Checked<Option<u64>> {
        match word {
            None => Ok(None),
            Some(word) if matches!(word.value.trim(), "0" | "0%") => Ok(Some(0)),
            Some(word) => Ok(Some(self.size(key, &word)?.resolve(total))),
        }
    }

    fn time(&self, key: &str, word: Option<Word>) -> Checked<Option<Duration>> {
        word.map(|word| self.needed_time(key, word)).transpose()
    }

    fn needed_time(&self, key: &str, word: Word) -> Checked<Duration> {
        let time = match word.value.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Err(_) => humantime::parse_duration(&word.value).ok(),
        };
        match time {
            Some(time) if time <= LONGEST => Ok(time),
            _ => Err(self
                .wrong(word.referenced, key, format!("`{}` is no time", word.value))
                .with_hint("write seconds, or a time such as 150ms, 30s, 5m, 2h")),
        }
    }

    fn wrong(&self, place: Location, key: &str, problem: impl Into<String>) -> ContentError {
        ContentError::at(self.file, place, key, problem)
    }
}
