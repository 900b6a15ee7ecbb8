//! A policy as it is written.

use serde::Deserialize;
use serde_yaml::Spanned;

use super::stages::RawStage;
use super::values::Text;
use crate::config::policy::Level;

/// A policy as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawPolicy {
    pub(super) name: Text,
    #[serde(default)]
    pub(super) summary: String,
    pub(super) reserves: Option<Vec<RawReserve>>,
    pub(super) workers: Option<Text>,
    pub(super) memory_per_job: Option<Text>,
    pub(super) cpu: Option<Text>,
    pub(super) margin: Option<Text>,
    pub(super) hold: Option<Text>,
    pub(super) grace: Option<Text>,
    pub(super) poll: Option<Text>,
    #[serde(default)]
    pub(super) relief: RawRelief,
    #[serde(default)]
    pub(super) breaker: RawBreaker,
    #[serde(default)]
    pub(super) backoff: RawBackoff,
    #[serde(default)]
    pub(super) batch: RawBatch,
    #[serde(default)]
    pub(super) segment: RawSegment,
    #[serde(default)]
    pub(super) large_files: Vec<RawLargeFile>,
    pub(super) report_every: Option<Text>,
    pub(super) levels: Spanned<Vec<RawStage>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReserve {
    pub(super) name: String,
    pub(super) share: Text,
    pub(super) at_most: Option<Text>,
    #[serde(rename = "for")]
    pub(super) whom: Option<RawWhom>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawWhom {
    Others,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRelief {
    pub(super) signal: Option<Text>,
    pub(super) command: Option<Spanned<Vec<String>>>,
    pub(super) timeout: Option<Text>,
    pub(super) helped: Option<Text>,
    pub(super) freeze_at_most: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBreaker {
    pub(super) ends: Option<Text>,
    pub(super) within: Option<Text>,
    pub(super) first: Option<Text>,
    pub(super) longest: Option<Text>,
    pub(super) opens_at: Option<Spanned<Level>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBackoff {
    pub(super) first: Option<Text>,
    pub(super) longest: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBatch {
    pub(super) maximum: Option<Text>,
    pub(super) minimum: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSegment {
    pub(super) length: Option<Text>,
    pub(super) minimum: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLargeFile {
    pub(super) above: Text,
    pub(super) profile: Text,
}
