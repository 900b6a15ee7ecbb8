//! How the two processes stop and go on as one (Ctrl-Z, `fg`, `bg`): the guard alone decides, the supervisor follows.
//!
//! A SIGTSTP can reach each of them from a terminal, from a process, on one way or on two, and a SIGCONT can overtake
//! it. If each acted on what it received, one could stop after the other had gone on. So:
//!
//! 1. The guard holds its SIGTSTP back ([`Stops`](crate::child::Stops)) and asks the supervisor to stand still,
//!    through a pipe; a SIGTSTP only makes the supervisor look there, so it matters neither who sent it nor how often.
//! 2. The supervisor stops its children, answers, and stops itself unless there is a new word.
//! 3. When it stands the guard lets its own SIGTSTP through. The shell sees a stopped job when all of it has stopped.
//! 4. When the guard goes on it says so and continues the supervisor, which continues its children.
//!
//! A supervisor that somebody else continues finds no new word and stops again. One that does not listen yet is stopped
//! by the SIGTSTP itself. One that is busy (it syncs a file after the child's end) is not waited for longer than
//! [`STILL_WITHIN`]; it then stops when it reads the word.
//!
//! Here is what is decided; signals and pipes are `guard`'s.

use std::time::{Duration, Instant};

/// The longest the guard waits for the supervisor's answer before it stops without it.
pub const STILL_WITHIN: Duration = Duration::from_secs(5);
/// The longest from the answer until the supervisor stands. In a process group that no shell looks after the kernel
/// stops neither of the two.
pub const STOPPED_WITHIN: Duration = Duration::from_millis(200);
/// Milliseconds that a supervisor that goes on waits for a word that says so, before it stops again.
pub const WORD_WITHIN: u8 = 50;

/// A word of the guard's, one byte on the pipe: odd, stand still; even, go on. Each has the number after the one
/// before, so that a late answer is not taken for one to a later question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn(pub u8);

impl Turn {
    /// Whether it is to stand still.
    pub fn is_still(self) -> bool {
        self.0 % 2 == 1
    }

    fn next(self) -> Turn {
        Turn(self.0.wrapping_add(1))
    }
}

/// What the guard has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing, until something happens.
    Wait,
    /// Tell this to the supervisor, and make it look.
    Ask(Turn),
    /// Take the stop that is pending, then look again.
    Stop,
    /// Tell this to the supervisor, and continue it.
    GoOn(Turn),
}

/// The guard's side.
#[derive(Debug, Default)]
pub struct Halt {
    /// The last word.
    turn: Turn,
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    until: Instant,
    /// The pending stop was taken, if it was not taken back.
    over: bool,
}

impl Halt {
    /// When something has to be done though nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.until)
    }

    /// The supervisor says that it is about to stop, as that word asked it to.
    pub fn answered(&mut self, turn: Turn, now: Instant) {
        if let Some(asked) = &mut self.asked
            && turn == self.turn
        {
            asked.until = asked.until.min(now + STOPPED_WITHIN);
        }
    }

    /// What is to be done. `pending`: we are to stop. `stopped`: the supervisor is.
    pub fn next(&mut self, pending: bool, stopped: bool, now: Instant) -> Act {
        match &mut self.asked {
            None if !pending => Act::Wait,
            None => {
                self.turn = self.turn.next();
                self.asked = Some(Asked {
                    until: now + STILL_WITHIN,
                    over: false,
                });
                Act::Ask(self.turn)
            }
            // Taken, or taken back by a SIGCONT.
            Some(asked) if asked.over || !pending => {
                self.asked = None;
                self.turn = self.turn.next();
                Act::GoOn(self.turn)
            }
            Some(asked) if stopped || now >= asked.until => {
                asked.over = true;
                Act::Stop
            }
            Some(_) => Act::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STILL: Turn = Turn(1);
    const GO: Turn = Turn(2);

    #[test]
    fn the_supervisor_stops_first_and_goes_on_last() {
        let (mut halt, now) = (Halt::default(), Instant::now());
        assert_eq!(halt.next(false, false, now), Act::Wait);
        assert_eq!(halt.next(true, false, now), Act::Ask(STILL));
        assert_eq!(halt.next(true, false, now), Act::Wait, "it is asked once");
        halt.answered(STILL, now);
        assert_eq!(halt.next(true, false, now), Act::Wait);
        assert_eq!(halt.next(true, true, now), Act::Stop);
        assert_eq!(halt.next(false, true, now), Act::GoOn(GO));
        assert_eq!(halt.next(false, false, now), Act::Wait);
        assert_eq!(halt.next(true, false, now), Act::Ask(Turn(3)));
    }

    #[test]
    fn one_that_does_not_listen_yet_answers_by_stopping() {
        let (mut halt, now) = (Halt::default(), Instant::now());
        assert_eq!(halt.next(true, false, now), Act::Ask(STILL));
        assert_eq!(halt.next(true, true, now), Act::Stop);
        assert_eq!(halt.next(false, true, now), Act::GoOn(GO));
    }

    #[test]
    fn a_stop_that_is_taken_back_at_any_moment_is_none() {
        let now = Instant::now();
        for (answered, stopped) in [(false, false), (true, false), (true, true)] {
            let mut halt = Halt::default();
            halt.next(true, false, now);
            if answered {
                halt.answered(STILL, now);
            }
            assert_eq!(halt.next(false, stopped, now), Act::GoOn(GO));
            assert_eq!(halt.next(false, false, now), Act::Wait);
        }
    }

    #[test]
    fn one_that_answers_and_cannot_be_stopped_is_not_waited_for() {
        let (mut halt, now) = (Halt::default(), Instant::now());
        halt.next(true, false, now);
        halt.answered(STILL, now);
        assert_eq!(halt.deadline(), Some(now + STOPPED_WITHIN));
        assert_eq!(halt.next(true, false, now + STOPPED_WITHIN), Act::Stop);
    }

    #[test]
    fn a_stop_during_a_stop_is_the_next_one() {
        let (mut halt, now) = (Halt::default(), Instant::now());
        halt.next(true, false, now);
        assert_eq!(halt.next(true, true, now), Act::Stop);
        assert_eq!(
            halt.next(true, true, now),
            Act::GoOn(GO),
            "we did go on between the two"
        );
        assert_eq!(halt.next(true, false, now), Act::Ask(Turn(3)));
    }

    #[test]
    fn a_busy_supervisor_is_not_waited_for_for_ever() {
        let (mut halt, now) = (Halt::default(), Instant::now());
        halt.next(true, false, now);
        assert_eq!(halt.deadline(), Some(now + STILL_WITHIN));
        assert_eq!(halt.next(true, false, now + STILL_WITHIN), Act::Stop);
        assert_eq!(halt.next(false, false, now + STILL_WITHIN), Act::GoOn(GO));
        assert_eq!(halt.deadline(), None);
    }

    #[test]
    fn a_late_answer_is_none_to_the_next_question() {
        let (mut halt, now) = (Halt::default(), Instant::now());
        halt.next(true, false, now);
        halt.next(false, false, now);
        halt.answered(STILL, now);
        assert_eq!(halt.next(true, false, now), Act::Ask(Turn(3)));
        halt.answered(STILL, now);
        assert_eq!(halt.deadline(), Some(now + STILL_WITHIN));
        halt.answered(Turn(3), now);
        assert_eq!(halt.deadline(), Some(now + STOPPED_WITHIN));
    }

    #[test]
    fn words_keep_their_meaning_when_their_numbers_start_again() {
        assert!(Turn(255).is_still());
        assert_eq!(Turn(255).next(), Turn(0));
        assert!(!Turn(0).is_still());
    }
}
