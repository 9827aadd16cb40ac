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
            // Of a bundle, the one that is in the way.
            let is_bundle = args.feature.is_bundle();
            let feature = if is_bundle { denied.feature.as_str() } else { feature };
            let failure = of_denial(feature, &denied, is_bundle);
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

fn of_denial(feature: &str, denied: &Denied, is_bundle: bool) -> Failure {
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
    // What else the server has is told with the names, where they are known.
    match denied.code {
        Denial::NO_SUCH_FEATURE => failure,
        // More than the limit allows at any time.
        Denial::LIMIT_REACHED if !denied.may_clear() => failure.remedy(remedy(Denial::TOO_MANY_SEATS)),
        Denial::TOO_MANY_SEATS if is_bundle => failure.remedy("ask for fewer, or say how many will do: '4-16 WORKER'"),
        // A bundle has no place in the queue.
        Denial::NO_SEAT | Denial::RESERVED | Denial::LIMIT_REACHED if is_bundle => failure.remedy(ASK_AGAIN),
        code => failure.remedy(remedy(code)),
    }
}

const ASK_AGAIN: &str = "ask again for a while: --retry-for 10m";

/// What to do about a denial.
#[must_use]
pub fn remedy(code: Denial) -> &'static str {
    match code {
        Denial::NO_SUCH_FEATURE => "see what there is: leasehold info",
        Denial::VERSION_TOO_HIGH => "ask for a lower version, -v, or have a newer licence loaded",
        Denial::NOT_STARTED => "ask again once it has begun",
        Denial::TOO_MANY_SEATS => "ask for fewer: -n",
        Denial::NO_SEAT | Denial::RESERVED | Denial::LIMIT_REACHED => "wait for a seat: --wait 10m",
        Denial::EXCLUDED | Denial::NOT_INCLUDED => "ask the administrator, who has: leasehold why",
        Denial::HOSTID_MISMATCH => "send the publisher what this prints here: leasehold hostid",
        Denial::RECLAIMED => "check it out again when it is needed",
        code if code.may_clear() => ASK_AGAIN,
        _ => "show this to whoever administers the licences",
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

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, path::Path};

    use leasehold::holder::CheckoutSpec;
    use leasehold_protocol::{
        message::{Deny, NextDue},
        vocab::{ClaimKey, FeatureName, OperationId, SeatCount, Version},
    };

    use super::*;

    /// What the server's own golden page says of `code`; what it never says yet stands for itself.
    fn said(page: &str, code: Denial) -> Deny {
        let mut deny = Deny {
            operation: OperationId(1),
            claim: ClaimKey([1; 16]),
            code,
            sentence: code.meaning().unwrap_or_default().to_owned(),
            rule: String::new(),
            seats_out: 0,
            seats_total: 0,
            next_due: None,
            retry_after_ms: code.may_clear().then_some(1_000),
        };
        let mut lines = page.lines().filter(|line| !line.starts_with('#'));
        while let (Some(head), Some(rule), Some(sentence)) = (lines.next(), lines.next(), lines.next()) {
            let [name, out, total, due, again] = head.split(' ').collect::<Vec<_>>()[..] else { panic!("{head}") };
            if Some(name) == code.name() {
                (deny.rule, deny.sentence) = (rule.trim().to_owned(), sentence.trim().to_owned());
                (deny.seats_out, deny.seats_total) = (out.parse().unwrap(), total.parse().unwrap());
                deny.retry_after_ms = again.parse().ok();
                let by = |in_ms| NextDue { user: Label::new("ada").ok(), host: Label::new("ws1").ok(), in_ms };
                deny.next_due = due.parse().ok().map(by);
            }
        }
        deny
    }

    /// Every code, as `leasehold checkout` explains it.
    #[test]
    fn every_denial_is_explained_with_its_rule_and_what_to_do() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(folder.join("../server/core/tests/golden/denials.txt")).unwrap();
        let spec = CheckoutSpec {
            feature: FeatureName::new("VR_MODE").unwrap(),
            version: Version::ANY,
            seats: SeatCount::ONE,
            claim: None,
        };
        let mut text = String::new();
        for code in Denial::ALL {
            let failure = of_denial("VR_MODE", &Denied::new(&spec, said(&page, *code)), false);
            let _ = writeln!(text, "leasehold: {}", failure.what());
            failure.why().iter().for_each(|why| _ = writeln!(text, "  because {why}"));
            failure.remedies().iter().for_each(|remedy| _ = writeln!(text, "  → {remedy}"));
            let _ = writeln!(text, "  (status {})\n", failure.status().0);
        }
        let golden = folder.join("tests/golden/denials.txt");
        if std::env::var_os("LEASEHOLD_WRITE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(golden).unwrap());
    }
}
