//! The size and pixel format of a raw frame: what every closed form is a multiple of.

/// Chroma layout of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chroma {
    /// Luma only.
    Gray,
    /// 4:2:0, and anything smaller (4:1:1, 4:1:0), taken as 4:2:0.
    C420,
    /// 4:2:2 (and 4:4:0).
    C422,
    /// 4:4:4, and every RGB layout.
    C444,
}

impl Chroma {
    /// Samples in both chroma planes, per luma sample.
    pub fn per_luma(self) -> f64 {
        match self {
            Self::Gray => 0.0,
            Self::C420 => 0.5,
            Self::C422 => 1.0,
            Self::C444 => 2.0,
        }
    }
}

/// What a pixel format costs; its colour meaning does not matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelFormat {
    /// Layout of the colour planes.
    pub chroma: Chroma,
    /// Bytes per sample: 1 for 8 bits, 2 for 9 to 16, 4 for floats.
    pub bytes_per_sample: u32,
    /// A fourth plane or component.
    pub alpha: bool,
}

impl PixelFormat {
    /// 8 bit 4:2:0, what most files hold.
    pub const YUV420P: Self = Self {
        chroma: Chroma::C420,
        bytes_per_sample: 1,
        alpha: false,
    };

    /// Reads FFmpeg's name of a pixel format. A name that says nothing known is None.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        let any = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        let bytes_per_sample = if any(&["f32"]) {
            4
        } else if any(&[
            "p9", "p10", "p12", "p14", "p16", "10le", "12le", "16le", "16be", "10be", "12be", "48",
            "64",
        ]) || ["p010", "p012", "p016", "p210", "p216", "p410", "p416"]
            .iter()
            .any(|p| name.starts_with(p))
            || (name.starts_with("gray") && any(&["9", "10", "12", "14"]))
        {
            2
        } else {
            1
        };
        let chroma = if any(&["420", "411", "410", "nv12", "nv21"]) || name.starts_with("p01") {
            Chroma::C420
        } else if any(&["422", "440", "yuyv", "uyvy", "yvyu", "nv16", "nv20"])
            || name.starts_with("p21")
        {
            Chroma::C422
        } else if any(&["444", "gbr", "rgb", "bgr", "nv24", "nv42", "xyz", "bayer"])
            || name.starts_with("p41")
        {
            Chroma::C444
        } else if any(&["gray", "mono", "pal8", "ya8", "ya16"]) {
            Chroma::Gray
        } else {
            return None;
        };
        let alpha = any(&[
            "yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "rgb0", "bgr0", "0rgb", "0bgr",
        ]) || name.starts_with("ya");
        Some(Self {
            chroma,
            bytes_per_sample,
            alpha,
        })
    }

    /// Bytes per pixel of a whole frame.
    pub fn bytes_per_pixel(self) -> f64 {
        let planes = 1.0 + self.chroma.per_luma() + if self.alpha { 1.0 } else { 0.0 };
        planes * f64::from(self.bytes_per_sample)
    }
}

/// A raw frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Pixels, at least 1.
    pub width: u32,
    /// Pixels, at least 1.
    pub height: u32,
    /// Its pixel format.
    pub format: PixelFormat,
}

impl Frame {
    /// Bytes of one frame without padding.
    pub fn bytes(self) -> f64 {
        f64::from(self.width) * f64::from(self.height) * self.format.bytes_per_pixel()
    }
}

/// FFmpeg's size: `1280x720`, or one of its names (`hd1080`, `vga`, ...).
pub fn parse_size(text: &str) -> Option<(u32, u32)> {
    let text = text.trim();
    let named = match text {
        "sqcif" => Some((128, 96)),
        "qcif" => Some((176, 144)),
        "cif" => Some((352, 288)),
        "4cif" => Some((704, 576)),
        "qvga" => Some((320, 240)),
        "vga" => Some((640, 480)),
        "svga" => Some((800, 600)),
        "xga" => Some((1024, 768)),
        "ntsc" => Some((720, 480)),
        "pal" => Some((720, 576)),
        "nhd" => Some((640, 360)),
        "hd480" => Some((852, 480)),
        "hd720" => Some((1280, 720)),
        "hd1080" => Some((1920, 1080)),
        "2k" => Some((2048, 1080)),
        "4k" => Some((4096, 2160)),
        "uhd2160" => Some((3840, 2160)),
        "uhd4320" => Some((7680, 4320)),
        _ => None,
    };
    if named.is_some() {
        return named;
    }
    let (width, height) = text.split_once('x')?;
    let (width, height) = (width.parse().ok()?, height.parse().ok()?);
    (1..=MAX_SIDE).contains(&width).then_some(())?;
    (1..=MAX_SIDE).contains(&height).then_some((width, height))
}

/// The longest side taken seriously, in pixels. FFmpeg itself refuses frames of about 2^28 pixels and more.
pub const MAX_SIDE: u32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixel_formats() {
        let bpp = |name| PixelFormat::parse(name).map(PixelFormat::bytes_per_pixel);
        assert_eq!(bpp("yuv420p"), Some(1.5));
        assert_eq!(bpp("yuvj420p"), Some(1.5));
        assert_eq!(bpp("nv12"), Some(1.5));
        assert_eq!(bpp("yuv420p10le"), Some(3.0));
        assert_eq!(bpp("p010le"), Some(3.0));
        assert_eq!(bpp("yuv422p"), Some(2.0));
        assert_eq!(bpp("yuv422p10le"), Some(4.0));
        assert_eq!(bpp("yuyv422"), Some(2.0));
        assert_eq!(bpp("yuv444p"), Some(3.0));
        assert_eq!(bpp("yuva444p10le"), Some(8.0));
        assert_eq!(bpp("rgb24"), Some(3.0));
        assert_eq!(bpp("bgra"), Some(4.0));
        assert_eq!(bpp("rgb48le"), Some(6.0));
        assert_eq!(bpp("gbrpf32le"), Some(12.0));
        assert_eq!(bpp("gray"), Some(1.0));
        assert_eq!(bpp("gray10le"), Some(2.0));
        assert_eq!(bpp("vaapi"), None);
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("1920x1080"), Some((1920, 1080)));
        assert_eq!(parse_size("hd720"), Some((1280, 720)));
        assert_eq!(parse_size("0x10"), None);
        assert_eq!(parse_size("10x-1"), None);
        assert_eq!(parse_size("99999x10"), None);
        assert_eq!(parse_size("wide"), None);
    }
}
