//! One input: its video as it will be decoded, its length, and the streams a specifier names.

use std::ffi::OsStr;

use super::container::parse_time;
use super::filter::Link;
use super::frame::{Frame, PixelFormat};
use crate::ffmpeg::command::{Command, Group};
use crate::ffmpeg::options::StreamKind;
use crate::ffmpeg::probe::{MediaInfo, Stream, declared_size};

/// The video of one input.
pub(super) struct Source {
    pub(super) frame: Frame,
    pub(super) codec: String,
    pub(super) frames: Option<f64>,
    pub(super) rate: f64,
    /// Its size is not known.
    pub(super) assumed: bool,
}

/// One input.
pub(super) struct Input<'a> {
    pub(super) group: &'a Group,
    pub(super) info: Option<&'a MediaInfo>,
    pub(super) video: Option<Source>,
    pub(super) has_audio: bool,
}

impl Input<'_> {
    pub(super) fn video_link(&self) -> Option<Link> {
        let source = self.video.as_ref()?;
        Some(Link {
            frame: Some(source.frame),
            frames: source.frames,
            rate: source.rate,
            audio_bytes: None,
        })
    }

    pub(super) fn audio_link(&self) -> Option<Link> {
        let stream = self
            .info
            .and_then(|info| info.streams.iter().find(|stream| stream.is("audio")));
        let rate = stream
            .and_then(|stream| stream.sample_rate)
            .unwrap_or(48_000);
        let channels = stream.and_then(|stream| stream.channels).unwrap_or(2);
        let bytes =
            seconds(self.group, self.info).map(|s| s * f64::from(rate) * f64::from(channels) * 4.0);
        self.has_audio.then_some(Link {
            frame: None,
            frames: None,
            rate: 30.0,
            audio_bytes: bytes,
        })
    }
}

pub(super) fn text(value: Option<&OsStr>) -> Option<&str> {
    value.and_then(OsStr::to_str)
}

/// Seconds that will be read of an input; None when not known, or when it is read again and again.
pub(super) fn seconds(group: &Group, info: Option<&MediaInfo>) -> Option<f64> {
    if group.value("stream_loop").is_some_and(|times| times != "0") || group.has("loop") {
        return text(group.value("t")).and_then(parse_time);
    }
    let start = text(group.value("ss")).and_then(parse_time).unwrap_or(0.0);
    let end = text(group.value("to"))
        .and_then(parse_time)
        .map(|end| (end - start).max(0.0));
    let limit = text(group.value("t")).and_then(parse_time).or(end);
    let whole = info
        .and_then(|info| info.duration_seconds)
        .map(|whole| (whole - start).max(0.0));
    match (whole, limit) {
        (Some(whole), Some(limit)) => Some(whole.min(limit)),
        (whole, limit) => whole.or(limit),
    }
}

/// Seconds of output that a command will write; None when not known. Filters that stretch time are not counted in.
pub fn output_seconds(command: &Command, inputs: &[Option<MediaInfo>]) -> Option<f64> {
    let known = inputs
        .iter()
        .map(Option::as_ref)
        .chain(std::iter::repeat(None));
    let longest = command
        .inputs()
        .zip(known)
        .filter_map(|(group, info)| seconds(group, info))
        .fold(None, |longest: Option<f64>, one| {
            Some(longest.map_or(one, |known| known.max(one)))
        });
    let of_output = |group: &Group| {
        let time = |name| text(group.value(name)).and_then(parse_time);
        let start = time("ss").unwrap_or(0.0);
        let limit = time("t").or(time("to").map(|end| (end - start).max(0.0)));
        let rest = longest.map(|whole| (whole - start).max(0.0));
        match (rest, limit) {
            (Some(rest), Some(limit)) => Some(rest.min(limit)),
            (rest, limit) => rest.or(limit),
        }
    };
    command
        .outputs()
        .filter_map(of_output)
        .fold(None, |longest, one| {
            Some(longest.map_or(one, |known: f64| known.max(one)))
        })
}

pub(super) fn read_input<'a>(group: &'a Group, info: Option<&'a MediaInfo>) -> Input<'a> {
    let asked = text(group.codec(StreamKind::Video));
    let format = text(group.value("f"));
    let raw = format == Some("rawvideo");
    let asked_format = text(group.option_for("pix_fmt", StreamKind::Video))
        .or(text(group.value("pixel_format")))
        .and_then(PixelFormat::parse);
    let has_audio = info.is_none_or(|info| info.has("audio")) && !raw;
    let stream = info.and_then(MediaInfo::best_video);
    if info.is_some() && stream.is_none() || group.disables(StreamKind::Video) {
        return Input {
            group,
            info,
            video: None,
            has_audio,
        };
    }
    let size = stream
        .and_then(|stream| Some((stream.width?, stream.height?)))
        .or_else(|| declared_size(group));
    let (width, height) = size.unwrap_or((1920, 1080));
    let probed = stream.and_then(|stream| PixelFormat::parse(stream.pix_fmt.as_deref()?));
    let format = probed.or(asked_format).unwrap_or(PixelFormat::YUV420P);
    let rate = stream.and_then(|stream| stream.frame_rate).unwrap_or(30.0);
    let frames = stream
        .and_then(|stream| stream.frames)
        .map(|frames| frames as f64);
    let by_time = seconds(group, info).map(|seconds| (seconds * rate).ceil() + 1.0);
    let frames = match (frames, by_time) {
        (Some(frames), Some(by_time)) => Some(frames.min(by_time)),
        (_, by_time) => by_time,
    };
    let codec = match stream.and_then(|stream| stream.codec_name.as_deref()) {
        Some(codec) => codec.to_owned(),
        None if raw => "rawvideo".to_owned(),
        None => asked.unwrap_or("h264").to_owned(),
    };
    // A rotated picture is turned before anything else.
    let turned = stream
        .and_then(|stream| stream.rotation)
        .is_some_and(|degrees| degrees % 180 != 0);
    let turned = turned && group.boolean("autorotate") != Some(false);
    let (width, height) = if turned {
        (height, width)
    } else {
        (width, height)
    };
    let frame = Frame {
        width,
        height,
        format,
    };
    Input {
        group,
        info,
        video: Some(Source {
            frame,
            codec,
            frames,
            rate,
            assumed: size.is_none(),
        }),
        has_audio,
    }
}

/// Seconds an input gives in all, read as often as `-stream_loop` says.
pub(super) fn whole_seconds(input: &Input<'_>) -> Option<f64> {
    let limit = text(input.group.value("t")).and_then(parse_time);
    match text(input.group.value("stream_loop")).and_then(|times| times.parse::<f64>().ok()) {
        Some(times) if times < 0.0 => limit,
        Some(times) => {
            let all = input.info?.duration_seconds? * (times + 1.0);
            Some(limit.map_or(all, |limit| limit.min(all)))
        }
        None => seconds(input.group, input.info),
    }
}

/// What the streams named by a specifier are: `0:v`, `1:a:0`, `0`, `0:3`, with or without `?`.
pub(super) struct Named {
    pub(super) input: usize,
    pub(super) video: bool,
    pub(super) audio: bool,
}

pub(super) fn named(specifier: &str, inputs: &[Input<'_>]) -> Option<Named> {
    let specifier = specifier.trim_end_matches('?');
    let (input, rest) = specifier.split_once(':').unwrap_or((specifier, ""));
    let input: usize = input.trim().parse().ok()?;
    let found = inputs.get(input)?;
    let kind = rest.split(':').next().unwrap_or("");
    let (mut video, mut audio) = match kind {
        "v" | "V" => (true, false),
        "a" => (false, true),
        "s" | "d" | "t" => (false, false),
        _ => (true, true),
    };
    if let (Ok(index), Some(info)) = (kind.parse::<usize>(), found.info) {
        let is = |kind| {
            info.streams
                .get(index)
                .is_some_and(|stream: &Stream| stream.is(kind))
        };
        (video, audio) = (is("video"), is("audio"));
    }
    Some(Named {
        input,
        video: video && found.video.is_some(),
        audio: audio && found.has_audio,
    })
}
