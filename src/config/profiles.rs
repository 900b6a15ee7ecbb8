//! The set of profiles: the built-in ones, a user's files, and their order from light to heavy.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::files::{Kind, as_path};
use super::profile::{Origin, Profile};

/// The profiles that are part of the program.
const BUILT_IN: [&str; 4] = [
    include_str!("../../profiles/minimal.yaml"),
    include_str!("../../profiles/low.yaml"),
    include_str!("../../profiles/balanced.yaml"),
    include_str!("../../profiles/high.yaml"),
];

/// All known profiles, the lightest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Profiles {
    ladder: Vec<Profile>,
}

impl Profiles {
    /// The built-in profiles and those in `dirs` (`NAME.yaml` or `NAME.yml`). A file replaces a built-in profile of
    /// its name; the first directory that has a name wins. A directory that does not exist, or that is somebody
    /// else's (`HOME` as sudo or setpriv may leave it), holds none.
    ///
    /// # Errors
    /// [`ConfigError`] if a file cannot be read or holds something wrong.
    pub fn load<P: AsRef<Path>>(dirs: &[P]) -> Result<Self, ConfigError> {
        let mut ladder =
            Kind::Profile.load(dirs, &BUILT_IN, Profile::parse, |profile| &profile.name)?;
        ladder.sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
        Ok(Self { ladder })
    }

    /// Where a user's own profiles are looked for: `$XDG_CONFIG_HOME/ffwarden/profiles` (`~/.config` if it is not
    /// set), then `/etc/ffwarden/profiles`.
    pub fn directories() -> Vec<PathBuf> {
        Kind::Profile.directories()
    }

    /// The profile of a name, or read from the file if `argument` is a path (holds a `/` or ends in `.yaml`).
    ///
    /// # Errors
    /// [`ConfigError`] if there is none or the file is wrong.
    pub fn resolve(&self, argument: &str) -> Result<Profile, ConfigError> {
        if let Some(path) = as_path(argument) {
            return read(path);
        }
        let names = || self.ladder.iter().map(|profile| profile.name.as_str());
        self.get(argument)
            .cloned()
            .ok_or_else(|| Kind::Profile.unknown(argument, names()))
    }

    /// The profile of a name.
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.ladder.iter().find(|profile| profile.name == name)
    }

    /// All profiles, the lightest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Profile> {
        self.ladder.iter()
    }

    /// The profiles lighter than a rank, the heaviest of them first: what is tried next.
    pub fn ladder_below(&self, rank: u32) -> impl Iterator<Item = &Profile> {
        self.ladder
            .iter()
            .rev()
            .filter(move |profile| profile.rank < rank)
    }
}

/// Reads and checks one file.
///
/// # Errors
/// [`ConfigError`] if it cannot be read, is longer than 64 KiB, or holds something wrong.
pub fn read(path: &Path) -> Result<Profile, ConfigError> {
    let text = Kind::Profile.read(path)?;
    Ok(Profile::parse(&text, Origin::File(path.to_owned()))?)
}
