//! Which video streams of an output are encoded, and with what.

use std::ffi::OsStr;

use crate::ffmpeg::command::{Group, Opt};
use crate::ffmpeg::encoder::{Family, default_video_encoder};
use crate::ffmpeg::options::{Specifier, StreamKind, split};

/// Video streams of an output that share an encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// What to put behind an option's name to aim at them: `v`, `v:1`, `0`.
    pub suffix: String,
    /// The same, parsed.
    pub specifier: Specifier,
    /// The encoder's name as FFmpeg is told, or its default.
    pub encoder: String,
    /// What is known of it.
    pub family: Family,
    /// Streams with an encoder of their own, which options for all video streams do not mean.
    others: Vec<Specifier>,
}

impl Encoded {
    /// Whether an option with this specifier is meant for these streams.
    pub fn is_meant(&self, specifier: Specifier) -> bool {
        match (self.specifier, specifier) {
            (_, Specifier::All | Specifier::Kind(StreamKind::Video)) => true,
            (Specifier::Kind(_), Specifier::Nth(StreamKind::Video, _)) => {
                !self.others.contains(&specifier)
            }
            (Specifier::Kind(_), Specifier::Other(kind)) => {
                kind.is_none_or(|kind| kind == StreamKind::Video)
            }
            // Which stream another kind of specifier means is not known: only its own words match.
            (Specifier::Nth(..), other) => self.specifier == other,
            _ => false,
        }
    }

    /// Whether an option leaves none of these streams open: one for a single stream of many does.
    pub fn is_covered_by(&self, specifier: Specifier) -> bool {
        match self.specifier {
            Specifier::Kind(_) => {
                matches!(
                    specifier,
                    Specifier::All | Specifier::Kind(StreamKind::Video)
                ) || specifier == Specifier::Nth(StreamKind::Video, 0) && self.others.is_empty()
            }
            _ => self.is_meant(specifier),
        }
    }

    /// Whether an option of the user is aimed at these streams.
    pub fn owns(&self, opt: &Opt) -> bool {
        let (_, text) = split(&opt.name);
        matches!(self.specifier, Specifier::Other(_)) && text == self.suffix.as_bytes()
            || self.is_meant(opt.canonical().1)
    }
}

/// The video streams that an output encodes, by encoder. Empty for stream copies and outputs without video.
pub fn encoded_streams(group: &Group) -> Vec<Encoded> {
    if group.disables(StreamKind::Video) {
        return Vec::new();
    }
    let mut common: Option<&OsStr> = None;
    let mut single: Vec<(&[u8], Specifier, &OsStr)> = Vec::new();
    for opt in &group.options {
        let (base, specifier) = opt.canonical();
        let (b"c", Some(encoder)) = (base, opt.value.as_deref()) else {
            continue;
        };
        let (_, text) = split(&opt.name);
        match specifier {
            Specifier::All | Specifier::Kind(StreamKind::Video) => {
                common = Some(encoder);
                single.clear();
            }
            Specifier::Nth(StreamKind::Video, _)
            | Specifier::Other(None | Some(StreamKind::Video)) => {
                single.retain(|(known, ..)| *known != text);
                single.push((text, specifier, encoder));
            }
            _ => {}
        }
    }
    let others: Vec<Specifier> = single.iter().map(|(_, specifier, _)| *specifier).collect();
    let default = || {
        default_video_encoder(group)
            .filter(|_| single.is_empty())
            .map(OsStr::new)
    };
    let common = common
        .or_else(default)
        .map(|encoder| (b"v".as_slice(), Specifier::Kind(StreamKind::Video), encoder));
    common
        .into_iter()
        .chain(single)
        .filter_map(|(suffix, specifier, encoder)| {
            let family = Family::of(encoder);
            let known = matches!(family, Family::X264 | Family::X265);
            // `-c:0 aac` may as well be sound.
            let video = specifier != Specifier::Other(None) || known;
            (encoder != "copy" && video).then(|| {
                Some(Encoded {
                    suffix: std::str::from_utf8(suffix).ok()?.to_owned(),
                    specifier,
                    encoder: encoder.to_str()?.to_owned(),
                    family,
                    others: others.clone(),
                })
            })?
        })
        .collect()
}

/// Whether an output needs anything decoded: not if all its sound and pictures are copied or left out.
pub fn needs_decoder(group: &Group) -> bool {
    [StreamKind::Video, StreamKind::Audio]
        .into_iter()
        .any(|kind| {
            let mut codecs: Vec<&OsStr> = Vec::new();
            for opt in group.options_for("c", kind) {
                if matches!(opt.canonical().1, Specifier::All | Specifier::Kind(_)) {
                    codecs.clear();
                }
                codecs.extend(opt.value.as_deref());
            }
            !group.disables(kind)
                && (codecs.is_empty() || codecs.iter().any(|codec| *codec != "copy"))
        })
}
