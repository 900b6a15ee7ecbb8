//! A program that uses memory, processes and files as told: what the tests put under ffwarden.
//!
//! It does, in this order, whatever it is asked for: catch signals, leave its parent, start children,
//! touch memory, fill shared memory, write a file, hold, check, end. It says `hog: holding` on stdout before it
//! holds, and what it could not get on stderr.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use clap::Parser;
use nix::sys::signal::{Signal, raise};

/// What is written at once, and the distance between two looks at anything: bytes.
const MEBIBYTE: u64 = 1 << 20;
/// Each page of touched memory, in bytes, begins with a number.
const PAGE: usize = 4096;
/// Exit code when a child could not be started (sysexits EX_OSERR).
const EX_OSERR: u8 = 71;

#[derive(Parser)]
#[command(about = "Uses memory, processes and files as told")]
struct Args {
    /// Anonymous memory to write to, in steps
    #[arg(long, default_value = "0", value_name = "SIZE")]
    touch: Size,
    /// Memory touched at a time
    #[arg(long, default_value = "10M", value_name = "SIZE")]
    step: Size,
    /// Pause after each step
    #[arg(long, default_value = "0ms", value_name = "TIME")]
    delay: Time,
    /// Shared memory (memfd) to fill
    #[arg(long, default_value = "0", value_name = "SIZE")]
    shm: Size,
    /// File to write, and how much
    #[arg(long, num_args = 2, value_names = ["FILE", "SIZE"])]
    write: Option<Vec<String>>,
    /// Time to keep it all
    #[arg(long, default_value = "0s", value_name = "TIME")]
    hold: Time,
    /// After that, read all that was touched, say `hog: intact`, and fail if it is not as it was written
    #[arg(long)]
    check: bool,
    /// How to end: exit:CODE or signal:NAME
    #[arg(long, default_value = "exit:0", value_name = "END")]
    then: End,
    /// Signal that does not end it (TERM, INT, HUP, QUIT); may be given again
    #[arg(long, value_name = "NAME")]
    ignore: Vec<SignalName>,
    /// Children to start, each doing the rest; wait for all of them
    #[arg(long, default_value_t = 0, value_name = "N", overrides_with = "fork")]
    fork: u32,
    /// Do the rest as a daemon: a process in a session of its own, whose parent has gone
    #[arg(long)]
    daemonize: bool,
    /// Internal: the middle process of --daemonize
    #[arg(long, hide = true)]
    middle: bool,
}

/// Bytes, written as a number with K, M or G for powers of 1024.
#[derive(Clone, Copy)]
struct Size(u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = match text.char_indices().find(|(_, c)| !c.is_ascii_digit()) {
            Some((end, _)) => text.split_at(end),
            None => (text, ""),
        };
        let unit = match unit {
            "" => 1,
            "K" => 1 << 10,
            "M" => MEBIBYTE,
            "G" => 1 << 30,
            _ => return Err(format!("'{unit}' is none of K, M, G")),
        };
        let number: u64 = digits.parse().map_err(|e| format!("'{digits}': {e}"))?;
        number
            .checked_mul(unit)
            .map(Size)
            .ok_or_else(|| format!("'{text}' is too large"))
    }
}

/// A time span, written as a number with ms or s.
#[derive(Clone, Copy)]
struct Time(Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit): (_, fn(u64) -> Duration) = if let Some(digits) = text.strip_suffix("ms")
        {
            (digits, Duration::from_millis)
        } else if let Some(digits) = text.strip_suffix('s') {
            (digits, Duration::from_secs)
        } else {
            return Err("a time ends in ms or s".to_owned());
        };
        digits
            .parse()
            .map(|n| Time(unit(n)))
            .map_err(|e| format!("'{digits}': {e}"))
    }
}

#[derive(Clone, Copy)]
struct SignalName(Signal);

impl FromStr for SignalName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        format!("SIG{text}")
            .parse()
            .map(SignalName)
            .map_err(|_| format!("'{text}' is no signal; try TERM"))
    }
}

#[derive(Clone, Copy)]
enum End {
    Exit(u8),
    Signal(Signal),
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("exit", code)) => code.parse().map(End::Exit).map_err(|e| e.to_string()),
            Some(("signal", name)) => name.parse::<SignalName>().map(|s| End::Signal(s.0)),
            _ => Err("neither exit:CODE nor signal:NAME".to_owned()),
        }
    }
}

fn main() -> io::Result<ExitCode> {
    let args = Args::parse();
    for SignalName(signal) in &args.ignore {
        // A handler that only sets a flag nobody reads: the signal arrives and changes nothing.
        signal_hook::flag::register(*signal as i32, Arc::new(AtomicBool::new(false)))?;
    }
    if args.middle {
        nix::unistd::setsid()?;
        rest(&["--middle", "--daemonize"], &[])?.spawn()?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.daemonize {
        rest(&[], &["--middle"])?.status()?;
        return end(args.then);
    }
    if args.fork > 0 {
        return fork(args.fork);
    }

    let touched = touch(&args);
    let shared = fill_shm(args.shm)?;
    if let Some([file, size]) = args.write.as_deref() {
        let size: Size = size.parse().map_err(io::Error::other)?;
        fill(&mut File::create(PathBuf::from(file))?, size)?;
    }
    say("hog: holding")?;
    thread::sleep(args.hold.0);
    if args.check {
        check(&touched)?;
        say("hog: intact")?;
    }
    drop((touched, shared));
    end(args.then)
}

/// Writes to `args.touch` bytes of fresh memory, `args.step` at a time, and returns it all.
fn touch(args: &Args) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut left = args.touch.0;
    while left > 0 {
        let step = left.min(args.step.0.max(1));
        // Not zero: zeroed memory would be mapped, but not there.
        let mut block = vec![0xa5; usize::try_from(step).unwrap_or(usize::MAX)];
        for (page, number) in block.chunks_mut(PAGE).zip(all.len() as u64..) {
            stamp(page, number);
        }
        all.push(block);
        left -= step;
        thread::sleep(args.delay.0);
    }
    all
}

/// No two pages of a block are the same, so that one read in the place of another shows.
fn stamp(page: &mut [u8], number: u64) {
    let bytes = number.to_ne_bytes();
    let length = page.len().min(bytes.len());
    page[..length].copy_from_slice(&bytes[..length]);
}

fn check(touched: &[Vec<u8>]) -> io::Result<()> {
    let mut wanted = [0; PAGE];
    for (place, block) in touched.iter().enumerate() {
        for (page, number) in block.chunks(PAGE).zip(place as u64..) {
            wanted.fill(0xa5);
            let wanted = &mut wanted[..page.len()];
            stamp(wanted, number);
            if page != wanted {
                return Err(io::Error::other(format!(
                    "page {number} of block {place} was changed"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn fill_shm(size: Size) -> io::Result<Option<File>> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    if size.0 == 0 {
        return Ok(None);
    }
    let mut file = File::from(memfd_create("hog", MFdFlags::empty())?);
    fill(&mut file, size)?;
    Ok(Some(file))
}

#[cfg(not(target_os = "linux"))]
fn fill_shm(size: Size) -> io::Result<Option<File>> {
    if size.0 == 0 {
        return Ok(None);
    }
    Err(io::Error::other("--shm is for Linux"))
}

/// Appends `size` bytes to `file`.
fn fill(file: &mut File, size: Size) -> io::Result<()> {
    let block = vec![0x5a; MEBIBYTE as usize];
    let mut left = size.0;
    while left > 0 {
        let now = left.min(MEBIBYTE);
        file.write_all(&block[..usize::try_from(now).unwrap_or(block.len())])?;
        left -= now;
    }
    Ok(())
}

/// This very command line without the options `dropped`, and with those `added`.
fn rest(dropped: &[&str], added: &[&str]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(added).args(
        std::env::args_os()
            .skip(1)
            .filter(|arg| !dropped.iter().any(|d| *d == arg)),
    );
    Ok(command)
}

/// Starts `count` children, or as many as there can be, and waits for them. A bounded fork bomb.
fn fork(count: u32) -> io::Result<ExitCode> {
    let mut children = Vec::new();
    let mut code = 0;
    for started in 0..count {
        // The last one given counts, so the children fork no more.
        let child = rest(&[], &[])?.arg("--fork=0").stdin(Stdio::null()).spawn();
        match child {
            Ok(child) => children.push(child),
            Err(error) => {
                writeln!(io::stderr(), "hog: started {started} of {count}: {error}")?;
                code = EX_OSERR;
                break;
            }
        }
    }
    for mut child in children {
        let status = child.wait()?;
        if !status.success() && code == 0 {
            code = status
                .code()
                .and_then(|c| u8::try_from(c).ok())
                .unwrap_or(1);
        }
    }
    Ok(ExitCode::from(code))
}

fn end(how: End) -> io::Result<ExitCode> {
    match how {
        End::Exit(code) => Ok(ExitCode::from(code)),
        End::Signal(signal) => {
            raise(signal)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{line}")?;
    out.flush()
}
