//! The configuration as a tree, free of the file format it came from.

use std::collections::BTreeMap;

/// One value of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

impl Node {
    pub(crate) const fn empty_map() -> Self {
        Self::Map(BTreeMap::new())
    }

    /// What kind of value this is, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Signed(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a section",
        }
    }

    /// The node at a dotted path. A key may hold dots itself (a pipeline `a.b`): the longest key that fits is taken.
    pub(crate) fn find(&self, path: &str) -> Option<&Self> {
        if path.is_empty() {
            return Some(self);
        }
        let Self::Map(map) = self else { return None };
        candidates(path).find_map(|(key, rest)| child(map, key)?.find(rest))
    }

    /// Sets the leaf at a dotted path, making sections on the way. Keys that are there already keep their spelling.
    pub(crate) fn set(&mut self, path: &str, value: Self) {
        if !matches!(self, Self::Map(_)) {
            *self = Self::empty_map();
        }
        let Self::Map(map) = self else { return };
        for (key, rest) in candidates(path) {
            if let Some(existing) = spelling(map, key) {
                if rest.is_empty() {
                    map.insert(existing, value);
                } else {
                    map.entry(existing).or_insert(Self::Null).set(rest, value);
                }
                return;
            }
        }
        match path.split_once('.') {
            None => {
                map.insert(path.to_lowercase(), value);
            }
            Some((key, rest)) => map.entry(key.to_lowercase()).or_insert(Self::Null).set(rest, value),
        }
    }
}

/// All ways to cut `path` into a first key and the rest, the longest key first.
fn candidates(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let cuts = path.rmatch_indices('.').filter_map(|(at, _)| Some((path.get(..at)?, path.get(at + 1..)?)));
    std::iter::once((path, "")).chain(cuts)
}

fn child<'a>(map: &'a BTreeMap<String, Node>, key: &str) -> Option<&'a Node> {
    map.get(key).or_else(|| map.get(&spelling(map, key)?))
}

/// How the key is spelled in the map: as given, or any spelling that differs in case only.
fn spelling(map: &BTreeMap<String, Node>, key: &str) -> Option<String> {
    if map.contains_key(key) {
        return Some(key.to_owned());
    }
    let lower = key.to_lowercase();
    map.keys().find(|k| k.to_lowercase() == lower).cloned()
}
