//! Percent-encoding of names in addresses.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One path segment, for addresses of RabbitMQ 4.
pub(crate) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// One path segment for RabbitMQ 3, which undoes nothing but `%2F`.
pub(crate) fn old_segment(name: &str) -> String {
    name.replace('/', "%2F")
}

/// The management path of a queue.
pub(crate) fn queue_path(queue: &str) -> String {
    format!("/queues/{}", segment(queue))
}

/// The management path of an exchange.
pub(crate) fn exchange_path(exchange: &str) -> String {
    format!("/exchanges/{}", segment(exchange))
}
