//! What a file holds, as ffprobe tells it. Every part may be missing.

use serde::{Deserialize, Deserializer, Serialize};

/// Streams of one file that are kept; a file with more is cut off here.
const MAX_STREAMS: usize = 512;

/// A probed file.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct MediaInfo {
    /// FFmpeg's name of its demuxer: `mov,mp4,m4a,3gp,3g2,mj2`, `matroska,webm`.
    pub format_name: Option<String>,
    /// Length in seconds.
    pub duration_seconds: Option<f64>,
    /// Bytes of the file.
    pub size_bytes: Option<u64>,
    /// Bits per second, over all streams.
    pub bit_rate: Option<u64>,
    /// Its streams, in order.
    pub streams: Vec<Stream>,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Stream {
    /// Its number in the file.
    pub index: Option<u32>,
    /// `video`, `audio`, `subtitle`, `data`, `attachment`.
    pub kind: Option<String>,
    /// `h264`, `aac`, ...
    pub codec_name: Option<String>,
    /// Pixels, before rotation.
    pub width: Option<u32>,
    /// Pixels, before rotation.
    pub height: Option<u32>,
    /// FFmpeg's name of the pixel format.
    pub pix_fmt: Option<String>,
    /// Bits per sample, where ffprobe says so.
    pub bits: Option<u32>,
    /// Average frames per second.
    pub frame_rate: Option<f64>,
    /// Frames (packets of audio), where the container says so.
    pub frames: Option<u64>,
    /// Audio channels.
    pub channels: Option<u32>,
    /// Audio samples per second.
    pub sample_rate: Option<u32>,
    /// Degrees to turn for display.
    pub rotation: Option<i32>,
    /// A cover picture, not a film.
    pub attached_picture: bool,
}

impl Stream {
    /// A video stream of which codec and size are known.
    pub fn video(codec: &str, width: u32, height: u32) -> Self {
        Self {
            index: Some(0),
            kind: Some("video".to_owned()),
            codec_name: Some(codec.to_owned()),
            width: Some(width),
            height: Some(height),
            ..Self::default()
        }
    }

    /// Whether it is of a kind (`video`, ...).
    pub fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}

impl MediaInfo {
    /// Reads `ffprobe -of json -show_format -show_streams`.
    ///
    /// # Errors
    /// If the text is not JSON of that shape.
    pub fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        let answer: Answer = serde_json::from_slice(text)?;
        let format = answer.format.unwrap_or_default();
        Ok(Self {
            format_name: format.format_name,
            duration_seconds: format
                .duration
                .filter(|seconds| seconds.is_finite() && *seconds >= 0.0),
            size_bytes: format.size.map(|bytes| bytes as u64),
            bit_rate: format.bit_rate.map(|bits| bits as u64),
            streams: answer
                .streams
                .into_iter()
                .take(MAX_STREAMS)
                .map(Stream::from)
                .collect(),
        })
    }

    /// The stream FFmpeg picks by itself: the largest picture; a cover only if there is nothing else.
    pub fn best_video(&self) -> Option<&Stream> {
        let area = |stream: &Stream| {
            u64::from(stream.width.unwrap_or(0)) * u64::from(stream.height.unwrap_or(0))
        };
        self.streams
            .iter()
            .filter(|stream| stream.is("video"))
            .rev()
            .max_by_key(|stream| (!stream.attached_picture, area(stream)))
    }

    /// Whether there is a stream of a kind.
    pub fn has(&self, kind: &str) -> bool {
        self.streams.iter().any(|stream| stream.is(kind))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    streams: Vec<RawStream>,
    format: Option<RawFormat>,
}

#[derive(Deserialize, Default)]
struct RawFormat {
    format_name: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    duration: Option<f64>,
    #[serde(default, deserialize_with = "loose")]
    size: Option<f64>,
    #[serde(default, deserialize_with = "loose")]
    bit_rate: Option<f64>,
}

#[derive(Deserialize)]
struct RawStream {
    #[serde(default, deserialize_with = "loose")]
    index: Option<f64>,
    codec_type: Option<String>,
    codec_name: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    width: Option<f64>,
    #[serde(default, deserialize_with = "loose")]
    height: Option<f64>,
    pix_fmt: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    bits_per_raw_sample: Option<f64>,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    nb_frames: Option<f64>,
    #[serde(default, deserialize_with = "loose")]
    channels: Option<f64>,
    #[serde(default, deserialize_with = "loose")]
    sample_rate: Option<f64>,
    #[serde(default)]
    side_data_list: Vec<SideData>,
    #[serde(default)]
    disposition: Disposition,
}

#[derive(Deserialize)]
struct SideData {
    #[serde(default, deserialize_with = "loose")]
    rotation: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Disposition {
    #[serde(default)]
    attached_pic: u8,
}

impl From<RawStream> for Stream {
    fn from(raw: RawStream) -> Self {
        let whole = |value: Option<f64>| {
            value
                .filter(|value| *value >= 0.0)
                .map(|value| value as u32)
        };
        let rate = |text: &Option<String>| text.as_deref().and_then(ratio);
        Self {
            index: whole(raw.index),
            kind: raw.codec_type,
            codec_name: raw.codec_name,
            width: whole(raw.width).filter(|side| *side > 0),
            height: whole(raw.height).filter(|side| *side > 0),
            bits: whole(raw.bits_per_raw_sample).filter(|bits| *bits > 0),
            frame_rate: rate(&raw.avg_frame_rate).or_else(|| rate(&raw.r_frame_rate)),
            frames: raw.nb_frames.map(|frames| frames as u64),
            channels: whole(raw.channels),
            sample_rate: whole(raw.sample_rate),
            rotation: raw
                .side_data_list
                .iter()
                .find_map(|side| side.rotation)
                .map(|degrees| degrees as i32),
            attached_picture: raw.disposition.attached_pic != 0,
            pix_fmt: raw.pix_fmt,
        }
    }
}

/// A positive ratio or number as FFmpeg writes it: `30000/1001`, `25`.
pub(super) fn ratio(text: &str) -> Option<f64> {
    let (over, under) = text.split_once('/').unwrap_or((text, "1"));
    let value = over.trim().parse::<f64>().ok()? / under.trim().parse::<f64>().ok()?;
    (value.is_finite() && value > 0.0).then_some(value)
}

/// ffprobe writes some numbers as text, and `N/A` for some it does not know.
fn loose<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Number(number) => number.as_f64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}
