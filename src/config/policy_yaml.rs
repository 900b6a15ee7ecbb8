//! The YAML of a policy, as it is written, and the checks that make a [`Policy`] of it. Pure.
//!
//! - `raw`: what may be written
//! - `defaults`: what holds where nothing is written
//! - `values`: reading single values
//! - `stages`, `enter`, `ceiling`: the levels, when they are entered, how heavy a profile they allow; everything else is
//!   checked here

mod ceiling;
mod defaults;
mod enter;
mod raw;
mod stages;
mod values;

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ContentError;
use super::files::Kind;
use super::policy::{
    Backoff, BaseWorkers, BatchRange, BreakerRules, Ceiling, LargeFile, Level, Policy, ReliefRules,
    Reserve, SegmentRange, Stage,
};
use super::profile::{Origin, Profiles};
use super::size::Size;
use raw::{
    RawBackoff, RawBatch, RawBreaker, RawLargeFile, RawRelief, RawReserve, RawSegment, RawWhom,
};
use stages::{Bases, StageChecker};
use values::{Reader, Text};

pub(super) use raw::RawPolicy;

/// More jobs, items or ends than this is a typing error.
const MANY: u32 = 10_000;

/// The most percent of its processors that a machine can be asked for.
const MAX_CPU_PERCENT: u32 = 1000;

/// A margin of more than this would keep half of all memory unused.
const MAX_MARGIN: f64 = 50.0;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Turns what is written into a policy, or says where it is wrong.
pub(super) struct Checker<'a> {
    read: Reader<'a>,
    profiles: &'a Profiles,
}

impl<'a> Checker<'a> {
    /// For a file that messages call by this name, which may name these profiles.
    pub(super) fn new(file: &'a str, profiles: &'a Profiles) -> Self {
        let read = Reader::new(file);
        Self { read, profiles }
    }

    /// The checked policy; `text` is what it was read from.
    pub(super) fn policy(
        &self,
        raw: RawPolicy,
        text: &str,
        origin: Origin,
    ) -> Result<Policy, ContentError> {
        let read = self.read;
        Kind::Policy.check_name(read.file(), &raw.name)?;
        let workers = self.workers(raw.workers.as_ref())?;
        let margin = raw.margin.as_ref();
        let margin = margin.map_or(Ok(defaults::MARGIN), |margin| {
            read.percent("margin", margin, 0.0..=MAX_MARGIN)
        })?;
        let relief = self.relief(&raw.relief)?;
        let batch = self.batch(&raw.batch)?;
        let checker = StageChecker {
            read,
            profiles: self.profiles,
            margin,
            relief: &relief,
            bases: Bases {
                workers: match workers {
                    BaseWorkers::Auto => None,
                    BaseWorkers::Count(count) => Some(count),
                },
                batch,
            },
        };
        let stages = checker.stages(&raw.levels)?;
        let time = |key, text: &Option<Text>, default, range| {
            read.time(key, text.as_ref(), default, range)
        };
        let memory_per_job = raw.memory_per_job.as_ref();
        let cpu = raw.cpu.as_ref();
        let report_every = raw.report_every.as_ref();
        Ok(Policy {
            reserves: self.reserves(raw.reserves)?,
            workers,
            memory_per_job: memory_per_job
                .map(|text| read.size("memory_per_job", text))
                .transpose()?,
            cpu_percent: cpu.map_or(Ok(defaults::CPU_PERCENT), |text| {
                read.percent("cpu", text, 1..=MAX_CPU_PERCENT)
            })?,
            margin,
            hold: time("hold", &raw.hold, defaults::HOLD, 100 * MILLISECOND..=HOUR)?,
            grace: time(
                "grace",
                &raw.grace,
                defaults::GRACE,
                100 * MILLISECOND..=10 * MINUTE,
            )?,
            poll: time("poll", &raw.poll, defaults::POLL, 50 * MILLISECOND..=MINUTE)?,
            breaker: self.breaker(&raw.breaker, &stages)?,
            backoff: self.backoff(&raw.backoff)?,
            segment: self.segment(&raw.segment)?,
            large_files: self.large_files(&raw.large_files, &checker)?,
            report_every: report_every
                .map(|text| read.number("report_every", text, 1..=u32::MAX))
                .transpose()?,
            relief: relief.clone(),
            batch,
            stages,
            name: raw.name.value,
            summary: raw.summary,
            origin,
            source: text.to_owned(),
        })
    }

    fn workers(&self, text: Option<&Text>) -> Result<BaseWorkers, ContentError> {
        let Some(text) = text.filter(|text| text.value != "auto") else {
            return Ok(BaseWorkers::Auto);
        };
        match text.value.parse() {
            Ok(count @ 1..=MANY) => Ok(BaseWorkers::Count(count)),
            _ => Err(self.read.wrong(
                text.referenced,
                "workers",
                format!("`{}` is no number of workers", text.value),
                format!("write 1 to {MANY}, or `auto` for as many as memory and processors let"),
            )),
        }
    }

    fn reserves(&self, raw: Option<Vec<RawReserve>>) -> Result<Vec<Reserve>, ContentError> {
        let Some(raw) = raw else {
            return Ok(vec![Reserve {
                name: "free".into(),
                share: Size::Percent(defaults::RESERVE_PERCENT),
                at_most: None,
                for_others: false,
            }]);
        };
        let mut reserves = Vec::new();
        let mut percent = 0.0;
        for reserve in raw {
            let share = self.read.size("share", &reserve.share)?;
            if let Size::Percent(share) = share {
                percent += share;
            }
            if percent >= 100.0 {
                return Err(self.read.wrong(
                    reserve.share.referenced,
                    "share",
                    format!("the reserves are {percent}% together and leave nothing to children"),
                    "all shares together are below 100%",
                ));
            }
            let at_most = reserve.at_most.as_ref();
            reserves.push(Reserve {
                name: reserve.name,
                share,
                at_most: at_most
                    .map(|text| self.read.bytes("at_most", text))
                    .transpose()?,
                for_others: matches!(reserve.whom, Some(RawWhom::Others)),
            });
        }
        Ok(reserves)
    }

    fn relief(&self, raw: &RawRelief) -> Result<ReliefRules, ContentError> {
        let read = self.read;
        let signal = raw.signal.as_ref();
        if let Some(command) = &raw.command
            && command.value.first().is_none_or(String::is_empty)
        {
            return Err(read.wrong(
                command.referenced,
                "command",
                "names no program",
                "write the program and its arguments as a list: [curl, -fsS, http://localhost:8080/unload]",
            ));
        }
        Ok(ReliefRules {
            signal: signal.map(|text| read.signal("signal", text)).transpose()?,
            command: raw.command.as_ref().map(|command| command.value.clone()),
            timeout: read.time(
                "timeout",
                raw.timeout.as_ref(),
                defaults::RELIEF_TIMEOUT,
                100 * MILLISECOND..=10 * MINUTE,
            )?,
            helped_points: raw
                .helped
                .as_ref()
                .map_or(Ok(defaults::HELPED_POINTS), |text| {
                    read.percent("helped", text, 1..=100)
                })?,
            freeze_at_most: read.time(
                "freeze_at_most",
                raw.freeze_at_most.as_ref(),
                defaults::FREEZE_AT_MOST,
                SECOND..=HOUR,
            )?,
        })
    }

    fn breaker(&self, raw: &RawBreaker, stages: &[Stage]) -> Result<BreakerRules, ContentError> {
        let ends = raw
            .ends
            .as_ref()
            .map_or(Ok(defaults::BREAKER_ENDS), |text| {
                self.read.number("ends", text, 0..=MANY)
            })?;
        if let Some(level) = &raw.opens_at {
            let refuse = |problem: String| {
                let hint = "name a level that the policy has, other than normal";
                Err(self.read.wrong(level.referenced, "opens_at", problem, hint))
            };
            if level.value == Level::Normal {
                return refuse("the breaker would never close".into());
            }
            if stages.iter().all(|stage| stage.level != level.value) {
                return refuse(format!("this policy has no level `{}`", level.value));
            }
        }
        let times = [
            ("first", raw.first.as_ref(), defaults::BREAKER_FIRST),
            ("longest", raw.longest.as_ref(), defaults::BREAKER_LONGEST),
        ];
        let (first, longest) = self.rising(times, 100 * MILLISECOND..=DAY)?;
        Ok(BreakerRules {
            ends,
            within: self.read.time(
                "within",
                raw.within.as_ref(),
                defaults::BREAKER_WITHIN,
                SECOND..=DAY,
            )?,
            opens_at: raw.opens_at.as_ref().map(|level| level.value),
            first,
            longest,
        })
    }

    fn backoff(&self, raw: &RawBackoff) -> Result<Backoff, ContentError> {
        let Backoff { first, longest } = defaults::BACKOFF;
        let times = [
            ("first", raw.first.as_ref(), first),
            ("longest", raw.longest.as_ref(), longest),
        ];
        let (first, longest) = self.rising(times, 100 * MILLISECOND..=DAY)?;
        Ok(Backoff { first, longest })
    }

    fn segment(&self, raw: &RawSegment) -> Result<SegmentRange, ContentError> {
        let SegmentRange { length, minimum } = defaults::SEGMENT;
        let times = [
            ("minimum", raw.minimum.as_ref(), minimum),
            ("length", raw.length.as_ref(), length),
        ];
        let (minimum, length) = self.rising(times, SECOND..=DAY)?;
        Ok(SegmentRange { length, minimum })
    }

    /// Two times of which the first must not be above the second. One that is left out gives way to the other.
    fn rising(
        &self,
        [less, more]: [(&str, Option<&Text>, Duration); 2],
        range: RangeInclusive<Duration>,
    ) -> Result<(Duration, Duration), ContentError> {
        let time = |(key, text, default)| self.read.time(key, text, default, range.clone());
        match (less.1, more.1, time(less)?, time(more)?) {
            (Some(text), Some(other), low, high) if low > high => Err(self.read.wrong(
                text.referenced,
                less.0,
                format!("`{}` is above {} `{}`", text.value, more.0, other.value),
                format!("write {} at most", other.value),
            )),
            (Some(_), None, low, high) => Ok((low, high.max(low))),
            (_, _, low, high) => Ok((low.min(high), high)),
        }
    }

    fn batch(&self, raw: &RawBatch) -> Result<BatchRange, ContentError> {
        let number = |key, text: &Text| self.read.number(key, text, 1..=MANY);
        let BatchRange { maximum, minimum } = defaults::BATCH;
        let low = raw.minimum.as_ref();
        let low = low.map(|text| number("minimum", text)).transpose()?;
        let high = raw.maximum.as_ref();
        let high = high.map(|text| number("maximum", text)).transpose()?;
        match (low, high, &raw.minimum) {
            (Some(low), Some(high), Some(text)) if low > high => Err(self.read.wrong(
                text.referenced,
                "minimum",
                format!("{low} is above the maximum {high}"),
                format!("write {high} at most"),
            )),
            _ => {
                let minimum = low.unwrap_or(minimum);
                let maximum = high.unwrap_or(maximum.max(minimum));
                Ok(BatchRange { maximum, minimum })
            }
        }
    }

    fn large_files(
        &self,
        raw: &[RawLargeFile],
        checker: &StageChecker,
    ) -> Result<Vec<LargeFile>, ContentError> {
        let mut rules: Vec<LargeFile> = Vec::new();
        for rule in raw {
            let above = self.read.bytes("above", &rule.above)?;
            let profile = checker.at_most(&rule.profile)?;
            if let Some(last) = rules.last() {
                if above <= last.above {
                    return Err(self.read.wrong(
                        rule.above.referenced,
                        "above",
                        format!(
                            "{} is not above the {} of the rule before",
                            Size::Bytes(above),
                            Size::Bytes(last.above)
                        ),
                        "begin with the smallest size",
                    ));
                }
                if let Some((before, now)) = Ceiling::heavier(&last.profile, &profile) {
                    return Err(self.read.wrong(
                        rule.profile.referenced,
                        "profile",
                        format!("larger files would be allowed {now}, smaller ones only {before}"),
                        "give larger files a profile that is no heavier",
                    ));
                }
            }
            rules.push(LargeFile { above, profile });
        }
        Ok(rules)
    }
}
