//! A virtual machine with a virtual clock that plays scenarios against the core: millions of jobs, liars, leaks and
//! faults, in seconds. The core is the real one; nothing else is.
//!
//! - [`scenario`]: what is played, read from YAML; [`expect`]: what is to come of it
//! - [`world`]: the machine and its children ([`attempt`]); [`draw`]: numbers by a seed
//! - [`run`]: feeds the core and carries its actions out
//! - [`check`]: what must never happen; [`record`]: what is kept of a run
//! - [`baseline`]: the same with simpler deciders
//! - [`text`], [`html`]: the result for people
//!
//! No file and no clock is read here; `cli::simulate` does that.

pub mod attempt;
pub mod baseline;
pub mod check;
pub mod draw;
pub mod expect;
pub mod html;
pub mod record;
pub mod run;
pub mod scenario;
mod scenario_yaml;
pub mod text;
pub mod world;

pub use run::{Options, Played, play};
pub use scenario::Scenario;
