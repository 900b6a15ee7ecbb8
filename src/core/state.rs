//! The state of all jobs and of memory, and the one function that changes it.

use std::time::Duration;

use super::action::Action;
use super::event::Event;
use crate::config::policy::Policy;

/// What does not change while the core runs, besides the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Processors; at least 1.
    pub cpus: u32,
    /// Jobs at once that the user allows; none is as the policy says.
    pub workers: Option<u32>,
    /// Memory that all children may use together, bytes, if the user set it.
    pub memory_bytes: Option<u64>,
    /// The least limit that a slice may have, bytes.
    pub floor_bytes: u64,
    /// Swap of the machine, bytes: without any nothing is frozen.
    pub swap_bytes: u64,
    /// Stretches waits so that several cores do not act in step; any number.
    pub seed: u64,
}

/// Everything the core knows.
#[derive(Debug, Clone)]
pub struct State {
    policy: Policy,
    settings: Settings,
}

impl State {
    /// With nothing submitted and nothing measured. Nothing is started before the first `Measured`.
    pub fn new(policy: Policy, settings: Settings) -> State {
        State { policy, settings }
    }
}

/// Takes in one event that happened at `now` (on any clock that does not go backwards) and says what to do. At most
/// one `Wake` is among it.
pub fn step(state: &mut State, event: Event, now: Duration) -> Vec<Action> {
    let _ = (&state.policy, &state.settings, event, now);
    Vec::new()
}
