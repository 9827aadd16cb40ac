//! Which operations a load is made of.

use std::{fmt, str::FromStr};

/// What the next operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Renew a lease that is held.
    Renew,
    /// Ask for a seat.
    Checkout,
    /// Give a seat back.
    Release,
    /// Ask for a seat and give it back as soon as it is granted: one operation.
    Pair,
}

/// How often each operation comes: weights of renewals, checkouts and releases, or pairs alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Weights, not all zero, at most 1 000 000 each.
    Of {
        /// Of renewals.
        renew: u32,
        /// Of checkouts.
        checkout: u32,
        /// Of releases.
        release: u32,
    },
    /// Nothing but pairs of checkout and release.
    Pairs,
}

const WEIGHT_MAX: u32 = 1_000_000;

impl Mix {
    /// Renewals alone: what servers spend their lives on.
    pub const RENEWALS: Self = Self::Of { renew: 1, checkout: 0, release: 0 };

    /// The verb for `random`, any number at all.
    #[must_use]
    pub fn pick(&self, random: u64) -> Verb {
        let Self::Of { renew, checkout, release } = *self else { return Verb::Pair };
        let (renew, checkout, release) = (u64::from(renew), u64::from(checkout), u64::from(release));
        match random % (renew + checkout + release) {
            n if n < renew => Verb::Renew,
            n if n < renew + checkout => Verb::Checkout,
            _ => Verb::Release,
        }
    }

    /// How many of `places` leases are checked out before the load begins: none for pairs, half where seats come and go,
    /// all where they only stay or only go.
    #[must_use]
    pub const fn filled(&self, places: u32) -> u32 {
        match self {
            Self::Pairs | Self::Of { renew: 0, release: 0, .. } => 0,
            Self::Of { checkout: 0, .. } => places,
            Self::Of { .. } => places.div_ceil(2),
        }
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "pairs" {
            return Ok(Self::Pairs);
        }
        let mut weights = [None; 3];
        for part in text.split(',') {
            let (verb, weight) = part.split_once('=').ok_or_else(|| form(text))?;
            let place = ["renew", "checkout", "release"].iter().position(|known| *known == verb.trim());
            let place = place.ok_or_else(|| form(text))?;
            let weight = weight.trim().parse().ok().filter(|weight| *weight <= WEIGHT_MAX).ok_or_else(|| form(text))?;
            if weights[place].replace(weight).is_some() {
                return Err(format!("{:?} names {} twice", text, verb.trim()));
            }
        }
        let [renew, checkout, release] = weights.map(|weight| weight.unwrap_or(0));
        match renew + checkout + release {
            0 => Err(format!("{text:?} has no operation in it: give one of them a weight above 0")),
            _ => Ok(Self::Of { renew, checkout, release }),
        }
    }
}

fn form(text: &str) -> String {
    format!("{text:?} is no mix: write it as renew=90,checkout=5,release=5 with weights up to {WEIGHT_MAX}, or pairs")
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pairs => f.write_str("pairs"),
            Self::Of { renew, checkout, release } => {
                write!(f, "renew={renew},checkout={checkout},release={release}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_and_written_alike() {
        for text in ["pairs", "renew=90,checkout=5,release=5", "renew=0,checkout=1,release=0"] {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), text);
        }
        assert_eq!("renew=1".parse(), Ok(Mix::RENEWALS));
        assert_eq!(" release = 2 , renew = 3".parse(), Ok(Mix::Of { renew: 3, checkout: 0, release: 2 }));
    }

    #[test]
    fn what_is_no_mix_is_refused_with_the_way_to_write_one() {
        for bad in ["", "renew", "renew=x", "borrow=1", "renew=-1", "renew=1000001", "pairs,renew=1"] {
            assert!(bad.parse::<Mix>().unwrap_err().contains("renew=90"), "{bad:?}");
        }
        assert!("renew=0".parse::<Mix>().unwrap_err().contains("above 0"));
        assert!("renew=1,renew=2".parse::<Mix>().unwrap_err().contains("twice"));
    }

    #[test]
    fn verbs_come_as_often_as_their_weights_say() {
        let mix: Mix = "renew=90,checkout=5,release=5".parse().unwrap();
        let count = |verb| (0..1_000).filter(|n| mix.pick(*n) == verb).count();
        assert_eq!([count(Verb::Renew), count(Verb::Checkout), count(Verb::Release)], [900, 50, 50]);
        assert_eq!(Mix::Pairs.pick(7), Verb::Pair);
    }

    #[test]
    fn leases_are_there_before_the_load_where_the_mix_needs_them() {
        let filled = |text: &str| text.parse::<Mix>().unwrap().filled(7);
        assert_eq!(["pairs", "checkout=1", "renew=9,checkout=1", "renew=1"].map(filled), [0, 0, 4, 7]);
    }
}
