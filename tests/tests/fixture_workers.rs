//! The workers in `fixtures` speak the worker protocol: frames written out by hand go in, frames come out.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use tests::fixtures;

/// CONTROL | JSON, `{"pid":42}`.
const PID: &str = "13090a00000083532d5600007b22706964223a34327d";
/// RAW, context `{"id":"1"}` (ten octets), body `hello`.
const JOB: &str = "14040f000000b857668400000a0000007b226964223a2231227d68656c6c6f";
/// CONTROL | JSON, `{"stop":true}`.
const STOP: &str = "13090d0000003a6bfacb00007b2273746f70223a747275657d";

fn octets(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// What the worker wrote before it ended, and its exit code.
fn talk(program: &str, file: &str, input: &[u8]) -> (Vec<u8>, Option<i32>) {
    let mut child = Command::new(program)
        .arg(fixtures().join(file))
        .env_remove("LEDGER")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    (output, child.wait().unwrap().code())
}

fn answers_the_handshake_a_job_and_stop(program: &str, file: &str) {
    let (output, code) = talk(program, file, &octets(&format!("{PID}{JOB}{STOP}")));
    assert_eq!(code, Some(0));
    assert_eq!(output[..2], [0x13, 0x01], "three words of header, CONTROL");
    let length = usize::from(output[2]);
    let pid: serde_json::Value = serde_json::from_slice(&output[12..12 + length]).unwrap();
    assert!(pid["pid"].as_u64().unwrap() > 0);
    let answer = &output[12 + length..];
    assert_eq!(answer[..2], [0x14, 0x00], "four words of header, no flags");
    assert_eq!(answer[12..16], [0; 4], "no context");
    let answer: serde_json::Value = serde_json::from_slice(&answer[16..]).unwrap();
    assert_eq!(answer, serde_json::json!({ "type": 2, "data": [] }));
}

#[test]
fn php_answers_the_handshake_a_job_and_stop() {
    answers_the_handshake_a_job_and_stop("php", "worker.php");
}

#[test]
fn python_answers_the_handshake_a_job_and_stop() {
    answers_the_handshake_a_job_and_stop("/usr/bin/python3", "worker.py");
}

#[test]
fn a_frame_with_a_wrong_checksum_ends_the_worker_with_an_error() {
    let mut frame = octets(JOB);
    frame[6] ^= 1;
    for (program, file) in [("php", "worker.php"), ("/usr/bin/python3", "worker.py")] {
        assert_eq!(talk(program, file, &frame).1, Some(3), "{file}");
    }
}
