//! What ffwarden knows of FFmpeg: its command line, what it will need, what it writes, how far it is.
//!
//! Nothing here starts FFmpeg itself; `probe` alone runs a process (ffprobe), and `target` alone touches outputs.

pub mod command;
pub mod estimate;
pub mod options;
pub mod output;
pub mod preset;
pub mod probe;
pub mod progress;
pub mod quote;
pub mod rewrite;
pub mod target;
pub mod verify;
pub mod video;
