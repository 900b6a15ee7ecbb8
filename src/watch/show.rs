//! What a watcher prints: a table that is drawn again on a terminal, lines otherwise, or JSON objects.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde::Serialize;

use crate::config::policy::Level;
use crate::config::size::format_bytes;

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table, drawn again in its place.
    Table,
    /// A line for each look.
    Lines,
    /// A JSON object on a line for each look and each event.
    Json,
}

/// Processes shown in a table or line, the largest first; JSON has them all.
const SHOWN: usize = 20;

/// All that is known at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// Seconds since 1970.
    pub time: f64,
    /// The level.
    pub level: Level,
    /// Memory of the machine, or of the part of it that we may use.
    pub memory: Memory,
    /// What is watched, the largest first.
    pub processes: Vec<Row>,
}

/// Memory of the machine.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// All, bytes.
    pub total_bytes: u64,
    /// What could be used now, bytes.
    pub available_bytes: u64,
    /// In use, percent.
    pub used_percent: f64,
    /// Free swap, bytes.
    pub swap_free_bytes: u64,
    /// Share of the last seconds in which some task waited for memory, percent; none without PSI.
    pub some_percent: Option<f64>,
    /// In which all tasks did.
    pub full_percent: Option<f64>,
}

/// A process with its descendants.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its process ID.
    pub pid: i32,
    /// Its program.
    pub name: String,
    /// How it is.
    pub state: Shape,
    /// Memory that cannot be reclaimed, bytes.
    pub needs_bytes: u64,
    /// Processes, descendants included.
    pub processes: u64,
    /// CPU time so far.
    pub cpu_seconds: f64,
    /// Processors it keeps busy, percent of one.
    pub cpu_percent: f64,
    /// It lives in a cgroup of its own.
    pub own_cgroup: bool,
}

/// How a watched process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// It runs.
    Running,
    /// It runs, and another ffwarden looks after it.
    Managed,
    /// We have frozen it.
    Frozen,
    /// We have asked it to end.
    Stopping,
}

impl Shape {
    fn word(self) -> &'static str {
        match self {
            Shape::Running => "running",
            Shape::Managed => "managed",
            Shape::Frozen => "frozen",
            Shape::Stopping => "stopping",
        }
    }
}

/// Something that happened between two looks.
#[derive(Debug, Clone, Serialize)]
pub struct Happened<'a> {
    /// Seconds since 1970.
    pub time: f64,
    /// `level`, `found`, `ended`, `relief`, `frozen`, `thawed`, `stopped`.
    pub event: &'static str,
    /// Which process, where it is about one.
    pub pid: Option<i32>,
    /// In words.
    pub text: &'a str,
}

/// Seconds since 1970.
pub fn time() -> f64 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_secs_f64()
}

impl Snapshot {
    /// As text in this format, its last line ended. `lines` are those of the terminal.
    pub fn text(&self, format: Format, lines: usize) -> String {
        match format {
            Format::Table => self.table(lines),
            Format::Lines => self.line(),
            Format::Json => json(self),
        }
    }

    fn line(&self) -> String {
        let shown = self.processes.iter().take(SHOWN).map(|row| {
            let needs = format_bytes(row.needs_bytes);
            let state = match row.state {
                Shape::Running => String::new(),
                other => format!(" {}", other.word()),
            };
            format!(
                "{}[{}] {needs} {:.0} %{state}",
                row.name, row.pid, row.cpu_percent
            )
        });
        let all = shown.collect::<Vec<_>>().join(", ");
        let more = match self.processes.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let colon = if all.is_empty() { "" } else { ": " };
        format!("{}{colon}{all}{more}\n", self.head())
    }

    fn head(&self) -> String {
        let memory = &self.memory;
        let needs = self.processes.iter().map(|row| row.needs_bytes).sum();
        format!(
            "{}, {:.1} % of {} in use, {} with {}",
            self.level,
            memory.used_percent,
            format_bytes(memory.total_bytes),
            match self.processes.len() {
                1 => "1 process".to_owned(),
                count => format!("{count} processes"),
            },
            format_bytes(needs),
        )
    }

    /// From the top left, each line cleared behind its text, and all below the last.
    fn table(&self, lines: usize) -> String {
        let mut text = String::from("\x1b[H");
        let mut line = |content: &str| {
            // Writing to a String cannot fail.
            let _infallible = write!(text, "{content}\x1b[K\r\n");
        };
        line(&self.head());
        let memory = &self.memory;
        let percent =
            |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.1} %"));
        line(&format!(
            "available {}, free swap {}, waiting for memory: some {}, all {}",
            format_bytes(memory.available_bytes),
            format_bytes(memory.swap_free_bytes),
            percent(memory.some_percent),
            percent(memory.full_percent),
        ));
        line("");
        line("    PID      MEMORY    CPU  PROCESSES  STATE     NAME");
        let room = lines.saturating_sub(6).clamp(1, SHOWN);
        for row in self.processes.iter().take(room) {
            line(&format!(
                "{:>7}  {:>10}  {:>4.0}%  {:>9}  {:<8}  {}",
                row.pid,
                format_bytes(row.needs_bytes),
                row.cpu_percent,
                row.processes,
                row.state.word(),
                row.name,
            ));
        }
        if self.processes.len() > room {
            line(&format!("... and {} more", self.processes.len() - room));
        }
        text.push_str("\x1b[J");
        text
    }
}

/// One object on a line.
pub fn json(value: &impl Serialize) -> String {
    // Strings, numbers and lists: nothing in them can fail.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(processes: usize) -> Snapshot {
        let row = |number: usize| Row {
            pid: 100 + i32::try_from(number).unwrap(),
            name: "ffmpeg".into(),
            state: if number == 1 {
                Shape::Frozen
            } else {
                Shape::Running
            },
            needs_bytes: 200 << 20,
            processes: 1,
            cpu_seconds: 1.5,
            cpu_percent: 97.6,
            own_cgroup: false,
        };
        Snapshot {
            time: 1.0,
            level: Level::High,
            memory: Memory {
                total_bytes: 4 << 30,
                available_bytes: 1 << 30,
                used_percent: 75.0,
                swap_free_bytes: 0,
                some_percent: None,
                full_percent: Some(1.25),
            },
            processes: (0..processes).map(row).collect(),
        }
    }

    #[test]
    fn a_line_says_it_all() {
        assert_eq!(
            snapshot(2).text(Format::Lines, 0),
            "high, 75.0 % of 4.0 GiB in use, 2 processes with 400 MiB: ffmpeg[100] 200 MiB 98 %, ffmpeg[101] 200 MiB 98 % frozen\n"
        );
        assert_eq!(
            snapshot(0).text(Format::Lines, 0),
            "high, 75.0 % of 4.0 GiB in use, 0 processes with 0 B\n"
        );
        assert!(
            snapshot(1)
                .text(Format::Lines, 0)
                .contains(", 1 process with 200 MiB: ffmpeg[100]")
        );
        assert!(
            snapshot(30)
                .text(Format::Lines, 0)
                .ends_with(" and 10 more\n")
        );
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let text = snapshot(30).text(Format::Table, 12);
        assert_eq!(text.matches("\r\n").count(), 4 + 6 + 1);
        assert!(text.contains("... and 24 more"));
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        let text = snapshot(2).text(Format::Json, 0);
        assert_eq!(text.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], "high");
        assert_eq!(value["processes"][1]["state"], "frozen");
        assert!(value["memory"]["some_percent"].is_null());
    }
}
