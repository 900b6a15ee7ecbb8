//! The places that ffwarden is started from: root or a user, with systemd or without, in a unit of some kind.

use std::process::Command;

use super::{group_id, user_id};

/// The variable that marks all processes of one run.
pub const TAG: &str = "FFWARDEN_TEST_TAG";

/// From where ffwarden is started, which decides what contains its child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// By root, in a unit of systemd that is not delegated: this test's own.
    Undelegated,
    /// By root, where systemd does not run, as far as one can see.
    NoSystemd,
    /// As a service of the system with these properties (`Delegate=yes`, ...).
    Service(Vec<&'static str>),
    /// By an ordinary user.
    User,
    /// As a delegated service of an ordinary user.
    UserService,
}

impl Place {
    /// `argv` as the ordinary user, with the environment that logging in gives.
    pub fn as_user(argv: &[&str]) -> Command {
        let uid = user_id();
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={uid}"))
            .arg(format!("--regid={}", group_id()))
            .args(["--init-groups", "env"])
            .arg(format!("XDG_RUNTIME_DIR=/run/user/{uid}"))
            .arg(format!(
                "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus"
            ))
            .args(argv);
        command
    }

    /// What stands in front of `ffwarden` on the command line.
    pub fn prefix(&self, tag: &str) -> Command {
        let service = |command: &mut Command, properties: &[&str]| {
            command
                .args(["--quiet", "--wait", "--pipe", "--collect"])
                .arg(format!("--setenv={TAG}={tag}"));
            for property in properties {
                command.args(["-p", property]);
            }
            command.arg("--");
        };
        match self {
            Self::Undelegated => Command::new("env"),
            Self::NoSystemd => {
                // What sd_booted(3) looks at is hidden, in a mount namespace of its own.
                let mut command = Command::new("unshare");
                command.args([
                    "--mount",
                    "sh",
                    "-c",
                    "mount -t tmpfs none /run/systemd && exec \"$@\"",
                    "sh",
                ]);
                command
            }
            Self::Service(properties) => {
                let mut command = Command::new("systemd-run");
                service(&mut command, properties);
                command
            }
            Self::User => Self::as_user(&[]),
            Self::UserService => {
                let mut command = Self::as_user(&["systemd-run", "--user"]);
                service(&mut command, &["Delegate=yes"]);
                command
            }
        }
    }

    /// Whether an ordinary user starts it.
    pub fn is_users(&self) -> bool {
        matches!(self, Self::User | Self::UserService)
    }
}
