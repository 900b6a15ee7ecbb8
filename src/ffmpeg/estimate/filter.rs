//! What filters do to a frame's size, and what they hold: from `tests/data/ffmem/filters*.csv`.
//!
//! Nearly every filter holds a few frames. Some hold a fixed number that their arguments name; a few hold all
//! there is (`reverse`), and then the peak grows with the length of the input.

use std::collections::HashMap;

use super::MIB;
use super::frame::{Frame, MAX_SIDE, PixelFormat, parse_size};
use super::graph::{self, Filter};

/// A stream between two filters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// None for audio.
    pub frame: Option<Frame>,
    /// Video frames that will pass, when known.
    pub frames: Option<f64>,
    /// Bytes of all decoded audio, as floats, when known.
    pub audio_bytes: Option<f64>,
}

/// What a graph does.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// The streams it leaves open, with their labels.
    pub open: Vec<(Option<String>, Link)>,
    /// Bytes its filters hold.
    pub bytes: f64,
    /// Filters whose memory grows with the input.
    pub unbounded: Vec<String>,
    /// Filters charged by a guess.
    pub guessed: Vec<String>,
}

/// Frames held by a filter with no entry of its own: the most that an ordinary one held, rounded up.
const ORDINARY_FRAMES: f64 = 4.0;

/// Runs a graph over the streams that `source` gives for a label (`0:v`), or for None an unlabelled input.
pub fn run(text: &str, source: &dyn Fn(Option<&str>) -> Option<Link>) -> Outcome {
    let chains = graph::parse(text);
    let whole: Vec<&Filter> = chains.iter().flatten().collect();
    let mut outcome = Outcome::default();
    let mut labels: HashMap<String, Link> = HashMap::new();
    let mut done = vec![false; chains.len()];
    // Chains may be written in any order: take them as their inputs become known; what is left then (a name
    // misspelt) is run with what there is.
    for last_round in [false, true] {
        loop {
            let mut moved = false;
            for (chain, done) in chains.iter().zip(&mut done) {
                let ready = chain.iter().flat_map(|filter| &filter.inputs).all(|label| {
                    labels.contains_key(label)
                        || label.contains(':')
                        || label.parse::<u32>().is_ok()
                        || chain.iter().any(|filter| filter.outputs.contains(label))
                });
                if *done || !(ready || last_round) {
                    continue;
                }
                *done = true;
                moved = true;
                run_chain(chain, &whole, &mut labels, source, &mut outcome);
            }
            if !moved {
                break;
            }
        }
    }
    let mut rest: Vec<_> = labels
        .into_iter()
        .map(|(label, link)| (Some(label), link))
        .collect();
    rest.sort_by(|a, b| a.0.cmp(&b.0));
    outcome.open.extend(rest);
    outcome
}

fn run_chain(
    chain: &[Filter],
    whole: &[&Filter],
    labels: &mut HashMap<String, Link>,
    source: &dyn Fn(Option<&str>) -> Option<Link>,
    outcome: &mut Outcome,
) {
    let mut pipe: Vec<Link> = Vec::new();
    for (index, filter) in chain.iter().enumerate() {
        let mut inputs: Vec<Link> = Vec::new();
        for label in &filter.inputs {
            inputs.extend(labels.remove(label).or_else(|| source(Some(label))));
        }
        inputs.append(&mut pipe);
        if index == 0 && filter.inputs.is_empty() && !is_source(&filter.name) {
            inputs.extend(source(None));
        }
        let mut outputs = apply(filter, &inputs, whole, outcome).into_iter();
        for label in &filter.outputs {
            if let Some(link) = outputs.next() {
                labels.insert(label.clone(), link);
            }
        }
        pipe.extend(outputs);
    }
    outcome
        .open
        .extend(pipe.into_iter().map(|link| (None, link)));
}

fn has(whole: &[&Filter], name: &str) -> bool {
    whole.iter().any(|filter| filter.name == name)
}

fn is_source(name: &str) -> bool {
    matches!(
        name,
        "color"
            | "nullsrc"
            | "testsrc"
            | "testsrc2"
            | "smptebars"
            | "smptehdbars"
            | "rgbtestsrc"
            | "yuvtestsrc"
            | "mandelbrot"
            | "life"
            | "cellauto"
            | "gradients"
            | "allrgb"
            | "allyuv"
            | "haldclutsrc"
            | "sierpinski"
            | "movie"
            | "sine"
            | "anullsrc"
            | "anoisesrc"
            | "aevalsrc"
            | "amovie"
    )
}

/// The frame of a source filter, as in `-f lavfi -i testsrc2=size=1280x720`; None when it makes audio or is
/// not known here.
pub fn source_frame(filter: &Filter) -> Option<Frame> {
    if !is_source(&filter.name) || filter.name.starts_with(['a']) && !filter.name.starts_with("all")
    {
        return None;
    }
    let default = match filter.name.as_str() {
        "sine" | "movie" => return None,
        "mandelbrot" | "gradients" | "sierpinski" => (640, 480),
        "allrgb" | "allyuv" => (4096, 4096),
        _ => (320, 240),
    };
    let place = if filter.name == "color" {
        Some(1)
    } else {
        None
    };
    let (width, height) = filter
        .arg(&["s", "size"], place)
        .and_then(parse_size)
        .unwrap_or(default);
    let format = match filter.name.as_str() {
        "color" | "nullsrc" | "testsrc2" | "smptebars" | "smptehdbars" => PixelFormat::YUV420P,
        _ => PixelFormat::parse("rgb24").unwrap_or(PixelFormat::YUV420P),
    };
    Some(Frame {
        width,
        height,
        format,
    })
}

/// The links a filter gives for the links it gets; what it holds is added to the outcome.
fn apply(filter: &Filter, inputs: &[Link], whole: &[&Filter], outcome: &mut Outcome) -> Vec<Link> {
    let nothing = Link {
        frame: None,
        frames: None,
        audio_bytes: None,
    };
    let first = inputs.first().copied().unwrap_or(nothing);
    let name = filter.name.as_str();
    if is_source(name) {
        return vec![Link {
            frame: source_frame(filter),
            ..nothing
        }];
    }
    let Some(frame) = first.frame else {
        hold_audio(filter, first, whole, outcome);
        return match name {
            "asplit" => {
                vec![first; filter.number(&["outputs"], Some(0)).unwrap_or(2).min(64) as usize]
            }
            "showwavespic" | "showspectrumpic" | "showwaves" | "showspectrum" | "avectorscope"
            | "showcqt" => {
                let size = filter
                    .arg(&["s", "size"], Some(0))
                    .and_then(parse_size)
                    .unwrap_or((1920, 1080));
                let frame = Frame {
                    width: size.0,
                    height: size.1,
                    format: PixelFormat::YUV420P,
                };
                outcome.bytes += 4.0 * frame.bytes();
                vec![Link {
                    frame: Some(frame),
                    ..nothing
                }]
            }
            "concat" => concat(filter, inputs),
            _ => vec![first],
        };
    };
    let out = resized(filter, frame, inputs);
    hold_video(filter, first, frame, out, whole, outcome);
    let link = Link {
        frame: Some(out),
        ..first
    };
    match name {
        "split" => vec![link; filter.number(&["outputs"], Some(0)).unwrap_or(2).min(64) as usize],
        "concat" => concat(filter, inputs),
        _ => vec![link],
    }
}

/// `concat` gives v videos, then a audios, each as long as all of its segments.
fn concat(filter: &Filter, inputs: &[Link]) -> Vec<Link> {
    let videos = filter.number(&["v"], None).unwrap_or(1);
    let audios = filter.number(&["a"], None).unwrap_or(0);
    let of = |video: bool| {
        inputs
            .iter()
            .filter(move |link| link.frame.is_some() == video)
    };
    let total = |video: bool| {
        let mut first = *of(video).next()?;
        first.frames = of(video).map(|link| link.frames).sum();
        first.audio_bytes = of(video).map(|link| link.audio_bytes).sum();
        Some(first)
    };
    let mut links = Vec::new();
    links.extend((0..videos.min(16)).filter_map(|_| total(true)));
    links.extend((0..audios.min(16)).filter_map(|_| total(false)));
    links
}

fn resized(filter: &Filter, frame: Frame, inputs: &[Link]) -> Frame {
    let mut out = frame;
    match filter.name.as_str() {
        "scale" | "zscale" | "scale_vaapi" | "scale_cuda" | "scale_qsv" | "scale_npp" => {
            let size = filter
                .arg(&["s", "size"], None)
                .or(filter.arg(&[], Some(0)))
                .and_then(parse_size);
            let (width, height) = size.unwrap_or_else(|| {
                let width = filter.arg(&["w", "width"], Some(0)).unwrap_or("iw");
                let height = filter.arg(&["h", "height"], Some(1)).unwrap_or("ih");
                scaled(frame, width, height)
            });
            (out.width, out.height) = (width, height);
        }
        "crop" => {
            let side = |names: &[&str], place, whole: u32| {
                let value = graph::evaluate(filter.arg(names, Some(place))?, &sides(frame))?;
                Some((value as u32).clamp(1, whole))
            };
            out.width = side(&["w", "out_w"], 0, frame.width).unwrap_or(frame.width);
            out.height = side(&["h", "out_h"], 1, frame.height).unwrap_or(frame.height);
        }
        "pad" => {
            let side = |names: &[&str], place, whole: u32| {
                let value = graph::evaluate(filter.arg(names, Some(place))?, &sides(frame))?;
                Some((value as u32).clamp(whole, MAX_SIDE))
            };
            out.width = side(&["w", "width"], 0, frame.width).unwrap_or(frame.width);
            out.height = side(&["h", "height"], 1, frame.height).unwrap_or(frame.height);
        }
        "transpose" => (out.width, out.height) = (frame.height, frame.width),
        "zoompan" => {
            (out.width, out.height) = filter
                .arg(&["s"], None)
                .and_then(parse_size)
                .unwrap_or((1280, 720));
        }
        "format" => {
            let list = filter.arg(&["pix_fmts", "f"], Some(0)).unwrap_or_default();
            let format = list.split('|').next().and_then(PixelFormat::parse);
            out.format = format.unwrap_or(frame.format);
        }
        "tile" => {
            let (columns, rows) = layout(filter);
            out.width = frame.width.saturating_mul(columns).min(MAX_SIDE);
            out.height = frame.height.saturating_mul(rows).min(MAX_SIDE);
        }
        "hstack" => out.width = stacked(inputs, |frame| frame.width),
        "vstack" => out.height = stacked(inputs, |frame| frame.height),
        "xstack" => {
            let side = (inputs.len().max(1) as f64).sqrt().ceil() as u32;
            out.width = frame.width.saturating_mul(side).min(MAX_SIDE);
            out.height = frame
                .height
                .saturating_mul((inputs.len() as u32).div_ceil(side).max(1))
                .min(MAX_SIDE);
        }
        "palettegen" => (out.width, out.height) = (16, 16),
        _ => {}
    }
    out
}

fn stacked(inputs: &[Link], side: impl Fn(Frame) -> u32) -> u32 {
    let sum = inputs
        .iter()
        .filter_map(|link| link.frame)
        .fold(0u32, |sum, frame| sum.saturating_add(side(frame)));
    sum.clamp(1, MAX_SIDE)
}

fn layout(filter: &Filter) -> (u32, u32) {
    filter
        .arg(&["layout"], Some(0))
        .and_then(parse_size)
        .unwrap_or((6, 5))
}

fn sides(frame: Frame) -> impl Fn(&str) -> Option<f64> {
    move |name| match name {
        "iw" | "in_w" | "w" => Some(f64::from(frame.width)),
        "ih" | "in_h" | "h" => Some(f64::from(frame.height)),
        "a" | "dar" => Some(f64::from(frame.width) / f64::from(frame.height)),
        "sar" => Some(1.0),
        _ => None,
    }
}

/// FFmpeg's `scale=W:H`: 0 is the input's side, -n keeps the shape to a multiple of n. What is not understood
/// keeps the input's side.
fn scaled(frame: Frame, width: &str, height: &str) -> (u32, u32) {
    let width = graph::evaluate(width, &sides(frame)).unwrap_or(f64::from(frame.width));
    // A height may be given by the output's width.
    let with_ow = |name: &str| match name {
        "ow" | "out_w" if width > 0.0 => Some(width),
        name => sides(frame)(name),
    };
    let height = graph::evaluate(height, &with_ow).unwrap_or(f64::from(frame.height));
    let (iw, ih) = (f64::from(frame.width), f64::from(frame.height));
    let keep = |multiple: f64, other: f64, from: f64, to: f64| {
        let multiple = (-multiple).max(1.0);
        (other * to / from / multiple).round() * multiple
    };
    let (w, h) = match (width, height) {
        (w, h) if w < 0.0 && h < 0.0 => (iw, ih),
        (w, h) if w < 0.0 => (keep(w, if h == 0.0 { ih } else { h }, ih, iw), h),
        (w, h) if h < 0.0 => (w, keep(h, if w == 0.0 { iw } else { w }, iw, ih)),
        both => both,
    };
    let side = |value: f64, own: u32| {
        if value < 1.0 {
            own
        } else {
            value.min(f64::from(MAX_SIDE)) as u32
        }
    };
    (side(w, frame.width), side(h, frame.height))
}

fn hold_video(
    filter: &Filter,
    link: Link,
    frame: Frame,
    out: Frame,
    whole: &[&Filter],
    outcome: &mut Outcome,
) {
    let raw = frame.bytes().max(out.bytes());
    let all = link.frames;
    // A buffer of n frames never holds more than there are.
    let bounded = |frames: f64| all.map_or(frames, |all| frames.min(all)) + 2.0;
    let count =
        |keys: &[&str], default: u32| f64::from(filter.number(keys, Some(0)).unwrap_or(default));
    let unbounded = |per_frame: f64, outcome: &mut Outcome| {
        outcome.unbounded.push(filter.name.clone());
        outcome.bytes += per_frame * all.unwrap_or(0.0);
    };
    outcome.bytes += match filter.name.as_str() {
        // They hand frames through, or change what is said about them.
        "null" | "copy" | "setpts" | "settb" | "setsar" | "setdar" | "setfield" | "setparams"
        | "fps" | "select" | "trim" | "showinfo" | "metadata" | "split" | "crop" | "realtime" => {
            0.0
        }
        "format" if frame.format == out.format => 0.0,
        "scale" if frame == out => 0.0,
        // They make their output and hold no input.
        "scale" | "zscale" | "format" => 2.0 * out.bytes(),
        "reverse" => {
            unbounded(frame.bytes(), outcome);
            ORDINARY_FRAMES * raw
        }
        "loop" => {
            let size = f64::from(filter.number(&["size"], Some(1)).unwrap_or(0));
            if size > 10_000.0 {
                unbounded(frame.bytes(), outcome);
                ORDINARY_FRAMES * raw
            } else {
                bounded(size) * raw
            }
        }
        "concat" if has(whole, "split") && !has(whole, "trim") => {
            // The second branch waits until the first is over.
            outcome.unbounded.push("split into concat".to_owned());
            ORDINARY_FRAMES * raw + frame.bytes() * all.unwrap_or(0.0)
        }
        "palettegen" => {
            // Its histogram grew to 75 MiB; what paletteuse waits with is counted there.
            80.0 * MIB
        }
        "paletteuse"
            if whole
                .iter()
                .any(|other| other.name == "palettegen" && !other.args.contains("single")) =>
        {
            let pixels = f64::from(frame.width) * f64::from(frame.height);
            unbounded(4.0 * 1.2 * pixels, outcome);
            60.0 * MIB
        }
        "thumbnail" => bounded(count(&["n"], 100)) * raw,
        "tile" => {
            let (columns, rows) = layout(filter);
            let tiles = f64::from(columns) * f64::from(rows);
            (tiles + bounded(tiles)) * frame.bytes() + 4.0 * frame.bytes()
        }
        "tmix" => bounded(count(&["frames"], 3)) * raw,
        "tmedian" => bounded(count(&["radius"], 1) * 2.0 + 1.0) * raw + 2.0 * raw,
        "random" => bounded(count(&["frames"], 30)) * raw,
        "atadenoise" => bounded(f64::from(filter.number(&["s"], None).unwrap_or(9))) * raw,
        "deflicker" => bounded(count(&["size", "s"], 5)) * raw + 2.0 * raw,
        "minterpolate" if !filter.args.contains("blend") && !filter.args.contains("dup") => {
            200.0 * raw
        }
        "owdenoise" => 95.0 * raw,
        "avgblur" => 25.0 * raw,
        "bilateral" => 16.0 * raw,
        "nlmeans" => 9.0 * raw,
        "xfade" => 12.0 * raw,
        "vidstabdetect" | "pullup" | "photosensitivity" | "deband" => 8.0 * raw,
        _ => ORDINARY_FRAMES * raw,
    };
}

fn hold_audio(filter: &Filter, link: Link, whole: &[&Filter], outcome: &mut Outcome) {
    let all = link.audio_bytes;
    let mut unbounded = |times: f64| {
        outcome.unbounded.push(filter.name.clone());
        times * all.unwrap_or(0.0)
    };
    outcome.bytes += match filter.name.as_str() {
        "areverse" => unbounded(2.2),
        "aloop" => unbounded(1.1),
        "concat" if has(whole, "asplit") => unbounded(2.6),
        "showwavespic" | "showspectrumpic" => unbounded(0.7),
        "dynaudnorm" => {
            let window = f64::from(filter.number(&["f", "framelen"], Some(0)).unwrap_or(500))
                / 1000.0
                * f64::from(filter.number(&["g", "gausssize"], Some(1)).unwrap_or(31));
            // Two channels of doubles at 48 kHz, held twice.
            all.map_or(f64::INFINITY, |all| 2.8 * all)
                .min(window * 48_000.0 * 16.0 * 2.0)
                .min(2048.0 * MIB)
        }
        "loudnorm" => 55.0 * MIB,
        "afir" => 12.0 * MIB,
        _ => 2.0 * MIB,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hd() -> Link {
        let frame = Frame {
            width: 1920,
            height: 1080,
            format: PixelFormat::YUV420P,
        };
        Link {
            frame: Some(frame),
            frames: Some(300.0),
            audio_bytes: None,
        }
    }

    fn size_after(graph: &str) -> (u32, u32) {
        let outcome = run(graph, &|_| Some(hd()));
        let frame = outcome.open[0].1.frame.unwrap();
        (frame.width, frame.height)
    }

    #[test]
    fn sizes_follow_the_graph() {
        assert_eq!(size_after("scale=1280:720"), (1280, 720));
        assert_eq!(size_after("scale=hd720"), (1280, 720));
        assert_eq!(size_after("scale=-2:720"), (1280, 720));
        assert_eq!(size_after("scale=853:-2"), (853, 480));
        assert_eq!(size_after("scale=iw/2:-1,null"), (960, 540));
        assert_eq!(size_after("scale=w=640:h=ow/a"), (640, 360));
        assert_eq!(size_after("scale=0:0"), (1920, 1080));
        assert_eq!(size_after("scale=if(gt(a,1),10,20):-2"), (1920, 1080));
        assert_eq!(size_after("crop=in_w/2:540"), (960, 540));
        assert_eq!(size_after("pad=2560:1440:0:0"), (2560, 1440));
        assert_eq!(size_after("transpose=1"), (1080, 1920));
        assert_eq!(size_after("[0:v][1:v]hstack"), (3840, 1080));
        assert_eq!(size_after("[a]scale=320:-2[out];[0:v]null[a]"), (320, 180));
    }

    #[test]
    fn a_split_gives_each_branch() {
        let outcome = run(
            "[0:v]split=2[a][b];[a]scale=640:360[x];[b]scale=320:180[y]",
            &|_| Some(hd()),
        );
        let widths: Vec<_> = outcome
            .open
            .iter()
            .map(|(label, link)| (label.clone().unwrap(), link.frame.unwrap().width))
            .collect();
        assert_eq!(widths, [("x".to_owned(), 640), ("y".to_owned(), 320)]);
    }

    #[test]
    fn what_holds_everything_says_so() {
        let raw = hd().frame.unwrap().bytes();
        let reverse = run("reverse", &|_| Some(hd()));
        assert_eq!(reverse.unbounded, ["reverse"]);
        assert!(reverse.bytes >= 300.0 * raw);
        let unknown_length = run("reverse", &|_| {
            Some(Link {
                frames: None,
                ..hd()
            })
        });
        assert_eq!(unknown_length.unbounded, ["reverse"]);
        let mixed = run("tmix=frames=128", &|_| Some(hd()));
        assert!(
            mixed.unbounded.is_empty() && mixed.bytes >= 128.0 * raw && mixed.bytes < 135.0 * raw
        );
        assert_eq!(run("null", &|_| Some(hd())).bytes, 0.0);
    }

    #[test]
    fn sources_have_their_size() {
        let frame =
            |text: &str| source_frame(&graph::parse(text)[0][0]).map(|f| (f.width, f.height));
        assert_eq!(frame("testsrc2=size=1920x1080:rate=25"), Some((1920, 1080)));
        assert_eq!(frame("color=red:s=hd720"), Some((1280, 720)));
        assert_eq!(frame("color=c=black"), Some((320, 240)));
        assert_eq!(frame("sine=frequency=440"), None);
        assert_eq!(frame("anullsrc"), None);
    }
}
