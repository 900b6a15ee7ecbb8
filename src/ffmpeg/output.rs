//! What an output or input URL names, as FFmpeg reads it, and what FFmpeg will say to an existing target. Pure.
//!
//! Looking at the file system (is it a FIFO, does it exist) is done in [`super::target`].

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::command::{Command, Group};

/// Muxers that write many files, or hand the URL to other muxers.
const MANY_FILES_MUXERS: &[&str] = &[
    "dash",
    "fifo",
    "hds",
    "hls",
    "segment",
    "smoothstreaming",
    "ssegment",
    "stream_segment",
    "tee",
    "webm_chunk",
];

/// Muxers that write to a device, whatever the URL looks like.
const DEVICE_MUXERS: &[&str] = &[
    "alsa",
    "audiotoolbox",
    "caca",
    "decklink",
    "fbdev",
    "opengl",
    "oss",
    "pulse",
    "sdl",
    "sdl2",
    "sndio",
    "v4l2",
    "video4linux2",
    "xv",
];

/// Demuxers that read from a device, whatever the URL looks like.
const DEVICE_DEMUXERS: &[&str] = &[
    "alsa",
    "android_camera",
    "avfoundation",
    "bktr",
    "decklink",
    "dshow",
    "fbdev",
    "gdigrab",
    "iec61883",
    "jack",
    "kmsgrab",
    "libcdio",
    "libdc1394",
    "openal",
    "oss",
    "pulse",
    "sndio",
    "v4l2",
    "vfwcap",
    "video4linux2",
    "x11grab",
];

/// Extensions that the image2 muxer takes for its own (`libavformat/img2.c`, `img2enc.c`).
const IMAGE_EXTENSIONS: &[&str] = &[
    "bmp", "dpx", "exr", "gif", "hdr", "im1", "im24", "im8", "j2c", "j2k", "jls", "jp2", "jpeg",
    "jpg", "jps", "jxl", "ljpg", "mng", "mpo", "pam", "pbm", "pcx", "pfm", "pgm", "pgmyuv", "phm",
    "pix", "png", "pnm", "pns", "ppm", "qoi", "ras", "rs", "sgi", "sun", "sunras", "tga", "tif",
    "tiff", "vbn", "wbmp", "webp", "xbm", "xface", "xwd", "y",
];

/// What an output writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKind {
    /// One file with this path (without any `file:`).
    File(PathBuf),
    /// Standard output or another open file descriptor.
    Pipe,
    /// Nothing: `-f null` or `/dev/null`.
    Null,
    /// A device.
    Device,
    /// A protocol other than `file`.
    Url,
    /// Many files: HLS, DASH, segments, image sequences, tee.
    ManyFiles,
}

/// What an input reads from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    /// A file with this path (without any `file:`); an image sequence's pattern too.
    File(PathBuf),
    /// Standard input or another open file descriptor: it can be read once only.
    Pipe,
    /// A filter graph (`-f lavfi`): it can be read again and has no file.
    Lavfi,
    /// A device.
    Device,
    /// A protocol other than `file`.
    Url,
}

/// What FFmpeg does when an output's target is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// The target does not exist.
    Absent,
    /// It exists and `-y` allows to replace it.
    Replace,
    /// FFmpeg will refuse: `-n`, no interaction, or both `-y` and `-n`.
    Refuse,
    /// FFmpeg will ask on standard error and read the answer from standard input.
    Ask,
    /// Written the same as an input: FFmpeg will refuse.
    SameAsInput,
}

/// What an output writes to, from its URL and its `-f` alone.
pub fn classify(group: &Group) -> OutputKind {
    let muxer = group.value("f").unwrap_or_default();
    if listed(MANY_FILES_MUXERS, muxer) {
        return OutputKind::ManyFiles;
    }
    if muxer == "null" {
        return OutputKind::Null;
    }
    if listed(DEVICE_MUXERS, muxer) {
        return OutputKind::Device;
    }
    let path = match place(&group.url) {
        Place::File(path) => path,
        Place::Pipe => return OutputKind::Pipe,
        Place::Url => return OutputKind::Url,
    };
    if path == Path::new("/dev/null") {
        OutputKind::Null
    } else if is_descriptor(path) {
        OutputKind::Pipe
    } else if is_device_path(path) {
        OutputKind::Device
    } else if writes_many_files(group, path, muxer) {
        OutputKind::ManyFiles
    } else {
        OutputKind::File(path.to_owned())
    }
}

/// What an input reads from, from its URL and its `-f` alone.
pub fn classify_input(group: &Group) -> InputKind {
    let demuxer = group.value("f").unwrap_or_default();
    if demuxer == "lavfi" {
        return InputKind::Lavfi;
    }
    if listed(DEVICE_DEMUXERS, demuxer) {
        return InputKind::Device;
    }
    let mut url = group.url.as_os_str();
    // Wrappers that read what follows them.
    while let Some(inner) = url
        .as_bytes()
        .strip_prefix(b"cache:")
        .or_else(|| url.as_bytes().strip_prefix(b"async:"))
    {
        url = OsStr::from_bytes(inner);
    }
    match place(url) {
        Place::Pipe => InputKind::Pipe,
        Place::File(path) if is_descriptor(path) => InputKind::Pipe,
        Place::File(path) if is_device_path(path) => InputKind::Device,
        Place::File(_) | Place::Url if url != group.url => InputKind::Url,
        Place::File(path) => InputKind::File(path.to_owned()),
        Place::Url => InputKind::Url,
    }
}

/// What FFmpeg will do about an output's target.
///
/// `exists`: the target exists. A target that is written like an input counts as [`Overwrite::SameAsInput`] only
/// where FFmpeg comes to compare them.
pub fn overwrite(command: &Command, output: &Group, exists: bool) -> Overwrite {
    let yes = command.global_boolean("y").unwrap_or(false);
    let no = command.global_boolean("n").unwrap_or(false);
    if yes && no || exists && !yes && (no || !is_interactive(command)) {
        Overwrite::Refuse
    } else if command.inputs().any(|input| input.url == output.url) {
        Overwrite::SameAsInput
    } else if !exists {
        Overwrite::Absent
    } else if yes {
        Overwrite::Replace
    } else {
        Overwrite::Ask
    }
}

/// Whether FFmpeg reads keys and answers from standard input: not with `-nostdin`, nor when an input uses it.
pub fn is_interactive(command: &Command) -> bool {
    let reads_stdin = |input: &Group| {
        let url = input.url.as_bytes();
        url == b"-" || url.starts_with(b"pipe:") || url.starts_with(b"fd:") || url == b"/dev/stdin"
    };
    command.global_boolean("stdin").unwrap_or(true) && !command.inputs().any(reads_stdin)
}

/// What stands in front of the path in a file output's URL: `file:` or nothing.
pub fn file_prefix(url: &OsStr) -> &'static str {
    if url.as_bytes().starts_with(b"file:") {
        "file:"
    } else {
        ""
    }
}

/// The temporary name for a target: hidden, with `extension` (the user's, from which FFmpeg guesses the muxer),
/// and no longer than `name_max` bytes. `None` if token and extension alone are longer.
pub fn temporary_name(
    stem: &OsStr,
    extension: Option<&OsStr>,
    token: &str,
    name_max: usize,
) -> Option<OsString> {
    let extension_len = extension.map_or(0, |extension| extension.len() + 1);
    let room =
        name_max.checked_sub(".".len() + ".ffwarden-".len() + token.len() + extension_len)?;
    let stem = stem.as_bytes();
    let mut end = stem.len().min(room);
    // Not in the middle of a UTF-8 character: some file systems refuse such names.
    while end < stem.len() && end > 0 && stem[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    let mut name = OsString::from(".");
    name.push(OsStr::from_bytes(&stem[..end]));
    name.push(".ffwarden-");
    name.push(token);
    if let Some(extension) = extension {
        name.push(".");
        name.push(extension);
    }
    Some(name)
}

/// Splits a file name at its last dot, as FFmpeg does when it guesses a muxer (`.mp4` alone has one too).
pub fn split_extension(name: &OsStr) -> (&OsStr, Option<&OsStr>) {
    let bytes = name.as_bytes();
    match bytes.iter().rposition(|&byte| byte == b'.') {
        Some(dot) => (
            OsStr::from_bytes(&bytes[..dot]),
            Some(OsStr::from_bytes(&bytes[dot + 1..])),
        ),
        None => (name, None),
    }
}

enum Place<'a> {
    File(&'a Path),
    Pipe,
    Url,
}

/// Splits off the protocol by FFmpeg's rule: a run of scheme characters and a colon, wherever that leads.
fn place(url: &OsStr) -> Place<'_> {
    let bytes = url.as_bytes();
    if bytes == b"-" {
        return Place::Pipe;
    }
    let scheme_len = bytes
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(byte)))
        .unwrap_or(bytes.len());
    if bytes.get(scheme_len) != Some(&b':') {
        // `subfile,,start,N,end,M,,:FILE` keeps its options before the colon.
        let subfile = bytes.starts_with(b"subfile,") && bytes.contains(&b':');
        return if subfile {
            Place::Url
        } else {
            Place::File(Path::new(url))
        };
    }
    match &bytes[..scheme_len] {
        b"file" => Place::File(Path::new(OsStr::from_bytes(&bytes[scheme_len + 1..]))),
        b"pipe" | b"fd" => Place::Pipe,
        _ => Place::Url,
    }
}

fn is_descriptor(path: &Path) -> bool {
    ["/dev/stdin", "/dev/stdout", "/dev/stderr"]
        .iter()
        .any(|name| path == Path::new(name))
        || path.starts_with("/dev/fd")
        || path.starts_with("/proc/self/fd")
}

fn is_device_path(path: &Path) -> bool {
    path.starts_with("/dev") && !path.starts_with("/dev/shm")
}

fn writes_many_files(group: &Group, path: &Path, muxer: &OsStr) -> bool {
    let extension = path
        .file_name()
        .and_then(|name| split_extension(name).1)
        .unwrap_or_default();
    let extension = extension.to_ascii_lowercase();
    if muxer.is_empty() && (extension == "m3u8" || extension == "mpd") {
        return true;
    }
    let image2 = muxer == "image2" || muxer.is_empty() && listed(IMAGE_EXTENSIONS, &extension);
    let set = |name| group.value(name).is_some_and(|value| value != "0");
    // `-update 1` writes one file over and over, whatever its name looks like.
    image2 && !set("update") && (set("strftime") || is_sequence_pattern(path.as_os_str()))
}

/// Whether `av_get_frame_filename2` would put a number into the name: at least one `%d` or `%03d`,
/// and nothing else behind a `%` but another `%`.
fn is_sequence_pattern(name: &OsStr) -> bool {
    let mut found = false;
    let mut bytes = name.as_bytes().iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            continue;
        }
        match bytes
            .by_ref()
            .enumerate()
            .find(|(_, byte)| !byte.is_ascii_digit())
        {
            Some((_, b'd')) => found = true,
            Some((_, b'%')) => {}
            _ => return false,
        }
    }
    found
}

fn listed(table: &[&str], name: &OsStr) -> bool {
    table.iter().any(|entry| name == *entry)
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
