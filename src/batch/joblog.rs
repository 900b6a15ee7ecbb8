//! `--joblog`: one line per finished job, in the format of GNU parallel.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HEADER: &[u8] =
    b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/// The log of a batch.
#[derive(Debug)]
pub struct Joblog {
    file: File,
    path: PathBuf,
}

/// A finished job, by its last attempt.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The job's place among the inputs, from 1.
    pub sequence: u64,
    /// When it started.
    pub started: SystemTime,
    /// How long it ran.
    pub runtime: Duration,
    /// Bytes it wrote to stdout.
    pub received: u64,
    /// Its exit code; -1 when it was stopped by a timeout, 0 when a signal ended it.
    pub exit_value: i32,
    /// The signal that ended it, or 0.
    pub signal: i32,
    /// What was executed.
    pub argv: &'a [OsString],
}

/// Why a job log cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum JoblogError {
    /// The file system refused.
    #[error("cannot write the job log {}: {source}", .path.display())]
    Io {
        /// The log.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} exists and is no job log: give --joblog another name", .0.display())]
    Foreign(PathBuf),
}

impl Joblog {
    /// Opens a log, which is begun if it is not there and continued if it is, as parallel does with `--resume`.
    ///
    /// # Errors
    /// When it cannot be written, or is no job log.
    pub fn open(path: &Path) -> Result<Joblog, JoblogError> {
        let fail = |source| JoblogError::Io {
            path: path.to_owned(),
            source,
        };
        let mut start = Vec::new();
        match File::open(path) {
            // A terminal or pipe has no beginning to look at.
            Ok(file) if file.metadata().map_err(fail)?.is_file() => {
                let bound = HEADER.len() as u64;
                file.take(bound).read_to_end(&mut start).map_err(fail)?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        if !start.is_empty() && start != HEADER {
            return Err(JoblogError::Foreign(path.to_owned()));
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(fail)?;
        if start.is_empty() {
            file.write_all(HEADER).map_err(fail)?;
        }
        Ok(Joblog {
            file,
            path: path.to_owned(),
        })
    }

    /// Appends a line with one write.
    ///
    /// # Errors
    /// What the file system said.
    pub fn append(&mut self, line: &Line<'_>) -> Result<(), JoblogError> {
        self.file
            .write_all(&text(line))
            .map_err(|source| JoblogError::Io {
                path: self.path.clone(),
                source,
            })
    }
}

fn text(line: &Line<'_>) -> Vec<u8> {
    let started = line.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut text = format!(
        "{}\t:\t{:.3}\t{:10.3}\t0\t{}\t{}\t{}\t",
        line.sequence,
        started.as_secs_f64(),
        line.runtime.as_secs_f64(),
        line.received,
        line.exit_value,
        line.signal
    )
    .into_bytes();
    for (index, word) in line.argv.iter().enumerate() {
        if index > 0 {
            text.push(b' ');
        }
        quote(word.as_bytes(), &mut text);
    }
    // As parallel does, so that a line stays a line; no argument holds a NUL.
    for byte in &mut text {
        if *byte == b'\n' {
            *byte = 0;
        }
    }
    text.push(b'\n');
    text
}

/// As parallel quotes for the shell.
fn quote(word: &[u8], text: &mut Vec<u8>) {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.+/".contains(byte);
    if word.is_empty() {
        return text.extend_from_slice(b"''");
    }
    if word.iter().all(plain) {
        return text.extend_from_slice(word);
    }
    let mut quoted = vec![b'\''];
    for byte in word {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\"'\"'"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    let quoted = quoted.strip_prefix(b"''").unwrap_or(&quoted);
    text.extend_from_slice(quoted.strip_suffix(b"''").unwrap_or(quoted));
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn line(argv: &[OsString]) -> Vec<u8> {
        text(&Line {
            sequence: 12,
            started: UNIX_EPOCH + Duration::from_micros(1_795_265_133_209_400),
            runtime: Duration::from_millis(3),
            received: 10,
            exit_value: 3,
            signal: 0,
            argv,
        })
    }

    #[test]
    fn a_line_is_parallels() {
        let argv = ["sh", "-c", r#"echo out "$1"; exit 3"#, "x", "dir/a"].map(OsString::from);
        assert_eq!(
            String::from_utf8(line(&argv)).unwrap(),
            "12\t:\t1795265133.209\t     0.003\t0\t10\t3\t0\tsh -c 'echo out \"$1\"; exit 3' x dir/a\n"
        );
    }

    #[test]
    fn words_are_quoted_as_parallel_quotes_them() {
        let quoted = |word: &[u8]| {
            let text = line(&[OsStr::from_bytes(word).to_owned()]);
            let start = text.iter().rposition(|byte| *byte == b'\t').unwrap() + 1;
            text[start..text.len() - 1].to_vec()
        };
        // What GNU parallel 20221122 wrote for each.
        let table: [(&[u8], &[u8]); 10] = [
            (b"a b", b"'a b'"),
            (b"q'uo", br#"'q'"'"'uo'"#),
            (b"n\nl", b"'n\0l'"),
            (b"nu\xff", b"'nu\xff'"),
            (b"-x", b"-x"),
            (b"", b"''"),
            (b"*", b"'*'"),
            (b"b\\s", b"'b\\s'"),
            (b"'", br#""'""#),
            (b"\xc3\xbc", b"'\xc3\xbc'"),
        ];
        for (word, wanted) in table {
            assert_eq!(quoted(word), wanted, "{:?}", String::from_utf8_lossy(word));
        }
    }

    #[test]
    fn a_log_is_continued_and_another_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let argv = [OsString::from("true")];
        let entry = Line {
            sequence: 1,
            started: UNIX_EPOCH,
            runtime: Duration::ZERO,
            received: 0,
            exit_value: 0,
            signal: 0,
            argv: &argv,
        };
        for _ in 0..2 {
            Joblog::open(&path).unwrap().append(&entry).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1], "1\t:\t0.000\t     0.000\t0\t0\t0\t0\ttrue");
        assert_eq!(lines[1], lines[2]);

        let other = dir.path().join("other");
        std::fs::write(&other, "precious").unwrap();
        assert!(matches!(Joblog::open(&other), Err(JoblogError::Foreign(_))));
        assert_eq!(std::fs::read(&other).unwrap(), b"precious");
    }
}
