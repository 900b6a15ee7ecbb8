//! The set of policies: the built-in ones and a user's files.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::files::{Kind, as_path};
use super::policy::Policy;
use super::profile::{Origin, Profiles};

/// The policies that are part of the program, in the order in which they are listed.
const BUILT_IN: [&str; 5] = [
    include_str!("../../profiles/policies/default.yaml"),
    include_str!("../../profiles/policies/concurrent-video.yaml"),
    include_str!("../../profiles/policies/chunked-audio.yaml"),
    include_str!("../../profiles/policies/workers.yaml"),
    include_str!("../../profiles/policies/circuit-breaker.yaml"),
];

/// The policy that is used where none is asked for.
pub const DEFAULT: &str = "default";

/// All known policies: a user's own, then the built-in ones that none of them replaces.
#[derive(Debug, Clone, PartialEq)]
pub struct Policies {
    all: Vec<Policy>,
}

impl Policies {
    /// The built-in policies and those in `dirs` (`NAME.yaml` or `NAME.yml`), which may name any of `profiles`. A file
    /// replaces a built-in policy of its name; the first directory that has a name wins. A directory that does not
    /// exist, or that is somebody else's, holds none.
    ///
    /// # Errors
    /// [`ConfigError`] if a file cannot be read or holds something wrong.
    pub fn load<P: AsRef<Path>>(dirs: &[P], profiles: &Profiles) -> Result<Self, ConfigError> {
        let parse = |text: &str, origin| Policy::parse(text, origin, profiles);
        let all = Kind::Policy.load(dirs, &BUILT_IN, parse, |policy| &policy.name)?;
        Ok(Self { all })
    }

    /// Where a user's own policies are looked for: `$XDG_CONFIG_HOME/ffwarden/policies` (`~/.config` if it is not
    /// set), then `/etc/ffwarden/policies`.
    pub fn directories() -> Vec<PathBuf> {
        Kind::Policy.directories()
    }

    /// The policy of a name, or read from the file if `argument` is a path (holds a `/` or ends in `.yaml`).
    ///
    /// # Errors
    /// [`ConfigError`] if there is none or the file is wrong.
    pub fn resolve(&self, argument: &str, profiles: &Profiles) -> Result<Policy, ConfigError> {
        if let Some(path) = as_path(argument) {
            return read(path, profiles);
        }
        let names = || self.all.iter().map(|policy| policy.name.as_str());
        self.get(argument)
            .cloned()
            .ok_or_else(|| Kind::Policy.unknown(argument, names()))
    }

    /// The policy of a name.
    pub fn get(&self, name: &str) -> Option<&Policy> {
        self.all.iter().find(|policy| policy.name == name)
    }

    /// All policies, a user's own first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Policy> {
        self.all.iter()
    }
}

/// Reads and checks one file.
///
/// # Errors
/// [`ConfigError`] if it cannot be read, is longer than 64 KiB, or holds something wrong.
pub fn read(path: &Path, profiles: &Profiles) -> Result<Policy, ConfigError> {
    let text = Kind::Policy.read(path)?;
    Ok(Policy::parse(
        &text,
        Origin::File(path.to_owned()),
        profiles,
    )?)
}
