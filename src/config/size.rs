//! Sizes as people write them: `512M`, `2G`, `2GiB`, `50%`.
//!
//! Units are binary multiples as in systemd and cgroup files: `K`, `KB` and `KiB` are all 1024 bytes. A memory limit
//! of `2GB` that meant 2,000,000,000 bytes would surprise more people than it would please.

use std::fmt;
use std::str::FromStr;

/// Units and how far they shift; the largest first, as both directions of writing look for it.
const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

/// An amount of memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// Percent of what it is measured against, above 0 and up to 100.
    Percent(f64),
}

/// Why a size was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// It does not read as a size.
    #[error("`{text}` is no size: write a number with a unit, such as 512M, 1.5G, 2GiB or 50%")]
    Syntax {
        /// What was written.
        text: String,
    },
    /// Zero, negative or less than a byte.
    #[error("`{text}` is less than one byte: a size is above zero")]
    NotPositive {
        /// What was written.
        text: String,
    },
    /// More than 100 %.
    #[error("`{text}` is more than there is: a percentage goes up to 100%")]
    OverHundred {
        /// What was written.
        text: String,
    },
    /// More bytes than 64 bits count.
    #[error("`{text}` is too large: the largest size is below 16777216T")]
    Overflow {
        /// What was written.
        text: String,
    },
}

impl Size {
    /// The size in bytes, where `total` (bytes) is what a percentage is measured against. At least 1.
    pub fn resolve(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            // Exact for whole totals: f64 loses bytes above 8 PiB only.
            Self::Percent(percent) => ((total as f64 * percent / 100.0) as u64).max(1),
        }
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let own = || text.to_owned();
        let trimmed = text.trim();
        let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
        let number_len = digits
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(digits.len());
        let (number, unit) = digits.split_at(number_len);
        // `f64` would also read `.`-less infinities and exponents; those never get here.
        let value: f64 = number
            .parse()
            .map_err(|_| SizeError::Syntax { text: own() })?;
        let shift = match unit.trim_start() {
            "%" => None,
            unit => Some(shift_of(unit).ok_or_else(|| SizeError::Syntax { text: own() })?),
        };
        if trimmed.starts_with('-') || value == 0.0 {
            return Err(SizeError::NotPositive { text: own() });
        }
        let Some(shift) = shift else {
            return if value > 100.0 {
                Err(SizeError::OverHundred { text: own() })
            } else {
                Ok(Self::Percent(value))
            };
        };
        let bytes = match number.parse::<u64>() {
            // Whole numbers exactly.
            Ok(whole) => whole.checked_mul(1 << shift),
            Err(_) => Some(value * (1_u64 << shift) as f64)
                .filter(|bytes| *bytes < u64::MAX as f64)
                .map(|b| b as u64),
        };
        match bytes {
            None => Err(SizeError::Overflow { text: own() }),
            Some(0) => Err(SizeError::NotPositive { text: own() }),
            Some(bytes) => Ok(Self::Bytes(bytes)),
        }
    }
}

impl fmt::Display for Size {
    /// The shortest text that reads back as the same size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => match UNITS
                .iter()
                .find(|(_, shift)| bytes > 0 && bytes % (1 << shift) == 0)
            {
                Some((unit, shift)) => write!(f, "{}{unit}", bytes >> shift),
                None => write!(f, "{bytes}"),
            },
        }
    }
}

/// Bytes for a person, to three digits or so: `553 MiB`, `14.2 GiB`, `812 B`.
pub fn format_bytes(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, shift)| {
        // What would be rounded up to 1024 of the smaller unit belongs to the larger.
        bytes >= (1_u64 << shift) - (1_u64 << (shift - 1)) / 1024
    });
    let Some((unit, shift)) = unit else {
        return format!("{bytes} B");
    };
    let value = bytes as f64 / (1_u64 << shift) as f64;
    if value < 99.95 && (*unit == 'G' || *unit == 'T' || value < 9.95) {
        format!("{value:.1} {unit}iB")
    } else {
        format!("{value:.0} {unit}iB")
    }
}

fn shift_of(unit: &str) -> Option<u32> {
    let upper = unit.to_ascii_uppercase();
    if upper.is_empty() || upper == "B" {
        return Some(0);
    }
    let letter = upper
        .strip_suffix("IB")
        .or_else(|| upper.strip_suffix('B'))
        .unwrap_or(&upper);
    UNITS
        .iter()
        .find(|(unit, _)| letter.len() == 1 && letter.starts_with(*unit))
        .map(|(_, shift)| *shift)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> u64 {
        match text.parse() {
            Ok(Size::Bytes(bytes)) => bytes,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_unit_is_a_binary_multiple() {
        assert_eq!(bytes("1048576"), 1 << 20);
        for text in ["1024", "1k", "1K", "1KB", "1KiB", "1kib", "1 K", "1024B"] {
            assert_eq!(bytes(text), 1024, "{text}");
        }
        assert_eq!(bytes("512M"), 512 << 20);
        assert_eq!(bytes("2GB"), 2 << 30);
        assert_eq!(bytes("2GiB"), 2 << 30);
        assert_eq!(bytes("1.5G"), 3 << 29);
        assert_eq!(bytes("3T"), 3 << 40);
    }

    #[test]
    fn percentages_are_of_the_total() {
        let half: Size = "50%".parse().unwrap();
        assert_eq!(half, Size::Percent(50.0));
        assert_eq!(half.resolve(1001), 500);
        assert_eq!("0.001%".parse::<Size>().unwrap().resolve(10), 1);
        assert_eq!("512M".parse::<Size>().unwrap().resolve(10), 512 << 20);
    }

    #[test]
    fn what_is_no_size_is_refused_with_its_reason() {
        let error = |text: &str| text.parse::<Size>().unwrap_err();
        for text in [
            "", "G", "2X", "2 G B", "1e9", "inf", "nan", "0x10", "1..5G", "2GG", "2iB", "%", "--1",
            "½G",
        ] {
            assert!(
                matches!(error(text), SizeError::Syntax { .. }),
                "{text}: {:?}",
                error(text)
            );
        }
        for text in ["0", "0G", "-1G", "0%", "-5%", "0.1"] {
            assert!(
                matches!(error(text), SizeError::NotPositive { .. }),
                "{text}"
            );
        }
        assert!(matches!(error("101%"), SizeError::OverHundred { .. }));
        for text in ["16777216T", "18446744073709551616", "99999999999.5T"] {
            assert!(matches!(error(text), SizeError::Overflow { .. }), "{text}");
        }
        assert!(error("2X").to_string().contains("512M"));
    }

    #[test]
    fn bytes_for_a_person() {
        for (bytes, text) in [
            (0, "0 B"),
            (812, "812 B"),
            (1536, "1.5 KiB"),
            (553 << 20, "553 MiB"),
            ((142 << 30) / 10, "14.2 GiB"),
            (3 << 29, "1.5 GiB"),
            ((1 << 30) - 1, "1.0 GiB"),
            (200 << 30, "200 GiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(format_bytes(bytes), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes in 1..u64::MAX) {
            prop_assert_eq!(Size::Bytes(bytes).to_string().parse(), Ok(Size::Bytes(bytes)));
        }
    }
}
