//! Which streams a command decodes, filters, encodes or copies, and what that adds up to.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;

use super::container::{self, default_video, muxer, parse_time};
use super::decoder::{Decoder, Kind};
use super::encoder::Encoder;
use super::filter::{self, Link};
use super::frame::{Frame, PixelFormat, parse_size};
use super::{MIB, Sum};
use crate::ffmpeg::command::{Command, Group};
use crate::ffmpeg::options::StreamKind;
use crate::ffmpeg::probe::{MediaInfo, Stream, declared_size};

/// An audio encoder with its decoder and resampler: 4.8 MiB were measured for AAC.
const AUDIO_BYTES: f64 = 6.0 * MIB;
/// Each decoded video whose stream is only looked into and copied: 2 to 19 MiB were measured.
const COPY_BYTES: f64 = 9.0 * MIB;
/// Raw frames that looking into a copied video takes.
const COPY_FRAMES: f64 = 0.9;

/// The video of one input.
struct Source {
    frame: Frame,
    codec: String,
    frames: Option<f64>,
    /// Its size is not known.
    assumed: bool,
}

/// One input.
struct Input<'a> {
    group: &'a Group,
    info: Option<&'a MediaInfo>,
    video: Option<Source>,
    has_audio: bool,
}

impl Input<'_> {
    fn video_link(&self) -> Option<Link> {
        let source = self.video.as_ref()?;
        Some(Link {
            frame: Some(source.frame),
            frames: source.frames,
            audio_bytes: None,
        })
    }

    fn audio_link(&self) -> Option<Link> {
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
            audio_bytes: bytes,
        })
    }
}

fn text(value: Option<&OsStr>) -> Option<&str> {
    value.and_then(OsStr::to_str)
}

/// Seconds that will be read of an input; None when not known, or when it is read again and again.
fn seconds(group: &Group, info: Option<&MediaInfo>) -> Option<f64> {
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

fn read_input<'a>(group: &'a Group, info: Option<&'a MediaInfo>) -> Input<'a> {
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
            assumed: size.is_none(),
        }),
        has_audio,
    }
}

/// What the streams named by a specifier are: `0:v`, `1:a:0`, `0`, `0:3`, with or without `?`.
struct Named {
    input: usize,
    video: bool,
    audio: bool,
}

fn named(specifier: &str, inputs: &[Input<'_>]) -> Option<Named> {
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

/// What one output gets.
#[derive(Default)]
struct Wanted {
    /// Videos, with the input they come from, or None behind a filter graph.
    videos: Vec<(Option<usize>, Link)>,
    audios: Vec<Option<usize>>,
}

/// Adds all of a command's streams.
pub(super) fn add(command: &Command, infos: &[Option<MediaInfo>], cpus: u32, sum: &mut Sum) {
    let info = |index: usize| infos.get(index).and_then(Option::as_ref);
    let inputs: Vec<Input<'_>> = command
        .inputs()
        .enumerate()
        .map(|(index, group)| read_input(group, info(index)))
        .collect();
    let decoded: RefCell<BTreeSet<usize>> = RefCell::default();
    let mut open = run_complex(command, &inputs, &decoded, sum);
    let longest = inputs.iter().filter_map(|input| input.info).max_by(|a, b| {
        a.duration_seconds
            .unwrap_or(0.0)
            .total_cmp(&b.duration_seconds.unwrap_or(0.0))
    });
    let mut copied: BTreeSet<usize> = BTreeSet::new();
    for (index, output) in command.outputs().enumerate() {
        let wanted = wanted(output, &inputs, &mut open);
        let copies = add_output(index, output, wanted, cpus, &decoded, &mut copied, sum);
        container::add_output(index, output, longest, copies, sum);
    }
    let decoded = decoded.into_inner();
    for (index, input) in inputs.iter().enumerate() {
        let bytes = input
            .video
            .as_ref()
            .map_or(0.0, |source| source.frame.bytes());
        container::add_input(index, input.group, input.info, bytes, sum);
        let Some(source) = &input.video else { continue };
        if decoded.contains(&index) {
            add_decoder(index, input.group, source, cpus, sum);
        } else if copied.contains(&index) {
            sum.add(
                format!("input {index}: looking into {}", source.codec),
                COPY_BYTES + COPY_FRAMES * bytes,
            );
        }
    }
}

fn add_decoder(index: usize, group: &Group, source: &Source, cpus: u32, sum: &mut Sum) {
    let asked = text(group.codec(StreamKind::Video));
    let kind = Kind::of(&source.codec, asked);
    let decoder = Decoder {
        kind,
        raw_bytes: source.frame.bytes(),
        threads: text(group.option_for("threads", StreamKind::Video))
            .and_then(|n| n.parse().ok())
            .unwrap_or(0),
        slice_threads: group
            .option_for("thread_type", StreamKind::Video)
            .is_some_and(|kind| kind == "slice"),
    };
    if source.assumed {
        sum.guess(format!("input {index} was not probed, taken as 1920x1080"));
    }
    if !kind.is_measured() {
        sum.guess(format!(
            "input {index}: the {} decoder was not measured",
            source.codec
        ));
    }
    if group.has("hwaccel") {
        sum.guess(format!("input {index}: hardware decoding was not measured"));
    }
    let threads = decoder.threads_on(cpus);
    sum.threads(threads);
    let name = asked.unwrap_or(&source.codec);
    let Frame { width, height, .. } = source.frame;
    let what = format!("input {index}: {name} decoder, {width}x{height}, {threads} threads");
    sum.add(what, decoder.bytes(cpus));
}

/// Runs all `-filter_complex` graphs and gives what they leave open.
fn run_complex(
    command: &Command,
    inputs: &[Input<'_>],
    decoded: &RefCell<BTreeSet<usize>>,
    sum: &mut Sum,
) -> Vec<(Option<String>, Link)> {
    let mut graphs = Vec::new();
    for option in command.options() {
        if option.name == "filter_complex" || option.name == "lavfi" {
            graphs.extend(
                option
                    .value
                    .as_ref()
                    .map(|graph| graph.to_string_lossy().into_owned()),
            );
        } else if option.name == "filter_complex_script" {
            sum.guess("the filter script was not read");
        }
    }
    if graphs.is_empty() {
        return Vec::new();
    }
    let outcome = filter::run(&graphs.join(";"), &|label| {
        let (index, audio) = match label {
            None => (
                inputs
                    .iter()
                    .position(|input| input.video.is_some())
                    .unwrap_or(0),
                false,
            ),
            Some(label) => {
                let named = named(label, inputs)?;
                (named.input, named.audio && !named.video)
            }
        };
        let input = inputs.get(index)?;
        match input.video_link() {
            Some(link) if !audio => {
                decoded.borrow_mut().insert(index);
                Some(link)
            }
            _ => input.audio_link(),
        }
    });
    add_filters("filter_complex".to_owned(), &outcome, sum);
    outcome.open
}

fn add_filters(what: String, outcome: &filter::Outcome, sum: &mut Sum) {
    for name in &outcome.unbounded {
        sum.grows(format!("{what}: {name} keeps all that passes"));
    }
    sum.add(what, outcome.bytes);
}

/// The streams an output takes: those mapped, or FFmpeg's own choice.
fn wanted(output: &Group, inputs: &[Input<'_>], open: &mut Vec<(Option<String>, Link)>) -> Wanted {
    let mut wanted = Wanted::default();
    let mut mapped = false;
    for value in output
        .options
        .iter()
        .filter(|option| option.name == "map")
        .filter_map(|option| text(option.value.as_deref()))
    {
        if value.starts_with('-') {
            continue;
        }
        mapped = true;
        if let Some(label) = value
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .map(|(label, _)| label)
        {
            if let Some(at) = open
                .iter()
                .position(|(name, _)| name.as_deref() == Some(label))
            {
                let (_, link) = open.remove(at);
                match link.frame {
                    Some(_) => wanted.videos.push((None, link)),
                    None => wanted.audios.push(None),
                }
            }
        } else if let Some(named) = named(value, inputs) {
            if let (true, Some(link)) = (named.video, inputs[named.input].video_link()) {
                wanted.videos.push((Some(named.input), link));
            }
            if named.audio {
                wanted.audios.push(Some(named.input));
            }
        }
    }
    // What a graph leaves without a label goes to the first output.
    for (_, link) in open.extract_if(.., |(label, _)| label.is_none()) {
        match link.frame {
            Some(_) => wanted.videos.push((None, link)),
            None => wanted.audios.push(None),
        }
    }
    if !mapped {
        if wanted.videos.is_empty() {
            let area = |input: &Input<'_>| {
                input
                    .video
                    .as_ref()
                    .map_or(0.0, |source| source.frame.bytes())
            };
            let best = inputs
                .iter()
                .enumerate()
                .filter_map(|(index, input)| Some((index, area(input), input.video_link()?)))
                .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
            wanted
                .videos
                .extend(best.map(|(index, _, link)| (Some(index), link)));
        }
        if wanted.audios.is_empty() {
            wanted
                .audios
                .extend(inputs.iter().position(|input| input.has_audio).map(Some));
        }
    }
    if output.disables(StreamKind::Video) {
        wanted.videos.clear();
    }
    if output.disables(StreamKind::Audio) {
        wanted.audios.clear();
    }
    wanted
}

/// Adds an output's filters and encoders; gives whether it copies a stream.
fn add_output(
    index: usize,
    output: &Group,
    wanted: Wanted,
    cpus: u32,
    decoded: &RefCell<BTreeSet<usize>>,
    copied: &mut BTreeSet<usize>,
    sum: &mut Sum,
) -> bool {
    let muxer = muxer(output);
    let mut copies = false;
    for (nth, (input, link)) in (0u32..).zip(wanted.videos) {
        let option = |name: &str| {
            text(output.option_for_nth(name, StreamKind::Video, nth)).map(str::to_owned)
        };
        let asked = option("c");
        let Some(codec) = asked.as_deref().or_else(|| default_video(&muxer)) else {
            continue;
        };
        if codec == "copy" {
            copies = true;
            copied.extend(input);
            continue;
        }
        decoded.borrow_mut().extend(input);
        let place = format!("output {index}");
        let Some(link) = add_simple_filters(&place, option("filter"), link, sum) else {
            continue;
        };
        let Some(mut frame) = link.frame else {
            continue;
        };
        if let Some((width, height)) = option("s").as_deref().and_then(parse_size) {
            (frame.width, frame.height) = (width, height);
            sum.add(format!("{place}: scaling"), 2.0 * frame.bytes());
        }
        if let Some(format) = option("pix_fmt").as_deref().and_then(PixelFormat::parse) {
            frame.format = format;
        }
        let rate = option("r").and_then(|rate| rate.parse::<f64>().ok());
        let limit = option("frames").and_then(|frames| frames.parse::<f64>().ok());
        // A different rate makes more or fewer frames: then only a limit on them is known.
        let frames = match (limit, link.frames) {
            (Some(limit), Some(all)) if rate.is_none() => Some(limit.min(all)),
            (None, Some(all)) if rate.is_none() => Some(all),
            (limit, _) => limit,
        };
        let frames = frames.map(|frames| frames.clamp(0.0, 1e15) as u64);
        Encoder {
            codec,
            frame,
            frames,
            option: &option,
            place,
        }
        .add(cpus, sum);
    }
    let mut encoded = 0u32;
    for (nth, input) in (0u32..).zip(wanted.audios) {
        if text(output.option_for_nth("c", StreamKind::Audio, nth)) == Some("copy") {
            copies = true;
            copied.extend(input);
        } else {
            encoded += 1;
            copied.extend(input);
        }
    }
    if encoded > 0 {
        sum.add(
            format!("output {index}: audio"),
            AUDIO_BYTES + f64::from(encoded - 1) * AUDIO_BYTES / 3.0,
        );
    }
    copies
}

fn add_simple_filters(
    place: &str,
    graph: Option<String>,
    link: Link,
    sum: &mut Sum,
) -> Option<Link> {
    let Some(graph) = graph else {
        return Some(link);
    };
    let outcome = filter::run(&graph, &|_| Some(link));
    add_filters(format!("{place}: filters"), &outcome, sum);
    outcome.open.into_iter().map(|(_, link)| link).next()
}
