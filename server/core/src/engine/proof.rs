//! PROOF_QUERY: show me that a publisher named your key (W-5).

use leasehold_protocol::message::{Proof, ProofQuery, ServerFrame};

use super::{Engine, data::Sender};
use crate::counters::Counter;

impl Engine {
    pub(super) fn on_proof_query(&mut self, sender: &Sender, query: ProofQuery) {
        let plan = self.shared.realms[sender.client.realm].planner.plan();
        self.counters.count(Counter::ProofQueries);
        let certificate = plan.proof.clone();
        self.answers.push(ServerFrame::Proof(Proof { operation: query.operation, certificate }));
    }
}
