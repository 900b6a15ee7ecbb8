//! A child process: started in a slice, watched to its end, signalled, and never left behind.
//!
//! `spawn` starts it, `watch` is the loop from its start to its end, `signals` receives what is meant for it,
//! `guard` is the process that outlives us if we are killed. Limits are the slice's business, decisions `core`'s.

mod guard;
mod signals;
mod spawn;
mod watch;

pub use guard::{GuardLink, Side, Verdict, die, split};
pub use signals::Signals;
pub use spawn::{Launch, LaunchError, Placement, Process, find_program, spawn};
pub use watch::{Cause, Ended, Heartbeat, IoHeartbeat, Watch};
