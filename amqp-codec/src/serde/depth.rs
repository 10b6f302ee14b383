//! How deep a conversion goes: both directions recurse with the value, so both are bounded.

use super::Error;
use crate::decode::Limits;

/// Rust types may wrap a level of AMQP in an option and in newtypes, which is recursion too; a type such as
/// `struct Endless(Option<Box<Endless>>)` would never come to an end.
const STEPS: usize = 128;

/// What is left of the depth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    /// Lists, maps, arrays and descriptors within each other.
    levels: usize,
    /// The same, and options and newtypes.
    steps: usize,
}

impl Depth {
    /// For what will be encoded: the levels that a decoder with default limits takes.
    pub(super) fn of_encoded() -> Self {
        Self { levels: Limits::default().max_depth, steps: STEPS }
    }

    /// For what was decoded, with whatever limits.
    pub(super) const fn of_decoded() -> Self {
        Self { levels: STEPS, steps: STEPS }
    }

    /// One list, map, array or descriptor deeper.
    pub(super) fn level(self) -> Result<Self, Error> {
        match self.levels.checked_sub(1) {
            Some(levels) => Self { levels, ..self }.step(),
            None => Err(Error::expected("less nesting", "one level too many")),
        }
    }

    /// One step deeper that is no level on the wire.
    pub(super) fn step(self) -> Result<Self, Error> {
        match self.steps.checked_sub(1) {
            Some(steps) => Ok(Self { steps, ..self }),
            None => Err(Error::expected("less nesting", "one level too many")),
        }
    }
}
