//! The machine's memory on macOS.

use super::{Machine, MemoryError};

/// Memory that this process and its children may use now.
///
/// # Errors
/// When sysctl or the Mach host port refuse.
pub fn machine() -> Result<Machine, MemoryError> {
    let (total_bytes, available_bytes) =
        crate::sys::macos::machine_bytes().map_err(|error| MemoryError::Unreadable {
            what: "host_statistics64".into(),
            why: error.to_string(),
        })?;
    Ok(Machine {
        total_bytes,
        available_bytes,
        bound_by: None,
    })
}

/// Swap grows as needed on macOS; there is no fixed total.
pub fn swap_total_bytes() -> u64 {
    0
}

/// macOS keeps no such count.
pub fn oom_kills() -> Option<u64> {
    None
}

/// macOS has no PSI.
pub fn has_pressure() -> bool {
    false
}
