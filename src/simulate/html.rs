//! The result as one page with inline charts: nothing is loaded from elsewhere, and its size is bounded by what
//! `record` keeps.

use std::fmt::{self, Display, Write};

use super::record::{Bar, Line, Point};
use super::run::Played;
use super::text;
use crate::config::policy::Level;
use crate::config::size::format_bytes;

/// Width of a chart's plot, and its height, in pixels.
const SIZE: (f64, f64) = (960.0, 220.0);
/// Room left of the plot for the names of values.
const LEFT: f64 = 90.0;
/// Bars that are drawn.
const MOST_BARS: usize = 200;
/// Lines of the timeline that are shown.
const MOST_LINES: usize = 1_000;

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;margin:2em;max-width:1100px}\
svg{display:block;margin:.3em 0 1.5em}text{font-size:11px;fill:#444}\
table{border-collapse:collapse}td,th{padding:.15em .8em .15em 0;text-align:left;vertical-align:top}\
.bad{color:#b00020}.used{stroke:#1f77b4}.needs{stroke:#2ca02c}.budget{stroke:#9467bd;stroke-dasharray:5 3}\
.running{stroke:#1f77b4}.frozen{stroke:#ff7f0e}path{fill:none;stroke-width:1.5}\
.axis{stroke:#888}.moderate{fill:#fff3c4}.high{fill:#ffd8a8}.critical{fill:#ffb3b3}\
.ok{fill:#2ca02c}.memory{fill:#d62728}.other{fill:#7f7f7f}.open{fill:#1f77b4}code{white-space:pre-wrap}";

/// Text with what HTML would read as markup replaced.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\t' | '\n' => f.write_char(' ')?,
                c if c.is_control() => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The page.
pub fn page(played: &Played) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _infallible = write(&mut out, played);
    out
}

fn write(out: &mut String, played: &Played) -> fmt::Result {
    let name = Escaped(&played.scenario);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{name}</h1>\n<p>{} Policy <b>{}</b>.</p>\n",
        Escaped(&played.summary),
        Escaped(&played.policy)
    )?;
    numbers(out, played)?;
    let end = played.curves.last().map_or(0.0, |point| point.at).max(1e-3);
    writeln!(out, "<h2>Memory</h2>")?;
    legend(
        out,
        &[
            ("used", "in use"),
            ("needs", "needed by children"),
            ("budget", "budget"),
        ],
    )?;
    let total = played.total_bytes.max(1) as f64;
    let chart = Chart { end, most: total };
    chart.open(out, SIZE.1)?;
    chart.levels(out, &played.curves)?;
    chart.scale(out, &|value| format_bytes(value as u64))?;
    chart.curve(out, "used", &played.curves, |point| point.used_bytes as f64)?;
    chart.curve(out, "needs", &played.curves, |point| {
        point.needs_bytes as f64
    })?;
    chart.curve(out, "budget", &played.curves, |point| {
        point.budget_bytes as f64
    })?;
    writeln!(out, "</svg>\n<h2>Attempts at once</h2>")?;
    legend(
        out,
        &[
            ("running", "running, frozen ones included"),
            ("frozen", "frozen"),
        ],
    )?;
    let most = played
        .curves
        .iter()
        .map(|point| point.running)
        .max()
        .unwrap_or(0)
        .max(1) as f64;
    let chart = Chart { end, most };
    chart.open(out, SIZE.1)?;
    chart.scale(out, &|value| format!("{value:.1}"))?;
    chart.curve(out, "running", &played.curves, |point| point.running as f64)?;
    chart.curve(out, "frozen", &played.curves, |point| point.frozen as f64)?;
    writeln!(out, "</svg>")?;
    bars(out, &played.attempts, end)?;
    timeline(out, &played.timeline)?;
    writeln!(out, "</body></html>")
}

fn numbers(out: &mut String, played: &Played) -> fmt::Result {
    let counts = &played.counts;
    writeln!(out, "<table>")?;
    let mut row = |name: &str, value: String| {
        writeln!(out, "<tr><th>{name}</th><td>{}</td></tr>", Escaped(&value))
    };
    row(
        "jobs",
        format!(
            "{} done of {}, {} failed, {} out of memory",
            counts.done, counts.jobs, counts.failed, counts.out_of_memory
        ),
    )?;
    row(
        "attempts",
        format!(
            "{}; {} met their own limit, {} stopped, {} killed by the kernel",
            counts.attempts, counts.ooms, counts.stops, counts.kills
        ),
    )?;
    row(
        "peak of memory in use",
        format!(
            "{} of {}",
            format_bytes(counts.peak_used_bytes),
            format_bytes(played.total_bytes)
        ),
    )?;
    row("makespan", text::span(counts.makespan.as_secs_f64()))?;
    if let Some(baselines) = &played.baselines {
        row(
            "one after the other",
            text::span(baselines.sequential.makespan),
        )?;
        let best = &baselines.best_static;
        row(
            "best static",
            format!(
                "{} with {} workers, {} jobs lost",
                text::span(best.makespan),
                best.workers.unwrap_or(1),
                best.lost
            ),
        )?;
        row("an oracle", text::span(baselines.oracle.makespan))?;
    }
    row("violations", played.violation_count.to_string())?;
    writeln!(out, "</table>")?;
    let violations = played
        .violations
        .iter()
        .map(|violation| format!("{:.3} s: {}", violation.at, violation.text));
    let unmet = played
        .unmet
        .iter()
        .map(|unmet| format!("line {}: {}", unmet.line, unmet.text));
    for text in violations.chain(unmet) {
        writeln!(out, "<p class=\"bad\">{}</p>", Escaped(&text))?;
    }
    Ok(())
}

fn legend(out: &mut String, curves: &[(&str, &str)]) -> fmt::Result {
    write!(out, "<p>")?;
    for (class, name) in curves {
        write!(
            out,
            "<svg width=\"30\" height=\"8\" style=\"display:inline;margin:0 .3em 0 1em\">\
             <path class=\"{class}\" d=\"M0 4H30\"/></svg>{name}"
        )?;
    }
    writeln!(out, "</p>")
}

/// One chart over the time of the run.
struct Chart {
    end: f64,
    most: f64,
}

impl Chart {
    fn open(&self, out: &mut String, height: f64) -> fmt::Result {
        writeln!(
            out,
            "<svg width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\">",
            LEFT + SIZE.0 + 20.0,
            height + 30.0
        )
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + SIZE.0 * (at / self.end).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        5.0 + SIZE.1 * (1.0 - (value / self.most).clamp(0.0, 1.0))
    }

    /// Bands where the level is not normal.
    fn levels(&self, out: &mut String, points: &[Point]) -> fmt::Result {
        for (index, point) in points
            .iter()
            .enumerate()
            .filter(|(_, point)| point.level > Level::Normal)
        {
            let until = points.get(index + 1).map_or(self.end, |next| next.at);
            let (x, width) = (self.x(point.at), self.x(until) - self.x(point.at));
            writeln!(
                out,
                "<rect class=\"{}\" x=\"{x:.1}\" y=\"5\" width=\"{width:.2}\" height=\"{}\"/>",
                point.level, SIZE.1
            )?;
        }
        Ok(())
    }

    fn scale(&self, out: &mut String, name: &dyn Fn(f64) -> String) -> fmt::Result {
        for quarter in 0..=4 {
            let value = self.most * f64::from(quarter) / 4.0;
            let y = self.y(value);
            writeln!(
                out,
                "<path class=\"axis\" stroke-opacity=\".3\" d=\"M{LEFT} {y:.1}H{}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT + SIZE.0,
                LEFT - 6.0,
                y + 4.0,
                name(value)
            )?;
        }
        self.times(out, SIZE.1)
    }

    fn times(&self, out: &mut String, height: f64) -> fmt::Result {
        for quarter in 0..=4 {
            let at = self.end * f64::from(quarter) / 4.0;
            writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                self.x(at),
                height + 22.0,
                text::span(at)
            )?;
        }
        Ok(())
    }

    /// Steps: a value holds until the next point.
    fn curve(
        &self,
        out: &mut String,
        class: &str,
        points: &[Point],
        value: impl Fn(&Point) -> f64,
    ) -> fmt::Result {
        write!(out, "<path class=\"{class}\" d=\"")?;
        for (index, point) in points.iter().enumerate() {
            let (x, y) = (self.x(point.at), self.y(value(point)));
            match index {
                0 => write!(out, "M{x:.1} {y:.1}")?,
                _ => write!(out, "H{x:.1}V{y:.1}")?,
            }
        }
        writeln!(out, "\"/>")
    }
}

fn bars(out: &mut String, bars: &[Bar], end: f64) -> fmt::Result {
    let shown = bars.get(..MOST_BARS).unwrap_or(bars);
    writeln!(out, "<h2>Attempts</h2>")?;
    if shown.len() < bars.len() {
        writeln!(out, "<p>The first {} of them.</p>", shown.len())?;
    }
    let chart = Chart { end, most: 1.0 };
    let height = shown.len() as f64 * 8.0 + 5.0;
    chart.open(out, height)?;
    for (row, bar) in shown.iter().enumerate() {
        use crate::core::ladder::Outcome;
        let class = match (bar.outcome, bar.success) {
            (None, _) => "open",
            (Some(_), true) => "ok",
            (Some(Outcome::Oom | Outcome::Pressure), false) => "memory",
            (Some(_), false) => "other",
        };
        let (x, y) = (chart.x(bar.from), row as f64 * 8.0 + 5.0);
        let width = (chart.x(bar.until.unwrap_or(end)) - x).max(0.5);
        let outcome = bar
            .outcome
            .map_or("not ended".to_owned(), |outcome| outcome.to_string());
        writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"6\"><title>{} job {}, plan {}: {}</title></rect>",
            Escaped(&bar.group),
            bar.job,
            bar.rung,
            outcome
        )?;
    }
    chart.times(out, height)?;
    writeln!(out, "</svg>")
}

fn timeline(out: &mut String, lines: &[Line]) -> fmt::Result {
    writeln!(out, "<h2>Decisions</h2>")?;
    let shown = lines.get(..MOST_LINES).unwrap_or(lines);
    if shown.len() < lines.len() {
        writeln!(out, "<p>The first {} of {}.</p>", shown.len(), lines.len())?;
    }
    writeln!(out, "<table>")?;
    for line in shown {
        writeln!(
            out,
            "<tr><td>{:.3} s</td><td>{}</td></tr>",
            line.at,
            Escaped(&line.text)
        )?;
    }
    writeln!(out, "</table>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_markup_is_shown_as_it_is() {
        let name = "<script>alert('&\"')</script>\n\u{7}";
        assert_eq!(
            Escaped(name).to_string(),
            "&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt; \u{fffd}"
        );
    }
}
