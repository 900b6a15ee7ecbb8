//! A run at a terminal of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};

/// A run at a terminal of its own.
pub struct Terminal {
    pub keyboard: File,
    pub screen: Arc<Mutex<Vec<u8>>>,
    pub line: OwnedFd,
    pub session: Child,
}

impl Terminal {
    pub fn run(args: &[&str], dir: &Path) -> Terminal {
        Terminal::start(env!("CARGO_BIN_EXE_ffwarden"), args, dir)
    }

    /// `setsid -c` makes the terminal the controlling one of a new session, as a login does.
    pub fn start(program: &str, args: &[&str], dir: &Path) -> Terminal {
        let pty = openpty(None, None).unwrap();
        // A child that inherited this end would keep the terminal from ever hanging up.
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let end = || pty.slave.try_clone().unwrap();
        let session = Command::new("setsid")
            .args(["-c", "-w", program])
            .args(args)
            .env("FFWARDEN_CONTAINMENT", "rlimit")
            .current_dir(dir)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut master, shown) = (File::from(pty.master.try_clone().unwrap()), screen.clone());
        std::thread::spawn(move || {
            let mut chunk = [0u8; 4096];
            while let Ok(count @ 1..) = master.read(&mut chunk) {
                shown.lock().unwrap().extend(&chunk[..count]);
            }
        });
        Terminal {
            keyboard: File::from(pty.master),
            screen,
            line: pty.slave,
            session,
        }
    }

    pub fn type_keys(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    pub fn shows(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).contains(text)
    }

    pub fn end(mut self) -> Option<i32> {
        self.session.wait().unwrap().code()
    }

    pub fn is_canonical(&self) -> bool {
        tcgetattr(self.line.as_fd())
            .unwrap()
            .local_flags
            .contains(LocalFlags::ICANON)
    }
}
