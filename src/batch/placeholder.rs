//! The command of a batch as it was typed, and what becomes of it for one input. No I/O.
//!
//! `{} {.} {/} {/.} {//} {#}` mean what they mean to GNU parallel, but that every word stays a word: no shell reads
//! the result. `{batch}` and `{segment}` stay as they are; whoever starts the command knows their values.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The command of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    words: Vec<Vec<Piece>>,
}

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Placeholder(Placeholder),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    Input,
    WithoutExtension,
    Name,
    NameWithoutExtension,
    Directory,
    Sequence,
}

/// What is typed for each.
const PLACEHOLDERS: [(&[u8], Placeholder); 6] = [
    (b"{}", Placeholder::Input),
    (b"{.}", Placeholder::WithoutExtension),
    (b"{/}", Placeholder::Name),
    (b"{/.}", Placeholder::NameWithoutExtension),
    (b"{//}", Placeholder::Directory),
    (b"{#}", Placeholder::Sequence),
];

impl Template {
    /// Reads the words of a command. Where no placeholder is among them the input becomes the last word.
    pub fn new(command: &[OsString]) -> Template {
        let mut words: Vec<Vec<Piece>> =
            command.iter().map(|word| pieces(word.as_bytes())).collect();
        let has_placeholder = words
            .iter()
            .flatten()
            .any(|piece| matches!(piece, Piece::Placeholder(_)));
        if !has_placeholder {
            words.push(vec![Piece::Placeholder(Placeholder::Input)]);
        }
        Template { words }
    }

    /// The words, by index, in which one of `typed` stands as the user wrote it.
    pub fn holding(&self, typed: &[&str]) -> Vec<usize> {
        let holds = |piece: &Piece| match piece {
            Piece::Literal(literal) => typed.iter().any(|text| {
                literal
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
            }),
            Piece::Placeholder(_) => false,
        };
        (0..self.words.len())
            .filter(|index| self.words[*index].iter().any(holds))
            .collect()
    }

    /// The command for one input; `sequence` counts the inputs from 1. What stands in an input is never read as a
    /// placeholder.
    pub fn argv(&self, input: &OsStr, sequence: u64) -> Vec<OsString> {
        let input = input.as_bytes();
        self.words
            .iter()
            .map(|word| {
                let mut bytes = Vec::new();
                for piece in word {
                    match piece {
                        Piece::Literal(literal) => bytes.extend_from_slice(literal),
                        Piece::Placeholder(Placeholder::Sequence) => {
                            bytes.extend_from_slice(sequence.to_string().as_bytes());
                        }
                        Piece::Placeholder(placeholder) => {
                            bytes.extend_from_slice(value(*placeholder, input));
                        }
                    }
                }
                OsString::from_vec(bytes)
            })
            .collect()
    }
}

fn pieces(word: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut rest = word;
    while let Some(first) = rest.first() {
        let found = PLACEHOLDERS
            .iter()
            .find_map(|(typed, placeholder)| Some((rest.strip_prefix(*typed)?, *placeholder)));
        match found {
            Some((behind, placeholder)) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Placeholder(placeholder));
                rest = behind;
            }
            None => {
                literal.push(*first);
                rest = &rest[1..];
            }
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    pieces
}

fn value(placeholder: Placeholder, input: &[u8]) -> &[u8] {
    match placeholder {
        Placeholder::Input | Placeholder::Sequence => input,
        Placeholder::WithoutExtension => without_extension(input),
        Placeholder::Name => name(input),
        Placeholder::NameWithoutExtension => without_extension(name(input)),
        Placeholder::Directory => directory(input),
    }
}

/// Without the last dot of the name and what follows it; a dot that begins the name counts, as it does to parallel.
fn without_extension(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| matches!(byte, b'.' | b'/')) {
        Some(at) if path[at] == b'.' => &path[..at],
        _ => path,
    }
}

/// What follows the last slash: nothing for a path that ends in one.
fn name(path: &[u8]) -> &[u8] {
    split(path).1
}

/// Perl's `dirname`, which parallel uses.
fn directory(path: &[u8]) -> &[u8] {
    let (above, name) = split(path);
    let above = without_trailing_slashes(above);
    if name.is_empty() {
        without_trailing_slashes(split(above).0)
    } else {
        above
    }
}

/// Up to the last slash with it (`./` for none), and what follows.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => path.split_at(slash + 1),
        None => (b"./", path),
    }
}

fn without_trailing_slashes(mut path: &[u8]) -> &[u8] {
    while let [start @ .., b'/'] = path
        && !start.is_empty()
    {
        path = start;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    /// What GNU parallel 20221122 made of each: `{.}`, `{/}`, `{/.}`, `{//}`. tests/batch.rs asks the installed one.
    const TABLE: [[&str; 5]; 30] = [
        ["a.txt", "a", "a.txt", "a", "."],
        ["a", "a", "a", "a", "."],
        ["dir/a.tar.gz", "dir/a.tar", "a.tar.gz", "a.tar", "dir"],
        [".hidden", "", ".hidden", "", "."],
        ["dir/.hidden", "dir/", ".hidden", "", "dir"],
        ["dir.d/a", "dir.d/a", "a", "a", "dir.d"],
        ["dir/", "dir/", "", "", "."],
        ["dir.x/", "dir.x/", "", "", "."],
        ["/", "/", "", "", "/"],
        ["/a", "/a", "a", "a", "/"],
        ["/a.b", "/a", "a.b", "a", "/"],
        ["./a", "./a", "a", "a", "."],
        ["a//b.c", "a//b", "b.c", "b", "a"],
        ["//a", "//a", "a", "a", "/"],
        ["..", ".", "..", ".", "."],
        [".", "", ".", "", "."],
        ["a/..", "a/.", "..", ".", "a"],
        ["a.", "a", "a.", "a", "."],
        [".a.b", ".a", ".a.b", ".a", "."],
        ["a b.c", "a b", "a b.c", "a b", "."],
        ["q'uo.te", "q'uo", "q'uo.te", "q'uo", "."],
        ["-x.y", "-x", "-x.y", "-x", "."],
        ["n\nl.e", "n\nl", "n\nl.e", "n\nl", "."],
        ["a/b.c/", "a/b.c/", "", "", "a"],
        ["///", "///", "", "", "/"],
        ["a///", "a///", "", "", "."],
        ["", "", "", "", "."],
        ["a..b", "a.", "a..b", "a.", "."],
        [".../x", ".../x", "x", "x", "..."],
        ["x.*", "x", "x.*", "x", "."],
    ];

    #[test]
    fn each_means_what_it_means_to_parallel() {
        let template = Template::new(&words(&["{}", "{.}", "{/}", "{/.}", "{//}"]));
        for row in TABLE {
            assert_eq!(
                template.argv(OsStr::new(row[0]), 1),
                words(&row),
                "{:?}",
                row[0]
            );
        }
    }

    #[test]
    fn a_newline_in_a_directory_does_not_hide_the_name() {
        // parallel's expression does not match over a newline and gives `d` and `b\nc/d.e` for these.
        let template = Template::new(&words(&["{/}", "{/.}", "{//}"]));
        let argv = |input: &str| template.argv(OsStr::new(input), 1);
        assert_eq!(argv("d\nx/c"), words(&["c", "c", "d\nx"]));
        assert_eq!(argv("a/b\nc/d.e"), words(&["d.e", "d", "a/b\nc"]));
    }

    #[test]
    fn bytes_beyond_utf8_are_kept() {
        let template = Template::new(&words(&["-i", "file:{}", "{.}.mp4"]));
        let argv = template.argv(OsStr::from_bytes(b"nu\xff.mov"), 1);
        assert_eq!(argv[1].as_bytes(), b"file:nu\xff.mov");
        assert_eq!(argv[2].as_bytes(), b"nu\xff.mp4");
    }

    #[test]
    fn several_stand_in_one_word_and_other_braces_stay() {
        let template = Template::new(&words(&[
            "x{}y{.}z{}{/}",
            "{{}}",
            "{...}",
            "{..}",
            "{batch}{segment}",
            "{",
            "}{",
            "{3}",
        ]));
        assert_eq!(
            template.argv(OsStr::new("d/a.b"), 7),
            words(&[
                "xd/a.byd/azd/a.ba.b",
                "{d/a.b}",
                "{...}",
                "{..}",
                "{batch}{segment}",
                "{",
                "}{",
                "{3}"
            ])
        );
    }

    #[test]
    fn without_a_placeholder_the_input_comes_last() {
        let argv = |command: &[&str]| Template::new(&words(command)).argv(OsStr::new("a b"), 12);
        assert_eq!(argv(&["echo"]), words(&["echo", "a b"]));
        assert_eq!(
            argv(&["run", "-n", "{batch}"]),
            words(&["run", "-n", "{batch}", "a b"])
        );
        assert_eq!(argv(&["echo", "{#}"]), words(&["echo", "12"]));
        assert_eq!(argv(&["{}", "-h"]), words(&["a b", "-h"]));
    }

    #[test]
    fn words_for_the_engine_are_told_apart_from_names() {
        let template = Template::new(&words(&["run", "-n{batch}", "{}", "{segment}"]));
        assert_eq!(template.holding(&["{batch}", "{segment}"]), [1, 3]);
        assert_eq!(template.holding(&["{segment}"]), [3]);
    }

    #[test]
    fn an_input_that_looks_like_a_placeholder_is_only_a_name() {
        let template = Template::new(&words(&["cp", "{}", "{.}{#}"]));
        assert_eq!(
            template.argv(OsStr::new("{/}.{#}"), 3),
            words(&["cp", "{/}.{#}", "{/}3"])
        );
    }
}
