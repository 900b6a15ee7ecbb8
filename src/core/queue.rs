//! The jobs that wait: those that may start, by priority and then age, and those that wait for their time.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use super::job::JobId;

/// A job's place in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    priority: Reverse<i32>,
    /// Kept over requeues: a job does not lose its age.
    age: u64,
    /// Which job.
    pub job: JobId,
}

impl Place {
    /// For a job that was the `age`th to be submitted.
    pub fn new(priority: i32, age: u64, job: JobId) -> Place {
        Place {
            priority: Reverse(priority),
            age,
            job,
        }
    }
}

/// All that wait.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    ready: BTreeSet<Place>,
    delayed: BTreeSet<(Duration, Place)>,
}

impl Queue {
    /// A job that may start.
    pub fn push(&mut self, place: Place) {
        self.ready.insert(place);
    }

    /// A job that may start at a later time.
    pub fn push_later(&mut self, place: Place, at: Duration) {
        self.delayed.insert((at, place));
    }

    /// Takes a job out, wherever it waits; its `at` if it waits for a time.
    pub fn remove(&mut self, place: Place, at: Option<Duration>) {
        self.ready.remove(&place);
        if let Some(at) = at {
            self.delayed.remove(&(at, place));
        }
    }

    /// Those whose time has come may start.
    pub fn pass(&mut self, now: Duration) {
        while let Some((at, place)) = self.delayed.first().copied().filter(|(at, _)| *at <= now) {
            self.delayed.remove(&(at, place));
            self.ready.insert(place);
        }
    }

    /// When the next one's time comes.
    pub fn next_time(&self) -> Option<Duration> {
        self.delayed.first().map(|(at, _)| *at)
    }

    /// Those that may start, in their order.
    pub fn ready(&self) -> impl Iterator<Item = Place> + '_ {
        self.ready.iter().copied()
    }

    /// Whether nothing waits at all.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.delayed.is_empty()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.ready.len() + self.delayed.len()
    }

    /// Takes all out.
    pub fn drain(&mut self) -> Vec<JobId> {
        let ready = std::mem::take(&mut self.ready).into_iter();
        let delayed = std::mem::take(&mut self.delayed).into_iter();
        ready
            .chain(delayed.map(|(_, place)| place))
            .map(|place| place.job)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_then_age_and_a_requeued_job_keeps_its_age() {
        let mut queue = Queue::default();
        let place = |priority, age| Place::new(priority, age, JobId(age));
        for place in [place(0, 1), place(5, 3), place(0, 2)] {
            queue.push(place);
        }
        queue.push_later(place(5, 0), Duration::from_secs(9));
        let order = |queue: &Queue| queue.ready().map(|place| place.job.0).collect::<Vec<_>>();
        assert_eq!(order(&queue), [3, 1, 2]);
        queue.pass(Duration::from_secs(8));
        assert_eq!(queue.next_time(), Some(Duration::from_secs(9)));
        queue.pass(Duration::from_secs(9));
        assert_eq!(order(&queue), [0, 3, 1, 2]);
        assert_eq!(queue.len(), 4);
        queue.remove(place(0, 1), None);
        assert_eq!(order(&queue), [0, 3, 2]);
        assert_eq!(queue.drain().len(), 3);
        assert!(queue.is_empty());
    }
}
