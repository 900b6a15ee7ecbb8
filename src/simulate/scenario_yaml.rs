//! The YAML of a scenario, as it is written, and the checks that make a [`Scenario`] of it. Pure.

mod expected;
mod raw;

use std::time::Duration;

use serde_yaml::{Location, Spanned};

use self::raw::*;
use super::scenario::{
    Background, Estimate, Fault, Group, GroupBatch, GroupRung, Machine, PolicyChoice, Relief,
    Reliefs, Scenario, Shape, Spike, Stall,
};
use crate::config::error::ContentError;
use crate::config::policy::BatchRange;
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

    fn group(&self, index: usize, raw: RawGroup, machine: &Machine) -> Checked<Group> {
        let total = machine.total_bytes;
        let rungs_place = raw.rungs.referenced;
        let mut rungs = Vec::new();
        for rung in raw.rungs.value {
            rungs.push(self.rung(rung, total)?);
        }
        if rungs.is_empty() {
            return Err(self.wrong(rungs_place, "rungs", "a job has at least one plan"));
        }
        let shape = self.shape(raw.ramp, raw.spike, raw.leak)?;
        Ok(Group {
            name: raw.name.unwrap_or_else(|| format!("group {}", index + 1)),
            count: raw.count.map_or(1, |count| count.value),
            at: self.time("at", raw.at)?.unwrap_or_default(),
            every: self.time("every", raw.every)?.unwrap_or_default(),
            priority: raw.priority,
            rungs,
            retries: raw.retries.unwrap_or(3),
            repeatable: raw.repeatable.unwrap_or(true),
            input_bytes: self.bytes("input", raw.input, total)?,
            expected: self.time("expected", raw.expected)?,
            limit_bytes: self.bytes("limit", raw.limit, total)?,
            spread: self.part("spread", raw.spread, 0.99)?.unwrap_or(0.0),
            liars: self.liars(raw.liars)?,
            shape,
            cache_bytes: self.bytes("cache", raw.cache, total)?.unwrap_or(0),
            gives_bytes: self.bytes("gives", raw.gives, total)?,
            batch: self.batch(raw.batch, total)?,
            bytes_per_segment_second: self
                .bytes("per_segment_second", raw.per_segment_second, total)?
                .unwrap_or(0),
            stops_in: self
                .time("stops_in", raw.stops_in)?
                .unwrap_or(Duration::from_millis(200)),
            fault: self.fault(raw.fault)?,
        })
    }

    fn rung(&self, raw: RawRung, total: u64) -> Checked<GroupRung> {
        let cpu_milli = match raw.cpus {
            None => 1000,
            Some(cpus) if (0.0..=4096.0).contains(&cpus.value) => {
                (cpus.value * 1000.0).round() as u32
            }
            Some(cpus) => {
                return Err(self.wrong(
                    cpus.referenced,
                    "cpus",
                    "a job keeps 0 to 4096 processors busy",
                ));
            }
        };
        let estimate = match raw.estimate {
            None => None,
            Some(word) => Some(match word.value.strip_suffix('%') {
                Some(percent) => match percent.trim().parse::<f64>() {
                    Ok(percent) if (1.0..=1000.0).contains(&percent) => {
                        Estimate::OfPeak(percent / 100.0)
                    }
                    _ => {
                        return Err(self
                            .wrong(
                                word.referenced,
                                "estimate",
                                format!("`{}` is no part of the peak", word.value),
                            )
                            .with_hint("write bytes, or 1% to 1000% of the real peak"));
                    }
                },
                None => Estimate::Bytes(self.size("estimate", &word)?.resolve(total)),
            }),
        };
        let place = raw.duration.referenced;
        let duration = self.needed_time("duration", raw.duration)?;
        if duration < SHORTEST_RUN {
            return Err(self.wrong(place, "duration", "an attempt takes at least 1ms"));
        }
        Ok(GroupRung {
            rank: raw.rank,
            estimate,
            peak_bytes: self.bytes("peak", Some(raw.peak), total)?.unwrap_or(0),
            duration,
            cpu_milli,
            ceiling_bytes: self.bytes("ceiling", raw.ceiling, total)?,
        })
    }

    fn shape(
        &self,
        ramp: Option<Word>,
        spike: Option<RawSpike>,
        leak: Option<Word>,
    ) -> Checked<Shape> {
        let ramp = self.part("ramp", ramp, 1.0)?.unwrap_or(0.0);
        let spike = match spike {
            None => None,
            Some(raw) => {
                let place = raw.at.referenced;
                let spike = Spike {
                    at: self.part("at", Some(raw.at), 1.0)?.unwrap_or(0.0),
                    lasts: self.part("lasts", Some(raw.lasts), 1.0)?.unwrap_or(0.0),
                    base: self.part("base", Some(raw.base), 1.0)?.unwrap_or(0.0),
                };
                if spike.at < ramp {
                    return Err(self
                        .wrong(place, "at", "the spike begins before the ramp has ended")
                        .with_hint("begin it later, or let the ramp end earlier"));
                }
                Some(spike)
            }
        };
        let leak_bytes = self.bytes("leak", leak, 0)?.unwrap_or(0);
        Ok(Shape {
            ramp,
            spike,
            leak_bytes,
        })
    }

    fn liars(&self, raw: Option<RawLiars>) -> Checked<(f64, f64)> {
        let Some(raw) = raw else {
            return Ok((0.0, 1.0));
        };
        if !(0.01..=1000.0).contains(&raw.factor.value) {
            return Err(self.wrong(
                raw.factor.referenced,
                "factor",
                "a lie is by a factor of 0.01 to 1000",
            ));
        }
        Ok((
            self.part("share", raw.share, 1.0)?.unwrap_or(1.0),
            raw.factor.value,
        ))
    }

    fn batch(&self, raw: Option<RawBatch>, total: u64) -> Checked<Option<GroupBatch>> {
        let Some(raw) = raw else { return Ok(None) };
        let range = BatchRange {
            maximum: raw.maximum.value,
            minimum: raw.minimum.unwrap_or(1),
        };
        if range.minimum == 0 || range.minimum > range.maximum {
            return Err(self
                .wrong(
                    raw.maximum.referenced,
                    "maximum",
                    "below the minimum, or the minimum is 0",
                )
                .with_hint("a batch has at least one item"));
        }
        Ok(Some(GroupBatch {
            range,
            item_bytes: self.bytes("per_item", raw.per_item, total)?.unwrap_or(0),
            items: raw.items,
            tellable: raw.told,
        }))
    }

    fn fault(&self, raw: Option<RawFault>) -> Checked<Option<Fault>> {
        let Some(raw) = raw else { return Ok(None) };
        if let Some(every) = raw.every.as_ref().filter(|every| every.value == 0) {
            return Err(self
                .wrong(every.referenced, "every", "0 is no job")
                .with_hint("write 1 for all jobs, 10 for every tenth"));
        }
        Ok(Some(Fault {
            kind: raw.kind,
            at: self.part("at", raw.at, 1.0)?.unwrap_or(0.5),
            every: raw.every.map_or(1, |every| every.value),
            attempts: raw.attempts.unwrap_or(u32::MAX),
        }))
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
