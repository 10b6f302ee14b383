//! Reading the configuration file: YAML (or JSON) in, a tree of sections out, by RoadRunner's rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::de::Mismatch;
use super::env::Environment;
use super::error::ConfigError;
use super::locate::locate;
use super::node::Node;

/// How a file is loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Values that replace what the file says: `key.path=value`, in order.
    pub overrides: Vec<String>,
    /// The variables that the file may refer to.
    pub environment: Environment,
}

/// A configuration file that has been read, expanded and merged.
///
/// Keys are lower case, as RoadRunner makes them, except the names of pipelines, which keep their spelling.
#[derive(Clone)]
pub struct File {
    name: String,
    directory: PathBuf,
    text: String,
    root: Node,
}

// The values may hold secrets, so only the names of the sections are shown.
impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sections: Vec<&String> = match &self.root {
            Node::Map(map) => map.keys().collect(),
            _ => Vec::new(),
        };
        f.debug_struct("File").field("name", &self.name).field("sections", &sections).finish_non_exhaustive()
    }
}

impl File {
    /// Reads the file at `path`. References to environment variables are replaced, then the overrides are applied, then
    /// the files named by `include` take the place of whole sections.
    ///
    /// # Errors
    /// A file that cannot be read, is not YAML (with line and column), or has an unsupported `version`.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = read(path)?;
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Absolute, so that a process may change its working directory and still find what the file names.
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        Self::build(text, &name, &directory, options)
    }

    /// Reads a configuration from memory; `name` is used in errors. Relative paths in it are relative to the working
    /// directory.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn parse(text: &str, name: &str, options: &LoadOptions) -> Result<Self, ConfigError> {
        Self::build(text.to_owned(), name, Path::new("."), options)
    }

    fn build(text: String, name: &str, directory: &Path, options: &LoadOptions) -> Result<Self, ConfigError> {
        let mut root = parse_tree(&text, name)?;
        let mut environment = options.environment.clone();
        if let Some(Node::Text(dotenv)) = root.find("envfile") {
            let path = directory.join(dotenv);
            environment.add_dotenv(&read(&path)?);
        }
        expand(&mut root, &environment);
        let mut file = Self { name: name.to_owned(), directory: directory.to_owned(), text, root };
        file.check_version()?;
        for entry in &options.overrides {
            let Some((path, value)) = entry.split_once('=').filter(|(path, _)| !path.trim().is_empty())
            else {
                // What comes behind the key may be a secret.
                let key = entry.split(['=', ':']).next().unwrap_or_default();
                let message = format!("override \"{key}…\": expected key.path=value");
                return Err(ConfigError::new(name, message));
            };
            let value = environment.expand(unquote(value.trim()));
            file.root.set(path.trim(), Node::Text(value));
        }
        file.include(&environment)?;
        Ok(file)
    }

    fn check_version(&self) -> Result<(), ConfigError> {
        let version = match self.root.find("version") {
            None | Some(Node::Null) => return Ok(()),
            Some(Node::Text(version)) => version.clone(),
            Some(Node::Unsigned(version)) => version.to_string(),
            Some(Node::Float(version)) => version.to_string(),
            Some(other) => {
                return Err(self.error_at("version", &format!("expected \"3\", found {}", other.kind())));
            }
        };
        if version == "3" || version == "2" || version.starts_with("3.") || version.starts_with("2.") {
            Ok(())
        } else {
            Err(self.error_at(
                "version",
                &format!("unsupported configuration version {version:?}, expected \"3\""),
            ))
        }
    }

    fn include(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        let names: Vec<String> = self.section("include")?.unwrap_or_default();
        for name in names {
            let path = self.directory.join(&name);
            let mut tree = parse_tree(&read(&path)?, &path.display().to_string())?;
            expand(&mut tree, environment);
            let (Node::Map(sections), Node::Map(root)) = (tree, &mut self.root) else { continue };
            for (key, section) in sections {
                if key != "version" {
                    root.insert(key, section);
                }
            }
        }
        Ok(())
    }

    /// The section (or any value) at a dotted path, such as `server` or `jobs.pool`, as a typed value. `None` when it is
    /// absent or empty (`server:` with nothing behind it).
    ///
    /// Conversions are lenient: numbers and booleans may be written as text, a list as text with commas.
    ///
    /// # Errors
    /// A value of the wrong type, with the place of its key in the file.
    pub fn section<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ConfigError> {
        match self.root.find(path) {
            None | Some(Node::Null) => Ok(None),
            Some(node) => self.typed(path, node.clone()).map(Some),
        }
    }

    /// Whether there is anything at a dotted path.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        !matches!(self.root.find(path), None | Some(Node::Null))
    }

    /// The directory of the file, absolute if it was loaded; relative paths in the file are relative to it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The name of the file, as errors show it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Replaces one value, or adds it.
    pub fn set(&mut self, path: &str, value: &str) {
        self.root.set(path, Node::Text(value.to_owned()));
    }

    /// An error about the value at a dotted path: `file:line:column: path: message`.
    #[must_use]
    pub fn error_at(&self, path: &str, message: &str) -> ConfigError {
        let keys: Vec<String> = path.split('.').map(str::to_owned).collect();
        self.error_at_keys(&keys, message)
    }

    pub(super) fn error_at_keys(&self, keys: &[String], message: &str) -> ConfigError {
        let path = keys.join(".");
        ConfigError::new(&self.name, format!("{path}: {message}")).at(locate(&self.text, keys))
    }

    pub(super) fn node(&self, path: &str) -> Option<&Node> {
        self.root.find(path)
    }

    /// `node`, which stands at `path`, as a typed value.
    pub(super) fn typed<T: DeserializeOwned>(&self, path: &str, node: Node) -> Result<T, ConfigError> {
        T::deserialize(node).map_err(|Mismatch { message, path: mut inner }| {
            let mut keys: Vec<String> = path.split('.').map(str::to_owned).collect();
            inner.reverse();
            keys.extend(inner);
            self.error_at_keys(&keys, &message)
        })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|e| {
        ConfigError::new(path.display().to_string(), format!("cannot read the configuration file: {e}"))
    })
}

fn parse_tree(text: &str, name: &str) -> Result<Node, ConfigError> {
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).map_err(|e| yaml_error(&e, name))?;
    value.apply_merge().map_err(|e| yaml_error(&e, name))?;
    match value {
        serde_yaml::Value::Null => Ok(Node::empty_map()),
        value @ serde_yaml::Value::Mapping(_) => Ok(tree(value, KeyCase::Lower, 0)),
        _ => Err(ConfigError::new(name, "expected sections such as `amqp1:` and `jobs:`").at(Some((1, 1)))),
    }
}

fn yaml_error(error: &serde_yaml::Error, name: &str) -> ConfigError {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
    let position = error.location().map(|at| (at.line(), at.column()));
    ConfigError::new(name, format!("not valid YAML: {message}")).at(position)
}

/// What happens to the keys of a map.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyCase {
    Lower,
    /// The names of pipelines, which keep their spelling.
    Keep,
}

fn tree(value: serde_yaml::Value, case: KeyCase, depth: usize) -> Node {
    use serde_yaml::Value;
    match value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Bool(value),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(value), ..) => Node::Unsigned(value),
            (_, Some(value), _) => Node::Signed(value),
            (.., Some(value)) => Node::Float(value),
            _ => Node::Null,
        },
        Value::String(text) => Node::Text(text),
        Value::Sequence(items) => {
            Node::List(items.into_iter().map(|v| tree(v, KeyCase::Lower, depth + 1)).collect())
        }
        Value::Mapping(mapping) => {
            let mut map = BTreeMap::new();
            for (key, value) in mapping {
                let Some(name) = key_text(&key) else { continue };
                let lower = name.to_lowercase();
                // `jobs.pipelines`, and `pipelines` nowhere else.
                let inner = if depth == 1 && lower == "pipelines" { KeyCase::Keep } else { KeyCase::Lower };
                let value = tree(value, inner, depth + 1);
                map.insert(if case == KeyCase::Keep { name } else { lower }, value);
            }
            Node::Map(map)
        }
        Value::Tagged(tagged) => tree(tagged.value, case, depth),
    }
}

fn key_text(key: &serde_yaml::Value) -> Option<String> {
    use serde_yaml::Value;
    match key {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn expand(node: &mut Node, environment: &Environment) {
    match node {
        Node::Text(text) if text.contains('$') => {
            *text = environment.expand(text);
        }
        Node::List(items) => items.iter_mut().for_each(|item| expand(item, environment)),
        Node::Map(map) => map.values_mut().for_each(|value| expand(value, environment)),
        _ => {}
    }
}

/// The value of an override without the quotes around it.
fn unquote(value: &str) -> &str {
    for quote in ['\'', '"', '`'] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}
