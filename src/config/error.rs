//! What is wrong with a configuration file: where, which key, and what to write instead.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde_yaml::{Error as YamlError, Location};

use super::files::Kind;

/// Why a configuration could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something wrong.
    #[error(transparent)]
    Content(#[from] Box<ContentError>),
    /// None of that name.
    #[error("there is no {kind} `{name}`{}; known are {}", Hint(hint.as_deref()), known.join(", "))]
    Unknown {
        /// What was looked for.
        kind: Kind,
        /// The name asked for.
        name: String,
        /// The nearest known name.
        hint: Option<String>,
        /// Every known name, in the order in which they are listed.
        known: Vec<String>,
    },
}

/// Something wrong at a place in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentError {
    /// The file, or `built-in NAME.yaml`.
    pub file: String,
    /// Line, counted from 1; 0 if unknown.
    pub line: u64,
    /// Column, counted from 1; 0 if unknown.
    pub column: u64,
    /// The key that is wrong or whose value is, if one can be named.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

struct Hint<'a>(Option<&'a str>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .map_or(Ok(()), |near| write!(f, " (did you mean `{near}`?)"))
    }
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        match &self.key {
            Some(key) => write!(f, ": {key}: {}", self.problem)?,
            None => write!(f, ": {}", self.problem)?,
        }
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for ContentError {}

impl ContentError {
    /// A value that reads well but is wrong, at its place in the file.
    pub fn at(file: &str, location: Location, key: &str, problem: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: location.line(),
            column: location.column(),
            key: Some(key.to_owned()),
            problem: problem.into(),
            hint: None,
        }
    }

    /// The same with a hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the YAML reader found wrong in `text`.
    pub fn from_yaml(file: &str, text: &str, error: &YamlError) -> Self {
        let error = error.without_snippet();
        let (line, column) = error
            .location()
            .map_or((0, 0), |location| (location.line(), location.column()));
        let line_key = usize::try_from(line)
            .ok()
            .and_then(|line| text.lines().nth(line.checked_sub(1)?))
            .and_then(|line| key_before(line, column).or_else(|| key_of(line)));
        let (key, problem, hint) = match error {
            YamlError::SerdeUnknownField {
                field, expected, ..
            } => {
                let hint = match nearest(field, expected) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", expected.join(", ")),
                };
                (Some(field.clone()), "unknown key".to_owned(), Some(hint))
            }
            YamlError::SerdeUnknownVariant {
                variant, expected, ..
            } => {
                let hint = match nearest(variant, expected) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known here: {}", expected.join(", ")),
                };
                (line_key, format!("unknown word `{variant}`"), Some(hint))
            }
            YamlError::SerdeMissingField { field, .. } => (
                Some((*field).to_owned()),
                "missing".to_owned(),
                Some(format!("add a line `{field}: ...`")),
            ),
            YamlError::DuplicateMappingKey { key, .. } => {
                let hint = Some("keep one of them".to_owned());
                (key.clone().or(line_key), "written twice".to_owned(), hint)
            }
            other => {
                // The place is said once, in front; the reader's own message ends in it.
                let message = other.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                (line_key, message.trim().to_owned(), None)
            }
        };
        Self {
            file: file.to_owned(),
            line,
            column,
            key,
            problem,
            hint,
        }
    }
}

/// The known word nearest to a mistyped one: at most two letters off, and less than half the word.
pub fn nearest<'a, S: AsRef<str>>(word: &str, known: &'a [S]) -> Option<&'a str> {
    let allowed = (word.chars().count().saturating_sub(1) / 2).min(2);
    known
        .iter()
        .map(|known| (distance(word, known.as_ref()), known.as_ref()))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Letters to insert, remove, change or swap with their neighbour to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (
        from.chars().take(64).collect(),
        to.chars().take(64).collect(),
    );
    let mut rows = vec![vec![0_usize; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                best = best.min(rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]));
                if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[from.len()][to.len()]
}

/// The key that a value at a column belongs to: the last one before it, as a line may hold several.
fn key_before(line: &str, column: u64) -> Option<String> {
    let length = usize::try_from(column).ok()?.checked_sub(1)?;
    let before: String = line.chars().take(length).collect();
    let (keys, _) = before.rsplit_once(": ")?;
    let from = keys.rfind([' ', '{', ',']).map_or(0, |at| at + 1);
    key_of(&format!("{}:", &keys[from..]))
}

/// The first key of a line.
fn key_of(line: &str) -> Option<String> {
    let (key, _) = line.trim_start_matches([' ', '-', '{']).split_once(':')?;
    let key = key.trim();
    (!key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c)))
    .then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_close_enough_to_be_meant() {
        let known = ["preset", "params", "threads", "may"];
        assert_eq!(nearest("preest", &known), Some("preset"));
        assert_eq!(nearest("thread", &known), Some("threads"));
        assert_eq!(nearest("param", &known), Some("params"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("m", &known), None);
    }

    #[test]
    fn a_value_belongs_to_the_last_key_before_it() {
        let line = "  - {name: a, share: 10%, for: other}";
        let key = |column| key_before(line, column);
        assert_eq!(key(32).as_deref(), Some("for"));
        assert_eq!(key(22).as_deref(), Some("share"));
        assert_eq!(key(12).as_deref(), Some("name"));
        assert_eq!(key(6), None);
        assert_eq!(key_before("relief: [a, b]", 13).as_deref(), Some("relief"));
        assert_eq!(key_before("ü: ü", 99).as_deref(), None);
    }

    #[test]
    fn distance_counts_a_swap_once() {
        assert_eq!(distance("preset", "preest"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
