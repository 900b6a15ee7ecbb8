//! `ffwarden policy list|show|check`.

use std::path::Path;

use super::args::{Policy, PolicyVerb};
use crate::config::policies::{self, Policies};
use crate::config::profiles::Profiles;
use crate::job::verdict::Verdict;

/// Carries the verb out.
///
/// # Errors
/// When a policy has a mistake or there is none of the name.
pub fn policy(arguments: Policy) -> anyhow::Result<Verdict> {
    let profiles = Profiles::load(&Profiles::directories())?;
    match arguments.verb {
        PolicyVerb::List => list(&profiles),
        PolicyVerb::Show { name } => show(&name, &profiles),
        PolicyVerb::Check { file } => check(&file, &profiles),
    }?;
    Ok(Verdict::Exit(0))
}

/// The policy of a name or file; without one, the default. For what only Linux can do.
#[cfg(target_os = "linux")]
pub(super) fn resolve(name: Option<&str>) -> anyhow::Result<crate::config::policy::Policy> {
    let profiles = Profiles::load(&Profiles::directories())?;
    let policies = Policies::load(&Policies::directories(), &profiles)?;
    let name = name.unwrap_or(policies::DEFAULT);
    Ok(policies.resolve(name, &profiles)?)
}

fn list(profiles: &Profiles) -> anyhow::Result<()> {
    let policies = Policies::load(&Policies::directories(), profiles)?;
    let names = policies.iter().map(|policy| policy.name.len());
    let width = names.max().unwrap_or(0);
    let text: String = policies
        .iter()
        .map(|policy| {
            let (name, summary, origin) = (&policy.name, &policy.summary, &policy.origin);
            format!("{name:<width$}  {summary} ({origin})\n")
        })
        .collect();
    super::print(text.as_bytes())
}

fn show(name: &str, profiles: &Profiles) -> anyhow::Result<()> {
    let policies = Policies::load(&Policies::directories(), profiles)?;
    super::print(policies.resolve(name, profiles)?.source.as_bytes())
}

fn check(file: &Path, profiles: &Profiles) -> anyhow::Result<()> {
    let policy = policies::read(file, profiles)?;
    let (file, name) = (file.display(), &policy.name);
    let levels = match policy.stages.len() {
        1 => "1 level".to_owned(),
        many => format!("{many} levels"),
    };
    super::print(format!("{file}: policy {name}, {levels}: no mistakes\n").as_bytes())
}
