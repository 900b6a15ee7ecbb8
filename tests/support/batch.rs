//! What the tests of `ffwarden batch` have in common.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Ffwarden, ffwarden, reported};

/// Notes each start in `log`; the input `c` waits until there is a file `go`.
pub const WAITS_AT_C: &str = "echo $1 >>log; [ $1 != c ] || while [ ! -e go ]; do sleep 0.02; done";

/// A working directory with a state directory of its own beside it.
pub struct Place {
    pub root: tempfile::TempDir,
    pub dir: PathBuf,
}

pub fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("work");
    fs::create_dir(&dir).unwrap();
    Place { root, dir }
}

impl Place {
    fn set<'a>(&self, run: Ffwarden, words: impl IntoIterator<Item = &'a str>) -> Ffwarden {
        let mut run = run.arg("batch").dir(&self.dir);
        for word in words {
            run = run.arg(word);
        }
        run.env("XDG_STATE_HOME", self.root.path().join("state"))
    }

    /// `ffwarden batch` with these words.
    pub fn batch(&self, words: &[&str]) -> Ffwarden {
        self.set(ffwarden(Vec::<OsString>::new()), words.iter().copied())
    }

    pub fn reported(&self, words: &[&str]) -> Ffwarden {
        self.set(reported(Vec::<OsString>::new()), words.iter().copied())
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    pub fn write(&self, name: impl AsRef<OsStr>, text: &str) {
        fs::write(self.dir.join(Path::new(name.as_ref())), text).unwrap();
    }

    /// What `read` holds, line by line, sorted.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = self.read(name);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}
