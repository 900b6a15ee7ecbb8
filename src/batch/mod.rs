//! Many inputs, one command: what `ffwarden batch` is made of, but for the engine that runs the children.

mod digest;
pub mod feed;
mod glob;
pub mod inputs;
pub mod joblog;
pub mod journal;
mod journal_lines;
mod journal_prune;
pub mod observer;
pub mod output;
pub mod placeholder;
pub mod progress;
pub mod report;
pub mod results;
pub mod workers;
