//! The names of composite types and of their fields (§2.7, §2.8, §3.4, §3.5, §4.5, §5.3.3), for people to read.

use amqp_codec::types::{Described, Value};

/// A composite type.
pub(super) struct Composite {
    code: u64,
    pub(super) name: &'static str,
    fields: &'static [&'static str],
}

impl Composite {
    pub(super) fn field(&self, at: usize) -> &'static str {
        self.fields.get(at).copied().unwrap_or("?")
    }
}

macro_rules! composites {
    ($($code:literal $name:literal: $($field:literal)*;)*) => {
        const COMPOSITES: &[Composite] =
            &[$(Composite { code: $code, name: $name, fields: &[$($field),*] }),*];
    };
}

composites! {
    0x10 "open": "container-id" "hostname" "max-frame-size" "channel-max" "idle-time-out" "outgoing-locales"
        "incoming-locales" "offered-capabilities" "desired-capabilities" "properties";
    0x11 "begin": "remote-channel" "next-outgoing-id" "incoming-window" "outgoing-window" "handle-max"
        "offered-capabilities" "desired-capabilities" "properties";
    0x12 "attach": "name" "handle" "role" "snd-settle-mode" "rcv-settle-mode" "source" "target" "unsettled"
        "incomplete-unsettled" "initial-delivery-count" "max-message-size" "offered-capabilities"
        "desired-capabilities" "properties";
    0x13 "flow": "next-incoming-id" "incoming-window" "next-outgoing-id" "outgoing-window" "handle" "delivery-count"
        "link-credit" "available" "drain" "echo" "properties";
    0x14 "transfer": "handle" "delivery-id" "delivery-tag" "message-format" "settled" "more" "rcv-settle-mode" "state"
        "resume" "aborted" "batchable";
    0x15 "disposition": "role" "first" "last" "settled" "state" "batchable";
    0x16 "detach": "handle" "closed" "error";
    0x17 "end": "error";
    0x18 "close": "error";
    0x1d "error": "condition" "description" "info";
    0x23 "received": "section-number" "section-offset";
    0x24 "accepted": ;
    0x25 "rejected": "error";
    0x26 "released": ;
    0x27 "modified": "delivery-failed" "undeliverable-here" "message-annotations";
    0x28 "source": "address" "durable" "expiry-policy" "timeout" "dynamic" "dynamic-node-properties"
        "distribution-mode" "filter" "default-outcome" "outcomes" "capabilities";
    0x29 "target": "address" "durable" "expiry-policy" "timeout" "dynamic" "dynamic-node-properties" "capabilities";
    0x30 "coordinator": "capabilities";
    0x31 "declare": "global-id";
    0x32 "discharge": "txn-id" "fail";
    0x33 "declared": "txn-id";
    0x34 "transactional-state": "txn-id" "outcome";
    0x40 "sasl-mechanisms": "sasl-server-mechanisms";
    0x41 "sasl-init": "mechanism" "initial-response" "hostname";
    0x42 "sasl-challenge": "challenge";
    0x43 "sasl-response": "response";
    0x44 "sasl-outcome": "code" "additional-data";
}

/// The type that a descriptor names.
pub(super) fn composite(descriptor: &Value) -> Option<&'static Composite> {
    match descriptor {
        Value::Ulong(code) => COMPOSITES.iter().find(|composite| composite.code == *code),
        Value::Symbol(symbol) => {
            let name = symbol.as_str().strip_prefix("amqp:")?.strip_suffix(":list")?;
            COMPOSITES.iter().find(|composite| composite.name == name)
        }
        _ => None,
    }
}

pub(super) fn is_transfer(performative: &Described) -> bool {
    composite(&performative.descriptor).is_some_and(|composite| composite.code == 0x14)
}

/// Fields of SASL frames that carry what a mechanism says.
const SASL_SECRETS: [&str; 4] = ["initial-response", "challenge", "response", "additional-data"];

/// Parts of names of entries that are not shown.
const SECRET_NAMES: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "authorization",
    "signature",
    "accesskey",
    "apikey",
    "privatekey",
    "cookie",
];

/// Whether a field or an entry of a map of this name may be secret, whatever its value.
pub(super) fn is_secret(name: &str) -> bool {
    let plain: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    SASL_SECRETS.contains(&name) || plain == "sas" || SECRET_NAMES.iter().any(|secret| plain.contains(secret))
}

/// Whether a text looks like a secret, whatever its name: a shared access signature, a bearer token, a JSON web token.
pub(super) fn looks_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_web_token = text.starts_with("eyJ") && text.matches('.').count() >= 2;
    is_web_token
        || ["sharedaccess", "sig=", "bearer ", "basic ", "password=", "pwd=", "token=", "-----begin"]
            .iter()
            .any(|sign| lower.contains(sign))
}
