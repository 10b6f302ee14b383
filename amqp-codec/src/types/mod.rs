//! The type system (part 1): primitive types, described types, and values of any type.

pub(crate) mod array;
mod borrowed;
pub(crate) mod constructor;
mod decimal;
mod map;
pub(crate) mod primitive;
mod string;
mod symbol;
mod timestamp;
mod value;

pub use array::{Array, ArrayError};
pub use borrowed::{ArrayRef, EntriesRef, ItemsRef, ListRef, MapKeyRef, MapRef};
pub use constructor::ElementType;
pub(crate) use constructor::type_of_code;
pub use decimal::{Decimal32, Decimal64, Decimal128};
pub use map::{Fields, Map};
pub(crate) use map::{Key, duplicate, has_duplicates, keyed_map};
pub use string::ByteString;
pub use symbol::{NotAscii, Symbol, SymbolRef};
pub use timestamp::Timestamp;
pub use value::{Described, DescribedRef, Value, ValueRef};
