//! The lines of a journal: written, checked, and looked up by key.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::digest::fnv64;

/// The first line of every journal.
pub const HEADER: &[u8] = b"ffwarden batch journal 1\n";
const HEADER_OF_ANY: &[u8] = b"ffwarden batch journal ";
/// The longest line that is read, bytes.
const LONGEST: u64 = 1 << 20;
/// The most outputs that are noted of one job.
const MOST_OUTPUTS: usize = 32;
/// The longest output path that is noted, bytes.
const LONGEST_PATH: usize = 8192;

/// An output as a job left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    path: PathBuf,
    size: u64,
    changed: u64,
}

impl Left {
    /// Looks at an output; none for what is no regular file.
    pub fn look(dir: &Path, path: &Path) -> Option<Left> {
        let file = fs::metadata(dir.join(path)).ok()?;
        (file.is_file() && path.as_os_str().len() <= LONGEST_PATH).then(|| Left {
            path: path.to_owned(),
            size: file.len(),
            changed: changed(&file),
        })
    }

    /// It is still there, of the same size, and not replaced by something older.
    fn stands(&self, dir: &Path) -> bool {
        fs::metadata(dir.join(&self.path)).is_ok_and(|file| {
            file.is_file() && file.len() == self.size && changed(&file) >= self.changed
        })
    }
}

/// When a file was last changed, nanoseconds since 1970.
pub fn changed(file: &Metadata) -> u64 {
    let nanoseconds = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
    u64::try_from(nanoseconds.max(0)).unwrap_or(u64::MAX)
}

/// A line with its checksum: key, time, and size, time and path of each output, separated by tabs.
pub fn line(key: u128, now_seconds: u64, outputs: &[Left]) -> Vec<u8> {
    let mut line = format!("{key:032x}\t{now_seconds}").into_bytes();
    for output in outputs.iter().take(MOST_OUTPUTS) {
        line.extend_from_slice(format!("\t{}\t{}\t", output.size, output.changed).as_bytes());
        escape(output.path.as_os_str().as_bytes(), &mut line);
    }
    let checksum = format!("\t{:016x}\n", fnv64(&line));
    line.extend_from_slice(checksum.as_bytes());
    line
}

/// A line that is whole.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    key: u128,
    outputs: Vec<Left>,
}

/// Reads a line without its newline; none for one that is damaged.
fn parse(line: &[u8]) -> Option<Entry> {
    let tab = line.iter().rposition(|byte| *byte == b'\t')?;
    let checksum = std::str::from_utf8(&line[tab + 1..]).ok()?;
    let body = &line[..tab];
    if checksum.len() != 16 || u64::from_str_radix(checksum, 16).ok()? != fnv64(body) {
        return None;
    }
    let text = |field: &[u8]| std::str::from_utf8(field).ok().map(str::to_owned);
    let mut fields = body.split(|byte| *byte == b'\t');
    let key = u128::from_str_radix(&text(fields.next()?)?, 16).ok()?;
    let _finished: u64 = text(fields.next()?)?.parse().ok()?;
    let mut outputs = Vec::new();
    while let Some(size) = fields.next() {
        outputs.push(Left {
            size: text(size)?.parse().ok()?,
            changed: text(fields.next()?)?.parse().ok()?,
            path: PathBuf::from(OsStr::from_bytes(&unescape(fields.next()?))),
        });
    }
    Some(Entry { key, outputs })
}

fn escape(path: &[u8], line: &mut Vec<u8>) {
    for byte in path {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\t' => line.extend_from_slice(b"\\t"),
            b'\n' => line.extend_from_slice(b"\\n"),
            byte => line.push(*byte),
        }
    }
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        path.push(match byte {
            b'\\' => match bytes.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                _ => b'\\',
            },
            byte => *byte,
        });
    }
    path
}

/// All of a journal, looked through once.
#[derive(Debug, Default)]
pub struct Scan {
    /// The low 64 bits of each key and where its line begins, in the file's order.
    pub entries: Vec<(u64, u64)>,
    /// Lines that are damaged.
    pub damaged: u64,
    /// The last line has no end.
    pub torn: bool,
    /// Up to here the file consists of whole lines, bytes.
    pub whole: u64,
    /// A later version wrote it.
    pub newer: bool,
}

impl Scan {
    /// Looks through a journal from its beginning.
    ///
    /// # Errors
    /// What the file system said.
    pub fn of(file: &mut File) -> io::Result<Scan> {
        file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::new(file);
        let mut scan = Scan::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = Read::take(&mut reader, LONGEST).read_until(b'\n', &mut line)? as u64;
            if read == 0 {
                return Ok(scan);
            }
            let begin = scan.whole;
            if line.last() != Some(&b'\n') && read < LONGEST {
                scan.torn = true;
                return Ok(scan);
            }
            scan.whole += read;
            if begin == 0 {
                scan.newer = line != HEADER && line.starts_with(HEADER_OF_ANY);
                scan.damaged += u64::from(line != HEADER);
            } else if let Some(entry) = parse(line.strip_suffix(b"\n").unwrap_or(&line)) {
                scan.entries.push((low(entry.key), begin));
            } else {
                scan.damaged += 1;
            }
        }
    }
}

fn low(key: u128) -> u64 {
    key as u64
}

/// The line that begins where the file stands, newline included.
///
/// # Errors
/// What the file system said.
pub fn read_line(file: &mut File) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(file.take(LONGEST)).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// The highest bit of an offset: this line has been used to leave a job out.
const USED: u64 = 1 << 63;

/// What was done before this batch started.
#[derive(Debug)]
pub struct Done {
    file: File,
    /// Sorted by key, then by place in the file.
    index: Vec<(u64, u64)>,
    dir: PathBuf,
}

impl Done {
    /// From what a scan has found in `file`; outputs are looked for in `dir`.
    pub fn new(file: File, mut entries: Vec<(u64, u64)>, dir: PathBuf) -> Done {
        entries.sort_unstable();
        Done {
            file,
            index: entries,
            dir,
        }
    }

    /// As if nothing had been done.
    pub fn forget(&mut self) {
        self.index = Vec::new();
    }

    /// How many finished jobs are known.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// None is.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether this job was done and its outputs are as it left them. Two equal jobs in one batch want two lines:
    /// each line answers yes once.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn has(&mut self, key: u128) -> io::Result<bool> {
        let begin = self.index.partition_point(|(known, _)| *known < low(key));
        let end = self.index.partition_point(|(known, _)| *known <= low(key));
        // Two keys may share their low half; only then are there lines of another among these.
        let mut last = None;
        for (_, offset) in self.index[begin..end].iter().rev() {
            last = self
                .entry(*offset & !USED)?
                .filter(|entry| entry.key == key);
            if last.is_some() {
                break;
            }
        }
        let Some(entry) = last else { return Ok(false) };
        let unused = |(_, offset): &(u64, u64)| *offset & USED == 0;
        let first = begin + self.index[begin..end].partition_point(|line| !unused(line));
        let mut free = None;
        for place in (first..end).filter(|place| unused(&self.index[*place])) {
            let found = self.entry(self.index[place].1)?;
            if found.is_some_and(|entry| entry.key == key) {
                free = Some(place);
                break;
            }
        }
        let Some(place) = free else { return Ok(false) };
        if !entry.outputs.iter().all(|output| output.stands(&self.dir)) {
            return Ok(false);
        }
        self.index[place].1 |= USED;
        Ok(true)
    }

    fn entry(&self, offset: u64) -> io::Result<Option<Entry>> {
        let mut line = Vec::new();
        let mut chunk = [0; 512];
        while (line.len() as u64) < LONGEST {
            let read = self.file.read_at(&mut chunk, offset + line.len() as u64)?;
            if let Some(end) = chunk[..read].iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(&chunk[..end]);
                return Ok(parse(&line));
            }
            if read == 0 {
                break;
            }
            line.extend_from_slice(&chunk[..read]);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_whatever_the_names() {
        let left = |path: &[u8]| Left {
            path: PathBuf::from(OsStr::from_bytes(path)),
            size: 7,
            changed: 1_795_265_133_209_500_123,
        };
        let outputs = [left(b"a b.mp4"), left(b"n\nt\t\\n\\.mp4"), left(b"nu\xff")];
        let line = line(u128::MAX - 5, 1_795_265_133, &outputs);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let entry = parse(&line[..line.len() - 1]).unwrap();
        assert_eq!(entry.key, u128::MAX - 5);
        assert_eq!(entry.outputs, outputs);
    }

    #[test]
    fn no_single_changed_byte_goes_unseen() {
        let line = line(5, 1_795_265_133, &[]);
        let line = &line[..line.len() - 1];
        for place in 0..line.len() {
            for flip in [1, 0x20, 0x80] {
                let mut damaged = line.to_vec();
                damaged[place] ^= flip;
                // The checksum's own digits read the same in upper case.
                let same_number = damaged.eq_ignore_ascii_case(line) && place >= line.len() - 16;
                assert!(same_number || parse(&damaged).is_none(), "byte {place}");
            }
            assert_eq!(parse(&line[..place]), None, "torn at {place}");
        }
    }
}
