//! The pool with real worker processes in PHP and Python, and a source that stands in for the driver.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

use super::*;

/// Longer than anything here takes on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct State {
    waiting: Mutex<VecDeque<TestTask>>,
    settled: Mutex<Vec<(String, Verdict)>>,
    changed: Notify,
    closed: AtomicBool,
    /// Jobs given out and not yet settled, and the most there ever were.
    taken: AtomicUsize,
    most_taken: AtomicUsize,
}

/// A source of jobs with an account of what became of them. Whatever goes back to the broker comes again.
#[derive(Clone, Default)]
struct TestSource(Arc<State>);

struct TestTask {
    id: String,
    body: String,
    headers: serde_json::Value,
    state: Arc<State>,
}

impl TestSource {
    fn push(&self, id: &str, body: &str) {
        self.0.give(TestTask {
            id: id.to_owned(),
            body: body.to_owned(),
            headers: serde_json::json!({}),
            state: Arc::clone(&self.0),
        });
    }

    /// No more jobs.
    fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    fn verdicts(&self, id: &str) -> Vec<Verdict> {
        let settled = self.0.settled.lock().unwrap();
        settled.iter().filter(|(settled, _)| settled == id).map(|(_, verdict)| verdict.clone()).collect()
    }

    async fn wait(&self, what: &str, condition: impl Fn(&[(String, Verdict)]) -> bool) {
        let waiting = async {
            loop {
                let changed = self.0.changed.notified();
                if condition(&self.0.settled.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("waited in vain for {what}; settled: {:?}", self.0.settled.lock().unwrap());
        }
    }

    async fn wait_for_acks(&self, count: usize) {
        self.wait("acknowledgements", |settled| {
            settled.iter().filter(|(_, verdict)| *verdict == Verdict::Ack).count() >= count
        })
        .await;
    }
}

impl State {
    fn give(&self, task: TestTask) {
        self.waiting.lock().unwrap().push_back(task);
        self.changed.notify_waiters();
    }
}

impl Source for TestSource {
    type Task = TestTask;

    async fn next(&self) -> Option<TestTask> {
        loop {
            let changed = self.0.changed.notified();
            if let Some(task) = self.0.waiting.lock().unwrap().pop_front() {
                let taken = self.0.taken.fetch_add(1, Ordering::SeqCst) + 1;
                self.0.most_taken.fetch_max(taken, Ordering::SeqCst);
                return Some(task);
            }
            if self.0.closed.load(Ordering::SeqCst) {
                return None;
            }
            changed.await;
        }
    }
}

impl Task for TestTask {
    fn id(&self) -> &str {
        &self.id
    }

    fn context(&self) -> Vec<u8> {
        serde_json::json!({
            "id": self.id, "job": "test", "driver": "amqp1", "queue": "q", "pipeline": "p", "headers": self.headers,
        })
        .to_string()
        .into_bytes()
    }

    fn body(&self) -> Bytes {
        self.body.clone().into()
    }

    async fn settle(mut self, verdict: Verdict) -> Result<(), String> {
        assert_ne!(self.body, "poison", "a fault in the program");
        let state = Arc::clone(&self.state);
        state.taken.fetch_sub(1, Ordering::SeqCst);
        state.settled.lock().unwrap().push((self.id.clone(), verdict.clone()));
        match verdict {
            Verdict::Return { .. } => state.give(self),
            Verdict::Requeue { headers, .. } => {
                self.headers = serde_json::json!(headers);
                state.give(self);
            }
            _ => {}
        }
        state.changed.notify_waiters();
        Ok(())
    }
}

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).display().to_string()
}

/// A pool's surroundings: a folder for the workers' ledger, and the settings.
struct Bench {
    folder: tempfile::TempDir,
    launch: Launch,
    limits: PoolLimits,
    live: LiveProcesses,
}

impl Bench {
    fn new(program: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger").display().to_string();
        Self {
            folder,
            launch: Launch {
                program: program.to_owned(),
                arguments: vec![fixture(script)],
                environment: vec![("LEDGER".to_owned(), ledger)],
                directory: None,
                user: None,
                allocate_timeout: PATIENCE,
            },
            limits: PoolLimits { workers: 1, max_jobs: 0, exec_ttl: None, destroy_timeout: PATIENCE },
            live: LiveProcesses::default(),
        }
    }

    fn python() -> Self {
        Self::new("python3", "worker.py")
    }

    async fn run(&self, source: &TestSource) -> RunningPool<TestSource> {
        let pool = Pool::start(self.launch.clone(), self.limits.clone(), &self.live).await.unwrap();
        pool.run(&Arc::new(source.clone()))
    }

    fn ledger_path(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    fn ledger(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.ledger_path()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn wait_for_ledger(&self, line: &str) {
        let waiting = async {
            while !self.ledger().iter().any(|found| found == line) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect(line);
    }

    /// Waits until other workers are there than `before`.
    async fn wait_for_another(&self, before: &[i32]) {
        let replaced = async {
            while self.live() == before || self.live().is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, replaced).await.expect("a worker in place of the lost one");
    }

    fn live(&self) -> Vec<i32> {
        self.live.pids()
    }
}

async fn each_job_once(mut bench: Bench) {
    bench.limits.workers = 3;
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    for number in 0..300 {
        source.push(&format!("job-{number}"), &format!("body {number}"));
    }
    source.wait_for_acks(300).await;
    pool.stop(PATIENCE).await;
    let mut lines = bench.ledger();
    lines.sort();
    let mut expected: Vec<_> = (0..300).map(|number| format!("job-{number} body {number}")).collect();
    expected.sort();
    assert_eq!(lines, expected);
    assert_eq!(bench.live(), Vec::<i32>::new());
    assert!(source.0.most_taken.load(Ordering::SeqCst) <= 3, "a job was taken while no worker was free");
}

#[tokio::test]
async fn php_workers_run_each_job_once() {
    each_job_once(Bench::new("php", "worker.php")).await;
}

#[tokio::test]
async fn python_workers_run_each_job_once() {
    each_job_once(Bench::python()).await;
}

#[tokio::test]
async fn bodies_are_binary_and_may_be_empty_or_large() {
    let bench = Bench::new("php", "worker.php");
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    source.push("empty", "");
    source.push("large", &"x".repeat(3_000_000));
    source.wait_for_acks(2).await;
    pool.stop(PATIENCE).await;
    assert_eq!(bench.ledger().iter().map(String::len).collect::<Vec<_>>(), [6, 3_000_006]);
}

#[tokio::test]
async fn a_crashed_worker_is_replaced_and_its_job_goes_back() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    let before = bench.live();
    source.push("c", "crash");
    source.push("after", "fine");
    source.wait_for_acks(2).await;
    let after = bench.live();
    pool.stop(PATIENCE).await;
    assert_ne!(before, after);
    let verdicts = source.verdicts("c");
    assert!(
        matches!(&verdicts[..], [Verdict::Return { reason }, Verdict::Ack] if reason.contains("exit status: 3")),
        "{verdicts:?}"
    );
}

#[tokio::test]
async fn a_worker_killed_from_outside_loses_no_job() {
    let mut bench = Bench::python();
    bench.limits.workers = 2;
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    source.push("slow", "sleep:1");
    bench.wait_for_ledger("slow begin sleep:1").await;
    for pid in bench.live() {
        killpg(pid);
    }
    source.wait_for_acks(1).await;
    pool.stop(PATIENCE).await;
    let verdicts = source.verdicts("slow");
    // The second worker may be hit after it was given the job: then it goes back once more.
    let (last, before) = verdicts.split_last().unwrap();
    assert_eq!(*last, Verdict::Ack);
    assert!(!before.is_empty() && before.iter().all(|verdict| matches!(verdict, Verdict::Return { .. })));
}

fn killpg(pid: i32) {
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn an_idle_worker_that_dies_is_replaced_before_a_job_needs_it() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    let before = bench.live();
    killpg(before[0]);
    bench.wait_for_another(&before).await;
    source.push("a", "fine");
    source.wait_for_acks(1).await;
    assert_eq!(source.verdicts("a"), [Verdict::Ack]);
    pool.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_worker_that_prints_between_jobs_is_replaced_before_the_next_one() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    let before = bench.live();
    source.push("first", "print-afterwards");
    source.wait_for_acks(1).await;
    bench.wait_for_another(&before).await;
    source.push("second", "fine");
    source.wait_for_acks(2).await;
    pool.stop(PATIENCE).await;
    assert_eq!(source.verdicts("second"), [Verdict::Ack]);
}

#[tokio::test]
async fn a_worker_that_prints_is_replaced_and_the_text_is_in_the_reason() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    source.push("p", "print");
    source.wait_for_acks(1).await;
    pool.stop(PATIENCE).await;
    let verdicts = source.verdicts("p");
    assert!(
        matches!(&verdicts[..], [Verdict::Return { reason }, Verdict::Ack] if reason.contains("hello from the worker")),
        "{verdicts:?}"
    );
}

#[tokio::test]
async fn a_worker_that_asks_to_be_replaced_passes_its_job_on() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    let before = bench.live();
    source.push("r", "replace");
    source.wait_for_acks(1).await;
    assert_ne!(before, bench.live());
    pool.stop(PATIENCE).await;
    assert_eq!(source.verdicts("r"), [Verdict::Ack]);
    assert_eq!(bench.ledger(), ["r replace"]);
}

#[tokio::test]
async fn verdicts_of_workers_reach_the_job() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    let before = bench.live();
    for body in ["error", "nack", "garbage", "requeue"] {
        source.push(body, body);
    }
    source.wait_for_acks(1).await;
    assert_eq!(before, bench.live(), "none of these costs the worker its life");
    pool.stop(PATIENCE).await;
    assert_eq!(source.verdicts("error"), [Verdict::Fail { reason: "the worker says no".to_owned() }]);
    assert!(
        matches!(&source.verdicts("nack")[..], [Verdict::Nack { requeue: false, reason, .. }] if reason == "nacked")
    );
    assert!(matches!(&source.verdicts("garbage")[..], [Verdict::Nack { requeue: false, .. }]));
    assert!(matches!(&source.verdicts("requeue")[..], [Verdict::Requeue { .. }, Verdict::Ack]));
}

#[tokio::test]
async fn max_jobs_replaces_the_worker_after_its_share() {
    let mut bench = Bench::python();
    bench.limits.max_jobs = 2;
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    let first = bench.live();
    source.push("1", "a");
    source.wait_for_acks(1).await;
    assert_eq!(first, bench.live());
    source.push("2", "b");
    source.push("3", "c");
    source.wait_for_acks(3).await;
    assert_ne!(first, bench.live());
    pool.stop(PATIENCE).await;
}

#[tokio::test]
async fn exec_ttl_kills_the_worker_and_fails_the_job() {
    let mut bench = Bench::python();
    bench.limits.exec_ttl = Some(Duration::from_millis(300));
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    source.push("long", "sleep:600");
    source.push("short", "fine");
    source.wait_for_acks(1).await;
    pool.stop(PATIENCE).await;
    assert!(
        matches!(&source.verdicts("long")[..], [Verdict::Fail { reason }] if reason.contains("exec_ttl")),
        "{:?}",
        source.verdicts("long")
    );
}

#[tokio::test]
async fn stop_lets_a_running_job_finish_and_takes_no_other() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    source.push("running", "sleep:0.5");
    bench.wait_for_ledger("running begin sleep:0.5").await;
    source.push("waiting", "fine");
    pool.stop(PATIENCE).await;
    assert_eq!(source.verdicts("running"), [Verdict::Ack]);
    assert_eq!(source.verdicts("waiting"), []);
    assert_eq!(bench.live(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_job_that_outlasts_the_grace_period_goes_back() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    source.push("endless", "sleep:600");
    bench.wait_for_ledger("endless begin sleep:600").await;
    pool.stop(Duration::from_millis(100)).await;
    assert!(matches!(&source.verdicts("endless")[..], [Verdict::Return { .. }]));
    assert_eq!(bench.live(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_worker_that_ignores_the_stop_is_killed_at_its_deadline() {
    let mut bench = Bench::python();
    bench.limits.destroy_timeout = Duration::from_millis(200);
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    source.push("i", "ignore-stop");
    source.wait_for_acks(1).await;
    tokio::time::timeout(PATIENCE, pool.stop(PATIENCE)).await.unwrap();
    assert_eq!(bench.live(), Vec::<i32>::new());
}

#[test]
fn the_pause_grows_with_the_losses_up_to_a_limit() {
    let pauses: Vec<_> = (0..=8).map(|losses| pause_after(losses).as_millis()).collect();
    assert_eq!(pauses, [0, 0, 100, 200, 400, 800, 1600, 3200, 5000]);
    assert_eq!(pause_after(u32::MAX), Duration::from_secs(5));
}

#[tokio::test]
async fn a_job_that_kills_each_worker_does_so_more_and_more_slowly() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    let started = Instant::now();
    source.push("c", "crash-always");
    source.wait("losses", |settled| settled.len() >= 6).await;
    assert!(started.elapsed() >= Duration::from_millis(100 + 200 + 400 + 800), "{:?}", started.elapsed());
    // The slot pauses; the end of the server is not held up by that.
    tokio::time::timeout(SOON, pool.stop(PATIENCE)).await.unwrap();
    assert_eq!(bench.live(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_good_answer_ends_the_pauses() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    let started = Instant::now();
    // Twelve losses in a row would cost more than thirty seconds.
    for number in 0..12 {
        source.push(&format!("c{number}"), "crash");
        source.push(&format!("f{number}"), "fine");
        source.wait_for_acks(2 * (number + 1)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    pool.stop(PATIENCE).await;
}

/// How long the end of the pool may take where it must be much quicker than [`PATIENCE`].
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_stop_hurries_a_slot_that_was_told_of_the_end_of_its_source_before() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    source.push("i", "ignore-stop");
    source.wait_for_acks(1).await;
    source.close();
    tokio::task::yield_now().await;
    tokio::time::timeout(SOON, pool.stop(Duration::from_millis(100))).await.unwrap();
    assert_eq!(bench.live(), Vec::<i32>::new());
}

#[tokio::test]
async fn an_idle_worker_that_ignores_the_stop_does_not_use_up_the_grace_period() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    source.push("i", "ignore-stop");
    source.wait_for_acks(1).await;
    tokio::time::timeout(SOON, pool.stop(PATIENCE * 10)).await.unwrap();
    assert_eq!(bench.live(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_worn_worker_that_ignores_the_stop_holds_neither_its_job_nor_the_server() {
    let bench = Bench::python();
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    source.push("r", "replace-slowly");
    let returned = source.wait("the return of the job", |settled| !settled.is_empty());
    tokio::time::timeout(SOON, returned).await.unwrap();
    assert!(matches!(&source.verdicts("r")[..], [Verdict::Return { .. }]), "{:?}", source.verdicts("r"));
    tokio::time::timeout(SOON, pool.stop(Duration::from_millis(100))).await.unwrap();
    assert_eq!(bench.live(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_job_does_not_wait_for_a_worker_that_cannot_be_started() {
    let mut bench = Bench::python();
    let script = bench.folder.path().join("worker.py");
    std::fs::copy(fixture("worker.py"), &script).unwrap();
    bench.launch.arguments = vec![script.display().to_string()];
    let source = TestSource::default();
    let pool = bench.run(&source).await;
    std::fs::remove_file(&script).unwrap();
    source.push("r", "replace");
    source.wait("the return of the job", |settled| !settled.is_empty()).await;
    assert!(matches!(&source.verdicts("r")[..], [Verdict::Return { .. }]), "{:?}", source.verdicts("r"));
    std::fs::copy(fixture("worker.py"), &script).unwrap();
    source.wait_for_acks(1).await;
    pool.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_slot_that_breaks_is_replaced() {
    let bench = Bench::python();
    let source = TestSource::default();
    let mut pool = bench.run(&source).await;
    source.push("p", "poison");
    source.push("after", "fine");
    tokio::select! {
        () = pool.join() => panic!("the pool has ended"),
        () = source.wait_for_acks(1) => {}
    }
    assert_eq!(bench.live().len(), 1);
    pool.stop(PATIENCE).await;
    assert_eq!(source.verdicts("after"), [Verdict::Ack]);
    assert_eq!(bench.live(), Vec::<i32>::new());
}

#[tokio::test]
async fn the_pool_ends_with_its_source() {
    let bench = Bench::python();
    let source = TestSource::default();
    let mut pool = bench.run(&source).await;
    source.push("last", "fine");
    source.wait_for_acks(1).await;
    source.close();
    tokio::time::timeout(PATIENCE, pool.join()).await.unwrap();
}

#[tokio::test]
async fn commands_that_are_no_workers_are_described_in_one_line() {
    for (program, arguments, expected) in [
        ("/no/such/program", vec![], "No such file"),
        ("php", vec!["/no/such/worker.php".to_owned()], "Could not open input file"),
        ("sh", vec!["-c".to_owned(), "echo last words >&2; exit 9".to_owned()], "last words"),
        ("sh", vec!["-c".to_owned(), "exit 9".to_owned()], "exit status: 9"),
    ] {
        let mut bench = Bench::python();
        bench.launch.program = program.to_owned();
        bench.launch.arguments = arguments;
        let error = Pool::start(bench.launch.clone(), bench.limits.clone(), &bench.live).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected) && text.lines().count() == 1, "{text}");
        assert_eq!(bench.live(), Vec::<i32>::new());
    }
}

#[tokio::test]
async fn a_process_that_never_answers_is_given_up() {
    let mut bench = Bench::python();
    bench.launch.program = "sleep".to_owned();
    bench.launch.arguments = vec!["600".to_owned()];
    bench.launch.allocate_timeout = Duration::from_millis(200);
    let error = Pool::start(bench.launch.clone(), bench.limits.clone(), &bench.live).await.unwrap_err();
    assert!(error.to_string().contains("allocate_timeout"), "{error}");
    assert_eq!(bench.live(), Vec::<i32>::new());
}
