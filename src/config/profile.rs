//! Profiles: named recipes for rewriting a command line and limiting its slice.
//!
//! Four are built in; a user's file of the same name takes the built-in one's place. The YAML is described in
//! `docs/profiles.md`. How a profile is applied is `ffmpeg::rewrite`'s business.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_yaml::Spanned;

use super::error::{ConfigError, suggestion};
use super::size::Size;
use crate::ffmpeg::preset;

/// The shipped profiles, embedded.
const BUILT_IN: [(&str, &str); 4] = [
    ("minimal", include_str!("../../profiles/minimal.yaml")),
    ("low", include_str!("../../profiles/low.yaml")),
    ("balanced", include_str!("../../profiles/balanced.yaml")),
    ("high", include_str!("../../profiles/high.yaml")),
];

/// Processes and threads of a slice when the profile names no number. FFmpeg with every default on 64 CPUs has
/// some 300.
pub const PIDS_MAX: u64 = 4096;
/// A profile file larger than this is not read, bytes.
const FILE_BOUND: u64 = 1 << 20;

/// A recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// `minimal`, `low`, `balanced`, `high`, or a user's own.
    pub name: String,
    /// Place on the ladder, 1 (lightest) upwards; the shipped ones have 10, 20, 30 and 40.
    pub rank: u32,
    /// One line for people.
    pub summary: String,
    /// Threads passed on the command line.
    pub threads: Threads,
    /// Per encoder: what is filled in or lowered.
    pub encoders: BTreeMap<String, Encoder>,
    /// What may be lowered although the user wrote it.
    pub may: Vec<May>,
    /// A ceiling for the slice's memory limit; a share is of the machine's memory.
    pub memory_max: Option<Size>,
    /// Processes and threads the slice may hold (`pids.max`).
    pub pids_max: u64,
    /// Where it came from; none when it is built in.
    pub file: Option<PathBuf>,
    /// The YAML it was read from.
    pub source: String,
}

/// Threads per part of FFmpeg; what is absent is left open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threads {
    /// `-threads` of every input.
    pub decoder: Option<ThreadCount>,
    /// `-threads` of every output, and x265's pools.
    pub encoder: Option<ThreadCount>,
    /// `-filter_threads` and `-filter_complex_threads`.
    pub filter: Option<ThreadCount>,
}

/// A number of threads, or as many as there are CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadCount {
    /// At most this many, and no more than there are CPUs.
    AtMost(u32),
    /// As many as there are CPUs: the word `cpus`.
    Cpus,
}

impl ThreadCount {
    /// The number on a machine with so many CPUs; at least 1.
    pub fn on(self, cpus: u32) -> u32 {
        match self {
            ThreadCount::AtMost(count) => count.min(cpus.max(1)),
            ThreadCount::Cpus => cpus.max(1),
        }
    }
}

impl<'de> Deserialize<'de> for ThreadCount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse::<u32>() {
            _ if text == "cpus" => Ok(ThreadCount::Cpus),
            Ok(count) if (1..=1024).contains(&count) => Ok(ThreadCount::AtMost(count)),
            _ => Err(serde::de::Error::custom(format!(
                "`{text}` is no number of threads: write 1 to 1024, or `cpus`"
            ))),
        }
    }
}

/// What is done to one encoder's options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoder {
    /// FFmpeg options such as `preset: veryfast`: filled in where the user left them open.
    pub options: BTreeMap<String, String>,
    /// Ceilings for numeric parameters such as `rc-lookahead: 20`.
    pub params: BTreeMap<String, u32>,
}

/// Something a profile may lower although the user wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum May {
    /// `-threads`, and x265's pools and frame-threads.
    Threads,
    /// `-preset`, to a lighter one.
    Preset,
    /// Numbers in `-x264-params` and `-x265-params`, and the options that mean the same (`-refs`, `-bf`).
    Params,
    /// Any other option that the profile names, rate control included. No shipped profile may.
    Options,
}

/// A profile as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Spanned<String>,
    rank: Spanned<u32>,
    summary: String,
    #[serde(default)]
    threads: Threads,
    #[serde(default)]
    encoders: BTreeMap<String, WrittenEncoder>,
    #[serde(default)]
    may: Vec<May>,
    memory_max: Option<Spanned<String>>,
    pids_max: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEncoder {
    #[serde(default)]
    options: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    params: BTreeMap<String, Spanned<u32>>,
}

impl Profile {
    /// Reads and checks a profile's YAML. `file` names it in errors.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(yaml: &str, file: &Path) -> Result<Profile, ConfigError> {
        let options = serde_yaml::options! { strict_booleans: true };
        let written: Written = serde_yaml::from_str_with_options(yaml, options)
            .map_err(|error| ConfigError::from_yaml(file, &error))?;
        written.check(file, yaml)
    }

    /// Reads a profile file.
    ///
    /// # Errors
    /// When it cannot be read, is larger than 1 MiB, or has a mistake.
    pub fn read(file: &Path) -> Result<Profile, ConfigError> {
        let whole = |message: String| ConfigError::whole_file(file, message);
        let metadata = std::fs::metadata(file).map_err(|error| whole(error.to_string()))?;
        if metadata.is_dir() || metadata.len() > FILE_BOUND {
            return Err(whole(
                "not a profile: a directory, or larger than 1 MiB".to_owned(),
            ));
        }
        let yaml = std::fs::read_to_string(file).map_err(|error| whole(error.to_string()))?;
        let profile = Profile::parse(&yaml, file)?;
        Ok(Profile {
            file: Some(file.to_owned()),
            ..profile
        })
    }

    /// Whether it may lower this although the user wrote it.
    pub fn may(&self, what: May) -> bool {
        self.may.contains(&what)
    }
}

impl Written {
    fn check(self, file: &Path, yaml: &str) -> Result<Profile, ConfigError> {
        let name = &self.name.value;
        let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name == "auto" || !name.chars().all(word) {
            let message = format!("`{name}` cannot be a profile's name");
            return Err(ConfigError::at(file, &self.name.referenced, message)
                .hint(Some("letters, digits, - and _; not `auto`".to_owned())));
        }
        if self.rank.value == 0 {
            return Err(
                ConfigError::at(file, &self.rank.referenced, "a rank is 1 or more").hint(Some(
                    "the shipped profiles have 10, 20, 30 and 40".to_owned(),
                )),
            );
        }
        let memory_max = self.memory_max.map(|text| size(file, &text)).transpose()?;
        let pids_max = match self.pids_max {
            Some(count) if count.value < 16 => {
                return Err(
                    ConfigError::at(file, &count.referenced, "pids_max is 16 or more").hint(Some(
                        "it counts threads too, and FFmpeg has many".to_owned(),
                    )),
                );
            }
            Some(count) => count.value,
            None => PIDS_MAX,
        };
        let encoders = self.encoders.into_iter().map(|(name, encoder)| {
            let checked = encoder.check(file, &name)?;
            Ok((name, checked))
        });
        Ok(Profile {
            encoders: encoders.collect::<Result<_, ConfigError>>()?,
            name: self.name.value,
            rank: self.rank.value,
            summary: self.summary,
            threads: self.threads,
            may: self.may,
            memory_max,
            pids_max,
            file: None,
            source: yaml.to_owned(),
        })
    }
}

impl WrittenEncoder {
    fn check(self, file: &Path, encoder: &str) -> Result<Encoder, ConfigError> {
        if let (Some(known), Some(preset)) = (
            preset::Encoder::by_name(encoder),
            self.options.get("preset"),
        ) && known.preset(&preset.value).is_none()
        {
            let names = known.presets().iter().map(|preset| preset.name);
            let message = format!("{encoder} has no preset `{}`", preset.value);
            return Err(ConfigError::at(file, &preset.referenced, message)
                .hint(suggestion(&preset.value, names)));
        }
        if let Some((name, value)) = self.options.iter().find(|(name, _)| name.starts_with('-')) {
            let message = format!("write the option `{name}` without its dash");
            return Err(ConfigError::at(file, &value.referenced, message));
        }
        Ok(Encoder {
            options: self
                .options
                .into_iter()
                .map(|(name, value)| (name, value.value))
                .collect(),
            params: self
                .params
                .into_iter()
                .map(|(name, value)| (name, value.value))
                .collect(),
        })
    }
}

fn size(file: &Path, text: &Spanned<String>) -> Result<Size, ConfigError> {
    text.value
        .parse()
        .map_err(|error| ConfigError::at(file, &text.referenced, format!("{error}")))
}

/// All profiles there are, the lightest first.
#[derive(Debug, Clone)]
pub struct Profiles {
    all: Vec<Profile>,
}

impl Profiles {
    /// The built-in profiles, overridden and joined by the `*.yaml` files of the directories; the first
    /// directory that has a name wins. A directory that is not there is no error.
    ///
    /// # Errors
    /// The first mistake in any file.
    pub fn load(dirs: &[PathBuf]) -> Result<Profiles, ConfigError> {
        let mut all: Vec<Profile> = Vec::new();
        for file in dirs.iter().flat_map(|dir| yaml_files(dir)) {
            let profile = Profile::read(&file)?;
            if !all.iter().any(|known| known.name == profile.name) {
                all.push(profile);
            }
        }
        for (name, yaml) in BUILT_IN {
            if !all.iter().any(|known| known.name == name) {
                all.push(Profile::parse(
                    yaml,
                    Path::new(&format!("profiles/{name}.yaml")),
                )?);
            }
        }
        all.sort_by(|one, other| (one.rank, &one.name).cmp(&(other.rank, &other.name)));
        Ok(Profiles { all })
    }

    /// Where a user's own profiles are looked for: `$XDG_CONFIG_HOME/ffwarden/profiles`, then
    /// `/etc/ffwarden/profiles`.
    pub fn directories() -> Vec<PathBuf> {
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
        let config = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or(home);
        config
            .into_iter()
            .map(|dir| dir.join("ffwarden/profiles"))
            .chain([PathBuf::from("/etc/ffwarden/profiles")])
            .collect()
    }

    /// All, the lightest first.
    pub fn all(&self) -> &[Profile] {
        &self.all
    }

    /// One by its name.
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.all.iter().find(|profile| profile.name == name)
    }

    /// The rungs from a profile down: itself, then every profile of a lower rank, the heaviest first.
    pub fn down_from<'a>(&'a self, profile: &'a Profile) -> Vec<&'a Profile> {
        let lower = self
            .all
            .iter()
            .rev()
            .filter(|other| other.rank < profile.rank);
        std::iter::once(profile).chain(lower).collect()
    }

    /// The heaviest profile; there is always one.
    pub fn heaviest(&self) -> Option<&Profile> {
        self.all.last()
    }

    /// `did you mean ...?` for a name that is none.
    pub fn suggestion(&self, name: &str) -> Option<String> {
        suggestion(name, self.all.iter().map(|profile| profile.name.as_str()))
    }
}

fn yaml_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let is_yaml = |path: &PathBuf| {
        path.extension()
            .is_some_and(|ext| ext == "yaml" || ext == "yml")
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_yaml).collect();
    files.sort();
    files
}
