//! How heavy a profile may be: as it is written, and which of two allows more. Pure.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::config::policy::Ceiling;

/// A profile's name, `any`, or `{lower: N}`.
pub(super) enum RawCeiling {
    Word(String),
    Lower(String),
}

impl<'de> Deserialize<'de> for RawCeiling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct RawLower {
            lower: String,
        }

        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = RawCeiling;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a profile, `any` or `{lower: 1}`")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<RawCeiling, E> {
                Ok(RawCeiling::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawCeiling, A::Error> {
                RawLower::deserialize(MapAccessDeserializer::new(map))
                    .map(|raw| RawCeiling::Lower(raw.lower))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Ceiling {
    /// What both allow, if the second is known to allow heavier profiles than the first.
    pub(super) fn heavier(before: &Ceiling, now: &Ceiling) -> Option<(String, String)> {
        let heavier = match (before, now) {
            (Ceiling::AtMost { rank: before, .. }, Ceiling::AtMost { rank: now, .. }) => {
                now > before
            }
            (Ceiling::Lower(before), Ceiling::Lower(now)) => now < before,
            (Ceiling::AtMost { .. } | Ceiling::Lower(_), Ceiling::Any) => true,
            _ => false,
        };
        let word = |ceiling: &Ceiling| match ceiling {
            Ceiling::Any => "any profile".to_owned(),
            Ceiling::Lower(rungs) => format!("a profile {rungs} lower"),
            Ceiling::AtMost { profile, .. } => format!("`{profile}`"),
        };
        heavier.then(|| (word(before), word(now)))
    }
}
