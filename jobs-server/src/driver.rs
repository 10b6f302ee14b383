//! The jobs driver as the pool's source of jobs.

use bytes::Bytes;
use jobs_driver::{ActiveJob, Driver, NackOptions};
use serde::Serialize;
use std::time::Duration;

use crate::worker::source::{Source, Task, Verdict};

impl Source for Driver {
    type Task = ActiveJob;

    async fn next(&self) -> Option<ActiveJob> {
        self.next_job().await
    }
}

/// What a worker reads before the body. The names and their order are those that client libraries expect.
#[derive(Serialize)]
struct Context<'a> {
    id: &'a str,
    job: &'a str,
    driver: &'a str,
    queue: &'a str,
    headers: &'a jobs_driver::Headers,
    pipeline: &'a str,
}

impl Task for ActiveJob {
    fn id(&self) -> &str {
        &self.job().id
    }

    fn context(&self) -> Vec<u8> {
        let job = self.job();
        let context = Context {
            id: &job.id,
            job: &job.name,
            driver: self.driver(),
            queue: self.queue(),
            headers: &job.headers,
            pipeline: self.pipeline(),
        };
        // Texts and maps of texts can always be written.
        serde_json::to_vec(&context).unwrap_or_default()
    }

    fn body(&self) -> Bytes {
        self.job().payload.clone()
    }

    async fn settle(self, verdict: Verdict) -> Result<(), String> {
        let settled = match verdict {
            Verdict::Ack => self.ack().await,
            Verdict::Fail { reason } => self.nack(&reason).await,
            Verdict::Nack { requeue, delay, reason } => {
                self.nack_with(NackOptions { requeue, delay, reason }).await
            }
            Verdict::Requeue { headers, delay } => self.requeue(headers, delay).await,
            Verdict::Return { reason } => {
                self.nack_with(NackOptions { requeue: true, delay: Duration::ZERO, reason }).await
            }
        };
        settled.map_err(|error| error.to_string())
    }
}
