//! Sizes as people write them: `512M`, `2G`, `2GiB`, `50%`.

/// An amount of memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// Percent of what it is measured against, above 0 and up to 100.
    Percent(f64),
}
