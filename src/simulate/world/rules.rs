//! What the virtual machine is told of the policy.

use std::time::Duration;

use crate::config::policy::{Policy, Trigger};

/// What the shell takes from a policy. A baseline has no policy, looks at nothing and waits for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// Time between two looks at memory; none looks at none.
    pub poll: Option<Duration>,
    /// How long a relief may take.
    pub relief_timeout: Duration,
    /// Kernel triggers.
    pub triggers: Vec<Trigger>,
}

impl Rules {
    /// As a policy says.
    pub fn of(policy: &Policy) -> Rules {
        Rules {
            poll: Some(policy.poll.max(Duration::from_millis(1))),
            relief_timeout: policy.relief.timeout,
            triggers: policy
                .stages
                .iter()
                .filter_map(|stage| stage.enter.trigger)
                .collect(),
        }
    }
}
