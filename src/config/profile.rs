//! Profiles: named recipes for rewriting a command line and limiting its slice.
//!
//! The YAML is described in `docs/profiles.md`. Reading one file and checking it is pure ([`Profile::parse`]);
//! finding files is done by [`Profiles`]. How a profile is applied is decided in `ffmpeg::rewrite`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_yaml::{Location, Spanned};

use super::error::{ConfigError, ContentError, nearest};
use super::size::Size;
use crate::ffmpeg::encoder::{self, Family};

pub use super::profiles::Profiles;

/// Processes and threads of an attempt where the profile does not say. FFmpeg itself was seen with 110 at most.
pub const DEFAULT_PIDS_MAX: u32 = 4096;

/// More is a typing error: no encoder of FFmpeg uses more.
const MAX_THREADS: u32 = 1024;

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

/// Encoders that a mistyped name may have meant.
const KNOWN_ENCODERS: [&str; 18] = [
    "libx264",
    "libx264rgb",
    "libx265",
    "libsvtav1",
    "libaom-av1",
    "librav1e",
    "libvpx",
    "libvpx-vp9",
    "libxvid",
    "libtheora",
    "mpeg4",
    "mpeg2video",
    "mjpeg",
    "prores",
    "prores_ks",
    "dnxhd",
    "ffv1",
    "libvvenc",
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    name: Spanned<String>,
    rank: Spanned<u32>,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    threads: RawThreads,
    #[serde(default)]
    encoders: BTreeMap<String, Spanned<RawEncoder>>,
    #[serde(default)]
    may: Vec<May>,
    memory_max: Option<Spanned<String>>,
    pids_max: Option<Spanned<u32>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawThreads {
    decoder: Option<Spanned<String>>,
    encoder: Option<Spanned<String>>,
    filter: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEncoder {
    #[serde(default)]
    options: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    params: BTreeMap<String, Spanned<String>>,
}

impl Profile {
    /// Reads and checks the text of a profile.
    ///
    /// # Errors
    /// [`ContentError`] with the place of the first thing that is wrong.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, Box<ContentError>> {
        let file = match &origin {
            Origin::BuiltIn => "built-in profile".to_owned(),
            Origin::File(path) => path.display().to_string(),
        };
        let options = serde_yaml::options! { strict_booleans: true };
        let raw: RawProfile = serde_yaml::from_str_with_options(text, options)
            .map_err(|error| Box::new(ContentError::from_yaml(&file, text, &error)))?;
        Checker { file: &file }
            .profile(raw, origin)
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

struct Checker<'a> {
    file: &'a str,
}

impl Checker<'_> {
    fn profile(&self, raw: RawProfile, origin: Origin) -> Result<Profile, ContentError> {
        let name = &raw.name.value;
        if name.is_empty()
            || name == "auto"
            || !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        {
            return Err(self
                .wrong(
                    raw.name.referenced,
                    "name",
                    format!("`{name}` cannot name a profile"),
                )
                .with_hint("use letters, digits, `-` and `_`, and not `auto`"));
        }
        if raw.rank.value == 0 {
            return Err(self
                .wrong(raw.rank.referenced, "rank", "0 is no place on the ladder")
                .with_hint(
                    "the shipped profiles have 10, 20, 30 and 40; the lightest has the lowest",
                ));
        }
        let mut encoders = BTreeMap::new();
        for (name, settings) in raw.encoders {
            let settings = self.encoder(&name, settings)?;
            encoders.insert(name, settings);
        }
        let memory_max = match raw.memory_max {
            None => None,
            Some(text) => {
                let size = text.value.parse::<Size>();
                Some(size.map_err(|error| {
                    self.wrong(text.referenced, "memory_max", error.to_string())
                })?)
            }
        };
        let pids_max = match raw.pids_max {
            Some(count) if count.value == 0 => {
                return Err(self
                    .wrong(count.referenced, "pids_max", "0 lets nothing start")
                    .with_hint(format!(
                        "leave it out for {DEFAULT_PIDS_MAX}; it counts threads too"
                    )));
            }
            count => count.map_or(DEFAULT_PIDS_MAX, |count| count.value),
        };
        Ok(Profile {
            name: raw.name.value,
            rank: raw.rank.value,
            summary: raw.summary,
            threads: ThreadCounts {
                decoder: self.threads("decoder", raw.threads.decoder)?,
                encoder: self.threads("encoder", raw.threads.encoder)?,
                filter: self.threads("filter", raw.threads.filter)?,
            },
            encoders,
            may: raw.may.into_iter().collect(),
            memory_max,
            pids_max,
            origin,
        })
    }

    fn threads(
        &self,
        key: &str,
        raw: Option<Spanned<String>>,
    ) -> Result<Option<Threads>, ContentError> {
        let Some(raw) = raw else { return Ok(None) };
        if raw.value == "cpus" {
            return Ok(Some(Threads::Cpus));
        }
        match raw.value.parse() {
            Ok(count @ 1..=MAX_THREADS) => Ok(Some(Threads::Count(count))),
            _ => Err(self
                .wrong(
                    raw.referenced,
                    key,
                    format!("`{}` is no number of threads", raw.value),
                )
                .with_hint(format!(
                    "write 1 to {MAX_THREADS}, `cpus` for all processors, or leave it out"
                ))),
        }
    }

    fn encoder(
        &self,
        name: &str,
        raw: Spanned<RawEncoder>,
    ) -> Result<EncoderSettings, ContentError> {
        if !KNOWN_ENCODERS.contains(&name)
            && let Some(near) = nearest(name, &KNOWN_ENCODERS)
        {
            return Err(self
                .wrong(raw.referenced, name, "unknown encoder")
                .with_hint(format!("did you mean `{near}`?")));
        }
        let family = Family::of(name.as_ref());
        let place = raw.referenced;
        let mut settings = EncoderSettings::default();
        for (key, value) in raw.value.options {
            self.option(family, &key, &value)?;
            settings.options.insert(key, value.value);
        }
        for (key, value) in raw.value.params {
            if family.params_options().is_empty() {
                return Err(self
                    .wrong(
                        place,
                        "params",
                        format!("{name} has no parameters that ffwarden knows to merge"),
                    )
                    .with_hint("params are for libx264 and libx265; use options"));
            }
            self.param(family, &key, &value)?;
            settings.params.insert(family.param_name(&key), value.value);
        }
        Ok(settings)
    }

    fn option(
        &self,
        family: Family,
        key: &str,
        value: &Spanned<String>,
    ) -> Result<(), ContentError> {
        if key.is_empty()
            || key.starts_with('-')
            || key.contains(|c: char| c == ':' || c.is_whitespace())
        {
            return Err(self
                .wrong(value.referenced, key, "not the name of an option")
                .with_hint("write it without its dash and without a stream specifier: `preset`, not `-preset:v`"));
        }
        if matches!(
            key,
            "threads" | "c" | "codec" | "vcodec" | "map" | "filter" | "vf" | "f"
        ) {
            return Err(self
                .wrong(value.referenced, key, "a profile does not set this per encoder")
                .with_hint("threads have a section of their own; codecs, maps, filters and formats stay the user's"));
        }
        let known = family.encoder().is_none()
            || key != "preset"
            || encoder::preset_rank(&value.value).is_some();
        if !known {
            let hint = match nearest(&value.value, &encoder::PRESETS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", encoder::PRESETS.join(", ")),
            };
            return Err(self
                .wrong(
                    value.referenced,
                    key,
                    format!("unknown preset `{}`", value.value),
                )
                .with_hint(hint));
        }
        Ok(())
    }

    fn param(
        &self,
        family: Family,
        key: &str,
        value: &Spanned<String>,
    ) -> Result<(), ContentError> {
        let name = family.param_name(key);
        if value.value.is_empty()
            || value.value.contains([':', '=', '\'', '\\'])
            || key.contains([':', '=', ' '])
        {
            return Err(self
                .wrong(
                    value.referenced,
                    key,
                    format!("`{}` cannot stand in a parameter list", value.value),
                )
                .with_hint("a parameter is a name and a plain value, such as `rc-lookahead: 10`"));
        }
        match family.param_kind(&name) {
            Some(encoder::ParamKind::Threads) => Err(self
                .wrong(
                    value.referenced,
                    key,
                    "threads are set in their own section",
                )
                .with_hint("write `threads: {encoder: 2}`")),
            Some(encoder::ParamKind::Pictures) if family.weight(&name, &value.value).is_none() => {
                Err(self
                    .wrong(
                        value.referenced,
                        key,
                        format!("`{}` is no number", value.value),
                    )
                    .with_hint("write a whole number such as 10"))
            }
            None if RATE_OPTIONS.contains(&name.as_str())
                || matches!(&*name, "bitrate" | "vbv-maxrate" | "vbv-bufsize") =>
            {
                Err(self
                    .wrong(
                        value.referenced,
                        key,
                        "rate control does not belong into params",
                    )
                    .with_hint(
                        "put it into options (`crf: 28`), where FFmpeg's own options are compared",
                    ))
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, location: Location, key: &str, problem: impl Into<String>) -> ContentError {
        ContentError::at(self.file, location, key, problem)
    }
}

impl From<ContentError> for ConfigError {
    fn from(error: ContentError) -> Self {
        Self::Content(Box::new(error))
    }
}

/// The path of a file that a profile argument names, if it names a file and not a profile.
pub fn as_path(argument: &str) -> Option<&Path> {
    let path = Path::new(argument);
    let yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    (yaml || argument.contains('/')).then_some(path)
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
