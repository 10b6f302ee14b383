//! What an address names: a queue, the anonymous terminus, or the management node.
//!
//! | form | meaning |
//! | --- | --- |
//! | `/queues/Q` | the queue `Q`, percent-encoded (RFC 3986), as on RabbitMQ 4 |
//! | `/queue/Q`, `/amq/queue/Q` | the same as RabbitMQ 3 wrote it: only `%2F` stands for another character |
//! | `Q` | the queue of exactly this name |
//! | `/management` | the management node |
//! | null, as a target | the anonymous terminus: each message says by `properties.to` where it goes |
//!
//! Everything else is refused with the condition that the peer would meet on RabbitMQ 4.

use amqp_codec::ByteString;
use amqp_codec::transport::{ErrorInfo, conditions};
use percent_encoding::percent_decode_str;

use crate::limits::MAX_QUEUE_NAME;

/// Address of the management node.
pub(crate) const MANAGEMENT: &str = "/management";

/// What a valid address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A queue, by its decoded name.
    Queue(ByteString),
    /// The management node.
    Management,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// `amqp:invalid-field` if the text is no address, `amqp:not-found` if it names a kind of node that this broker does
    /// not have.
    pub(crate) fn parse(text: &str) -> Result<Self, ErrorInfo> {
        if text == MANAGEMENT {
            return Ok(Self::Management);
        }
        if let Some(encoded) = text.strip_prefix("/queues/") {
            return decode_segment(encoded).and_then(|name| queue(&name));
        }
        if let Some(name) = text.strip_prefix("/amq/queue/").or_else(|| text.strip_prefix("/queue/")) {
            return queue(&name.replace("%2F", "/"));
        }
        if ["/exchanges/", "/exchange/", "/topic/"].iter().any(|prefix| text.starts_with(prefix)) {
            return Err(not_found(format!("{text}: there are no exchanges here, expected /queues/<name>")));
        }
        if text.starts_with('/') {
            return Err(invalid(format!(
                "{text}: not an address, expected /queues/<name> or a plain queue name"
            )));
        }
        if text.starts_with('$') {
            return Err(not_found(format!("{text}: no such node")));
        }
        queue(text)
    }
}

/// The queue of this decoded name.
fn queue(name: &str) -> Result<Address, ErrorInfo> {
    check_queue_name(name).map(|()| Address::Queue(ByteString::from(name)))
}

/// Says whether a queue may have this name: 1 to 255 octets, no control characters.
///
/// # Errors
///
/// `amqp:invalid-field` if not.
pub(crate) fn check_queue_name(name: &str) -> Result<(), ErrorInfo> {
    if name.is_empty() {
        Err(invalid("empty queue name".to_owned()))
    } else if name.len() > MAX_QUEUE_NAME {
        Err(invalid(format!("queue name of {} octets, at most {MAX_QUEUE_NAME} are allowed", name.len())))
    } else if name.chars().any(char::is_control) {
        Err(invalid("control character in a queue name".to_owned()))
    } else {
        Ok(())
    }
}

/// Decodes one percent-encoded path segment.
///
/// # Errors
///
/// `amqp:invalid-field` if a `%` is not followed by two hexadecimal digits, if the octets are not UTF-8, or if there is
/// an unencoded `/`.
pub(crate) fn decode_segment(encoded: &str) -> Result<ByteString, ErrorInfo> {
    if encoded.contains('/') {
        return Err(invalid(format!(
            "{encoded}: expected one path segment, a slash in a name is written %2F"
        )));
    }
    let escapes_are_whole = encoded
        .split('%')
        .skip(1)
        .all(|rest| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2);
    if !escapes_are_whole {
        return Err(invalid(format!("{encoded}: expected two hexadecimal digits after %")));
    }
    match percent_decode_str(encoded).decode_utf8() {
        Ok(name) => Ok(ByteString::from(name.as_ref())),
        Err(_) => Err(invalid(format!("{encoded}: the percent-encoded octets are not UTF-8"))),
    }
}

/// The error for an address that is not one.
fn invalid(description: String) -> ErrorInfo {
    ErrorInfo::new(conditions::INVALID_FIELD, description)
}

/// The error for an address that names nothing here.
fn not_found(description: String) -> ErrorInfo {
    ErrorInfo::new(conditions::NOT_FOUND, description)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue_named(text: &str) -> Option<String> {
        match Address::parse(text) {
            Ok(Address::Queue(name)) => Some(name.to_string()),
            _ => None,
        }
    }

    fn condition(text: &str) -> String {
        Address::parse(text).expect_err("expected a refusal").condition.to_string()
    }

    #[test]
    fn every_form_of_a_queue_names_the_same_queue() {
        for text in ["jobs", "/queues/jobs", "/queue/jobs", "/amq/queue/jobs"] {
            assert_eq!(queue_named(text).as_deref(), Some("jobs"), "{text}");
        }
    }

    #[test]
    fn second_version_addresses_are_percent_decoded_once() {
        assert_eq!(queue_named("/queues/a%2Fb%20c%25").as_deref(), Some("a/b c%"));
        assert_eq!(queue_named("/queues/%e2%82%AC").as_deref(), Some("€"));
        assert_eq!(queue_named("/queues/a+b").as_deref(), Some("a+b"));
    }

    #[test]
    fn first_version_addresses_decode_only_the_slash() {
        assert_eq!(queue_named("/amq/queue/a%2Fb%20").as_deref(), Some("a/b%20"));
        assert_eq!(queue_named("/queue/a%2fb").as_deref(), Some("a%2fb"));
    }

    #[test]
    fn a_plain_name_is_taken_as_it_is() {
        assert_eq!(queue_named("a%2Fb").as_deref(), Some("a%2Fb"));
        assert_eq!(queue_named("a/b").as_deref(), Some("a/b"));
    }

    #[test]
    fn malformed_addresses_are_invalid_fields() {
        for text in [
            "",
            "/",
            "/queues/",
            "/queues/a/b",
            "/queues/%2",
            "/queues/%zz",
            "/queues/%ff",
            "/nothing",
            "a\u{7}",
        ] {
            assert_eq!(condition(text), "amqp:invalid-field", "{text:?}");
        }
        assert_eq!(condition(&"q".repeat(256)), "amqp:invalid-field");
    }

    #[test]
    fn nodes_that_do_not_exist_here_are_not_found() {
        for text in ["/exchanges/amq.topic/key", "/exchange/e", "/topic/t", "$management", "$cbs"] {
            assert_eq!(condition(text), "amqp:not-found", "{text:?}");
        }
    }

    #[test]
    fn management_is_a_node_of_its_own() {
        assert_eq!(Address::parse("/management"), Ok(Address::Management));
    }
}
