//! `ffwarden profile list|show|check`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;

use super::args::{Profile, ProfileVerb};
use crate::child::Verdict;
use crate::config::profile::{self, Profiles};

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
        .all()
        .iter()
        .map(|profile| profile.name.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for profile in profiles.all() {
        let (name, rank, summary) = (&profile.name, profile.rank, &profile.summary);
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "{name:<width$}  {rank:>3}  {summary} ({})",
            origin(profile)
        );
    }
    super::print(text.as_bytes())
}

fn origin(profile: &profile::Profile) -> String {
    profile
        .file
        .as_deref()
        .map_or_else(|| "built in".to_owned(), |file| file.display().to_string())
}

fn show(name: &str) -> anyhow::Result<()> {
    let profiles = Profiles::load(&Profiles::directories())?;
    let Some(profile) = profiles.get(name) else {
        let hint = profiles.suggestion(name).unwrap_or_default();
        bail!("there is no profile `{name}` ({hint})");
    };
    super::print(profile.source.as_bytes())
}

fn check(file: &Path) -> anyhow::Result<()> {
    let profile = profile::Profile::read(file)?;
    let text = format!(
        "{}: profile {}, rank {}: no mistakes\n",
        file.display(),
        profile.name,
        profile.rank
    );
    super::print(text.as_bytes())
}
