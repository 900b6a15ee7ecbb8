//! The checks of what a scenario expects.

use std::str::FromStr;

use super::super::expect::{End, Expect, Range, Row, Said};
use super::super::scenario::Machine;
use super::raw::{RawEnd, RawExpect, RawSaid, Word};
use super::{Checked, Checker, LONGEST};

impl Checker<'_> {
    pub(super) fn expect(&self, raw: RawExpect, machine: &Machine) -> Checked<Expect> {
        let mut rows: Vec<Row> = Vec::new();
        for raw in raw.rows {
            let place = raw.at.referenced;
            let row = Row {
                at: self.needed_time("at", raw.at)?,
                line: place.line(),
                used: self.part("used", raw.used, 1.0)?.map(|part| part * 100.0),
                level: raw.level,
                stage: self.range("stage", raw.stage)?,
                running: self.range("running", raw.running)?,
                frozen: self.range("frozen", raw.frozen)?,
                queued: self.range("queued", raw.queued)?,
                starts: self.range("starts", raw.starts)?,
                batch: self.range("batch", raw.batch)?,
                segment: self.time("segment", raw.segment)?,
                rank: self.range("rank", raw.rank)?,
                budget_bytes: self.bytes("budget", raw.budget, machine.total_bytes)?,
            };
            if rows.last().is_some_and(|before| before.at > row.at) {
                return Err(self
                    .wrong(place, "at", "before the row above it")
                    .with_hint("write the rows in the order of time"));
            }
            rows.push(row);
        }
        let end = match raw.end {
            None => End::default(),
            Some(raw) => self.end(raw.referenced.line(), raw.value)?,
        };
        let decisions = raw
            .decisions
            .into_iter()
            .map(|raw| self.said(raw))
            .collect::<Checked<_>>()?;
        Ok(Expect {
            rows,
            end,
            decisions,
        })
    }

    pub(super) fn end(&self, line: u64, raw: RawEnd) -> Checked<End> {
        Ok(End {
            line,
            done: self.range("done", raw.done)?,
            failed: self.range("failed", raw.failed)?,
            out_of_memory: self.range("out_of_memory", raw.out_of_memory)?,
            unfinished: self.range("unfinished", raw.unfinished)?,
            attempts: self.range("attempts", raw.attempts)?,
            ooms: self.range("ooms", raw.ooms)?,
            stops: self.range("stops", raw.stops)?,
            most_running: self.range("most_running", raw.most_running)?,
            longest_wait: self.time("longest_wait", raw.longest_wait)?,
            makespan: self.time("makespan", raw.makespan)?,
            peak_used: self
                .part("peak_used", raw.peak_used, 1.0)?
                .map(|part| part * 100.0),
        })
    }

    pub(super) fn said(&self, raw: RawSaid) -> Checked<Said> {
        if raw.has.value.is_empty() {
            return Err(self.wrong(raw.has.referenced, "has", "every decision holds no text"));
        }
        Ok(Said {
            line: raw.has.referenced.line(),
            has: raw.has.value,
            from: self.time("from", raw.from)?.unwrap_or_default(),
            until: self.time("until", raw.until)?.unwrap_or(LONGEST),
            times: self.range("times", raw.times)?.unwrap_or(Range {
                least: 1,
                most: u64::MAX,
            }),
        })
    }

    pub(super) fn range(&self, key: &str, word: Option<Word>) -> Checked<Option<Range>> {
        let Some(word) = word else { return Ok(None) };
        let range = Range::from_str(&word.value).map_err(|problem| {
            self.wrong(word.referenced, key, problem)
                .with_hint("write a number, or a range such as 2..4, 2.. or ..4")
        })?;
        Ok(Some(range))
    }
}
