//! Freezing instead of stopping: which attempt stands still and goes to swap, and when it goes on.

use std::time::Duration;

use super::action::Action;
use super::decision::Decision;
use super::job::AttemptId;
use super::level::{Measures, met};
use super::running::Running;
use super::state::State;

impl State {
    /// The youngest, which has done least, but none that has just stood still for as long as allowed. None where it is
    /// the only one that goes on, or where swap has no room: without, its memory would only be held longer.
    pub(super) fn to_freeze(&self, now: Duration) -> Option<AttemptId> {
        let at_most = self.policy.relief.freeze_at_most;
        let rested = |let_go: Duration| now >= let_go + at_most;
        let going = || {
            let running = self.running.iter();
            running.filter(|(_, attempt)| !attempt.stopping && attempt.frozen.is_none())
        };
        let (id, youngest) = going()
            .filter(|(_, attempt)| attempt.let_go.is_none_or(rested))
            .max_by_key(|(id, attempt)| (attempt.started, **id))?;
        let worth = self.settings.swap_bytes > 0
            && self.swap_free_bytes >= youngest.used.resident_bytes() / 2
            && going().count() > 1;
        worth.then_some(*id)
    }

    /// Whether the stage would still not be entered when this attempt, and those that go on already, have all their
    /// memory back from swap.
    fn has_room_for(&self, thawed: &Running, stage: usize) -> bool {
        let coming = self
            .running
            .values()
            .filter(|attempt| attempt.frozen.is_none() && !attempt.stopping)
            .chain([thawed])
            .map(|attempt| attempt.used.swapped_bytes)
            .fold(0, u64::saturating_add);
        let then = Measures {
            available_bytes: self.measures.available_bytes.saturating_sub(coming),
            children_bytes: self.measures.children_bytes.saturating_add(coming),
            ..self.measures
        };
        let counted = self.levels.counted(&self.policy.stages, stage);
        met(&counted, &then, None).is_none()
    }

    /// Lets frozen attempts go on, the oldest first: one at a time when the level has fallen and there is room for its
    /// memory, those whose time is up, and one where nothing else runs.
    pub(super) fn thaw(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let stage = self.stage_index();
        let at_most = self.policy.relief.freeze_at_most;
        let grace = self.policy.grace;
        let all_frozen = self
            .running
            .values()
            .all(|attempt| attempt.frozen.is_some());
        // Memory comes back as it is used; the next is let go when some of that shows.
        let mut one = self.relief.thawed.is_some_and(|at| now < at + grace);
        let fits: Vec<AttemptId> = self
            .running
            .iter()
            .filter(|(_, attempt)| {
                let frozen = attempt.frozen;
                frozen.is_some_and(|(_, at_stage)| {
                    stage < at_stage && self.has_room_for(attempt, at_stage)
                })
            })
            .map(|(id, _)| *id)
            .collect();
        let mut thawed = Vec::new();
        let frozen = |attempt: &Running| attempt.frozen.is_some();
        let attempts = self.running.iter_mut();
        let mut by_age: Vec<_> = attempts.filter(|(_, one)| frozen(one)).collect();
        // The numbers of adopted ones do not tell their age.
        by_age.sort_by_key(|(id, attempt)| (attempt.started, **id));
        for (id, attempt) in by_age {
            let Some((since, _)) = attempt.frozen.filter(|_| !attempt.stopping) else {
                continue;
            };
            let why = if now >= since + at_most {
                attempt.let_go = Some(now);
                "it was frozen as long as allowed"
            } else if !one && now >= since + grace && fits.contains(id) {
                "the level has fallen"
            } else if all_frozen && !one && now >= since + grace {
                "nothing else runs"
            } else {
                continue;
            };
            one = true;
            attempt.frozen = None;
            thawed.push((*id, why));
        }
        for (attempt, why) in thawed {
            self.relief.thawed = Some(now);
            let why = why.to_owned();
            actions.push(Action::Note(Decision::Thaw { attempt, why }));
            actions.push(Action::Thaw { attempt });
        }
    }
}
