//! A small file of the kernel that is read again and again through a descriptor kept open: 4 to 7 times cheaper than
//! opening it each time, and possible when no memory is left.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Longest file that is read, bytes; `/proc/meminfo` has 1.5 KiB, `memory.stat` 2.
const BOUND: usize = 1 << 20;
/// First size of the buffer, bytes.
const USUAL: usize = 4096;

/// The file and what it held when it was read last.
#[derive(Debug)]
pub struct Kept {
    file: File,
    buffer: Vec<u8>,
}

impl Kept {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open(path: &Path) -> io::Result<Kept> {
        Ok(Kept::from(File::open(path)?))
    }

    /// The same of a file of which so many bytes can be expected.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open_long(path: &Path, bytes: usize) -> io::Result<Kept> {
        let mut kept = Kept::open(path)?;
        kept.buffer.resize(bytes.clamp(USUAL, BOUND), 0);
        Ok(kept)
    }

    /// Reads it from its start; its text up to 1 MiB. A read that does not fill the buffer is taken for the whole:
    /// true of all files that the kernel writes in one piece, as most of those of memory are.
    ///
    /// # Errors
    /// What the kernel said: `ENODEV` when the cgroup is gone, `ESRCH` when the process is. `InvalidData` when it is
    /// no text.
    pub fn read(&mut self) -> io::Result<&str> {
        self.fill(false)
    }

    /// The same of a file that the kernel writes in several pieces: it is read until there is no more.
    ///
    /// # Errors
    /// As [`Kept::read`].
    pub fn read_whole(&mut self) -> io::Result<&str> {
        self.fill(true)
    }

    fn fill(&mut self, in_pieces: bool) -> io::Result<&str> {
        if self.buffer.is_empty() {
            self.buffer.resize(USUAL, 0);
        }
        let mut length = 0;
        loop {
            let offset = u64::try_from(length).unwrap_or(0);
            let count = match self.file.read_at(&mut self.buffer[length..], offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            length += count;
            let is_full = length == self.buffer.len();
            if is_full && length < BOUND {
                // Anew: a piece that is cut would go on with other numbers.
                self.buffer.resize(length * 2, 0);
                length = 0;
            } else if is_full || count == 0 || !in_pieces {
                break;
            }
        }
        std::str::from_utf8(&self.buffer[..length])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl From<File> for Kept {
    fn from(file: File) -> Kept {
        Kept {
            file,
            buffer: Vec::new(),
        }
    }
}

impl AsFd for Kept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_seen_and_a_long_file_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "1\n").unwrap();
        let mut kept = Kept::open(&path).unwrap();
        assert_eq!(kept.read().unwrap(), "1\n");
        let long = "anon 12345\n".repeat(1000);
        std::fs::write(&path, &long).unwrap();
        assert_eq!(kept.read().unwrap(), long);
        assert_eq!(Kept::open(&path).unwrap().read_whole().unwrap(), long);
        std::fs::write(&path, "2\n").unwrap();
        assert_eq!(kept.read().unwrap(), "2\n");
    }
}
