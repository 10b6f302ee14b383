//! The tokio side of a connection: the engine under a short lock, and the one task that carries its octets.

pub(crate) mod clock;
pub(crate) mod driver;
pub(crate) mod frame_log;
mod input;
pub(crate) mod random;
pub(crate) mod shared;
mod table;
