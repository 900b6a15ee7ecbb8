//! `ffwarden watch`: monitor processes that ffwarden did not start, and hold them to a policy when asked to.

use super::args::Watch;
use crate::job::verdict::Verdict;

/// Watches until interrupted, or until all processes named by PID have ended.
///
/// # Errors
/// When a process named by PID is not there, or memory cannot be read.
#[cfg(target_os = "linux")]
pub fn watch(arguments: Watch) -> anyhow::Result<Verdict> {
    use crate::slice::Containment;
    use crate::slice::detect::Container;
    use crate::watch::find::Wanted;
    use crate::watch::run::{Options, run};
    use crate::watch::show::Format;
    use std::io::{self, IsTerminal};

    let policy = super::policy::resolve(arguments.policy.as_deref())?;
    let mut names = arguments.name;
    if names.is_empty() && arguments.pid.is_empty() {
        names.push("ffmpeg".to_owned());
    }
    let format = match arguments.json {
        true => Format::Json,
        false if io::stdout().is_terminal() => Format::Table,
        false => Format::Lines,
    };
    // Only where a cgroup is to be had without asking systemd for a scope, which would move us as well.
    let container = arguments
        .enforce
        .then(|| Container::open("ffwarden-watch", Some(Containment::Cgroup)));
    let container = container.and_then(|opened| {
        opened
            .inspect_err(|error| log::debug!("watched processes stay where they are: {error}"))
            .ok()
    });
    let options = Options {
        wanted: Wanted {
            pids: arguments.pid,
            names,
        },
        interval: arguments.interval,
        format,
        enforce: arguments.enforce,
    };
    run(options, &policy, container, &mut io::stdout())?;
    Ok(Verdict::Exit(0))
}

/// Needs `/proc`.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn watch(_arguments: Watch) -> anyhow::Result<Verdict> {
    anyhow::bail!("watch needs Linux: other systems have no /proc")
}
