//! PURE decisions: no clock, no file, no random number. What comes in is numbers and events, what goes out is
//! what to do. The shell around it (`cli::run`) reads and acts.

pub mod budget;
pub mod ladder;
pub mod poll;
