//! `ffwarden relief`: get memory back now.

use super::args::Relief;
use crate::job::verdict::Verdict;

/// Runs the relief actions and prints what each brought; the exit code is 0 if memory came back, 1 if none did.
///
/// # Errors
/// When the policy has a mistake or memory cannot be read.
#[cfg(target_os = "linux")]
pub fn relief(arguments: Relief) -> anyhow::Result<Verdict> {
    use crate::config::size::format_bytes;
    use std::fmt::Write as _;

    let policy = super::policy::resolve(arguments.policy.as_deref())?;
    let machine = crate::memory::machine()?;
    let done = crate::relief::now::run(&policy)?;
    let mut text = String::new();
    for action in &done {
        let (before, after) = action.available_bytes;
        let reclaimed = action.reclaimed_bytes.map_or(String::new(), |bytes| {
            format!(", {} taken back", format_bytes(bytes))
        });
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "{}: {} available before, {} after{reclaimed}",
            action.what,
            format_bytes(before),
            format_bytes(after)
        );
        if let Some(error) = &action.error {
            log::error!("{error}");
        }
    }
    if done.is_empty() {
        let name = &policy.name;
        log::warn!(
            "nothing to do: no slice of ffwarden's is there, and policy {name} has no relief command"
        );
    }
    super::print(text.as_bytes())?;
    let helped = done.iter().any(|action| action.helped(&machine, &policy));
    Ok(Verdict::Exit(i32::from(!helped)))
}

/// Needs cgroups.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn relief(_arguments: Relief) -> anyhow::Result<Verdict> {
    anyhow::bail!("relief needs Linux: other systems have no cgroups")
}
