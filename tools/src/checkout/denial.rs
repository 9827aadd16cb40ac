//! A "no", with what to do about it.

use leasehold::{CheckoutError, Client, Denied};
use leasehold_protocol::{
    licence::nearest::nearest,
    vocab::{Denial, Label},
};

use super::Args;
use crate::{
    exit::{Exit, Failure},
    human,
};

/// Why there is no seat, for people; the features of the server are asked for where the name may be a slip.
pub async fn failure(args: &Args, client: &Client, error: CheckoutError) -> Failure {
    let feature = args.feature.as_str();
    match error {
        CheckoutError::Denied(denied) => {
            let failure = of_denial(feature, &denied);
            if denied.code == Denial::NO_SUCH_FEATURE { with_features(failure, feature, client).await } else { failure }
        }
        CheckoutError::Unreachable { .. } => {
            Failure::new(format!("cannot check {feature} out: the server fell silent"))
                .because_of(&error)
                .exit(Exit::UNREACHABLE)
                .remedy("look at the way there: leasehold doctor")
        }
        CheckoutError::ServerMisbehaved(_) => {
            Failure::new(format!("cannot check {feature} out")).because_of(&error).exit(Exit::NOT_TRUSTED)
        }
        CheckoutError::ApiMisuse(_) => Failure::usage(format!("cannot check {feature} out")).because_of(&error),
        other => Failure::new(format!("cannot check {feature} out")).because_of(&other),
    }
}

fn of_denial(feature: &str, denied: &Denied) -> Failure {
    let sentence = denied.sentence.trim_end_matches('.');
    let said = if sentence.is_empty() { String::new() } else { format!(": {sentence}") };
    let mut failure = Failure::new(format!("{feature} is denied, {}{said}", denied.code));
    failure = failure.exit(if denied.may_clear() { Exit::DENIED_FOR_NOW } else { Exit::DENIED });
    if denied.seats_total > 0 {
        failure = failure.because(format!("{} of {} seats are out", denied.seats_out, denied.seats_total));
    }
    if !denied.rule.is_empty() {
        failure = failure.because(format!("decided by {}", denied.rule));
    }
    if let Some(next) = &denied.next_due {
        let who: Vec<&str> = [&next.user, &next.host].into_iter().flatten().map(Label::as_str).collect();
        let who = if who.is_empty() { String::new() } else { format!(" from {}", who.join(" on ")) };
        let due = human::show(std::time::Duration::from_millis(next.in_ms.into()));
        failure = failure.because(format!("the next one is due back{who} in {due}, unless renewed"));
    }
    if denied.code == Denial::NOT_STARTED {
        failure.remedy("ask again once it has begun")
    } else if denied.may_clear() {
        failure.remedy("wait for a seat: --wait 10m")
    } else if denied.code == Denial::NO_SUCH_FEATURE {
        failure
    } else {
        failure.remedy("show this to whoever administers the licences")
    }
}

/// The nearest of the names the server has, or all of them.
async fn with_features(failure: Failure, feature: &str, client: &Client) -> Failure {
    let Ok(features) = client.features().await else { return failure };
    let names: Vec<&str> = features.iter().map(|line| line.name.as_str()).collect();
    match nearest(feature, names.iter().copied()) {
        Some(near) => failure.remedy(format!("did you mean {near}?")),
        None if names.is_empty() => failure.remedy("the server has no licence in force: ask whoever administers it"),
        None => {
            let some = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
            let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
            failure.remedy(format!("it has {some}{more}"))
        }
    }
}

/// Features named in a message.
const SHOWN: usize = 10;
