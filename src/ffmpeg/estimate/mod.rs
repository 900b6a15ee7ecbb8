//! Bytes an FFmpeg command is expected to peak at, before it starts. Pure.
//!
//! The peak is a sum: FFmpeg itself, what each input's demuxer keeps, each decoder, each filter graph, each
//! encoder, what each muxer keeps, and a margin. The closed forms are fits over measured rows of ffmpeg 5.1
//! (`tests/data/ffmem/`); `docs/estimate.md` has the forms, their error and what is not covered.
//!
//! - `frame`, `graph`, `filter`: sizes, pixel formats and filter graphs; `resize` and `held`: what a filter does
//!   to a frame and what it keeps
//! - `decoder`, `x264`, `x265`: closed forms; `encoder`: which form an encoder has, and the guesses
//! - `input`, `streams`: which streams of which inputs a command decodes, filters, encodes or copies
//! - `container`: what demuxers and muxers keep

mod container;
pub mod decoder;
mod encoder;
pub mod filter;
pub mod frame;
pub mod graph;
mod held;
mod input;
mod resize;
mod streams;
pub mod x264;
pub mod x265;

pub use input::output_seconds;

use serde::Serialize;

use super::command::Command;
use super::probe::MediaInfo;

/// Bytes of a MiB.
pub const MIB: f64 = 1_048_576.0;

/// The value of an FFmpeg option for the stream at hand.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// FFmpeg with its libraries loaded and nothing to do, in bytes: the fits' common constant, 53 MiB.
const BASE_BYTES: f64 = 53.0 * MIB;
/// Part of the sum added on top: the closed forms are up to 6 % under where they are good.
const MARGIN: f64 = 0.06;
/// Threads from which the margin grows; at 16 the forms were up to 10.5 % under.
const MARGIN_THREADS: u32 = 8;
/// More margin for each thread above.
const MARGIN_PER_THREAD: f64 = 0.0025;
/// The most that threads add to the margin: beyond 16 nothing was measured.
const MARGIN_MOST: f64 = 0.06;
/// More margin where some part is a guess.
const MARGIN_PARTIAL: f64 = 0.04;
/// More margin where there is no basis.
const MARGIN_UNKNOWN: f64 = 0.09;

/// What an estimate rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "why", rename_all = "lowercase")]
pub enum Basis {
    /// Every part has a measured closed form.
    Formula,
    /// Some parts are guesses: which.
    Partial(Vec<String>),
    /// Something keeps all that passes, so the peak grows with the input: what. The number counts it where
    /// the length is known.
    Unbounded(Vec<String>),
    /// The greatest part has no measured form: which. The number is rough, and meant to be too high.
    Unknown(Vec<String>),
}

/// One summand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What needs it: `input 0: h264 decoder, 3 threads`.
    pub what: String,
    /// How much.
    pub bytes: u64,
}

/// What a command is expected to peak at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// The peak, margin included.
    pub bytes: u64,
    /// What it is made of; their sum is `bytes`.
    pub parts: Vec<Part>,
    /// What it rests on.
    pub basis: Basis,
}

/// The parts as they are found.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    parts: Vec<Part>,
    guessed: Vec<String>,
    unbounded: Vec<String>,
    unknown: Vec<String>,
    threads: u32,
}

impl Sum {
    pub(crate) fn add(&mut self, what: impl Into<String>, bytes: f64) {
        // A float that is no number of bytes becomes 0 or the largest one.
        let bytes = bytes.max(0.0) as u64;
        if bytes > 0 {
            self.parts.push(Part {
                what: what.into(),
                bytes,
            });
        }
    }

    pub(crate) fn guess(&mut self, what: impl Into<String>) {
        self.guessed.push(what.into());
    }

    pub(crate) fn grows(&mut self, what: impl Into<String>) {
        self.unbounded.push(what.into());
    }

    pub(crate) fn unknown(&mut self, what: impl Into<String>) {
        self.unknown.push(what.into());
    }

    pub(crate) fn threads(&mut self, threads: u32) {
        self.threads = self.threads.max(threads);
    }

    fn finish(mut self) -> Estimate {
        let over = f64::from(self.threads.saturating_sub(MARGIN_THREADS)) * MARGIN_PER_THREAD;
        let mut margin = MARGIN + over.min(MARGIN_MOST);
        if !self.unknown.is_empty() {
            margin += MARGIN_UNKNOWN;
        } else if !self.guessed.is_empty() || !self.unbounded.is_empty() {
            margin += MARGIN_PARTIAL;
        }
        let total = |parts: &[Part]| {
            parts
                .iter()
                .fold(0u64, |sum, part| sum.saturating_add(part.bytes))
        };
        let sum = total(&self.parts);
        self.add(
            format!("margin, {:.1} %", margin * 100.0),
            sum as f64 * margin,
        );
        let (grows, unknown) = (!self.unbounded.is_empty(), !self.unknown.is_empty());
        let mut why = self.unknown;
        why.append(&mut self.unbounded);
        why.append(&mut self.guessed);
        why.dedup();
        let basis = match (unknown, grows, why.is_empty()) {
            (true, ..) => Basis::Unknown(why),
            (_, true, _) => Basis::Unbounded(why),
            (.., true) => Basis::Formula,
            _ => Basis::Partial(why),
        };
        Estimate {
            bytes: total(&self.parts),
            parts: self.parts,
            basis,
        }
    }
}

/// Estimates the peak of a command on a machine of `cpus`. `inputs` are what probing said of each input, in
/// order; one that is None, or missing, is taken as a 1080p film where its options do not say otherwise.
pub fn estimate(command: &Command, inputs: &[Option<MediaInfo>], cpus: u32) -> Estimate {
    let cpus = cpus.clamp(1, 1024);
    let mut sum = Sum::default();
    sum.add("ffmpeg itself", BASE_BYTES);
    if !command.is_informational() {
        streams::add(command, inputs, cpus, &mut sum);
    }
    sum.finish()
}
