//! A child process: started in its place, named by a pidfd, and the signals that are meant for it.
//!
//! Limits are the slice's business; what happens between a child's start and its end is `job::watch`'s
//! (one child) or `engine`'s (many).

mod signals;
mod spawn;
mod stops;

pub use signals::{HANDLED, Received, Sender, Signals};
pub use spawn::{Apart, Launch, LaunchError, Placement, Process, find_program, spawn};
pub use stops::{Stops, stop_unless};
