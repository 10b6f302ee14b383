//! Strategies for property tests: values of every type, every composite, SASL frames and messages.
//!
//! What they generate can be encoded and comes back equal: maps have no key twice, nesting stays far below the limit.
//! Behind the feature `proptest`, for the tests of this crate and of others.

mod composites;
mod messages;
mod values;

pub use composites::{delivery_state, error_info, performative, sasl_frame, source, target};
pub use messages::{header, message, properties};
pub use values::{array, bytes, fields, map, scalar, string, symbol, value};
