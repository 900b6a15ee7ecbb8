//! What a filter holds, from `tests/data/ffmem/filters*.csv`: the table of filters that are not ordinary.

use super::MIB;
use super::filter::{Link, Outcome};
use super::frame::Frame;
use super::graph::Filter;
use super::resize::tile_layout;

/// Frames held by a filter with no entry of its own: the most that an ordinary one held, rounded up.
const ORDINARY_FRAMES: f64 = 4.0;
/// Seconds for which one trimmed branch of a split is taken to wait for another; 1.1 were measured.
const BRANCH_SECONDS: f64 = 2.0;

fn has(whole: &[&Filter], name: &str) -> bool {
    whole.iter().any(|filter| filter.name == name)
}

/// Adds what a video filter holds, for the frame it gets and the one it gives.
pub(super) fn hold_video(
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
        "null" | "copy" | "settb" | "setsar" | "setdar" | "setfield" | "setparams" | "fps"
        | "select" | "trim" | "showinfo" | "metadata" | "split" | "crop" | "realtime" => 0.0,
        "setpts" if !has(whole, "split") => 0.0,
        "format" if frame.format == out.format => 0.0,
        "scale" if frame == out => 0.0,
        "hstack" | "vstack" | "xstack" => 2.2 * out.bytes(),
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
        "setpts" if has(whole, "split") => delay_frames(filter, link) * frame.bytes(),
        "concat" | "xfade" if has(whole, "split") && has(whole, "trim") => {
            outcome.guessed.push(format!(
                "how long the branches of a split wait before {}",
                filter.name
            ));
            bounded(BRANCH_SECONDS * link.rate) * frame.bytes() + ORDINARY_FRAMES * raw
        }
        "concat" if has(whole, "split") => {
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
            let (columns, rows) = tile_layout(filter);
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

/// Frames that wait when one branch of a split is set back in time (`setpts=PTS+2/TB`): 1.75 for each frame
/// of the delay were measured.
fn delay_frames(filter: &Filter, link: Link) -> f64 {
    let text = filter.args.replace(' ', "");
    let delay = text
        .split_once("PTS+")
        .and_then(|(_, rest)| rest.split_once("/TB")?.0.parse::<f64>().ok());
    let frames = delay.map_or(0.0, |seconds| seconds.max(0.0) * link.rate);
    1.75 * link.frames.map_or(frames, |all| frames.min(all))
}

/// Adds what an audio filter holds.
pub(super) fn hold_audio(filter: &Filter, link: Link, whole: &[&Filter], outcome: &mut Outcome) {
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
            // Two channels of doubles at 48 kHz, held twice, and 12 MiB of its own.
            12.0 * MIB
                + all
                    .map_or(f64::INFINITY, |all| 2.8 * all)
                    .min(window * 48_000.0 * 16.0 * 2.0)
                    .min(2048.0 * MIB)
        }
        "atrim" => {
            // What comes before its start makes the other streams wait in the muxer.
            outcome
                .guessed
                .push("how much waits in the muxer for a stream that starts late".to_owned());
            2.0 * MIB
        }
        "loudnorm" => 55.0 * MIB,
        "afir" => 12.0 * MIB,
        _ => 2.0 * MIB,
    };
}
