//! Many inputs, one command: what `ffwarden batch` is made of, but for the engine that runs the children.

mod digest;
mod glob;
pub mod inputs;
pub mod joblog;
pub mod journal;
mod journal_lines;
pub mod placeholder;
pub mod results;
