//! The memory of one decoder: `fixed + raw * (held + per_thread * threads) + stacks * threads`.
//!
//! Least squares (relative error) over `tests/data/ffmem/decode.csv`, ffmpeg 5.1: h264 25 rows (worst 4.5 %),
//! hevc 24 rows at 10 bits (3.9 %), vp9 24 rows (2.7 %), av1 by dav1d 23 rows (7.7 %), libaom 3 rows at 1080p.
//! Any other decoder is charged like hevc, the dearest of the four: that is a guess and is said to be one.

use super::MIB;

/// What a decoder is, as far as its memory goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// FFmpeg's h264.
    H264,
    /// FFmpeg's hevc.
    Hevc,
    /// FFmpeg's vp9.
    Vp9,
    /// dav1d.
    Dav1d,
    /// libaom, which nobody gets without asking.
    LibaomAv1,
    /// Frames are read, not decoded.
    Raw,
    /// Still images, and codecs that decode each frame by itself in one buffer.
    Intra,
    /// Any other.
    Other,
}

impl Kind {
    /// By the stream's codec and the decoder asked for with `-c:v` before the input.
    pub fn of(codec: &str, asked: Option<&str>) -> Self {
        match asked.unwrap_or(codec) {
            "h264" => Self::H264,
            "hevc" => Self::Hevc,
            "vp9" => Self::Vp9,
            "av1" | "libdav1d" => Self::Dav1d,
            "libaom-av1" => Self::LibaomAv1,
            "rawvideo" | "wrapped_avframe" => Self::Raw,
            "png" | "mjpeg" | "bmp" | "gif" | "webp" | "tiff" | "ppm" | "pgm" => Self::Intra,
            _ => Self::Other,
        }
    }

    /// Measured, or charged like another.
    pub fn is_measured(self) -> bool {
        !matches!(self, Self::Other | Self::Intra)
    }
}

/// One video decoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decoder {
    /// Which.
    pub kind: Kind,
    /// Bytes of one decoded frame.
    pub raw_bytes: f64,
    /// `-threads` before the input; 0 is FFmpeg's own choice.
    pub threads: u32,
    /// `-thread_type slice`: threads share one frame.
    pub slice_threads: bool,
}

impl Decoder {
    /// Threads on a machine of `cpus`: FFmpeg takes one more than there are, 16 at most; dav1d one per CPU.
    pub fn threads_on(&self, cpus: u32) -> u32 {
        let cpus = cpus.max(1);
        let threads = match (self.threads, self.kind) {
            (0, Kind::Dav1d | Kind::LibaomAv1) => cpus,
            (0, _) if cpus == 1 => 1,
            (0, _) => (cpus + 1).min(16),
            (threads, _) => threads,
        };
        threads.clamp(1, 256)
    }

    /// Bytes the decoder adds at its peak on a machine of `cpus`.
    pub fn bytes(&self, cpus: u32) -> f64 {
        let threads = self.threads_on(cpus);
        let framed = if self.slice_threads { 1 } else { threads };
        let t = f64::from(framed);
        // Coefficients: fixed MiB, MiB per thread, raw frames held, raw frames per thread, threads that count.
        let (fixed, stack, held, per_thread, count) = match self.kind {
            Kind::H264 => (1.8, 1.126, 6.486, 2.142, t),
            // One hevc thread holds as much as two.
            Kind::Hevc | Kind::Other => (2.5, 0.719, 5.607, 1.486, t.max(2.0)),
            Kind::Vp9 => (0.4, 0.233, 3.171, 1.264, t),
            // dav1d decodes the square root of its threads (rounded up, 8 at most) in frames at once.
            Kind::Dav1d => (
                1.2,
                0.164,
                6.135,
                4.974,
                f64::from(threads).sqrt().ceil().min(8.0),
            ),
            Kind::LibaomAv1 => (0.0, 0.5, 0.0, 34.0, if threads > 1 { 2.25 } else { 1.0 }),
            Kind::Raw => (0.0, 0.0, 2.0, 0.0, 0.0),
            Kind::Intra => (1.0, 0.719, 4.0, 1.0, t),
        };
        let stacks = match self.kind {
            Kind::Dav1d | Kind::LibaomAv1 => f64::from(threads),
            _ => count,
        };
        (fixed + stack * stacks) * MIB + self.raw_bytes * (held + per_thread * count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_by_cpus() {
        let decoder = |kind, threads| Decoder {
            kind,
            raw_bytes: 3e6,
            threads,
            slice_threads: false,
        };
        assert_eq!(decoder(Kind::H264, 0).threads_on(1), 1);
        assert_eq!(decoder(Kind::H264, 0).threads_on(2), 3);
        assert_eq!(decoder(Kind::H264, 0).threads_on(96), 16);
        assert_eq!(decoder(Kind::Dav1d, 0).threads_on(96), 96);
        assert_eq!(decoder(Kind::H264, 5).threads_on(96), 5);
    }

    #[test]
    fn slice_threads_cost_nothing() {
        let one = Decoder {
            kind: Kind::H264,
            raw_bytes: 3e6,
            threads: 1,
            slice_threads: false,
        };
        let sliced = Decoder {
            threads: 16,
            slice_threads: true,
            ..one
        };
        let framed = Decoder { threads: 16, ..one };
        assert_eq!(sliced.bytes(4), one.bytes(4));
        assert!(framed.bytes(4) > 2.0 * one.bytes(4));
    }

    #[test]
    fn an_unknown_decoder_is_no_cheaper_than_a_known_one() {
        for threads in [1, 4, 16] {
            let bytes = |kind| {
                Decoder {
                    kind,
                    raw_bytes: 3e6,
                    threads,
                    slice_threads: false,
                }
                .bytes(4)
            };
            assert!(bytes(Kind::Other) >= bytes(Kind::Vp9));
            assert!(bytes(Kind::Other) >= bytes(Kind::Intra));
        }
    }

    #[test]
    fn the_decoder_asked_for_wins() {
        assert_eq!(Kind::of("av1", None), Kind::Dav1d);
        assert_eq!(Kind::of("av1", Some("libaom-av1")), Kind::LibaomAv1);
        assert!(!Kind::of("vc1", None).is_measured());
    }
}
