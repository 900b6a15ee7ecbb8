//! The set of profiles: the built-in ones, a user's files, and their order from light to heavy.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ContentError, nearest};
use super::profile::{self, Origin, Profile};

/// The profiles that are part of the program.
const BUILT_IN: [&str; 4] = [
    include_str!("../../profiles/minimal.yaml"),
    include_str!("../../profiles/low.yaml"),
    include_str!("../../profiles/balanced.yaml"),
    include_str!("../../profiles/high.yaml"),
];

/// The longest profile that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// The most profile files that one directory may hold.
const MAX_FILES: usize = 256;

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
        let mut ladder: Vec<Profile> = Vec::new();
        for dir in dirs {
            for path in files_in(dir.as_ref())? {
                let profile = read(&path)?;
                if path
                    .file_stem()
                    .is_none_or(|stem| stem != profile.name.as_str())
                {
                    return Err(misnamed(&path, &profile.name));
                }
                if ladder.iter().all(|known| known.name != profile.name) {
                    ladder.push(profile);
                }
            }
        }
        for text in BUILT_IN {
            let profile = Profile::parse(text, Origin::BuiltIn).map_err(ConfigError::Content)?;
            if ladder.iter().all(|known| known.name != profile.name) {
                ladder.push(profile);
            }
        }
        ladder.sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
        Ok(Self { ladder })
    }

    /// Where a user's own profiles are looked for: `$XDG_CONFIG_HOME/ffwarden/profiles` (`~/.config` if it is not
    /// set), then `/etc/ffwarden/profiles`.
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

    /// The profile of a name, or read from the file if `argument` is a path (holds a `/` or ends in `.yaml`).
    ///
    /// # Errors
    /// [`ConfigError`] if there is none or the file is wrong.
    pub fn resolve(&self, argument: &str) -> Result<Profile, ConfigError> {
        if let Some(path) = profile::as_path(argument) {
            return read(path);
        }
        self.get(argument).cloned().ok_or_else(|| {
            let known: Vec<String> = self
                .ladder
                .iter()
                .map(|profile| profile.name.clone())
                .collect();
            let hint = nearest(argument, &known).map(str::to_owned);
            ConfigError::UnknownProfile {
                name: argument.to_owned(),
                hint,
                known,
            }
        })
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
    let fail = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
        .map_err(fail)?;
    if text.len() as u64 > MAX_FILE {
        return Err(fail(io::Error::other(
            "longer than 64 KiB, which no profile is",
        )));
    }
    Profile::parse(&text, Origin::File(path.to_owned())).map_err(ConfigError::Content)
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let fail = |source| ConfigError::Read {
        path: dir.to_owned(),
        source,
    };
    let entries = match fs::read_dir(dir) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::PermissionDenied
            ) =>
        {
            if error.kind() == io::ErrorKind::PermissionDenied {
                log::debug!("profiles in {} are not looked at: {error}", dir.display());
            }
            return Ok(Vec::new());
        }
        entries => entries.map_err(fail)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(fail(io::Error::other(
                "more than 256 profiles: is this the right directory?",
            )));
        }
    }
    files.sort();
    Ok(files)
}

fn misnamed(path: &Path, name: &str) -> ConfigError {
    ConfigError::from(ContentError {
        file: path.display().to_string(),
        line: 0,
        column: 0,
        key: Some("name".into()),
        problem: format!("the profile is called `{name}`, its file is not"),
        hint: Some(format!("call the file {name}.yaml or change the name")),
    })
}
