//! FFmpeg's filter graphs, read as far as memory needs: chains of filters with their labels and arguments.
//!
//! What a filter does to a frame and what it holds is in `filter`.

/// Filters read from one graph at most; FFmpeg has no such bound, but nobody writes this many by hand.
const MAX_FILTERS: usize = 1024;

/// One filter instance of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// `scale`, `xfade`, ...; an instance name (`scale@a`) is cut off.
    pub name: String,
    /// What stood behind the `=`, unescaped by one level.
    pub args: String,
    /// Labels of its inputs, in order.
    pub inputs: Vec<String>,
    /// Labels of its outputs, in order.
    pub outputs: Vec<String>,
}

impl Filter {
    /// An argument by any of its names, or by its place when written without names.
    pub fn arg(&self, names: &[&str], place: Option<usize>) -> Option<&str> {
        let mut positional = 0;
        let mut found = None;
        for part in split_top(&self.args, ':') {
            match part.split_once('=') {
                Some((name, value)) if names.contains(&name.trim()) => found = Some(value.trim()),
                Some((name, _)) if is_name(name) => {}
                _ => {
                    if Some(positional) == place {
                        found = Some(part.trim());
                    }
                    positional += 1;
                }
            }
        }
        found.map(|value| value.trim_matches('\''))
    }

    /// An argument that is a whole number.
    pub fn number(&self, names: &[&str], place: Option<usize>) -> Option<u32> {
        self.arg(names, place)?.parse().ok()
    }
}

fn is_name(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The chains of a graph. Text that is no graph gives what could be read of it: an estimate needs no verdict.
pub fn parse(graph: &str) -> Vec<Vec<Filter>> {
    let mut chains = Vec::new();
    let mut count = 0;
    for chain in split_top(graph, ';') {
        let mut filters = Vec::new();
        for text in split_top(chain, ',') {
            count += 1;
            if count > MAX_FILTERS {
                return chains;
            }
            if let Some(filter) = parse_filter(text) {
                filters.push(filter);
            }
        }
        if !filters.is_empty() {
            chains.push(filters);
        }
    }
    chains
}

fn parse_filter(text: &str) -> Option<Filter> {
    let mut rest = text.trim();
    let mut inputs = Vec::new();
    // sws_flags=...; may stand before the first chain and has no label.
    while let Some(after) = rest.strip_prefix('[') {
        let (label, tail) = after.split_once(']')?;
        inputs.push(label.trim().to_owned());
        rest = tail.trim_start();
    }
    let mut outputs = Vec::new();
    while rest.ends_with(']') {
        let Some(at) = rest.rfind('[') else { break };
        outputs.insert(0, rest[at + 1..rest.len() - 1].trim().to_owned());
        rest = rest[..at].trim_end();
    }
    let (name, args) = rest.split_once('=').unwrap_or((rest, ""));
    let name = name.split('@').next().unwrap_or(name).trim().to_owned();
    (!name.is_empty()).then(|| Filter {
        name,
        args: args.trim().to_owned(),
        inputs,
        outputs,
    })
}

/// Splits at a character that is not quoted, escaped, or inside a label.
fn split_top(text: &str, at: char) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped, mut depth) = (false, false, 0u32);
    for (index, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' && !quoted {
            escaped = true;
        } else if c == '\'' {
            quoted = !quoted;
        } else if quoted {
        } else if c == '[' || c == '(' {
            depth += 1;
        } else if c == ']' || c == ')' {
            depth = depth.saturating_sub(1);
        } else if c == at && depth == 0 {
            parts.push(&text[start..index]);
            start = index + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Evaluates a size: a number, or the products, quotients, sums and differences of `iw`, `ih`, `in_w`, `in_h`,
/// `main_w`, `ow`, ... that people write (`iw/2`, `iw*2/3`, `trunc(iw/4)*2`). None for anything else.
pub fn evaluate(expression: &str, variable: &dyn Fn(&str) -> Option<f64>) -> Option<f64> {
    let text: Vec<u8> = expression
        .bytes()
        .filter(|b| !b.is_ascii_whitespace() && !matches!(b, b'\'' | b'\\'))
        .collect();
    if text.len() > 256 {
        return None;
    }
    let mut parser = Expression {
        text: &text,
        at: 0,
        variable,
        depth: 0,
    };
    let value = parser.sum()?;
    (parser.at == text.len() && value.is_finite()).then_some(value)
}

struct Expression<'a> {
    text: &'a [u8],
    at: usize,
    variable: &'a dyn Fn(&str) -> Option<f64>,
    depth: u32,
}

impl Expression<'_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product()?;
        loop {
            match self.peek() {
                b'+' => {
                    self.at += 1;
                    value += self.product()?;
                }
                b'-' => {
                    self.at += 1;
                    value -= self.product()?;
                }
                _ => return Some(value),
            }
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.factor()?;
        loop {
            match self.peek() {
                b'*' => {
                    self.at += 1;
                    value *= self.factor()?;
                }
                b'/' => {
                    self.at += 1;
                    value /= self.factor()?;
                }
                _ => return Some(value),
            }
        }
    }

    fn factor(&mut self) -> Option<f64> {
        self.depth += 1;
        if self.depth > 64 {
            return None;
        }
        let value = self.factor_inner();
        self.depth -= 1;
        value
    }

    fn factor_inner(&mut self) -> Option<f64> {
        match self.peek() {
            b'-' => {
                self.at += 1;
                Some(-self.factor()?)
            }
            b'(' => {
                self.at += 1;
                let value = self.sum()?;
                self.close()?;
                Some(value)
            }
            b'0'..=b'9' | b'.' => {
                let word = self.word(|b| b.is_ascii_digit() || b == b'.');
                word.parse().ok()
            }
            _ => {
                let word = self.word(|b| b.is_ascii_alphanumeric() || b == b'_');
                if self.peek() != b'(' {
                    return (self.variable)(&word);
                }
                self.at += 1;
                let first = self.sum()?;
                let value = match word.as_str() {
                    "trunc" | "floor" => first.floor(),
                    "ceil" => first.ceil(),
                    "round" => first.round(),
                    "min" | "max" => {
                        (self.peek() == b',').then_some(())?;
                        self.at += 1;
                        let second = self.sum()?;
                        if word == "min" {
                            first.min(second)
                        } else {
                            first.max(second)
                        }
                    }
                    _ => return None,
                };
                self.close()?;
                Some(value)
            }
        }
    }

    fn close(&mut self) -> Option<()> {
        (self.peek() == b')').then(|| self.at += 1)
    }

    fn word(&mut self, part: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        while self.at < self.text.len() && part(self.text[self.at]) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_labels_and_arguments() {
        let graph = parse(
            "[0:v]split=2[a][b];[b]scale@small=w=320:h=-2:flags=lanczos[c]; [a][c] overlay=10:10",
        );
        assert_eq!(graph.len(), 3);
        assert_eq!(graph[0][0].outputs, ["a", "b"]);
        assert_eq!(graph[1][0].name, "scale");
        assert_eq!(graph[1][0].arg(&["w", "width"], Some(0)), Some("320"));
        assert_eq!(graph[2][0].inputs, ["a", "c"]);
    }

    #[test]
    fn quotes_and_escapes_hold_separators_together() {
        let graph = parse(r"drawtext=text='a,b;c':x=1,select=not(mod(n\,2)),scale=iw/2:-2");
        let names: Vec<_> = graph[0].iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["drawtext", "select", "scale"]);
        assert_eq!(graph[0][2].arg(&["w"], Some(0)), Some("iw/2"));
        assert_eq!(graph[0][2].arg(&["h"], Some(1)), Some("-2"));
    }

    #[test]
    fn expressions() {
        let variable = |name: &str| match name {
            "iw" => Some(1920.0),
            "ih" => Some(1080.0),
            _ => None,
        };
        let value = |text| evaluate(text, &variable);
        assert_eq!(value("iw/2"), Some(960.0));
        assert_eq!(value("trunc(iw/4)*2"), Some(960.0));
        assert_eq!(value("min(1280,iw)"), Some(1280.0));
        assert_eq!(value(r"min(1280\,iw)"), Some(1280.0));
        assert_eq!(value("-2"), Some(-2.0));
        assert_eq!(value("2*(ih-80)"), Some(2000.0));
        assert_eq!(value("if(gt(iw,ih),1,2)"), None);
        assert_eq!(value("iw/0"), None);
        assert_eq!(value(""), None);
        assert_eq!(value(&"(".repeat(200)), None);
    }

    #[test]
    fn rubbish_is_no_panic() {
        for text in [
            "[",
            "]",
            "=",
            "[a",
            "a]",
            ";;,,",
            "[é]ü=ö[",
            "'",
            "\\",
            "[a]][",
        ] {
            parse(text);
        }
    }
}
