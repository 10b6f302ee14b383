//! What the sources promise about themselves: the engine is pure, each outside name has one home, files keep a readable size.

use std::fs;
use std::path::Path;

use tests::workspace;

/// Files of more than 900 lines, and why.
const LONG: &[(&str, &str)] = &[];

const CRATES: [&str; 5] = ["amqp-codec", "amqp-transport", "amqp-broker", "jobs-driver", "jobs-server"];

/// Every Rust file below a folder of the workspace, with its path relative to the workspace.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![workspace().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((relative(&path), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap_or(path).display().to_string()
}

/// The lines that are compiled into the product, with their numbers: no comments, no line marked `#[cfg(test)]`, no module of
/// tests (the last thing in its file), nothing of a file that is all tests.
fn code(path: &str, text: &str) -> Vec<(usize, String)> {
    if is_test(path) {
        return Vec::new();
    }
    let mut code = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let marked =
                lines.find(|(_, line)| !line.trim().starts_with("#[")).map_or("", |(_, line)| line.trim());
            if marked.starts_with("mod ") && marked.ends_with('{') {
                break;
            }
            continue;
        }
        let line = without_comment(line);
        if !line.trim().is_empty() {
            code.push((number, line));
        }
    }
    code
}

/// A file of tests alone, by its name.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs") || path.contains("/benches/")
}

/// The line up to a `//` that is not inside a string.
fn without_comment(line: &str) -> String {
    let mut in_string = false;
    let mut previous = ' ';
    for (at, character) in line.char_indices() {
        match character {
            '"' if previous != '\\' && previous != '\'' => in_string = !in_string,
            '/' if previous == '/' && !in_string => return line[..at - 1].to_owned(),
            _ => {}
        }
        previous = character;
    }
    line.to_owned()
}

/// Is `word` in the line with nothing around it that would make it a part of another name?
fn names(line: &str, word: &str) -> bool {
    let part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part);
        let after = line[at + word.len()..].chars().next().is_some_and(part);
        !before && !after
    })
}

/// Where any of the words stands in the code of a folder, outside the paths that may name it.
fn offences(folder: &str, words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut offences = Vec::new();
    for (path, text) in sources(folder) {
        if allowed.iter().any(|allowed| path.starts_with(allowed)) {
            continue;
        }
        for (number, line) in code(&path, &text) {
            offences.extend(
                words.iter().filter(|word| names(&line, word)).map(|word| format!("{path}:{number}: {word}")),
            );
        }
    }
    offences
}

#[test]
fn the_engine_names_no_runtime_no_socket_no_clock_and_no_randomness() {
    let words = [
        "tokio",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "ToSocketAddrs",
        "Instant::now",
        "SystemTime::now",
        "rand",
        "thread_rng",
        "new_v4",
        "thread",
        "Mutex",
        "async",
        "await",
    ];
    assert_eq!(offences("amqp-transport/src/engine", &words, &[]), [""; 0]);
}

#[test]
fn the_codec_does_no_input_or_output() {
    let words =
        ["tokio", "TcpStream", "std::fs", "std::net", "Instant::now", "SystemTime::now", "rand", "async"];
    assert_eq!(offences("amqp-codec/src", &words, &[]), [""; 0]);
}

#[test]
fn only_the_configuration_names_serde_yaml() {
    let allowed = ["jobs-driver/src/config/", "jobs-driver/src/config.rs"];
    for folder in CRATES {
        assert_eq!(offences(&format!("{folder}/src"), &["serde_yaml"], &allowed), [""; 0]);
    }
}

#[test]
fn only_profiles_name_a_broker() {
    let words = [
        "RabbitMQ",
        "rabbitmq",
        "rabbitmq3",
        "rabbitmq4",
        "Rabbit",
        "ServiceBus",
        "service_bus",
        "servicebus",
        "Artemis",
        "artemis",
    ];
    let allowed = ["jobs-driver/src/profile/", "jobs-driver/src/profile.rs"];
    assert_eq!(offences("jobs-driver/src", &words, &allowed), [""; 0]);
}

#[test]
fn arrows_between_crates_point_down() {
    for (folder, not_below) in [
        ("amqp-codec", &["amqp_transport", "amqp_broker", "jobs_driver", "jobs_server"][..]),
        ("amqp-transport", &["amqp_broker", "jobs_driver", "jobs_server"]),
        ("amqp-broker", &["jobs_driver", "jobs_server"]),
        ("jobs-driver", &["amqp_broker", "jobs_server"]),
    ] {
        assert_eq!(offences(&format!("{folder}/src"), not_below, &[]), [""; 0]);
    }
}

#[test]
fn nothing_is_unsafe() {
    for folder in CRATES.into_iter().chain(["tests"]) {
        assert_eq!(offences(folder, &["unsafe"], &["tests/tests/tidy.rs"]), [""; 0]);
    }
}

#[test]
fn files_have_a_readable_size_or_a_reason() {
    let mut long = Vec::new();
    for folder in CRATES.into_iter().chain(["tests"]) {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            if lines > 900 && !LONG.iter().any(|(known, _)| *known == path) {
                long.push(format!("{path}: {lines} lines"));
            }
        }
    }
    assert_eq!(long, [""; 0]);
    for (path, _) in LONG {
        let text = fs::read_to_string(workspace().join(path)).unwrap_or_default();
        assert!(text.lines().count() > 900, "{path} needs no reason any more");
    }
}

#[test]
fn every_module_begins_by_saying_what_it_is() {
    let mut silent = Vec::new();
    for folder in CRATES.into_iter().chain(["tests"]) {
        let files = sources(folder).into_iter();
        // A file of tests beside its module says by its name what it is.
        let silent_here = files.filter(|(path, _)| !path.ends_with("/tests.rs")).filter(|(_, text)| {
            let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
            !first.is_some_and(|line| line.starts_with("//!"))
        });
        silent.extend(silent_here.map(|(path, _)| path));
    }
    assert_eq!(silent, [""; 0]);
}
