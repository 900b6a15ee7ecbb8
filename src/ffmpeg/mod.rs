//! What ffwarden knows of FFmpeg: its command line, what it will need, what it writes, how far it is.
//!
//! Nothing here starts FFmpeg itself; `probe` alone runs a process (ffprobe).

pub mod command;
pub mod encoder;
pub mod estimate;
pub mod options;
pub mod output;
pub mod quote;
pub mod rewrite;
pub mod target;
