//! An FFmpeg command line, typed: `argv` to [`Command`] and back, byte for byte.
//!
//! FFmpeg reads its command line as groups: options, then the file they belong to (`-i FILE` is an input,
//! a bare word an output). Global options may stand in any group. Options behind the last output are ignored
//! by FFmpeg with a warning; they are kept here as `trailing`.
//! What an option *means* is not decided here; see `options` for which of them take a value.

use std::ffi::OsString;

/// One option as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opt {
    /// The name without its leading dash, with any stream specifier: `c:v:0`, `preset`, `filter_complex`.
    pub name: OsString,
    /// The value, absent for a flag such as `-y`.
    pub value: Option<OsString>,
}

/// Whether a group's file is read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Named with `-i`.
    Input,
    /// A bare word.
    Output,
}

/// Options and the file they belong to, in the order of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The options written before the file (global options may be among them).
    pub options: Vec<Opt>,
    /// Input or output.
    pub kind: FileKind,
    /// The file name or URL as written.
    pub url: OsString,
    /// The file stood behind a `--`.
    pub dashdash: bool,
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
}
