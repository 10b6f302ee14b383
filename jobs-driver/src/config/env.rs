//! Environment variables: where they come from, and how a text refers to them.
//!
//! The rules are those of RoadRunner's configuration: `$NAME`, `${NAME}` and `${NAME:-default}`, with the corners that
//! existing files rely on (see the tests).

use std::collections::BTreeMap;
use std::sync::Arc;

/// The variables that a configuration may refer to. The default is the environment of the process.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Looked at first; `None` for the process alone.
    fixed: Option<Arc<BTreeMap<String, String>>>,
    /// From dotenv files: only for what is not set otherwise.
    extra: BTreeMap<String, String>,
}

impl Environment {
    /// Exactly these variables and nothing of the process.
    pub fn of<K: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (K, V)>) -> Self {
        let fixed = variables.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self { fixed: Some(Arc::new(fixed)), extra: BTreeMap::new() }
    }

    /// The value of `name`, if it is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let set = match &self.fixed {
            Some(fixed) => fixed.get(name).cloned(),
            None => std::env::var(name).ok(),
        };
        set.or_else(|| self.extra.get(name).cloned())
    }

    /// Adds the variables of a dotenv text; those that are set already keep their value.
    pub fn add_dotenv(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            if line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once('=') else { continue };
            let value = value.trim();
            let value = match value.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    value.get(1..).and_then(|v| v.split(quote).next()).unwrap_or_default().to_owned()
                }
                _ => value.split(" #").next().unwrap_or_default().trim_end().to_owned(),
            };
            self.extra.entry(name.trim().to_owned()).or_insert(value);
        }
    }

    /// `text` with its references replaced.
    ///
    /// An unset or empty variable gives its default, or nothing. Names made of one special character (`$$`, `$1`, …)
    /// vanish. Once `:-` occurs anywhere in the text, every reference must have exactly one, or the result is empty.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        let with_defaults = text.contains(":-");
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, after) = rest.split_at(at);
            out.push_str(before);
            let after = after.strip_prefix('$').unwrap_or(after);
            if after.is_empty() {
                out.push('$');
                rest = after;
                break;
            }
            let (name, tail) = reference(after);
            rest = tail;
            match name {
                Reference::None => out.push('$'),
                Reference::Bad => {}
                Reference::Name(name) if with_defaults => {
                    let mut parts = name.split(":-");
                    let (Some(name), Some(default), None) = (parts.next(), parts.next(), parts.next()) else {
                        return String::new();
                    };
                    match self.get(name).filter(|v| !v.is_empty()) {
                        Some(value) => out.push_str(&value),
                        None => out.push_str(default),
                    }
                }
                Reference::Name(name) => out.push_str(&self.get(name).unwrap_or_default()),
            }
        }
        out.push_str(rest);
        out
    }
}

/// What follows a `$`.
enum Reference<'a> {
    /// No name: the dollar stands for itself.
    None,
    /// Broken braces: swallowed.
    Bad,
    Name(&'a str),
}

/// The reference at the start of `text` (behind the dollar) and what is left after it.
fn reference(text: &str) -> (Reference<'_>, &str) {
    let special = |c: char| matches!(c, '*' | '#' | '$' | '@' | '!' | '?' | '-' | '0'..='9');
    if let Some(inner) = text.strip_prefix('{') {
        return match inner.split_once('}') {
            Some(("", tail)) => (Reference::Bad, tail),
            Some((name, tail)) => (Reference::Name(name), tail),
            None => (Reference::Bad, inner),
        };
    }
    let first = text.chars().next();
    if let Some(first) = first.filter(|c| special(*c)) {
        let (name, tail) = text.split_at(first.len_utf8());
        return (Reference::Name(name), tail);
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, tail) = text.split_at(end);
    if name.is_empty() { (Reference::None, tail) } else { (Reference::Name(name), tail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_expand_as_in_roadrunner() {
        let env = Environment::of([("HOST", "rabbit"), ("EMPTY", "")]);
        for (text, expected) in [
            ("plain", "plain"),
            ("$HOST", "rabbit"),
            ("${HOST}", "rabbit"),
            ("amqp://${HOST}:5672/", "amqp://rabbit:5672/"),
            ("${HOST:-other}", "rabbit"),
            ("${EMPTY:-other}", "other"),
            ("${UNSET:-other}", "other"),
            ("${UNSET:-}", ""),
            ("[$UNSET]", "[]"),
            ("ends with $", "ends with $"),
            ("pa$$word", "paword"),
            ("amqp://u:p$ss@h", "amqp://u:p@h"),
            ("a$1b", "ab"),
            ("a $ b", "a $ b"),
            ("${A:-x}-${B}", ""),
            ("${A:-b:-c}", ""),
            ("${A:-${B}}", "${B}"),
            ("no reference :- here", "no reference :- here"),
            ("${}x", "x"),
            ("${HOST", "HOST"),
        ] {
            assert_eq!(env.expand(text), expected, "{text}");
        }
    }

    #[test]
    fn dotenv_never_overrides_what_is_set() {
        let mut env = Environment::of([("A", "1")]);
        env.add_dotenv("# comment\nA=2\nexport B=\"two words\" # why\nC = x # note\n\nD='$q'\nbroken\n");
        assert_eq!(env.get("A").as_deref(), Some("1"));
        assert_eq!(env.get("B").as_deref(), Some("two words"));
        assert_eq!(env.get("C").as_deref(), Some("x"));
        assert_eq!(env.get("D").as_deref(), Some("$q"));
    }
}
