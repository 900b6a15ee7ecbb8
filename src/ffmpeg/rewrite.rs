//! A command line made lighter by a profile. Pure.
//!
//! What the user wrote wins: a profile fills in what was left open and lowers only what its `may` list names. No codec,
//! filter, map or stream is removed. New options go where FFmpeg reads them, in front of the user's own: the last one
//! written wins, so an option of the user that matches one stream only (`-threads:v:1`) stays in force.

mod encoder;
mod encoder_params;
mod params;
mod streams;

use std::ffi::{OsStr, OsString};

use serde::Serialize;

pub(crate) use self::streams::{encoded_streams, needs_decoder};

use super::command::{Command, FileKind, Group, Opt};
use super::options;
use crate::config::profile::{May, Profile, Threads};

/// The most threads FFmpeg's own codecs and filters take when left alone (`MAX_AUTO_THREADS`, libavutil).
/// `cpus` means no more than this there, or a profile would raise what it should limit.
const MAX_AUTO_THREADS: u32 = 16;

/// One option that a profile changed or added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The option with its dash: `-threads:v`.
    pub option: String,
    /// What the user wrote; `None` if it was left open.
    pub from: Option<String>,
    /// What stands there now.
    pub to: String,
    /// Why, for people.
    pub why: String,
}

/// A rewritten command and what was changed in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The command to run.
    pub command: Command,
    /// The changes, in the order of the command line.
    pub changes: Vec<Change>,
}

/// Applies a profile to a command, for a machine (or container) with `cpus` processors.
pub fn rewrite(command: &Command, profile: &Profile, cpus: u32) -> Rewritten {
    let mut rewriter = Rewriter {
        profile,
        cpus,
        changes: Vec::new(),
    };
    let mut command = command.clone();
    if !command.is_informational() {
        rewriter.filters(&mut command);
        let decodes = command.outputs().any(needs_decoder);
        for group in &mut command.groups {
            match group.kind {
                FileKind::Output => {
                    for stream in encoded_streams(group) {
                        rewriter.encoder(group, &stream);
                    }
                }
                FileKind::Input | FileKind::Decoder if decodes => rewriter.decoder(group),
                FileKind::Input | FileKind::Decoder => {}
            }
        }
    }
    Rewritten {
        command,
        changes: rewriter.changes,
    }
}

struct Rewriter<'a> {
    profile: &'a Profile,
    cpus: u32,
    changes: Vec<Change>,
}

impl Rewriter<'_> {
    fn may(&self, may: May) -> bool {
        self.profile.may.contains(&may)
    }

    /// Threads for FFmpeg's own codecs and filters.
    fn native_threads(&self, threads: Threads) -> u32 {
        let count = threads.resolve(self.cpus);
        if threads == Threads::Cpus {
            count.min(MAX_AUTO_THREADS)
        } else {
            count
        }
    }

    fn decoder(&mut self, group: &mut Group) {
        let Some(threads) = self
            .profile
            .threads
            .decoder
            .map(|threads| self.native_threads(threads))
        else {
            return;
        };
        // A generated picture has nothing to decode.
        if group.kind == FileKind::Input && group.value("f") == Some(OsStr::new("lavfi")) {
            return;
        }
        let what = match group.kind {
            FileKind::Decoder => "loopback decoder",
            _ => "decoder",
        };
        let why = format!("{threads} {what} thread(s) for {}", shown(&group.url));
        let mut open = true;
        for opt in &mut group.options {
            let (base, specifier) = opt.canonical();
            if base == b"threads" {
                open &= !matches!(
                    specifier,
                    options::Specifier::All | options::Specifier::Kind(options::StreamKind::Video)
                );
                self.lower_threads(opt, threads, &why);
            }
        }
        if open {
            self.insert(group, &mut 0, "threads", &threads.to_string(), &why);
        }
    }

    fn filters(&mut self, command: &mut Command) {
        let Some(threads) = self
            .profile
            .threads
            .filter
            .map(|threads| self.native_threads(threads))
        else {
            return;
        };
        let simple = command.outputs().any(|group| {
            let filters =
                |opt: &Opt| matches!(opt.canonical().0, b"filter" | b"filter_script" | b"s");
            needs_decoder(group) && group.options.iter().any(filters)
        });
        let complex = command.options().any(|opt| {
            matches!(
                options::base(&opt.name),
                b"filter_complex" | b"lavfi" | b"filter_complex_script"
            )
        });
        for (name, used) in [
            ("filter_threads", simple),
            ("filter_complex_threads", complex),
        ] {
            if !used {
                continue;
            }
            let why = format!("{threads} thread(s) for each filter graph");
            let mut open = true;
            let groups = command
                .groups
                .iter_mut()
                .flat_map(|group| &mut group.options);
            for opt in groups
                .chain(&mut command.trailing)
                .filter(|opt| opt.name == name)
            {
                open = false;
                self.lower_threads(opt, threads, &why);
            }
            if open && let Some(first) = command.groups.first_mut() {
                self.insert(first, &mut 0, name, &threads.to_string(), &why);
            }
        }
    }

    /// Lowers a thread count that the user wrote, if the profile may and it is more.
    fn lower_threads(&mut self, opt: &mut Opt, threads: u32, why: &str) {
        let written = opt
            .value
            .as_deref()
            .and_then(OsStr::to_str)
            .unwrap_or_default();
        let count = match written {
            "auto" | "0" => u32::MAX,
            number => number.parse().unwrap_or(0),
        };
        if count > threads && self.may(May::Threads) {
            self.replace(opt, &threads.to_string(), why);
        }
    }

    fn replace(&mut self, opt: &mut Opt, to: &str, why: &str) {
        let from = opt.value.replace(OsString::from(to));
        self.note(dashed(&opt.name), from.map(|from| shown(&from)), to, why);
    }

    /// Adds an option in front of the user's own, behind global ones and `*at` others added before.
    fn insert(&mut self, group: &mut Group, at: &mut usize, name: &str, value: &str, why: &str) {
        let globals = group
            .options
            .iter()
            .take_while(|opt| options::is_global(&opt.name))
            .count();
        group.options.insert(
            (globals + *at).min(group.options.len()),
            Opt::new(name, value),
        );
        *at += 1;
        self.note(format!("-{name}"), None, value, why);
    }

    fn note(&mut self, option: String, from: Option<String>, to: &str, why: &str) {
        let why = format!("profile {}: {why}", self.profile.name);
        self.changes.push(Change {
            option,
            from,
            to: to.to_owned(),
            why,
        });
    }
}

fn dashed(name: &OsStr) -> String {
    format!("-{}", shown(name))
}

fn shown(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod tests;
