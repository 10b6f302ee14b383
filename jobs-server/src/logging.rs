//! The log: section `logs` of the configuration, put into effect by `tracing-subscriber`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use jobs_driver::config::{ConfigError, File};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

#[derive(Deserialize, Default)]
struct Logs {
    mode: Option<String>,
    level: Option<String>,
    encoding: Option<String>,
    #[serde(default)]
    output: Vec<String>,
    #[serde(default)]
    channels: BTreeMap<String, Channel>,
}

#[derive(Deserialize)]
struct Channel {
    level: Option<String>,
    mode: Option<String>,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Time, level, name, message, fields.
    Console,
    /// One JSON object a line.
    Json,
    /// The message and its fields, nothing else.
    Raw,
}

/// Everything that is needed to start the log.
struct Plan {
    /// `None` for no log at all.
    look: Option<Look>,
    filter: String,
    output: String,
}

/// The log of a program that starts: lines are held back until [`release`](Self::release). When the start fails they
/// are dropped, so that the one line that says why stands alone; at level `debug` nothing is held back.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<State>>);

struct State {
    held: Option<Vec<u8>>,
    writer: Box<dyn Write + Send>,
}

impl Log {
    fn new(writer: Box<dyn Write + Send>, hold: bool) -> Self {
        Self(Arc::new(Mutex::new(State { held: hold.then(Vec::new), writer })))
    }

    /// Writes what was held back; from now on lines are written as they come.
    pub(crate) fn release(&self) {
        let state = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = state.held.take() {
            // A log that cannot be written has no better place to say so.
            let _ = state.writer.write_all(&held);
        }
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let state = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut state.held {
            Some(held) => held.write(bytes),
            None => state.writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).writer.flush()
    }
}

/// Starts the log as the file says; the defaults are level `info`, lines for people, standard error.
///
/// # Errors
/// Unknown words in the section, with their place in the file; a log file that cannot be written.
pub(crate) fn start(file: &File) -> Result<Log, ConfigError> {
    let plan = plan(file)?;
    let writer: Box<dyn Write + Send> = match plan.output.as_str() {
        "stderr" => Box::new(io::stderr()),
        "stdout" => Box::new(io::stdout()),
        path => match OpenOptions::new().create(true).append(true).open(path) {
            Ok(opened) => Box::new(opened),
            Err(error) => {
                return Err(file.error_at("logs.output", &format!("cannot write to {path}: {error}")));
            }
        },
    };
    let hold =
        plan.output == "stderr" && !["debug", "trace"].iter().any(|level| plan.filter.starts_with(level));
    let log = Log::new(writer, hold);
    let Some(look) = plan.look else { return Ok(log) };
    let filter = EnvFilter::builder().parse_lossy(&plan.filter);
    let lines = log.clone();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || lines.clone());
    let colours = plan.output == "stderr" && colours();
    // A log that was started before stays as it is.
    let _ = match look {
        Look::Console => builder.with_ansi(colours).try_init(),
        Look::Json => builder.with_ansi(false).json().flatten_event(true).try_init(),
        Look::Raw => builder.with_ansi(false).without_time().with_level(false).with_target(false).try_init(),
    };
    Ok(log)
}

/// Warnings and errors for people on standard error: for commands that print their own progress.
pub(crate) fn start_quiet() -> Log {
    let log = Log::new(Box::new(io::stderr()), true);
    let lines = log.clone();
    // A log that was started before stays as it is.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("warn"))
        .with_writer(move || lines.clone())
        .with_ansi(colours())
        .without_time()
        .try_init();
    log
}

fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn plan(file: &File) -> Result<Plan, ConfigError> {
    let logs = file.section::<Logs>("logs")?.unwrap_or_default();
    let by_mode = match logs.mode.as_deref().unwrap_or("development") {
        "development" | "" => Some(Look::Console),
        "production" => Some(Look::Json),
        "raw" => Some(Look::Raw),
        "off" | "none" => None,
        other => {
            let message = format!("expected development, production, raw, off or none, found {other:?}");
            return Err(file.error_at("logs.mode", &message));
        }
    };
    let look = match logs.encoding.as_deref() {
        None | Some("") => by_mode,
        Some("console") => by_mode.map(|look| if look == Look::Json { Look::Console } else { look }),
        Some("json") => by_mode.map(|_| Look::Json),
        Some(other) => {
            let message = format!("expected console or json, found {other:?}");
            return Err(file.error_at("logs.encoding", &message));
        }
    };
    let mut filter = level(file, "logs.level", logs.level.as_deref())?.to_owned();
    for (name, channel) in &logs.channels {
        let level = match channel.mode.as_deref() {
            Some("off" | "none") => "off",
            _ => level(file, &format!("logs.channels.{name}.level"), channel.level.as_deref())?,
        };
        for target in targets(name) {
            filter.push_str(&format!(",{target}={level}"));
        }
    }
    let output = logs.output.into_iter().next().unwrap_or_else(|| "stderr".to_owned());
    Ok(Plan { look, filter, output })
}

fn level(file: &File, path: &str, level: Option<&str>) -> Result<&'static str, ConfigError> {
    match level.unwrap_or("info").to_ascii_lowercase().as_str() {
        "debug" => Ok("debug"),
        "info" | "" => Ok("info"),
        "warn" | "warning" => Ok("warn"),
        "error" | "panic" | "fatal" => Ok("error"),
        "trace" => Ok("trace"),
        other => Err(file.error_at(path, &format!("expected debug, info, warn or error, found {other:?}"))),
    }
}

/// The parts of this program behind the name of a log channel.
fn targets(channel: &str) -> &'static [&'static str] {
    match channel {
        "server" => &["server"],
        "jobs" => &["rr_jobs", "jobs_driver"],
        "amqp" | "amqp1" => &["amqp_transport", "jobs_driver"],
        "broker" | "embedded" => &["amqp_broker"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use jobs_driver::config::LoadOptions;

    use super::*;

    fn plan_of(yaml: &str) -> Result<Plan, ConfigError> {
        plan(&File::parse(yaml, "test.yaml", &LoadOptions::default()).unwrap())
    }

    #[test]
    fn without_a_section_people_get_information_on_standard_error() {
        let plan = plan_of("version: \"3\"\n").unwrap();
        assert_eq!(plan.look, Some(Look::Console));
        assert_eq!((plan.filter.as_str(), plan.output.as_str()), ("info", "stderr"));
    }

    #[test]
    fn mode_encoding_and_level_are_followed() {
        assert_eq!(plan_of("logs:\n  mode: production\n").unwrap().look, Some(Look::Json));
        assert_eq!(plan_of("logs:\n  encoding: json\n").unwrap().look, Some(Look::Json));
        assert_eq!(plan_of("logs:\n  mode: none\n").unwrap().look, None);
        assert_eq!(plan_of("logs:\n  level: DEBUG\n").unwrap().filter, "debug");
    }

    #[test]
    fn a_channel_has_a_level_of_its_own() {
        let yaml = "logs:\n  level: error\n  channels:\n    server:\n      level: debug\n    jobs:\n      mode: off\n";
        assert_eq!(plan_of(yaml).unwrap().filter, "error,rr_jobs=off,jobs_driver=off,server=debug");
    }

    #[test]
    fn lines_wait_for_the_release_and_keep_their_order() {
        let written = Log::new(Box::new(io::sink()), true);
        let mut log = Log::new(Box::new(written.clone()), true);
        log.write_all(b"early\n").unwrap();
        let seen = || written.0.lock().unwrap().held.clone().unwrap();
        assert_eq!(seen(), b"");
        log.release();
        log.write_all(b"late\n").unwrap();
        assert_eq!(seen(), b"early\nlate\n");
    }

    #[test]
    fn unknown_words_are_named_with_their_place() {
        for (yaml, expected) in [
            ("logs:\n  mode: loud\n", "loud"),
            ("logs:\n  level: 7\n", "logs.level"),
            ("logs:\n  encoding: xml\n", "console or json"),
        ] {
            let Err(error) = plan_of(yaml) else { panic!("{yaml} was accepted") };
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
