//! Profiles: named recipes for rewriting a command line and limiting its slice.
//!
//! The YAML is described in `docs/profiles.md`. Reading one file and checking it is pure ([`Profile::parse`]);
//! finding files is done by [`Profiles`]. How a profile is applied is decided in `ffmpeg::rewrite`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::{ConfigError, ContentError};
use super::files::Kind;
use super::profile_yaml::{Checker, RawProfile};
use super::size::Size;
use crate::ffmpeg::encoder::Family;

pub use super::profiles::Profiles;

/// Processes and threads of an attempt where the profile does not say. FFmpeg itself was seen with 110 at most.
pub const DEFAULT_PIDS_MAX: u32 = 4096;

/// Options that set the rate or the quality. A shipped profile has none of them.
pub const RATE_OPTIONS: [&str; 10] = [
    "b",
    "bufsize",
    "crf",
    "cq",
    "global_quality",
    "maxrate",
    "minrate",
    "q",
    "qp",
    "qscale",
];

/// A number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// At most so many, and no more than there are processors.
    Count(u32),
    /// As many as there are processors.
    Cpus,
}

impl Threads {
    /// The number on a machine with `cpus` processors; at least 1.
    pub fn resolve(self, cpus: u32) -> u32 {
        match self {
            Self::Count(count) => count.min(cpus).max(1),
            Self::Cpus => cpus.max(1),
        }
    }
}

/// Threads for each kind of work; `None` leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ThreadCounts {
    /// Each decoder.
    pub decoder: Option<Threads>,
    /// Each video encoder.
    pub encoder: Option<Threads>,
    /// Each filter graph.
    pub filter: Option<Threads>,
}

/// What a profile asks of one encoder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncoderSettings {
    /// FFmpeg's options, names without dash and stream specifier.
    pub options: BTreeMap<String, String>,
    /// The encoder's own parameters (`-x264-params`, `-x265-params`).
    pub params: BTreeMap<String, String>,
}

/// What a profile may lower though the user wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum May {
    /// Thread counts.
    Threads,
    /// A heavier preset.
    Preset,
    /// Heavier encoder parameters.
    Params,
    /// Rate and quality options, which are then set to the profile's whatever they were.
    Rate,
}

/// Where a profile comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Part of the program.
    BuiltIn,
    /// A user's file.
    File(PathBuf),
}

/// A checked profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Its place on the ladder; the lighter the lower, from 1.
    pub rank: u32,
    /// One line for people.
    pub summary: String,
    /// Threads.
    pub threads: ThreadCounts,
    /// Settings by encoder name.
    pub encoders: BTreeMap<String, EncoderSettings>,
    /// What it may lower.
    pub may: BTreeSet<May>,
    /// The slice's limit is never above this.
    pub memory_max: Option<Size>,
    /// Processes and threads the slice may hold together.
    pub pids_max: u32,
    /// Where it was read.
    pub origin: Origin,
    /// The YAML it was read from, comments and all.
    pub source: String,
}

impl Profile {
    /// Reads and checks the text of a profile.
    ///
    /// # Errors
    /// [`ContentError`] with the place of the first thing that is wrong.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, Box<ContentError>> {
        let file = Kind::Profile.file_name(&origin);
        let options = serde_yaml::options! { strict_booleans: true };
        let raw: RawProfile = serde_yaml::from_str_with_options(text, options)
            .map_err(|error| Box::new(ContentError::from_yaml(&file, text, &error)))?;
        Checker::new(&file)
            .profile(raw, text, origin)
            .map_err(Box::new)
    }

    /// The settings for an encoder, by family where it has one (`libx264rgb` uses those of `libx264`).
    pub fn encoder(&self, name: &str) -> Option<&EncoderSettings> {
        let family = Family::of(name.as_ref()).encoder();
        self.encoders
            .get(name)
            .or_else(|| self.encoders.get(family?))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl From<ContentError> for ConfigError {
    fn from(error: ContentError) -> Self {
        Self::Content(Box::new(error))
    }
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
