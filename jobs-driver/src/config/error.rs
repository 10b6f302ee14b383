//! What is wrong with a configuration, and where.

use std::fmt;

/// A configuration that cannot be used. Its `Display` is one line: `file:line:column: what is wrong, what is expected`.
///
/// Line and column are absent when the problem has no place in the file (a file that cannot be read, a value that came
/// from an override). A value that may be a secret is never part of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    position: Option<(usize, usize)>,
    message: String,
}

impl ConfigError {
    /// An error about the whole of `file`.
    pub fn new(file: impl Into<String>, message: impl Into<String>) -> Self {
        let message: String = message.into();
        // One line, whatever the text below came from.
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { file: file.into(), position: None, message }
    }

    /// The same error at a line and a column, both counted from 1.
    #[must_use]
    pub fn at(mut self, position: Option<(usize, usize)>) -> Self {
        self.position = position;
        self
    }

    /// Name of the file, as it was given; empty for a configuration that was built by hand.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line and column, counted from 1.
    #[must_use]
    pub const fn position(&self) -> Option<(usize, usize)> {
        self.position
    }

    /// What is wrong and what is expected, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
            if let Some((line, column)) = self.position {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}
