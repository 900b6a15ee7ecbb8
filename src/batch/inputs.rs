//! The inputs of a batch: arguments, globs that the user quoted, and a list on stdin, which is read as it is needed.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::glob;

/// The longest input of a list, bytes: no argument may be longer (the kernel's MAX_ARG_STRLEN), and its end is told
/// by a byte of its own.
pub const LONGEST: usize = 128 * 1024 - 1;

/// Why an input cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A pattern names no file.
    #[error(
        "{}: no file has this name, and as a pattern it matches none",
        .0.display()
    )]
    NoMatch(OsString),
    /// Neither a file nor a pattern.
    #[error("{}: no file has this name, and it is no pattern: {why}", .pattern.display())]
    BadPattern {
        /// As typed.
        pattern: OsString,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A directory could not be read on the way.
    #[error("{}: cannot look for matches in {}: {source}", .pattern.display(), .dir.display())]
    Directory {
        /// As typed.
        pattern: OsString,
        /// The directory.
        dir: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// `-` is given twice.
    #[error("`-` is given twice, but there is one list on stdin")]
    StdinTwice,
    /// An entry of the list has no end.
    #[error(
        "entry {entry} of the list on stdin is longer than {LONGEST} bytes; entries end with {} ({})",
        if *.null { "a NUL" } else { "a newline" },
        if *.null { "leave -0 out for a list of lines" } else { "use -0 for a list that NUL separates" }
    )]
    TooLong {
        /// From 1.
        entry: u64,
        /// The list is NUL-separated.
        null: bool,
    },
    /// A line of the list has a NUL in it, which no argument can hold.
    #[error("entry {entry} of the list on stdin holds a NUL; use -0 for a list that NUL separates")]
    Nul {
        /// From 1.
        entry: u64,
    },
    /// The list could not be read.
    #[error("cannot read the list on stdin: {0}")]
    Stdin(io::Error),
}

/// All inputs, in order.
#[derive(Debug)]
pub struct Inputs<R> {
    words: std::vec::IntoIter<Word>,
    list: List<R>,
    reading: bool,
    named: u64,
    listed: bool,
}

#[derive(Debug)]
enum Word {
    Input(OsString),
    List,
}

impl<R: BufRead> Inputs<R> {
    /// Makes sense of the arguments: `-` stands for the list on `stdin`, which `null` says is separated by NUL and
    /// not by newlines. A word is a pattern when it looks like one and no file has it as its name; URLs never are.
    ///
    /// # Errors
    /// A pattern without a match, or a second `-`.
    pub fn new(arguments: Vec<OsString>, stdin: R, null: bool) -> Result<Inputs<R>, InputError> {
        let mut words = Vec::with_capacity(arguments.len());
        let mut listed = false;
        for argument in arguments {
            if argument == "-" {
                if std::mem::replace(&mut listed, true) {
                    return Err(InputError::StdinTwice);
                }
                words.push(Word::List);
            } else if is_pattern(&argument) {
                words.extend(
                    glob::expand(&argument)?
                        .into_iter()
                        .map(|path| Word::Input(path.into_os_string())),
                );
            } else {
                words.push(Word::Input(argument));
            }
        }
        Ok(Inputs {
            named: words.len() as u64 - u64::from(listed),
            words: words.into_iter(),
            list: List {
                reader: stdin,
                end: if null { 0 } else { b'\n' },
                entry: 0,
            },
            reading: false,
            listed,
        })
    }

    /// How many there are, where that is known before the list has been read.
    pub fn known(&self) -> Option<u64> {
        (!self.listed).then_some(self.named)
    }
}

impl<R: BufRead> Iterator for Inputs<R> {
    type Item = Result<OsString, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.reading {
                match self.list.entry() {
                    Ok(Some(entry)) => return Some(Ok(entry)),
                    Ok(None) => self.reading = false,
                    Err(error) => {
                        // Behind an entry that cannot be told from its neighbours nothing is certain.
                        self.reading = false;
                        self.words = Vec::new().into_iter();
                        return Some(Err(error));
                    }
                }
            }
            match self.words.next()? {
                Word::Input(input) => return Some(Ok(input)),
                Word::List => self.reading = true,
            }
        }
    }
}

fn is_pattern(argument: &OsStr) -> bool {
    let bytes = argument.as_bytes();
    glob::has_wildcard(bytes)
        && !bytes.windows(3).any(|three| three == b"://")
        && Path::new(argument).symlink_metadata().is_err()
}

/// The list on stdin.
#[derive(Debug)]
struct List<R> {
    reader: R,
    end: u8,
    entry: u64,
}

impl<R: BufRead> List<R> {
    /// The next entry that is not empty; no more than [`LONGEST`] bytes are held for it.
    fn entry(&mut self) -> Result<Option<OsString>, InputError> {
        loop {
            let mut bytes = Vec::new();
            self.entry += 1;
            let read = io::Read::take(&mut self.reader, LONGEST as u64 + 1)
                .read_until(self.end, &mut bytes)
                .map_err(InputError::Stdin)?;
            if read == 0 {
                return Ok(None);
            }
            if bytes.last() == Some(&self.end) {
                bytes.pop();
            } else if read > LONGEST {
                return Err(InputError::TooLong {
                    entry: self.entry,
                    null: self.end == 0,
                });
            }
            if bytes.contains(&0) {
                return Err(InputError::Nul { entry: self.entry });
            }
            if !bytes.is_empty() {
                return Ok(Some(OsString::from_vec(bytes)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn all(arguments: &[&str], stdin: &[u8], null: bool) -> Vec<Result<OsString, String>> {
        Inputs::new(arguments.iter().map(OsString::from).collect(), stdin, null)
            .unwrap()
            .map(|input| input.map_err(|error| error.to_string()))
            .collect()
    }

    fn ok(words: &[&str]) -> Vec<Result<OsString, String>> {
        words.iter().map(|word| Ok(OsString::from(word))).collect()
    }

    #[test]
    fn the_list_stands_where_its_dash_stands() {
        assert_eq!(
            all(&["a", "-", "z"], b"b c\n\n-d\n*\nlast", false),
            ok(&["a", "b c", "-d", "*", "last", "z"])
        );
        assert_eq!(all(&["-"], b"a\nb\0c\0\0", true), ok(&["a\nb", "c"]));
        assert_eq!(all(&["-"], b"", false), ok(&[]));
    }

    #[test]
    fn only_without_a_list_is_the_count_known() {
        let count = |arguments: &[&str]| {
            Inputs::new(
                arguments.iter().map(OsString::from).collect(),
                &b""[..],
                false,
            )
            .unwrap()
            .known()
        };
        assert_eq!(count(&["a", "b"]), Some(2));
        assert_eq!(count(&["a", "-"]), None);
    }

    #[test]
    fn what_cannot_be_an_argument_is_an_error_that_says_where_it_stands() {
        let mut list = b"a\n".to_vec();
        list.extend(vec![b'x'; LONGEST + 1]);
        list.extend(b"\nb\n");
        let read = all(&["-", "z"], &list, false);
        assert_eq!(read.len(), 2);
        let error = read[1].clone().unwrap_err();
        assert!(error.contains("entry 2") && error.contains("-0"), "{error}");
        let longest = vec![b'x'; LONGEST];
        assert_eq!(
            all(&["-"], &longest, false)[0].as_ref().unwrap().len(),
            LONGEST
        );

        let nul = all(&["-"], b"a\nb\0c\nd", false);
        assert!(nul[1].clone().unwrap_err().contains("entry 2"), "{nul:?}");
        assert_eq!(nul.len(), 2);
        let twice = Inputs::new(vec!["-".into(), "-".into()], &b""[..], false);
        assert!(matches!(twice, Err(InputError::StdinTwice)));
    }

    #[test]
    fn an_endless_list_is_read_as_it_is_needed() {
        struct Endless;
        impl io::Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'\n');
                buffer[0] = b'x';
                Ok(buffer.len())
            }
        }
        let stdin = io::BufReader::new(Endless);
        let inputs = Inputs::new(vec!["-".into()], stdin, false).unwrap();
        assert_eq!(inputs.take(1000).filter(Result::is_ok).count(), 1000);
    }

    #[test]
    fn a_file_of_that_name_wins_over_the_pattern() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.mov", "b.mov", "[ab].mov"] {
            File::create(dir.path().join(name)).unwrap();
        }
        let argument = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let literal = argument("[ab].mov");
        assert_eq!(all(&[&literal], b"", false), ok(&[&literal]));
        fs::remove_file(&literal).unwrap();
        assert_eq!(
            all(&[&literal], b"", false),
            ok(&[&argument("a.mov"), &argument("b.mov")])
        );
    }

    #[test]
    fn a_pattern_without_a_match_is_named_and_other_words_need_no_file() {
        let none = Inputs::new(vec!["/nowhere/*.mov".into()], &b""[..], false).unwrap_err();
        assert!(none.to_string().contains("/nowhere/*.mov"), "{none}");
        let words = ["no such file", "https://host/x?y=[1]", "7"];
        assert_eq!(all(&words, b"", false), ok(&words));
    }
}
