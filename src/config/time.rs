//! Times as people write them: seconds as a number, or with units as in `90s`, `5m`, `1h 30m`, `150ms`.

use std::time::Duration;

/// Reads a time above zero.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn parse(text: &str) -> Result<Duration, String> {
    let parsed = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?,
        Err(_) => humantime::parse_duration(text)
            .map_err(|error| format!("{error}; write seconds or a time such as 30s, 5m, 2h"))?,
    };
    if parsed.is_zero() {
        Err("must be more than zero".to_owned())
    } else {
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse("90"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse("1m 30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "0", "-1", "five", "inf"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
