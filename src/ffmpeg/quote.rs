//! An argument vector as one line for a person to paste into bash.

use std::ffi::OsString;

use shell_quote::{Bash, QuoteExt};

/// A single line that, pasted into bash, gives the same arguments; with any bytes but NUL in them.
pub fn shell_quoted(argv: &[OsString]) -> OsString {
    let mut line = OsString::new();
    for (index, word) in argv.iter().enumerate() {
        if index > 0 {
            line.push(" ");
        }
        line.push_quoted(Bash, word.as_os_str());
    }
    line
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What bash makes of a line.
    fn as_bash_reads(line: &OsString) -> Vec<OsString> {
        let mut script = OsString::from("printf '%s\\0' ");
        script.push(line);
        let output = Command::new("bash")
            .arg("--norc")
            .arg("-c")
            .arg(script)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let words = output.stdout.strip_suffix(b"\0").unwrap();
        words
            .split(|&byte| byte == 0)
            .map(|word| OsString::from_vec(word.to_vec()))
            .collect()
    }

    #[test]
    fn ordinary_words_stay_readable() {
        let argv: Vec<_> = ["ffmpeg", "-i", "in.mov", "-c:v", "libx264", "out.mp4"]
            .map(OsString::from)
            .into();
        assert_eq!(shell_quoted(&argv), "ffmpeg -i in.mov -c:v libx264 out.mp4");
    }

    proptest! {
        // Each case starts a bash.
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bash_reads_back_the_same_arguments_from_one_line(
            words in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(1_u8.., 0..12),
                    "[ -~\n\t\r]{0,20}".prop_map(String::into_bytes),
                    "\\PC{0,8}".prop_map(String::into_bytes),
                ],
                1..8,
            )
        ) {
            let argv: Vec<OsString> = words.into_iter().map(OsString::from_vec).collect();
            let line = shell_quoted(&argv);
            prop_assert!(!line.as_bytes().contains(&b'\n'));
            prop_assert_eq!(as_bash_reads(&line), argv);
        }
    }
}
