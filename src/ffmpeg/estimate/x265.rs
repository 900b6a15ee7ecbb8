//! The memory of one libx265 encoder, as a closed form of its settings.
//!
//! Pictures waiting in the lookahead, reconstructed pictures held by the frame encoders, and scratch per pool
//! thread. Coefficients: least squares (relative error) over 80 measured rows,
//! `tests/data/ffmem/x265-svtav1-vp9-aom.csv`, with the decoder's own form taken off first.
//! See `docs/estimate.md` for the error.

use super::frame::Chroma;
use super::{Lookup, MIB};
use crate::ffmpeg::encoder::{Family, preset_rank};

/// Coefficient of the pictures in the lookahead.
const LOOKAHEAD_PICTURES: f64 = 0.891;
/// Coefficient of the reconstructed pictures.
const RECONSTRUCTED_PICTURES: f64 = 1.379;
/// MiB per pool thread and square root of a raw picture's MiB.
const PER_POOL_THREAD: f64 = 1.733;
/// What the encoder adds whatever its size, in MiB.
const FIXED_MIB: f64 = 15.1;
/// Raw pictures that more than 8 bits cost beyond doubling every sample; from two rows only (1080p, 2160p).
const TEN_BIT_RAW: f64 = 9.5;
/// Bytes per pixel of a reconstructed picture's coding tree data.
const CODING_TREE: f64 = 6.9;

/// The settings of libx265 that decide its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X265 {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// More than 8 bits per sample.
    pub ten_bit: bool,
    /// Chroma layout.
    pub chroma: Chroma,
    /// `rc-lookahead`, pictures.
    pub lookahead: u32,
    /// `bframes`.
    pub bframes: u32,
    /// `b-pyramid`.
    pub b_pyramid: bool,
    /// `ref`, pictures.
    pub refs: u32,
    /// `ctu`, pixels: 16, 32 or 64.
    pub ctu: u32,
    /// `frame-threads`; 0 is x265's own choice by the size of its pools.
    pub frame_threads: u32,
    /// Threads in all pools; None is one per CPU.
    pub pools: Option<u32>,
    /// Frames the encode has in all, when known.
    pub frames: Option<u64>,
}

/// The first preset with coding tree units of 64 pixels; those before it have 32.
const FIRST_WITH_CTU_64: usize = 2;

impl X265 {
    /// A preset by name or by number (0 is ultrafast); None when x265 has no such preset.
    pub fn preset(name: &str, width: u32, height: u32) -> Option<Self> {
        let rank = preset_rank(name)?;
        let [lookahead, refs, bframes] = Family::X265.preset_params(rank)?;
        let ctu = if rank < FIRST_WITH_CTU_64 { 32 } else { 64 };
        Some(Self {
            width,
            height,
            ten_bit: false,
            chroma: Chroma::C420,
            lookahead,
            bframes,
            b_pyramid: true,
            refs,
            ctu,
            frame_threads: 0,
            pools: None,
            frames: None,
        })
    }

    /// Applies `-tune`.
    pub fn tune(&mut self, name: &str) {
        match name {
            "zerolatency" | "zero-latency" => {
                self.lookahead = 0;
                self.bframes = 0;
                self.frame_threads = 1;
            }
            "animation" => self.bframes = (self.bframes + 2).min(16),
            _ => {}
        }
    }

    /// Applies one setting under x265's own name; names that do not matter to memory are ignored.
    pub fn set(&mut self, name: &str, value: &str) {
        let name = name.replace('_', "-");
        let number = value.parse::<u32>().ok();
        match (name.as_str(), number) {
            ("rc-lookahead", Some(n)) => self.lookahead = n,
            ("bframes", Some(n)) => self.bframes = n,
            ("no-b-pyramid", _) => self.b_pyramid = false,
            ("b-pyramid", _) => self.b_pyramid = !matches!(value, "0" | "false"),
            ("ref", Some(n)) => self.refs = n,
            ("ctu", Some(n)) if matches!(n, 16 | 32 | 64) => self.ctu = n,
            ("frame-threads" | "F", _) => self.frame_threads = number.unwrap_or(0),
            ("pools" | "numa-pools", _) => self.pools = parse_pools(value),
            _ => {}
        }
    }

    /// Applies FFmpeg's own options of one output's video stream, then `-x265-params`.
    pub fn read(&mut self, option: Lookup<'_>) {
        if let Some(tune) = option("tune") {
            self.tune(&tune);
        }
        // FFmpeg's -threads is x265's frame-threads; its pools stay as they are.
        for (ours, theirs) in [
            ("threads", "frame-threads"),
            ("bf", "bframes"),
            ("refs", "ref"),
        ] {
            if let Some(value) = option(ours) {
                self.set(theirs, &value);
            }
        }
        for setting in option("x265-params").unwrap_or_default().split(':') {
            let (name, value) = setting.split_once('=').unwrap_or((setting, "1"));
            self.set(name, value);
        }
    }

    /// Pool threads on a machine of `cpus`.
    pub fn pool_threads_on(&self, cpus: u32) -> u32 {
        self.pools.unwrap_or(cpus).min(1024)
    }

    /// Frame encoders on a machine of `cpus`: x265's own choice is 1 below 4 pool threads, then 2, 3 (from 8),
    /// 4 (from 16), 5 (from 32; 6 above 2000 lines).
    pub fn frame_threads_on(&self, cpus: u32) -> u32 {
        let own = match self.pool_threads_on(cpus) {
            32.. if self.height > 2000 => 6,
            32.. => 5,
            16.. => 4,
            8.. => 3,
            4.. => 2,
            _ => 1,
        };
        let threads = if self.frame_threads == 0 {
            own
        } else {
            self.frame_threads
        };
        threads.clamp(1, 16)
    }

    /// Bytes the encoder adds at its peak on a machine of `cpus`.
    pub fn bytes(&self, cpus: u32) -> f64 {
        let samples = if self.ten_bit { 2.0 } else { 1.0 };
        let chroma = self.chroma.per_luma();
        let ctu = f64::from(self.ctu);
        let (width, height) = (f64::from(self.width), f64::from(self.height));
        let (coded_width, coded_height) = (align(width, ctu), align(height, ctu));
        let (margin_x, margin_y) = (ctu + 32.0, ctu + 16.0);
        let plane = |w: f64, h: f64, mx: f64, my: f64| (w + 2.0 * mx) * (h + 2.0 * my);
        let chroma_planes = match self.chroma {
            Chroma::Gray => 0.0,
            // The horizontal margin of a chroma plane is not halved.
            Chroma::C420 => {
                2.0 * plane(
                    coded_width / 2.0,
                    coded_height / 2.0,
                    margin_x,
                    margin_y / 2.0,
                )
            }
            Chroma::C422 => 2.0 * plane(coded_width / 2.0, coded_height, margin_x, margin_y),
            Chroma::C444 => 2.0 * plane(coded_width, coded_height, margin_x, margin_y),
        };
        let picture =
            (plane(coded_width, coded_height, margin_x, margin_y) + chroma_planes) * samples;
        let half = 4.0
            * align(width / 2.0 + 2.0 * margin_x, 32.0)
            * (align(height / 2.0, 8.0) + 2.0 * margin_y)
            * samples;
        let bframes = self.bframes.min(16);
        let b = f64::from(bframes) + 2.0;
        let units = (width / 16.0).ceil() * (height / 16.0).ceil();
        let waiting_picture = picture + half + units * (31.0 + 2.0 * b * b + 24.0 * b);
        let reconstructed = picture + CODING_TREE * coded_width * coded_height;
        let reorder = if self.b_pyramid && bframes > 1 {
            2
        } else {
            u32::from(bframes > 0)
        };
        let dpb = (reorder + 2).max(self.refs.min(16)) + 1;
        let mut waiting = f64::from(self.lookahead.min(250)) + b;
        let mut held = f64::from(dpb + self.frame_threads_on(cpus));
        if let Some(frames) = self.frames {
            waiting = waiting.min(frames as f64 + 2.0);
            held = held.min(frames as f64 + 2.0);
        }
        let raw = width * height * (1.0 + chroma) * samples;
        let deep = if self.ten_bit { TEN_BIT_RAW * raw } else { 0.0 };
        let pools = f64::from(self.pool_threads_on(cpus));
        FIXED_MIB * MIB
            + LOOKAHEAD_PICTURES * waiting_picture * waiting
            + RECONSTRUCTED_PICTURES * reconstructed * held
            + PER_POOL_THREAD * pools * (raw / MIB).sqrt() * MIB
            + deep
    }
}

/// `pools`: `none`, `*`, a number, or a list of one per NUMA node, `+` and `-` meaning all and none of it.
/// None is one thread per CPU.
fn parse_pools(value: &str) -> Option<u32> {
    if matches!(value.to_ascii_lowercase().as_str(), "none" | "0") {
        return Some(0);
    }
    let mut sum = 0u32;
    for node in value.split(',') {
        match node.trim() {
            "-" => {}
            text => sum = sum.saturating_add(text.parse().ok()?),
        }
    }
    Some(sum)
}

/// `x` rounded up to a multiple of `to`.
fn align(x: f64, to: f64) -> f64 {
    (x / to).ceil() * to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medium() -> X265 {
        X265::preset("medium", 1920, 1080).unwrap()
    }

    #[test]
    fn own_threads_follow_the_pools() {
        assert_eq!(medium().frame_threads_on(2), 1);
        assert_eq!(medium().frame_threads_on(8), 3);
        assert_eq!(medium().frame_threads_on(64), 5);
        let mut limited = medium();
        limited.set("pools", "2,-");
        assert_eq!(
            (limited.pool_threads_on(64), limited.frame_threads_on(64)),
            (2, 1)
        );
        limited.set("pools", "*");
        assert_eq!(limited.pool_threads_on(64), 64);
        limited.set("pools", "none");
        assert_eq!(limited.pool_threads_on(64), 0);
    }

    #[test]
    fn each_knob_moves_memory_the_right_way() {
        let bytes = |change: &dyn Fn(&mut X265)| {
            let mut encoder = medium();
            change(&mut encoder);
            encoder.bytes(4)
        };
        let plain = bytes(&|_| {});
        assert!(bytes(&|e| e.set("rc-lookahead", "60")) > plain);
        assert!(bytes(&|e| e.set("bframes", "16")) > plain);
        assert!(bytes(&|e| e.set("ref", "6")) > plain);
        assert!(bytes(&|e| e.set("frame-threads", "6")) > plain);
        assert!(bytes(&|e| e.set("pools", "16")) > plain);
        assert!(bytes(&|e| e.set("ctu", "32")) < plain);
        assert!(bytes(&|e| e.tune("zerolatency")) < plain);
        assert!(bytes(&|e| e.ten_bit = true) > plain * 1.5);
        assert!(bytes(&|e| e.chroma = Chroma::C444) > plain * 1.2);
        assert!(bytes(&|e| e.frames = Some(1)) < plain);
        assert_eq!(bytes(&|e| e.set("rd", "6")), plain);
    }

    #[test]
    fn params_win_over_ffmpeg_options() {
        let mut encoder = medium();
        let options = [
            ("threads", "6"),
            ("bf", "2"),
            ("x265-params", "frame-threads=2:bframes=0:no-sao"),
        ];
        encoder.read(&|name| options.iter().find(|o| o.0 == name).map(|o| o.1.to_owned()));
        assert_eq!((encoder.frame_threads, encoder.bframes), (2, 0));
    }
}
