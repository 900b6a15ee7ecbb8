//! Signs of life: FFmpeg's own word on its progress (`-progress` into a pipe of ours), and for others their I/O.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::ffmpeg::progress::{Parser, Progress};
use crate::slice::Slice;
use crate::sys;

/// Something that shows whether a child gets on.
pub trait Heartbeat {
    /// A descriptor to read from when it is readable.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
    /// Reads what there is; a number that differs from the last one when there was progress.
    fn beat(&mut self, slice: &dyn Slice) -> u64;
}

/// The I/O of everything in the slice as a sign of life, for commands that report no progress.
#[derive(Debug, Default)]
pub struct IoHeartbeat;

impl Heartbeat for IoHeartbeat {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn beat(&mut self, slice: &dyn Slice) -> u64 {
        slice.activity().io_bytes
    }
}

/// Reads FFmpeg's progress and counts how often it moved.
#[derive(Debug)]
pub struct FfmpegHeartbeat {
    pipe: OwnedFd,
    parser: Parser,
    furthest: Progress,
    speed: Option<f64>,
    moves: u64,
}

impl FfmpegHeartbeat {
    /// A heartbeat, and the end of its pipe that the child writes to.
    ///
    /// # Errors
    /// When no pipe can be made.
    pub fn open() -> io::Result<(FfmpegHeartbeat, OwnedFd)> {
        let (read, write) = sys::cloexec_pipe()?;
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let (parser, furthest) = (Parser::new(), Progress::default());
        Ok((
            FfmpegHeartbeat {
                pipe: read,
                parser,
                furthest,
                speed: None,
                moves: 0,
            },
            write,
        ))
    }

    /// The command with `-progress` to the child's end; a global option, so it may stand first.
    pub fn asked(argv: &[OsString], child_end: &OwnedFd) -> Vec<OsString> {
        let url = format!("pipe:{}", child_end.as_raw_fd());
        let mut words = argv.to_vec();
        words.splice(1..1, [OsString::from("-progress"), OsString::from(url)]);
        words
    }

    /// The time of output that has been written, seconds.
    pub fn written_seconds(&self) -> Option<f64> {
        let micros = self.furthest.out_time_us.filter(|micros| *micros > 0)?;
        Some(micros as f64 / 1e6)
    }

    /// Seconds of output per second, as FFmpeg said last.
    pub fn speed(&self) -> Option<f64> {
        self.speed
    }

    fn take(&mut self, progress: Progress) {
        self.speed = progress.speed;
        let now = (progress.frame, progress.out_time_us, progress.total_size);
        let before = (
            self.furthest.frame,
            self.furthest.out_time_us,
            self.furthest.total_size,
        );
        if now.0 > before.0 || now.1 > before.1 || now.2 > before.2 {
            self.moves += 1;
        }
        self.furthest.frame = before.0.max(now.0);
        self.furthest.out_time_us = before.1.max(now.1);
        self.furthest.total_size = before.2.max(now.2);
    }
}

impl Heartbeat for FfmpegHeartbeat {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.pipe.as_fd())
    }

    fn beat(&mut self, _slice: &dyn Slice) -> u64 {
        let mut chunk = [0u8; 4096];
        while let Ok(count @ 1..) = nix::unistd::read(&self.pipe, &mut chunk) {
            if let Some(progress) = self.parser.push(&chunk[..count]) {
                self.take(progress);
            }
        }
        self.moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_gets_further_is_a_move() {
        let (mut heartbeat, _child_end) = FfmpegHeartbeat::open().unwrap();
        for (frame, moves) in [
            (Some(1), 1),
            (Some(1), 1),
            (Some(2), 2),
            (None, 2),
            (Some(1), 2),
        ] {
            heartbeat.take(Progress {
                frame,
                ..Progress::default()
            });
            assert_eq!(heartbeat.moves, moves);
        }
    }

    #[test]
    fn time_and_size_are_moves_too_and_time_before_zero_goes_forward() {
        let (mut heartbeat, _child_end) = FfmpegHeartbeat::open().unwrap();
        for (out_time_us, total_size, moves) in [
            (Some(-40), None, 1),
            (Some(-20), None, 2),
            (Some(-20), Some(9), 3),
            (Some(-30), Some(9), 3),
        ] {
            heartbeat.take(Progress {
                out_time_us,
                total_size,
                ..Progress::default()
            });
            assert_eq!(heartbeat.moves, moves);
        }
    }
}
