//! Presets of x264 and x265: their order, and what each implies for memory.

use std::cmp::Ordering;

/// What a preset implies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Frames of lookahead (`rc-lookahead`).
    pub lookahead: u32,
    /// Reference frames (`ref`).
    pub references: u32,
    /// Consecutive B-frames (`bframes`).
    pub bframes: u32,
}

const fn preset(name: &'static str, lookahead: u32, references: u32, bframes: u32) -> Preset {
    Preset {
        name,
        lookahead,
        references,
        bframes,
    }
}

/// x264's presets, the lightest first (x264 164, `x264 --fullhelp`).
pub const X264: [Preset; 10] = [
    preset("ultrafast", 0, 1, 0),
    preset("superfast", 0, 1, 3),
    preset("veryfast", 10, 1, 3),
    preset("faster", 20, 2, 3),
    preset("fast", 30, 2, 3),
    preset("medium", 40, 3, 3),
    preset("slow", 50, 5, 3),
    preset("slower", 60, 8, 3),
    preset("veryslow", 60, 16, 8),
    preset("placebo", 60, 16, 16),
];

/// x265's presets, the lightest first (x265 documentation, "Presets").
pub const X265: [Preset; 10] = [
    preset("ultrafast", 5, 1, 3),
    preset("superfast", 10, 1, 3),
    preset("veryfast", 15, 2, 4),
    preset("faster", 15, 2, 4),
    preset("fast", 15, 3, 4),
    preset("medium", 20, 3, 4),
    preset("slow", 25, 4, 4),
    preset("slower", 40, 5, 8),
    preset("veryslow", 40, 5, 8),
    preset("placebo", 60, 5, 8),
];

/// The preset both encoders take when none is named.
pub const DEFAULT: &str = "medium";

/// An encoder whose presets are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoder {
    /// libx264 and libx264rgb.
    X264,
    /// libx265.
    X265,
}

impl Encoder {
    /// By FFmpeg's name.
    pub fn by_name(name: &str) -> Option<Encoder> {
        match name {
            "libx264" | "libx264rgb" => Some(Encoder::X264),
            "libx265" => Some(Encoder::X265),
            _ => None,
        }
    }

    /// All its presets, the lightest first.
    pub fn presets(self) -> &'static [Preset] {
        match self {
            Encoder::X264 => &X264,
            Encoder::X265 => &X265,
        }
    }

    /// A preset by its name. Both encoders also take its number.
    pub fn preset(self, name: &str) -> Option<&'static Preset> {
        let by_number = || self.presets().get(name.parse::<usize>().ok()?);
        self.presets()
            .iter()
            .find(|preset| preset.name == name)
            .or_else(by_number)
    }

    /// Which of two presets is the heavier; none when one of them is unknown.
    pub fn compare(self, one: &str, other: &str) -> Option<Ordering> {
        let place = |name| {
            let preset = self.preset(name)?;
            self.presets().iter().position(|known| known == preset)
        };
        Some(place(one)?.cmp(&place(other)?))
    }

    /// The private option that takes `key=value` pairs.
    pub fn params_option(self) -> &'static str {
        match self {
            Encoder::X264 => "x264-params",
            Encoder::X265 => "x265-params",
        }
    }
}

impl Preset {
    /// What it implies for a parameter of `-x264-params` or `-x265-params`.
    pub fn implies(&self, key: &str) -> Option<u32> {
        match key {
            "rc-lookahead" => Some(self.lookahead),
            "ref" => Some(self.references),
            "bframes" => Some(self.bframes),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_ordered_and_have_numbers() {
        let x264 = Encoder::X264;
        assert_eq!(x264.compare("slow", "veryfast"), Some(Ordering::Greater));
        assert_eq!(x264.compare("5", "medium"), Some(Ordering::Equal));
        assert_eq!(x264.compare("medium", "mediun"), None);
        assert!(Encoder::by_name("libsvtav1").is_none());
    }
}
