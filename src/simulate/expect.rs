//! What a scenario expects of its run, and whether it came so. With it a scenario file is a table that can be run.

mod range;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

pub use self::range::Range;

use super::record::Counts;
use crate::config::policy::Level;
use crate::config::size::format_bytes;

/// What is expected.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expect {
    /// At moments, ascending.
    pub rows: Vec<Row>,
    /// At the end.
    pub end: End,
    /// Decisions that are to be made, or not.
    pub decisions: Vec<Said>,
}

/// What is expected at a moment, after everything that happens at it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    /// When.
    pub at: Duration,
    /// Where it stands in the file.
    pub line: u64,
    /// Memory of the machine in use, percent, give or take half a point.
    pub used: Option<f64>,
    /// The level.
    pub level: Option<Level>,
    /// The stage's place in the policy, from 0.
    pub stage: Option<Range>,
    /// Attempts that run, frozen ones included.
    pub running: Option<Range>,
    /// Attempts that are frozen.
    pub frozen: Option<Range>,
    /// Jobs that wait.
    pub queued: Option<Range>,
    /// Attempts started since the row before.
    pub starts: Option<Range>,
    /// The batch of the last start.
    pub batch: Option<Range>,
    /// The segment length of the last start.
    pub segment: Option<Duration>,
    /// The rank of the profile of the last start.
    pub rank: Option<Range>,
    /// The budget at the last start, bytes, give or take half a percent.
    pub budget_bytes: Option<u64>,
}

/// What is expected at the end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct End {
    /// Where it stands in the file.
    pub line: u64,
    /// Jobs done.
    pub done: Option<Range>,
    /// Jobs that failed by themselves.
    pub failed: Option<Range>,
    /// Jobs that ran out of memory for good.
    pub out_of_memory: Option<Range>,
    /// Jobs that are not finished.
    pub unfinished: Option<Range>,
    /// Attempts made.
    pub attempts: Option<Range>,
    /// Attempts that met their own limit.
    pub ooms: Option<Range>,
    /// Attempts that were stopped for memory.
    pub stops: Option<Range>,
    /// The most attempts that ran at once.
    pub most_running: Option<Range>,
    /// The longest that a job waited for its first start, at most.
    pub longest_wait: Option<Duration>,
    /// When the last job finished, at most.
    pub makespan: Option<Duration>,
    /// The most memory of the machine in use, percent, at most.
    pub peak_used: Option<f64>,
}

/// A decision that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Where it stands in the file.
    pub line: u64,
    /// Its line holds this.
    pub has: String,
    /// Not before.
    pub from: Duration,
    /// Not after.
    pub until: Duration,
    /// How often; at least once if not said.
    pub times: Range,
}

/// What there is at a moment, to be compared with a row.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct View {
    /// Memory of the machine in use, percent.
    pub used: f64,
    /// The level.
    pub level: Level,
    /// The stage.
    pub stage: usize,
    /// Attempts that run.
    pub running: usize,
    /// Attempts that are frozen.
    pub frozen: usize,
    /// Jobs that wait.
    pub queued: u64,
    /// Starts so far.
    pub starts: u64,
    /// Of the last start.
    pub batch: Option<u32>,
    /// Of the last start.
    pub segment: Option<Duration>,
    /// Of the last start.
    pub rank: Option<u32>,
    /// At the last start.
    pub budget_bytes: Option<u64>,
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmet {
    /// The line of the scenario file.
    pub line: u64,
    /// What was expected and what came.
    pub text: String,
}

/// Percentage points by which memory in use may differ from what a row says.
const USED_POINTS: f64 = 0.5;
/// The part by which a budget may differ from what a row says: documents round to three digits.
const BUDGET_PART: f64 = 0.005;

/// What the virtual clock, rounded up at each turn, may be late.
const CLOCK: Duration = Duration::from_millis(1);

/// Collects what was not met at one place of the file.
struct Compare<'a> {
    line: u64,
    place: String,
    unmet: &'a mut Vec<Unmet>,
}

impl Compare<'_> {
    fn fail(&mut self, what: &str, expected: impl fmt::Display, found: impl fmt::Display) {
        let text = format!("{}: {what} is {found}, expected {expected}", self.place);
        self.unmet.push(Unmet {
            line: self.line,
            text,
        });
    }

    fn range(&mut self, what: &str, expected: Option<Range>, found: Option<u64>) {
        if let Some(expected) = expected
            && !found.is_some_and(|found| expected.holds(found))
        {
            let found = found.map_or("not known".to_owned(), |found| found.to_string());
            self.fail(what, expected, found);
        }
    }

    fn at_most(&mut self, what: &str, most: Option<Duration>, found: Duration) {
        if let Some(most) = most.filter(|most| found > *most + CLOCK) {
            self.fail(
                what,
                format!("at most {:.1} s", most.as_secs_f64()),
                format!("{:.1} s", found.as_secs_f64()),
            );
        }
    }
}

impl Row {
    /// Compares with what there is; `before` is what there was at the row before.
    pub fn check(&self, now: &View, before: &View, unmet: &mut Vec<Unmet>) {
        let place = format!("at {:.1} s", self.at.as_secs_f64());
        let mut compare = Compare {
            line: self.line,
            place,
            unmet,
        };
        if let Some(used) = self.used
            && (used - now.used).abs() > USED_POINTS
        {
            compare.fail(
                "memory in use",
                format!("{used} %"),
                format!("{:.1} %", now.used),
            );
        }
        if let Some(level) = self.level
            && level != now.level
        {
            compare.fail("the level", level, now.level);
        }
        compare.range("the stage", self.stage, Some(now.stage as u64));
        compare.range(
            "the number of running attempts",
            self.running,
            Some(now.running as u64),
        );
        compare.range(
            "the number of frozen attempts",
            self.frozen,
            Some(now.frozen as u64),
        );
        compare.range("the number of waiting jobs", self.queued, Some(now.queued));
        compare.range(
            "the number of new starts",
            self.starts,
            Some(now.starts - before.starts),
        );
        compare.range("the batch", self.batch, now.batch.map(u64::from));
        compare.range(
            "the rank of the profile",
            self.rank,
            now.rank.map(u64::from),
        );
        if let Some(segment) = self.segment
            && now.segment != Some(segment)
        {
            let found = now.segment.unwrap_or_default().as_secs_f64();
            compare.fail(
                "the segment length",
                format!("{} s", segment.as_secs_f64()),
                format!("{found} s"),
            );
        }
        if let Some(budget) = self.budget_bytes {
            let found = now.budget_bytes.unwrap_or(0);
            if (budget as f64 - found as f64).abs() > budget as f64 * BUDGET_PART {
                compare.fail("the budget", format_bytes(budget), format_bytes(found));
            }
        }
    }
}

impl End {
    /// Compares with how the run ended.
    pub fn check(&self, counts: &Counts, total_bytes: u64, unmet: &mut Vec<Unmet>) {
        let mut compare = Compare {
            line: self.line,
            place: "at the end".to_owned(),
            unmet,
        };
        compare.range("the number of done jobs", self.done, Some(counts.done));
        compare.range(
            "the number of failed jobs",
            self.failed,
            Some(counts.failed),
        );
        compare.range(
            "the number of jobs out of memory",
            self.out_of_memory,
            Some(counts.out_of_memory),
        );
        compare.range(
            "the number of unfinished jobs",
            self.unfinished,
            Some(counts.unfinished()),
        );
        compare.range(
            "the number of attempts",
            self.attempts,
            Some(counts.attempts),
        );
        compare.range(
            "the number of attempts that met their limit",
            self.ooms,
            Some(counts.ooms),
        );
        compare.range(
            "the number of stopped attempts",
            self.stops,
            Some(counts.stops),
        );
        compare.range(
            "the most running attempts",
            self.most_running,
            Some(counts.most_running),
        );
        compare.at_most("the longest wait", self.longest_wait, counts.longest_wait);
        compare.at_most("the makespan", self.makespan, counts.makespan);
        let peak = counts.peak_used_bytes as f64 * 100.0 / total_bytes.max(1) as f64;
        if let Some(most) = self.peak_used.filter(|most| peak > *most) {
            compare.fail(
                "the peak of memory in use",
                format!("at most {most} %"),
                format!("{peak:.1} %"),
            );
        }
    }
}

impl Said {
    /// Whether a decision with this line at this time is meant.
    pub fn is(&self, at: Duration, line: &str) -> bool {
        (self.from..=self.until).contains(&at) && line.contains(&self.has)
    }

    /// Compares with how often it was made.
    pub fn check(&self, times: u64, unmet: &mut Vec<Unmet>) {
        let place = format!("decisions with `{}`", self.has);
        Compare {
            line: self.line,
            place,
            unmet,
        }
        .range("their number", Some(self.times), Some(times));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_what_differs() {
        let row = Row {
            at: Duration::from_secs(10),
            used: Some(70.0),
            level: Some(Level::Moderate),
            running: Some(Range::exactly(3)),
            segment: Some(Duration::from_secs(150)),
            starts: Some(Range::exactly(0)),
            batch: Some(Range::exactly(5)),
            ..Row::default()
        };
        let met = View {
            used: 70.4,
            level: Level::Moderate,
            running: 3,
            segment: Some(Duration::from_secs(150)),
            starts: 7,
            batch: Some(5),
            ..View::default()
        };
        let mut unmet = Vec::new();
        row.check(&met, &met, &mut unmet);
        assert_eq!(unmet, []);
        let missed = View {
            used: 70.6,
            running: 2,
            starts: 8,
            batch: None,
            ..met
        };
        row.check(&missed, &met, &mut unmet);
        let texts: Vec<_> = unmet.iter().map(|unmet| unmet.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "at 10.0 s: memory in use is 70.6 %, expected 70 %",
                "at 10.0 s: the number of running attempts is 2, expected 3",
                "at 10.0 s: the number of new starts is 1, expected 0",
                "at 10.0 s: the batch is not known, expected 5",
            ]
        );
    }
}
