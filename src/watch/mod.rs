//! Processes that ffwarden did not start: found, measured, and, when asked to, held to a policy.
//!
//! - [`find`]: which processes are meant
//! - [`target`]: one of them with its descendants, and what can be done to it
//! - [`place`]: a cgroup of its own, or none
//! - [`keeper`]: who lets it go on if we are killed
//! - [`adopt`]: what the core is told of them
//! - [`run`]: the loop
//! - [`show`]: what is printed
//!
//! Nothing is done to a process unless enforcing was asked for, and never to one that another ffwarden looks after.

pub mod adopt;
pub mod find;
pub mod keeper;
pub mod place;
pub mod run;
pub mod show;
pub mod target;
