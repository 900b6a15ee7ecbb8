//! The levels of a policy, as they are written, and the checks that make [`Stage`]s of them. Pure.

use serde::Deserialize;
use serde_yaml::{Location, Spanned};

use super::ceiling::RawCeiling;
use super::enter::{Earlier, RawEnter};
use super::values::{Reader, Text};
use crate::config::error::{ContentError, nearest};
use crate::config::policy::{
    AfterRelief, BatchRange, Ceiling, Level, ReliefKind, ReliefRules, Say, Share, Stage, Thresholds,
};
use crate::config::profile::Profiles;

/// More rungs or jobs than this is a typing error.
const MANY: u32 = 10_000;

/// A level as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStage {
    level: Spanned<Level>,
    enter: Option<Spanned<RawEnter>>,
    workers: Option<Text>,
    profile: Option<Spanned<RawCeiling>>,
    batch: Option<Text>,
    segment: Option<Text>,
    #[serde(default)]
    relief: Vec<Spanned<ReliefKind>>,
    verify: Option<Spanned<bool>>,
    stop: Option<Spanned<bool>>,
    after_relief: Option<Spanned<RawAfterRelief>>,
    say: Option<Say>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAfterRelief {
    workers: Text,
    even_above: Option<Text>,
}

/// What the parts of a level are parts of.
pub(super) struct Bases {
    /// The policy's workers, if it says how many.
    pub(super) workers: Option<u32>,
    /// Its batches.
    pub(super) batch: BatchRange,
}

/// Checks the levels of one policy.
pub(super) struct StageChecker<'a> {
    pub(super) read: Reader<'a>,
    pub(super) profiles: &'a Profiles,
    pub(super) margin: f64,
    pub(super) relief: &'a ReliefRules,
    pub(super) bases: Bases,
}

impl StageChecker<'_> {
    /// The checked levels.
    pub(super) fn stages(&self, raw: &Spanned<Vec<RawStage>>) -> Result<Vec<Stage>, ContentError> {
        let mut stages: Vec<Stage> = Vec::new();
        let mut earlier = Earlier::new();
        for raw in &raw.value {
            let stage = self.stage(raw, stages.last(), &mut earlier)?;
            stages.push(stage);
        }
        if stages.is_empty() {
            return Err(self.read.wrong(
                raw.referenced,
                "levels",
                "there is none",
                "begin with `- level: normal`",
            ));
        }
        Ok(stages)
    }

    /// The profile of a name as a ceiling.
    pub(super) fn at_most(&self, name: &Text) -> Result<Ceiling, ContentError> {
        self.profile_named(&name.value, name.referenced)
    }

    /// `before` is the level before: what new work is allowed there goes on to be allowed where nothing is said.
    fn stage<'t>(
        &self,
        raw: &'t RawStage,
        before: Option<&Stage>,
        earlier: &mut Earlier<'t>,
    ) -> Result<Stage, ContentError> {
        self.place(raw, before)?;
        let level = raw.level.value;
        let enter = match &raw.enter {
            Some(enter) => self.thresholds(enter, earlier)?,
            None => Thresholds::default(),
        };
        let workers = self.workers(raw, before)?;
        Ok(Stage {
            level,
            enter,
            workers,
            profile: self.ceiling(raw, before)?,
            batch: self.batch(raw, before, workers)?,
            segment_percent: self.segment(raw, before)?,
            relief: self.kinds(raw)?,
            verify: self.verify(raw)?,
            stop: raw.stop.as_ref().is_some_and(|stop| stop.value),
            after_relief: self.after_relief(raw, workers)?,
            say: raw.say.unwrap_or(match level {
                Level::Normal | Level::Moderate => Say::Info,
                Level::High => Say::Warning,
                Level::Critical => Say::Error,
            }),
        })
    }

    /// Checks that a level stands where it may, and that it is entered or is the first.
    fn place(&self, raw: &RawStage, before: Option<&Stage>) -> Result<(), ContentError> {
        let (level, at) = (raw.level.value, raw.level.referenced);
        let wrong = |at, key: &str, problem: String, hint: &str| {
            Err(self.read.wrong(at, key, problem, hint))
        };
        match (before, &raw.enter) {
            (None, _) if level != Level::Normal => wrong(
                at,
                "level",
                format!("the first level is `{level}`"),
                "begin with `- level: normal`, which has no `enter`",
            ),
            (None, Some(enter)) => wrong(
                enter.referenced,
                "enter",
                "the first level is in force where no other is".into(),
                "leave it out",
            ),
            (Some(before), _) if level < before.level => wrong(
                at,
                "level",
                format!("`{level}` stands after `{}`", before.level),
                "the order is normal, moderate, high, critical; a level may stand there more than once",
            ),
            (Some(_), None) => wrong(
                at,
                "enter",
                format!("nothing tells when this `{level}` is entered"),
                "add a line such as `enter: {used: 80%}`",
            ),
            (None, None) => self.untouched(raw),
            (Some(_), Some(_)) => Ok(()),
        }
    }

    /// Checks that the first level leaves running work alone.
    fn untouched(&self, raw: &RawStage) -> Result<(), ContentError> {
        let relief = raw.relief.first().map(|kind| ("relief", kind.referenced));
        let stop = raw.stop.as_ref().filter(|stop| stop.value);
        let after = raw.after_relief.as_ref();
        let key = relief
            .or_else(|| stop.map(|stop| ("stop", stop.referenced)))
            .or_else(|| after.map(|after| ("after_relief", after.referenced)));
        match key {
            None => Ok(()),
            Some((key, at)) => Err(self.read.wrong(
                at,
                key,
                "the first level is never entered and leaves running work alone",
                "move it to a level that has an `enter`",
            )),
        }
    }

    fn workers(&self, raw: &RawStage, before: Option<&Stage>) -> Result<Share, ContentError> {
        let before = before.map_or(Share::ALL, |before| before.workers);
        let Some(text) = &raw.workers else {
            return Ok(before);
        };
        let share = self.read.share("workers", text, self.bases.workers)?;
        if raw.level.value == Level::Normal && share.of(1) == 0 {
            return Err(self.read.wrong(
                text.referenced,
                "workers",
                "nothing would ever be started",
                "write 1 or more at level normal, or leave it out",
            ));
        }
        self.no_more("workers", text, (before, share), self.bases.workers)?;
        Ok(share)
    }

    fn batch(
        &self,
        raw: &RawStage,
        before: Option<&Stage>,
        workers: Share,
    ) -> Result<Share, ContentError> {
        let before = before.map_or(Share::ALL, |before| before.batch);
        let Some(text) = &raw.batch else {
            return Ok(before);
        };
        let BatchRange { maximum, minimum } = self.bases.batch;
        let share = self.read.share("batch", text, Some(maximum))?;
        let wrong = |problem: String, hint: String| {
            Err(self.read.wrong(text.referenced, "batch", problem, hint))
        };
        match share {
            share if share.of(maximum) == 0 && workers.of(1) > 0 => wrong(
                "nothing is in a batch of 0, and yet work is started".into(),
                format!("write {minimum} or more, or `workers: 0` too"),
            ),
            Share::Count(count) if (1..minimum).contains(&count) => wrong(
                format!("{count} is below the minimum {minimum}"),
                format!("write {minimum} or more, or lower the minimum"),
            ),
            share => {
                self.no_more("batch", text, (before, share), Some(maximum))?;
                Ok(share)
            }
        }
    }

    fn segment(&self, raw: &RawStage, before: Option<&Stage>) -> Result<u32, ContentError> {
        let before = before.map_or(100, |before| before.segment_percent);
        let Some(text) = &raw.segment else {
            return Ok(before);
        };
        let percent = self.read.percent("segment", text, 1..=100)?;
        let shares = (Share::Percent(before), Share::Percent(percent));
        self.no_more("segment", text, shares, None)?;
        Ok(percent)
    }

    /// Checks that a heavier level does not allow more than the one before it.
    fn no_more(
        &self,
        key: &str,
        text: &Text,
        (before, now): (Share, Share),
        base: Option<u32>,
    ) -> Result<(), ContentError> {
        let more = match (base, before, now) {
            (Some(base), ..) => now.of(base) > before.of(base),
            (None, Share::Percent(before), Share::Percent(now))
            | (None, Share::Count(before), Share::Count(now)) => now > before,
            (None, ..) => before.of(1) == 0 && now.of(1) > 0,
        };
        if !more {
            return Ok(());
        }
        let before = match before {
            Share::Percent(percent) => format!("{percent}%"),
            Share::Count(count) => count.to_string(),
        };
        Err(self.read.wrong(
            text.referenced,
            key,
            format!(
                "`{}` is more than the {before} of the level before",
                text.value
            ),
            format!("write {before} at most, or leave it out to keep that"),
        ))
    }

    fn ceiling(&self, raw: &RawStage, before: Option<&Stage>) -> Result<Ceiling, ContentError> {
        let before = before.map_or(Ceiling::Any, |before| before.profile.clone());
        let Some(profile) = &raw.profile else {
            return Ok(before);
        };
        let at = profile.referenced;
        let ceiling = match &profile.value {
            RawCeiling::Word(word) if word == "any" => Ceiling::Any,
            RawCeiling::Word(word) => self.profile_named(word, at)?,
            RawCeiling::Lower(rungs) => match rungs.parse() {
                Ok(rungs @ 1..=MANY) => Ceiling::Lower(rungs),
                _ => {
                    return Err(self.read.wrong(
                        at,
                        "lower",
                        format!("`{rungs}` is no number of profiles"),
                        "write 1 for the next lighter one, or leave `profile` out",
                    ));
                }
            },
        };
        match Ceiling::heavier(&before, &ceiling) {
            None => Ok(ceiling),
            Some((before, now)) => Err(self.read.wrong(
                at,
                "profile",
                format!("{now} is heavier than what the level before allows, {before}"),
                "write one that is no heavier, or leave it out to keep that",
            )),
        }
    }

    fn profile_named(&self, name: &str, at: Location) -> Result<Ceiling, ContentError> {
        if let Some(profile) = self.profiles.get(name) {
            let (profile, rank) = (profile.name.clone(), profile.rank);
            return Ok(Ceiling::AtMost { profile, rank });
        }
        let known: Vec<&str> = self
            .profiles
            .iter()
            .map(|profile| profile.name.as_str())
            .collect();
        let hint = match nearest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        let problem = format!("there is no profile `{name}`");
        Err(self.read.wrong(at, "profile", problem, hint))
    }

    fn kinds(&self, raw: &RawStage) -> Result<Vec<ReliefKind>, ContentError> {
        let mut kinds = Vec::new();
        for kind in &raw.relief {
            let missing = match kind.value {
                ReliefKind::Signal if self.relief.signal.is_none() => {
                    Some(("signal", "signal: USR1"))
                }
                ReliefKind::Command if self.relief.command.is_none() => {
                    Some(("command", "command: [curl, -fsS, http://...]"))
                }
                _ => None,
            };
            if let Some((word, line)) = missing {
                return Err(self.read.wrong(
                    kind.referenced,
                    "relief",
                    format!("the policy does not say which {word}"),
                    format!("add `relief: {{{line}}}` beside `levels`"),
                ));
            }
            if kinds.contains(&kind.value) {
                return Err(self.read.wrong(
                    kind.referenced,
                    "relief",
                    format!("`{}` stands there twice", kind.value),
                    "keep one of them",
                ));
            }
            kinds.push(kind.value);
        }
        Ok(kinds)
    }

    /// Whether each relief is looked at; left out, it is.
    fn verify(&self, raw: &RawStage) -> Result<bool, ContentError> {
        let relief = !raw.relief.is_empty();
        match &raw.verify {
            None => Ok(relief),
            Some(verify) if verify.value && !relief => Err(self.read.wrong(
                verify.referenced,
                "verify",
                "there is no relief here to look at",
                "add a line such as `relief: [reclaim]`, or leave it out",
            )),
            Some(verify) => Ok(verify.value),
        }
    }

    fn after_relief(
        &self,
        raw: &RawStage,
        workers: Share,
    ) -> Result<Option<AfterRelief>, ContentError> {
        let Some(after) = &raw.after_relief else {
            return Ok(None);
        };
        if raw.relief.is_empty() {
            return Err(self.read.wrong(
                after.referenced,
                "after_relief",
                "there is no relief here",
                "add a line such as `relief: [reclaim]`, or leave it out",
            ));
        }
        let RawAfterRelief {
            workers: count,
            even_above,
        } = &after.value;
        let count = self.read.number("workers", count, 1..=MANY)?;
        let even_above = match even_above {
            Some(text) if workers.of(1) > 0 => {
                return Err(self.read.wrong(
                    text.referenced,
                    "even_above",
                    "work is started at this level in any case",
                    "leave it out; it is for levels with `workers: 0`",
                ));
            }
            Some(text) => Some(self.read.size("even_above", text)?),
            None => None,
        };
        Ok(Some(AfterRelief {
            workers: count,
            even_above,
        }))
    }
}
