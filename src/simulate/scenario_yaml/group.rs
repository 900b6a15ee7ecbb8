//! The checks of a group of jobs.

use std::time::Duration;

use super::super::scenario::{
    Estimate, Fault, Group, GroupBatch, GroupRung, Machine, Shape, Spike,
};
use super::raw::*;
use super::{Checked, Checker, SHORTEST_RUN};
use crate::config::policy::BatchRange;

impl Checker<'_> {
    pub(super) fn group(&self, index: usize, raw: RawGroup, machine: &Machine) -> Checked<Group> {
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
}
