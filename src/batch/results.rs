//! `--results DIR`: where the output of each job is kept, in the layout of GNU parallel.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::digest::fnv64;

/// The longest name of a directory, bytes (NAME_MAX of every common file system).
const LONGEST: usize = 255;

/// The kept output of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// `DIR/1/<input>/stdout`.
    pub stdout: PathBuf,
    /// `DIR/1/<input>/stderr`.
    pub stderr: PathBuf,
}

/// Makes the directory of one job and writes its sequence number into `seq`, as parallel does.
///
/// # Errors
/// What the file system said, with the path.
pub fn prepare(results: &Path, input: &OsStr, sequence: u64) -> io::Result<Kept> {
    let dir = results.join("1").join(directory_name(input));
    let name =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", dir.display()));
    fs::create_dir_all(&dir).map_err(name)?;
    fs::write(dir.join("seq"), sequence.to_string()).map_err(name)?;
    Ok(Kept {
        stdout: dir.join("stdout"),
        stderr: dir.join("stderr"),
    })
}

/// The input as one name: `\`, tab, NUL and `/` become `\\`, `\t`, `\0` and `\_`, as parallel has them. Where
/// parallel would leave the directory (`.`, `..`, nothing) or cut a name that is too long so that two inputs might
/// share it, ours differs: `\.`, `\..`, `\`, and a cut name ends in a checksum of the whole.
fn directory_name(input: &OsStr) -> OsString {
    let mut name = Vec::with_capacity(input.len());
    for byte in input.as_bytes() {
        match byte {
            b'\\' => name.extend_from_slice(b"\\\\"),
            b'\t' => name.extend_from_slice(b"\\t"),
            0 => name.extend_from_slice(b"\\0"),
            b'/' => name.extend_from_slice(b"\\_"),
            byte => name.push(*byte),
        }
    }
    if matches!(&name[..], b"" | b"." | b"..") {
        name.insert(0, b'\\');
    }
    if name.len() > LONGEST {
        let checksum = format!("~{:016x}", fnv64(input.as_bytes()));
        name.truncate(LONGEST - checksum.len());
        name.extend_from_slice(checksum.as_bytes());
    }
    OsString::from_vec(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_parallel_escapes_them() {
        // What GNU parallel 20221122 made of each.
        let table: [(&[u8], &[u8]); 9] = [
            (b"a.txt", b"a.txt"),
            (b"a b", b"a b"),
            (b"dir/a", b"dir\\_a"),
            (b"b\\s", b"b\\\\s"),
            (b"t\tb", b"t\\tb"),
            (b"x\\0y", b"x\\\\0y"),
            (b"n\nl", b"n\nl"),
            (b"nu\xff", b"nu\xff"),
            (b"-x", b"-x"),
        ];
        for (input, wanted) in table {
            assert_eq!(directory_name(OsStr::from_bytes(input)).as_bytes(), wanted);
        }
    }

    #[test]
    fn no_input_leads_out_of_the_directory_or_into_anothers() {
        let name = |input: &str| directory_name(OsStr::new(input)).into_vec();
        for input in ["", ".", ".."] {
            assert_eq!(name(input), [b"\\", input.as_bytes()].concat());
        }
        let (a, b) = ("x".repeat(300) + "a", "x".repeat(300) + "b");
        assert_eq!(name(&a).len(), LONGEST);
        assert_ne!(name(&a), name(&b));
    }

    #[test]
    fn the_directory_has_the_sequence_number() {
        let dir = tempfile::tempdir().unwrap();
        let kept = prepare(&dir.path().join("r"), OsStr::new("in/a.mov"), 7).unwrap();
        assert_eq!(kept.stdout, dir.path().join("r/1/in\\_a.mov/stdout"));
        assert_eq!(fs::read(kept.stderr.with_file_name("seq")).unwrap(), b"7");
    }
}
