//! What one process of ours tells another through a pipe: a byte that says what it is about, a body, and a NUL.

/// Longest message, bytes: a path of PATH_MAX and its tag. What is longer is cut.
const BOUND: usize = 4096 + 64;

/// Puts messages together again, whatever the reads cut.
#[derive(Debug, Default)]
pub struct Messages {
    partial: Vec<u8>,
}

impl Messages {
    /// Calls `note` with the tag and body of each message that is complete now.
    pub fn read(&mut self, bytes: &[u8], mut note: impl FnMut(u8, &[u8])) {
        for &byte in bytes {
            if byte != 0 {
                if self.partial.len() < BOUND {
                    self.partial.push(byte);
                }
                continue;
            }
            let message = std::mem::take(&mut self.partial);
            if let Some((tag, body)) = message.split_first() {
                note(*tag, body);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_message_is_bounded() {
        let mut messages = Messages::default();
        messages.read(&vec![b'x'; 10 * BOUND], |_, _| panic!("it has no end"));
        let mut length = 0;
        messages.read(&[0], |_, body| length = body.len());
        assert_eq!(length, BOUND - 1);
    }
}
