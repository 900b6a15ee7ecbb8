//! Runs a filter graph on paper: which streams go in, which come out, and what its filters hold meanwhile.
//!
//! Nearly every filter holds a few frames. Some hold a fixed number that their arguments name; a few hold all
//! there is (`reverse`), and then the peak grows with the length of the input. The table is in `held`.

use std::collections::HashMap;

use super::frame::{Frame, PixelFormat, parse_size};
use super::graph::{self, Filter};
use super::held::{hold_audio, hold_video};
use super::resize::resized;

/// A stream between two filters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// None for audio.
    pub frame: Option<Frame>,
    /// Video frames that will pass, when known.
    pub frames: Option<f64>,
    /// Video frames per second.
    pub rate: f64,
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
        rate: 30.0,
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
            rate: 30.0,
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
