//! An FFmpeg command line, typed: `argv` to [`Command`] and back, byte for byte.
//!
//! FFmpeg reads its command line as groups: options, then the file they belong to (`-i FILE` is an input,
//! a bare word an output). Global options may stand in any group. Options behind the last output are ignored
//! by FFmpeg with a warning; they are kept here as `trailing`.
//! What an option *means* is not decided here; see `options` for which of them take a value.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::options::{self, Arity, Specifier, StreamKind};

/// One option as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opt {
    /// The name without its leading dash, with any stream specifier: `c:v:0`, `preset`, `filter_complex`.
    pub name: OsString,
    /// The value, absent for a flag such as `-y`.
    pub value: Option<OsString>,
}

/// What a group's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Named with `-i`.
    Input,
    /// A bare word.
    Output,
    /// A loopback decoder named with `-dec` (FFmpeg 7.1 and later): no file at all.
    Decoder,
}

/// Options and the file they belong to, in the order of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The options written before the file (global options may be among them).
    pub options: Vec<Opt>,
    /// Input, output or decoder.
    pub kind: FileKind,
    /// The file name or URL as written.
    pub url: OsString,
    /// How many `--` stood before an output's name. More than one means the same as one.
    pub dashdash: usize,
}

/// A whole FFmpeg command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What was typed for the program: `ffmpeg`, `/opt/ffmpeg/bin/ffmpeg`.
    pub program: OsString,
    /// Inputs and outputs in the order of the command line.
    pub groups: Vec<Group>,
    /// Options behind the last file, which FFmpeg ignores unless they are global.
    pub trailing: Vec<Opt>,
    /// How many `--` ended the line, with no file behind them.
    pub trailing_dashdash: usize,
}

/// Why a command line could not be read. FFmpeg refuses the same lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is not even a program.
    #[error("the command is empty: name a program to run")]
    Empty,
    /// The last word is an option that needs a value.
    #[error("option -{} needs a value and is the last word of the command", name.to_string_lossy())]
    MissingValue {
        /// The option without its dash.
        name: OsString,
    },
}

impl Opt {
    /// An option with a value.
    pub fn new(name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        Self {
            name: name.into(),
            value: Some(value.into()),
        }
    }

    /// An option without a value.
    pub fn flag(name: impl Into<OsString>) -> Self {
        Self {
            name: name.into(),
            value: None,
        }
    }

    /// The name as FFmpeg resolves it and the streams it is aimed at: `vcodec` and `codec:v` are both `c`, video.
    pub fn canonical(&self) -> (&[u8], Specifier) {
        options::canonical(&self.name)
    }
}

impl Group {
    /// The value of an option with exactly this name (`f`, `b:v`); the last one written wins.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.options
            .iter()
            .rev()
            .find(|opt| opt.name == name)?
            .value
            .as_deref()
    }

    /// Whether an option of exactly this name stands in the group.
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|opt| opt.name == name)
    }

    /// The state of a boolean (`-re`, `-noautorotate`) in this group, if it was written; the last one wins.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        last_boolean(self.options.iter(), name)
    }

    /// All options `name` that are or may be aimed at streams of a kind, in the order written.
    /// Aliases count: `c` finds `-vcodec`, `codec:v` and `c:v:0`; `filter` finds `-vf`.
    pub fn options_for<'a>(
        &'a self,
        name: &str,
        kind: StreamKind,
    ) -> impl DoubleEndedIterator<Item = &'a Opt> + use<'a> {
        let wanted = options::canonical(OsStr::new(name)).0.to_vec();
        self.options.iter().filter(move |opt| {
            let (name, specifier) = opt.canonical();
            name == wanted && specifier.may_match(kind)
        })
    }

    /// The value FFmpeg uses of an option such as `-preset:v`, `-threads` or `-b:v` for streams of a kind:
    /// the last one written wins. Options aimed at a stream by its number in the file count too.
    pub fn option_for(&self, name: &str, kind: StreamKind) -> Option<&OsStr> {
        self.options_for(name, kind).next_back()?.value.as_deref()
    }

    /// The value FFmpeg uses of an option for the `index`th stream of a kind; the last one written wins.
    pub fn option_for_nth(&self, name: &str, kind: StreamKind, index: u32) -> Option<&OsStr> {
        self.options_for(name, kind)
            .rfind(|opt| opt.canonical().1.matches(kind, index))?
            .value
            .as_deref()
    }

    /// The codec chosen for streams of a kind (`-c`, `-codec:v`, `-vcodec`, `-c:v:0`); the last one written wins.
    pub fn codec(&self, kind: StreamKind) -> Option<&OsStr> {
        self.option_for("c", kind)
    }

    /// Whether streams of a kind are left out (`-vn`, `-an`, `-sn`, `-dn`).
    pub fn disables(&self, kind: StreamKind) -> bool {
        let name = match kind {
            StreamKind::Video => "vn",
            StreamKind::Audio => "an",
            StreamKind::Subtitle => "sn",
            StreamKind::Data => "dn",
        };
        self.boolean(name).unwrap_or(false)
    }
}

impl Command {
    /// Reads a command line (`argv[0]` first) as FFmpeg itself splits it.
    ///
    /// # Errors
    /// [`CommandError`] if the line is empty or ends in an option that needs a value.
    pub fn parse(argv: &[OsString]) -> Result<Self, CommandError> {
        let (program, mut rest) = argv.split_first().ok_or(CommandError::Empty)?;
        let mut groups = Vec::new();
        let mut opts = Vec::new();
        let mut dashdash = 0;
        while let Some((word, after)) = rest.split_first() {
            rest = after;
            if word == "--" {
                dashdash += 1;
                continue;
            }
            let name = match word.as_bytes() {
                [b'-', name @ ..] if !name.is_empty() && dashdash == 0 => OsStr::from_bytes(name),
                _ => {
                    let options = std::mem::take(&mut opts);
                    groups.push(Group {
                        options,
                        kind: FileKind::Output,
                        url: word.clone(),
                        dashdash,
                    });
                    dashdash = 0;
                    continue;
                }
            };
            let value = match options::arity(name, rest.first().map(OsString::as_os_str)) {
                Arity::Flag => None,
                Arity::Optional => rest.first().cloned(),
                Arity::Value => match rest.first() {
                    Some(value) => Some(value.clone()),
                    None => {
                        return Err(CommandError::MissingValue {
                            name: name.to_owned(),
                        });
                    }
                },
            };
            if value.is_some() {
                rest = &rest[1..];
            }
            let kind = match name.as_bytes() {
                b"i" => FileKind::Input,
                b"dec" => FileKind::Decoder,
                _ => {
                    opts.push(Opt {
                        name: name.to_owned(),
                        value,
                    });
                    continue;
                }
            };
            let options = std::mem::take(&mut opts);
            groups.push(Group {
                options,
                kind,
                url: value.unwrap_or_default(),
                dashdash: 0,
            });
        }
        Ok(Self {
            program: program.clone(),
            groups,
            trailing: opts,
            trailing_dashdash: dashdash,
        })
    }

    /// The command line again, byte for byte what was parsed.
    pub fn to_argv(&self) -> Vec<OsString> {
        let mut argv = vec![self.program.clone()];
        for group in &self.groups {
            push_options(&mut argv, &group.options);
            match group.kind {
                FileKind::Input => argv.push("-i".into()),
                FileKind::Decoder => argv.push("-dec".into()),
                FileKind::Output => {
                    // A name that would read as an option, put there by a rewrite, needs its `--`.
                    let needed =
                        usize::from(group.url.len() > 1 && group.url.as_bytes().starts_with(b"-"));
                    argv.extend(std::iter::repeat_n("--".into(), group.dashdash.max(needed)));
                }
            }
            argv.push(group.url.clone());
        }
        push_options(&mut argv, &self.trailing);
        argv.extend(std::iter::repeat_n("--".into(), self.trailing_dashdash));
        argv
    }

    /// The inputs, in the order FFmpeg numbers them.
    pub fn inputs(&self) -> impl DoubleEndedIterator<Item = &Group> {
        self.groups
            .iter()
            .filter(|group| group.kind == FileKind::Input)
    }

    /// The inputs, to be changed.
    pub fn inputs_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Group> {
        self.groups
            .iter_mut()
            .filter(|group| group.kind == FileKind::Input)
    }

    /// The outputs, in the order FFmpeg numbers them.
    pub fn outputs(&self) -> impl DoubleEndedIterator<Item = &Group> {
        self.groups
            .iter()
            .filter(|group| group.kind == FileKind::Output)
    }

    /// The outputs, to be changed.
    pub fn outputs_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Group> {
        self.groups
            .iter_mut()
            .filter(|group| group.kind == FileKind::Output)
    }

    /// Every option of the line, those of the groups first, then the trailing ones.
    pub fn options(&self) -> impl DoubleEndedIterator<Item = &Opt> {
        self.groups
            .iter()
            .flat_map(|group| &group.options)
            .chain(&self.trailing)
    }

    /// Whether a global option of exactly this name (`y`, `nostdin`, `filter_complex`) stands anywhere.
    pub fn has_global(&self, name: &str) -> bool {
        self.options().any(|opt| opt.name == name)
    }

    /// The value of a global option (`loglevel`, `progress`); the last one written wins.
    pub fn global(&self, name: &str) -> Option<&OsStr> {
        self.options()
            .rev()
            .find(|opt| opt.name == name)?
            .value
            .as_deref()
    }

    /// The state of a global boolean (`y`, `stdin`, `stats`, also as `-nostdin`), if written; the last one wins.
    pub fn global_boolean(&self, name: &str) -> Option<bool> {
        last_boolean(self.options(), name)
    }

    /// Whether FFmpeg will only print something: `-version`, `-h`, `-encoders`, or no output at all.
    pub fn is_informational(&self) -> bool {
        self.outputs().next().is_none()
            || self
                .options()
                .any(|opt| options::is_informational(&opt.name))
    }
}

/// Whether a program is FFmpeg itself, by its file name: `ffmpeg`, `/opt/bin/ffmpeg`, `ffmpeg6`, `ffmpeg-5.1`.
pub fn is_ffmpeg(program: &OsStr) -> bool {
    let Some(version) = Path::new(program)
        .file_name()
        .and_then(|name| name.as_bytes().strip_prefix(b"ffmpeg"))
    else {
        return false;
    };
    let version = version
        .strip_prefix(b"-")
        .or_else(|| version.strip_prefix(b"_"))
        .unwrap_or(version);
    // `ffmpeg-n7.1` is what builds from a git tag are called.
    let version = version.strip_prefix(b"n").unwrap_or(version);
    version.is_empty() && Path::new(program).file_name() == Some(OsStr::new("ffmpeg"))
        || version.first().is_some_and(u8::is_ascii_digit)
            && version
                .iter()
                .all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

fn last_boolean<'a>(opts: impl DoubleEndedIterator<Item = &'a Opt>, name: &str) -> Option<bool> {
    opts.rev()
        .find_map(|opt| match options::boolean(&opt.name) {
            // `-autorotate 0`, as FFmpeg before 7 has it.
            Some((found, set)) if found == name.as_bytes() => {
                Some(set && opt.value.as_deref() != Some(OsStr::new("0")))
            }
            _ => None,
        })
}

fn push_options(argv: &mut Vec<OsString>, opts: &[Opt]) {
    for opt in opts {
        let mut word = b"-".to_vec();
        word.extend_from_slice(opt.name.as_bytes());
        argv.push(OsString::from_vec(word));
        argv.extend(opt.value.clone());
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
