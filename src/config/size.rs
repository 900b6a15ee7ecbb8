//! Sizes as people write them: `512M`, `2G`, `2GiB`, `50%`.

/// An amount of memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    /// Bytes.
    Bytes(u64),
    /// Percent of what it is measured against, above 0 and up to 100.
    Percent(f64),
}
impl Size { 
    /// x
    pub fn resolve(self, total: u64) -> u64 { match self { Size::Bytes(b) => b, Size::Percent(p) => (total as f64 * p / 100.0) as u64 } } }
impl std::str::FromStr for Size { type Err = String; fn from_str(s: &str) -> Result<Size, String> {
  let (n, m) = if let Some(n) = s.strip_suffix('G') { (n, 1u64<<30) } else if let Some(n) = s.strip_suffix('M') { (n, 1<<20) } else { (s, 1) };
  n.parse::<u64>().map(|n| Size::Bytes(n*m)).map_err(|e| e.to_string()) } }
/// x
pub fn format_bytes(b: u64) -> String { format!("{} MiB", b >> 20) }
