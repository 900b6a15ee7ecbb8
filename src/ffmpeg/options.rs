//! FFmpeg's own options: which take a value, and how a name splits into option and stream specifier.
//!
//! The tables cover FFmpeg 4 to 8 (`ffmpeg -h full` and the option tables of its `ffmpeg_opt.c` and `opt_common.c`).
//! Any name that is not listed is an option with a value, as every `AVOption` (`-preset`, `-crf`) is.
//! What a value means is not known here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Options that print something and end FFmpeg (`OPT_EXIT`). They swallow the next word, if there is one.
const EXIT: &[&str] = &[
    "-help",
    "?",
    "L",
    "bsfs",
    "buildconf",
    "channel_layouts",
    "codecs",
    "colors",
    "decoders",
    "demuxers",
    "devices",
    "dispositions",
    "encoders",
    "filters",
    "formats",
    "h",
    "help",
    "hwaccels",
    "layouts",
    "license",
    "muxers",
    "pix_fmts",
    "protocols",
    "sample_fmts",
    "sinks",
    "sources",
    "version",
];

/// Booleans (`OPT_BOOL`), which also exist as `-noNAME`.
const BOOLEAN: &[&str] = &[
    "accurate_seek",
    "an",
    "auto_conversion_filters",
    "autorotate",
    "autoscale",
    "benchmark",
    "benchmark_all",
    "bitexact",
    "copy_unknown",
    "copyinkf",
    "copyts",
    "debug_ts",
    "deinterlace",
    "display_hflip",
    "display_vflip",
    "dn",
    "dump",
    "find_stream_info",
    "fix_sub_duration",
    "fix_sub_duration_heartbeat",
    "force_fps",
    "hex",
    "hide_banner",
    "ignore_unknown",
    "intra",
    "isync",
    "n",
    "override_ffserver",
    "print_graphs",
    "psnr",
    "qphist",
    "re",
    "recast_media",
    "shortest",
    "sn",
    "start_at_zero",
    "stats",
    "stdin",
    "vn",
    "xerror",
    "y",
];

/// Valueless options that are no booleans: they have no `-no` form.
const FLAG: &[&str] = &["report", "vstats"];

/// Booleans that take a number in some releases: `-autorotate` and `-autoscale` before FFmpeg 7, `-isync` from 5.1.
/// Whether one has a value is seen from the next word.
const MAYBE_NUMBER: &[&str] = &["autorotate", "autoscale", "isync"];

/// Options that apply to the whole program wherever they stand (no `OPT_PERFILE`), `EXIT` ones aside.
/// An option that is not listed belongs to the file behind it.
const GLOBAL: &[&str] = &[
    "abort_on",
    "adrift_threshold",
    "async",
    "auto_conversion_filters",
    "benchmark",
    "benchmark_all",
    "copy_unknown",
    "copytb",
    "copyts",
    "cpucount",
    "cpuflags",
    "debug_ts",
    "dts_delta_threshold",
    "dts_error_threshold",
    "dump",
    "filter_buffered_frames",
    "filter_complex",
    "filter_complex_script",
    "filter_complex_threads",
    "filter_hw_device",
    "filter_threads",
    "frame_drop_threshold",
    "hex",
    "hide_banner",
    "ignore_unknown",
    "init_hw_device",
    "lavfi",
    "loglevel",
    "max_alloc",
    "max_error_rate",
    "n",
    "print_graphs",
    "print_graphs_file",
    "print_graphs_format",
    "progress",
    "psnr",
    "qphist",
    "qsv_device",
    "recast_media",
    "report",
    "sdp_file",
    "start_at_zero",
    "stats",
    "stats_period",
    "stdin",
    "timelimit",
    "v",
    "vaapi_device",
    "vsync",
    "vstats",
    "vstats_file",
    "vstats_version",
    "xerror",
    "y",
];

/// Abbreviations FFmpeg expands to an option with a stream type.
const ALIASES: &[(&str, &str, StreamKind)] = &[
    ("ab", "b", StreamKind::Audio),
    ("absf", "bsf", StreamKind::Audio),
    ("acodec", "c", StreamKind::Audio),
    ("af", "filter", StreamKind::Audio),
    ("aframes", "frames", StreamKind::Audio),
    ("apre", "pre", StreamKind::Audio),
    ("aq", "q", StreamKind::Audio),
    ("atag", "tag", StreamKind::Audio),
    ("athreads", "threads", StreamKind::Audio),
    ("dcodec", "c", StreamKind::Data),
    ("dframes", "frames", StreamKind::Data),
    ("scodec", "c", StreamKind::Subtitle),
    ("spre", "pre", StreamKind::Subtitle),
    ("stag", "tag", StreamKind::Subtitle),
    ("vbsf", "bsf", StreamKind::Video),
    ("vcodec", "c", StreamKind::Video),
    ("vf", "filter", StreamKind::Video),
    ("vframes", "frames", StreamKind::Video),
    ("vpre", "pre", StreamKind::Video),
    ("vtag", "tag", StreamKind::Video),
    ("vthreads", "threads", StreamKind::Video),
];

/// The kinds of stream that an option can be aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// `v`, and `V` (video without cover pictures).
    Video,
    /// `a`.
    Audio,
    /// `s`.
    Subtitle,
    /// `d`.
    Data,
}

/// The part of an option's name behind its first colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specifier {
    /// None: every stream of the file.
    All,
    /// `v`, `a`, `s`, `d`: every stream of a kind.
    Kind(StreamKind),
    /// `v:0`: one stream of a kind.
    Nth(StreamKind, u32),
    /// A stream by its number in the file, a program, metadata, an id: which kind it is cannot be told
    /// from the command line. With a kind in front where one is written (`v:m:language:eng`).
    Other(Option<StreamKind>),
}

impl Specifier {
    /// Reads what stands behind an option's first colon.
    pub fn parse(text: &[u8]) -> Self {
        let kind = match text.first() {
            None => return Self::All,
            Some(b'v' | b'V') => StreamKind::Video,
            Some(b'a') => StreamKind::Audio,
            Some(b's') => StreamKind::Subtitle,
            Some(b'd') => StreamKind::Data,
            Some(_) => return Self::Other(None),
        };
        match text.get(1..) {
            None | Some(b"") => Self::Kind(kind),
            Some([b':', index @ ..]) => match std::str::from_utf8(index).map(str::parse) {
                Ok(Ok(index)) => Self::Nth(kind, index),
                _ => Self::Other(Some(kind)),
            },
            // `disp:default` and other words that merely begin with such a letter.
            Some(_) => Self::Other(None),
        }
    }

    /// Whether streams of this kind are (or, for [`Specifier::Other`] without a kind, may be) meant.
    pub fn may_match(self, kind: StreamKind) -> bool {
        match self {
            Self::All | Self::Other(None) => true,
            Self::Kind(own) | Self::Nth(own, _) | Self::Other(Some(own)) => own == kind,
        }
    }

    /// Whether the stream that is the `index`th of its kind is meant for certain.
    pub fn matches(self, kind: StreamKind, index: u32) -> bool {
        match self {
            Self::All => true,
            Self::Kind(own) => own == kind,
            Self::Nth(own, nth) => own == kind && nth == index,
            Self::Other(_) => false,
        }
    }
}

/// How many words an option takes behind its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// None.
    Flag,
    /// One, always.
    Value,
    /// One, if there is one.
    Optional,
}

/// The option's name without a leading `/` (value read from a file) and without its stream specifier.
pub fn base(name: &OsStr) -> &[u8] {
    split(name).0
}

/// The option's name as [`base`] gives it, and the text behind the first colon (empty without one).
pub fn split(name: &OsStr) -> (&[u8], &[u8]) {
    let bytes = name.as_bytes();
    let bytes = bytes.strip_prefix(b"/").unwrap_or(bytes);
    match bytes.iter().position(|&byte| byte == b':') {
        Some(colon) => (&bytes[..colon], &bytes[colon + 1..]),
        None => (bytes, b""),
    }
}

/// The canonical option and the streams it is aimed at: `vcodec` and `codec:v` both give `c` and video.
pub fn canonical(name: &OsStr) -> (&[u8], Specifier) {
    let (base, specifier) = split(name);
    if specifier.is_empty()
        && let Some((_, long, kind)) = ALIASES.iter().find(|(short, ..)| short.as_bytes() == base)
    {
        return (long.as_bytes(), Specifier::Kind(*kind));
    }
    let base: &[u8] = match base {
        b"codec" => b"c",
        b"qscale" => b"q",
        other => other,
    };
    (base, Specifier::parse(specifier))
}

/// How many words `name` takes; `next` is the word behind it.
pub fn arity(name: &OsStr, next: Option<&OsStr>) -> Arity {
    let base = base(name);
    if listed(EXIT, base) {
        Arity::Optional
    } else if listed(MAYBE_NUMBER, base) && next.is_some_and(is_number) {
        Arity::Value
    } else if boolean(name).is_some() || listed(FLAG, base) {
        Arity::Flag
    } else {
        Arity::Value
    }
}

/// For a boolean, its name without `no` and what it is set to.
pub fn boolean(name: &OsStr) -> Option<(&[u8], bool)> {
    let base = base(name);
    if listed(BOOLEAN, base) {
        return Some((base, true));
    }
    let positive = base.strip_prefix(b"no")?;
    listed(BOOLEAN, positive).then_some((positive, false))
}

/// Whether the option prints information and ends FFmpeg (`-version`, `-h`, `-encoders`).
pub fn is_informational(name: &OsStr) -> bool {
    listed(EXIT, base(name))
}

/// Whether the option applies to the whole program, wherever it stands.
pub fn is_global(name: &OsStr) -> bool {
    let name = boolean(name).map_or_else(|| base(name), |(positive, _)| positive);
    listed(GLOBAL, name) || listed(EXIT, name)
}

fn listed(table: &[&str], name: &[u8]) -> bool {
    table.iter().any(|entry| entry.as_bytes() == name)
}

fn is_number(word: &OsStr) -> bool {
    word.to_str()
        .is_some_and(|word| word.parse::<i32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arity_of(name: &str, next: &str) -> Arity {
        arity(OsStr::new(name), Some(OsStr::new(next)))
    }

    #[test]
    fn booleans_and_their_negations_take_no_value() {
        for name in [
            "y",
            "nostdin",
            "vn",
            "novn",
            "copyinkf:v:0",
            "hide_banner",
            "vstats",
            "report",
        ] {
            assert_eq!(arity_of(name, "x"), Arity::Flag, "{name}");
        }
    }

    #[test]
    fn everything_else_takes_one() {
        for name in [
            "preset",
            "crf",
            "x264-params",
            "b:v",
            "noise_sensitivity",
            "novel",
            "/filter:v",
            "noreport",
        ] {
            assert_eq!(arity_of(name, "x"), Arity::Value, "{name}");
        }
    }

    #[test]
    fn actions_take_one_if_there_is_one() {
        for name in ["version", "h", "-help", "?", "encoders", "sources"] {
            assert_eq!(arity_of(name, "x"), Arity::Optional, "{name}");
        }
    }

    #[test]
    fn an_option_whose_kind_changed_between_releases_is_read_from_the_next_word() {
        assert_eq!(arity_of("autorotate", "0"), Arity::Value);
        assert_eq!(arity_of("autorotate", "-i"), Arity::Flag);
        assert_eq!(arity_of("noautorotate", "0"), Arity::Flag);
        assert_eq!(arity_of("isync", "-1"), Arity::Value);
    }

    #[test]
    fn aliases_and_specifiers_are_canonical() {
        let canon = |name: &'static str| canonical(OsStr::new(name));
        assert_eq!(
            canon("vcodec"),
            (b"c".as_slice(), Specifier::Kind(StreamKind::Video))
        );
        assert_eq!(
            canon("codec:v:1"),
            (b"c".as_slice(), Specifier::Nth(StreamKind::Video, 1))
        );
        assert_eq!(canon("c"), (b"c".as_slice(), Specifier::All));
        assert_eq!(canon("c:3"), (b"c".as_slice(), Specifier::Other(None)));
        assert_eq!(
            canon("c:a:m:language:eng"),
            (b"c".as_slice(), Specifier::Other(Some(StreamKind::Audio)))
        );
        assert_eq!(canon("disposition:disp:default").1, Specifier::Other(None));
        assert_eq!(
            canon("/af"),
            (b"filter".as_slice(), Specifier::Kind(StreamKind::Audio))
        );
    }

    #[test]
    fn global_options_are_known_in_both_forms() {
        for name in ["y", "nostdin", "v", "filter_complex", "nostats", "version"] {
            assert!(is_global(OsStr::new(name)), "{name}");
        }
        for name in ["threads", "c:v", "t", "re", "vn"] {
            assert!(!is_global(OsStr::new(name)), "{name}");
        }
    }
}
