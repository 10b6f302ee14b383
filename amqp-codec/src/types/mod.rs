//! The type system (part 1): primitive types, described types, and values of any type.

pub(crate) mod array;
pub(crate) mod constructor;
mod decimal;
mod map;
pub(crate) mod primitive;
mod string;
mod symbol;
mod timestamp;
mod value;

pub use array::{Array, ArrayError};
pub use constructor::ElementType;
pub(crate) use constructor::type_of_code;
pub use decimal::{Decimal32, Decimal64, Decimal128};
pub use map::{Fields, Map};
pub(crate) use map::{has_duplicates, keyed_map, refuse_duplicates};
pub use string::ByteString;
pub use symbol::{NotAscii, Symbol};
pub use timestamp::Timestamp;
pub use value::{Described, Value};
