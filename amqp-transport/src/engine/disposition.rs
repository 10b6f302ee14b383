//! Verdicts waiting to be sent, folded into ranges (§2.6.12, §2.7.6): one disposition frame for neighbours that
//! share an outcome, whatever order they were settled in.

use super::serial::Serial;
use amqp_codec::messaging::DeliveryState;

/// One disposition to send: the inclusive range of delivery-ids that share a state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) first: Serial,
    pub(crate) last: Serial,
    pub(crate) settled: bool,
    pub(crate) state: Option<DeliveryState>,
}

/// Verdicts of one session and one role, collected between two flushes.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    runs: Vec<Run>,
}

impl Verdicts {
    pub(crate) const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(crate) fn push(&mut self, id: Serial, settled: bool, state: Option<DeliveryState>) {
        if let Some(run) = self.runs.last_mut()
            && run.last.plus(1) == id
            && run.settled == settled
            && run.state == state
        {
            run.last = id;
        } else {
            self.runs.push(Run { first: id, last: id, settled, state });
        }
    }

    /// All that is waiting, in serial order, neighbours joined.
    pub(crate) fn flush(&mut self) -> Vec<Run> {
        let mut runs = std::mem::take(&mut self.runs);
        let Some(oldest) = runs.iter().map(|run| run.first).reduce(|a, b| if a.is_after(b) { b } else { a })
        else {
            return runs;
        };
        runs.sort_by_key(|run| run.first.since(oldest));
        runs.dedup_by(|next, run| {
            let joins =
                run.last.plus(1) == next.first && run.settled == next.settled && run.state == next.state;
            if joins {
                run.last = next.last;
            }
            joins
        });
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(verdicts: &mut Verdicts, ids: &[u32]) {
        for id in ids {
            verdicts.push(Serial(*id), true, Some(DeliveryState::Accepted));
        }
    }

    #[test]
    fn out_of_order_verdicts_fold_into_one_range() {
        let mut verdicts = Verdicts::default();
        accepted(&mut verdicts, &[3, 1, 0, 2, 4]);
        let runs = verdicts.flush();
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].first, runs[0].last), (Serial(0), Serial(4)));
        assert!(verdicts.is_empty());
    }

    #[test]
    fn ranges_fold_across_the_wrap() {
        let mut verdicts = Verdicts::default();
        accepted(&mut verdicts, &[0, u32::MAX, 1, u32::MAX - 1]);
        let runs = verdicts.flush();
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].first, runs[0].last), (Serial(u32::MAX - 1), Serial(1)));
    }

    #[test]
    fn different_outcomes_and_gaps_stay_apart() {
        let mut verdicts = Verdicts::default();
        accepted(&mut verdicts, &[0, 2]);
        verdicts.push(Serial(1), true, Some(DeliveryState::Released));
        accepted(&mut verdicts, &[5]);
        let runs: Vec<_> = verdicts.flush().iter().map(|run| (run.first.0, run.last.0)).collect();
        assert_eq!(runs, [(0, 0), (1, 1), (2, 2), (5, 5)]);
    }
}
