//! `ffwarden profile list|show|check`.

use std::fmt::Write as _;
use std::path::Path;

use super::args::{Profile, ProfileVerb};
use crate::config::profiles::{self, Profiles};
use crate::job::verdict::Verdict;

/// Carries the verb out.
///
/// # Errors
/// When a profile has a mistake or there is none of the name.
pub fn profile(arguments: Profile) -> anyhow::Result<Verdict> {
    match arguments.verb {
        ProfileVerb::List => list(),
        ProfileVerb::Show { name } => show(&name),
        ProfileVerb::Check { file } => check(&file),
    }?;
    Ok(Verdict::Exit(0))
}

fn list() -> anyhow::Result<()> {
    let profiles = Profiles::load(&Profiles::directories())?;
    let width = profiles
        .iter()
        .map(|profile| profile.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for profile in profiles.iter() {
        let (name, rank, summary) = (&profile.name, profile.rank, &profile.summary);
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "{name:<width$}  {rank:>3}  {summary} ({})",
            profile.origin
        );
    }
    super::print(text.as_bytes())
}

fn show(name: &str) -> anyhow::Result<()> {
    let profile = Profiles::load(&Profiles::directories())?.resolve(name)?;
    super::print(profile.source.as_bytes())
}

fn check(file: &Path) -> anyhow::Result<()> {
    let profile = profiles::read(file)?;
    let (name, rank) = (&profile.name, profile.rank);
    super::print(
        format!(
            "{}: profile {name}, rank {rank}: no mistakes\n",
            file.display()
        )
        .as_bytes(),
    )
}
