//! The header section (§3.2.1).

use crate::composite::{DecodeField, composite};

composite! {
    /// How a message is to be delivered (§3.2.1).
    Header = 0x70 "amqp:header:list" new() {
        /// Whether it must survive a crash. Brokers differ in what they make of an absent header: say it.
        default durable: bool = false;
        /// Its priority; absent means 4.
        optional priority: Option<u8>;
        /// How long it is worth delivering, in milliseconds.
        optional ttl: Option<u32>;
        /// Whether nobody has had it before.
        default first_acquirer: bool = false;
        /// How many attempts to deliver it have failed.
        default delivery_count: u32 = 0;
    }
}

impl Default for Header {
    fn default() -> Self {
        Self::new()
    }
}

impl Header {
    /// The priority in force.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.priority.unwrap_or(4)
    }
}
