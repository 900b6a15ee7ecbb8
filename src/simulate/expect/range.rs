//! Whole numbers between two bounds, as they are written and shown.

use std::fmt;
use std::str::FromStr;

/// Whole numbers from the least to the most, both included: `3`, `2..4`, `2..`, `..4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub least: u64,
    /// The most.
    pub most: u64,
}

impl Range {
    /// One number.
    pub fn exactly(number: u64) -> Range {
        Range {
            least: number,
            most: number,
        }
    }

    /// Whether it is one of them.
    pub(super) fn holds(self, number: u64) -> bool {
        (self.least..=self.most).contains(&number)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Range, String> {
        let number = |text: &str, open: u64| match text.trim() {
            "" => Ok(open),
            text => text
                .parse()
                .map_err(|_| format!("`{text}` is no whole number")),
        };
        let range = match text.split_once("..") {
            None => Range::exactly(
                text.trim()
                    .parse()
                    .map_err(|_| format!("`{text}` is no whole number"))?,
            ),
            Some((least, most)) => Range {
                least: number(least, 0)?,
                most: number(most, u64::MAX)?,
            },
        };
        if range.least > range.most {
            return Err(format!("`{text}` holds no number"));
        }
        Ok(range)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (least, most) if least == most => write!(f, "{least}"),
            (least, u64::MAX) => write!(f, "at least {least}"),
            (0, most) => write!(f, "at most {most}"),
            (least, most) => write!(f, "{least} to {most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_shown() {
        for (text, least, most, shown) in [
            ("3", 3, 3, "3"),
            ("2..4", 2, 4, "2 to 4"),
            ("2..", 2, u64::MAX, "at least 2"),
            ("..4", 0, 4, "at most 4"),
        ] {
            let range: Range = text.parse().unwrap();
            assert_eq!(range, Range { least, most });
            assert_eq!(range.to_string(), shown);
        }
        for wrong in ["", "x", "4..2", "1..x", "-1"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }
}
