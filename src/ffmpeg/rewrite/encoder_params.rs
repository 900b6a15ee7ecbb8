//! The parameters that an encoder takes in one option (`-x264-params`): lowered where they stand, added where they
//! are open.

use std::ffi::OsStr;

use super::encoder::{has_preset_file, is_named, written};
use super::params::Params;
use super::streams::Encoded;
use super::{Rewriter, dashed, shown};
use crate::config::profile::{EncoderSettings, May};
use crate::ffmpeg::command::{Group, Opt};
use crate::ffmpeg::encoder::{DEFAULT_PRESET, Family, ParamKind, preset_rank};

impl Rewriter<'_> {
    /// Lowers and fills in the parameters that the profile names.
    pub(super) fn encoder_params(
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
    pub(super) fn lower_params(
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
    pub(super) fn add_param(
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
pub(super) enum Written {
    No,
    Yes,
    /// There is a list that cannot be read: in a file, or not in UTF-8.
    Unknown,
}

/// The list an option carries, unless it names a file to read it from (`-/x264-params`) or is not UTF-8.
pub(super) fn inline_text(opt: &Opt) -> Option<&str> {
    let from_file = opt.name.as_encoded_bytes().starts_with(b"/");
    opt.value
        .as_deref()
        .and_then(OsStr::to_str)
        .filter(|_| !from_file)
}

/// All parameters the user wrote for these streams, by their usual names; `None` if a list cannot be read.
pub(super) fn user_params(group: &Group, stream: &Encoded) -> Option<Vec<(String, String)>> {
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
pub(super) fn user_value(group: &Group, stream: &Encoded, key: &str) -> Option<String> {
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
