//! What demuxers and muxers keep, from `tests/data/ffmem/mux.csv`.

use std::ffi::OsStr;
use std::path::Path;

use super::{MIB, Sum};
use crate::ffmpeg::command::Group;
use crate::ffmpeg::probe::MediaInfo;

/// Bytes an mp4 demuxer keeps per packet: 54 MiB over 4 hours of 30 fps and 48 kHz AAC.
const MP4_INPUT_PACKET: f64 = 52.0;
/// Bytes an mp4 muxer keeps per packet: 66 MiB over the same.
const MP4_OUTPUT_PACKET: f64 = 64.0;
/// More of them with `+faststart`.
const FASTSTART_PACKET: f64 = 28.0;
/// FFmpeg's own `-probesize`: what the decoders' forms include.
const PROBESIZE: f64 = 5_000_000.0;
/// Seconds of the input that a fragmenting muxer may hold: one group of pictures, doubled as buffers grow.
const FRAGMENT_SECONDS: f64 = 20.0;

fn text(value: Option<&OsStr>) -> Option<&str> {
    value.and_then(OsStr::to_str)
}

/// Bytes as FFmpeg reads them: `5M`, `500k`, `1Gi`, `32000000`.
pub(super) fn parse_bytes(value: &str) -> Option<f64> {
    let digits = value
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let (unit, scale) = match unit.strip_suffix('B') {
        Some(unit) => (unit, 8.0),
        None => (unit, 1.0),
    };
    let factor = match unit {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" | "ki" => 1024.0,
        "Mi" => MIB,
        "Gi" => 1024.0 * MIB,
        _ => return None,
    };
    Some(number * factor * scale)
}

/// Packets of all streams of a file.
fn packets(info: &MediaInfo, seconds: f64) -> f64 {
    let of = |stream: &crate::ffmpeg::probe::Stream| {
        if stream.is("video") {
            stream.frame_rate.unwrap_or(30.0) * seconds
        } else if stream.is("audio") {
            f64::from(stream.sample_rate.unwrap_or(48_000)) / 1024.0 * seconds
        } else {
            seconds
        }
    };
    info.streams.iter().map(of).sum()
}

/// What an input's demuxer keeps.
pub(super) fn add_input(
    index: usize,
    input: &Group,
    info: Option<&MediaInfo>,
    frame_bytes: f64,
    sum: &mut Sum,
) {
    let size = info
        .and_then(|info| info.size_bytes)
        .map_or(f64::INFINITY, |bytes| bytes as f64);
    if let Some(bytes) = text(input.value("probesize")).and_then(parse_bytes) {
        // It is read ahead of the first frame, and no more than there is.
        sum.add(
            format!("input {index}: probesize"),
            bytes.min(size).min(64.0 * 1024.0 * MIB) - PROBESIZE,
        );
    }
    if let Some(bytes) = text(input.value("rtbufsize")).and_then(parse_bytes) {
        sum.add(format!("input {index}: rtbufsize"), bytes);
    }
    let raw = input.value("f").is_some_and(|format| format == "rawvideo");
    let queue = text(input.value("thread_queue_size")).and_then(|value| value.parse::<f64>().ok());
    // FFmpeg queues 8 packets by itself, which matters where a packet is a raw frame.
    if let Some(queue) = queue.or(raw.then_some(8.0)) {
        let stream = info.and_then(MediaInfo::best_video);
        let rate = stream.and_then(|stream| stream.frame_rate).unwrap_or(30.0);
        let packet = match info.and_then(|info| info.bit_rate) {
            _ if raw => frame_bytes,
            Some(bits) => bits as f64 / 8.0 / rate,
            None => {
                sum.guess(format!("input {index}: the size of queued packets"));
                0.0
            }
        };
        sum.add(
            format!("input {index}: thread queue"),
            (queue.max(0.0) * packet).min(size),
        );
    }
    let Some(info) = info else { return };
    let mp4 = info
        .format_name
        .as_deref()
        .is_some_and(|name| name.contains("mp4"));
    if let (true, Some(seconds)) = (mp4, info.duration_seconds) {
        sum.add(
            format!("input {index}: index"),
            MP4_INPUT_PACKET * packets(info, seconds),
        );
    }
}

/// What an output's muxer keeps; `longest` is the longest input and its seconds.
pub(super) fn add_output(
    index: usize,
    output: &Group,
    longest: Option<(&MediaInfo, f64)>,
    copies: bool,
    sum: &mut Sum,
) {
    let Some((info, all)) = longest else { return };
    let muxer = muxer(output);
    let flags = text(output.value("movflags")).unwrap_or_default();
    let fragmented = flags.contains("frag") || flags.contains("empty_moov");
    let limit = text(output.value("t")).and_then(parse_time);
    let seconds = limit.map_or(all, |limit| limit.min(all));
    if matches!(
        muxer.as_str(),
        "mp4" | "mov" | "m4a" | "m4v" | "3gp" | "ipod" | "ismv"
    ) && !fragmented
    {
        let more = if flags.contains("faststart") {
            FASTSTART_PACKET
        } else {
            0.0
        };
        sum.add(
            format!("output {index}: index"),
            (MP4_OUTPUT_PACKET + more) * packets(info, seconds),
        );
    }
    // An encoder's output is small beside the encoder; a copied stream may be of any rate.
    let segments = matches!(muxer.as_str(), "hls" | "m3u8" | "dash" | "mpd");
    if copies && (fragmented || segments) {
        sum.guess(format!("output {index}: the size of a fragment"));
        // Measured with one size of fragment only: DASH and fMP4 held about twice what HLS with MPEG-TS did.
        let times = if segments && !matches!(muxer.as_str(), "hls" | "m3u8") || flags_fmp4(output) {
            2.0
        } else {
            1.0
        };
        let rate = info.bit_rate.unwrap_or(0) as f64 / 8.0;
        sum.add(
            format!("output {index}: one fragment"),
            times * rate * FRAGMENT_SECONDS.min(seconds),
        );
    }
}

fn flags_fmp4(output: &Group) -> bool {
    output
        .value("hls_segment_type")
        .is_some_and(|kind| kind == "fmp4")
}

/// The muxer asked for, or the file's extension, in lower case.
pub(super) fn muxer(output: &Group) -> String {
    let named = text(output.value("f")).map(str::to_owned);
    let extension = || {
        Path::new(&output.url)
            .extension()
            .map(|e| e.to_string_lossy().into_owned())
    };
    named
        .or_else(extension)
        .unwrap_or_default()
        .to_ascii_lowercase()
}

/// The video codec FFmpeg takes for a muxer by itself; None where it writes no video.
pub(super) fn default_video(muxer: &str) -> Option<&'static str> {
    Some(match muxer {
        "null" => "wrapped_avframe",
        "rawvideo" | "yuv" | "framemd5" | "md5" | "crc" | "framecrc" | "hash" | "framehash"
        | "streamhash" | "y4m" | "yuv4mpegpipe" | "sdl" | "sdl2" => "rawvideo",
        "avi" | "nut" => "mpeg4",
        "ts" | "m2ts" | "mts" | "mpegts" | "mpg" | "mpeg" | "vob" | "svcd" | "dvd" | "mxf" => {
            "mpeg2video"
        }
        "webm" => "libvpx-vp9",
        "flv" => "flv",
        "ogv" | "ogg" => "libtheora",
        "gif" => "gif",
        "jpg" | "jpeg" | "mjpeg" | "image2" | "image2pipe" => "mjpeg",
        "png" | "apng" => "png",
        "avif" => "libaom-av1",
        "hevc" | "h265" | "265" => "libx265",
        "mp3" | "wav" | "flac" | "aac" | "m4a" | "opus" | "oga" | "wma" | "ac3" | "eac3"
        | "aiff" | "caf" | "w64" | "amr" | "srt" | "vtt" | "webvtt" | "ass" | "adts" | "s16le"
        | "f32le" | "ipod" | "alsa" | "pulse" | "ffmetadata" | "spdif" => return None,
        _ => "libx264",
    })
}

/// Seconds as FFmpeg reads them: `90`, `1:30`, `00:01:30.5`, `1500ms`, `200us`.
pub(super) fn parse_time(value: &str) -> Option<f64> {
    for (unit, scale) in [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)] {
        if let Some(number) = value.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|number| number * scale);
        }
    }
    let mut seconds = 0.0;
    for part in value.split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>().ok()?;
    }
    (seconds >= 0.0 && f64::is_finite(seconds)).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_times_as_ffmpeg_reads_them() {
        assert_eq!(parse_bytes("500M"), Some(5e8));
        assert_eq!(parse_bytes("1Mi"), Some(MIB));
        assert_eq!(parse_bytes("2KiB"), Some(16_384.0));
        assert_eq!(parse_bytes("32"), Some(32.0));
        assert_eq!(parse_bytes("lots"), None);
        assert_eq!(parse_time("90"), Some(90.0));
        assert_eq!(parse_time("00:01:30.5"), Some(90.5));
        assert_eq!(parse_time("1500ms"), Some(1.5));
        assert_eq!(parse_time("-5"), None);
        assert_eq!(parse_time("soon"), None);
    }

    #[test]
    fn what_a_muxer_takes_by_itself() {
        assert_eq!(default_video("mp4"), Some("libx264"));
        assert_eq!(default_video("null"), Some("wrapped_avframe"));
        assert_eq!(default_video("mp3"), None);
    }
}
