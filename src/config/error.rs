//! What is wrong with a file that people edit: which file, where in it, what, and what to do.

use std::path::{Path, PathBuf};

/// A mistake in a YAML file, or a file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}{}", file.display(), place(*line, *column), hinted(hint.as_deref()))]
pub struct ConfigError {
    /// The file, or `built in NAME`.
    pub file: PathBuf,
    /// Line, from 1; 0 when it concerns the whole file.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

fn place(line: u64, column: u64) -> String {
    if line == 0 {
        String::new()
    } else {
        format!(":{line}:{column}")
    }
}

fn hinted(hint: Option<&str>) -> String {
    hint.map(|hint| format!(" ({hint})")).unwrap_or_default()
}

impl ConfigError {
    /// A mistake in no particular line.
    pub fn whole_file(file: &Path, message: impl Into<String>) -> ConfigError {
        ConfigError {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message: message.into(),
            hint: None,
        }
    }

    /// A mistake at a place that the parser knows.
    pub fn at(
        file: &Path,
        location: &serde_yaml::Location,
        message: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            line: location.line(),
            column: location.column(),
            ..ConfigError::whole_file(file, message)
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: Option<String>) -> ConfigError {
        self.hint = hint;
        self
    }

    /// What the YAML parser said, in our words where it knows more than a sentence.
    pub fn from_yaml(file: &Path, error: &serde_yaml::Error) -> ConfigError {
        use serde_yaml::Error;
        let error = error.without_snippet();
        let location = error.location();
        let (message, hint) = match error {
            Error::SerdeUnknownField {
                field, expected, ..
            } => (
                format!("unknown key `{field}`"),
                suggestion(field, expected.iter().copied()),
            ),
            Error::SerdeMissingField { field, .. } => (
                format!("the key `{field}` is missing"),
                Some("every profile needs it".to_owned()),
            ),
            Error::SerdeUnknownVariant {
                variant, expected, ..
            } => (
                format!("unknown word `{variant}`"),
                suggestion(variant, expected.iter().copied()),
            ),
            Error::DuplicateMappingKey { key, .. } => (
                match key {
                    Some(key) => format!("the key `{key}` is written twice"),
                    None => "a key is written twice".to_owned(),
                },
                Some("keep one of them".to_owned()),
            ),
            other => (plain(&other.to_string()), None),
        };
        match location {
            Some(location) => ConfigError::at(file, &location, message),
            None => ConfigError::whole_file(file, message),
        }
        .hint(hint)
    }
}

/// The parser's sentence without the place at its end, which is told in front.
fn plain(text: &str) -> String {
    let first = text.lines().next().unwrap_or(text);
    let end = first
        .find(" at line ")
        .or_else(|| first.find(" (line "))
        .unwrap_or(first.len());
    first[..end].trim_end_matches(',').to_owned()
}

/// `did you mean ...?` where a known word is near, else all that are known.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4);
    match near {
        Some((_, candidate)) => Some(format!("did you mean `{candidate}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known: {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_gets_the_list() {
        assert_eq!(
            suggestion("presset", ["preset", "params"]).as_deref(),
            Some("did you mean `preset`?")
        );
        assert_eq!(
            suggestion("xyz", ["preset", "params"]).as_deref(),
            Some("known: preset, params")
        );
    }
}
