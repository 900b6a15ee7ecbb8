//! Settings, profiles and policies: text and YAML in, checked values out, errors with file, line, column and a hint.

pub mod error;
pub mod policy;
pub mod profile;
mod profile_yaml;
pub mod profiles;
pub mod size;
