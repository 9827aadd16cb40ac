//! What becomes of the lease while the program runs, told on stderr. The program is the user's: unless told otherwise
//! it goes on, whatever happens (S-2).

use std::time::{Duration, SystemTime};

use leasehold::{Lease, LeaseEvent, LeaseEvents, LeaseState, LossCause};

use super::{Args, OnLoss};
use crate::{
    human,
    output::{BAD, GOOD, WARN, paint},
    say,
};

/// Reads a lease's changes.
pub struct Watch {
    events: LeaseEvents,
    feature: String,
    on_loss: OnLoss,
    grace_action: OnLoss,
    troubled: bool,
    /// Why the lease was lost, once that was told: it is asked for again and again, and refused each time.
    lost: Option<LossCause>,
    over: bool,
}

impl Watch {
    /// From here on.
    pub fn new(args: &Args, lease: &Lease) -> Self {
        Self {
            events: lease.states(),
            feature: lease.feature().to_string(),
            on_loss: args.on_loss,
            grace_action: args.grace_action,
            troubled: false,
            lost: None,
            over: false,
        }
    }

    /// Tells every change; returns when the seat is gone and the user wants the program to end for it. Once.
    pub async fn seat_is_gone(&mut self) {
        while !self.over {
            match self.events.next().await {
                Some(event) => {
                    if self.tell(&event) {
                        self.over = true;
                        return;
                    }
                }
                None => self.over = true,
            }
        }
        std::future::pending::<()>().await;
    }

    /// Tells a change. Returns whether the program should end.
    fn tell(&mut self, event: &LeaseEvent) -> bool {
        let (feature, left) = (&self.feature, left(event));
        let troubled = !matches!(event.state, LeaseState::Healthy);
        let was_troubled = std::mem::replace(&mut self.troubled, troubled);
        let lost = match event.state {
            LeaseState::Lost { why, .. } => Some(why),
            _ => None,
        };
        let was_lost = std::mem::replace(&mut self.lost, lost);
        match event.state {
            LeaseState::Healthy if was_lost.is_some() => {
                say!("{} {feature} is held again", paint(GOOD, "leasehold:"));
                false
            }
            LeaseState::Healthy if was_troubled => {
                say!("{} the server answers again: {feature} is held", paint(GOOD, "leasehold:"));
                false
            }
            LeaseState::Retrying { .. } => {
                say!("{} the server does not answer; {feature} is still held{left}", paint(WARN, "leasehold:"));
                false
            }
            LeaseState::Grace { .. } => {
                let text = "the lease has ended and no server answers; the licence lets the program go on";
                say!("{} {feature}: {text}{left}", paint(WARN, "leasehold:"));
                self.grace_action == OnLoss::Stop
            }
            LeaseState::Lost { .. } if lost == was_lost => false,
            LeaseState::Lost { why, .. } => {
                say!("{} {feature} is lost: {why}", paint(BAD, "leasehold:"));
                if self.on_loss == OnLoss::Keep {
                    say!("  the program goes on without its seat (--on-loss stop would end it)");
                }
                self.on_loss == OnLoss::Stop
            }
            _ => false,
        }
    }
}

/// How long the state may last, in words that follow a sentence.
fn left(event: &LeaseEvent) -> String {
    let until = event.until.and_then(|until| until.duration_since(SystemTime::now()).ok());
    let seconds = until.map(|left| Duration::from_secs(left.as_secs()));
    seconds.map(|left| format!(" for another {}", human::show(left))).unwrap_or_default()
}
