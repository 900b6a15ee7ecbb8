//! The list in `-x264-params`, `-x264opts` and `-x265-params`: `key=value` pairs between colons.

/// A list of parameters that keeps the spelling of what is not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    items: Vec<String>,
}

impl Params {
    /// Splits a list at its colons, as FFmpeg does: not at those behind a backslash or between single quotes.
    pub fn parse(text: &str) -> Self {
        let mut items = vec![String::new()];
        let (mut quoted, mut escaped) = (false, false);
        for c in text.chars() {
            if c == ':' && !quoted && !escaped {
                items.push(String::new());
                continue;
            }
            quoted ^= c == '\'' && !escaped;
            escaped = c == '\\' && !escaped && !quoted;
            if let Some(item) = items.last_mut() {
                item.push(c);
            }
        }
        Self { items }
    }

    /// The pairs; a bare word counts as 1, and `no-mbtree` as `mbtree` with 0.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.items
            .iter()
            .filter(|item| !item.is_empty())
            .map(|item| {
                let (key, value) = item.split_once('=').unwrap_or((item, "1"));
                match key.strip_prefix("no-") {
                    Some(key) if value == "1" => (key, "0"),
                    _ => (key, value),
                }
            })
    }

    /// Changes the value of the `index`th pair.
    pub fn set(&mut self, index: usize, key: &str, value: &str) {
        if let Some(item) = self
            .items
            .iter_mut()
            .filter(|item| !item.is_empty())
            .nth(index)
        {
            *item = format!("{key}={value}");
        }
    }

    /// Adds a pair at the end.
    pub fn push(&mut self, key: &str, value: &str) {
        self.items.retain(|item| !item.is_empty());
        self.items.push(format!("{key}={value}"));
    }

    /// The list as text.
    pub fn text(&self) -> String {
        self.items.join(":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_keeps_its_spelling() {
        let text = r"rc_lookahead=40:stats='a:b.log':zones=0\:9,q=20:no-mbtree:";
        let mut params = Params::parse(text);
        assert_eq!(params.text(), text);
        let pairs: Vec<_> = params.pairs().collect();
        let expected = [
            ("rc_lookahead", "40"),
            ("stats", "'a:b.log'"),
            ("zones", r"0\:9,q=20"),
            ("mbtree", "0"),
        ];
        assert_eq!(pairs, expected);
        params.set(0, "rc_lookahead", "10");
        params.push("ref", "1");
        assert_eq!(
            params.text(),
            r"rc_lookahead=10:stats='a:b.log':zones=0\:9,q=20:no-mbtree:ref=1"
        );
    }

    #[test]
    fn an_empty_list_can_be_added_to() {
        let mut params = Params::parse("");
        params.push("ref", "1");
        assert_eq!(params.text(), "ref=1");
    }
}
