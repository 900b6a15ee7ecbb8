//! Whether a file that FFmpeg has finished can be read back.
//!
//! Exit code 0 is no proof: FFmpeg 5.1 ends with 0 when the disk was full at the last moment and it could not write
//! an mp4's index. Only containers that need what is written last are looked at; of others nothing could be told.

use std::path::Path;

use super::command::{FileKind, Group, Opt};
use super::probe::{ProbeError, Prober};

/// Below this size, bytes, a Matroska file without a duration is an empty one and not a truncated one.
const EMPTY_MATROSKA: u64 = 4096;

/// Looks at a finished file; `format` is what was given with `-f`. None when it is whole, or when nothing can be
/// told; otherwise what is wrong.
pub fn broken(file: &Path, format: Option<&str>, prober: &Prober) -> Option<String> {
    let extension = file.extension().and_then(|extension| extension.to_str());
    let container = Container::of(format.or(extension)?)?;
    // An absolute or `./` path is never taken for a protocol.
    let input = Group {
        options: Vec::<Opt>::new(),
        kind: FileKind::Input,
        url: file.into(),
        dashdash: 0,
    };
    match prober.probe(&input) {
        Err(ProbeError::Refused { reason, .. }) => Some(reason),
        Err(error) => {
            log::debug!("not verified: {error}");
            None
        }
        Ok(None) => None,
        Ok(Some(info)) => {
            let large = file
                .metadata()
                .is_ok_and(|metadata| metadata.len() > EMPTY_MATROSKA);
            let unfinished =
                container == Container::Matroska && large && info.duration_seconds.is_none();
            unfinished.then(|| "its last part, with the duration, is missing".to_owned())
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    /// The index (moov) is written last.
    Mp4,
    /// The last cluster and the duration are written last.
    Matroska,
}

impl Container {
    fn of(name: &str) -> Option<Container> {
        match name.to_ascii_lowercase().as_str() {
            "mp4" | "mov" | "m4a" | "m4v" | "m4b" | "3gp" | "3g2" | "ipod" | "psp" => {
                Some(Container::Mp4)
            }
            "mkv" | "mka" | "mk3d" | "webm" | "matroska" => Some(Container::Matroska),
            _ => None,
        }
    }
}
