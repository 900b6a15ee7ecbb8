//! What a batch has done, so that the same batch started again does only the rest: after Ctrl-C, `kill -9`, or a
//! loss of power.
//!
//! One file per command and working directory, in the user's state directory, appended to as jobs finish. A line
//! holds the job's key, the outputs it left, and a checksum. In memory there are 16 bytes per line.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::digest::Digest;
use super::journal_lines::{self as lines, HEADER, Left, Scan};
use super::journal_prune;

pub use super::journal_lines::Done;

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Nowhere to keep it.
    #[error("neither XDG_STATE_HOME nor HOME is set: there is no place to note what is done")]
    NoHome,
    /// The file system refused.
    #[error("cannot keep note of what is done in {}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Another batch has it.
    #[error(
        "the same command is running as a batch in this directory already ({who}); wait for it or stop it, then \
         start this again: what is done by then is not done twice"
    )]
    Busy {
        /// Its process, as far as known.
        who: String,
    },
    /// A newer ffwarden wrote it.
    #[error("{} was written by a newer ffwarden; use that one, or remove the file to begin anew", .0.display())]
    Newer(PathBuf),
}

/// Where journals are: `$XDG_STATE_HOME/ffwarden/batch`, else `~/.local/state/ffwarden/batch`.
///
/// # Errors
/// When neither is known.
pub fn home() -> Result<PathBuf, JournalError> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("ffwarden/batch"))
        .ok_or(JournalError::NoHome)
}

/// What makes two jobs the same: where they run, what is executed, and the inputs as they are now (size and time
/// of change of each that is a file).
pub fn key(dir: &Path, argv: &[OsString], inputs: &[PathBuf]) -> u128 {
    let mut digest = Digest::default().field(dir.as_os_str().as_bytes());
    digest = digest.number(argv.len() as u64);
    for word in argv {
        digest = digest.field(word.as_bytes());
    }
    for input in inputs {
        digest = digest.field(input.as_os_str().as_bytes());
        // A directory changes whenever something is put into it, such as an output.
        if let Ok(file) = fs::metadata(dir.join(input))
            && file.is_file()
        {
            digest = digest.number(file.len()).number(lines::changed(&file));
        }
    }
    digest.value()
}

/// The journal of a batch that is running; no other batch can have it meanwhile.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    dir: PathBuf,
    file: File,
    length: u64,
    wake: Option<SyncSender<()>>,
    syncer: Option<JoinHandle<()>>,
    _lock: Flock<File>,
}

impl Journal {
    /// Opens the journal of `command` in the working directory `dir`, below `home`, and tells what it knows to be
    /// done. A last line that was not finished is dropped; a damaged journal is kept aside under another name, and
    /// what is whole in it counts. Journals that were not used for long are removed.
    ///
    /// # Errors
    /// When it cannot be kept, or another batch has it.
    pub fn open(
        home: &Path,
        dir: &Path,
        command: &[OsString],
    ) -> Result<(Journal, Done), JournalError> {
        make_dir(home).map_err(|source| failed(home, source))?;
        let stem = home.join(name(dir, command));
        let keeping = journal_prune::keep_all(home);
        let lock = lock(&stem.with_extension("lock"))?;
        drop(keeping);
        journal_prune::prune(home, SystemTime::now());
        let path = stem.with_extension("journal");
        let fail = |source| failed(&path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        if file.metadata().map_err(fail)?.len() == 0 {
            file.write_all(HEADER).map_err(fail)?;
            sync(&file, home).map_err(fail)?;
        }
        let mut scan = Scan::of(&mut file).map_err(fail)?;
        if scan.newer {
            return Err(JournalError::Newer(path));
        }
        if scan.damaged > 0 {
            file = quarantine(&path, &mut file, &scan).map_err(fail)?;
            scan = Scan::of(&mut file).map_err(fail)?;
        } else if scan.torn {
            log::info!(
                "the last job noted in the journal was not noted whole; it will be done again"
            );
            file.set_len(scan.whole).map_err(fail)?;
        }
        let (wake, woken) = sync_channel(1);
        let syncer = syncer(file.try_clone().map_err(fail)?, path.clone(), woken).map_err(fail)?;
        let done = Done::new(
            File::open(&path).map_err(fail)?,
            scan.entries,
            dir.to_owned(),
        );
        let journal = Journal {
            length: scan.whole,
            path: path.clone(),
            dir: dir.to_owned(),
            file,
            wake: Some(wake),
            syncer: Some(syncer),
            _lock: lock,
        };
        Ok((journal, done))
    }

    /// What the journal knows to be done, without taking or changing it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn peek(home: &Path, dir: &Path, command: &[OsString]) -> Result<Done, JournalError> {
        let path = home.join(name(dir, command)).with_extension("journal");
        let fail = |source| failed(&path, source);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let nothing = File::open("/dev/null").map_err(fail)?;
                return Ok(Done::new(nothing, Vec::new(), dir.to_owned()));
            }
            other => other.map_err(fail)?,
        };
        let scan = Scan::of(&mut file).map_err(fail)?;
        Ok(Done::new(file, scan.entries, dir.to_owned()))
    }

    /// A directory of this batch's own for what it needs while it runs, under the same lock.
    pub fn spool(&self) -> PathBuf {
        self.path.with_extension("spool")
    }

    /// Notes that a job is done and has left these outputs (relative to the working directory, or absolute). It is
    /// in the file when this returns, and on the disk soon after.
    ///
    /// # Errors
    /// When it could not be written; then nothing of it is in the file.
    pub fn finished(&mut self, key: u128, outputs: &[PathBuf]) -> Result<(), JournalError> {
        let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let left: Vec<Left> = outputs
            .iter()
            .filter_map(|path| Left::look(&self.dir, path))
            .collect();
        let line = lines::line(key, now, &left);
        if let Err(source) = self.file.write_all(&line) {
            // Half a line would spoil the next one.
            let _stays_torn = self.file.set_len(self.length);
            return Err(failed(&self.path, source));
        }
        self.length += line.len() as u64;
        if let Some(wake) = &self.wake {
            // Full means that a sync is due already, and it will cover this line.
            let _covered = wake.try_send(());
        }
        Ok(())
    }
}

impl Drop for Journal {
    /// Waits until all is on the disk.
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(syncer) = self.syncer.take() {
            let _ended = syncer.join();
        }
    }
}

/// Brings to the disk what was written while the disk was busy with what was written before.
fn syncer(file: File, path: PathBuf, woken: Receiver<()>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || {
            let mut told = false;
            while woken.recv().is_ok() {
                if let Err(error) = file.sync_data()
                    && !std::mem::replace(&mut told, true)
                {
                    log::error!(
                        "{} may not be on the disk: {error}; what is noted in it may be done again",
                        path.display()
                    );
                }
            }
        })
}

fn failed(path: &Path, source: io::Error) -> JournalError {
    JournalError::Io {
        path: path.to_owned(),
        source,
    }
}

fn name(dir: &Path, command: &[OsString]) -> String {
    let digest = Digest::default().field(dir.as_os_str().as_bytes());
    let digest = command
        .iter()
        .fold(digest, |digest, word| digest.field(word.as_bytes()));
    format!("{:032x}", digest.value())
}

/// Makes a directory that is its owner's alone.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let metadata = fs::metadata(dir)?;
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn lock(path: &Path) -> Result<Flock<File>, JournalError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| failed(path, source))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            // Only for the message of whoever comes second.
            let _unknown = lock
                .set_len(0)
                .and_then(|()| lock.write_all(std::process::id().to_string().as_bytes()));
            Ok(lock)
        }
        Err((file, Errno::EWOULDBLOCK)) => {
            let mut pid = String::new();
            let read = file.take(20).read_to_string(&mut pid);
            let known = read.is_ok() && pid.parse::<u32>().is_ok();
            Err(JournalError::Busy {
                who: if known {
                    format!("process {pid}")
                } else {
                    "its process is not known".to_owned()
                },
            })
        }
        Err((_, errno)) => Err(failed(path, errno.into())),
    }
}

fn sync(file: &File, dir: &Path) -> io::Result<()> {
    file.sync_all()?;
    File::open(dir)?.sync_all()
}

/// Puts a damaged journal aside, and a new one with its whole lines in its place.
fn quarantine(path: &Path, old: &mut File, scan: &Scan) -> io::Result<File> {
    let moment = UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    let aside = path.with_extension(format!("damaged-{moment}"));
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(HEADER)?;
    for (_, offset) in &scan.entries {
        old.seek(SeekFrom::Start(*offset))?;
        file.write_all(&lines::read_line(old)?)?;
    }
    file.sync_all()?;
    // At every moment one of the two has the journal's name.
    fs::hard_link(path, &aside)?;
    fs::rename(&new, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    log::warn!(
        "the journal {} was damaged: {} of its lines cannot be read, and their jobs will be done again; {} finished \
         jobs are known; the damaged file is kept as {}",
        path.display(),
        scan.damaged,
        scan.entries.len(),
        aside.display()
    );
    OpenOptions::new().read(true).append(true).open(path)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
