//! The YAML of a profile, as it is written, and the checks that make a [`Profile`] of it. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_yaml::{Location, Spanned};

use super::error::{ContentError, nearest};
use super::files::Kind;
use super::profile::{
    DEFAULT_PIDS_MAX, EncoderSettings, May, Origin, Profile, RATE_OPTIONS, ThreadCounts, Threads,
};
use super::size::Size;
use crate::ffmpeg::encoder::{self, Family};

/// More is a typing error: no encoder of FFmpeg uses more.
const MAX_THREADS: u32 = 1024;

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

/// A profile as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfile {
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

/// Turns what is written into a profile, or says where it is wrong.
pub(super) struct Checker<'a> {
    file: &'a str,
}

impl<'a> Checker<'a> {
    /// For a file that messages call by this name.
    pub(super) fn new(file: &'a str) -> Self {
        Self { file }
    }

    /// The checked profile; `text` is what it was read from.
    pub(super) fn profile(
        &self,
        raw: RawProfile,
        text: &str,
        origin: Origin,
    ) -> Result<Profile, ContentError> {
        Kind::Profile.check_name(self.file, &raw.name)?;
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
            source: text.to_owned(),
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
