//! The breaker: after several ends by memory in a short time no new work is started until one job has survived.

use std::collections::VecDeque;
use std::time::Duration;

use super::job::AttemptId;
use crate::config::policy::{BreakerRules, Level};

/// Where it stands.
#[derive(Debug, Clone)]
pub struct Breaker {
    rules: BreakerRules,
    state: Standing,
    /// Recent ends by memory; never more than the rules count.
    ends: VecDeque<Duration>,
    /// How long it opens the next time.
    wait: Duration,
    closed_at: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Closed,
    /// Opened by ends of children: a probe has to survive.
    Open {
        until: Duration,
    },
    Probing {
        attempt: AttemptId,
        since: Duration,
    },
    /// Opened by the level: closes when the level is normal.
    Shut {
        until: Duration,
    },
}

/// What new work may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admits {
    /// All.
    All,
    /// One, as a probe.
    Probe,
    /// Nothing.
    Nothing,
}

impl Breaker {
    /// Closed.
    pub fn new(rules: BreakerRules) -> Breaker {
        Breaker {
            state: Standing::Closed,
            ends: VecDeque::new(),
            wait: rules.first,
            closed_at: Duration::ZERO,
            rules,
        }
    }

    /// What may be started at `now`.
    pub fn admits(&self, now: Duration, level: Level) -> Admits {
        match self.state {
            Standing::Closed => Admits::All,
            Standing::Open { until } if now >= until && level < Level::Critical => Admits::Probe,
            _ => Admits::Nothing,
        }
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.state == Standing::Closed
    }

    /// When it may change by itself.
    pub fn next_change(&self) -> Option<Duration> {
        match self.state {
            Standing::Open { until } | Standing::Shut { until } => Some(until),
            Standing::Probing { since, .. } => Some(since + self.rules.within),
            Standing::Closed => None,
        }
    }

    /// An attempt was ended by memory; how long it is now open, if it opened.
    pub fn ended_by_memory(&mut self, attempt: AttemptId, now: Duration) -> Option<Duration> {
        if self.rules.ends == 0 {
            return None;
        }
        let within = self.rules.within;
        self.ends.retain(|at| *at + within >= now);
        self.ends.push_back(now);
        let failed_probe =
            matches!(self.state, Standing::Probing { attempt: probe, .. } if probe == attempt);
        let storm = self.ends.len() >= self.rules.ends as usize && self.state == Standing::Closed;
        (failed_probe || storm).then(|| self.open(now, |until| Standing::Open { until }))
    }

    /// An attempt ended in another way: a probe has survived. True if that closed it.
    pub fn ended_well(&mut self, attempt: AttemptId, now: Duration) -> bool {
        let survived =
            matches!(self.state, Standing::Probing { attempt: probe, .. } if probe == attempt);
        if survived {
            self.close(now);
            self.wait = self.rules.first;
        }
        survived
    }

    /// A probe was started.
    pub fn probes(&mut self, attempt: AttemptId, now: Duration) {
        self.state = Standing::Probing {
            attempt,
            since: now,
        };
    }

    /// The level was entered; how long it is now open, if it opened.
    pub fn entered(&mut self, level: Level, now: Duration) -> Option<Duration> {
        let opens = self.rules.opens_at.is_some_and(|at| level >= at);
        (opens && self.state == Standing::Closed)
            .then(|| self.open(now, |until| Standing::Shut { until }))
    }

    /// Time has passed. True if that closed it.
    pub fn pass(&mut self, now: Duration, level: Level) -> bool {
        let closes = match self.state {
            Standing::Shut { until } => now >= until && level == Level::Normal,
            // A probe that lived this long has survived: the others need not wait for its end.
            Standing::Probing { since, .. } => now >= since + self.rules.within,
            _ => false,
        };
        if closes {
            if matches!(self.state, Standing::Probing { .. }) {
                self.wait = self.rules.first;
            }
            self.close(now);
        }
        closes
    }

    fn close(&mut self, now: Duration) {
        self.state = Standing::Closed;
        self.closed_at = now;
        self.ends.clear();
    }

    fn open(&mut self, now: Duration, standing: impl Fn(Duration) -> Standing) -> Duration {
        // After a quiet time the wait starts from the beginning.
        if self.state == Standing::Closed && now > self.closed_at + self.rules.longest {
            self.wait = self.rules.first;
        }
        let wait = self.wait;
        self.state = standing(now + wait);
        self.wait = (wait * 2).min(self.rules.longest);
        self.ends.clear();
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn rules(opens_at: Option<Level>) -> BreakerRules {
        BreakerRules {
            ends: 3,
            within: secs(60),
            opens_at,
            first: secs(5),
            longest: secs(300),
        }
    }

    #[test]
    fn three_ends_in_a_minute_open_it_and_a_surviving_probe_closes_it() {
        let mut breaker = Breaker::new(rules(None));
        assert_eq!(breaker.ended_by_memory(AttemptId(1), secs(0)), None);
        assert_eq!(breaker.ended_by_memory(AttemptId(2), secs(70)), None);
        assert_eq!(
            breaker.ended_by_memory(AttemptId(3), secs(80)),
            None,
            "one is too long ago"
        );
        assert_eq!(
            breaker.ended_by_memory(AttemptId(4), secs(90)),
            Some(secs(5))
        );
        assert_eq!(breaker.admits(secs(94), Level::Normal), Admits::Nothing);
        assert_eq!(breaker.admits(secs(95), Level::Critical), Admits::Nothing);
        assert_eq!(breaker.admits(secs(95), Level::High), Admits::Probe);
        breaker.probes(AttemptId(5), secs(95));
        assert_eq!(breaker.admits(secs(96), Level::Normal), Admits::Nothing);
        assert!(!breaker.ended_well(AttemptId(1), secs(97)), "another one");
        assert!(breaker.ended_well(AttemptId(5), secs(98)));
        assert_eq!(breaker.admits(secs(98), Level::Normal), Admits::All);
    }

    #[test]
    fn each_failed_probe_doubles_the_wait_up_to_the_longest() {
        let mut breaker = Breaker::new(rules(None));
        for attempt in 0..3 {
            breaker.ended_by_memory(AttemptId(attempt), secs(0));
        }
        let mut now = secs(5);
        let mut waits = Vec::new();
        for attempt in 3..11 {
            breaker.probes(AttemptId(attempt), now);
            let wait = breaker.ended_by_memory(AttemptId(attempt), now).unwrap();
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn a_probe_that_lives_on_has_survived() {
        let mut breaker = Breaker::new(rules(None));
        for attempt in 0..3 {
            breaker.ended_by_memory(AttemptId(attempt), secs(0));
        }
        breaker.probes(AttemptId(9), secs(5));
        assert!(!breaker.pass(secs(64), Level::High));
        assert!(breaker.pass(secs(65), Level::High));
    }

    #[test]
    fn what_the_level_opened_closes_when_it_is_normal_again() {
        let mut breaker = Breaker::new(rules(Some(Level::Critical)));
        assert_eq!(breaker.entered(Level::High, secs(0)), None);
        assert_eq!(breaker.entered(Level::Critical, secs(10)), Some(secs(5)));
        assert!(!breaker.pass(secs(20), Level::Moderate));
        assert!(
            !breaker.pass(secs(12), Level::Normal),
            "not before its time"
        );
        assert!(breaker.pass(secs(20), Level::Normal));
        assert_eq!(
            breaker.entered(Level::Critical, secs(30)),
            Some(secs(10)),
            "doubled"
        );
        assert!(breaker.pass(secs(60), Level::Normal));
        assert_eq!(
            breaker.entered(Level::Critical, secs(900)),
            Some(secs(5)),
            "after a quiet time"
        );
    }
}
