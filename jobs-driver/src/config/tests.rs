//! The documented configurations and the corners of the file format.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Environment, File, GoDuration, LoadOptions};
use super::*;

const AZURE: &str = r#"
amqp1:
  addr: "amqps://RootManageSharedAccessKey:YOUR_ACCESS_KEY@YOUR_NAMESPACE.servicebus.windows.net:5671/"
  container_id: "roadrunner-jobs-azure"

jobs:
  consume: ["azure-queue"]

  pipelines:
    azure-queue:
      driver: amqp1
      config:
        queue: "test-queue"                   # Must exist in Azure Service Bus
        prefetch: 10
        priority: 1
        durable: false
        exclusive: false
"#;

const RABBITMQ: &str = r#"
amqp1:
  addr: "amqp://username:password@rabbitmq:5672/"
  container_id: "roadrunner-jobs-rabbitmq"

jobs:
  consume: ["rabbit-queue"]

  pipelines:
    rabbit-queue:
      driver: amqp1
      config:
        queue: "test-queue"
        routing_key: "test-queue"
        exchange: "test-queue"                # Use default exchange
        exchange_type: "direct"               # informational; configure server-side
        prefetch: 10
        priority: 10
        durable: true
        exclusive: false
"#;

const TLS: &str = r#"
amqp1:
  addr: "amqps://guest:guest@127.0.0.1:5671/"
  container_id: "roadrunner-secure"
  tls:
    cert: "/path/to/cert.pem"
    key: "/path/to/key.pem"
    root_ca: "/path/to/ca.pem"
    insecure_skip_verify: false
"#;

const ADVANCED: &str = r#"
jobs:
  pipelines:
    # Azure Service Bus optimized pipeline
    priority-orders:
      driver: amqp1
      config:
        queue: "priority-orders"
        prefetch: 50
        priority: 5

    # RabbitMQ with topic exchange
    events-pipeline:
      driver: amqp1
      config:
        queue: "events-queue"
        exchange: "events-exchange"
        exchange_type: "topic"
        routing_key: "events.#"
        prefetch: 25
        priority: 3
        durable: true
        exclusive: false
"#;

fn options() -> LoadOptions {
    LoadOptions {
        overrides: Vec::new(),
        environment: Environment::of([("HOST", "broker"), ("PREFETCH", "33")]),
    }
}

fn file(text: &str) -> File {
    File::parse(text, ".rr.yaml", &options()).unwrap()
}

fn jobs(text: &str) -> Result<JobsConfig, ConfigError> {
    JobsConfig::from_file(&File::parse(text, ".rr.yaml", &options())?)
}

#[test]
fn the_documented_service_bus_configuration_loads() {
    let config = jobs(AZURE).unwrap();
    assert_eq!(config.connection.container_id.as_deref(), Some("roadrunner-jobs-azure"));
    assert_eq!(config.consume, ["azure-queue"]);
    let pipeline = &config.pipelines["azure-queue"];
    assert_eq!(
        *pipeline,
        PipelineConfig { priority: 1, prefetch: 10, durable: false, ..PipelineConfig::new("test-queue") }
    );
}

#[test]
fn the_documented_rabbitmq_configuration_loads() {
    let config = jobs(RABBITMQ).unwrap();
    assert_eq!(config.connection.addr, "amqp://username:password@rabbitmq:5672/");
    let expected = PipelineConfig {
        exchange: Some("test-queue".into()),
        routing_key: Some("test-queue".into()),
        ..PipelineConfig::new("test-queue")
    };
    assert_eq!(config.pipelines["rabbit-queue"], expected);
}

#[test]
fn the_documented_tls_configuration_loads() {
    let config = jobs(TLS).unwrap();
    assert_eq!(config.connection.tls.cert.as_deref(), Some(Path::new("/path/to/cert.pem")));
    assert_eq!(config.connection.tls.root_ca.as_deref(), Some(Path::new("/path/to/ca.pem")));
    assert!(!config.connection.tls.insecure_skip_verify);
    assert!(config.pipelines.is_empty());
}

#[test]
fn the_documented_pipelines_load_without_a_connection_section() {
    let config = jobs(ADVANCED).unwrap();
    assert_eq!(config.connection.addr, "amqp://guest:guest@127.0.0.1:5672/");
    assert!(config.consume.is_empty());
    assert_eq!(
        config.pipelines["events-pipeline"],
        PipelineConfig::new("events-queue")
            .exchange("events-exchange", "topic", "events.#")
            .prefetch(25)
            .priority(3)
    );
    assert_eq!(config.pipelines["priority-orders"].prefetch, 50);
}

#[test]
fn nothing_secret_is_shown() {
    let config =
        jobs(&RABBITMQ.replace("container_id:", "username: hugo\n  password: \"s3cret\"\n  container_id:"))
            .unwrap();
    let shown = format!("{config:?} {:?}", file(RABBITMQ));
    for secret in ["password@", "username:password", "s3cret", "hugo"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("amqp://rabbitmq:5672"), "{shown}");
}

#[test]
fn yaml_errors_have_a_line_and_a_column() {
    let error = File::parse("jobs:\n  consume: [\"a\"\n  x: 1\n", "a/.rr.yaml", &options()).unwrap_err();
    let (line, column) = error.position().unwrap();
    assert!((2..=3).contains(&line), "{error}");
    assert!(
        error.to_string().starts_with(&format!("a/.rr.yaml:{line}:{column}: not valid YAML: ")),
        "{error}"
    );
    assert!(!error.to_string().contains('\n'));
}

#[test]
fn errors_about_values_have_the_place_of_their_key() {
    let error = jobs(&RABBITMQ.replace("prefetch: 10", "prefetch: many")).unwrap_err();
    assert_eq!(
        error.to_string(),
        ".rr.yaml:17:9: jobs.pipelines.rabbit-queue.config.prefetch: expected u32, found a string"
    );
    let error = jobs(&RABBITMQ.replace("driver: amqp1", "driver: kafka")).unwrap_err();
    assert_eq!(
        error.to_string(),
        ".rr.yaml:11:7: jobs.pipelines.rabbit-queue.driver: unknown driver \"kafka\"; expected \"amqp1\""
    );
    let error = jobs(&RABBITMQ.replace("[\"rabbit-queue\"]", "[\"rabbit\"]")).unwrap_err();
    assert_eq!(
        error.to_string(),
        ".rr.yaml:7:3: jobs.consume: no pipeline \"rabbit\" is defined; configured: rabbit-queue"
    );
    let error = jobs(&RABBITMQ.replace("amqp://username", "http://username")).unwrap_err().to_string();
    assert!(error.starts_with(".rr.yaml:3:3: amqp1.addr: not a broker address: "), "{error}");
    assert!(!error.contains("username") && !error.contains("rabbitmq:5672"), "{error}");
}

#[test]
fn a_pipeline_without_a_driver_says_so() {
    let error = jobs("jobs:\n  pipelines:\n    a:\n      config: {queue: q}\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        ".rr.yaml:3:5: jobs.pipelines.a: pipeline \"a\" has no driver; expected `driver: amqp1`"
    );
}

#[test]
fn values_are_expanded_and_weakly_typed() {
    let config = jobs(
        r#"
version: "3"
AMQP1:
  Addr: "amqp://${HOST}:${PORT:-5673}/"
jobs:
  timeout: "5"
  pipelines:
    a:
      driver: amqp1
      priority: "7"
      config: { Queue: 42, prefetch: "${PREFETCH}", durable: "false", requeue_on_fail: 1, declare: true }
"#,
    )
    .unwrap();
    // One `:-` asks for one in every reference of the same text.
    assert_eq!(config.connection.addr, "amqp://guest:guest@127.0.0.1:5672/");
    assert_eq!(config.timeout, Duration::from_secs(5));
    let pipeline = &config.pipelines["a"];
    assert_eq!(pipeline.queue.as_deref(), Some("42"));
    assert_eq!(pipeline.prefetch, 33);
    assert_eq!(pipeline.priority, 7);
    assert!(!pipeline.durable && pipeline.requeue_on_fail);
    assert_eq!(pipeline.declare, Declare::On);
}

#[test]
fn pipelines_keep_their_case_and_answer_to_lower_case() {
    let text = "jobs:\n  consume: [Emails, sms]\n  pipelines:\n    Emails: {driver: amqp1, config: {queue: e}}\n    SMS: {driver: amqp1, config: {queue: s}}\n";
    let config = jobs(text).unwrap();
    assert_eq!(config.consume, ["Emails", "SMS"]);
    assert_eq!(config.resolve("emails"), Some("Emails"));
    assert_eq!(config.resolve("Emails"), Some("Emails"));
    assert_eq!(config.resolve("EMAILS"), None);
    assert!(config.pipelines.contains_key("SMS"));
}

#[test]
fn overrides_replace_leaves() {
    let mut options = options();
    options.overrides = vec![
        "jobs.pipelines.Rabbit-Queue.config.prefetch='77'".into(),
        "amqp1.addr=amqp://$HOST:1/".into(),
        "server.command=php worker.php".into(),
    ];
    let mut file = File::parse(RABBITMQ, ".rr.yaml", &options).unwrap();
    let config = JobsConfig::from_file(&file).unwrap();
    assert_eq!(config.pipelines["rabbit-queue"].prefetch, 77);
    assert_eq!(config.connection.addr, "amqp://broker:1/");
    assert_eq!(file.section::<String>("server.command").unwrap().as_deref(), Some("php worker.php"));
    file.set("amqp1.addr", "amqp://localhost:2/");
    assert_eq!(JobsConfig::from_file(&file).unwrap().connection.addr, "amqp://localhost:2/");
    options.overrides = vec!["nonsense".into()];
    assert!(File::parse(RABBITMQ, ".rr.yaml", &options).is_err());
}

#[test]
fn an_empty_section_is_absent() {
    let file = file("amqp1:\njobs:\n  pool: {}\n  consume:\n");
    assert!(!file.has("amqp1"));
    assert!(file.has("jobs.pool"));
    assert_eq!(file.section::<BTreeMap<String, String>>("amqp1").unwrap(), None);
    assert!(JobsConfig::from_file(&file).unwrap().consume.is_empty());
    assert!(File::parse("", "x", &options()).is_ok());
}

#[test]
fn sections_are_typed_with_go_durations_and_comma_lists() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Pool {
        num_workers: u64,
        allocate_timeout: GoDuration,
        destroy_timeout: GoDuration,
    }
    let file = file(
        "server:\n  command: \"php w.php --x=1,2\"\n  env: [ ]\njobs:\n  pool:\n    num_workers: '4'\n    allocate_timeout: 60s\n    destroy_timeout: 60\n",
    );
    let pool: Pool = file.section("jobs.pool").unwrap().unwrap();
    let expected = Pool {
        num_workers: 4,
        allocate_timeout: GoDuration(Duration::from_secs(60)),
        destroy_timeout: GoDuration(Duration::from_nanos(60)),
    };
    assert_eq!(pool, expected);
    let command: Vec<String> = file.section("server.command").unwrap().unwrap();
    assert_eq!(command, ["php w.php --x=1", "2"]);
    let env: BTreeMap<String, String> = file.section("server.env").unwrap().unwrap();
    assert!(env.is_empty());
}

#[test]
fn the_global_section_wins_over_the_pipelines_and_nested_keys_are_read() {
    let config = jobs(
        "amqp1:\n  prefetch: 5\njobs:\n  pipelines:\n    a:\n      driver: amqp1\n      config:\n        prefetch: 9\n        queue: {name: q, routing_key: k, headers: {x-max-length: 3}}\n        exchange: {name: e, type: topics}\n",
    )
    .unwrap();
    let pipeline = &config.pipelines["a"];
    assert_eq!(pipeline.prefetch, 5);
    assert_eq!(pipeline.queue.as_deref(), Some("q"));
    assert_eq!(pipeline.exchange.as_deref(), Some("e"));
    assert_eq!(pipeline.exchange_type, "topic");
    assert_eq!(pipeline.routing_key.as_deref(), Some("k"));
    assert_eq!(pipeline.queue_headers["x-max-length"], serde_json::json!(3));
}

#[test]
fn pipelines_can_be_made_of_texts() {
    let texts: BTreeMap<String, String> = [
        ("name", "n"),
        ("driver", "amqp1"),
        ("queue", "q"),
        ("priority", "3"),
        ("queue_headers", "[]"),
        ("requeue_on_fail", "true"),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .collect();
    let (name, pipeline) = PipelineConfig::from_texts(&texts).unwrap();
    assert_eq!(name, "n");
    assert_eq!(pipeline, PipelineConfig { priority: 3, requeue_on_fail: true, ..PipelineConfig::new("q") });
}

#[test]
fn unquoted_and_unknown_versions() {
    assert!(File::parse("version: 3", "x", &options()).is_ok());
    assert!(File::parse("version: \"2.7\"", "x", &options()).is_ok());
    let error = File::parse("rpc: {}\nversion: \"1\"", "x", &options()).unwrap_err();
    assert!(error.to_string().starts_with("x:2:1: version: unsupported"), "{error}");
}

#[test]
fn included_files_replace_sections_and_envfile_adds_variables() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path(".rr.yaml"), "version: '3'\nenvfile: .env\ninclude: [jobs.yaml]\namqp1: {addr: 'amqp://${BROKER}/'}\njobs: {timeout: 1}\n").unwrap();
    std::fs::write(path(".env"), "BROKER=there:1\nHOST=never\n").unwrap();
    std::fs::write(
        path("jobs.yaml"),
        "version: '3'\njobs: {pipelines: {P: {driver: amqp1, config: {queue: $HOST}}}}\n",
    )
    .unwrap();
    let file = File::load(&path(".rr.yaml"), &options()).unwrap();
    assert_eq!(file.directory(), directory.path());
    let config = JobsConfig::from_file(&file).unwrap();
    assert_eq!(config.connection.addr, "amqp://there:1/");
    assert_eq!(config.timeout, Duration::from_secs(60));
    assert_eq!(config.pipelines["P"].queue.as_deref(), Some("broker"));
    let error = File::load(&path("none.yaml"), &options()).unwrap_err().to_string();
    assert!(error.contains("none.yaml: cannot read the configuration file"), "{error}");
}

#[test]
fn paths_in_a_file_do_not_depend_on_the_working_directory_later() {
    let directory = tempfile::tempdir().unwrap();
    let text = "amqp1: {addr: 'amqps://h/', tls: {root_ca: ca.pem}}\n";
    std::fs::write(directory.path().join(".rr.yaml"), text).unwrap();
    let up: PathBuf = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let relative = up.join(directory.path().strip_prefix("/").unwrap()).join(".rr.yaml");
    assert!(relative.is_relative());
    let file = File::load(&relative, &options()).unwrap();
    assert!(file.directory().is_absolute(), "{:?}", file.directory());
    let config = JobsConfig::from_file(&file).unwrap();
    assert!(config.connection.tls.root_ca.unwrap().is_absolute());
}

#[test]
fn a_bad_override_does_not_show_its_value() {
    for (entry, key) in [("amqp1.password:s3cret", "amqp1.password…"), ("=s3cret", "\"…\"")] {
        let options = LoadOptions { overrides: vec![entry.to_owned()], ..options() };
        let error = File::parse("", "x", &options).unwrap_err().to_string();
        assert!(error.contains(key) && !error.contains("s3cret"), "{error}");
    }
}

#[test]
fn keys_without_effect_are_told_with_their_place() {
    let text = "amqp1:\n  addr: 'amqp://h/'\n  redail: {}\njobs:\n  pipelines:\n    P:\n      driver: amqp1\n      config:\n        queue: q\n        prefech: 3\n        delete_queue_on_stop: true\n        multiple_ack: false\n        redial_timeout: 60\n        exclusive: true\n";
    let warnings = jobs(text).unwrap().warnings;
    let expected = [
        ("3:", "amqp1.redail: unknown key"),
        ("11:", "jobs.pipelines.P.config.delete_queue_on_stop: has no effect"),
        ("10:", "jobs.pipelines.P.config.prefech: unknown key"),
        ("13:", "jobs.pipelines.P.config.redial_timeout: has no effect"),
        ("14:", "jobs.pipelines.P.config.exclusive: has no effect without"),
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, (line, text)) in warnings.iter().zip(expected) {
        assert!(warning.contains(&format!(":{line}")) && warning.contains(text), "{warning}");
    }
    for documented in [AZURE, RABBITMQ, TLS, ADVANCED] {
        assert_eq!(jobs(documented).unwrap().warnings, Vec::<String>::new());
    }
}
