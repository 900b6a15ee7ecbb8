//! The file behind an output: written under a temporary name beside it, then renamed.
//!
//! All looking at the file system for outputs is here; what FFmpeg makes of a name is in [`super::output`].

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Component, Path, PathBuf};

use super::command::{Command, Group};
use super::output::{self, InputKind, OutputKind, Overwrite};

/// The longest file name of every common Linux file system, in bytes (`NAME_MAX`, limits.h).
const NAME_MAX: usize = 255;

/// How many symbolic links are followed before giving up; the kernel's own limit (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A file that will be written under a temporary name first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    path: PathBuf,
    temporary: PathBuf,
    url: OsString,
}

/// Why an output cannot be written under a temporary name. The caller lets FFmpeg write directly.
#[derive(Debug, thiserror::Error)]
pub enum Unsuitable {
    /// The directory is missing or not writable.
    #[error("no temporary file can be made in {}: {source}; the output is written directly", dir.display())]
    Directory {
        /// The target's directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The target is there and is no regular file.
    #[error("{} is not a regular file; it is written directly", path.display())]
    NotRegular {
        /// The target.
        path: PathBuf,
    },
    /// The target itself is a mount point (a file mounted into a container), which cannot be renamed over.
    #[error("{} is a mount point; it is written directly", path.display())]
    MountPoint {
        /// The target.
        path: PathBuf,
    },
    /// The symbolic links of the target form a loop, or the name is empty or too long.
    #[error("{} is no name a temporary file can be put beside; it is written directly", path.display())]
    Name {
        /// The target.
        path: PathBuf,
    },
}

/// Why a finished temporary did not become its target. The target is as it was, the temporary is kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {}: {source}", path.display())]
pub struct CommitError {
    /// What was being done: `sync`, `rename onto`.
    step: &'static str,
    /// The file it was being done to.
    path: PathBuf,
    source: io::Error,
}

/// An output is the same file as an input under another name: FFmpeg would not notice and destroy it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "output {} is the same file as input {}: FFmpeg would overwrite it while reading; name another output",
    output.display(), input.display()
)]
pub struct OverwritesInput {
    /// The output's path as written.
    pub output: PathBuf,
    /// The input's path as written.
    pub input: PathBuf,
}

impl Target {
    /// Prepares the output `url` (of kind [`OutputKind::File`] with this `path`) to be written under a temporary
    /// name. Nothing is left on the disk. `token` must differ for every output and every attempt that may run
    /// at the same time, and hold no `/`.
    ///
    /// # Errors
    /// [`Unsuitable`] if the output has to be written directly.
    pub fn new(url: &OsStr, path: &Path, token: &str) -> Result<Self, Unsuitable> {
        let unnamed = || Unsuitable::Name {
            path: path.to_owned(),
        };
        let resolved = resolve_links(path).ok_or_else(unnamed)?;
        let name = path.file_name().ok_or_else(unnamed)?;
        let (_, extension) = output::split_extension(name);
        let resolved_name = resolved.file_name().ok_or_else(unnamed)?;
        if resolved_name.len() > NAME_MAX
            || token.contains('/')
            || resolved.as_os_str().as_bytes().ends_with(b"/")
        {
            return Err(unnamed());
        }
        let (stem, _) = output::split_extension(resolved_name);
        let temporary_name =
            output::temporary_name(stem, extension, token, NAME_MAX).ok_or_else(unnamed)?;
        let dir = directory(&resolved);
        let temporary = dir.join(temporary_name);

        if let Ok(metadata) = fs::metadata(&resolved) {
            if !metadata.is_file() {
                return Err(Unsuitable::NotRegular { path: resolved });
            }
            if fs::metadata(&dir).is_ok_and(|dir| dir.dev() != metadata.dev()) {
                return Err(Unsuitable::MountPoint { path: resolved });
            }
        }
        // Whether it can be written is only known by doing it (permissions, quotas, read-only mounts).
        File::create_new(&temporary)
            .and_then(|_| fs::remove_file(&temporary))
            .map_err(|source| Unsuitable::Directory { dir, source })?;

        let mut temporary_url = OsString::from(output::file_prefix(url));
        temporary_url.push(&temporary);
        Ok(Self {
            path: resolved,
            temporary,
            url: temporary_url,
        })
    }

    /// The file that will be replaced or made: the end of the chain if the user named a symbolic link.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The temporary file.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// What FFmpeg is given instead of the user's URL. It reads it as a file whatever the name holds.
    pub fn url(&self) -> &OsStr {
        &self.url
    }

    /// Makes the temporary the target: synced, with mode and (if permitted) owner of a file it replaces.
    ///
    /// # Errors
    /// [`CommitError`]; the temporary is then still there.
    pub fn commit(&self) -> Result<(), CommitError> {
        let fail = |step, path: &Path| {
            let path = path.to_owned();
            move |source| CommitError { step, path, source }
        };
        let file = File::open(&self.temporary).map_err(fail("open", &self.temporary))?;
        match fs::symlink_metadata(&self.path) {
            Ok(old) if old.is_file() => inherit(&file, &old),
            Ok(_) => {
                let source =
                    io::Error::other("something that is not a regular file has taken its place");
                return Err(fail("replace", &self.path)(source));
            }
            Err(_) => {}
        }
        file.sync_all().map_err(fail("sync", &self.temporary))?;
        fs::rename(&self.temporary, &self.path)
            .map_err(fail("rename the finished output onto", &self.path))?;
        let dir = directory(&self.path);
        match File::open(&dir).and_then(|dir| dir.sync_all()) {
            // Some network and FUSE file systems cannot sync a directory; an unreadable one can be renamed in.
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput
                        | io::ErrorKind::PermissionDenied
                        | io::ErrorKind::Unsupported
                ) =>
            {
                Err(fail("sync the directory", &dir)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the temporary, if there is one.
    ///
    /// # Errors
    /// What the system said, unless the file was not there.
    pub fn discard(&self) -> io::Result<()> {
        match fs::remove_file(&self.temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// [`output::classify`], with a look at the file: an existing FIFO, socket or device is no file.
pub fn examine(group: &Group) -> OutputKind {
    match output::classify(group) {
        OutputKind::File(path) => match fs::metadata(&path) {
            Ok(metadata) if metadata.file_type().is_fifo() => OutputKind::Pipe,
            Ok(metadata) if is_device(&metadata) => OutputKind::Device,
            _ => OutputKind::File(path),
        },
        other => other,
    }
}

/// [`output::classify_input`], with a look at the file.
pub fn examine_input(group: &Group) -> InputKind {
    match output::classify_input(group) {
        InputKind::File(path) => match fs::metadata(&path) {
            Ok(metadata) if metadata.file_type().is_fifo() => InputKind::Pipe,
            Ok(metadata) if is_device(&metadata) => InputKind::Device,
            _ => InputKind::File(path),
        },
        other => other,
    }
}

/// Whether an input can be read only once (standard input, a descriptor, a FIFO).
pub fn input_is_pipe(group: &Group) -> bool {
    examine_input(group) == InputKind::Pipe
}

/// What FFmpeg will do about the target of the file output `group`, whose path is `path`.
///
/// # Errors
/// [`OverwritesInput`] if FFmpeg would destroy an input without noticing.
pub fn overwrite(
    command: &Command,
    group: &Group,
    path: &Path,
) -> Result<Overwrite, OverwritesInput> {
    let existing = fs::metadata(path).ok();
    let decision = output::overwrite(command, group, existing.is_some());
    let (Overwrite::Replace | Overwrite::Ask, Some(existing)) = (decision, existing) else {
        return Ok(decision);
    };
    for input in command.inputs() {
        let InputKind::File(input) = output::classify_input(input) else {
            continue;
        };
        let Ok(metadata) = fs::metadata(&input) else {
            continue;
        };
        if (metadata.dev(), metadata.ino()) == (existing.dev(), existing.ino()) {
            return Err(OverwritesInput {
                output: path.to_owned(),
                input,
            });
        }
    }
    Ok(decision)
}

fn is_device(metadata: &Metadata) -> bool {
    let kind = metadata.file_type();
    kind.is_char_device() || kind.is_block_device() || kind.is_socket()
}

/// Follows the symbolic links of the last component only, so that a dangling link gives the file it would make.
fn resolve_links(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(link) => path = directory(&path).join(link),
            Err(_) => return Some(path),
        }
    }
    None
}

/// The directory of a file, written so that FFmpeg takes a name in it for neither option nor protocol.
fn directory(path: &Path) -> PathBuf {
    let parent = path.parent().unwrap_or(Path::new(""));
    match parent.components().next() {
        Some(
            Component::RootDir | Component::CurDir | Component::ParentDir | Component::Prefix(_),
        ) => parent.to_owned(),
        Some(Component::Normal(_)) | None => Path::new(".").join(parent),
    }
}

/// Gives a new file the mode and owner of the one it replaces. Best effort: only root may give a file away.
fn inherit(file: &File, old: &Metadata) {
    // The owner first: a change of owner clears the set-user-ID bits.
    if fchown(file, Some(old.uid()), Some(old.gid())).is_err() {
        let _ = fchown(file, None, Some(old.gid()));
    }
    let _ = file.set_permissions(Permissions::from_mode(old.mode() & 0o7777));
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
