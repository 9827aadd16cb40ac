//! What nobody planned: questions that are asked again or given up, leases that are kept alive or lost.

use std::sync::atomic::Ordering;

use leasehold_protocol::vocab::OperationId;

use super::{
    Driver, ISSUE_MAX, SWEEP_US, Stage,
    flight::{Due, Operation, What},
};
use crate::{exit::Failure, load::mix::Mix};

impl Driver {
    pub(super) fn ask_again(&mut self) {
        for _ in 0..ISSUE_MAX {
            match self.flight.due(self.now) {
                None => return,
                Some(Due::Again(id, operation)) if self.is_current(&operation) => {
                    self.recorder.tally.counts.retries += operation.what.count() as u64;
                    self.plaintext.clear();
                    self.append(id, &operation);
                    self.post(self.client_of_operation(operation.what, operation.of));
                }
                Some(Due::Again(id, operation)) => self.overtaken(id, &operation),
                Some(Due::GivenUp(operation)) => self.give_up(&operation),
            }
        }
    }

    /// The lease of an operation was lost while it waited: whatever comes now is no answer to it.
    pub(super) fn overtaken(&mut self, id: OperationId, operation: &Operation) {
        self.left_behind(operation);
        self.flight.end(id);
    }

    /// The same of one lease of a RENEW_MANY that was answered.
    pub(super) fn left_behind(&mut self, operation: &Operation) {
        self.recorder.tally.counts.unanswered += u64::from(operation.planned);
    }

    /// An operation is without an answer after its last try. Whether a lease is lost by that its deadline decides.
    fn give_up(&mut self, operation: &Operation) {
        self.recorder.tally.counts.unanswered += operation.what.count() as u64;
        self.task.shared.uncertain.fetch_add(operation.what.count(), Ordering::AcqRel);
        if !self.is_current(operation) {
            return;
        }
        match operation.what {
            What::Greeting => {
                self.failure = Some(Failure::new("the server opened a session and then did not answer in it"));
            }
            What::Checkout { .. } => self.clean_up(operation.of),
            What::Release { .. } | What::Cleanup => self.book.over(operation.of),
            What::Renewal | What::Renewals { .. } => {}
        }
    }

    /// Gives a claim back of which there may be a lease that we have not heard of.
    pub(super) fn clean_up(&mut self, index: u32) {
        self.start(What::Cleanup, index, self.now, false);
    }

    /// Renews what the plan has not reached in time, and finds what has ended.
    pub(super) fn keep_up(&mut self) {
        if matches!(self.stage, Stage::Leaving { .. } | Stage::Done) {
            return;
        }
        for _ in 0..ISSUE_MAX {
            match self.book.oldest() {
                Some((asked, index)) if self.now.saturating_sub(asked) >= self.renew_after_us => {
                    self.recorder.tally.counts.upkeep += 1;
                    self.book.asked(index, self.now);
                    self.start(What::Renewal, index, self.now, false);
                }
                _ => break,
            }
        }
        if self.now >= self.swept + SWEEP_US {
            self.swept = self.now;
            self.book.ended(self.now).into_iter().for_each(|index| self.lose(index));
        }
    }

    /// A lease has ended though its client wanted it. Where the plan asks for none by itself, its client asks for it again, as
    /// the SDK would.
    pub(super) fn lose(&mut self, index: u32) {
        self.recorder.tally.counts.lost += 1;
        self.task.shared.uncertain.fetch_add(1, Ordering::AcqRel);
        self.task.shared.audit.gone(self.feature_of(index), self.book.lease(index).id);
        self.book.over(index);
        if matches!(self.task.mix, Mix::Of { checkout: 0, .. }) {
            self.checkout(self.now, false, false);
        }
    }
}
