//! `ffwarden simulate SCENARIO.yaml`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;

use super::args::Simulate;
use crate::config::error::ContentError;
use crate::config::policies::Policies;
use crate::config::policy::Policy;
use crate::config::profile::Origin;
use crate::config::profiles::Profiles;
use crate::job::verdict::Verdict;
use crate::report::record;
use crate::simulate::scenario::PolicyChoice;
use crate::simulate::{Options, Scenario, html, play, text};

/// The longest scenario that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The exit code where something happened that must not, or not what was expected.
const NOT_GOOD: i32 = 1;

/// Carries the verb out.
///
/// # Errors
/// When the scenario or its policy has a mistake, or the page cannot be written.
pub fn simulate(arguments: Simulate) -> anyhow::Result<Verdict> {
    if arguments.replay {
        return replay(&arguments);
    }
    let scenario = read(&arguments.scenario)?;
    let policy = match &arguments.policy {
        Some(name) => resolve(&PolicyChoice::Named(name.clone()), &arguments.scenario)?,
        None => resolve(&scenario.policy, &arguments.scenario)?,
    };
    let options = Options {
        baselines: arguments.baselines.then_some(true),
    };
    let played = play(&scenario, &policy, options);
    if let Some(file) = &arguments.html {
        std::fs::write(file, html::page(&played))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if arguments.json {
        let mut json = serde_json::to_vec_pretty(&played)?;
        json.push(b'\n');
        super::print(&json)?;
    } else {
        super::print(text::text(&played, arguments.timeline).as_bytes())?;
    }
    Ok(Verdict::Exit(if played.is_good() { 0 } else { NOT_GOOD }))
}

/// Prints each decision with its time, in seconds since the record began.
fn replay(arguments: &Simulate) -> anyhow::Result<Verdict> {
    let named = |name: &String| resolve(&PolicyChoice::Named(name.clone()), &arguments.scenario);
    let instead = arguments.policy.as_ref().map(named).transpose()?;
    let mut printed = Ok(());
    record::replay(&arguments.scenario, instead, |at, decision| {
        let seconds = at.as_secs_f64();
        let line = if arguments.json {
            serde_json::json!({ "at_seconds": seconds, "decision": decision }).to_string()
        } else {
            format!("{seconds:>10.3} s  {decision}")
        };
        if printed.is_ok() {
            printed = super::print(format!("{line}\n").as_bytes());
        }
    })?;
    printed.map(|()| Verdict::Exit(0))
}

fn read(path: &Path) -> anyhow::Result<Scenario> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(
        text.len() as u64 <= MAX_FILE,
        "{} is longer than 1 MiB, which no scenario is",
        path.display()
    );
    Ok(Scenario::parse(&text, &path.display().to_string()).map_err(|error| *error)?)
}

/// The policy of a name, of a file (looked for beside the scenario), or as it is written there.
fn resolve(choice: &PolicyChoice, scenario: &Path) -> anyhow::Result<Policy> {
    let profiles = Profiles::load(&Profiles::directories())?;
    match choice {
        PolicyChoice::Inline(text) => {
            Policy::parse(text, Origin::File(scenario.to_owned()), &profiles).map_err(|error| {
                let within = ContentError {
                    file: format!("{}, in its policy", scenario.display()),
                    ..*error
                };
                within.into()
            })
        }
        PolicyChoice::Named(name) => {
            let policies = Policies::load(&Policies::directories(), &profiles)?;
            let beside = scenario
                .parent()
                .map(|dir| dir.join(name))
                .filter(|file| file.is_file());
            let name = beside.as_deref().and_then(Path::to_str).unwrap_or(name);
            Ok(policies.resolve(name, &profiles)?)
        }
    }
}
