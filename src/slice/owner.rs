//! Whose an attempt is: its name tells which process made it, so that a later ffwarden knows whether it was left
//! behind.

/// The process that made an attempt. Its PID alone may be another's by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pid: i32,
    /// Clock ticks since boot.
    start: u64,
}

/// The name of this process's attempt of this number: `PID-START-NUMBER`. Unique on a machine, or in its container.
pub fn name(number: u64) -> String {
    let pid = std::process::id();
    let start = i32::try_from(pid).ok().and_then(start_time);
    format!("{pid}-{}-{number}", start.unwrap_or(0))
}

impl Owner {
    /// Of the attempt of this name; none where it is no such name.
    pub fn of(name: &str) -> Option<Owner> {
        let mut parts = name.split('-');
        let pid = parts.next()?.parse().ok()?;
        let start = parts.next()?.parse().ok()?;
        parts.next()?.parse::<u64>().ok()?;
        parts.next().is_none().then_some(Owner { pid, start })
    }

    /// Whether it has ended.
    pub fn is_gone(&self) -> bool {
        start_time(self.pid) != Some(self.start)
    }
}

/// When a process that has not ended was started; with the PID it names a process for good.
#[cfg(target_os = "linux")]
fn start_time(pid: i32) -> Option<u64> {
    let stat = crate::memory::proc::stat(pid)?;
    stat.is_alive().then_some(stat.start)
}

/// Not asked for: there is no way to find what was left behind.
#[cfg(not(target_os = "linux"))]
fn start_time(_pid: i32) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attempts_name_an_owner() {
        let expected = Owner {
            pid: 42,
            start: 1234,
        };
        assert_eq!(Owner::of("42-1234-1"), Some(expected));
        for other in ["", "supervisor", "x-1-1", "1-2", "1-2-3-4", "1--3", "1-2-x"] {
            assert_eq!(Owner::of(other), None, "{other}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_not_gone_and_another_with_its_pid_is() {
        let owner = Owner::of(&name(7)).unwrap();
        assert!(!owner.is_gone());
        let start = owner.start + 1;
        assert!(Owner { start, ..owner }.is_gone());
    }
}
