//! The codec beside `serde_amqp` with `fe2o3-amqp-types`, and `ntex-amqp-codec`.
//!
//! Where the others offer a choice, the faster one is taken for them: `serde_amqp` reads from a slice (its client reads
//! through `std::io::Read`) and writes transfer and message into one buffer (its client copies them together). Neither
//! can leave sections undecoded, so reading only the body is compared with their reading everything; neither has a form
//! that borrows, so `borrowed` rows, in which ours looks at each key and value, are compared with their owned one; ntex
//! leaves the elements of an array undecoded, and does not keep the order of maps. What a decoder gives is dropped within the time measured; encoders write into a buffer that is kept.
//!
//! `copy + UTF-8` copies as many octets and validates as many octets of text: what moving and checking alone would take.

mod fe2o3;
mod ntex;
mod ours;
mod work;

use crate::Result;
use crate::measure::{Candidate, Time, compare};
use crate::show;
use serde_json::{Map, Value, json};
use std::process::Command;

/// Names of the candidates, ours first.
const OURS: &str = "amqp-codec";
const FE2O3: &str = "fe2o3-amqp";
const NTEX: &str = "ntex-amqp-codec";
const FLOOR: &str = "copy + UTF-8";

/// One line of the table.
pub struct Case {
    /// What is done.
    pub name: String,
    /// Octets that are read or written.
    pub octets: usize,
    /// Who does it: ours first.
    pub candidates: Vec<Candidate>,
}

impl Case {
    fn new(name: impl Into<String>, octets: usize, candidates: Vec<Candidate>) -> Self {
        Self { name: name.into(), octets, candidates }
    }
}

/// All cases, checked: each implementation has read what ours wrote, and ours what they wrote.
///
/// # Errors
/// If an implementation fails, or means something else.
pub fn cases() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (size, name) in [(100, "100 B"), (1024, "1 KiB"), (65_536, "64 KiB")] {
        let frame = work::transfer(size);
        let octets = frame.len();
        ours::check_transfer(&frame, &fe2o3::transfer_again(&frame)?)?;
        ours::check_transfer(&frame, &ntex::transfer_again(&frame)?)?;
        cases.push(Case::new(
            format!("transfer {name}, decode all"),
            octets,
            vec![
                ours::decode_transfer(frame.clone()),
                fe2o3::decode_transfer(&frame)?,
                ntex::decode_transfer(&frame),
                floor(octets),
            ],
        ));
        cases.push(Case::new(
            format!("transfer {name}, body only"),
            octets,
            vec![
                ours::decode_body(frame.clone()),
                fe2o3::decode_transfer(&frame)?,
                ntex::decode_transfer(&frame),
                floor(octets),
            ],
        ));
        cases.push(Case::new(
            format!("transfer {name}, decode all, borrowed"),
            octets,
            vec![
                ours::borrow_transfer(frame.clone()),
                fe2o3::decode_transfer(&frame)?,
                ntex::decode_transfer(&frame),
                floor(octets),
            ],
        ));
        cases.push(Case::new(
            format!("transfer {name}, body only, borrowed"),
            octets,
            vec![
                ours::borrow_body(frame.clone()),
                fe2o3::decode_transfer(&frame)?,
                ntex::decode_transfer(&frame),
                floor(octets),
            ],
        ));
        cases.push(Case::new(
            format!("transfer {name}, encode"),
            octets,
            vec![
                ours::encode_transfer(&frame)?,
                fe2o3::encode_transfer(&frame)?,
                ntex::encode_transfer(&frame)?,
                floor(octets),
            ],
        ));
    }
    for (name, frame) in [("flow", work::flow()), ("disposition", work::disposition())] {
        let octets = frame.len();
        ours::check_frame(&frame, &fe2o3::frame_again(&frame)?)?;
        ours::check_frame(&frame, &ntex::frame_again(&frame)?)?;
        cases.push(Case::new(
            format!("{name}, decode"),
            octets,
            vec![
                ours::decode_frame(frame.clone()),
                fe2o3::decode_frame(&frame),
                ntex::decode_frame(&frame),
                floor(octets),
            ],
        ));
        cases.push(Case::new(
            format!("{name}, encode"),
            octets,
            vec![
                ours::encode_frame(&frame)?,
                fe2o3::encode_frame(&frame)?,
                ntex::encode_frame(&frame)?,
                floor(octets),
            ],
        ));
    }
    for (name, value) in work::values()? {
        let octets = value.len();
        ours::check_value(&value, &fe2o3::value_again(&value)?)?;
        ours::check_value(&value, &ntex::value_again(&value)?)?;
        cases.push(Case::new(
            format!("{name}, decode"),
            octets,
            vec![
                ours::decode_value(value.clone()),
                fe2o3::decode_value(&value),
                ntex::decode_value(&value),
                floor(octets),
            ],
        ));
        cases.push(Case::new(
            format!("{name}, decode, borrowed"),
            octets,
            vec![
                ours::borrow_value(value.clone()),
                fe2o3::decode_value(&value),
                ntex::decode_value(&value),
                floor(octets),
            ],
        ));
        cases.push(Case::new(
            format!("{name}, encode"),
            octets,
            vec![
                ours::encode_value(&value)?,
                fe2o3::encode_value(&value)?,
                ntex::encode_value(&value)?,
                floor(octets),
            ],
        ));
    }
    Ok(cases)
}

/// Copies so many octets, and validates so many octets of text.
fn floor(octets: usize) -> Candidate {
    let text = work::text(octets).into_bytes();
    let mut copy = vec![0; octets];
    Candidate::new(FLOOR, move || {
        copy.copy_from_slice(std::hint::black_box(&text));
        std::str::from_utf8(std::hint::black_box(&copy)).map(str::len).unwrap_or(0)
    })
}

/// Measures the cases whose name holds `only` with the candidates whose name begins with `of`: as JSON, and as text.
///
/// # Errors
/// As [`cases`], and if the program that counts allocations cannot be run.
pub fn run(only: &str, of: &str) -> Result<(Value, String)> {
    let allocations = count_allocations()?;
    let mut figures = Vec::new();
    let mut rows = vec![header()];
    for mut case in cases()?.into_iter().filter(|case| case.name.contains(only)) {
        case.candidates.retain(|candidate| candidate.name.starts_with(of));
        let times = compare(&mut case.candidates);
        let counts = allocations.get(&case.name).and_then(Value::as_object).cloned().unwrap_or_default();
        figures.push(figure(&case, &times, &counts));
        rows.push(row(&case, &times, &counts));
    }
    let legend = "ns for each operation (median of 15 rounds in turn) and allocations; `x` is how many times as long \
                  as ours; `copy` is the copy and UTF-8 validation of as many octets, and ours as a multiple of it; the others have \
                  no borrowed form: in those rows they do what they do in the owned ones";
    Ok((Value::Array(figures), format!("codec: {legend}\n\n{}", show::table(&rows))))
}

/// The program beside this one.
fn count_allocations() -> Result<Map<String, Value>> {
    let program = std::env::current_exe()?.with_file_name("allocations");
    let output = Command::new(&program).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{}: {said}", program.display()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn header() -> Vec<String> {
    let columns =
        ["", "octets", "ours", "allocs", "fe2o3", "allocs", "x", "ntex", "allocs", "x", "copy", "ours/copy"];
    columns.map(str::to_owned).to_vec()
}

fn count(counts: &Map<String, Value>, name: &str) -> Option<u64> {
    counts.get(name)?.get(0)?.as_u64()
}

fn median_of(case: &Case, times: &[Time], name: &str) -> f64 {
    let place = case.candidates.iter().position(|candidate| candidate.name == name);
    place.and_then(|place| times.get(place)).map_or(f64::NAN, |time| time.median)
}

fn row(case: &Case, times: &[Time], counts: &Map<String, Value>) -> Vec<String> {
    let of = |name: &str| median_of(case, times, name);
    let allocs = |name: &str| count(counts, name).map_or("-".to_owned(), |count| count.to_string());
    let ours = of(OURS);
    vec![
        case.name.clone(),
        case.octets.to_string(),
        show::number(ours),
        allocs(OURS),
        show::number(of(FE2O3)),
        allocs(FE2O3),
        show::number(of(FE2O3) / ours),
        show::number(of(NTEX)),
        allocs(NTEX),
        show::number(of(NTEX) / ours),
        show::number(of(FLOOR)),
        show::number(ours / of(FLOOR)),
    ]
}

fn figure(case: &Case, times: &[Time], counts: &Map<String, Value>) -> Value {
    let ours = median_of(case, times, OURS);
    let candidates: Map<String, Value> = case
        .candidates
        .iter()
        .zip(times)
        .map(|(candidate, time)| {
            let counted = counts.get(candidate.name);
            let figure = json!({
                "ns": time.median,
                "ns_fastest": time.fastest,
                "times_ours": time.median / ours,
                "allocations": counted.and_then(|counted| counted.get(0)),
                "allocated_octets": counted.and_then(|counted| counted.get(1)),
            });
            (candidate.name.to_owned(), figure)
        })
        .collect();
    json!({ "case": case.name, "octets": case.octets, "candidates": candidates })
}
