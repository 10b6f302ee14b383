//! The AMQP 1.0 codec: the type system, performatives and messages, to and from bytes.
//!
//! No I/O, no clock, no async. What is kept from the input (binaries, strings, symbols, payloads) shares its buffer;
//! encoders know their length and write the smallest legal form once. No input panics, nests without bound, or makes
//! the decoder allocate out of proportion.
//!
//! # Values (part 1)
//!
//! ```
//! use amqp_codec::types::{Symbol, Value};
//! use amqp_codec::{Decode, Encode};
//!
//! let value = Value::List(vec![7_u32.into(), Symbol::from_static("queue").into(), Value::Null]);
//! let octets = value.to_bytes();
//! assert_eq!(octets, &b"\xc0\x0b\x03\x52\x07\xa3\x05queue\x40"[..]);
//! assert_eq!(Value::from_bytes(octets)?, value);
//! # Ok::<(), amqp_codec::DecodeError>(())
//! ```
//!
//! # Performatives and frames (part 2)
//!
//! ```
//! use amqp_codec::frame;
//! use amqp_codec::transport::{Open, Performative};
//! use amqp_codec::BytesMut;
//!
//! let open = Performative::Open(Box::new(Open::new("c1")));
//! let mut out = BytesMut::new();
//! frame::encode_frame(&mut out, 0, &open);
//! assert_eq!(out, &b"\0\0\0\x12\x02\0\0\0\0\x53\x10\xc0\x05\x01\xa1\x02c1"[..]);
//! let (decoded, payload) = frame::decode_amqp_body(out.freeze().slice(8..))?;
//! assert_eq!((decoded, payload.len()), (open, 0));
//! # Ok::<(), amqp_codec::DecodeError>(())
//! ```
//!
//! # Messages (part 3)
//!
//! ```
//! use amqp_codec::messaging::Message;
//! use amqp_codec::{Decode, Encode};
//!
//! let message = Message::data("hello").with_application_property("priority", 7_i32);
//! let received = Message::from_bytes(message.to_bytes())?;
//! assert_eq!(received.body_bytes().as_deref(), Some(&b"hello"[..]));
//! # Ok::<(), amqp_codec::DecodeError>(())
//! ```
//!
//! Transactions (part 4) are in [`transactions`], SASL frames (part 5) in [`security`].
#![warn(clippy::indexing_slicing)]

#[cfg(feature = "proptest")]
pub mod arbitrary;
mod composite;
mod decode;
mod encode;
mod error;
pub mod frame;
pub mod messaging;
pub mod security;
pub mod transactions;
pub mod transport;
pub mod types;

pub use bytes::{Bytes, BytesMut};
pub use bytestring::ByteString;
pub use decode::{Decode, Decoder, Limits};
pub use encode::Encode;
pub use error::DecodeError;
pub use uuid::Uuid;
