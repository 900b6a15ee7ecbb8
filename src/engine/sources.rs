//! What the loop reads of the machine: samples for the core, and whether the kernel's OOM killer was at work.

use std::collections::BTreeMap;
use std::time::Instant;

use super::attempt::Attempt;
use crate::core::{AttemptId, Sample};
use crate::memory::sample::Sampler;
use crate::memory::{self, MemoryError};

/// The machine's memory and what every attempt uses, now.
///
/// # Errors
/// When the machine's memory cannot be read.
pub fn sample(
    sampler: &mut Sampler,
    attempts: &mut BTreeMap<AttemptId, Attempt>,
    now: Instant,
) -> Result<Sample, MemoryError> {
    let machine = sampler.sample()?;
    let uses = attempts
        .iter_mut()
        .map(|(id, attempt)| (*id, attempt.measure(now)));
    Ok(Sample {
        attempts: uses.collect(),
        ..machine
    })
}

/// The kernel's count of what its OOM killer has killed, remembered since the look before the last one: a kill is
/// counted before its child can be reaped, and a look may come between the two.
#[derive(Debug)]
pub struct Kills {
    before: Option<u64>,
    last: Option<u64>,
}

impl Kills {
    /// Counting from now.
    pub fn now() -> Kills {
        let count = memory::oom_kills();
        Kills {
            before: count,
            last: count,
        }
    }

    /// At each look at memory.
    pub fn look(&mut self) {
        self.before = std::mem::replace(&mut self.last, memory::oom_kills());
    }

    /// Whether it has killed anything lately.
    pub fn lately(&self) -> bool {
        self.before.is_some() && memory::oom_kills() > self.before
    }
}
