//! Journals of batches that nobody has started for a long time go when another batch starts.
//!
//! A journal is in use for as long as its lock is held. Taking a lock and removing journals exclude each other by a
//! lock on the directory, so that no lock file is removed between its opening and its being locked.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// From when a batch was last started, or last noted a job, until its journal goes: longer than a quarter of a year,
/// the longest rhythm in which the same command is likely to be run over the same files. Without its journal a batch is
/// done from the beginning, which costs more than the few bytes per job that are kept.
pub const KEPT_FOR: Duration = Duration::from_secs(100 * 24 * 3600);
/// The most names of the directory that are read at a start; others have their turn when those before them are gone.
const READ_AT_MOST: usize = 10_000;
/// The most journals that are removed at a start.
const REMOVED_AT_MOST: usize = 100;
/// Hexadecimal digits of the name of a command and directory.
const STEM_DIGITS: usize = 32;

/// Keeps journals from being removed until it is dropped. None where the file system has no locks: then none is
/// removed either.
pub fn keep_all(home: &Path) -> Option<Flock<File>> {
    Flock::lock(File::open(home).ok()?, FlockArg::LockShared).ok()
}

/// Removes journals that were not used for [`KEPT_FOR`], with what belongs to them. What goes wrong is logged: no batch
/// has to wait or to fail for it.
pub fn prune(home: &Path, now: SystemTime) {
    match try_prune(home, now) {
        Ok(0) => {}
        Ok(count) => log::debug!("{count} old journals were removed from {}", home.display()),
        Err(error) => log::warn!("old journals stay in {}: {error}", home.display()),
    }
}

fn try_prune(home: &Path, now: SystemTime) -> io::Result<usize> {
    let _alone = match Flock::lock(File::open(home)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        // Another batch starts at this moment; there will be a next time.
        Err((_, Errno::EWOULDBLOCK)) => return Ok(0),
        Err((_, errno)) => return Err(errno.into()),
    };
    let mut stems: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in fs::read_dir(home)?.take(READ_AT_MOST) {
        if let Ok(name) = entry?.file_name().into_string()
            && let Some(stem) = stem(&name)
        {
            stems.entry(stem.to_owned()).or_default().push(name);
        }
    }
    let mut removed = 0;
    for (stem, mut names) in stems {
        if removed == REMOVED_AT_MOST {
            break;
        }
        // The directory may hold more than was read.
        for kind in ["journal", "lock", "spool"] {
            let name = format!("{stem}.{kind}");
            if !names.contains(&name) {
                names.push(name);
            }
        }
        match remove(home, &stem, &names, now) {
            Ok(was_old) => removed += usize::from(was_old),
            Err(error) => log::warn!("the old journal {stem} stays: {error}"),
        }
    }
    Ok(removed)
}

/// The part of a file's name that tells the command and directory; none for what is not ours.
fn stem(name: &str) -> Option<&str> {
    let (stem, kind) = name.split_once('.')?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_aside = || {
        let moment = kind.strip_prefix("damaged-");
        moment.is_some_and(|moment| moment.parse::<u128>().is_ok())
    };
    let is_ours = stem.len() == STEM_DIGITS && stem.bytes().all(is_digit);
    (is_ours && (matches!(kind, "journal" | "lock" | "spool" | "new") || is_aside()))
        .then_some(stem)
}

/// Removes these files and directories of one batch if all are old and no batch holds its lock. Whether it did.
fn remove(home: &Path, stem: &str, names: &[String], now: SystemTime) -> io::Result<bool> {
    let is_old = |file: &Metadata| {
        let age = file
            .modified()
            .ok()
            .and_then(|at| now.duration_since(at).ok());
        age.is_some_and(|age| age > KEPT_FOR)
    };
    let lock = format!("{stem}.lock");
    let mut found = Vec::new();
    for name in names {
        let file = match fs::symlink_metadata(home.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let is_as_made = if name.ends_with(".spool") {
            file.is_dir()
        } else {
            file.is_file()
        };
        if !is_as_made || !is_old(&file) {
            return Ok(false);
        }
        found.push(name);
    }
    let path = home.join(&lock);
    let _held = match File::options().read(true).write(true).open(&path) {
        Ok(file) => match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Some(held),
            Err((_, Errno::EWOULDBLOCK)) => return Ok(false),
            Err((_, errno)) => return Err(errno.into()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // The lock goes last: what a crash leaves is still known as one batch's.
    found.sort_by_key(|name| **name == lock);
    for name in found {
        let path = home.join(name);
        if name.ends_with(".spool") {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use nix::fcntl::AT_FDCWD;
    use nix::sys::stat::{UtimensatFlags::NoFollowSymlink, utimensat};
    use nix::sys::time::TimeSpec;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Home {
            Home(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// A file that was changed so many days ago.
        fn file(&self, name: &str, days: u32) {
            fs::write(self.path(name), "text").unwrap();
            self.age(name, days);
        }

        fn age(&self, name: &str, days: u32) {
            let file = File::open(self.path(name)).unwrap();
            file.set_modified(SystemTime::now() - DAY * days).unwrap();
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.path()).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }

        fn prune(&self) {
            prune(self.0.path(), SystemTime::now());
        }
    }

    fn stem_of(number: u32) -> String {
        format!("{number:032x}")
    }

    #[test]
    fn what_is_old_goes_with_all_that_belongs_to_it() {
        let home = Home::new();
        let (old, young) = (stem_of(1), stem_of(2));
        for (stem, days) in [(&old, 101), (&young, 99)] {
            for kind in ["journal", "lock", "new", "damaged-1795265133209"] {
                home.file(&format!("{stem}.{kind}"), days);
            }
            let spool = format!("{stem}.spool");
            fs::create_dir(home.path(&spool)).unwrap();
            fs::write(home.path(&spool).join("1.out"), "said").unwrap();
            home.age(&spool, days);
        }
        home.prune();
        let names = home.names();
        assert_eq!(names.len(), 5, "{names:?}");
        assert!(names.iter().all(|name| name.starts_with(&young)));
        assert!(home.path(&format!("{young}.spool")).join("1.out").exists());
    }

    #[test]
    fn the_last_start_counts_and_a_lock_that_is_held() {
        let home = Home::new();
        // It was started yesterday and had nothing to note.
        home.file(&format!("{}.journal", stem_of(1)), 400);
        home.file(&format!("{}.lock", stem_of(1)), 1);
        // It has been running for long, without an end of any job.
        home.file(&format!("{}.journal", stem_of(2)), 400);
        home.file(&format!("{}.lock", stem_of(2)), 400);
        // Its clock was wrong.
        home.file(&format!("{}.journal", stem_of(3)), 0);
        let future = SystemTime::now() + DAY * 900;
        let file = File::open(home.path(&format!("{}.journal", stem_of(3)))).unwrap();
        file.set_modified(future).unwrap();
        let before = home.names();
        let running = File::open(home.path(&format!("{}.lock", stem_of(2)))).unwrap();
        let running = Flock::lock(running, FlockArg::LockExclusive).unwrap();
        home.prune();
        assert_eq!(home.names(), before);
        drop(running);
        home.prune();
        assert_eq!(home.names().len(), before.len() - 2);
    }

    #[test]
    fn nothing_else_in_the_directory_is_touched() {
        let home = Home::new();
        let stem = stem_of(0xabc);
        for name in [
            "notes.journal".to_owned(),
            stem.clone(),
            format!("{stem}.journal.bak"),
            format!("{stem}.damaged-copy"),
            format!("{stem}.txt"),
            format!("{}.journal", &stem[1..]),
            format!("{stem}0.journal"),
            format!("{}.journal", stem.to_uppercase()),
        ] {
            home.file(&name, 400);
        }
        // Ours by their names, but not as we made them.
        fs::create_dir(home.path(&format!("{}.journal", stem_of(1)))).unwrap();
        home.age(&format!("{}.journal", stem_of(1)), 400);
        home.file("elsewhere", 400);
        for kind in ["journal", "spool"] {
            let link = home.path(&format!("{}.{kind}", stem_of(2)));
            symlink(home.path("elsewhere"), &link).unwrap();
            let long_ago = TimeSpec::new(1, 0);
            utimensat(AT_FDCWD, &link, &long_ago, &long_ago, NoFollowSymlink).unwrap();
        }
        let before = home.names();
        home.prune();
        assert_eq!(home.names(), before);
    }

    #[test]
    fn so_many_at_a_start_and_the_rest_at_the_next() {
        let home = Home::new();
        for number in 0..130 {
            home.file(&format!("{}.journal", stem_of(number)), 400);
        }
        home.prune();
        assert_eq!(home.names().len(), 30);
        home.prune();
        assert_eq!(home.names().len(), 0);
    }

    #[test]
    fn none_goes_while_a_batch_takes_its_lock() {
        let home = Home::new();
        home.file(&format!("{}.journal", stem_of(1)), 400);
        let taking = keep_all(home.0.path()).unwrap();
        home.prune();
        assert_eq!(home.names().len(), 1);
        drop(taking);
        home.prune();
        assert_eq!(home.names().len(), 0);
    }
}
