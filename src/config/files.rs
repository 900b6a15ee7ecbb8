//! Configuration files of a kind (profiles, policies): what is built in, a user's own, where they are looked for, and
//! reading them within bounds. What stands in them is the business of the kind.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_yaml::Spanned;

use super::error::{ConfigError, ContentError, nearest};
use super::profile::Origin;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// The most files that one directory may hold.
const MAX_FILES: usize = 256;

/// What a file describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// How a command line is rewritten.
    Profile,
    /// What happens at which pressure.
    Policy,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Profile => "profile",
            Kind::Policy => "policy",
        })
    }
}

impl Kind {
    /// Many of it, which is also the name of its directories.
    fn plural(self) -> &'static str {
        match self {
            Kind::Profile => "profiles",
            Kind::Policy => "policies",
        }
    }

    /// Where a user's own are looked for: `$XDG_CONFIG_HOME/ffwarden/profiles` or `policies` (`~/.config` if it is
    /// not set), then the same below `/etc/ffwarden`.
    pub fn directories(self) -> Vec<PathBuf> {
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
        let config = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or(home);
        config
            .into_iter()
            .map(|dir| dir.join("ffwarden").join(self.plural()))
            .chain([Path::new("/etc/ffwarden").join(self.plural())])
            .collect()
    }

    /// What messages call the file.
    pub(super) fn file_name(self, origin: &Origin) -> String {
        match origin {
            Origin::BuiltIn => format!("built-in {self}"),
            Origin::File(path) => path.display().to_string(),
        }
    }

    /// Reads all in `dirs` (`NAME.yaml` or `NAME.yml`) and then what is built in. The first of a name wins, so that a
    /// file replaces what is built in. A directory that does not exist, or that is somebody else's (`HOME` as sudo or
    /// setpriv may leave it), holds none.
    ///
    /// # Errors
    /// [`ConfigError`] if a file cannot be read, holds something wrong or is not called as it calls itself.
    pub(super) fn load<T, P: AsRef<Path>>(
        self,
        dirs: &[P],
        built_in: &[&str],
        parse: impl Fn(&str, Origin) -> Result<T, Box<ContentError>>,
        name_of: fn(&T) -> &str,
    ) -> Result<Vec<T>, ConfigError> {
        let mut all: Vec<T> = Vec::new();
        let mut add = |item: T| {
            if all.iter().all(|known| name_of(known) != name_of(&item)) {
                all.push(item);
            }
        };
        for dir in dirs {
            for path in self.files_in(dir.as_ref())? {
                let item = parse(&self.read(&path)?, Origin::File(path.clone()))?;
                let name = name_of(&item);
                if path.file_stem().is_none_or(|stem| stem != name) {
                    return Err(self.misnamed(&path, name));
                }
                add(item);
            }
        }
        for text in built_in {
            add(parse(text, Origin::BuiltIn)?);
        }
        Ok(all)
    }

    /// The text of one file.
    ///
    /// # Errors
    /// [`ConfigError::Read`] if it cannot be read or is longer than 64 KiB.
    pub(super) fn read(self, path: &Path) -> Result<String, ConfigError> {
        let fail = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
            .map_err(fail)?;
        if text.len() as u64 > MAX_FILE {
            return Err(fail(io::Error::other(format!(
                "longer than 64 KiB, which no {self} is"
            ))));
        }
        Ok(text)
    }

    /// The error for a name that none of `known` has.
    pub(super) fn unknown<'a>(
        self,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> ConfigError {
        let known: Vec<String> = known.map(str::to_owned).collect();
        ConfigError::Unknown {
            kind: self,
            name: name.to_owned(),
            hint: nearest(name, &known).map(str::to_owned),
            known,
        }
    }

    /// Refuses what cannot be a name in a file called `file`.
    pub(super) fn check_name(self, file: &str, name: &Spanned<String>) -> Result<(), ContentError> {
        let text = &name.value;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        if !text.is_empty() && text != "auto" && text.bytes().all(plain) {
            return Ok(());
        }
        let problem = format!("`{text}` cannot name a {self}");
        Err(ContentError::at(file, name.referenced, "name", problem)
            .with_hint("use letters, digits, `-` and `_`, and not `auto`"))
    }

    fn files_in(self, dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
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
                    let (plural, dir) = (self.plural(), dir.display());
                    log::debug!("{plural} in {dir} are not looked at: {error}");
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
            if !hidden && is_yaml(&path) {
                files.push(path);
            }
            if files.len() > MAX_FILES {
                return Err(fail(io::Error::other(format!(
                    "more than {MAX_FILES} {}: is this the right directory?",
                    self.plural()
                ))));
            }
        }
        files.sort();
        Ok(files)
    }

    fn misnamed(self, path: &Path, name: &str) -> ConfigError {
        ConfigError::from(ContentError {
            file: path.display().to_string(),
            line: 0,
            column: 0,
            key: Some("name".into()),
            problem: format!("the {self} is called `{name}`, its file is not"),
            hint: Some(format!("call the file {name}.yaml or change the name")),
        })
    }
}

/// The path of a file that an argument names, if it names a file (holds a `/` or ends in `.yaml`) and not a profile or
/// policy.
pub fn as_path(argument: &str) -> Option<&Path> {
    let path = Path::new(argument);
    (is_yaml(path) || argument.contains('/')).then_some(path)
}

fn is_yaml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}
