//! The native form: the payload is the body, the job's data are application properties.

use amqp_codec::ByteString;
use amqp_codec::messaging::{ApplicationProperties, Body, Message};
use amqp_codec::types::Value;
use bytes::Bytes;

use super::{
    Publication, delay_from_seconds, delay_seconds, fallback_id, foreign, headers_from_json,
    headers_from_properties, headers_json,
};
use crate::job::{DEDUCED_NAME, Job};

pub(super) fn write(job: &Job, publication: &Publication) -> Message {
    let mut properties = ApplicationProperties::default();
    let text = |text: &str| Value::String(ByteString::from(text));
    properties.insert("rr_id", text(&job.id));
    properties.insert("rr_job", text(&job.name));
    properties.insert("rr_pipeline", text(&job.pipeline));
    properties.insert("rr_headers", Value::Binary(Bytes::from(headers_json(&job.headers))));
    // Long, not int: the 0-9-1 driver of RoadRunner 2025.1 panics at an int.
    properties.insert("rr_delay", Value::Long(delay_seconds(job.delay)));
    properties.insert("rr_priority", Value::Long(publication.priority));
    properties.insert("rr_auto_ack", Value::Bool(job.auto_ack));
    // For consumers that cannot read `rr_headers`.
    for (name, values) in &job.headers {
        if !name.starts_with("rr_")
            && !name.starts_with("x-")
            && let Some(first) = values.first()
        {
            properties.insert(name.as_str(), text(first));
        }
    }
    Message {
        application_properties: Some(properties),
        body: Body::Data(job.payload.clone().into()),
        ..Message::default()
    }
}

/// The job, if the message is in this form: `rr_id` or `rr_job` is a string.
pub(super) fn read(message: &Message, pipeline: &str) -> Option<Job> {
    let text =
        |name: &str| message.application_property(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    let (id, name) = (text("rr_id"), text("rr_job"));
    if id.is_none() && name.is_none() {
        return None;
    }
    let headers = match message.application_property("rr_headers") {
        Some(Value::Binary(json)) => headers_from_json(json),
        Some(Value::String(json)) => headers_from_json(json.as_bytes()),
        _ => None,
    };
    let id = id.map_or_else(|| fallback_id(message), str::to_owned);
    let mut job =
        Job::new(pipeline, name.unwrap_or(DEDUCED_NAME), foreign::payload(&message.body)).with_id(id);
    job.headers = headers.unwrap_or_else(|| headers_from_properties(message));
    job.delay = delay_from_seconds(message.application_property("rr_delay").and_then(Value::as_i64));
    job.priority = message.application_property("rr_priority").and_then(Value::as_i64);
    job.auto_ack = message.application_property("rr_auto_ack").and_then(Value::as_bool).unwrap_or(false);
    Some(job)
}
