//! What a queue is declared with, in RabbitMQ's words, and what that means here.
//!
//! An argument that would change what happens to messages and is not known here is refused, never ignored.

use std::time::Duration;

use amqp_codec::types::{Map, Value};

use crate::limits::{DeadLetter, QueueOptions};
use crate::store::Declaration;

/// Reads the body of a declaration; what it does not name is as in `defaults`.
///
/// # Errors
///
/// What cannot be done here, in words for whoever declares.
pub(crate) fn parse(wish: &Map, defaults: &QueueOptions) -> Result<(QueueOptions, Declaration), String> {
    for key in ["exclusive", "auto_delete"] {
        if flag(wish, key, false)? {
            return Err(format!("{key}: not supported, queues here are shared and stay"));
        }
    }
    let arguments = match wish.get("arguments") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Map(arguments)) => arguments.clone(),
        Some(_) => return Err("arguments: expected a map".to_owned()),
    };
    let options = options(&arguments, defaults)?;
    Ok((options, Declaration { durable: flag(wish, "durable", true)?, arguments }))
}

/// What the arguments mean.
fn options(arguments: &Map, defaults: &QueueOptions) -> Result<QueueOptions, String> {
    let mut options = defaults.clone();
    let mut exchange = None;
    let mut routing_key = None;
    for (key, value) in arguments.iter() {
        let key = key.as_str().ok_or("arguments: expected strings as keys")?;
        match key {
            "x-queue-type" => one_of(key, value, &["classic", "quorum"])?,
            "x-overflow" => one_of(key, value, &["reject-publish"])?,
            "x-dead-letter-strategy" => one_of(key, value, &["at-most-once", "at-least-once"])?,
            // Every queue has all priorities: that it is a number is all that matters.
            "x-max-priority" => {
                number(key, value)?;
            }
            "x-delivery-limit" => options.delivery_limit = delivery_limit(key, value)?,
            "x-dead-letter-exchange" => exchange = Some(text(key, value)?),
            "x-dead-letter-routing-key" => routing_key = Some(text(key, value)?),
            "x-message-ttl" => options.message_ttl = Some(Duration::from_millis(number(key, value)?)),
            "x-max-length" => options.max_length = number(key, value)?,
            "x-max-length-bytes" => options.max_bytes = number(key, value)?,
            _ => return Err(format!("argument {key}: not known here")),
        }
    }
    match (exchange, routing_key) {
        (None, None) => {}
        (Some(""), Some(queue)) if !queue.is_empty() => {
            options.dead_letter = DeadLetter::Queue(queue.to_owned());
        }
        (Some(""), _) => {
            return Err("x-dead-letter-routing-key: expected the name of the dead-letter queue".to_owned());
        }
        (Some(_), _) => {
            return Err("x-dead-letter-exchange: there are no exchanges here, expected \"\"".to_owned());
        }
        (None, Some(_)) => {
            return Err("x-dead-letter-routing-key: expected x-dead-letter-exchange too".to_owned());
        }
    }
    Ok(options)
}

/// -1 is no limit.
fn delivery_limit(key: &str, value: &Value) -> Result<Option<u32>, String> {
    if value.as_i64() == Some(-1) {
        return Ok(None);
    }
    let limit = number(key, value)?;
    u32::try_from(limit).map(Some).map_err(|_| format!("{key}: expected at most {}", u32::MAX))
}

fn flag(map: &Map, key: &str, default: bool) -> Result<bool, String> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value.as_bool().ok_or_else(|| format!("{key}: expected a boolean")),
    }
}

fn number(key: &str, value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| format!("{key}: expected a whole number, not negative"))
}

fn text<'a>(key: &str, value: &'a Value) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("{key}: expected a string"))
}

fn one_of(key: &str, value: &Value, known: &[&str]) -> Result<(), String> {
    match value.as_str() {
        Some(value) if known.contains(&value) => Ok(()),
        _ => Err(format!("{key}: expected one of {}", known.join(", "))),
    }
}
