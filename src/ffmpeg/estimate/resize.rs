//! The frame that comes out of a filter.

use super::filter::Link;
use super::frame::{Frame, MAX_SIDE, PixelFormat, parse_size};
use super::graph::{self, Filter};

/// The frame a filter gives for the one it gets.
pub(super) fn resized(filter: &Filter, frame: Frame, inputs: &[Link]) -> Frame {
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
            let (columns, rows) = tile_layout(filter);
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

/// Columns and rows of `tile`.
pub(super) fn tile_layout(filter: &Filter) -> (u32, u32) {
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
