//! Which form an encoder has. libx264 and libx265 have closed forms; the rest of this file is guesses fitted
//! by hand to few rows, and says so.

use super::frame::{Chroma, Frame};
use super::x264::X264;
use super::x265::X265;
use super::{Lookup, MIB, Sum};

/// One video encoder of one output.
pub(super) struct Encoder<'a> {
    /// Its name, as with `-c:v`.
    pub codec: &'a str,
    /// The frames it gets.
    pub frame: Frame,
    /// How many, when known.
    pub frames: Option<u64>,
    /// The output's options for this stream.
    pub option: Lookup<'a>,
    /// `output 0`.
    pub place: String,
}

impl Encoder<'_> {
    /// Adds what the encoder needs.
    pub fn add(&self, cpus: u32, sum: &mut Sum) {
        match self.codec {
            "libx264" | "libx264rgb" | "h264" => self.add_x264(cpus, sum),
            "libx265" | "hevc" => self.add_x265(cpus, sum),
            "rawvideo" | "wrapped_avframe" => {}
            _ => self.add_guess(cpus, sum),
        }
    }

    fn add_x264(&self, cpus: u32, sum: &mut Sum) {
        let name = (self.option)("preset").unwrap_or_else(|| "medium".to_owned());
        let (width, height) = (self.frame.width, self.frame.height);
        let preset = X264::preset(&name, width, height);
        if preset.is_none() {
            sum.guess(format!(
                "{}: libx264 has no preset {name:?}, taken as medium",
                self.place
            ));
        }
        let Some(mut encoder) = preset.or_else(|| X264::preset("medium", width, height)) else {
            return;
        };
        encoder.ten_bit = self.frame.format.bytes_per_sample > 1;
        encoder.chroma = self.frame.format.chroma;
        encoder.frames = self.frames;
        encoder.read(self.option);
        let threads = encoder.threads_on(cpus);
        sum.threads(threads);
        let what = format!(
            "{}: libx264 {name}, {width}x{height}, {threads} threads",
            self.place
        );
        sum.add(what, encoder.bytes(cpus));
    }

    fn add_x265(&self, cpus: u32, sum: &mut Sum) {
        let name = (self.option)("preset").unwrap_or_else(|| "medium".to_owned());
        let (width, height) = (self.frame.width, self.frame.height);
        let preset = X265::preset(&name, width, height);
        if preset.is_none() {
            sum.guess(format!(
                "{}: libx265 has no preset {name:?}, taken as medium",
                self.place
            ));
        }
        let Some(mut encoder) = preset.or_else(|| X265::preset("medium", width, height)) else {
            return;
        };
        encoder.ten_bit = self.frame.format.bytes_per_sample > 1;
        encoder.chroma = self.frame.format.chroma;
        encoder.frames = self.frames;
        encoder.read(self.option);
        if encoder.chroma == Chroma::C422 || encoder.chroma == Chroma::C444 {
            sum.guess(format!(
                "{}: libx265 above 4:2:0 was not measured",
                self.place
            ));
        }
        let threads = encoder.frame_threads_on(cpus);
        sum.threads(encoder.pool_threads_on(cpus));
        let what = format!(
            "{}: libx265 {name}, {width}x{height}, {threads} frame threads",
            self.place
        );
        sum.add(what, encoder.bytes(cpus));
    }

    /// Encoders without a closed form: raw frames, held times a factor.
    fn add_guess(&self, cpus: u32, sum: &mut Sum) {
        let raw = self.frame.bytes();
        let deep = self.frame.format.bytes_per_sample > 1;
        let number = |name: &str| (self.option)(name).and_then(|text| text.parse::<f64>().ok());
        let threads = number("threads")
            .filter(|threads| *threads > 0.0)
            .unwrap_or(f64::from(cpus.min(64)));
        let bytes = match self.codec {
            "libsvtav1" => self.svtav1(raw, deep),
            "libvpx-vp9" | "vp9" | "libvpx" | "vp8" => {
                // 27 MiB + raw * (44 + 1.5 * lag): 49 rows.
                let lag = number("lag-in-frames").unwrap_or(25.0).clamp(0.0, 25.0);
                let per_sample = if deep { 0.9 } else { 1.0 };
                (27.0 + 6.0 * (threads - 1.0).clamp(0.0, 8.0)) * MIB
                    + raw * per_sample * (44.0 + 1.55 * lag)
            }
            "libaom-av1" | "av1" => {
                // 25 MiB + raw * (20 + 3.2 * lag), lag 35 unless said: 13 rows.
                let realtime =
                    (self.option)("usage").is_some_and(|usage| usage == "realtime" || usage == "1");
                let lag = if realtime {
                    0.0
                } else {
                    number("lag-in-frames").unwrap_or(35.0)
                };
                25.0 * MIB + raw * (20.0 + 3.2 * lag.clamp(0.0, 42.0))
            }
            // One row at 720p.
            "ffv1" => 110.0 * raw,
            // mpeg2video, mjpeg and prores_ks: one row each, 1080p, one thread.
            "mpeg1video" | "mpeg2video" | "mpeg4" | "mjpeg" | "prores" | "prores_ks"
            | "prores_aw" | "dnxhd" | "flv" | "gif" | "png" | "bmp" | "libtheora" | "huffyuv"
            | "ffvhuff" | "utvideo" | "libwebp" | "h263" | "h263p" | "libxvid" | "msmpeg4"
            | "wmv2" | "v210" | "qtrle" | "cfhd" => {
                (4.0 + 2.0 * threads) * MIB + raw * (6.0 + 1.5 * threads)
            }
            // Frames lie with the driver: nothing was measured.
            codec
                if [
                    "_nvenc",
                    "_vaapi",
                    "_qsv",
                    "_amf",
                    "_videotoolbox",
                    "_v4l2m2m",
                ]
                .iter()
                .any(|kind| codec.ends_with(kind)) =>
            {
                150.0 * MIB + 12.0 * raw
            }
            // As much as libsvtav1, the dearest that was measured.
            _ => self.svtav1(raw, deep),
        };
        sum.threads(threads as u32);
        let Frame { width, height, .. } = self.frame;
        sum.add(
            format!("{}: {}, {width}x{height} (a guess)", self.place, self.codec),
            bytes,
        );
        sum.unknown(format!(
            "{}: {} has no measured closed form",
            self.place, self.codec
        ));
    }

    /// 32 MiB + raw * k, k by preset; 0.7 of it with `lp=1`; more than one `lp` changes nothing: 83 rows.
    fn svtav1(&self, raw: f64, deep: bool) -> f64 {
        let mut preset = (self.option)("preset")
            .and_then(|text| text.parse::<i32>().ok())
            .unwrap_or(10);
        let (mut one_thread, mut levels) = (false, 0);
        for setting in (self.option)("svtav1-params")
            .unwrap_or_default()
            .split(':')
        {
            match setting.split_once('=') {
                Some(("preset", value)) => preset = value.parse().unwrap_or(preset),
                Some(("lp", value)) => one_thread = value == "1",
                Some(("hierarchical-levels", value)) => levels = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        let held = match preset {
            ..=3 => 330.0,
            4 => 250.0,
            5 | 6 => 190.0,
            7..=9 => 172.0,
            10 | 11 => 150.0,
            _ => 128.0,
        };
        let pyramid = if levels >= 5 { 1.6 } else { 1.0 };
        let samples = if deep { 0.8 } else { 1.0 };
        let threads = if one_thread { 0.7 } else { 1.0 };
        32.0 * MIB + raw * held * pyramid * samples * threads
    }
}
