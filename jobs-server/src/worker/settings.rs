//! The workers' part of the configuration: sections `server`, `jobs.pool` and `rpc.listen`, validated.

use std::collections::BTreeMap;
use std::time::Duration;

use jobs_driver::config::{ConfigError, File, GoDuration};
use nix::unistd::User;
use serde::Deserialize;
use tracing::warn;

use super::pool::PoolLimits;
use super::process::Launch;

/// Default of `allocate_timeout` and `destroy_timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Nobody limits workers to less than this; shorter times are numbers whose unit was forgotten.
const SHORTEST: Duration = Duration::from_millis(1);

/// More worker processes than this in one pool are taken for a mistake.
const MAX_WORKERS: usize = 500;

#[derive(Deserialize)]
struct Server {
    #[serde(default)]
    command: Vec<String>,
    relay: Option<String>,
    user: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct PoolSection {
    num_workers: Option<usize>,
    max_jobs: Option<u64>,
    allocate_timeout: Option<GoDuration>,
    destroy_timeout: Option<GoDuration>,
    #[serde(default)]
    command: Vec<String>,
    supervisor: Option<Supervisor>,
}

#[derive(Deserialize)]
struct Supervisor {
    exec_ttl: Option<GoDuration>,
}

/// Keys of `jobs.pool` that other servers know and that have no effect here yet; people should be told.
const WITHOUT_EFFECT: [&str; 6] = [
    "jobs.pools",
    "jobs.pool.debug",
    "jobs.pool.dynamic_allocator",
    "jobs.pool.supervisor.ttl",
    "jobs.pool.supervisor.idle_ttl",
    "jobs.pool.supervisor.max_worker_memory",
];

/// How workers are started, and how many, from the configuration.
///
/// # Errors
/// Missing or impossible values, with their place in the file.
pub(crate) fn from_file(file: &File) -> Result<(Launch, PoolLimits), ConfigError> {
    let pool = file.section::<PoolSection>("jobs.pool")?.unwrap_or_default();
    let Some(server) = file.section::<Server>("server")? else {
        return Err(ConfigError::new(
            file.name(),
            "section server: missing; add server.command, for example command: \"php worker.php\"",
        ));
    };
    if let Some(relay) = server.relay.as_deref().filter(|relay| !matches!(*relay, "" | "pipes")) {
        return Err(file.error_at(
            "server.relay",
            &format!("expected pipes, found {relay:?}: workers are spoken to over pipes only"),
        ));
    }
    let (path, command) = if pool.command.iter().all(|part| part.trim().is_empty()) {
        ("server.command", &server.command)
    } else {
        ("jobs.pool.command", &pool.command)
    };
    let mut argv = split(command).into_iter();
    let Some(program) = argv.next() else {
        return Err(
            file.error_at(path, "expected the command that starts a worker, for example \"php worker.php\"")
        );
    };
    let limits = limits(file, &pool)?;
    let allocate_timeout = duration(file, "jobs.pool.allocate_timeout", pool.allocate_timeout)?;
    let user = server.user.as_deref().filter(|user| !user.is_empty());
    let launch = Launch {
        program,
        arguments: argv.collect(),
        environment: environment(file, &server.env)?,
        directory: None,
        user: user.map(|name| ids(file, name)).transpose()?,
        allocate_timeout: allocate_timeout.unwrap_or(DEFAULT_TIMEOUT),
    };
    for key in WITHOUT_EFFECT.iter().filter(|key| file.has(key)) {
        warn!(key, "this setting has no effect yet");
    }
    Ok((launch, limits))
}

fn limits(file: &File, pool: &PoolSection) -> Result<PoolLimits, ConfigError> {
    let workers = match pool.num_workers.unwrap_or(0) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers if workers <= MAX_WORKERS => workers,
        workers => {
            return Err(file.error_at(
                "jobs.pool.num_workers",
                &format!("expected at most {MAX_WORKERS}, found {workers}"),
            ));
        }
    };
    let exec_ttl = pool.supervisor.as_ref().and_then(|supervisor| supervisor.exec_ttl);
    Ok(PoolLimits {
        workers,
        max_jobs: pool.max_jobs.unwrap_or(0),
        exec_ttl: duration(file, "jobs.pool.supervisor.exec_ttl", exec_ttl)?,
        destroy_timeout: duration(file, "jobs.pool.destroy_timeout", pool.destroy_timeout)?
            .unwrap_or(DEFAULT_TIMEOUT),
    })
}

/// Zero means "not set", as everywhere in these files.
fn duration(file: &File, path: &str, value: Option<GoDuration>) -> Result<Option<Duration>, ConfigError> {
    let value = value.map(|GoDuration(duration)| duration).filter(|duration| !duration.is_zero());
    value.map(|duration| long_enough(file, path, duration)).transpose()
}

/// Refuses what can only be a number without its unit: bare numbers are nanoseconds in these files.
///
/// # Errors
/// A duration that is not zero and shorter than [`SHORTEST`].
pub(crate) fn long_enough(file: &File, path: &str, duration: Duration) -> Result<Duration, ConfigError> {
    if duration.is_zero() || duration >= SHORTEST {
        return Ok(duration);
    }
    let number = duration.as_nanos();
    Err(file.error_at(
        path,
        &format!(
            "expected 0 or at least {SHORTEST:?}, found {duration:?}: a number without a unit means nanoseconds; for seconds write {number}s"
        ),
    ))
}

/// A command in one piece is split at white space (there is no shell); one in several pieces is used as it is.
fn split(command: &[String]) -> Vec<String> {
    match command {
        [whole] => whole.split_whitespace().map(str::to_owned).collect(),
        pieces => {
            pieces.iter().map(|piece| piece.trim().to_owned()).filter(|piece| !piece.is_empty()).collect()
        }
    }
}

/// What a worker finds in its environment beside ours; later entries win.
fn environment(file: &File, extra: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, ConfigError> {
    let mut environment = vec![("RR_RELAY".to_owned(), "pipes".to_owned())];
    if let Some(listen) = file.section::<String>("rpc.listen")?.filter(|listen| !listen.is_empty()) {
        environment.push(("RR_RPC".to_owned(), listen));
    }
    environment.extend(extra.iter().map(|(name, value)| (name.to_uppercase(), value.clone())));
    environment.push(("RR_VERSION".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
    environment.push(("RR_MODE".to_owned(), "jobs".to_owned()));
    Ok(environment)
}

fn ids(file: &File, name: &str) -> Result<(u32, u32), ConfigError> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok((user.uid.as_raw(), user.gid.as_raw())),
        Ok(None) => Err(file.error_at("server.user", &format!("there is no user {name:?} on this machine"))),
        Err(error) => {
            Err(file.error_at("server.user", &format!("cannot look up the user {name:?}: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use jobs_driver::config::LoadOptions;

    use super::*;

    fn read(yaml: &str) -> Result<(Launch, PoolLimits), ConfigError> {
        from_file(&File::parse(yaml, "test.yaml", &LoadOptions::default()).unwrap())
    }

    #[test]
    fn a_command_in_one_piece_is_split_at_white_space() {
        let (launch, _) = read("version: \"3\"\nserver:\n  command: \"php  worker.php --all\"\n").unwrap();
        assert_eq!(launch.program, "php");
        assert_eq!(launch.arguments, ["worker.php", "--all"]);
    }

    #[test]
    fn a_command_in_a_list_keeps_its_spaces() {
        let (launch, _) = read("server:\n  command: [\"php\", \"my worker.php\"]\n").unwrap();
        assert_eq!(launch.arguments, ["my worker.php"]);
    }

    #[test]
    fn the_environment_has_the_names_that_workers_look_for() {
        let yaml = "server:\n  command: w\n  env:\n    app_env: test\nrpc:\n  listen: tcp://127.0.0.1:6001\n";
        let environment: BTreeMap<_, _> = read(yaml).unwrap().0.environment.into_iter().collect();
        assert_eq!(environment["RR_RELAY"], "pipes");
        assert_eq!(environment["RR_MODE"], "jobs");
        assert_eq!(environment["RR_RPC"], "tcp://127.0.0.1:6001");
        assert_eq!(environment["APP_ENV"], "test");
        assert!(environment.contains_key("RR_VERSION"));
    }

    #[test]
    fn limits_come_from_the_pool_section() {
        let yaml = "server:\n  command: w\njobs:\n  pool:\n    num_workers: \"3\"\n    max_jobs: 10\n    destroy_timeout: 2s\n    supervisor:\n      exec_ttl: 5s\n";
        let (launch, limits) = read(yaml).unwrap();
        assert_eq!((limits.workers, limits.max_jobs), (3, 10));
        assert_eq!(limits.exec_ttl, Some(Duration::from_secs(5)));
        assert_eq!(limits.destroy_timeout, Duration::from_secs(2));
        assert_eq!(launch.allocate_timeout, DEFAULT_TIMEOUT);
    }

    #[test]
    fn no_number_of_workers_means_one_for_each_processor() {
        assert!(read("server:\n  command: w\n").unwrap().1.workers >= 1);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (yaml, expected) in [
            ("version: \"3\"\n", "server.command"),
            ("server:\n  relay: pipes\n", "server.command"),
            ("server:\n  command: w\n  relay: tcp://127.0.0.1:7000\n", "pipes"),
            ("server:\n  command: w\njobs:\n  pool:\n    num_workers: 501\n", "500"),
            (
                "server:\n  command: w\njobs:\n  pool:\n    supervisor:\n      exec_ttl: 60\n",
                "jobs.pool.supervisor.exec_ttl: expected 0 or at least 1ms, found 60ns: a number without a unit means nanoseconds; for seconds write 60s",
            ),
            ("server:\n  command: w\njobs:\n  pool:\n    destroy_timeout: 10\n", "write 10s"),
            ("server:\n  command: w\njobs:\n  pool:\n    allocate_timeout: 10\n", "write 10s"),
            ("server:\n  command: w\n  user: no-such-user-here\n", "no-such-user-here"),
        ] {
            let error = read(yaml).unwrap_err().to_string();
            assert!(error.contains("test.yaml") && error.contains(expected), "{error}");
        }
    }
}
