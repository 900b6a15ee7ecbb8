//! `ffwarden doctor`: how children are contained on this machine, why, and what would give a better containment.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::child::{Verdict, find_program};
use crate::config::size::format_bytes;
use crate::core::budget;
use crate::memory;
use crate::slice::Containment;
use crate::slice::detect::{self, Found, Way};

/// Encoders whose absence a video engineer notices first.
const ENCODERS: [&str; 8] = [
    "libx264",
    "libx265",
    "libsvtav1",
    "libaom-av1",
    "libvpx-vp9",
    "libopus",
    "aac",
    "libmp3lame",
];
/// Bytes of a tool's output that are read.
const OUTPUT_BOUND: usize = 1 << 20;

/// All that is found out.
#[derive(Debug, Serialize)]
struct Diagnosis {
    containment: Containment,
    why: String,
    better: Option<String>,
    cgroup: Cgroup,
    memory: Memory,
    programs: Vec<Program>,
    directories: Vec<Directory>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Cgroup {
    v2_with_memory: bool,
    own: Option<PathBuf>,
    delegated: Option<PathBuf>,
    systemd: bool,
    user_manager: bool,
}

#[derive(Debug, Serialize)]
struct Memory {
    total_bytes: u64,
    available_bytes: u64,
    budget_bytes: u64,
    bound_by: Option<String>,
    swap_bytes: u64,
    psi: bool,
}

#[derive(Debug, Serialize)]
struct Program {
    name: &'static str,
    path: Option<PathBuf>,
    version: Option<String>,
    encoders: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Directory {
    #[serde(rename = "use")]
    use_: &'static str,
    path: PathBuf,
    tmpfs: bool,
    free_bytes: Option<u64>,
}

/// Prints the diagnosis; the exit code is 0 whatever it says.
///
/// # Errors
/// When the machine's memory cannot be read or stdout not be written.
pub fn doctor(json: bool) -> anyhow::Result<Verdict> {
    let diagnosis = diagnose()?;
    if json {
        let mut text = serde_json::to_vec_pretty(&diagnosis)?;
        text.push(b'\n');
        super::print(&text)?;
    } else {
        super::print(text(&diagnosis).as_bytes())?;
    }
    Ok(Verdict::Exit(0))
}

fn diagnose() -> anyhow::Result<Diagnosis> {
    let found = detect::look();
    let ways = detect::ways(&found);
    let machine = memory::machine()?;
    let first = ways.first().cloned();
    let (way, why) = first.map_or((Way::Rlimit, String::new()), |choice| {
        (choice.way, choice.why)
    });
    let better = if way == Way::Rlimit {
        ways.last().and_then(|choice| choice.better.clone())
    } else {
        None
    };
    let directories = directories();
    let programs = vec![program("ffmpeg"), program("ffprobe")];
    let memory = Memory {
        total_bytes: machine.total_bytes,
        available_bytes: machine.available_bytes,
        budget_bytes: budget::budget(machine.total_bytes, machine.available_bytes),
        bound_by: machine.bound_by,
        swap_bytes: memory::swap_total_bytes(),
        psi: memory::has_pressure(),
    };
    let warnings = warnings(&directories, &programs, &memory);
    Ok(Diagnosis {
        containment: way.containment(),
        why,
        better,
        cgroup: cgroup(found),
        memory,
        programs,
        directories,
        warnings,
    })
}

fn cgroup(found: Found) -> Cgroup {
    Cgroup {
        v2_with_memory: found.mount.is_some(),
        own: found.own,
        delegated: found.delegated,
        systemd: found.systemd,
        user_manager: found.user_manager,
    }
}

fn warnings(directories: &[Directory], programs: &[Program], memory: &Memory) -> Vec<String> {
    let mut warnings = Vec::new();
    for directory in directories.iter().filter(|directory| directory.tmpfs) {
        warnings.push(format!(
            "the {} directory {} is a tmpfs: files in it take memory; set {} to a disk",
            directory.use_,
            directory.path.display(),
            if directory.use_ == "temporary" {
                "TMPDIR"
            } else {
                "XDG_STATE_HOME"
            },
        ));
    }
    for program in programs.iter().filter(|program| program.path.is_none()) {
        warnings.push(format!(
            "{} is not in PATH: install ffmpeg (apt install ffmpeg)",
            program.name
        ));
    }
    if !memory.psi {
        warnings.push("the kernel gives no pressure information (PSI): boot with psi=1".to_owned());
    }
    warnings
}

/// Where temporary files and state would go.
fn directories() -> Vec<Directory> {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let state =
        std::env::var_os("XDG_STATE_HOME").map_or_else(|| home.join(".local/state"), PathBuf::from);
    [
        ("temporary", std::env::temp_dir()),
        ("state", state.join("ffwarden")),
    ]
    .map(|(use_, path)| {
        let exists = path
            .ancestors()
            .find(|dir| dir.exists())
            .unwrap_or(Path::new("/"));
        Directory {
            use_,
            tmpfs: is_tmpfs(exists),
            free_bytes: free_bytes(exists),
            path,
        }
    })
    .into()
}

#[allow(clippy::useless_conversion, reason = "the count has 32 bits on macOS")]
fn free_bytes(path: &Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    Some(u64::from(stat.blocks_available()) * stat.fragment_size())
}

#[cfg(target_os = "linux")]
fn is_tmpfs(path: &Path) -> bool {
    nix::sys::statfs::statfs(path)
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC)
}

#[cfg(not(target_os = "linux"))]
fn is_tmpfs(_path: &Path) -> bool {
    false
}

fn program(name: &'static str) -> Program {
    let path = find_program(name.as_ref()).ok();
    let ask = |argument: &str| path.as_deref().and_then(|path| output(path, argument));
    let version = ask("-version").and_then(|text| {
        text.lines()
            .next()?
            .split_whitespace()
            .nth(2)
            .map(str::to_owned)
    });
    let has = if name == "ffmpeg" {
        ask("-encoders").unwrap_or_default()
    } else {
        String::new()
    };
    let listed = |encoder: &&str| {
        has.lines()
            .any(|line| line.split_whitespace().nth(1) == Some(*encoder))
    };
    Program {
        name,
        version,
        encoders: ENCODERS.into_iter().filter(listed).collect(),
        path,
    }
}

fn output(path: &Path, argument: &str) -> Option<String> {
    let output = Command::new(path)
        .args(["-hide_banner", argument])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let bound = output.stdout.len().min(OUTPUT_BOUND);
    Some(String::from_utf8_lossy(&output.stdout[..bound]).into_owned())
}

fn text(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut line = |name: &str, value: String| {
        let _infallible = writeln!(text, "{name:<13} {value}");
    };
    line(
        "containment",
        format!("{} ({})", diagnosis.containment, diagnosis.why),
    );
    if let Some(better) = &diagnosis.better {
        line("better with", better.clone());
    }
    let cgroup = &diagnosis.cgroup;
    let shown = |path: &Option<PathBuf>| {
        path.as_deref()
            .map_or("no".to_owned(), |path| path.display().to_string())
    };
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    line(
        "cgroup v2",
        format!(
            "memory controller: {}; own: {}",
            yes(cgroup.v2_with_memory),
            shown(&cgroup.own)
        ),
    );
    line("delegated", shown(&cgroup.delegated));
    line(
        "systemd",
        format!(
            "{}; user manager: {}",
            yes(cgroup.systemd),
            yes(cgroup.user_manager)
        ),
    );
    let memory = &diagnosis.memory;
    let bound = memory
        .bound_by
        .as_deref()
        .map_or(String::new(), |file| format!(", bound by {file}"));
    line(
        "memory",
        format!(
            "{} of {} available{bound}; a child started now may use {}",
            format_bytes(memory.available_bytes),
            format_bytes(memory.total_bytes),
            format_bytes(memory.budget_bytes)
        ),
    );
    line(
        "swap",
        if memory.swap_bytes == 0 {
            "none".to_owned()
        } else {
            format_bytes(memory.swap_bytes)
        },
    );
    line("pressure", format!("PSI: {}", yes(memory.psi)));
    for program in &diagnosis.programs {
        let version = program.version.as_deref().unwrap_or("not found");
        let encoders = match program.encoders.as_slice() {
            [] => String::new(),
            some => format!(" with {}", some.join(" ")),
        };
        line(program.name, format!("{version}{encoders}"));
    }
    for directory in &diagnosis.directories {
        let free = directory.free_bytes.map_or("?".to_owned(), format_bytes);
        line(
            directory.use_,
            format!("{}, {free} free", directory.path.display()),
        );
    }
    for warning in &diagnosis.warnings {
        line("warning", warning.clone());
    }
    text
}
