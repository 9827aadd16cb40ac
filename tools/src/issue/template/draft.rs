//! A certificate in the making from a language that is not ours: each setting is judged as it is set, where it stands.

use std::{collections::BTreeMap, ops::Range};

use leasehold_protocol::{
    licence::{
        Certificate, LicenceError, canonical,
        text::{Claims, TextError},
    },
    vocab::Label,
};

use super::{broken_rule, place_of};
use crate::issue::problem::{Problem, Text};

/// The certificate and where what it says stands.
pub(super) struct Draft<'s> {
    source: &'s Text,
    claims: Claims,
    spans: BTreeMap<&'static str, Range<usize>>,
    broken: bool,
}

impl<'s> Draft<'s> {
    pub(super) fn new(source: &'s Text) -> Self {
        Self { source, claims: Claims::default(), spans: BTreeMap::new(), broken: false }
    }

    /// Sets what a licence file sets by `name = value`; `said` is what the template calls it. What is wrong with it goes to
    /// `problems`.
    pub(super) fn set(
        &mut self,
        (name, value): (&'static str, &str),
        said: &str,
        span: Range<usize>,
        problems: &mut Vec<Problem>,
    ) {
        self.spans.insert(name, span.clone());
        let Err(why) = self.claims.set(name, value) else { return };
        self.broken = true;
        let found: String = self.source.as_str().get(span.clone()).unwrap_or_default().chars().take(60).collect();
        let problem = self.source.problem(span, format!("{said} is {found}"));
        problems.push(match why {
            LicenceError::Text(TextError::Value { expected, meant, .. }) => {
                let help = meant.map(|word| format!("did you mean {word:?}?"));
                problem.expected(format!("expected {expected}")).help(help)
            }
            other => problem.expected(other.to_string()),
        });
    }

    /// Whether `name` was set.
    pub(super) fn has(&self, name: &str) -> bool {
        self.spans.contains_key(name)
    }

    /// The certificate, which begins at `whole`, if nothing is wrong with it.
    pub(super) fn finish(
        mut self,
        publisher: &Label,
        whole: Range<usize>,
        problems: &mut Vec<Problem>,
    ) -> Option<Certificate> {
        if self.broken {
            return None;
        }
        // A label is always a text.
        let _ = self.claims.set("publisher", &leasehold_protocol::licence::text::quote(publisher.as_str()));
        let checked = self.claims.finish().and_then(|certificate| {
            canonical::check(&certificate)?;
            Ok(certificate)
        });
        match checked {
            Ok(certificate) => Some(certificate),
            Err(e) => {
                let at = place_of(&e, &self.spans).unwrap_or(whole);
                problems.push(broken_rule(self.source, at, &e));
                None
            }
        }
    }
}
