//! What is known of encoders: names, which one FFmpeg takes by default, presets from light to heavy, and which of two
//! values of a parameter needs more memory. Pure tables.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::command::Group;
use super::output::split_extension;

/// Presets of x264 and x265 from the lightest to the heaviest; both accept the position as a number too.
pub const PRESETS: [&str; 10] = [
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];

/// FFmpeg's preset for both when none is given.
pub const DEFAULT_PRESET: &str = "medium";

/// Lookahead, reference frames and B-frames of each x264 preset (x264's `common/base.c`, `param_apply_preset`).
const X264_PRESETS: [[u32; 3]; 10] = [
    [0, 1, 0],
    [0, 1, 3],
    [10, 1, 3],
    [20, 2, 3],
    [30, 2, 3],
    [40, 3, 3],
    [50, 5, 3],
    [60, 8, 3],
    [60, 16, 8],
    [60, 16, 16],
];

/// The same for x265 (`source/common/param.cpp`, `x265_param_default_preset`).
const X265_PRESETS: [[u32; 3]; 10] = [
    [5, 1, 3],
    [10, 1, 3],
    [15, 2, 4],
    [15, 2, 4],
    [15, 3, 4],
    [20, 3, 4],
    [25, 4, 4],
    [40, 5, 8],
    [40, 5, 8],
    [60, 5, 8],
];

/// Encoders whose inner workings are known, and all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `libx264`, `libx264rgb`.
    X264,
    /// `libx265`.
    X265,
    /// Runs on other hardware, or has nothing to run in threads: `-threads` does nothing good.
    Unthreaded,
    /// Any other.
    Other,
}

/// What a parameter of x264 or x265 is about, which decides who may lower it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// How many threads work.
    Threads,
    /// How many pictures are held.
    Pictures,
}

impl Family {
    /// The family of an encoder, by the name FFmpeg knows it by. `h264` and `hevc` stand for their default encoders.
    pub fn of(encoder: &OsStr) -> Self {
        let Some(name) = encoder.to_str() else {
            return Self::Other;
        };
        const HARDWARE: [&str; 10] = [
            "_amf",
            "_d3d12va",
            "_mediacodec",
            "_mf",
            "_nvenc",
            "_omx",
            "_qsv",
            "_v4l2m2m",
            "_vaapi",
            "_videotoolbox",
        ];
        match name {
            "libx264" | "libx264rgb" | "h264" => Self::X264,
            "libx265" | "hevc" => Self::X265,
            "copy" | "rawvideo" | "wrapped_avframe" | "gif" | "v210" | "r210" | "v410" => {
                Self::Unthreaded
            }
            _ if HARDWARE
                .iter()
                .chain(&["_vulkan"])
                .any(|suffix| name.ends_with(suffix)) =>
            {
                Self::Unthreaded
            }
            _ => Self::Other,
        }
    }

    /// The name profiles use for the family: `libx264`, `libx265`.
    pub fn encoder(self) -> Option<&'static str> {
        match self {
            Self::X264 => Some("libx264"),
            Self::X265 => Some("libx265"),
            Self::Unthreaded | Self::Other => None,
        }
    }

    /// FFmpeg's options that carry the encoder's own parameters, the preferred one first.
    pub fn params_options(self) -> &'static [&'static str] {
        match self {
            Self::X264 => &["x264-params", "x264opts"],
            Self::X265 => &["x265-params"],
            Self::Unthreaded | Self::Other => &[],
        }
    }

    /// The parameter's usual name: `frameref`, `rc_lookahead` and the like are spellings of others.
    pub fn param_name(self, key: &str) -> String {
        let key = key.trim().replace('_', "-");
        match (self, key.as_str()) {
            (Self::X264, "frameref") => "ref".into(),
            (Self::X265, "numa-pools") => "pools".into(),
            (Self::X265, "F") => "frame-threads".into(),
            (Self::X265, "b") => "bframes".into(),
            _ => key,
        }
    }

    /// What the parameter is about; `None` if its value says nothing about memory.
    pub fn param_kind(self, key: &str) -> Option<ParamKind> {
        match (self, key) {
            (Self::X264, "threads" | "lookahead-threads")
            | (Self::X265, "pools" | "frame-threads") => Some(ParamKind::Threads),
            (Self::X264 | Self::X265, "rc-lookahead" | "ref" | "bframes") => {
                Some(ParamKind::Pictures)
            }
            (Self::X264, "sync-lookahead" | "mbtree") => Some(ParamKind::Pictures),
            _ => None,
        }
    }

    /// FFmpeg's own option for the same thing, which the parameter would override.
    pub fn equivalent_option(self, key: &str) -> Option<&'static str> {
        match (self, key) {
            (Self::X264 | Self::X265, "ref") => Some("refs"),
            (Self::X264 | Self::X265, "bframes") => Some("bf"),
            (Self::X264, "rc-lookahead") => Some("rc-lookahead"),
            (Self::X264, "mbtree") => Some("mbtree"),
            (Self::X264, "threads") | (Self::X265, "frame-threads") => Some("threads"),
            _ => None,
        }
    }

    /// A number to compare two values of a parameter by: the larger needs more memory. `None` if it cannot be told.
    pub fn weight(self, key: &str, value: &str) -> Option<u32> {
        let kind = self.param_kind(key)?;
        let value = value.trim();
        // Words and numbers that leave the choice to the encoder, which takes what the machine has.
        let automatic = match kind {
            ParamKind::Threads => matches!(value, "0" | "auto" | "+" | "*"),
            ParamKind::Pictures => key == "sync-lookahead" && value == "-1" || value == "auto",
        };
        match value {
            _ if automatic => Some(u32::MAX),
            "none" | "-" if key == "pools" => Some(0),
            // A list of pools, one per NUMA node, is not compared.
            _ => value.parse().ok(),
        }
    }

    /// Lookahead, reference frames and B-frames of a preset by its place, where the encoder has presets.
    pub fn preset_params(self, rank: usize) -> Option<[u32; 3]> {
        let table = match self {
            Self::X264 => &X264_PRESETS,
            Self::X265 => &X265_PRESETS,
            Self::Unthreaded | Self::Other => return None,
        };
        table.get(rank).copied()
    }

    /// What the encoder uses for a parameter under a preset and tune, if it is known.
    pub fn default_param(self, key: &str, preset: &str, tune: &str) -> Option<u32> {
        let [lookahead, refs, bframes] = self.preset_params(preset_rank(preset)?)?;
        let tuned = |name: &str| {
            tune.split([',', '.', '/', '-', '+'])
                .any(|part| part == name)
        };
        let low_delay = tuned("zerolatency");
        let value = match key {
            "rc-lookahead" | "sync-lookahead" | "bframes" if low_delay => 0,
            "rc-lookahead" => lookahead,
            "ref" if tuned("animation") && refs > 1 && self == Self::X264 => refs * 2,
            "ref" => refs,
            "bframes" if tuned("animation") => bframes + 2,
            "bframes" => bframes,
            "mbtree" => u32::from(lookahead > 0),
            // Both follow from the machine's processors.
            "sync-lookahead" | "threads" | "lookahead-threads" | "pools" | "frame-threads" => {
                u32::MAX
            }
            _ => return None,
        };
        Some(value)
    }
}

/// The place of an x264 or x265 preset, 0 being the lightest.
pub fn preset_rank(preset: &str) -> Option<usize> {
    let by_number = preset
        .parse()
        .ok()
        .filter(|&number: &usize| number < PRESETS.len());
    by_number.or_else(|| PRESETS.iter().position(|name| *name == preset))
}

/// Frame threads x265 chooses by itself on a machine with so many processors (`Encoder::create`).
pub fn x265_frame_threads(threads: u32) -> u32 {
    match threads {
        0..4 => 1,
        4..8 => 2,
        8..16 => 3,
        16..32 => 4,
        _ => 5,
    }
}

/// The video encoder FFmpeg takes for an output that names none, for a build with libx264 and libx265.
/// `None` if the muxer's default is another one, holds no video, or is not known.
pub fn default_video_encoder(group: &Group) -> Option<&'static str> {
    let muxer = match group.value("f") {
        Some(muxer) => muxer.as_bytes().to_ascii_lowercase(),
        None => {
            let name = Path::new(&group.url).file_name()?;
            split_extension(name).1?.as_bytes().to_ascii_lowercase()
        }
    };
    // Names of muxers, and extensions that no muxer is named after.
    match muxer.as_slice() {
        b"mp4" | b"mov" | b"ipod" | b"matroska" | b"f4v" | b"ismv" | b"psp" | b"h264" | b"hls"
        | b"dash" | b"hds" | b"smoothstreaming" => Some("libx264"),
        b"m4a" | b"m4b" | b"mkv" | b"isma" | b"264" | b"m3u8" | b"mpd" => {
            group.value("f").is_none().then_some("libx264")
        }
        // As a muxer this is raw MPEG-4; the extension goes to the ipod muxer.
        b"m4v" => group.value("f").is_none().then_some("libx264"),
        b"hevc" => Some("libx265"),
        b"h265" | b"265" => group.value("f").is_none().then_some("libx265"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::command::Command;
    use super::*;

    fn default_of(line: &str) -> Option<&'static str> {
        let argv: Vec<_> = format!("ffmpeg -i a {line}")
            .split(' ')
            .map(OsString::from)
            .collect();
        default_video_encoder(Command::parse(&argv).unwrap().outputs().next().unwrap())
    }

    // From `ffmpeg -h muxer=NAME` of FFmpeg 5.1.
    #[test]
    fn default_encoders_follow_the_muxer() {
        for line in [
            "o.mp4",
            "o.MKV",
            "o.mov",
            "o.m4v",
            "o.m3u8",
            "-f matroska -",
            "-f mp4 o.avi",
            "x.y/o.mp4",
        ] {
            assert_eq!(default_of(line), Some("libx264"), "{line}");
        }
        assert_eq!(default_of("o.h265"), Some("libx265"));
        for line in [
            "o.flv",
            "o.ts",
            "o.webm",
            "o.avi",
            "o.mp3",
            "o.ogg",
            "-f m4v o.m4v",
            "-f null -",
            "o",
            "x.mp4/o",
        ] {
            assert_eq!(default_of(line), None, "{line}");
        }
    }

    #[test]
    fn weights_know_the_words_for_automatic() {
        let weight = |key, value| Family::X264.weight(key, value);
        assert!(weight("threads", "auto") > weight("threads", "64"));
        assert!(weight("sync-lookahead", "-1") > weight("sync-lookahead", "250"));
        assert!(weight("rc-lookahead", "60") > weight("rc-lookahead", "10"));
        assert_eq!(weight("rc-lookahead", "0"), Some(0));
        assert_eq!(weight("crf", "20"), None);
        assert_eq!(Family::X265.weight("pools", "none"), Some(0));
        assert_eq!(Family::X265.weight("pools", "8,-"), None);
    }

    #[test]
    fn presets_have_a_place_by_name_and_number() {
        assert_eq!(preset_rank("ultrafast"), Some(0));
        assert_eq!(preset_rank("5"), preset_rank("medium"));
        assert_eq!(preset_rank("hq"), None);
        assert_eq!(preset_rank("10"), None);
    }

    #[test]
    fn a_tune_changes_what_a_preset_means() {
        let default = |key, tune| Family::X264.default_param(key, "medium", tune);
        assert_eq!(default("rc-lookahead", ""), Some(40));
        assert_eq!(default("rc-lookahead", "film,zerolatency"), Some(0));
        assert_eq!(default("ref", "animation"), Some(6));
    }

    #[test]
    fn families_are_known_by_encoder_name() {
        for (name, family) in [
            ("libx264", Family::X264),
            ("h264", Family::X264),
            ("hevc", Family::X265),
            ("hevc_nvenc", Family::Unthreaded),
            ("libsvtav1", Family::Other),
            ("copy", Family::Unthreaded),
        ] {
            assert_eq!(Family::of(OsStr::new(name)), family, "{name}");
        }
    }
}
