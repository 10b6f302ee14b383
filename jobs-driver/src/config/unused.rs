//! Keys of the configuration that have no effect: told, so that nobody relies on them.

use std::collections::BTreeMap;

use super::file::File;
use super::node::Node;
use super::validated::{Declare, PipelineConfig, flat};

/// Keys of a pipeline that are read.
const READ: [&str; 18] = [
    "declare",
    "dead_letter",
    "delay",
    "delivery_limit",
    "driver",
    "durable",
    "exchange",
    "exchange_type",
    "exclusive",
    "format",
    "name",
    "prefetch",
    "priority",
    "queue",
    "queue_headers",
    "queue_type",
    "requeue_on_fail",
    "routing_key",
];
/// Keys of RoadRunner's drivers that are not read, and why.
const WITHOUT_EFFECT: [(&str, &str); 9] = [
    ("delete_queue_on_stop", "queues are never deleted here"),
    ("multiple_ack", "every job is settled by itself"),
    ("redial_timeout", "lost connections are opened again for ever; see amqp1.redial"),
    ("consumer_id", "the broker knows this process by amqp1.container_id"),
    ("consume_all", "messages of all producers are read anyway"),
    ("queue_auto_delete", "declared queues stay"),
    ("exchange_auto_delete", "declared exchanges stay"),
    ("exchange_durable", "a declared exchange is as durable as its queue"),
    ("exchange_declare", "see `declare`"),
];

/// What a pipeline's own keys say without effect.
pub(super) fn pipeline_warnings(
    file: &File,
    name: &str,
    node: &Node,
    pipeline: &PipelineConfig,
) -> Vec<String> {
    let keys = ["jobs".to_owned(), "pipelines".to_owned(), name.to_owned()];
    let Node::Map(outer) = node else { return Vec::new() };
    let mut outer = outer.clone();
    let inner = outer.remove("config");
    let mut warnings = without_effect(file, &keys, outer);
    let keys = [keys.as_slice(), &["config".to_owned()]].concat();
    if let Some(Node::Map(inner)) = inner {
        warnings.extend(without_effect(file, &keys, inner));
    }
    if pipeline.exclusive && pipeline.declare != Declare::On {
        let keys = [keys.as_slice(), &["exclusive".to_owned()]].concat();
        let message = "has no effect without `declare: on`, for only a declared queue can be exclusive";
        warnings.push(file.error_at_keys(&keys, message).to_string());
    }
    warnings
}

/// The keys of a section at `keys` that nobody reads. Known ones that are switched off do no harm.
pub(super) fn without_effect(file: &File, keys: &[String], section: BTreeMap<String, Node>) -> Vec<String> {
    let told = |(key, value): (String, Node)| {
        let message = match WITHOUT_EFFECT.iter().find(|(known, _)| *known == key) {
            _ if READ.contains(&key.as_str()) => return None,
            Some(_) if is_off(&value) => return None,
            Some((_, why)) => format!("has no effect: {why}"),
            None => "unknown key, ignored".to_owned(),
        };
        let keys = [keys, &[key]].concat();
        Some(file.error_at_keys(&keys, &message).to_string())
    };
    flat(section).into_iter().filter_map(told).collect()
}

fn is_off(value: &Node) -> bool {
    match value {
        Node::Null | Node::Bool(false) => true,
        Node::Text(text) => text.is_empty() || text == "false",
        _ => false,
    }
}
