//! `RULES.md`: the rules of the specification that have a test, gathered from the tests themselves.
//!
//! A rule is marked by a comment with its section directly above the test, and stated by the test's name:
//!
//! ```text
//! // §2.6.7
//! #[test]
//! fn a_drain_is_answered_once() {
//! ```
//!
//! The table is written anew with `WRITE_RULES=1 cargo test -p amqp-transport --test rules`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The sections of the specification that state rules for an endpoint.
const SECTIONS: &[(&str, &str)] = &[
    ("2.2", "Version negotiation"),
    ("2.3", "Framing"),
    ("2.3.1", "Frame layout"),
    ("2.4.1", "Opening a connection"),
    ("2.4.2", "Pipelined open"),
    ("2.4.3", "Closing a connection"),
    ("2.4.4", "Simultaneous close"),
    ("2.4.5", "Idle time-out of a connection"),
    ("2.4.6", "Connection states"),
    ("2.5.1", "Establishing a session"),
    ("2.5.2", "Ending a session"),
    ("2.5.3", "Simultaneous end"),
    ("2.5.4", "Session errors"),
    ("2.5.5", "Session states"),
    ("2.5.6", "Session flow control"),
    ("2.6.1", "Naming a link"),
    ("2.6.2", "Link handles"),
    ("2.6.3", "Establishing or resuming a link"),
    ("2.6.4", "Detaching and reattaching a link"),
    ("2.6.5", "Link errors"),
    ("2.6.6", "Closing a link"),
    ("2.6.7", "Flow control"),
    ("2.6.8", "Synchronous get"),
    ("2.6.9", "Asynchronous notification"),
    ("2.6.10", "Stopping a link"),
    ("2.6.12", "Transferring a message"),
    ("2.6.13", "Resuming deliveries"),
    ("2.6.14", "Transferring large messages"),
    ("2.7.1", "open"),
    ("2.7.2", "begin"),
    ("2.7.3", "attach"),
    ("2.7.4", "flow"),
    ("2.7.5", "transfer"),
    ("2.7.6", "disposition"),
    ("2.7.7", "detach"),
    ("2.7.8", "end"),
    ("2.7.9", "close"),
    ("2.8.2", "Settlement policy of a sender"),
    ("2.8.3", "Settlement policy of a receiver"),
    ("2.8.7", "delivery-tag"),
    ("2.8.10", "Sequence numbers"),
    ("2.8.14", "error"),
    ("2.8.15", "AMQP errors"),
    ("2.8.16", "Connection errors"),
    ("2.8.17", "Session errors"),
    ("2.8.18", "Link errors"),
    ("3.4", "Delivery state"),
    ("3.4.1", "received"),
    ("3.5.3", "source"),
    ("4.2", "Declaring a transaction"),
    ("4.3", "Discharging a transaction"),
    ("4.4", "Transactional work"),
    ("4.4.1", "Transactional posting"),
    ("4.4.2", "Transactional retirement"),
    ("4.4.3", "Transactional acquisition"),
    ("4.5", "Coordination"),
    ("5.3", "SASL"),
    ("5.3.1", "SASL frames"),
    ("5.3.2", "SASL negotiation"),
    ("5.3.3", "SASL frame bodies"),
];

/// A test that checks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    claim: String,
    file: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The section numbers in a mark such as `// §2.6.7, §2.7.4`; none if the line is another comment.
fn marked(line: &str) -> Vec<String> {
    let Some(text) = line.trim().strip_prefix("// §") else { return Vec::new() };
    let sections: Vec<_> = text.split(", §").map(str::to_owned).collect();
    let is_number = |section: &String| {
        !section.is_empty() && section.chars().all(|character| character.is_ascii_digit() || character == '.')
    };
    if sections.iter().all(is_number) { sections } else { Vec::new() }
}

/// All marked tests of one file, by section.
fn rules_of(text: &str, file: &str, rules: &mut BTreeMap<Vec<u32>, Vec<Rule>>) {
    let mut sections = Vec::new();
    let mut is_test = false;
    for line in text.lines() {
        let line = line.trim();
        if !marked(line).is_empty() {
            (sections, is_test) = (marked(line), false);
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(name) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn ")) {
            let name = name.split('(').next().unwrap_or(name);
            for section in sections.drain(..).filter(|_| is_test) {
                let number = section.split('.').filter_map(|part| part.parse().ok()).collect();
                let claim = name.replace('_', " ");
                rules.entry(number).or_default().push(Rule { claim, file: file.to_owned() });
            }
            is_test = false;
        } else if !line.starts_with("//") && !line.starts_with("#[") {
            sections.clear();
        }
    }
}

fn shown(number: &[u32]) -> String {
    number.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

fn table() -> String {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    sources(&root().join("tests"), &mut files);
    files.sort();
    let mut rules = BTreeMap::new();
    for path in &files {
        let file = path.strip_prefix(root()).unwrap().display().to_string();
        rules_of(&fs::read_to_string(path).unwrap(), &file, &mut rules);
    }
    // Sections that are marked and not listed stand on their own.
    let mut titles: BTreeMap<Vec<u32>, &str> = BTreeMap::new();
    for (section, title) in SECTIONS {
        titles.insert(section.split('.').filter_map(|part| part.parse().ok()).collect(), title);
    }
    for number in rules.keys() {
        titles.entry(number.clone()).or_insert("");
    }
    let count: usize = rules.values().map(Vec::len).sum();
    let mut out = String::from(
        "# Rules\n\nEach rule of the AMQP 1.0 specification (OASIS Standard, 2012) that a test of this crate checks, by section. \
         The name of the test is\nthe rule. This file is written by `tests/rules.rs`, which also says how to mark a test.\n\n",
    );
    let _ = writeln!(out, "{count} tests.");
    for (number, title) in titles {
        let _ = writeln!(out, "\n## §{} {title}\n", shown(&number));
        let Some(rules) = rules.get_mut(&number) else {
            let _ = writeln!(out, "No test is marked with this section itself.");
            continue;
        };
        rules.sort();
        let _ = writeln!(out, "| rule | test in |\n| --- | --- |");
        for Rule { claim, file } in rules {
            let _ = writeln!(out, "| {claim} | `{file}` |");
        }
    }
    out.replace(" \n", "\n")
}

#[test]
fn the_table_of_rules_is_up_to_date() {
    let path = root().join("RULES.md");
    let table = table();
    if std::env::var_os("WRITE_RULES").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == table, "RULES.md is stale: WRITE_RULES=1 cargo test -p amqp-transport --test rules");
}

#[test]
fn a_mark_is_a_section_directly_above_a_test() {
    let mut rules = BTreeMap::new();
    let text = "// §2.6.7, §2.7.4\n#[test]\nfn a_claim() {}\n// §2.1 says so\n#[test]\nfn no_rule() {}\n\
                // §2.3\nfn no_test() {}\n// §2.4\nlet x = 1;\n#[test]\nfn too_far() {}\n";
    rules_of(text, "file", &mut rules);
    let found: Vec<_> = rules.iter().map(|(number, rules)| (shown(number), rules[0].claim.clone())).collect();
    assert_eq!(found, [("2.6.7".into(), "a claim".into()), ("2.7.4".into(), "a claim".into())]);
}
