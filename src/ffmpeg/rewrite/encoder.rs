//! The options of one encoder: threads, preset and the like; its own parameters are in `encoder_params`.

use std::ffi::OsStr;

use super::encoder_params::{Written, user_params};
use super::streams::Encoded;
use super::{Rewriter, shown};
use crate::config::profile::{EncoderSettings, May, RATE_OPTIONS, Threads};
use crate::ffmpeg::command::{Group, Opt};
use crate::ffmpeg::encoder::{Family, preset_rank, x265_frame_threads};
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
}

pub(super) fn is_named(opt: &Opt, name: &str) -> bool {
    opt.canonical().0 == options::canonical(OsStr::new(name)).0
}

pub(super) fn written<'a>(
    group: &'a Group,
    stream: &'a Encoded,
    name: &'a str,
) -> impl Iterator<Item = &'a Opt> {
    group
        .options
        .iter()
        .filter(move |opt| is_named(opt, name) && stream.owns(opt))
}

pub(super) fn has_preset_file(group: &Group, stream: &Encoded) -> bool {
    ["pre", "fpre"]
        .iter()
        .any(|name| written(group, stream, name).next().is_some())
}
