//! A command line under a profile. Pure: the same command, profile and CPUs give the same result.
//!
//! What the user wrote wins: a profile fills in what was left open and lowers what its `may` list allows. Nothing
//! is removed: no codec, filter, map or stream. Options go where FFmpeg reads them; nothing is ever put behind
//! the last output, where FFmpeg ignores it.

use std::cmp::Ordering;
use std::ffi::OsStr;

use serde::Serialize;

use super::command::{Command, FileKind, Group, Opt};
use super::options::{Specifier, StreamKind};
use super::preset;
use super::video::{VideoEncoder, video_encoders};
use crate::config::profile::{Encoder, May, Profile};

/// One thing that a profile changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The option, with its dash: `-threads`.
    pub option: String,
    /// What the user wrote; none when it was left open.
    pub from: Option<String>,
    /// What it is now.
    pub to: String,
    /// Why, and for which file.
    pub why: String,
}

/// A command with what was changed in it.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// The command to run.
    pub command: Command,
    /// Every change, in the order of the command line.
    pub changes: Vec<Change>,
}

/// Applies a profile on a machine with so many CPUs.
pub fn rewrite(command: &Command, profile: &Profile, cpus: u32) -> Rewritten {
    let mut pass = Pass {
        profile,
        cpus,
        changes: Vec::new(),
    };
    let mut command = command.clone();
    if !command.is_informational() {
        pass.filters(&mut command);
        for group in &mut command.groups {
            match group.kind {
                FileKind::Input => pass.input(group),
                FileKind::Output => pass.output(group),
                FileKind::Decoder => {}
            }
        }
    }
    Rewritten {
        command,
        changes: pass.changes,
    }
}

struct Pass<'a> {
    profile: &'a Profile,
    cpus: u32,
    changes: Vec<Change>,
}

/// One encoder's or decoder's place in the command line.
struct Site<'a> {
    group: &'a mut Group,
    /// The video stream that options are aimed at, when several encoders are at work in the output.
    stream: Option<u32>,
    /// For people: `libx264 for out.mp4`.
    what: String,
}

impl Site<'_> {
    /// An option's name, aimed at the stream.
    fn aim(&self, name: &str) -> String {
        self.stream
            .map_or_else(|| name.to_owned(), |index| format!("{name}:v:{index}"))
    }

    /// The option that counts: the last one that reaches the stream.
    fn find(&self, name: &str) -> Option<usize> {
        self.group.options.iter().rposition(|opt| {
            let (canonical, specifier) = opt.canonical();
            let reaches = match self.stream {
                Some(index) => {
                    specifier.matches(StreamKind::Video, index)
                        || matches!(specifier, Specifier::Other(_))
                }
                None => specifier.may_match(StreamKind::Video),
            };
            canonical == name.as_bytes() && reaches
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        let value = self.group.options[self.find(name)?].value.as_deref();
        value.map(shown)
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Opt> {
        let index = self.find(name)?;
        self.group.options.get_mut(index)
    }

    /// Adds `key=value` to an option that holds such pairs.
    fn add_pair(&mut self, name: &str, pair: &str) {
        let aimed = self.aim(name);
        match self.get_mut(name).and_then(|opt| opt.value.as_mut()) {
            Some(value) if !value.is_empty() => {
                value.push(":");
                value.push(pair);
            }
            Some(value) => *value = pair.into(),
            None => self.group.options.push(Opt::new(aimed, pair)),
        }
    }
}

impl Pass<'_> {
    /// Filter threads are a global option, worth writing only where there are filters.
    fn filters(&mut self, command: &mut Command) {
        let Some(count) = self.profile.threads.filter else {
            return;
        };
        let wanted = count.on(self.cpus);
        let has_complex = ["filter_complex", "lavfi", "filter_complex_script"]
            .iter()
            .any(|name| command.has_global(name));
        let kinds = [StreamKind::Video, StreamKind::Audio];
        let has_simple = command.outputs().any(|output| {
            kinds
                .iter()
                .any(|kind| output.option_for("filter", *kind).is_some())
        });
        for (name, present) in [
            ("filter_threads", has_simple),
            ("filter_complex_threads", has_complex),
        ] {
            if !present {
                continue;
            }
            let written = command.has_global(name);
            let groups = command
                .groups
                .iter_mut()
                .flat_map(|group| &mut group.options);
            for opt in groups.chain(&mut command.trailing) {
                if opt.name == name {
                    self.lower(opt, wanted, May::Threads, "filters");
                }
            }
            if let (false, Some(first)) = (written, command.groups.first_mut()) {
                first.options.insert(0, Opt::new(name, wanted.to_string()));
                let why = "left open; each filter thread holds frames of its own";
                self.note(name, None, wanted, why);
            }
        }
    }

    fn input(&mut self, group: &mut Group) {
        // A generated source has no decoder to speak of.
        let generated = group.value("f").is_some_and(|format| format == "lavfi");
        if let (Some(count), false) = (self.profile.threads.decoder, generated) {
            let what = format!("decoder of {}", shown(&group.url));
            self.threads(
                &mut Site {
                    group,
                    stream: None,
                    what,
                },
                count.on(self.cpus),
            );
        }
    }

    fn output(&mut self, group: &mut Group) {
        let encoders = video_encoders(group);
        let several = encoders.len() > 1;
        for encoder in encoders {
            let what = format!("{} for {}", encoder.name, shown(&group.url));
            let stream = encoder.stream.filter(|_| several);
            self.encoder(
                &mut Site {
                    group,
                    stream,
                    what,
                },
                &encoder,
            );
        }
    }

    fn encoder(&mut self, site: &mut Site<'_>, encoder: &VideoEncoder) {
        let known = preset::Encoder::by_name(&encoder.name);
        if let Some(count) = self.profile.threads.encoder
            && encoder.takes_threads()
        {
            self.threads(site, count.on(self.cpus));
        }
        // x264 and x265 refuse a second pass whose settings differ from the first's.
        if site.find("pass").is_some() {
            return;
        }
        let recipe = self
            .profile
            .encoders
            .get(&encoder.name)
            .cloned()
            .unwrap_or_default();
        let users_preset = site.text("preset");
        for (name, value) in &recipe.options {
            self.option(site, known, name, value);
        }
        if let Some(known) = known {
            let kept = users_preset.is_some() && users_preset == site.text("preset");
            self.params(site, known, recipe, kept);
        }
    }

    /// An option of the encoder: filled in, or lowered where that may be.
    fn option(
        &mut self,
        site: &mut Site<'_>,
        known: Option<preset::Encoder>,
        name: &str,
        value: &str,
    ) {
        let why = |how: &str| format!("{how}; profile {} ({})", self.profile.name, site.what);
        let (filled, lowered) = (why("left open"), why("lowered"));
        let Some(written) = site.text(name) else {
            let aimed = site.aim(name);
            site.group.options.push(Opt::new(&aimed, value));
            self.note(&aimed, None, value, filled);
            return;
        };
        let lower = if name == "preset" {
            let order = known.and_then(|known| known.compare(&written, value));
            self.profile.may(May::Preset) && order == Some(Ordering::Greater)
        } else {
            self.profile.may(May::Options) && written != value
        };
        if let (true, Some(opt)) = (lower, site.get_mut(name)) {
            opt.value = Some(value.into());
            let option = shown(&opt.name);
            self.note(&option, Some(written), value, lowered);
        }
    }

    /// Ceilings on the encoder's numbers. `kept`: the user chose the preset and it stayed.
    fn params(&mut self, site: &mut Site<'_>, known: preset::Encoder, recipe: Encoder, kept: bool) {
        let mut ceilings = recipe.params;
        if let (preset::Encoder::X265, Some(count)) = (known, self.profile.threads.encoder) {
            ceilings
                .entry("pools".to_owned())
                .or_insert(count.on(self.cpus));
        }
        // zerolatency turns off what the other numbers are about; a ceiling would turn it on again.
        if site
            .text("tune")
            .is_some_and(|tune| tune.contains("zerolatency"))
        {
            ceilings.retain(|key, _| of_threads(key) == May::Threads);
        }
        let preset = site.text("preset");
        let implied = known.preset(preset.as_deref().unwrap_or(preset::DEFAULT));
        for (key, ceiling) in ceilings {
            let may = of_threads(&key);
            if self.lower_written(site, known, &key, ceiling) {
                continue;
            }
            // Not written: the preset implies it, or the number of CPUs does.
            let implied = implied.and_then(|preset| preset.implies(&key));
            let over = implied.is_none_or(|number| number > ceiling);
            if over && (!kept || may == May::Threads || self.profile.may(may)) {
                let name = known.params_option();
                let pair = format!("{key}={ceiling}");
                site.add_pair(name, &pair);
                let from = implied.map_or_else(
                    || "left open".to_owned(),
                    |number| format!("the preset implies {number}"),
                );
                let why = format!("{from}; profile {} ({})", self.profile.name, site.what);
                self.note(&site.aim(name), None, &pair, why);
            }
        }
    }

    /// Lowers a number wherever the user wrote it, in the parameters or as an option of its own; true when it
    /// was written.
    fn lower_written(
        &mut self,
        site: &mut Site<'_>,
        known: preset::Encoder,
        key: &str,
        ceiling: u32,
    ) -> bool {
        let may = of_threads(key);
        let mut written = false;
        for name in [known.params_option(), "x264opts"] {
            let Some(text) = site.text(name) else {
                continue;
            };
            let Some(number) = param(&text, key) else {
                continue;
            };
            written = true;
            let heavier = number.parse::<u32>().is_ok_and(|number| number > ceiling);
            if heavier && self.profile.may(may) {
                let (from, to) = (format!("{key}={number}"), format!("{key}={ceiling}"));
                let why = format!("lowered; profile {} ({})", self.profile.name, site.what);
                if let Some(opt) = site.get_mut(name) {
                    opt.value = Some(replace_param(&text, key, ceiling).into());
                }
                self.note(&site.aim(name), Some(from), to, why);
            }
        }
        let option = match key {
            "ref" => "refs",
            "bframes" => "bf",
            other => other,
        };
        let what = site.what.clone();
        if let Some(opt) = site.get_mut(option) {
            written = true;
            self.lower(opt, ceiling, may, &what);
        }
        written
    }

    fn threads(&mut self, site: &mut Site<'_>, wanted: u32) {
        let what = site.what.clone();
        if let Some(opt) = site.get_mut("threads") {
            self.lower(opt, wanted, May::Threads, &what);
        } else {
            let name = site.aim("threads");
            site.group.options.push(Opt::new(&name, wanted.to_string()));
            let why = format!("left open, which means one per CPU and more ({what})");
            self.note(&name, None, wanted, why);
        }
    }

    /// Lowers a number that the user wrote; 0 and `auto` threads are as many as there are CPUs.
    fn lower(&mut self, opt: &mut Opt, wanted: u32, may: May, what: &str) {
        let written = opt.value.as_deref().map(shown).unwrap_or_default();
        let number = match (written.as_str(), may) {
            ("auto" | "0", May::Threads) => u32::MAX,
            (text, _) => text.parse().unwrap_or(0),
        };
        if number > wanted && self.profile.may(may) {
            opt.value = Some(wanted.to_string().into());
            let option = shown(&opt.name);
            let why = format!("lowered; profile {} ({what})", self.profile.name);
            self.note(&option, Some(written), wanted, why);
        }
    }

    fn note(
        &mut self,
        option: &str,
        from: Option<String>,
        to: impl ToString,
        why: impl Into<String>,
    ) {
        self.changes.push(Change {
            option: format!("-{option}"),
            from,
            to: to.to_string(),
            why: why.into(),
        });
    }
}

/// What it takes to lower a parameter that the user wrote.
fn of_threads(key: &str) -> May {
    match key {
        "pools" | "frame-threads" | "threads" => May::Threads,
        _ => May::Params,
    }
}

/// The value of a key in `key=value:key=value`; keys are the encoder's own, with `_` for `-` allowed.
fn param<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split(':').rev().find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.replace('_', "-") == key).then_some(value)
    })
}

fn replace_param(text: &str, key: &str, number: u32) -> String {
    let pairs = text.split(':').map(|pair| match pair.split_once('=') {
        Some((name, _)) if name.replace('_', "-") == key => format!("{name}={number}"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join(":")
}

fn shown(text: impl AsRef<OsStr>) -> String {
    text.as_ref().to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
