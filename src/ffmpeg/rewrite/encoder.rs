//! The options of one encoder: threads, preset and the like, and its own parameters.

use std::ffi::OsStr;

use super::params::Params;
use super::streams::Encoded;
use super::{Rewriter, dashed, shown};
use crate::config::profile::{EncoderSettings, May, RATE_OPTIONS, Threads};
use crate::ffmpeg::command::{Group, Opt};
use crate::ffmpeg::encoder::{DEFAULT_PRESET, Family, ParamKind, preset_rank, x265_frame_threads};
use crate::ffmpeg::options;

/// Rate options of which an encoder obeys one: where one is written, none of them is open.
const RATE_MODES: [&str; 6] = ["b", "crf", "cq", "global_quality", "q", "qp"];

/// The same as parameters of x264 and x265.
const RATE_MODE_PARAMS: [&str; 3] = ["bitrate", "crf", "qp"];

/// Parameters that make an encoder work in passes, and which must agree between them.
const PASS_PARAMS: [&str; 2] = ["pass", "stats"];

impl Rewriter<'_> {
    /// Fills in and lowers the options of streams that share an encoder.
    pub(super) fn encoder(&mut self, group: &mut Group, stream: &Encoded) {
        // How many options were put in front so far, so that they stand in the order they were added.
        let mut at = 0;
        self.encoder_threads(group, stream, &mut at);
        // The passes of one encode are separate commands, perhaps under different profiles: x264 and x265 refuse a
        // second pass with other settings than the first had.
        let two_pass = written(group, stream, "pass").next().is_some()
            || user_params(group, stream)
                .is_some_and(|pairs| pairs.iter().any(|(key, _)| PASS_PARAMS.contains(&&**key)));
        let Some(settings) = self.profile.encoder(&stream.encoder).filter(|_| !two_pass) else {
            return;
        };
        let settings = settings.clone();
        // Who chose a preset chose what it implies.
        let chosen = written(group, stream, "preset").next().is_some() && !self.may(May::Params);
        self.encoder_options(group, stream, &settings, &mut at);
        self.encoder_params(group, stream, &settings, chosen, &mut at);
    }

    fn encoder_threads(&mut self, group: &mut Group, stream: &Encoded, at: &mut usize) {
        let Some(wanted) = self.profile.threads.encoder else {
            return;
        };
        let threads = match stream.family {
            Family::Unthreaded => return,
            Family::Other => self.native_threads(wanted),
            Family::X264 | Family::X265 => wanted.resolve(self.cpus),
        };
        let why = format!(
            "{threads} {} thread(s) for {}",
            stream.encoder,
            shown(&group.url)
        );
        // x265 reads `-threads` as frame threads, each of which holds pictures of its own.
        let option_threads = if stream.family == Family::X265 {
            x265_frame_threads(threads)
        } else {
            threads
        };
        let mut open = true;
        for opt in &mut group.options {
            let (base, specifier) = opt.canonical();
            if base == b"threads" && stream.owns(opt) {
                open &= !stream.is_covered_by(specifier);
                self.lower_threads(opt, option_threads, &why);
            }
        }
        let count = threads.to_string();
        match stream.family {
            Family::X264 => {
                let params =
                    self.lower_params(group, stream, "threads", &count, May::Threads, &why);
                self.lower_params(
                    group,
                    stream,
                    "lookahead-threads",
                    &count,
                    May::Threads,
                    &why,
                );
                if open && params == Written::No {
                    self.insert(
                        group,
                        at,
                        &format!("threads:{}", stream.suffix),
                        &count,
                        &why,
                    );
                }
            }
            Family::X265 => {
                let frames = option_threads.to_string();
                let pools = self.lower_params(group, stream, "pools", &count, May::Threads, &why);
                let frame_threads =
                    self.lower_params(group, stream, "frame-threads", &frames, May::Threads, &why);
                // All processors is what x265 takes by itself, on every NUMA node; a number would fill one node only.
                if wanted == Threads::Cpus {
                    return;
                }
                if pools == Written::No {
                    self.add_param(group, stream, at, "pools", &count, &why);
                }
                if frame_threads == Written::No {
                    self.add_param(group, stream, at, "frame-threads", &frames, &why);
                }
            }
            Family::Other if open => {
                self.insert(
                    group,
                    at,
                    &format!("threads:{}", stream.suffix),
                    &count,
                    &why,
                );
            }
            Family::Other | Family::Unthreaded => {}
        }
    }

    fn encoder_options(
        &mut self,
        group: &mut Group,
        stream: &Encoded,
        settings: &EncoderSettings,
        at: &mut usize,
    ) {
        for (key, value) in &settings.options {
            let why = format!(
                "{key} {value} for {} in {}",
                stream.encoder,
                shown(&group.url)
            );
            let known = stream.family.encoder().is_some();
            let is_rate = RATE_OPTIONS.contains(&key.as_str());
            let mut open = true;
            for index in 0..group.options.len() {
                let opt = &mut group.options[index];
                if !is_named(opt, key) || !stream.owns(opt) {
                    continue;
                }
                open &= !stream.is_covered_by(opt.canonical().1);
                let from = opt
                    .value
                    .as_deref()
                    .and_then(OsStr::to_str)
                    .unwrap_or_default();
                let heavier = key == "preset" && known && preset_rank(from) > preset_rank(value);
                if heavier && self.may(May::Preset)
                    || is_rate && from != value && self.may(May::Rate)
                {
                    self.replace(opt, value, &why);
                }
            }
            let elsewhere = match key.as_str() {
                // A preset file sets what a preset sets.
                "preset" => has_preset_file(group, stream),
                mode if RATE_MODES.contains(&mode) => {
                    RATE_MODES
                        .iter()
                        .any(|mode| written(group, stream, mode).next().is_some())
                        || user_params(group, stream).is_none_or(|pairs| {
                            pairs
                                .iter()
                                .any(|(key, _)| RATE_MODE_PARAMS.contains(&&**key))
                        })
                }
                _ => false,
            };
            if open && !elsewhere {
                self.insert(group, at, &format!("{key}:{}", stream.suffix), value, &why);
            }
        }
    }

    fn encoder_params(
        &mut self,
        group: &mut Group,
        stream: &Encoded,
        settings: &EncoderSettings,
        preset_chosen: bool,
        at: &mut usize,
    ) {
        let family = stream.family;
        let value_of = |group: &Group, name| {
            let value = written(group, stream, name)
                .last()
                .and_then(|opt| opt.value.clone());
            value.map(|value| shown(&value))
        };
        let preset = value_of(group, "preset").unwrap_or_else(|| DEFAULT_PRESET.to_owned());
        let tune = value_of(group, "tune").unwrap_or_default();
        let unknown_preset = preset_rank(&preset).is_none() || has_preset_file(group, stream);
        // What a parameter is, once the user's and the profile's words are heard.
        let effective = |group: &Group, key: &str| {
            let own = user_value(group, stream, key).and_then(|value| family.weight(key, &value));
            own.or_else(|| family.default_param(key, &preset, &tune))
        };
        // B-frames first: x265 refuses a lookahead that is not longer than its B-frames.
        let order = |key: &String| key != "bframes";
        let mut keys: Vec<_> = settings.params.iter().collect();
        keys.sort_by_key(|(key, _)| order(key));
        for (key, value) in keys {
            let mut value = value.clone();
            if family == Family::X265 && key == "rc-lookahead" {
                let bframes = effective(group, "bframes").unwrap_or(0);
                if bframes > 0
                    && family
                        .weight(key, &value)
                        .is_some_and(|lookahead| lookahead <= bframes)
                {
                    value = (bframes + 1).to_string();
                }
            }
            let why = format!(
                "{key} {value} for {} in {}",
                stream.encoder,
                shown(&group.url)
            );
            if self.lower_params(group, stream, key, &value, May::Params, &why) != Written::No {
                continue;
            }
            // Filled in only where it takes memory away from what the preset does; what the preset does with other
            // parameters is not known here, and a user's profile that names one means it.
            let lighter = match family.param_kind(key) {
                None => true,
                Some(_) if unknown_preset || preset_chosen => false,
                Some(_) => family.default_param(key, &preset, &tune) > family.weight(key, &value),
            };
            if lighter {
                self.add_param(group, stream, at, key, &value, &why);
            }
        }
    }

    /// Lowers every mention of a parameter that is heavier than `value`, if the profile may.
    fn lower_params(
        &mut self,
        group: &mut Group,
        stream: &Encoded,
        key: &str,
        value: &str,
        may: May,
        why: &str,
    ) -> Written {
        let family = stream.family;
        let heavier = |from: &str| family.weight(key, from) > family.weight(key, value);
        let mut found = Written::No;
        for opt in &mut group.options {
            if !stream.owns(opt) {
                continue;
            }
            if family
                .equivalent_option(key)
                .is_some_and(|name| is_named(opt, name))
            {
                let from = opt
                    .value
                    .as_deref()
                    .and_then(OsStr::to_str)
                    .unwrap_or_default();
                match family.param_kind(key) {
                    // Lowered before, with FFmpeg's reading of its values.
                    Some(ParamKind::Threads) if !stream.is_covered_by(opt.canonical().1) => {}
                    Some(ParamKind::Threads) => found = Written::Yes,
                    _ => {
                        found = Written::Yes;
                        if heavier(from) && self.may(may) {
                            self.replace(opt, value, why);
                        }
                    }
                }
                continue;
            }
            if !family
                .params_options()
                .iter()
                .any(|name| is_named(opt, name))
            {
                continue;
            }
            let Some(text) = inline_text(opt) else {
                found = Written::Unknown;
                continue;
            };
            let mut params = Params::parse(text);
            let pairs: Vec<_> = params
                .pairs()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            for (index, (written, from)) in pairs.iter().enumerate() {
                if family.param_name(written) != key {
                    continue;
                }
                if found == Written::No {
                    found = Written::Yes;
                }
                if heavier(from) && self.may(may) {
                    params.set(index, written, value);
                    self.note(
                        dashed(&opt.name),
                        Some(format!("{written}={from}")),
                        &format!("{written}={value}"),
                        why,
                    );
                }
            }
            opt.value = Some(params.text().into());
        }
        found
    }

    /// Adds a parameter to the user's list, or in a list of its own.
    fn add_param(
        &mut self,
        group: &mut Group,
        stream: &Encoded,
        at: &mut usize,
        key: &str,
        value: &str,
        why: &str,
    ) {
        let Some(name) = stream.family.params_options().first() else {
            return;
        };
        let pair = format!("{key}={value}");
        let list = group
            .options
            .iter_mut()
            .rfind(|opt| is_named(opt, name) && stream.owns(opt));
        match list {
            Some(opt) => {
                let Some(text) = inline_text(opt) else { return };
                let mut params = Params::parse(text);
                params.push(key, value);
                opt.value = Some(params.text().into());
                self.note(dashed(&opt.name), None, &pair, why);
            }
            None => self.insert(group, at, &format!("{name}:{}", stream.suffix), &pair, why),
        }
    }
}

/// Whether the user wrote a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    No,
    Yes,
    /// There is a list that cannot be read: in a file, or not in UTF-8.
    Unknown,
}

fn is_named(opt: &Opt, name: &str) -> bool {
    opt.canonical().0 == options::canonical(OsStr::new(name)).0
}

fn written<'a>(
    group: &'a Group,
    stream: &'a Encoded,
    name: &'a str,
) -> impl Iterator<Item = &'a Opt> {
    group
        .options
        .iter()
        .filter(move |opt| is_named(opt, name) && stream.owns(opt))
}

fn has_preset_file(group: &Group, stream: &Encoded) -> bool {
    ["pre", "fpre"]
        .iter()
        .any(|name| written(group, stream, name).next().is_some())
}

/// The list an option carries, unless it names a file to read it from (`-/x264-params`) or is not UTF-8.
fn inline_text(opt: &Opt) -> Option<&str> {
    let from_file = opt.name.as_encoded_bytes().starts_with(b"/");
    opt.value
        .as_deref()
        .and_then(OsStr::to_str)
        .filter(|_| !from_file)
}

/// All parameters the user wrote for these streams, by their usual names; `None` if a list cannot be read.
fn user_params(group: &Group, stream: &Encoded) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    // The preferred option comes last here, as the encoder hears it last.
    for name in stream.family.params_options().iter().rev() {
        for opt in written(group, stream, name) {
            let params = Params::parse(inline_text(opt)?);
            pairs.extend(
                params
                    .pairs()
                    .map(|(key, value)| (stream.family.param_name(key), value.to_owned())),
            );
        }
    }
    Some(pairs)
}

/// What the user's parameters or options say about one parameter.
fn user_value(group: &Group, stream: &Encoded, key: &str) -> Option<String> {
    let pairs = user_params(group, stream).unwrap_or_default();
    pairs
        .into_iter()
        .rfind(|(written, _)| written == key)
        .map(|(_, value)| value)
        .or_else(|| {
            let name = stream.family.equivalent_option(key)?;
            written(group, stream, name)
                .last()?
                .value
                .as_deref()?
                .to_str()
                .map(str::to_owned)
        })
}
