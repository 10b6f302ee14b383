//! Messages of producers that know nothing of jobs.

use amqp_codec::messaging::{Body, Message};
use amqp_codec::types::Value;
use bytes::Bytes;
use serde_json::{Map, Value as Json};

use super::fallback_id;
use crate::job::{DEDUCED_NAME, Headers, Job};

/// How deep a value is followed when it is written as JSON.
const MAX_DEPTH: usize = 32;

/// Any message is a job: its properties and `x-` annotations are the headers, its body is the payload.
pub(super) fn read(message: &Message, pipeline: &str) -> Job {
    let mut headers = Headers::new();
    for (name, value) in message.application_properties.iter().flat_map(|p| p.iter()) {
        let values = texts(value);
        if !values.is_empty() {
            headers.insert(name.to_string(), values);
        }
    }
    for (name, value) in message.message_annotations.iter().flat_map(|a| a.iter()) {
        let Some(name) = name.as_str() else { continue };
        let values = texts(value);
        if name.starts_with("x-") && !is_of_the_broker(name) && !values.is_empty() {
            headers.entry(name.to_owned()).or_insert(values);
        }
    }
    Job::new(pipeline, DEDUCED_NAME, payload(&message.body))
        .with_id(fallback_id(message))
        .with_headers(headers)
}

/// Annotations that brokers add on the way; they say nothing about the job, and some would steer its next publication.
fn is_of_the_broker(name: &str) -> bool {
    const NAMES: [&str; 6] =
        ["x-exchange", "x-routing-key", "x-delivery-count", "x-acquired-count", "x-delay", "x-cc"];
    const PREFIXES: [&str; 5] = ["x-opt-", "x-basic-", "x-death", "x-first-death-", "x-last-death-"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The body as bytes: data as it is, a text or binary value as it is, any other value as JSON.
pub(super) fn payload(body: &Body) -> Bytes {
    match body {
        Body::Empty => Bytes::new(),
        Body::Data(sections) => match &**sections {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => Bytes::from(many.concat()),
        },
        Body::Value(Value::String(text)) => Bytes::copy_from_slice(text.as_bytes()),
        Body::Value(Value::Binary(bytes)) => bytes.clone(),
        Body::Value(Value::Null) => Bytes::new(),
        Body::Value(value) => Bytes::from(json(value, 0).to_string()),
        Body::Sequence(sections) => {
            let items = sections.iter().flatten().map(|value| json(value, 1)).collect();
            Bytes::from(Json::Array(items).to_string())
        }
    }
}

/// A simple value as text; `None` for those that have no sensible text.
pub(super) fn text(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(text) => text.to_string(),
        Value::Symbol(symbol) => symbol.as_str().to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Char(value) => value.to_string(),
        Value::Float(value) => format!("{value:.5}"),
        Value::Double(value) => format!("{value:.5}"),
        Value::Timestamp(time) => rfc3339(time.0),
        Value::Uuid(id) => id.to_string(),
        Value::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => match (other.as_i64(), other.as_u64()) {
            (Some(number), _) => number.to_string(),
            (_, Some(number)) => number.to_string(),
            _ => return None,
        },
    })
}

/// The texts of a value: one, or those of a list's simple items.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::List(items) => items.iter().filter_map(text).collect(),
        single => text(single).into_iter().collect(),
    }
}

fn json(value: &Value, depth: usize) -> Json {
    if depth > MAX_DEPTH {
        return Json::Null;
    }
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Float(value) => Json::from(*value),
        Value::Double(value) => Json::from(*value),
        Value::List(items) => Json::Array(items.iter().map(|item| json(item, depth + 1)).collect()),
        Value::Map(map) => Json::Object(
            map.iter()
                .filter_map(|(key, value)| Some((text(key)?, json(value, depth + 1))))
                .collect::<Map<String, Json>>(),
        ),
        Value::Described(described) => json(&described.value, depth + 1),
        other => match (other.as_i64(), other.as_u64()) {
            (Some(number), _) if !matches!(other, Value::Timestamp(_)) => Json::from(number),
            (_, Some(number)) => Json::from(number),
            _ => text(other).map_or(Json::Null, Json::String),
        },
    }
}

/// `2024-05-01T12:00:00Z`, or with milliseconds when there are any.
fn rfc3339(millis: i64) -> String {
    let (seconds, millis) = (millis.div_euclid(1000), millis.rem_euclid(1000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01, in cycles of 400 years of 146097 days.
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = cycle * 400 + year + carry;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000_000, "2023-11-14T22:13:20Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
        }
        // Whatever a producer writes there.
        let _ = (rfc3339(i64::MAX), rfc3339(i64::MIN));
    }
}
