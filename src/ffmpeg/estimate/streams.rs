//! Which streams a command decodes, filters, encodes or copies, and what that adds up to.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::container::{self, default_video, muxer};
use super::decoder::{Decoder, Kind};
use super::encoder::Encoder;
use super::filter::{self, Link};
use super::frame::{Frame, PixelFormat, parse_size};
use super::input::{Input, Source, named, read_input, text, whole_seconds};
use super::{MIB, Sum};
use crate::ffmpeg::command::{Command, Group};
use crate::ffmpeg::options::StreamKind;
use crate::ffmpeg::probe::MediaInfo;

/// An audio encoder with its decoder and resampler: 4.8 MiB were measured for AAC.
const AUDIO_BYTES: f64 = 6.0 * MIB;
/// Each decoded video whose stream is only looked into and copied: 2 to 19 MiB were measured.
const COPY_BYTES: f64 = 9.0 * MIB;
/// Raw frames that looking into a copied video takes.
const COPY_FRAMES: f64 = 0.9;

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
    let longest = inputs
        .iter()
        .filter_map(|input| Some((input.info?, whole_seconds(input)?)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let mut copied: BTreeSet<usize> = BTreeSet::new();
    for (index, output) in command.outputs().enumerate() {
        let wanted = wanted(output, &inputs, &mut open);
        add_waiting(index, output, &wanted, &inputs, sum);
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
    for guess in &outcome.guessed {
        sum.guess(format!("{what}: {guess}"));
    }
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

/// Packets of one stream wait in the muxer when another one, of another input, is over: 10 seconds of them
/// (`-max_interleave_delta`), which is much where a packet is a raw frame or nearly one.
fn add_waiting(index: usize, output: &Group, wanted: &Wanted, inputs: &[Input<'_>], sum: &mut Sum) {
    let muxer = muxer(output);
    let length = |input: &Option<usize>| whole_seconds(inputs.get((*input)?)?);
    let audio = wanted.audios.iter().filter_map(length).reduce(f64::min);
    let (Some(audio), false) = (audio, muxer == "null" || output.has("shortest")) else {
        return;
    };
    for (input, link) in &wanted.videos {
        let (Some(video), Some(frame)) = (length(input), link.frame) else {
            continue;
        };
        let ahead = (video - audio).min(10.0);
        if ahead < 1.0 {
            continue;
        }
        sum.guess(format!(
            "output {index}: what waits in the muxer for a stream that ends early"
        ));
        let codec = text(output.codec(StreamKind::Video)).or_else(|| default_video(&muxer));
        // Packets as parts of a raw frame: rawvideo by nature; ffv1 0.3 and prores_ks 0.35 were measured.
        let packet = match codec {
            Some("rawvideo") => 1.0,
            Some(
                "ffv1" | "prores" | "prores_ks" | "dnxhd" | "huffyuv" | "ffvhuff" | "utvideo"
                | "png",
            ) => 0.4,
            _ => 0.05,
        };
        sum.add(
            format!("output {index}: waiting packets"),
            packet * frame.bytes() * ahead * link.rate,
        );
    }
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
