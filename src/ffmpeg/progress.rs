//! Reads what FFmpeg writes with `-progress`, and tells a run that stands still from a slow one. Pure.
//!
//! FFmpeg writes lines `key=value`; a block ends with `progress=continue` or, at the very end, `progress=end`.
//! The time at which bytes arrive is given by the caller.

use std::time::Duration;

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

/// Tells whether a run moves: it stands still when neither its frames, its time nor its size have grown for
/// a given time.
#[derive(Debug, Clone, Copy)]
pub struct Stall {
    limit: Duration,
    moved_at: Duration,
    frame: u64,
    out_time_us: i64,
    total_size: u64,
}

impl Stall {
    /// A run started at time 0 that may stand still for `limit`, its start included.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            moved_at: Duration::ZERO,
            frame: 0,
            out_time_us: i64::MIN,
            total_size: 0,
        }
    }

    /// Takes a block of progress seen at `now` (since the start), and tells whether the run stands still.
    pub fn advance(&mut self, progress: &Progress, now: Duration) -> bool {
        let frame = progress.frame.unwrap_or(0);
        let out_time_us = progress.out_time_us.unwrap_or(i64::MIN);
        let total_size = progress.total_size.unwrap_or(0);
        if frame > self.frame
            || out_time_us > self.out_time_us
            || total_size > self.total_size
            || progress.ended
        {
            self.moved_at = self.moved_at.max(now);
        }
        self.frame = self.frame.max(frame);
        self.out_time_us = self.out_time_us.max(out_time_us);
        self.total_size = self.total_size.max(total_size);
        self.is_stalled(now)
    }

    /// Whether the run stands still at `now`, when nothing was heard of it since: FFmpeg that hangs writes no
    /// progress at all.
    pub fn is_stalled(&self, now: Duration) -> bool {
        now.saturating_sub(self.moved_at) >= self.limit
    }

    /// The time at which the run will count as standing still if it does not move before.
    pub fn deadline(&self) -> Duration {
        self.moved_at.saturating_add(self.limit)
    }
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

    #[test]
    fn standing_still() {
        let seconds = Duration::from_secs;
        let at = |frame, size| Progress {
            frame: Some(frame),
            total_size: Some(size),
            ..Progress::default()
        };
        let mut stall = Stall::new(seconds(10));
        assert!(!stall.is_stalled(seconds(9)));
        assert!(
            stall.is_stalled(seconds(10)),
            "a run that never says anything stands still too"
        );
        assert!(!stall.advance(&at(1, 0), seconds(9)));
        assert!(!stall.advance(&at(1, 0), seconds(18)));
        assert!(stall.advance(&at(1, 0), seconds(19)));
        // Any of the three is enough: an encoder flushing at the end writes bytes without new frames read.
        assert!(!stall.advance(&at(1, 500), seconds(20)));
        assert_eq!(stall.deadline(), seconds(30));
        // Going back (a new output file) is not moving.
        assert!(stall.advance(&at(0, 100), seconds(30)));
        assert!(!stall.advance(
            &Progress {
                ended: true,
                ..at(0, 0)
            },
            seconds(31)
        ));
    }

    #[test]
    fn time_before_zero_counts_as_moving_forward() {
        let at = |us| Progress {
            out_time_us: Some(us),
            ..Progress::default()
        };
        let mut stall = Stall::new(Duration::from_secs(1));
        assert!(!stall.advance(&at(-40_000), Duration::from_secs(5)));
        assert!(stall.advance(&at(-40_000), Duration::from_secs(6)));
        assert!(!stall.advance(&at(-20_000), Duration::from_secs(6)));
    }
}
