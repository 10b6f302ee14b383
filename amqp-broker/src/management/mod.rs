//! The management node: HTTP-like requests over a pair of links, as on RabbitMQ 4.
//!
//! A request is a message whose subject is the method and whose `to` is the path; the reply has the status as its
//! subject. What this broker knows:
//!
//! | request | reply |
//! | --- | --- |
//! | `PUT /queues/Q` with a map (`durable`, `exclusive`, `auto_delete`, `arguments`) | 201 created, 200 there already, 409 different, 400 not possible |
//! | `GET /queues/Q` | 200 and a map, 404 |
//! | `DELETE /queues/Q` | 200 and `message_count`, also if there was none |
//! | `DELETE /queues/Q/messages` | 200 and `message_count`, 404 |
//! | anything about exchanges or bindings | 400 or 404: there are none |
//!
//! The map about a queue has, beside RabbitMQ's entries, `messages_delayed` and `messages_unacknowledged` (ulong).

mod declaration;

use amqp_codec::ByteString;
use amqp_codec::messaging::Body;
use amqp_codec::transport::ErrorInfo;
use amqp_codec::types::{Map, Value};
use amqp_transport::management::{HttpRequest, Reply};

use crate::address::{check_queue_name, decode_segment};
use crate::store::{Declared, Store};

/// The virtual host that is reported; there is only one.
const VIRTUAL_HOST: &str = "/";
/// The node that is reported as leader and only replica of every queue.
pub(crate) const NODE: &str = "embedded";

/// Finds out what is asked, and does it.
pub(crate) fn respond(store: &Store, request: &HttpRequest) -> Reply {
    let (method, target) = (request.method.as_str(), request.path.as_str());
    let path = target.split_once('?').map_or(target, |(path, _query)| path);
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (method, segments.as_slice()) {
        (_, ["queues", name]) => match queue_name(name) {
            Err(error) => refused(400, &error),
            Ok(name) => match method {
                "GET" => describe(store, &name, 200),
                "PUT" => declare(store, &name, request),
                "DELETE" => message_count(store.delete(&name).unwrap_or(0)),
                _ => unknown(method, path),
            },
        },
        ("DELETE", ["queues", name, "messages"]) => match queue_name(name) {
            Err(error) => refused(400, &error),
            Ok(name) => store.purge(&name).map_or_else(|| no_queue(&name), message_count),
        },
        ("PUT", ["exchanges", _]) | ("POST", ["bindings"]) => {
            Reply::new(400, "this broker has queues only, no exchanges and no bindings")
        }
        ("GET" | "DELETE", ["exchanges", name]) => Reply::new(404, format!("no exchange {name}").as_str()),
        ("DELETE", ["bindings", binding]) => Reply::new(404, format!("no binding {binding}").as_str()),
        _ => unknown(method, path),
    }
}

/// `PUT /queues/Q`.
fn declare(store: &Store, name: &ByteString, request: &HttpRequest) -> Reply {
    if name.starts_with("amq.") {
        return Reply::new(403, format!("queue {name}: names that begin with amq. are reserved").as_str());
    }
    let wish = match &request.body {
        Body::Value(Value::Map(wish)) => declaration::parse(wish, store.defaults()),
        Body::Value(Value::Null) | Body::Empty => declaration::parse(&Map::new(), store.defaults()),
        _ => Err("the body of a declaration: expected one amqp-value, a map".to_owned()),
    };
    let (options, declaration) = match wish {
        Ok(wish) => wish,
        Err(text) => return Reply::new(400, text.as_str()),
    };
    match store.declare(name, options, declaration) {
        Ok(Declared::Created) => describe(store, name, 201),
        Ok(Declared::Unchanged) => describe(store, name, 200),
        Ok(Declared::Different) => {
            Reply::new(409, format!("queue {name} is there, declared with other arguments").as_str())
        }
        Err(error) => refused(503, &error),
    }
}

/// The map about a queue.
fn describe(store: &Store, name: &ByteString, status: u16) -> Reply {
    let Some(queue) = store.find(name) else { return no_queue(name) };
    let (stats, declaration) = {
        let state = queue.lock();
        (state.queue.stats(), state.declaration.clone().unwrap_or_default())
    };
    let kind = declaration.arguments.get("x-queue-type").cloned().unwrap_or_else(|| Value::from("classic"));
    let mut map = Map::new();
    map.insert("name", Value::String(name.clone()));
    map.insert("vhost", VIRTUAL_HOST);
    map.insert("durable", declaration.durable);
    map.insert("auto_delete", false);
    map.insert("exclusive", false);
    map.insert("type", kind);
    map.insert("arguments", Value::Map(declaration.arguments));
    map.insert("leader", NODE);
    map.insert("replicas", Value::List(vec![Value::from(NODE)]));
    map.insert("message_count", Value::Ulong(stats.ready));
    map.insert("consumer_count", Value::Uint(u32::try_from(stats.consumers).unwrap_or(u32::MAX)));
    map.insert("messages_delayed", Value::Ulong(stats.delayed));
    map.insert("messages_unacknowledged", Value::Ulong(stats.unacknowledged));
    Reply::new(status, Value::Map(map))
}

fn refused(status: u16, error: &ErrorInfo) -> Reply {
    let text = error.description.clone().unwrap_or_else(|| ByteString::from(error.condition.to_string()));
    Reply::new(status, Value::String(text))
}

/// The decoded name in a path.
fn queue_name(segment: &str) -> Result<ByteString, ErrorInfo> {
    let name = decode_segment(segment)?;
    check_queue_name(&name)?;
    Ok(name)
}

fn message_count(count: u64) -> Reply {
    let mut map = Map::new();
    map.insert("message_count", Value::Ulong(count));
    Reply::new(200, Value::Map(map))
}

fn no_queue(name: &str) -> Reply {
    Reply::new(404, format!("no queue {name}").as_str())
}

fn unknown(method: &str, path: &str) -> Reply {
    Reply::new(404, format!("{method} {path}: not known here").as_str())
}

#[cfg(test)]
mod tests;
