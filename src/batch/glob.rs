//! Patterns as a shell has them, over names that may hold any bytes.
//!
//! The `glob` crate matches names; its own walk through directories leaves out every name that is not UTF-8, so the
//! walk is here.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::inputs::InputError;

/// As a shell matches one component: a leading dot has to be typed.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The deepest that `**` looks into directories.
const DEEPEST: usize = 64;

/// Whether a word has a character that makes it a pattern.
pub fn has_wildcard(word: &[u8]) -> bool {
    word.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// The paths that a pattern names, sorted by their bytes within each directory; at least one. `*`, `?`, `[a-z]`,
/// `[!a-z]`, and `**` for directories at any depth (symbolic links are not followed there).
///
/// # Errors
/// When it matches nothing, is no pattern, or a directory cannot be read.
pub fn expand(pattern: &OsStr) -> Result<Vec<PathBuf>, InputError> {
    let bytes = pattern.as_bytes();
    let (start, rest) = match bytes.iter().position(|byte| *byte != b'/') {
        Some(slashes) => bytes.split_at(slashes),
        None => (bytes, &b""[..]),
    };
    let mut paths = vec![PathBuf::from(OsStr::from_bytes(start))];
    let directories_only = rest.last() == Some(&b'/');
    let components: Vec<&[u8]> = rest
        .split(|byte| *byte == b'/')
        .filter(|component| !component.is_empty())
        .collect();
    for (index, component) in components.iter().enumerate() {
        let last = index + 1 == components.len();
        let walk = Walk {
            whole: pattern,
            directories: !last || directories_only,
        };
        let mut next = Vec::new();
        for path in &paths {
            walk.step(path, component, last, &mut next)?;
        }
        paths = next;
    }
    if directories_only {
        for path in &mut paths {
            path.as_mut_os_string().push("/");
        }
    }
    if paths.is_empty() {
        return Err(InputError::NoMatch(pattern.to_owned()));
    }
    Ok(paths)
}

/// One component of a pattern.
struct Walk<'a> {
    whole: &'a OsStr,
    directories: bool,
}

impl Walk<'_> {
    fn step(
        &self,
        path: &Path,
        component: &[u8],
        last: bool,
        found: &mut Vec<PathBuf>,
    ) -> Result<(), InputError> {
        if component == b"**" {
            if !last {
                found.push(path.to_owned());
            }
            return self.below(path, last, 0, found);
        }
        if !has_wildcard(component) {
            let path = path.join(OsStr::from_bytes(component));
            if path.symlink_metadata().is_ok() {
                found.push(path);
            }
            return Ok(());
        }
        // Names beyond UTF-8 are matched byte by byte, each taken for the character of its number.
        let text = std::str::from_utf8(component).ok();
        let by_character = text.map(|text| self.pattern(text)).transpose()?;
        let by_byte = self.pattern(&as_characters(component))?;
        for name in self.names(path)? {
            let matches = match (&by_character, name.to_str()) {
                (Some(pattern), Some(name)) => pattern.matches_with(name, OPTIONS),
                _ => by_byte.matches_with(&as_characters(name.as_bytes()), OPTIONS),
            };
            let path = path.join(&name);
            if matches && (!self.directories || path.is_dir()) {
                found.push(path);
            }
        }
        Ok(())
    }

    /// Everything below a directory for a last `**`, else the directories.
    fn below(
        &self,
        path: &Path,
        last: bool,
        depth: usize,
        found: &mut Vec<PathBuf>,
    ) -> Result<(), InputError> {
        for name in self.names(path)? {
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            let path = path.join(name);
            let directory = path
                .symlink_metadata()
                .is_ok_and(|metadata| metadata.is_dir());
            if directory || (last && !self.directories) {
                found.push(path.clone());
            }
            if directory && depth < DEEPEST {
                self.below(&path, last, depth + 1, found)?;
            }
        }
        Ok(())
    }

    fn pattern(&self, text: &str) -> Result<Pattern, InputError> {
        Pattern::new(text).map_err(|error| InputError::BadPattern {
            pattern: self.whole.to_owned(),
            why: error.msg,
        })
    }

    /// The sorted names in a directory; none for what is no directory.
    fn names(&self, path: &Path) -> Result<Vec<OsString>, InputError> {
        let dir = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let read = || -> io::Result<Vec<OsString>> {
            fs::read_dir(dir)?
                .map(|entry| Ok(entry?.file_name()))
                .collect()
        };
        match read() {
            Ok(mut names) => {
                names.sort();
                Ok(names)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(Vec::new())
            }
            Err(source) => Err(InputError::Directory {
                pattern: self.whole.to_owned(),
                dir: dir.to_owned(),
                source,
            }),
        }
    }
}

fn as_characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["sub/deep", "other", ".git"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let files: [&[u8]; 10] = [
            b"b.mov",
            b"a.mov",
            b".h.mov",
            b"-x.mov",
            b"n\nl.mov",
            b"\xff.mov",
            "\u{e9}.mov".as_bytes(),
            b"sub/c.mov",
            b"sub/deep/d.mov",
            b".git/e.mov",
        ];
        for name in files {
            File::create(dir.path().join(OsStr::from_bytes(name))).unwrap();
        }
        dir
    }

    fn matches(dir: &Path, pattern: &str) -> Vec<Vec<u8>> {
        expand(dir.join(pattern).as_os_str())
            .unwrap_or_default()
            .iter()
            .map(|path| {
                let bytes = path.as_os_str().as_bytes();
                bytes[dir.as_os_str().len() + 1..].to_vec()
            })
            .collect()
    }

    #[test]
    fn names_of_any_bytes_are_found_in_order_and_hidden_ones_are_not() {
        let dir = tree();
        let found = matches(dir.path(), "*.mov");
        let wanted: [&[u8]; 6] = [
            b"-x.mov",
            b"a.mov",
            b"b.mov",
            b"n\nl.mov",
            "\u{e9}.mov".as_bytes(),
            b"\xff.mov",
        ];
        assert_eq!(found, wanted);
        assert_eq!(matches(dir.path(), ".*.mov"), [b".h.mov"]);
        // One character, be it one byte or two.
        let one: [&[u8]; 4] = [b"a.mov", b"b.mov", "\u{e9}.mov".as_bytes(), b"\xff.mov"];
        assert_eq!(matches(dir.path(), "?.mov"), one);
        assert_eq!(matches(dir.path(), "[!b-z].mov")[0], b"a.mov");
    }

    #[test]
    fn directories_are_looked_through() {
        let dir = tree();
        assert_eq!(matches(dir.path(), "*/*.mov"), [b"sub/c.mov"]);
        assert_eq!(matches(dir.path(), "*/deep/*"), [b"sub/deep/d.mov"]);
        assert_eq!(matches(dir.path(), "s*/"), [b"sub/"]);
        let all = matches(dir.path(), "**/[cd].mov");
        assert_eq!(all, [&b"sub/c.mov"[..], b"sub/deep/d.mov"]);
        assert_eq!(matches(dir.path(), "sub/**").len(), 3);
    }

    #[test]
    fn what_matches_nothing_or_is_no_pattern_is_named() {
        let dir = tree();
        let error = |pattern: &str| expand(dir.path().join(pattern).as_os_str()).unwrap_err();
        assert!(matches!(error("*.mp4"), InputError::NoMatch(_)));
        assert!(matches!(error("a.mov/*"), InputError::NoMatch(_)));
        assert!(matches!(error("x/y/*"), InputError::NoMatch(_)));
        let bad = error("[a.mov");
        assert!(bad.to_string().contains("[a.mov"), "{bad}");
    }
}
