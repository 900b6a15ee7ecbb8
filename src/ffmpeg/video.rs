//! Which video encoders an output will use: those the user named, or FFmpeg's default for its format.

use std::ffi::OsStr;
use std::path::Path;

use super::command::Group;
use super::options::{Specifier, StreamKind};

/// A video encoder at work in an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoEncoder {
    /// FFmpeg's name for it.
    pub name: String,
    /// The video stream it was named for, when it was named for one.
    pub stream: Option<u32>,
    /// The user named it; otherwise it is the default of the output's format.
    pub named: bool,
}

impl VideoEncoder {
    /// Whether `-threads` lowers its memory and harms nothing. Hardware encoders have no use for it; x265 and
    /// SVT-AV1 take their numbers from parameters of their own.
    pub fn takes_threads(&self) -> bool {
        let hardware = [
            "_nvenc",
            "_qsv",
            "_vaapi",
            "_amf",
            "_videotoolbox",
            "_v4l2m2m",
            "_omx",
            "_mf",
            "_vulkan",
        ];
        !(self.name == "libsvtav1"
            || self.name == "libx265"
            || hardware.iter().any(|suffix| self.name.ends_with(suffix)))
    }
}

/// The video encoders of an output; none for a copy, an audio format, or `-vn`.
pub fn video_encoders(output: &Group) -> Vec<VideoEncoder> {
    if output.disables(StreamKind::Video) {
        return Vec::new();
    }
    let mut all: Option<String> = None;
    let mut single: Vec<VideoEncoder> = Vec::new();
    for opt in output.options_for("c", StreamKind::Video) {
        let Some(name) = opt
            .value
            .as_deref()
            .map(|name| name.to_string_lossy().into_owned())
        else {
            continue;
        };
        match opt.canonical().1 {
            Specifier::Nth(StreamKind::Video, index) => {
                single.retain(|encoder| encoder.stream != Some(index));
                single.push(VideoEncoder {
                    name,
                    stream: Some(index),
                    named: true,
                });
            }
            // Set for all streams: what was set for one before it no longer counts.
            Specifier::All | Specifier::Kind(_) => {
                single.clear();
                all = Some(name);
            }
            Specifier::Other(_) => all = Some(name),
            Specifier::Nth(..) => {}
        }
    }
    if single.is_empty() {
        let encoder = match all {
            Some(name) => Some(VideoEncoder {
                name,
                stream: None,
                named: true,
            }),
            None => default_encoder(output).map(|name| VideoEncoder {
                name: name.into(),
                stream: None,
                named: false,
            }),
        };
        single.extend(encoder);
    } else if let Some(name) = all {
        // The streams that were not named one by one; which they are is not known here.
        single.push(VideoEncoder {
            name,
            stream: None,
            named: true,
        });
    }
    single.retain(|encoder| encoder.name != "copy");
    single
}

/// FFmpeg's default video encoder for an output's format, in a build with libx264 and libvpx; none for formats
/// without video, or with an unknown one. From the muxers' `video_codec` in libavformat.
pub fn default_encoder(output: &Group) -> Option<&'static str> {
    let format = output
        .value("f")
        .map(|format| format.to_string_lossy().into_owned());
    let extension = || {
        let extension = Path::new(&output.url).extension().and_then(OsStr::to_str);
        extension.map(str::to_ascii_lowercase)
    };
    match format.or_else(extension)?.as_str() {
        "mp4" | "mov" | "m4v" | "mkv" | "matroska" | "flv" | "f4v" | "ismv" | "psp" | "ipod"
        | "hls" | "m3u8" | "dash" | "mpd" | "3gp" | "3g2" => Some("libx264"),
        "webm" => Some("libvpx-vp9"),
        "ts" | "m2ts" | "mts" | "mpegts" => Some("mpeg2video"),
        "mpg" | "mpeg" => Some("mpeg1video"),
        "vob" | "dvd" => Some("mpeg2video"),
        "avi" => Some("mpeg4"),
        "ogv" => Some("libtheora"),
        "wmv" | "asf" => Some("msmpeg4"),
        "gif" => Some("gif"),
        "png" => Some("png"),
        "jpg" | "jpeg" => Some("mjpeg"),
        "null" => Some("wrapped_avframe"),
        _ => None,
    }
}
