//! Asks ffprobe what an input holds. The only place in this module that runs a process.
//!
//! Only regular files are probed: a pipe can be read once, a device and a URL have effects. Of a `lavfi` input
//! the size is taken from its text. An answer that does not come leaves the caller without an estimate, not
//! without a run.

mod media;
mod run;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::command::Group;
use super::estimate::filter::source_frame;
use super::estimate::frame::parse_size;
use super::estimate::graph;

pub use media::{MediaInfo, Stream};

/// How ffprobe is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prober {
    /// The program: a name looked up in PATH, or a path.
    pub program: OsString,
    /// How long one file may take before ffprobe is killed.
    pub timeout: Duration,
}

impl Default for Prober {
    fn default() -> Self {
        Self {
            program: OsString::from("ffprobe"),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// ffprobe is not installed; the run can go on without an estimate.
    #[error("{program} not found: install ffmpeg's ffprobe to get memory estimates")]
    Missing {
        /// What was looked for.
        program: String,
    },
    /// ffprobe could not be run.
    #[error("cannot run ffprobe on {path}: {source}")]
    Io {
        /// The input.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// ffprobe took too long and was killed.
    #[error(
        "ffprobe on {path} took more than {seconds} s and was stopped: is the disk slow or the file broken?"
    )]
    TimedOut {
        /// The input.
        path: PathBuf,
        /// The limit.
        seconds: u64,
    },
    /// ffprobe refused the file.
    #[error("ffprobe cannot read {path}: {reason}")]
    Refused {
        /// The input.
        path: PathBuf,
        /// The last line it wrote, shortened.
        reason: String,
    },
    /// ffprobe answered what cannot be read.
    #[error("ffprobe's answer on {path} cannot be used: {reason}")]
    Answer {
        /// The input.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Input options that change what FFmpeg finds in a file, with a value each. Time options do not.
const FORMAT_OPTIONS: [&str; 13] = [
    "f",
    "framerate",
    "r",
    "video_size",
    "s",
    "pixel_format",
    "pix_fmt",
    "sample_rate",
    "ar",
    "channels",
    "ac",
    "pattern_type",
    "safe",
];

impl Prober {
    /// What an input holds; None if it is not a regular file (a pipe, a device, a URL, an image sequence).
    ///
    /// # Errors
    /// [`ProbeError`] if ffprobe is missing, took too long, or could not read the file.
    pub fn probe(&self, input: &Group) -> Result<Option<MediaInfo>, ProbeError> {
        if input.value("f").is_some_and(|format| format == "lavfi") {
            return Ok(lavfi(&input.url));
        }
        let Some(path) = local_file(&input.url) else {
            return Ok(None);
        };
        let output = run::ffprobe(self, &path, &self.arguments(input, &path))?;
        MediaInfo::from_json(&output)
            .map(Some)
            .map_err(|reason| ProbeError::Answer {
                path,
                reason: reason.to_string(),
            })
    }

    fn arguments(&self, input: &Group, path: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = [
            "-v",
            "error",
            "-of",
            "json",
            "-show_format",
            "-show_streams",
        ]
        .map(OsString::from)
        .into();
        // A playlist may name other files and no network: probing has no effects.
        arguments.extend(["-protocol_whitelist", "file,crypto,data"].map(OsString::from));
        let raw = input.value("f").is_some_and(|format| format == "rawvideo");
        for name in FORMAT_OPTIONS {
            let Some(value) = input.value(name) else {
                continue;
            };
            // What FFmpeg takes under its own short names are the demuxer's options to ffprobe.
            let name = match name {
                "s" => "video_size",
                "r" if raw => "framerate",
                "pix_fmt" => "pixel_format",
                "ar" => "sample_rate",
                "ac" => "channels",
                "r" => continue,
                name => name,
            };
            arguments.extend([OsString::from(format!("-{name}")), value.to_owned()]);
        }
        let mut url = OsString::from("file:");
        url.push(path);
        arguments.extend([OsString::from("-i"), url]);
        arguments
    }
}

/// The path an input names, if it is a regular file. `file:` is taken off; FFmpeg does not unescape it either.
fn local_file(url: &OsStr) -> Option<PathBuf> {
    let path = match url.as_bytes().strip_prefix(b"file:") {
        Some(rest) => PathBuf::from(OsString::from_vec(rest.to_vec())),
        None if url == "-" || has_protocol(url.as_bytes()) => return None,
        None => PathBuf::from(url),
    };
    std::fs::metadata(&path).ok()?.is_file().then_some(path)
}

/// Whether FFmpeg takes a URL's beginning for a protocol: letters, digits, `+`, `-` or `.` up to a colon. It
/// does so even where a file of that name exists: `a:b.mp4` needs to be written `./a:b.mp4` or `file:a:b.mp4`.
fn has_protocol(url: &[u8]) -> bool {
    let scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let end = url
        .iter()
        .position(|byte| !scheme(byte))
        .unwrap_or(url.len());
    url.get(end) == Some(&b':') || url.starts_with(b"subfile,")
}

/// The frame of a `lavfi` input, where its text names it.
fn lavfi(text: &OsStr) -> Option<MediaInfo> {
    let text = text.to_str()?;
    let chains = graph::parse(text);
    let frame = source_frame(chains.first()?.first()?)?;
    let outcome = super::estimate::filter::run(text, &|_| None);
    let frame = outcome
        .open
        .first()
        .and_then(|(_, link)| link.frame)
        .unwrap_or(frame);
    let source = chains.first()?.first()?;
    let mut stream = Stream::video("wrapped_avframe", frame.width, frame.height);
    stream.frame_rate = source
        .arg(&["r", "rate"], None)
        .and_then(media::ratio)
        .or(Some(25.0));
    stream.pix_fmt = Some(
        if frame.format.bytes_per_pixel() > 2.0 {
            "rgb24"
        } else {
            "yuv420p"
        }
        .to_owned(),
    );
    Some(MediaInfo {
        format_name: Some("lavfi".to_owned()),
        duration_seconds: source
            .arg(&["d", "duration"], None)
            .and_then(|text| text.parse().ok()),
        streams: vec![stream],
        ..MediaInfo::default()
    })
}

/// The size of an input whose options name it, as for raw video, without running anything.
pub fn declared_size(input: &Group) -> Option<(u32, u32)> {
    ["video_size", "s", "s:v"]
        .iter()
        .find_map(|name| parse_size(input.value(name)?.to_str()?))
}

#[cfg(test)]
mod tests;
