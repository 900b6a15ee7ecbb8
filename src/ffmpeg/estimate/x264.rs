//! The memory of one libx264 encoder, as a closed form of its settings.
//!
//! The shape follows x264's own buffers: source frames waiting in the lookahead, reconstructed frames held as
//! references by the frame threads, and macroblock tables per thread. The four coefficients are a least
//! squares fit (relative error) over 223 of the 229 measured rows (those without audio), `tests/data/ffmem/x264.csv`, with the decoder's own
//! form taken off first. See `docs/estimate.md` for the error.

use super::frame::Chroma;
use super::{Lookup, MIB};
use crate::ffmpeg::encoder::{Family, preset_rank};

/// Coefficient of the waiting source frames.
const SOURCE_FRAMES: f64 = 0.989;
/// Coefficient of the reconstructed frames.
const RECONSTRUCTED_FRAMES: f64 = 0.846;
/// Bytes per pixel and thread of macroblock tables and bitstream.
const PER_THREAD: f64 = 0.546;
/// Raw frames that decoder and encoder share (the decoder's form counts them already).
const SHARED_RAW: f64 = -1.579;
/// What the encoder adds whatever its size, in MiB (negative: the base's slack).
const FIXED_MIB: f64 = -1.8;

/// The settings of libx264 that decide its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X264 {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// More than 8 bits per sample.
    pub ten_bit: bool,
    /// Chroma layout.
    pub chroma: Chroma,
    /// `threads`; 0 is x264's own choice by the number of CPUs.
    pub threads: u32,
    /// `rc-lookahead`, frames.
    pub lookahead: u32,
    /// `sync-lookahead`, frames; None is x264's own choice.
    pub sync_lookahead: Option<u32>,
    /// `ref`, frames.
    pub refs: u32,
    /// `bframes`.
    pub bframes: u32,
    /// `b-pyramid` other than none.
    pub b_pyramid: bool,
    /// `sliced-threads`.
    pub sliced: bool,
    /// `mbtree`.
    pub mbtree: bool,
    /// A VBV buffer is set.
    pub vbv: bool,
    /// `subme`; 0 keeps no half-pixel planes.
    pub subme: u32,
    /// `keyint`, frames.
    pub keyint: u32,
    /// Interlaced coding doubles the planes.
    pub interlaced: bool,
    /// The second of two passes reads its decisions from a file.
    pub second_pass: bool,
    /// Frames the encode has in all, when known: no more can wait.
    pub frames: Option<u64>,
}

/// `subme` of each preset, the lightest first (x264's `common/base.c`, `param_apply_preset`).
const SUBME: [u32; 10] = [0, 1, 2, 4, 6, 7, 8, 9, 10, 11];

impl X264 {
    /// A preset by name or by number (0 is ultrafast); None when x264 has no such preset.
    pub fn preset(name: &str, width: u32, height: u32) -> Option<Self> {
        let rank = preset_rank(name)?;
        let [lookahead, refs, bframes] = Family::X264.preset_params(rank)?;
        let subme = SUBME[rank];
        Some(Self {
            width,
            height,
            ten_bit: false,
            chroma: Chroma::C420,
            threads: 0,
            lookahead,
            sync_lookahead: None,
            refs,
            bframes,
            b_pyramid: true,
            sliced: false,
            mbtree: lookahead > 0,
            vbv: false,
            subme,
            keyint: 250,
            interlaced: false,
            second_pass: false,
            frames: None,
        })
    }

    /// Applies `-tune`: one or more names, separated by `,`, `.`, `-`, `/` or `+`.
    pub fn tune(&mut self, names: &str) {
        for name in names.split([',', '.', '-', '/', '+']) {
            match name {
                "animation" => {
                    self.refs = if self.refs > 1 { self.refs * 2 } else { 1 };
                    self.bframes += 2;
                }
                "touhou" => self.refs = if self.refs > 1 { self.refs * 2 } else { 1 },
                "zerolatency" => {
                    self.lookahead = 0;
                    self.sync_lookahead = Some(0);
                    self.bframes = 0;
                    self.sliced = true;
                    self.mbtree = false;
                }
                _ => {}
            }
        }
    }

    /// Applies one setting under x264's own name; names that do not matter to memory are ignored.
    pub fn set(&mut self, name: &str, value: &str) {
        let name = name.replace('_', "-");
        let (name, value) = match name.strip_prefix("no-") {
            Some(rest) => (rest.to_owned(), "0"),
            None => (name, value),
        };
        let number = value.parse::<u32>().ok();
        let yes = !matches!(value, "0" | "false" | "no" | "none");
        match (name.as_str(), number) {
            ("threads", _) => self.threads = number.unwrap_or(0),
            ("rc-lookahead", Some(n)) => self.lookahead = n,
            ("sync-lookahead", _) => self.sync_lookahead = number,
            ("ref" | "frameref", Some(n)) => self.refs = n,
            ("bframes", Some(n)) => self.bframes = n,
            ("b-pyramid" | "bpyramid", _) => self.b_pyramid = yes,
            ("sliced-threads", _) => self.sliced = yes,
            ("mbtree", _) => self.mbtree = yes,
            ("vbv-bufsize", Some(n)) => self.vbv = n > 0,
            ("subme" | "subq", Some(n)) => self.subme = n,
            ("keyint", _) => self.keyint = number.unwrap_or(u32::MAX),
            ("interlaced" | "tff" | "bff", _) => self.interlaced = yes,
            // Constant quantiser turns the macroblock tree off.
            ("qp", Some(_)) => self.mbtree = false,
            _ => {}
        }
    }

    /// Applies FFmpeg's own options of one output's video stream, in the order libx264's wrapper does.
    pub fn read(&mut self, option: Lookup<'_>) {
        let number = |name| option(name).and_then(|text| text.parse::<u32>().ok());
        if let Some(tune) = option("tune") {
            self.tune(&tune);
        }
        for (ours, theirs) in [
            ("threads", "threads"),
            ("bf", "bframes"),
            ("refs", "ref"),
            ("g", "keyint"),
            ("rc-lookahead", "rc-lookahead"),
            ("sc_lookahead", "sync-lookahead"),
            ("mbtree", "mbtree"),
            ("b-pyramid", "b-pyramid"),
            ("b_pyramid", "b-pyramid"),
            ("subq", "subme"),
            ("qp", "qp"),
        ] {
            if let Some(value) = option(ours) {
                self.set(theirs, &value);
            }
        }
        self.vbv = option("bufsize").is_some() && option("maxrate").is_some();
        self.second_pass = number("pass") == Some(2);
        self.sliced |= option("thread_type").is_some_and(|kind| kind == "slice");
        self.interlaced |=
            option("flags").is_some_and(|flags| flags.contains("ildct") || flags.contains("ilme"));
        for list in ["x264opts", "x264-params"] {
            for setting in option(list).unwrap_or_default().split(':') {
                let (name, value) = setting.split_once('=').unwrap_or((setting, "1"));
                self.set(name, value);
            }
        }
    }

    /// Threads x264 will use on a machine of `cpus`: its own choice is 1.5 per CPU, no more than one per two
    /// macroblock rows (1 per CPU and four rows when sliced), and never over 128.
    pub fn threads_on(&self, cpus: u32) -> u32 {
        let rows = self.height.div_ceil(16);
        let mut threads = self.threads;
        if threads == 0 {
            let own = if self.sliced {
                cpus
            } else {
                cpus.saturating_mul(3) / 2
            };
            threads = own.min((rows / 2).max(1));
        }
        if self.sliced {
            threads = threads.min((rows / 4).max(1));
        }
        threads.clamp(1, 128)
    }

    /// Bytes the encoder adds at its peak on a machine of `cpus`.
    pub fn bytes(&self, cpus: u32) -> f64 {
        let (width, height) = (f64::from(self.width), f64::from(self.height));
        let threads = self.threads_on(cpus);
        let frame_threads = if self.sliced { 1 } else { threads };
        let keyint = self.keyint.max(1);
        let bframes = self.bframes.min(16).min(keyint - 1);
        let lookahead = if self.second_pass {
            0
        } else {
            self.lookahead.min(250).min(keyint)
        };
        let waits = (self.mbtree && lookahead > 0) || self.vbv;
        let delay = if waits {
            bframes.max(lookahead)
        } else {
            bframes
        };
        let sync = match self.sync_lookahead {
            _ if frame_threads == 1 || self.second_pass => 0,
            Some(frames) => frames.min(250),
            None => bframes + 1,
        };
        let mut waiting = f64::from(delay + frame_threads + sync) + 3.0;
        let pyramid = self.b_pyramid && bframes > 1;
        let reorder = if pyramid { 2 } else { u32::from(bframes > 0) };
        let dpb = self
            .refs
            .max(1 + reorder)
            .max(if pyramid { 4 } else { 1 })
            .min(16);
        let mut held = f64::from(dpb + frame_threads) + 1.0;
        if let Some(frames) = self.frames {
            // Buffers are made as frames come: a short encode never fills the lookahead.
            waiting = waiting.min(frames as f64 + 3.0);
            held = held.min(frames as f64 + 1.0);
        }

        let samples = if self.ten_bit { 2.0 } else { 1.0 };
        let fields = if self.interlaced { 2.0 } else { 1.0 };
        let columns = f64::from(self.width.div_ceil(16));
        let rows = f64::from(self.height.div_ceil(16 * fields as u32)) * fields;
        let macroblocks = columns * rows;
        let luma = align(width + 128.0, 64.0) * (rows * 16.0 + 64.0 * fields);
        let half = align(columns * 8.0 + 128.0, 64.0) * (rows * 8.0 + 64.0) * 4.0;
        let b = f64::from(bframes);
        let lists = if bframes > 0 { 2.0 } else { 1.0 };
        let chroma = self.chroma.per_luma();
        let source = luma * (1.0 + chroma) * samples * fields
            + half * samples
            + macroblocks * ((b + 1.0) * lists * 8.0 + 2.0 + 2.0 * (b + 2.0) * (b + 2.0) + 10.0);
        let halfpel = if self.subme > 0 { 4.0 } else { 1.0 };
        let planes = if self.chroma == Chroma::C444 {
            (1.0 + chroma) * halfpel
        } else {
            halfpel + chroma
        };
        let reconstructed = luma * planes * samples * fields + macroblocks * (14.0 + 64.0 * lists);
        let raw = width * height * (1.0 + chroma) * samples;

        let sum = FIXED_MIB * MIB
            + SOURCE_FRAMES * source * waiting
            + RECONSTRUCTED_FRAMES * reconstructed * held
            + SHARED_RAW * raw
            + PER_THREAD * f64::from(threads) * width * height;
        sum.max(0.0)
    }
}

/// `x` rounded up to a multiple of `to`.
fn align(x: f64, to: f64) -> f64 {
    (x / to).ceil() * to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medium() -> X264 {
        X264::preset("medium", 1920, 1080).unwrap()
    }

    #[test]
    fn presets_by_name_and_number() {
        assert_eq!(X264::preset("5", 10, 10), X264::preset("medium", 10, 10));
        assert_eq!(X264::preset("hasty", 10, 10), None);
    }

    #[test]
    fn own_thread_choice_is_capped_by_rows() {
        assert_eq!(medium().threads_on(2), 3);
        assert_eq!(medium().threads_on(64), 34);
        let small = X264::preset("medium", 640, 64).unwrap();
        assert_eq!(small.threads_on(64), 2);
    }

    #[test]
    fn each_knob_moves_memory_the_right_way() {
        let bytes = |change: &dyn Fn(&mut X264)| {
            let mut encoder = medium();
            encoder.threads = 4;
            change(&mut encoder);
            encoder.bytes(4)
        };
        let plain = bytes(&|_| {});
        assert!(bytes(&|e| e.set("rc-lookahead", "10")) < plain);
        assert!(bytes(&|e| e.set("keyint", "10")) < plain);
        assert!(bytes(&|e| e.set("no-mbtree", "")) < plain);
        assert!(bytes(&|e| e.tune("film,zerolatency")) < plain);
        assert!(bytes(&|e| e.second_pass = true) < plain);
        assert!(bytes(&|e| e.frames = Some(5)) < plain);
        assert!(bytes(&|e| e.set("ref", "16")) > plain);
        assert!(bytes(&|e| e.set("bframes", "16")) > plain);
        assert!(bytes(&|e| e.tune("animation")) > plain);
        assert!(bytes(&|e| e.ten_bit = true) > plain * 1.5);
        assert!(bytes(&|e| e.chroma = Chroma::C444) > plain * 1.3);
        assert!(bytes(&|e| e.interlaced = true) > plain * 1.3);
        assert!(bytes(&|e| e.set("threads", "16")) > plain);
        assert_eq!(bytes(&|e| e.set("me", "umh")), plain);
        assert_eq!(bytes(&|e| e.tune("grain")), plain);
    }

    #[test]
    fn params_win_over_ffmpeg_options() {
        let mut encoder = medium();
        let options = [
            ("refs", "2"),
            ("bf", "0"),
            ("x264-params", "ref=7:no-mbtree:rc_lookahead=9"),
        ];
        encoder.read(&|name| options.iter().find(|o| o.0 == name).map(|o| o.1.to_owned()));
        assert_eq!(
            (
                encoder.refs,
                encoder.bframes,
                encoder.lookahead,
                encoder.mbtree
            ),
            (7, 0, 9, false)
        );
    }

    #[test]
    fn hostile_settings_stay_finite() {
        let mut encoder = medium();
        for setting in [
            "threads",
            "rc-lookahead",
            "sync-lookahead",
            "ref",
            "bframes",
            "keyint",
            "subme",
        ] {
            encoder.set(setting, "4294967295");
        }
        assert!(encoder.bytes(u32::MAX).is_finite());
        encoder.set("keyint", "0");
        assert!(encoder.bytes(0).is_finite());
    }
}
