//! A transient scope asked of systemd over D-Bus, delegated to us: the way to a cgroup of one's own under a
//! systemd that has not delegated one (root from a shell, or a user with a user manager).
//!
//! systemd owns the tree above; no directory is ever made where none was delegated.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zbus::zvariant::Value;

use super::SliceError;

/// How long systemd may take: a busy machine was seen to take 0.3 s under emulation, milliseconds otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether we have been moved. A scope takes systemd 4 to 6 ms.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// Which service manager to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manager {
    /// The system's, as root.
    System,
    /// The user's own, at this D-Bus socket.
    User(PathBuf),
}

impl Manager {
    /// The user manager's bus: `$XDG_RUNTIME_DIR/bus`, or where systemd puts it for this user.
    pub fn user() -> Option<Manager> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let default = PathBuf::from(format!("/run/user/{}", nix::unistd::getuid()));
        runtime
            .into_iter()
            .chain([default])
            .map(|dir| dir.join("bus"))
            .find(|bus| bus.exists())
            .map(Manager::User)
    }

    fn address(&self) -> String {
        match self {
            Manager::System => "unix:path=/run/dbus/system_bus_socket".to_owned(),
            Manager::User(bus) => format!("unix:path={}", escape(&bus.to_string_lossy())),
        }
    }
}

/// D-Bus addresses escape all but `-0-9A-Za-z_/.\*` (D-Bus specification, "Server addresses").
fn escape(path: &str) -> String {
    path.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
        text
    })
}

/// Moves this process and its guard into a new scope `NAME.scope` and gives the scope's cgroup directory.
///
/// # Errors
/// When the bus or systemd refuse, or nothing happened in ten seconds.
pub fn enter(manager: &Manager, name: &str, mount: &Path) -> Result<PathBuf, SliceError> {
    ask(manager, name).map_err(|error| SliceError::Scope(error.to_string()))?;
    let unit = format!("{name}.scope");
    let deadline = Instant::now() + PATIENCE;
    let guard = nix::unistd::getppid();
    loop {
        // systemd moves processes one by one: ours may be there before the guard's is, and a process that arrives
        // after controllers were turned on finds the door shut.
        let (own, guard) = (own_cgroup(), cgroup_of(&guard.to_string()));
        if let (Some(own), Some(guard)) = (own, guard)
            && own == guard
            && own.ends_with(&unit)
        {
            return Ok(mount.join(own.trim_start_matches('/')));
        }
        if Instant::now() >= deadline {
            return Err(SliceError::Scope(format!(
                "{unit} did not start in {} s",
                PATIENCE.as_secs()
            )));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Our cgroup in the v2 tree, as `/proc/self/cgroup` names it.
pub fn own_cgroup() -> Option<String> {
    cgroup_of("self")
}

fn cgroup_of(process: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(str::to_owned)
}

fn ask(manager: &Manager, name: &str) -> zbus::Result<()> {
    let connection = zbus::blocking::connection::Builder::address(manager.address().as_str())?
        .method_timeout(PATIENCE)
        .build()?;
    let pids = vec![
        std::process::id(),
        nix::unistd::getppid().as_raw().unsigned_abs(),
    ];
    let properties: Vec<(&str, Value<'_>)> = vec![
        ("Description", Value::from("ffwarden and its children")),
        ("PIDs", Value::from(pids)),
        ("Delegate", Value::from(true)),
        // Our own pids.max stands around each child; the manager's default would meet us as well.
        ("TasksMax", Value::from(u64::MAX)),
        // Gone when its last process is, even after a kill.
        ("CollectMode", Value::from("inactive-or-failed")),
    ];
    let auxiliary: Vec<(&str, Vec<(&str, Value<'_>)>)> = Vec::new();
    connection.call_method(
        Some("org.freedesktop.systemd1"),
        "/org/freedesktop/systemd1",
        Some("org.freedesktop.systemd1.Manager"),
        "StartTransientUnit",
        &(format!("{name}.scope"), "fail", properties, auxiliary),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bus_addresses_are_escaped() {
        let user = Manager::User(PathBuf::from("/run/a b,c/bus"));
        assert_eq!(user.address(), "unix:path=/run/a%20b%2cc/bus");
    }
}
