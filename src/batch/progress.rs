//! What a terminal shows while a batch runs: one line per running job and one for all. Status in, lines out; drawing
//! is in `output`.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::config::policy::Level;
use crate::config::size::format_bytes;

/// Columns below which a job's line is its name only.
const NARROW: usize = 60;

/// What is shown.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The jobs that run, by age.
    pub jobs: Vec<Shown>,
    /// Jobs done.
    pub done: u64,
    /// Jobs done by an earlier run of this batch.
    pub before: u64,
    /// Jobs failed.
    pub failed: u64,
    /// Jobs that wait; none while the list on stdin has not ended.
    pub queued: Option<u64>,
    /// The level of memory pressure.
    pub level: Level,
    /// Memory of the machine in use, bytes.
    pub used_bytes: u64,
    /// All there is, bytes; 0 before it was first looked at.
    pub total_bytes: u64,
    /// Since the start.
    pub elapsed: Duration,
}

/// A job that runs.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Its input, fit to be shown (see [`printable`]).
    pub name: String,
    /// Its profile.
    pub profile: Option<String>,
    /// How far it is, 0 to 1.
    pub progress: Option<f64>,
    /// Seconds of output per second.
    pub speed: Option<f64>,
    /// Memory it needs now, bytes.
    pub needs_bytes: u64,
    /// Memory it may use, bytes.
    pub limit_bytes: u64,
    /// Since its start.
    pub elapsed: Duration,
    /// What is being done with it, when it does not just run: `frozen`, `stopping`.
    pub stage: Option<&'static str>,
}

/// The lines for a terminal of so many columns and rows: at most `rows - 1`, each at most `columns - 1` wide, so
/// that nothing scrolls or wraps. The last is the one for all.
pub fn lines(view: &View, columns: usize, rows: usize, color: bool) -> Vec<String> {
    let width = columns.saturating_sub(1).max(1);
    let room = rows.saturating_sub(2);
    let shown = if view.jobs.len() <= room {
        view.jobs.len()
    } else {
        room.saturating_sub(1)
    };
    let mut lines: Vec<String> = view
        .jobs
        .iter()
        .take(shown)
        .map(|job| job_line(job, width))
        .collect();
    if shown < view.jobs.len() && room > 0 {
        lines.push(cut(
            format!("... and {} more", view.jobs.len() - shown),
            width,
        ));
    }
    lines.push(total_line(view, width, color));
    lines
}

fn job_line(job: &Shown, width: usize) -> String {
    let progress = job.progress.filter(|part| (0.0..=1.0).contains(part));
    let percent = progress.map_or_else(String::new, |part| format!("{:.0}%", part * 100.0));
    let speed = job
        .speed
        .map_or_else(String::new, |speed| format!("{speed:.1}x"));
    let end = match (job.stage, progress) {
        (Some(stage), _) => stage.to_owned(),
        (None, Some(part)) if part >= 0.01 => {
            let left = job.elapsed.as_secs_f64() * (1.0 - part) / part;
            format!("{} left", clock(left))
        }
        _ => clock(job.elapsed.as_secs_f64()),
    };
    let figures = format!(
        "{:<8} {percent:>4} {speed:>6} {:>8} of {:<8} {end:>12}",
        job.profile.as_deref().unwrap_or("-"),
        format_bytes(job.needs_bytes),
        format_bytes(job.limit_bytes),
    );
    let figures_width = figures.width();
    if width < NARROW || figures_width + 12 > width {
        return shortened(&job.name, width);
    }
    let name = shortened(&job.name, width - figures_width - 2);
    let gap = width - figures_width - name.width();
    format!("{name}{:gap$}{figures}", "")
}

fn total_line(view: &View, width: usize, color: bool) -> String {
    let mut parts = vec![format!("{} done", view.done)];
    if view.before > 0 {
        parts[0].push_str(&format!(" and {} before", view.before));
    }
    if view.failed > 0 {
        parts.push(format!("{} failed", view.failed));
    }
    parts.push(format!("{} running", view.jobs.len()));
    if let Some(queued) = view.queued {
        parts.push(format!("{queued} queued"));
    }
    let counts = format!("{}; ", parts.join(", "));
    let level = view.level.to_string();
    let memory = (view.total_bytes > 0).then(|| {
        let (used, total) = (
            format_bytes(view.used_bytes),
            format_bytes(view.total_bytes),
        );
        format!(", {used} of {total} in use")
    });
    let memory = memory.unwrap_or_default();
    let left = left(view).map_or_else(String::new, |left| format!(", {} left", clock(left)));
    let taken = counts.width() + level.width();
    // What does not fit is left out, the least important first.
    let rest = [format!("{memory}{left}"), left, String::new()]
        .into_iter()
        .find(|rest| taken + rest.width() <= width);
    let Some(rest) = rest else {
        return cut(format!("{counts}{level}"), width);
    };
    let paint = match (color, view.level) {
        (true, Level::Moderate) => "33",
        (true, Level::High) => "31",
        (true, Level::Critical) => "1;31",
        _ => return format!("{counts}{level}{rest}"),
    };
    format!("{counts}\x1b[{paint}m{level}\x1b[0m{rest}")
}

/// Seconds until all is done, if it goes on as it went so far.
fn left(view: &View) -> Option<f64> {
    let halves: f64 = view.jobs.iter().filter_map(|job| job.progress).sum();
    let behind = (view.done + view.failed) as f64 + halves;
    let ahead = view.queued? as f64 + view.jobs.len() as f64 - halves;
    (behind >= 0.5).then(|| view.elapsed.as_secs_f64() * ahead / behind)
}

/// `0:35`, `12:40`, `3:02:11`, `12 days`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e9).round() as u64;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match hours {
        0 => format!("{minutes}:{:02}", seconds % 60),
        1..=99 => format!("{hours}:{minutes:02}:{:02}", seconds % 60),
        _ => format!("{} days", hours / 24),
    }
}

/// A name fit for one line of a terminal: control characters and what reorders text are escaped, and so are bytes
/// that are not UTF-8.
pub fn printable(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            let reorders = matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if character.is_control() || reorders {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _infallible = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The end of a name, which tells more than its beginning, in so many columns.
fn shortened(name: &str, width: usize) -> String {
    if name.width() <= width {
        return name.to_owned();
    }
    let mut columns = 1;
    let mut start = name.len();
    for (at, character) in name.char_indices().rev() {
        columns += character.width().unwrap_or(0);
        if columns > width {
            break;
        }
        start = at;
    }
    // A mark that belongs to a character that was cut off.
    let tail = name[start..].trim_start_matches(|character: char| character.width() == Some(0));
    format!("\u{2026}{tail}")
}

/// The beginning of a line, in so many columns.
fn cut(line: String, width: usize) -> String {
    let mut columns = 0;
    let end = line.char_indices().find_map(|(at, character)| {
        columns += character.width().unwrap_or(0);
        (columns > width).then_some(at)
    });
    match end {
        Some(end) => line[..end].to_owned(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(name: &str) -> Shown {
        Shown {
            name: name.to_owned(),
            profile: Some("balanced".to_owned()),
            progress: Some(0.25),
            speed: Some(1.34),
            needs_bytes: 553 << 20,
            limit_bytes: 3 << 29,
            elapsed: Duration::from_secs(20),
            stage: None,
        }
    }

    fn view(jobs: Vec<Shown>) -> View {
        View {
            jobs,
            done: 3,
            before: 0,
            failed: 1,
            queued: Some(8),
            level: Level::High,
            used_bytes: 6 << 30,
            total_bytes: 8 << 30,
            elapsed: Duration::from_secs(100),
        }
    }

    #[test]
    fn a_line_for_each_job_and_one_for_all() {
        let mut second = job("in/b.mov");
        (second.progress, second.speed, second.profile) = (None, None, None);
        let mut third = job("c");
        third.stage = Some("frozen");
        assert_eq!(
            lines(&view(vec![job("in/a.mov"), second, third]), 81, 24, false),
            [
                "in/a.mov                  balanced  25%   1.3x  553 MiB of 1.5 GiB     1:00 left",
                "in/b.mov                  -                     553 MiB of 1.5 GiB          0:20",
                "c                         balanced  25%   1.3x  553 MiB of 1.5 GiB        frozen",
                "3 done, 1 failed, 3 running, 8 queued; high, 3:53 left",
            ]
        );
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        let mut view = view(vec![]);
        (view.queued, view.total_bytes, view.failed) = (None, 0, 0);
        view.before = 5;
        assert_eq!(
            lines(&view, 80, 24, false),
            ["3 done and 5 before, 0 running; high"]
        );
    }

    #[test]
    fn colour_is_on_the_level_only_and_takes_no_columns() {
        let plain = lines(&view(vec![]), 100, 24, false);
        let coloured = lines(&view(vec![]), 100, 24, true);
        assert_eq!(
            coloured[0].replace("\x1b[31m", "").replace("\x1b[0m", ""),
            plain[0]
        );
        assert!(coloured[0].contains("\x1b[31mhigh\x1b[0m"));
    }

    #[test]
    fn more_jobs_than_rows_are_counted() {
        let jobs: Vec<Shown> = (0..40).map(|number| job(&number.to_string())).collect();
        let lines = lines(&view(jobs), 80, 10, false);
        assert_eq!(lines.len(), 9);
        assert_eq!(lines[7], "... and 33 more");
        assert!(lines[6].starts_with('6'));
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        assert_eq!(shortened("日本語の長い名前.mov", 11), "\u{2026}い名前.mov");
        assert_eq!(shortened("e\u{301}tude.mov", 9), "e\u{301}tude.mov");
        assert_eq!(shortened("xe\u{301}tude.mov", 9), "\u{2026}tude.mov");
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let name = OsStr::from_bytes(b"a\x1b[2J\n\tb\xff\xc2\x9b\xe2\x80\xae.mov");
        assert_eq!(
            printable(name),
            "a\\u{1b}[2J\\n\\tb\\xff\\u{9b}\\u{202e}.mov"
        );
        assert_eq!(printable(OsStr::new("日本 é")), "日本 é");
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in [
            (0.4, "0:00"),
            (35.0, "0:35"),
            (760.0, "12:40"),
            (10_931.0, "3:02:11"),
            (1e18, "11574 days"),
        ] {
            assert_eq!(clock(seconds), text);
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide_and_no_view_too_tall(
            names in prop::collection::vec("\\PC{0,40}", 0..12),
            columns in 0usize..140, rows in 0usize..20, color: bool,
        ) {
            let jobs = names.iter().map(|name| job(&printable(OsStr::new(name)))).collect();
            let lines = lines(&view(jobs), columns, rows, color);
            prop_assert!(lines.len() <= rows.saturating_sub(1).max(1));
            for line in lines {
                let bare = line.replace("\x1b[31m", "").replace("\x1b[0m", "");
                prop_assert!(bare.width() <= columns.saturating_sub(1).max(1), "{}", line);
            }
        }
    }
}
