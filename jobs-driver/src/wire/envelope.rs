//! The JSON envelope of RoadRunner's Go plugin `amqp1`:
//! `{"body":"…","header":{"rr_id":"…","rr_job":"…","rr_headers":…,…}}` in one data section.

use amqp_codec::ByteString;
use amqp_codec::messaging::{ApplicationProperties, Body, Message};
use amqp_codec::types::Value;
use base64::Engine;
use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::{
    Publication, delay_from_seconds, delay_seconds, fallback_id, headers_from_json, headers_from_properties,
    headers_json,
};
use crate::job::{DEDUCED_NAME, Job};

pub(super) fn write(job: &Job, publication: &Publication) -> Result<Message, String> {
    let Ok(body) = std::str::from_utf8(&job.payload) else {
        return Err("the payload is not UTF-8 text, which `format: envelope` needs".to_owned());
    };
    let envelope = json!({
        "body": body,
        "header": {
            "rr_id": job.id,
            "rr_job": job.name,
            "rr_pipeline": job.pipeline,
            // Plain JSON text: the Go plugin writes base64 here but reads only this.
            "rr_headers": headers_json(&job.headers),
            "rr_delay": delay_seconds(job.delay),
            "rr_priority": publication.priority,
            "rr_auto_ack": job.auto_ack,
        },
    });
    let mut properties = ApplicationProperties::default();
    for (name, values) in &job.headers {
        if !name.starts_with("x-")
            && let Some(first) = values.first()
        {
            properties.insert(name.as_str(), Value::String(ByteString::from(first.as_str())));
        }
    }
    let application_properties = (!job.headers.is_empty()).then_some(properties);
    let body = Body::Data(Bytes::from(envelope.to_string()).into());
    Ok(Message { application_properties, body, ..Message::default() })
}

/// The job, if the message is in this form: one data section with an object of exactly `header` (holding `rr_id`) and
/// `body`.
pub(super) fn read(message: &Message, pipeline: &str) -> Option<Job> {
    let Body::Data(sections) = &message.body else { return None };
    let [section] = &**sections else { return None };
    // Cheap test before the expensive one: foreign payloads come here too.
    if section.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return None;
    }
    let mut envelope: Map<String, Json> = serde_json::from_slice(section).ok()?;
    if envelope.len() != 2 {
        return None;
    }
    let Json::Object(header) = envelope.remove("header")? else { return None };
    if !header.contains_key("rr_id") {
        return None;
    }
    let body = match envelope.remove("body")? {
        Json::String(body) => body,
        other => other.to_string(),
    };
    let text = |name: &str| header.get(name).and_then(Json::as_str).filter(|t| !t.is_empty());
    let id = text("rr_id").map_or_else(|| fallback_id(message), str::to_owned);
    let mut job = Job::new(pipeline, text("rr_job").unwrap_or(DEDUCED_NAME), body).with_id(id);
    job.headers = headers(header.get("rr_headers")).unwrap_or_else(|| headers_from_properties(message));
    job.delay = delay_from_seconds(header.get("rr_delay").and_then(whole));
    job.priority = header.get("rr_priority").and_then(whole);
    job.auto_ack = header.get("rr_auto_ack").and_then(Json::as_bool).unwrap_or(false);
    Some(job)
}

/// Base64 of JSON (what the Go plugin writes), JSON text, or JSON itself.
fn headers(value: Option<&Json>) -> Option<crate::job::Headers> {
    match value? {
        Json::String(text) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .ok()
            .and_then(|json| headers_from_json(&json))
            .or_else(|| headers_from_json(text.as_bytes())),
        other => headers_from_json(other.to_string().as_bytes()),
    }
}

/// A whole number, however it is written.
fn whole(value: &Json) -> Option<i64> {
    value.as_i64().or_else(|| {
        let text = value.as_f64().filter(|n| n.fract() == 0.0).map(|n| format!("{n:.0}"))?;
        text.parse().ok()
    })
}
