//! Why an attempt ended, in one sentence for people.

use std::time::Duration;

use crate::config::size::format_bytes;
use crate::core::ladder::Outcome;
use crate::core::outcome::Cause;
use crate::sys::WaitStatus;

/// The sentence, when the child did not simply exit.
pub fn sentence(
    outcome: Outcome,
    cause: Cause,
    status: WaitStatus,
    wall: Duration,
    limit_bytes: u64,
    peak_bytes: u64,
) -> Option<String> {
    let limit = format_bytes(limit_bytes);
    Some(match outcome {
        Outcome::Exited | Outcome::Signaled if cause == Cause::Leaving => {
            "ended because ffwarden was asked to end".to_owned()
        }
        Outcome::Exited => return None,
        Outcome::Oom if cause == Cause::Crawl => format!(
            "stopped because it hardly got on at its own memory limit of {limit}: its code was evicted and read again \
             all the time"
        ),
        Outcome::Oom => {
            format!(
                "stopped at its own memory limit of {limit} (peak {})",
                format_bytes(peak_bytes)
            )
        }
        Outcome::Pressure if cause == Cause::Victim => {
            format!(
                "stopped to give memory back, at {} of its {limit}",
                format_bytes(peak_bytes)
            )
        }
        Outcome::Pressure => {
            format!(
                "stopped because the machine's memory was full, at {} of its {limit}",
                format_bytes(peak_bytes)
            )
        }
        Outcome::Stalled => format!(
            "stopped after no progress for too long, {} s after its start",
            seconds(wall)
        ),
        Outcome::Timeout => format!(
            "stopped at the timeout, {} s after its start",
            seconds(wall)
        ),
        Outcome::Signaled => match status {
            WaitStatus::Signaled(number) => {
                format!("killed by {}, which ffwarden did not send", name(number))
            }
            WaitStatus::Exited(_) => return None,
        },
    })
}

fn seconds(wall: Duration) -> String {
    format!("{:.0}", wall.as_secs_f64())
}

fn name(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number).map_or_else(
        |_| format!("signal {number}"),
        |signal| signal.as_str().to_owned(),
    )
}
