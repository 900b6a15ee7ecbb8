//! Reads what FFmpeg writes with `-progress`. Pure; what counts as standing still is decided where it is watched.
//!
//! FFmpeg writes lines `key=value`; a block ends with `progress=continue` or, at the very end, `progress=end`.

/// Bytes of one line that are kept; what is longer is no line of FFmpeg's and is passed over.
const MAX_LINE: usize = 1024;

/// One block of progress. What FFmpeg wrote as `N/A`, or not at all, is None.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Video frames encoded so far.
    pub frame: Option<u64>,
    /// Frames per second, over the whole run.
    pub fps: Option<f64>,
    /// Microseconds of output written so far; negative before the first timestamp.
    pub out_time_us: Option<i64>,
    /// Bytes written so far.
    pub total_size: Option<u64>,
    /// Seconds of output per second of wall clock.
    pub speed: Option<f64>,
    /// This was the last block.
    pub ended: bool,
}

/// Reads progress as it arrives, in pieces of any size, in bounded memory.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    too_long: bool,
    block: Progress,
}

impl Parser {
    /// A parser before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and gives the last block that they completed, if any: an older one in the same
    /// bytes says nothing more.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Progress> {
        let mut latest = None;
        for &byte in bytes {
            match byte {
                b'\n' | b'\r' => {
                    if !self.too_long {
                        latest = self.end_line().or(latest);
                    }
                    self.line.clear();
                    self.too_long = false;
                }
                _ if self.line.len() < MAX_LINE => self.line.push(byte),
                _ => self.too_long = true,
            }
        }
        latest
    }

    fn end_line(&mut self) -> Option<Progress> {
        let line = std::str::from_utf8(&self.line).ok()?;
        let (key, value) = line.split_once('=')?;
        let value = value.trim();
        match key.trim() {
            "frame" => self.block.frame = value.parse().ok(),
            "fps" => self.block.fps = number(value),
            // `out_time_ms` holds microseconds too, from before it was noticed; only the right name is read.
            "out_time_us" => self.block.out_time_us = value.parse().ok(),
            "total_size" => self.block.total_size = value.parse().ok(),
            "speed" => self.block.speed = number(value.trim_end_matches('x')),
            "progress" => {
                let mut block = std::mem::take(&mut self.block);
                block.ended = value == "end";
                return Some(block);
            }
            _ => {}
        }
        None
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim()
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: &str = "frame=12\nfps=0.00\nstream_0_0_q=28.0\nbitrate=   0.4kbits/s\ntotal_size=48\n\
        out_time_us=1000000\nout_time_ms=1000000\nout_time=00:00:01.000000\ndup_frames=0\ndrop_frames=0\n\
        speed=1.97x\nprogress=continue\n\
        frame=50\nfps=24.50\nbitrate=N/A\ntotal_size=N/A\nout_time_us=2000000\nspeed=   2x\nprogress=end\n";

    fn expected() -> [Progress; 2] {
        [
            Progress {
                frame: Some(12),
                fps: Some(0.0),
                out_time_us: Some(1_000_000),
                total_size: Some(48),
                speed: Some(1.97),
                ended: false,
            },
            Progress {
                frame: Some(50),
                fps: Some(24.5),
                out_time_us: Some(2_000_000),
                total_size: None,
                speed: Some(2.0),
                ended: true,
            },
        ]
    }

    #[test]
    fn the_same_blocks_however_the_bytes_are_split() {
        let bytes = BLOCKS.as_bytes();
        for split in 0..=bytes.len() {
            let mut parser = Parser::new();
            let mut seen: Vec<_> = parser.push(&bytes[..split]).into_iter().collect();
            seen.extend(parser.push(&bytes[split..]));
            assert_eq!(seen.last(), Some(&expected()[1]), "split at {split}");
        }
        let mut parser = Parser::new();
        let seen: Vec<_> = bytes
            .iter()
            .filter_map(|byte| parser.push(std::slice::from_ref(byte)))
            .collect();
        assert_eq!(seen, expected());
    }

    #[test]
    fn a_block_does_not_inherit_from_the_one_before() {
        let mut parser = Parser::new();
        parser.push(b"frame=9\ntotal_size=7\nprogress=continue\n");
        let block = parser.push(b"frame=10\nprogress=continue\n").unwrap();
        assert_eq!((block.frame, block.total_size), (Some(10), None));
    }

    #[test]
    fn rubbish_is_passed_over_in_bounded_memory() {
        let mut parser = Parser::new();
        assert_eq!(parser.push(&[0xff; 100_000]), None);
        assert!(parser.line.len() <= MAX_LINE);
        // The tail of a line that was too long is no line, even if it looks like one.
        assert_eq!(parser.push(b"\nprogress"), None);
        assert!(parser.push(b"=continue\n").is_some());
        let block = parser.push(
            b"frame\nframe==\n=\n\xff=1\nframe=-4\nfps=inf\nspeed=N/A\nframe=3\r\nprogress=end\r\n",
        );
        assert_eq!(
            block,
            Some(Progress {
                frame: Some(3),
                ended: true,
                ..Progress::default()
            })
        );
    }
}
