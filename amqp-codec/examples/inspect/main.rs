//! Prints AMQP octets readably, as JSON, or in their smallest encoding; captures of connections too.

mod capture;
mod names;
mod notation;
mod packet;
mod stream;
mod tree;

use amqp_codec::Bytes;
use capture::Item;
use notation::{Kind, Malformed, check, hex};
use serde_json::{Value as Json, json};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;
use stream::Content;
use tree::Tree;

const HELP: &str = "\
Prints AMQP 1.0 octets readably.

Usage: inspect [--json | --reencode] [--kind KIND] HEX|FILE|-
       inspect [--json] [--port PORT]... CAPTURE
       inspect --lines [--reencode]

Arguments:
  HEX|FILE|-     hexadecimal digits, a file, or - for standard input; a file holds octets or hexadecimal digits
  CAPTURE        the same, if it begins as a pcap or pcapng file does: its protocol headers and frames are printed in
                 the order of their arrival, each behind who sent it to whom; with --json each is a line

Options:
  --kind KIND    value, composite, frame, message or header [default: guessed]
  --port PORT    the TCP port to look at in a capture; may be repeated [default: 5672]
  --json         print the meaning as JSON instead of lines with offsets
  --reencode     print the smallest encoding in hexadecimal digits
  --lines        read lines `KIND HEX` from standard input and answer each with a line of JSON: its meaning,
                 {\"hex\":…} with --reencode, or {\"error\":…,\"condition\":…,\"offset\":…,\"expected\":…,\"found\":…}
  -h, --help     print this

Exit code: 0, or 1 with a line on standard error for input that is malformed or cannot be read, or 2 for wrong usage.
";

/// How the program was called.
#[derive(Debug, Default)]
struct Options {
    is_json: bool,
    is_reencode: bool,
    is_lines: bool,
    kind: Option<Kind>,
    ports: Vec<u16>,
    input: Option<String>,
}

/// Why the program ends early.
enum Failure {
    Usage(String),
    Malformed(String),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.to_string())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() || arguments.iter().any(|argument| argument == "-h" || argument == "--help") {
        return report(io::stdout().write_all(HELP.as_bytes()).map_err(Failure::Io));
    }
    report(options(arguments).and_then(|options| run(&options)))
}

fn report(result: Result<(), Failure>) -> ExitCode {
    let (line, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        // Whoever reads the output may stop early.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Err(Failure::Usage(line)) => (line, 2),
        Err(Failure::Malformed(line)) => (line, 1),
        Err(Failure::Io(error)) => (error.to_string(), 1),
    };
    // Nobody is left to be told if standard error is closed.
    let _ = writeln!(io::stderr(), "inspect: {line}");
    ExitCode::from(code)
}

fn options(arguments: Vec<String>) -> Result<Options, Failure> {
    let mut options = Options::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => options.is_json = true,
            "--reencode" => options.is_reencode = true,
            "--lines" => options.is_lines = true,
            "--kind" => {
                let name = arguments.next().unwrap_or_default();
                options.kind =
                    Some(name.parse().map_err(|error| Failure::Usage(format!("--kind: {error}")))?);
            }
            "--port" => {
                let port = arguments.next().unwrap_or_default();
                let usage =
                    |_| Failure::Usage(format!("--port: expected a number up to 65535, found {port:?}"));
                options.ports.push(port.parse().map_err(usage)?);
            }
            other if other.starts_with("--") => {
                return Err(Failure::Usage(format!("unknown option {other}; see --help")));
            }
            _ if options.input.is_none() => options.input = Some(argument),
            _ => return Err(Failure::Usage(format!("one input at a time, found also {argument:?}"))),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if options.is_lines {
        for line in io::stdin().lock().split(b'\n') {
            writeln!(out, "{}", answer(&String::from_utf8_lossy(&line?), options.is_reencode))?;
        }
        return Ok(());
    }
    let Some(input) = &options.input else {
        return Err(Failure::Usage("expected HEX, FILE or -; see --help".to_owned()));
    };
    let octets = read(input)?;
    if options.kind.is_none() && capture::is_capture(&octets) {
        return conversation(&octets, options, &mut out);
    }
    let kind = options.kind.unwrap_or_else(|| guess(&octets));
    let checked = check(kind, octets.clone())?;
    if options.is_reencode {
        writeln!(out, "{}", hex(&checked.reencode()))?;
    } else if options.is_json {
        writeln!(out, "{}", checked.meaning())?;
    } else {
        let is_coloured = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        for line in Tree::lines(kind, octets, is_coloured) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// Prints what was captured.
fn conversation(capture: &Bytes, options: &Options, out: &mut io::StdoutLock<'_>) -> Result<(), Failure> {
    if options.is_reencode {
        return Err(Failure::Usage("expected a frame for --reencode, found a capture".to_owned()));
    }
    let ports = if options.ports.is_empty() { &[5672][..] } else { &options.ports };
    let is_coloured = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let items = capture::items(capture, ports);
    if items.is_empty() {
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        let ports = ports.join(", ");
        return Err(Failure::Malformed(format!(
            "expected a connection to port {ports} in the capture, found none; see --port"
        )));
    }
    let mut troubles = 0;
    for Item { direction, content } in items {
        let (kind, octets) = match content {
            Content::Header(octets) => (Kind::Header, Ok(octets)),
            Content::Frame(octets) => (Kind::Frame, Ok(octets)),
            Content::Trouble(why) => (Kind::Frame, Err(why)),
        };
        let checked = octets.and_then(|octets| match check(kind, octets.clone()) {
            Ok(checked) => Ok((checked, octets)),
            Err(malformed) => Err(malformed.to_string()),
        });
        troubles += u32::from(checked.is_err());
        if options.is_json {
            let (from, to) = direction.map(|(from, to)| (from.to_string(), to.to_string())).unzip();
            writeln!(
                out,
                "{}",
                match checked {
                    Ok((checked, _)) => json!({"from": from, "to": to, "meaning": checked.meaning()}),
                    Err(why) => json!({"from": from, "to": to, "error": why}),
                }
            )?;
            continue;
        }
        match direction {
            Some((from, to)) => writeln!(out, "{from} -> {to}")?,
            None => writeln!(out, "the capture")?,
        }
        match checked {
            Ok((_, octets)) => {
                for line in Tree::lines(kind, octets, is_coloured) {
                    writeln!(out, "{line}")?;
                }
            }
            Err(why) => writeln!(out, "        {why}")?,
        }
    }
    match troubles {
        0 => Ok(()),
        count => Err(Failure::Malformed(format!(
            "expected a capture that can be read everywhere, found {count} exceptions; see the output"
        ))),
    }
}

/// The answer to a line `KIND HEX`.
fn answer(line: &str, is_reencode: bool) -> Json {
    let (kind, digits) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
    let request = kind.parse::<Kind>().and_then(|kind| {
        let octets = unhex(digits.as_bytes()).ok_or_else(|| "expected hexadecimal digits".to_owned())?;
        Ok((kind, octets))
    });
    match request {
        Err(error) => json!({"error": error, "condition": null}),
        Ok((kind, octets)) => match check(kind, octets) {
            Ok(checked) if is_reencode => json!({"hex": hex(&checked.reencode())}),
            Ok(checked) => checked.meaning(),
            Err(malformed) => json!({
                "error": malformed.to_string(),
                "condition": malformed.condition,
                "offset": malformed.offset,
                "expected": malformed.expected,
                "found": malformed.found,
            }),
        },
    }
}

/// The octets that an argument names.
fn read(input: &str) -> Result<Bytes, Failure> {
    let mut content = Vec::new();
    if input == "-" {
        io::stdin().lock().read_to_end(&mut content)?;
    } else if let Some(octets) = unhex(input.as_bytes()) {
        return Ok(octets);
    } else {
        content = std::fs::read(input).map_err(|error| {
            Failure::Malformed(format!("expected hexadecimal digits or a file, found {input:?}: {error}"))
        })?;
    }
    Ok(unhex(&content).unwrap_or_else(|| content.into()))
}

/// The octets that hexadecimal digits stand for; space between them does not count.
fn unhex(text: &[u8]) -> Option<Bytes> {
    let digits: Vec<u8> = text.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks_exact(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.last()?)?)).collect()
}

/// What octets are, by their looks.
fn guess(octets: &Bytes) -> Kind {
    let size = octets.first_chunk::<4>().map(|size| u32::from_be_bytes(*size));
    if octets.starts_with(b"AMQP") {
        Kind::Header
    } else if octets.len() >= 8 && size.is_some_and(|size| usize::try_from(size) == Ok(octets.len())) {
        Kind::Frame
    } else if check(Kind::Message, octets.clone()).is_ok() && !octets.is_empty() {
        Kind::Message
    } else {
        Kind::Value
    }
}
