//! What a worker answers to a job: a frame with a small JSON document in it.
//!
//! Reading is lenient where client libraries are known to differ (`[]` for an empty object, missing `data`, a single
//! string for a list), and never drops a job without a trace: an answer that cannot be understood fails the job.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use tracing::warn;

use super::source::{MAX_DELAY, Verdict};
use crate::goridge::frame::{Flags, Frame, StreamBits};

/// An answer, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The job is over for this worker.
    Verdict(Verdict),
    /// The worker did not run the job and wants to be replaced; another one runs it.
    Replace,
}

impl Answer {
    /// Understands the frame that came back for a job.
    pub(crate) fn read(frame: &Frame) -> Self {
        if frame.flags.contains(Flags::ERROR) {
            let reason = String::from_utf8_lossy(&frame.payload).into_owned();
            return Self::Verdict(Verdict::Fail { reason });
        }
        if frame.stream.contains(StreamBits::STREAM) {
            return Self::Verdict(Verdict::Fail {
                reason: "the worker streams its answer, which jobs do not support".to_owned(),
            });
        }
        let Some((context, body)) = frame.context_and_body() else {
            return not_understood("it has no context length", &frame.payload);
        };
        if body.is_empty() && is_stop(&context) {
            return Self::Replace;
        }
        match serde_json::from_slice(&body) {
            Ok(Value::Object(answer)) => read_document(&answer, &body),
            Ok(_) => not_understood("it is no JSON object", &body),
            Err(error) => not_understood(&error.to_string(), &body),
        }
    }
}

/// `{"type": number, "data": object}`.
fn read_document(answer: &Map<String, Value>, body: &[u8]) -> Answer {
    let kind = match field(answer, "type") {
        Some(Value::Number(kind)) => kind.as_u64(),
        Some(Value::String(kind)) => kind.trim().parse().ok(),
        _ => None,
    };
    let Some(kind) = kind else { return not_understood("\"type\" is no number", body) };
    let empty = Map::new();
    let data = field(answer, "data").and_then(Value::as_object).unwrap_or(&empty);
    let reason = || text(field(data, "message")).unwrap_or_else(|| "failed without a message".to_owned());
    let verdict = match kind {
        // 0 is the old name of 2.
        0 | 2 => Verdict::Ack,
        1 if truth(field(data, "requeue")) => {
            Verdict::Requeue { headers: headers(field(data, "headers")), delay: delay(data) }
        }
        1 => {
            // The old "error without requeue" means that the job is over.
            warn!(reason = reason(), "the worker failed the job for good");
            Verdict::Ack
        }
        3 => Verdict::Nack { requeue: truth(field(data, "requeue")), delay: delay(data), reason: reason() },
        4 => Verdict::Requeue { headers: headers(field(data, "headers")), delay: delay(data) },
        other => {
            warn!(kind = other, "the worker answered with an unknown type; taken as acknowledged");
            Verdict::Ack
        }
    };
    Answer::Verdict(verdict)
}

#[cold]
fn not_understood(why: &str, body: &[u8]) -> Answer {
    let shown: String = String::from_utf8_lossy(body.get(..200).unwrap_or(body)).escape_debug().collect();
    Answer::Verdict(Verdict::Nack {
        requeue: false,
        delay: Duration::ZERO,
        reason: format!("the worker's answer is not understood ({why}): \"{shown}\""),
    })
}

fn is_stop(context: &[u8]) -> bool {
    serde_json::from_slice::<Map<String, Value>>(context)
        .is_ok_and(|context| context.len() == 1 && context.get("stop") == Some(&Value::Bool(true)))
}

/// A member by name; the existing servers ignore case here, so workers may rely on it.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object
        .get(name)
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}

fn truth(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(truth)) => *truth,
        Some(Value::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
        Some(Value::String(text)) => matches!(text.as_str(), "1" | "true"),
        _ => false,
    }
}

/// `delay_seconds`; negative and senseless values are no delay, too large ones are [`MAX_DELAY`].
fn delay(data: &Map<String, Value>) -> Duration {
    let seconds = match field(data, "delay_seconds") {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let seconds = seconds.filter(|seconds| *seconds > 0.0).unwrap_or_default();
    // What is left cannot be negative, so it can only be too large.
    Duration::try_from_secs_f64(seconds).map_or(MAX_DELAY, |delay| delay.min(MAX_DELAY))
}

/// `{"name": ["v1", "v2"]}`; PHP writes an empty map as `[]`.
fn headers(value: Option<&Value>) -> BTreeMap<String, Vec<String>> {
    let Some(Value::Object(headers)) = value else { return BTreeMap::new() };
    headers
        .iter()
        .map(|(name, values)| {
            let values = match values {
                Value::Array(values) => values.iter().filter_map(|value| text(Some(value))).collect(),
                single => text(Some(single)).into_iter().collect(),
            };
            (name.clone(), values)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(body: &str) -> Answer {
        Answer::read(&frame(0, body))
    }

    fn frame(option: u32, payload: &str) -> Frame {
        Frame {
            flags: Flags::RAW,
            stream: StreamBits::default(),
            options: vec![option],
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        }
    }

    fn ack() -> Answer {
        Answer::Verdict(Verdict::Ack)
    }

    #[test]
    fn types_zero_and_two_acknowledge_with_any_data() {
        assert_eq!(answer(r#"{"type":0,"data":[]}"#), ack());
        assert_eq!(answer(r#"{"type":2}"#), ack());
        assert_eq!(answer(r#"{"Type":"2","Data":null}"#), ack());
    }

    #[test]
    fn type_one_requeues_when_asked_and_is_over_otherwise() {
        assert_eq!(answer(r#"{"type":1,"data":{"message":"m","requeue":false}}"#), ack());
        assert_eq!(
            answer(
                r#"{"type":1,"data":{"message":"m","requeue":true,"delay_seconds":7,"headers":{"a":["1","2"]}}}"#
            ),
            Answer::Verdict(Verdict::Requeue {
                headers: BTreeMap::from([("a".to_owned(), vec!["1".to_owned(), "2".to_owned()])]),
                delay: Duration::from_secs(7),
            })
        );
    }

    #[test]
    fn type_three_carries_requeue_delay_and_message() {
        assert_eq!(
            answer(r#"{"type":3,"data":{"message":"no","requeue":true,"delay_seconds":2}}"#),
            Answer::Verdict(Verdict::Nack {
                requeue: true,
                delay: Duration::from_secs(2),
                reason: "no".to_owned()
            })
        );
        assert!(matches!(
            answer(r#"{"type":3,"data":[]}"#),
            Answer::Verdict(Verdict::Nack { requeue: false, delay: Duration::ZERO, .. })
        ));
    }

    #[test]
    fn type_four_requeues_with_lenient_headers() {
        for (headers, expected) in
            [("[]", vec![]), (r#"{"h":"one"}"#, vec!["one"]), (r#"{"h":[1,"two",null]}"#, vec!["1", "two"])]
        {
            let body = format!(r#"{{"type":4,"data":{{"delay_seconds":-3,"headers":{headers}}}}}"#);
            let Answer::Verdict(Verdict::Requeue { headers, delay }) = answer(&body) else {
                panic!("not a requeue: {body}");
            };
            assert_eq!(delay, Duration::ZERO);
            assert_eq!(headers.get("h").cloned().unwrap_or_default(), expected);
        }
    }

    #[test]
    fn delays_are_at_most_ten_years() {
        for (seconds, expected) in [
            ("9223372036854775807", MAX_DELAY),
            ("1e300", MAX_DELAY),
            ("\"inf\"", MAX_DELAY),
            ("\"nan\"", Duration::ZERO),
            ("-1", Duration::ZERO),
            ("1.5", Duration::from_millis(1500)),
        ] {
            for kind in [3, 4] {
                let body =
                    format!(r#"{{"type":{kind},"data":{{"requeue":true,"delay_seconds":{seconds}}}}}"#);
                let found = match answer(&body) {
                    Answer::Verdict(Verdict::Nack { delay, .. } | Verdict::Requeue { delay, .. }) => {
                        Some(delay)
                    }
                    _ => None,
                };
                assert_eq!(found, Some(expected), "{body}");
            }
        }
    }

    #[test]
    fn unknown_types_acknowledge() {
        assert_eq!(answer(r#"{"type":77,"data":{}}"#), ack());
    }

    #[test]
    fn an_error_frame_fails_the_job_with_its_text() {
        let frame = Frame { flags: Flags::ERROR, options: Vec::new(), ..frame(0, "boom") };
        assert_eq!(Answer::read(&frame), Answer::Verdict(Verdict::Fail { reason: "boom".to_owned() }));
    }

    #[test]
    fn a_stop_context_without_body_asks_for_another_worker() {
        assert_eq!(Answer::read(&frame(13, r#"{"stop":true}"#)), Answer::Replace);
        assert_ne!(Answer::read(&frame(13, r#"{"stop":true}x"#)), Answer::Replace);
    }

    #[test]
    fn garbage_fails_the_job_without_a_retry_and_says_what_came() {
        for body in ["", "hello", "[1]", r#"{"type":{}}"#, r#"{"data":{}}"#] {
            let Answer::Verdict(Verdict::Nack { requeue: false, reason, .. }) = answer(body) else {
                panic!("{body} was taken for an answer");
            };
            assert!(reason.contains("not understood"), "{reason}");
        }
        let frame = Frame { options: Vec::new(), ..frame(0, "{}") };
        assert!(matches!(Answer::read(&frame), Answer::Verdict(Verdict::Nack { requeue: false, .. })));
    }
}
