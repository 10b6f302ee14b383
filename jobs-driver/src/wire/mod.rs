//! Jobs as AMQP messages, and messages as jobs.
//!
//! Three forms are read, in this order: the *native* form (the payload as it is, the job's data as application
//! properties; shared with RoadRunner's AMQP 0-9-1 driver), the JSON *envelope* of RoadRunner's Go plugin `amqp1`, and
//! *foreign* messages of any other producer. The first two can be written.

mod envelope;
mod foreign;
mod properties;

use std::time::{Duration, SystemTime};

use amqp_codec::messaging::{Header, Message, MessageId, Properties};
use amqp_codec::types::{Symbol, Timestamp, Value};
use uuid::Uuid;

use crate::config::Format;
use crate::job::{Headers, Job};

/// Header of a job that names the routing key for this one job.
pub const ROUTING_KEY_HEADER: &str = "x-routing-key";
/// Application property with the attempts that earlier copies of the job had.
const ATTEMPT: &str = "rr_attempt";
/// Longest header map that is looked at; more is a message that somebody made to hurt.
const MAX_HEADERS_JSON: usize = 1 << 20;

/// What a publication says beside the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// The form of the message.
    pub format: Format,
    /// Priority, with the pipeline's in place of an absent one.
    pub priority: i64,
    /// `properties.subject`.
    pub subject: Option<String>,
    /// Attempts that earlier copies of the job had.
    pub attempts: u32,
}

/// A job as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The job; its priority is what the message says, `None` when it says nothing.
    pub job: Job,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// The message of a job. Each call makes a new message-id.
///
/// # Errors
/// A payload that is not text, in the envelope form: why the job cannot be written.
pub fn message(job: &Job, publication: &Publication) -> Result<Message, String> {
    let mut message = match publication.format {
        Format::Envelope => envelope::write(job, publication)?,
        Format::Native => properties::write(job, publication),
    };
    message.header = Some(Header { durable: true, ..Header::default() });
    message.properties = Some(Properties {
        message_id: Some(MessageId::String(Uuid::new_v4().to_string().into())),
        subject: publication.subject.as_deref().map(Into::into),
        content_type: Some(match publication.format {
            Format::Envelope => Symbol::from_static("application/json"),
            Format::Native => Symbol::from_static("application/octet-stream"),
        }),
        creation_time: Some(Timestamp::from(SystemTime::now())),
        ..Properties::default()
    });
    if publication.attempts > 0 {
        let properties = message.application_properties.get_or_insert_default();
        properties.insert(ATTEMPT, Value::Long(i64::from(publication.attempts)));
    }
    Ok(message)
}

/// The job of a message that came from `pipeline`.
#[must_use]
pub fn job(message: &Message, pipeline: &str) -> Received {
    let job = properties::read(message, pipeline)
        .or_else(|| envelope::read(message, pipeline))
        .unwrap_or_else(|| foreign::read(message, pipeline));
    Received { job, attempt: attempt(message) }
}

/// 1, what earlier copies had, and what the broker counted for this one.
fn attempt(message: &Message) -> u32 {
    let counted = message.header.as_ref().map_or(0, |header| u64::from(header.delivery_count));
    let annotated = ["x-delivery-count", "x-acquired-count"]
        .into_iter()
        .filter_map(|name| message.annotation(name)?.as_u64())
        .max()
        .unwrap_or(0);
    let earlier = message.application_property(ATTEMPT).and_then(Value::as_u64).unwrap_or(0);
    let all = earlier.saturating_add(counted.max(annotated)).saturating_add(1);
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// Headers as JSON: `{"name":["value"]}`.
fn headers_json(headers: &Headers) -> String {
    serde_json::to_string(headers).unwrap_or_else(|_| "{}".to_owned())
}

/// Headers from JSON. Values that are no lists of strings are made so; `None` if it is no map at all.
fn headers_from_json(json: &[u8]) -> Option<Headers> {
    use serde_json::Value as Json;
    if json.len() > MAX_HEADERS_JSON {
        return None;
    }
    let text = |value: Json| match value {
        Json::String(text) => Some(text),
        Json::Null => None,
        other => Some(other.to_string()),
    };
    match serde_json::from_slice(json).ok()? {
        Json::Null => Some(Headers::new()),
        Json::Array(items) if items.is_empty() => Some(Headers::new()),
        Json::Object(map) => Some(
            map.into_iter()
                .map(|(name, value)| {
                    let values = match value {
                        Json::Array(items) => items.into_iter().filter_map(text).collect(),
                        single => text(single).into_iter().collect(),
                    };
                    (name, values)
                })
                .collect(),
        ),
        _ => None,
    }
}

/// Headers rebuilt from the single-valued application properties that producers add beside `rr_headers`.
fn headers_from_properties(message: &Message) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in message.application_properties.iter().flat_map(|p| p.iter()) {
        if !name.starts_with("rr_")
            && !name.starts_with("x-")
            && let Some(text) = foreign::text(value)
        {
            headers.insert(name.to_string(), vec![text]);
        }
    }
    headers
}

/// Whole seconds of a delay, as the formats have it; rounded up so that a short delay is not taken for none.
fn delay_seconds(delay: Duration) -> i64 {
    let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// A delay from whole seconds; negative ones are none.
fn delay_from_seconds(seconds: Option<i64>) -> Duration {
    Duration::from_secs(seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0))
}

/// The identifier of a job whose producer gave none: the message's, or a new one.
fn fallback_id(message: &Message) -> String {
    message
        .properties
        .as_ref()
        .and_then(|p| p.message_id.as_ref())
        .map(ToString::to_string)
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| Uuid::new_v4().to_string())
}

#[cfg(test)]
mod tests;
