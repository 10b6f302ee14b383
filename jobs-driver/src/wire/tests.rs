//! What is on the wire, against messages that other programs wrote.

use amqp_codec::messaging::{Annotations, ApplicationProperties, Body};
use bytes::Bytes;

use super::*;

fn job_abc() -> Job {
    Job::new("pipe", "App\\Job", Bytes::from_static(b"\x00\xff\x80hi"))
        .with_id("id-1")
        .with_header("k", "v1")
        .with_header("k", "v2")
        .with_header("x-secret", "s")
        .with_delay(Duration::from_millis(6500))
        .with_auto_ack(true)
}

fn native() -> Publication {
    Publication { priority: 3, subject: Some("rk".into()), ..Publication::default() }
}

fn with_data(body: &'static [u8]) -> Message {
    Message { body: Body::Data(Bytes::from_static(body).into()), ..Message::default() }
}

/// A message over the wire: encoded and decoded again.
fn sent(message: &Message) -> Message {
    use amqp_codec::{Decode, Encode};
    Message::from_bytes(message.to_bytes()).unwrap()
}

#[test]
fn the_native_form_has_the_documented_properties() {
    let message = sent(&message(&job_abc(), &native()).unwrap());
    assert!(message.header.as_ref().unwrap().durable);
    assert_eq!(message.header.as_ref().unwrap().ttl, None);
    let properties = message.properties.as_ref().unwrap();
    assert_eq!(properties.subject.as_deref(), Some("rk"));
    assert_eq!(properties.content_type.as_ref().unwrap().as_str(), "application/octet-stream");
    assert!(matches!(&properties.message_id, Some(MessageId::String(id)) if id.len() == 36));
    assert!(properties.creation_time.is_some());
    let expected = [
        ("rr_id", Value::from("id-1")),
        ("rr_job", Value::from("App\\Job")),
        ("rr_pipeline", Value::from("pipe")),
        ("rr_headers", Value::Binary(Bytes::from_static(br#"{"k":["v1","v2"],"x-secret":["s"]}"#))),
        ("rr_delay", Value::Long(7)),
        ("rr_priority", Value::Long(3)),
        ("rr_auto_ack", Value::Bool(true)),
        ("k", Value::from("v1")),
    ];
    let found: Vec<(String, Value)> = message
        .application_properties
        .iter()
        .flat_map(|p| p.iter())
        .map(|(k, v)| (k.to_string(), v.clone()))
        .collect();
    assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v)));
    assert_eq!(message.body, Body::Data(Bytes::from_static(b"\x00\xff\x80hi").into()));
}

#[test]
fn every_publication_has_its_own_message_id() {
    let id = |message: Message| message.properties.unwrap().message_id.unwrap().to_string();
    let job = job_abc();
    assert_ne!(id(message(&job, &native()).unwrap()), id(message(&job, &native()).unwrap()));
}

#[test]
fn the_native_form_comes_back_as_it_was() {
    let received = job(&sent(&message(&job_abc(), &native()).unwrap()), "pipe");
    assert_eq!(received.attempt, 1);
    assert_eq!(received.job, job_abc().with_priority(3).with_delay(Duration::from_secs(7)));
}

#[test]
fn a_message_of_the_0_9_1_driver_is_a_job() {
    // What RabbitMQ 4.3 makes of a message of RoadRunner's AMQP 0-9-1 driver: application properties and one data section.
    let hex = "005374c1720ea10572725f6964a10469642d31a10672725f6a6f62a1034a6f62a10b72725f706970656c696e65a10170\
               a10a72725f68656164657273a00b7b226b223a5b2276225d7da10872725f64656c61795400a10b72725f7072696f72697479550a\
               a10b72725f6175746f5f61636b5600005375a00500ff806869";
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let mut bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    // The size octet of the map that was shortened above.
    let body = bytes.len() - 10 - 5;
    bytes[4] = u8::try_from(body).unwrap();
    let message = <Message as amqp_codec::Decode>::from_bytes(Bytes::from(bytes)).unwrap();
    let received = job(&message, "mine");
    let expected = Job::new("mine", "Job", Bytes::from_static(b"\x00\xff\x80hi"))
        .with_id("id-1")
        .with_header("k", "v")
        .with_priority(10);
    assert_eq!(received.job, expected);
}

#[test]
fn the_envelope_of_the_go_plugin_is_read() {
    let message = with_data(
        br#"{"body":"hello","header":{"rr_id":"i","rr_job":"j","rr_pipeline":"p","rr_headers":"eyJrIjpbInYxIiwidjIiXX0=","rr_delay":5,"rr_priority":10,"rr_auto_ack":false}}"#,
    );
    let expected = Job::new("mine", "j", "hello")
        .with_id("i")
        .with_header("k", "v1")
        .with_header("k", "v2")
        .with_priority(10)
        .with_delay(Duration::from_secs(5));
    assert_eq!(job(&message, "mine").job, expected);
}

#[test]
fn envelope_headers_are_read_in_every_spelling() {
    for (headers, values) in [
        (r#""e30=""#, None),
        (r#""bnVsbA==""#, None),
        (r#""{\"k\":[\"v\"]}""#, Some("v")),
        (r#"{"k":["v"]}"#, Some("v")),
        (r#""???""#, Some("from-properties")),
        ("7", Some("from-properties")),
    ] {
        let body = format!(r#"{{"header":{{"rr_id":"i","rr_headers":{headers}}},"body":{{"a":1}}}}"#);
        let mut message = Message { body: Body::Data(Bytes::from(body).into()), ..Message::default() };
        let mut properties = ApplicationProperties::default();
        properties.insert("k", Value::from("from-properties"));
        message.application_properties = Some(properties);
        let job = job(&message, "p").job;
        assert_eq!(job.header("k"), values, "{headers}");
        assert_eq!(job.payload, Bytes::from_static(br#"{"a":1}"#));
        assert_eq!(job.name, "deduced_by_rr");
    }
}

#[test]
fn the_envelope_is_written_as_text_with_plain_headers() {
    let text_job = Job::new("p", "j", "hällo").with_id("i").with_header("k", "v1").with_header("k", "v2");
    let publication = Publication { format: Format::Envelope, priority: 4, ..Publication::default() };
    let written = sent(&message(&text_job, &publication).unwrap());
    let Body::Data(sections) = &written.body else { panic!("not data") };
    let envelope: serde_json::Value = serde_json::from_slice(&sections[0]).unwrap();
    let expected = serde_json::json!({"body": "hällo", "header": {"rr_id": "i", "rr_job": "j", "rr_pipeline": "p",
        "rr_headers": "{\"k\":[\"v1\",\"v2\"]}", "rr_delay": 0, "rr_priority": 4, "rr_auto_ack": false}});
    assert_eq!(envelope, expected);
    assert_eq!(written.application_property("k"), Some(&Value::from("v1")));
    assert!(written.header.as_ref().unwrap().durable);
    assert_eq!(job(&written, "p").job, text_job.with_priority(4));
    assert!(message(&job_abc(), &publication).is_err(), "binary payloads do not fit");
}

#[test]
fn json_that_is_no_envelope_stays_a_payload() {
    for body in [
        &br#"{"body":"x","header":{"id":1}}"#[..],
        br#"{"body":"x","header":{"rr_id":"1"},"more":1}"#,
        br#"{"header":{"rr_id":"1"}}"#,
        b"[1]",
        b"{",
    ] {
        let message = Message { body: Body::Data(Bytes::copy_from_slice(body).into()), ..Message::default() };
        let job = job(&message, "p").job;
        assert_eq!((job.payload.as_ref(), job.name.as_str()), (body, "deduced_by_rr"));
    }
}

#[test]
fn foreign_messages_are_jobs() {
    let mut properties = ApplicationProperties::default();
    properties.insert("n", Value::Int(-5));
    properties.insert("f", Value::Double(1.5));
    properties.insert("b", Value::Bool(true));
    properties.insert("t", Value::Timestamp(Timestamp(0)));
    let mut annotations = Annotations::default();
    annotations.insert(Symbol::from_static("x-trace"), Value::from("abc"));
    annotations.insert(Symbol::from_static("x-routing-key"), Value::from("elsewhere"));
    annotations.insert(Symbol::from_static("x-opt-deaths"), Value::from("no"));
    annotations.insert(Symbol::from_static("other"), Value::from("no"));
    let message = Message {
        properties: Some(Properties { message_id: Some(MessageId::Ulong(77)), ..Properties::default() }),
        application_properties: Some(properties),
        message_annotations: Some(annotations),
        body: Body::Value(Value::from("text")),
        ..Message::default()
    };
    let expected = Job::new("p", "deduced_by_rr", "text")
        .with_id("77")
        .with_header("n", "-5")
        .with_header("f", "1.50000")
        .with_header("b", "true")
        .with_header("t", "1970-01-01T00:00:00Z")
        .with_header("x-trace", "abc");
    assert_eq!(job(&message, "p").job, expected);
}

#[test]
fn foreign_bodies_become_bytes() {
    let body = |body: Body| job(&Message { body, ..Message::default() }, "p").job.payload;
    assert_eq!(body(Body::Value(Value::List(vec![Value::Uint(1), Value::Null]))), "[1,null]");
    assert_eq!(body(Body::Value(Value::Binary(Bytes::from_static(b"\xff")))), Bytes::from_static(b"\xff"));
    assert_eq!(body(Body::Data(["a", "b"].into_iter().collect())), "ab");
    assert_eq!(body(Body::Sequence(vec![vec![Value::Bool(true)]])), "[true]");
    assert_eq!(body(Body::Empty), "");
}

#[test]
fn attempts_add_up_over_copies_and_deliveries() {
    let publication = Publication { attempts: 2, ..native() };
    let mut message = message(&job_abc(), &publication).unwrap();
    assert_eq!(job(&message, "p").attempt, 3);
    message.header = Some(Header { delivery_count: 4, ..Header::default() });
    assert_eq!(job(&message, "p").attempt, 7);
    message
        .message_annotations
        .get_or_insert_default()
        .insert(Symbol::from_static("x-delivery-count"), Value::Long(5));
    assert_eq!(job(&message, "p").attempt, 8);
}
