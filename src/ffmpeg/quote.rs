//! A command as one line that a shell reads back to the same words.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use shell_quote::Bash;

/// The words quoted for bash, where they need it, and joined with spaces; never a newline. Words that are not
/// UTF-8, or hold control characters, are written as `$'...'`.
pub fn shell_quoted(words: &[OsString]) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words {
        if !line.is_empty() {
            line.push(b' ');
        }
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(byte);
        if !word.is_empty() && word.as_bytes().iter().all(plain) {
            line.extend(word.as_bytes());
        } else {
            line.extend(Bash::quote_vec(word.as_os_str()));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_words_stay_readable() {
        let words = [
            "ffmpeg",
            "-i",
            "in.mov",
            "-x264-params",
            "ref=1:me=dia",
            "a b.mp4",
        ]
        .map(OsString::from);
        let line = String::from_utf8(shell_quoted(&words)).unwrap();
        assert_eq!(
            line,
            "ffmpeg -i in.mov -x264-params ref=1:me=dia $'a b.mp4'"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bash_reads_the_same_words_back(
            words in proptest::collection::vec(proptest::collection::vec(1u8.., 0..12), 1..6),
        ) {
            let words: Vec<OsString> = words.into_iter().map(OsString::from_vec).collect();
            let line = shell_quoted(&words);
            prop_assert!(!line.contains(&b'\n'));
            let mut script = b"printf '%s\\0' ".to_vec();
            script.extend(&line);
            let output = Command::new("bash").arg("-c").arg(OsString::from_vec(script)).output().unwrap();
            let mut expected = Vec::new();
            for word in &words {
                expected.extend(word.as_bytes());
                expected.push(0);
            }
            prop_assert_eq!(output.stdout, expected);
        }
    }
}
