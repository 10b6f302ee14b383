//! The AMQP 1.0 codec: the type system, performatives and messages, to and from bytes.
//!
//! No I/O, no clock, no async. What is kept from the input (binaries, payloads, texts of more than 20 octets) shares
//! its buffer, short texts are kept in place; encoders write the smallest legal form in one pass. No input panics, nests
//! without bound, or makes the decoder allocate out of proportion.
//!
//! A chapter for each part of the specification follows; each has a module, and starts with what to open first.
//!
//! # Values (part 1)
//!
//! A [`Value`](types::Value) holds what comes, whatever its type, without loss. Where the type is known, it is read and
//! written directly: [`Decode`] and [`Encode`] are there for Rust's own types, for those that Rust lacks ([`types`]) and
//! for everything below.
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
//! Each performative is a struct of [`transport`] with the fields of the specification; absent ones are `None`, defaults
//! are filled in. [`frame`] puts them into frames and takes them out, with the payload behind a transfer shared.
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
//! A [`Message`](messaging::Message) has all its sections decoded and is one's own: to be built, changed, kept and sent.
//! [`MessageSections`](messaging::MessageSections) borrows one that was received, see
//! [below](#borrowed-forms). Sources, targets and outcomes are in [`messaging`] too.
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
//! # Transactions (part 4)
//!
//! [`transactions`] has what controllers and coordinators say to each other
//! ([`Control`](transactions::Control)), and the state of a delivery within a transaction.
//!
//! ```
//! use amqp_codec::messaging::DeliveryState;
//! use amqp_codec::transactions::TransactionalState;
//! use amqp_codec::{Bytes, Decode, Encode};
//!
//! let mut state = TransactionalState::new(Bytes::from_static(b"txn-1"));
//! state.outcome = Some(DeliveryState::Accepted);
//! let state = DeliveryState::Transactional(Box::new(state));
//! assert_eq!(DeliveryState::from_bytes(state.to_bytes())?, state);
//! # Ok::<(), amqp_codec::DecodeError>(())
//! ```
//!
//! # SASL frames (part 5)
//!
//! [`security`] has the five frames. What may be secret in them is a [`Secret`](security::Secret), which no `Debug` shows.
//!
//! ```
//! use amqp_codec::security::{SaslFrame, SaslInit, Secret};
//! use amqp_codec::types::Symbol;
//! use amqp_codec::{Bytes, BytesMut, frame};
//!
//! let mut init = SaslInit::new(Symbol::from_static("PLAIN"));
//! init.initial_response = Some(Secret(Bytes::from_static(b"\0guest\0secret")));
//! assert!(!format!("{init:?}").contains("secret"));
//! let mut out = BytesMut::new();
//! frame::encode_sasl_frame(&mut out, &SaslFrame::Init(init));
//! assert_eq!(out.len(), 36);
//! ```
//!
//! # Borrowed forms
//!
//! What is only looked at need not be owned. [`DecodeRef`] reads forms that point into the octets, named like the
//! owned ones with `Ref` behind: [`ValueRef`](types::ValueRef), [`PropertiesRef`](messaging::PropertiesRef),
//! [`TransferRef`](transport::TransferRef) and so on; [`MessageSections`](messaging::MessageSections) is the message.
//! They allocate nothing, count no reference and decode nothing that is not asked for, so a consumer that routes by a
//! property, or takes the body and leaves the rest, is done several times sooner. Every check of the owned form is made
//! when a section is asked for, with the same errors; behind it, nothing can fail any more.
//!
//! Take the owned form where a message is changed, stays after its buffer, or goes to another thread; and the borrowed one
//! to read, route and forward. `From` copies the one into the other, [`to_message`](messaging::MessageSections::to_message)
//! shares long texts and octets instead.
//!
//! ```
//! use amqp_codec::messaging::{Message, MessageSections};
//! use amqp_codec::types::ValueRef;
//! use amqp_codec::Encode;
//!
//! let message = Message::data("hello").with_application_property("tenant", "acme").with_application_property("attempt", 3);
//! let received = message.to_bytes();
//!
//! let sections = MessageSections::parse(&received)?;
//! let properties = sections.application_properties()?.unwrap_or_default();
//! assert_eq!(properties.get("tenant").and_then(|tenant| tenant.as_str()), Some("acme"));
//! for (name, value) in properties {
//!     println!("{name}: {value:?}");
//! }
//! assert_eq!(sections.data()?, Some(&b"hello"[..]));
//! # Ok::<(), amqp_codec::DecodeError>(())
//! ```
//!
//! # Input that is not to be trusted
//!
//! Sizes and counts are checked against the octets that are there before room is made for anything; all counts of one
//! input together cannot exceed its octets. Nesting and elements without octets are bounded by [`Limits`]. An error
//! says where, what was expected, what was found, and which condition to tell the peer.
//!
//! ```
//! use amqp_codec::types::Value;
//! use amqp_codec::{Bytes, Decode};
//!
//! let four_gibibytes = Bytes::from_static(b"\xb0\xff\xff\xff\xff");
//! let error = Value::from_bytes(four_gibibytes).unwrap_err();
//! assert_eq!(error.to_string(), "at offset 1: expected a size within the input, found 4294967295");
//! ```
//!
//! # Features
//!
//! `proptest`: the module `arbitrary`, with strategies for values of every type, every composite and message.
//!
//! `serde`: the module `serde`, which turns Rust types into values, octets and bodies of messages, and back:
//!
#![cfg_attr(feature = "serde", doc = "```")]
#![cfg_attr(not(feature = "serde"), doc = "```ignore")]
//! use amqp_codec::messaging::Message;
//!
//! #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
//! struct Order {
//!     id: u64,
//!     items: Vec<String>,
//! }
//!
//! let order = Order { id: 7, items: vec!["apple".to_owned()] };
//! let message = Message::value_of(&order)?;
//! assert_eq!(message.body.deserialize::<Order>()?, order);
//! # Ok::<(), amqp_codec::serde::Error>(())
//! ```
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
#[cfg(feature = "serde")]
pub mod serde;
pub mod transactions;
pub mod transport;
pub mod types;

pub use bytes::{Bytes, BytesMut};
pub use decode::{Decode, DecodeRef, Decoder, Limits};
pub use encode::Encode;
pub use error::DecodeError;
pub use types::ByteString;
pub use uuid::Uuid;
