//! Reading the single values of a policy: sizes, shares, times, numbers, signals, triggers. Pure.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_yaml::{Location, Spanned};

use crate::config::error::{ContentError, nearest};
use crate::config::policy::{Share, Trigger};
use crate::config::size::Size;
use crate::config::time;

/// A value as it is written, with its place.
pub(super) type Text = Spanned<String>;

/// The kernel's highest signal.
const LAST_SIGNAL: i32 = if cfg!(target_os = "linux") { 64 } else { 31 };

/// The windows of a PSI trigger: the kernel's own limits as documented.
const WINDOWS: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(10);

/// Reads values of one file.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    file: &'a str,
}

impl<'a> Reader<'a> {
    /// For a file that messages call by this name.
    pub(super) fn new(file: &'a str) -> Self {
        Self { file }
    }

    /// What messages call the file.
    pub(super) fn file(self) -> &'a str {
        self.file
    }

    /// A mistake at its place.
    pub(super) fn wrong(
        self,
        at: Location,
        key: &str,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> ContentError {
        ContentError::at(self.file, at, key, problem).with_hint(hint)
    }

    /// Bytes or percent.
    pub(super) fn size(self, key: &str, text: &Text) -> Result<Size, ContentError> {
        let size = text.value.parse::<Size>();
        size.map_err(|error| ContentError::at(self.file, text.referenced, key, error.to_string()))
    }

    /// Bytes.
    pub(super) fn bytes(self, key: &str, text: &Text) -> Result<u64, ContentError> {
        match self.size(key, text)? {
            Size::Bytes(bytes) => Ok(bytes),
            Size::Percent(_) => Err(self.wrong(
                text.referenced,
                key,
                format!("`{}` is no number of bytes", text.value),
                "write a size such as 500M or 20G",
            )),
        }
    }

    /// A time within `range`; `default` if there is none.
    pub(super) fn time(
        self,
        key: &str,
        text: Option<&Text>,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Result<Duration, ContentError> {
        let Some(text) = text else {
            return Ok(default);
        };
        let hint = || {
            let time = |time: &Duration| humantime::format_duration(*time).to_string();
            format!(
                "write a time from {} to {}, such as {}",
                time(range.start()),
                time(range.end()),
                time(&default)
            )
        };
        let Ok(time) = time::parse(&text.value) else {
            let problem = format!("`{}` is no time", text.value);
            return Err(self.wrong(text.referenced, key, problem, hint()));
        };
        if range.contains(&time) {
            Ok(time)
        } else {
            let short = if time < *range.start() {
                "short"
            } else {
                "long"
            };
            let problem = format!("`{}` is too {short}", text.value);
            Err(self.wrong(text.referenced, key, problem, hint()))
        }
    }

    /// A number within `range`.
    pub(super) fn number<T>(
        self,
        key: &str,
        text: &Text,
        range: RangeInclusive<T>,
    ) -> Result<T, ContentError>
    where
        T: FromStr + PartialOrd + Display,
    {
        self.plain_number(key, text, &text.value, &range, "")
    }

    /// Percent within `range`, with or without its sign.
    pub(super) fn percent<T>(
        self,
        key: &str,
        text: &Text,
        range: RangeInclusive<T>,
    ) -> Result<T, ContentError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let number = text.value.trim().strip_suffix('%').unwrap_or(&text.value);
        self.plain_number(key, text, number, &range, "%")
    }

    /// A part of a number: `50%` or a count. `most` is the number, where it is known.
    pub(super) fn share(
        self,
        key: &str,
        text: &Text,
        most: Option<u32>,
    ) -> Result<Share, ContentError> {
        let value = text.value.trim();
        if let Some(percent) = value.strip_suffix('%') {
            return match percent.trim_end().parse() {
                Ok(percent @ 0..=100) => Ok(Share::Percent(percent)),
                _ => Err(self.wrong(
                    text.referenced,
                    key,
                    format!("`{value}` is no part of all"),
                    "write a whole percentage from 0% to 100%, or a count",
                )),
            };
        }
        let Ok(count) = value.parse() else {
            return Err(self.wrong(
                text.referenced,
                key,
                format!("`{value}` is neither a percentage nor a count"),
                "write a part such as 50%, a count such as 2, or leave it out to keep what the level before has",
            ));
        };
        match most.filter(|most| *most < count) {
            Some(most) => Err(self.wrong(
                text.referenced,
                key,
                format!("{count} is more than the {most} at level normal"),
                format!("write 0 to {most}, or raise the number at level normal"),
            )),
            None => Ok(Share::Count(count)),
        }
    }

    /// The number of a signal that a process can answer.
    pub(super) fn signal(self, key: &str, text: &Text) -> Result<i32, ContentError> {
        let word = text.value.trim().to_ascii_uppercase();
        let name = word.strip_prefix("SIG").unwrap_or(&word);
        let number = match word.parse() {
            Ok(number) => Some(number).filter(|number| (1..=LAST_SIGNAL).contains(number)),
            Err(_) => Signal::from_str(&format!("SIG{name}"))
                .ok()
                .map(|signal| signal as i32),
        };
        let Some(number) = number else {
            let known: Vec<&str> = Signal::iterator()
                .map(|signal| signal.as_str().trim_start_matches("SIG"))
                .collect();
            let hint = nearest(name, &known).map_or_else(
                || {
                    format!(
                        "write a name such as USR1 or SIGUSR1, or a number from 1 to {LAST_SIGNAL}"
                    )
                },
                |near| format!("did you mean `{near}`?"),
            );
            let problem = format!("`{}` is no signal", text.value);
            return Err(self.wrong(text.referenced, key, problem, hint));
        };
        if [Signal::SIGKILL as i32, Signal::SIGSTOP as i32].contains(&number) {
            return Err(self.wrong(
                text.referenced,
                key,
                format!("no process can answer `{}`", text.value),
                "write one that it can catch, such as USR1",
            ));
        }
        Ok(number)
    }

    /// `some|full STALL WINDOW`.
    pub(super) fn trigger(self, key: &str, text: &Text) -> Result<Trigger, ContentError> {
        let wrong = |problem: String, hint: &str| self.wrong(text.referenced, key, problem, hint);
        let words: Vec<&str> = text.value.split_whitespace().collect();
        let &[kind, stall, window] = words.as_slice() else {
            return Err(wrong(
                format!("`{}` is no trigger", text.value),
                "write some or full, the time stalled and the window: full 150ms 2s",
            ));
        };
        let full = match kind {
            "full" => true,
            "some" => false,
            other => {
                return Err(wrong(
                    format!("`{other}` is neither some nor full"),
                    "some: any task waits for memory; full: all do",
                ));
            }
        };
        let time = |word: &str| {
            time::parse(word).map_err(|_| {
                wrong(
                    format!("`{word}` is no time"),
                    "write the time stalled and the window with units: full 150ms 2s",
                )
            })
        };
        let (stall, window) = (time(stall)?, time(window)?);
        if !WINDOWS.contains(&window) {
            return Err(wrong(
                format!("the window `{}` is out of range", words[2]),
                "write 500ms to 10s; without CAP_SYS_RESOURCE the kernel takes multiples of 2s only",
            ));
        }
        if stall >= window {
            return Err(wrong(
                format!(
                    "`{}` of stall never fits into a window of `{}`",
                    words[1], words[2]
                ),
                "write a shorter stall: full 150ms 2s",
            ));
        }
        Ok(Trigger {
            full,
            stall,
            window,
        })
    }

    fn plain_number<T>(
        self,
        key: &str,
        text: &Text,
        number: &str,
        range: &RangeInclusive<T>,
        unit: &str,
    ) -> Result<T, ContentError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let number = number.trim();
        let problem = match (number.parse::<T>(), number.parse::<f64>()) {
            (Ok(number), _) if range.contains(&number) => return Ok(number),
            (Err(_), Ok(real)) if real.fract() > 0.0 => "no whole number",
            (_, Ok(_)) => "out of range",
            (_, Err(_)) => "no number",
        };
        let (least, most) = (range.start(), range.end());
        Err(self.wrong(
            text.referenced,
            key,
            format!("`{}` is {problem}", text.value),
            format!("write a number from {least}{unit} to {most}{unit}"),
        ))
    }
}
