//! When a level is entered: its thresholds, in themselves and beside those of lighter levels. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml::Spanned;

use super::stages::StageChecker;
use super::values::Text;
use crate::config::error::ContentError;
use crate::config::policy::Thresholds;
use crate::config::size::Size;

/// The one threshold that is met from above.
const AVAILABLE: &str = "available";

/// Thresholds as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEnter {
    used: Option<Text>,
    children: Option<Text>,
    available: Option<Text>,
    some_avg10: Option<Text>,
    full_avg10: Option<Text>,
    trigger: Option<Text>,
    slice: Option<Text>,
}

/// The thresholds of the levels so far: the last by kind and by whether it is a percentage.
pub(super) type Earlier<'a> = BTreeMap<(&'static str, bool), (f64, &'a str)>;

impl StageChecker<'_> {
    /// The checked thresholds of one level; `earlier` are those of the levels before it and takes these in.
    pub(super) fn thresholds<'t>(
        &self,
        raw: &'t Spanned<RawEnter>,
        earlier: &mut Earlier<'t>,
    ) -> Result<Thresholds, ContentError> {
        let enter = &raw.value;
        let trigger = enter.trigger.as_ref();
        let thresholds = Thresholds {
            used: self.size("used", enter.used.as_ref(), earlier)?,
            children: self.size("children", enter.children.as_ref(), earlier)?,
            available: self.size("available", enter.available.as_ref(), earlier)?,
            some_avg10: self.percent("some_avg10", enter.some_avg10.as_ref(), earlier)?,
            full_avg10: self.percent("full_avg10", enter.full_avg10.as_ref(), earlier)?,
            trigger: trigger
                .map(|text| self.read.trigger("trigger", text))
                .transpose()?,
            slice: self.percent("slice", enter.slice.as_ref(), earlier)?,
        };
        if thresholds == Thresholds::default() {
            return Err(self.read.wrong(
                raw.referenced,
                "enter",
                "there is no threshold",
                "write one such as `enter: {used: 80%}`",
            ));
        }
        Ok(thresholds)
    }

    fn size<'t>(
        &self,
        key: &'static str,
        text: Option<&'t Text>,
        earlier: &mut Earlier<'t>,
    ) -> Result<Option<Size>, ContentError> {
        let Some(text) = text else { return Ok(None) };
        let size = self.read.size(key, text)?;
        match size {
            Size::Bytes(bytes) => self.rises(key, text, (bytes as f64, false), earlier)?,
            Size::Percent(percent) => {
                self.is_left(key, text, percent)?;
                self.rises(key, text, (percent, true), earlier)?;
            }
        }
        Ok(Some(size))
    }

    fn percent<'t>(
        &self,
        key: &'static str,
        text: Option<&'t Text>,
        earlier: &mut Earlier<'t>,
    ) -> Result<Option<f64>, ContentError> {
        let Some(text) = text else { return Ok(None) };
        let percent = self.read.percent(key, text, 0.1..=100.0)?;
        self.rises(key, text, (percent, true), earlier)?;
        Ok(Some(percent))
    }

    /// Checks that there is a measure below a part of memory less the margin (for `available`, above both together).
    /// For bytes there always is, as the margin is a part of them; for shares of time the core takes care of it.
    fn is_left(&self, key: &str, text: &Text, percent: f64) -> Result<(), ContentError> {
        let margin = self.margin;
        let (never, problem, hint) = if key == AVAILABLE {
            (
                percent + margin >= 100.0,
                format!("with the margin of {margin} points it is all there is"),
                format!("write less than {}%", 100.0 - margin),
            )
        } else {
            (
                percent <= margin,
                format!("less the margin of {margin} points nothing is left of it"),
                format!("write more than {margin}"),
            )
        };
        if !never {
            return Ok(());
        }
        let problem = format!(
            "`{}` would never be left again: {problem}",
            text.value.trim()
        );
        let hint = format!("{hint}, or a smaller `margin`");
        Err(self.read.wrong(text.referenced, key, problem, hint))
    }

    /// Checks that a threshold is above that of its kind at an earlier level (for `available`, below), where both are
    /// percentages or both are bytes.
    fn rises<'t>(
        &self,
        key: &'static str,
        text: &'t Text,
        (value, is_percent): (f64, bool),
        earlier: &mut Earlier<'t>,
    ) -> Result<(), ContentError> {
        let last = earlier.insert((key, is_percent), (value, text.value.trim()));
        let (word, wrong) = match last {
            None => return Ok(()),
            Some((last, _)) if key == AVAILABLE => ("below", value >= last),
            Some((last, _)) => ("above", value <= last),
        };
        if !wrong {
            return Ok(());
        }
        let before = last.map_or("", |(_, before)| before);
        Err(self.read.wrong(
            text.referenced,
            key,
            format!(
                "`{}` is not {word} the `{before}` of a lighter level",
                text.value.trim()
            ),
            "the lightest level comes first, and each heavier one is entered later",
        ))
    }
}
