//! How many jobs at once, and how many items each takes, from options and environment. No I/O.

use std::fmt;

/// What decides the number of workers under the policy `workers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calculation {
    /// Memory available now, bytes.
    pub available_bytes: u64,
    /// Memory that each worker is given, bytes; at least 1.
    pub per_worker_bytes: u64,
    /// The most that are wanted: `MAX_WORKERS`, or as many as there are processors.
    pub most: u32,
}

impl Calculation {
    /// Workers that fit into what is available; may be 0.
    pub fn by_memory(&self) -> u32 {
        let fit = self.available_bytes / self.per_worker_bytes.max(1);
        u32::try_from(fit).unwrap_or(u32::MAX)
    }

    /// Workers to be used: at least 1.
    pub fn optimal(&self) -> u32 {
        self.by_memory().min(self.most).max(1)
    }
}

/// The block for the log, as people know it.
impl fmt::Display for Calculation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gigabytes = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
        writeln!(f, "Memory-aware worker calculation:")?;
        writeln!(
            f,
            "  Available memory: {:.1}GB",
            gigabytes(self.available_bytes)
        )?;
        writeln!(
            f,
            "  Memory per worker: {:.1}GB",
            gigabytes(self.per_worker_bytes)
        )?;
        writeln!(f, "  Workers by memory: {}", self.by_memory())?;
        writeln!(f, "  Max workers: {}", self.most)?;
        write!(f, "  Optimal workers: {}", self.optimal())
    }
}

/// What options and environment say; options have won already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// So many workers; none is automatic.
    pub workers: Option<u32>,
    /// Where they are automatic, no more than so many.
    pub most: Option<u32>,
    /// So many items at once.
    pub batch: Option<u32>,
    /// Half of everything.
    pub low_memory: bool,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// Jobs at once; none leaves it to the policy.
    pub workers: Option<u32>,
    /// Items at once; none leaves it to the policy.
    pub batch: Option<u32>,
}

/// Decides. `calculation` is there under the policy `workers`, where a batch is as large as there are workers.
/// Low-memory mode halves the workers and makes a batch half of that, each at least 1.
pub fn decide(asked: Asked, cpus: u32, calculation: Option<Calculation>) -> Decided {
    let automatic = || {
        calculation
            .map(|calculation| calculation.optimal())
            .or(asked.most)
    };
    let workers = asked.workers.or_else(automatic);
    if asked.low_memory {
        let half = (workers.unwrap_or(cpus) / 2).max(1);
        return Decided {
            workers: Some(half),
            batch: asked.batch.or(Some((half / 2).max(1))),
        };
    }
    Decided {
        workers,
        batch: asked.batch.or_else(|| calculation.and(workers)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calculation(available: f64, per_worker: f64, most: u32) -> Calculation {
        let bytes = |gigabytes: f64| (gigabytes * (1_u64 << 30) as f64) as u64;
        Calculation {
            available_bytes: bytes(available),
            per_worker_bytes: bytes(per_worker),
            most,
        }
    }

    #[test]
    fn the_documents_example_comes_out_line_by_line() {
        assert_eq!(
            calculation(8.2, 2.0, 8).to_string(),
            "Memory-aware worker calculation:\n  Available memory: 8.2GB\n  Memory per worker: 2.0GB\n  \
             Workers by memory: 4\n  Max workers: 8\n  Optimal workers: 4"
        );
    }

    #[test]
    fn the_lower_of_memory_and_maximum_counts_and_there_is_always_one() {
        assert_eq!(calculation(64.0, 2.0, 8).optimal(), 8);
        assert_eq!(calculation(64.0, 2.0, 8).by_memory(), 32);
        assert_eq!(calculation(1.0, 2.0, 8).by_memory(), 0);
        assert_eq!(calculation(1.0, 2.0, 8).optimal(), 1);
        assert_eq!(calculation(3.9, 0.5, 100).optimal(), 7);
    }

    fn decided(asked: Asked, calculation: Option<Calculation>) -> (Option<u32>, Option<u32>) {
        let decided = decide(asked, 8, calculation);
        (decided.workers, decided.batch)
    }

    #[test]
    fn without_a_word_it_is_the_policys_affair() {
        assert_eq!(decided(Asked::default(), None), (None, None));
        let four = calculation(8.2, 2.0, 8);
        assert_eq!(decided(Asked::default(), Some(four)), (Some(4), Some(4)));
    }

    #[test]
    fn a_number_that_was_asked_for_is_taken_and_a_maximum_only_bounds() {
        let asked = Asked {
            workers: Some(16),
            most: Some(2),
            batch: Some(3),
            low_memory: false,
        };
        assert_eq!(
            decided(asked, Some(calculation(8.2, 2.0, 2))),
            (Some(16), Some(3))
        );
        let most = Asked {
            most: Some(2),
            ..Asked::default()
        };
        assert_eq!(decided(most, None), (Some(2), None));
        assert_eq!(
            decided(most, Some(calculation(8.2, 2.0, 2))),
            (Some(2), Some(2))
        );
    }

    #[test]
    fn low_memory_halves_and_halves_again() {
        let low = |workers| Asked {
            workers,
            low_memory: true,
            ..Asked::default()
        };
        assert_eq!(decided(low(Some(8)), None), (Some(4), Some(2)));
        assert_eq!(decided(low(Some(3)), None), (Some(1), Some(1)));
        assert_eq!(
            decided(low(None), None),
            (Some(4), Some(2)),
            "of 8 processors"
        );
        let four = calculation(8.2, 2.0, 8);
        assert_eq!(decided(low(None), Some(four)), (Some(2), Some(1)));
        let batch = Asked {
            batch: Some(6),
            ..low(Some(8))
        };
        assert_eq!(decided(batch, None), (Some(4), Some(6)));
    }
}
