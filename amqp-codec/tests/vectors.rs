//! Reference vectors: octets and what they mean, most of them made by independent implementations.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../examples/inspect/names.rs"]
mod names;
#[path = "../examples/inspect/notation.rs"]
mod notation;

use amqp_codec::Bytes;
use amqp_codec::frame::{FrameHeader, FrameType, ProtocolHeader, decode_amqp_body, decode_sasl_body};
use amqp_codec::security::SaslFrame;
use notation::{Kind, check, hex};
use serde_json::Value as Json;

struct Vector {
    name: String,
    kind: Kind,
    mode: String,
    octets: Bytes,
    meaning: Json,
    named: Json,
}

fn vectors() -> Vec<Vector> {
    let file: Json = serde_json::from_str(include_str!("fixtures/amqp-1.0.json")).unwrap();
    let text = |vector: &Json, key: &str| vector[key].as_str().unwrap().to_owned();
    file["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vector| Vector {
            name: text(vector, "name"),
            kind: text(vector, "kind").parse().unwrap(),
            mode: text(vector, "mode"),
            octets: unhex(&text(vector, "hex")),
            meaning: vector["meaning"].clone(),
            named: vector["named"].clone(),
        })
        .collect()
}

fn unhex(digits: &str) -> Bytes {
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(digits.get(at..at + 2).unwrap(), 16).unwrap()).collect()
}

/// All vectors of some modes; a failure names every one that fails.
fn each(modes: &[&str], claim: impl Fn(&Vector) -> Result<(), String>) {
    let chosen: Vec<Vector> =
        vectors().into_iter().filter(|vector| modes.contains(&vector.mode.as_str())).collect();
    assert!(chosen.len() > 20, "only {} vectors of {modes:?}", chosen.len());
    let failures: Vec<String> = chosen
        .iter()
        .filter_map(|vector| claim(vector).err().map(|why| format!("{}: {why}", vector.name)))
        .collect();
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn legal_octets_mean_what_the_reference_says() {
    each(&["both", "decode"], |vector| {
        let meaning = check(vector.kind, vector.octets.clone()).map_err(|error| error.to_string())?.meaning();
        if meaning == vector.meaning {
            Ok(())
        } else {
            Err(format!("expected {}, found {meaning}", vector.meaning))
        }
    });
}

#[test]
fn the_smallest_encoding_is_that_of_the_reference() {
    each(&["both"], |vector| {
        let octets = check(vector.kind, vector.octets.clone()).map_err(|error| error.to_string())?.reencode();
        if octets == vector.octets {
            Ok(())
        } else {
            Err(format!("expected {}, found {}", hex(&vector.octets), hex(&octets)))
        }
    });
}

#[test]
fn encoding_again_changes_nothing() {
    each(&["both", "decode"], |vector| {
        let octets = check(vector.kind, vector.octets.clone()).map_err(|error| error.to_string())?.reencode();
        let again = check(vector.kind, octets.clone()).map_err(|error| error.to_string())?.reencode();
        if again != octets {
            return Err(format!("{} becomes {}", hex(&octets), hex(&again)));
        }
        Ok(())
    });
}

#[test]
fn malformed_octets_are_refused_with_the_condition_of_the_reference() {
    each(&["reject"], |vector| {
        let Err(error) = check(vector.kind, vector.octets.clone()) else { return Err("accepted".to_owned()) };
        match vector.meaning["condition"].as_str() {
            Some(condition) if condition != error.condition => {
                Err(format!("expected {condition}, found {error}"))
            }
            _ => Ok(()),
        }
    });
}

#[test]
fn the_fields_of_composites_are_named_as_in_the_reference() {
    for vector in vectors().iter().filter(|vector| vector.named.is_object()) {
        let notation::Checked::Value(amqp_codec::types::Value::Described(described)) =
            check(vector.kind, vector.octets.clone()).unwrap()
        else {
            panic!("{} is described", vector.name);
        };
        assert_eq!(notation::fields(&described), vector.named["fields"], "{}", vector.name);
        assert_eq!(names::name(&described.descriptor), vector.named["composite"].as_str(), "{}", vector.name);
    }
}

#[test]
fn no_truncation_of_a_legal_vector_panics_and_values_need_all_their_octets() {
    each(&["both", "decode"], |vector| {
        for len in 0..vector.octets.len() {
            let result = check(vector.kind, vector.octets.slice(..len));
            // A message may end behind any section.
            if result.is_ok() && vector.kind != Kind::Message && vector.kind != Kind::Header {
                return Err(format!("accepted with {len} octets of {}", vector.octets.len()));
            }
        }
        Ok(())
    });
}

#[test]
fn no_flipped_bit_in_a_vector_panics() {
    each(&["both", "decode", "reject"], |vector| {
        for bit in 0..(vector.octets.len() * 8).min(4_096) {
            let mut octets = vector.octets.to_vec();
            if let Some(octet) = octets.get_mut(bit / 8) {
                *octet ^= 1 << (bit % 8);
            }
            if let Ok(checked) = check(vector.kind, octets.into()) {
                let again = checked.reencode();
                check(vector.kind, again).map_err(|error| format!("bit {bit}: its encoding: {error}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_captured_conversation_is_frame_by_frame_what_the_reference_says() {
    let file: Json = serde_json::from_str(include_str!("fixtures/amqp-1.0.json")).unwrap();
    let steps = file["transcripts"][0]["steps"].as_array().unwrap();
    assert!(steps.len() > 30);
    for step in steps {
        let octets = unhex(step["hex"].as_str().unwrap());
        let name = step["performative"].as_str().unwrap();
        if name == "protocol-header" {
            assert!(ProtocolHeader::decode(&octets).is_ok(), "{step}");
            continue;
        }
        let header = FrameHeader::decode(&octets).unwrap();
        assert_eq!(usize::try_from(header.size).unwrap(), octets.len());
        assert_eq!(step["channel"].as_u64(), Some(header.channel.into()));
        let found = match header.frame_type {
            FrameType::Amqp => decode_amqp_body(octets.slice(8..)).unwrap().0.name(),
            FrameType::Sasl => match decode_sasl_body(octets.slice(8..)).unwrap() {
                SaslFrame::Mechanisms(_) => "sasl-mechanisms",
                SaslFrame::Init(_) => "sasl-init",
                SaslFrame::Outcome(_) => "sasl-outcome",
                other => panic!("{other:?} in {step}"),
            },
        };
        assert_eq!(found, name);
    }
}
