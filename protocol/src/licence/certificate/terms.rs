//! Everything a certificate may say beside what, how much and when (L-2). Each has a default, which is what is meant where
//! nothing is said.

use std::{fmt, str::FromStr};

use crate::{
    crypto::Fingerprint,
    hex,
    licence::dates::Day,
    vocab::{CertificateId, FeatureName, HostId, Label, SeatCount, Version},
};

/// Terms of a certificate that have defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Which of several exclusive certificates of the feature makes the pool. Default [`Dialect::Replace`] (L-6).
    pub dialect: Dialect,
    /// Whether a request may span this lot and others. Default [`Pooling::Joined`] (L-7).
    pub pools: Pooling,
    /// Days from its first use on a server until it ends, 1 to 3 660; `None` is no trial (L-16).
    pub trial_days: Option<u16>,
    /// The longest a holder may go without renewing, in seconds, 2 to 86 400; `None` leaves it to the server's
    /// default of 300.
    pub lease_ttl_s: Option<u32>,
    /// How long a program may go on after that while no server answers, in seconds, 0 to 86 400; `None` is 0.
    pub grace_s: Option<u32>,
    /// What requests must have in common to share a seat; `None`: they do not.
    pub share: Option<ShareBy>,
    /// How many may share one seat, 2 or more; `None` is any number. Only with `share`.
    pub share_limit: Option<u32>,
    /// How long a released seat stays with its holder, in seconds, up to 400 days; `None` is 0.
    pub linger_s: Option<u32>,
    /// The shortest time a checkout is charged for, in seconds, up to 400 days; `None` is 0.
    pub min_checkout_s: Option<u32>,
    /// The longest a seat may be borrowed, in seconds, up to 400 days; `None`: not at all (B-2).
    pub borrow_max_s: Option<u32>,
    /// Seats from which on alerts rise, at most the count; grants go on (L-13).
    pub soft_limit: Option<SeatCount>,
    /// Seats above the count that are granted and reported apart (L-13).
    pub overdraft: Option<SeatCount>,
    /// Whether the count is of units that grants use up; `None`: of seats (L-17).
    pub metered: Option<Metered>,
    /// How soon after a grant a release gives its units back although they are not reusable, in seconds, up to 400 days;
    /// `None` is 0. Only with `metered` (L-17).
    pub undo_s: Option<u32>,
    /// Features that are licensed together by this one's seats (L-14).
    pub components: Option<Components>,
    /// A seat of this feature is so many of another one (L-14).
    pub cost: Option<Cost>,
    /// Whose rights stop counting when this certificate loads (L-15).
    pub supersedes: Vec<Superseded>,
    /// Fingerprints of the servers that may serve it; empty: any. What PROOF shows (W-5).
    pub server_keys: Vec<Fingerprint>,
    /// What the server's machine must be; empty: any (T-1).
    pub server_hostids: Vec<HostId>,
    /// What the client's machine must be; empty: any (T-1).
    pub client_hostids: Vec<HostId>,
    /// How many of the hostids of each list must match, in percent, 0 to 100; 0 and `None`: one of them (L-19).
    pub match_rate: Option<u8>,
    /// Platforms it is for, as `x86_64-linux`; empty: every one.
    pub platforms: Vec<Label>,
    /// Whether it may be used in virtual machines. Default [`Permission::Allowed`] (T-3).
    pub vm: Permission,
    /// Whether it may be used in remote sessions. Default [`Permission::Allowed`] (T-3).
    pub terminal_server: Permission,
    /// For reports and views: what kind of business it is. Default [`Class::Standard`].
    pub class: Class,
    /// The last day whose releases of the program are covered.
    pub maintenance_end: Option<Day>,
    /// The publisher's number for what was sold.
    pub part_number: Option<String>,
    /// Words by which a request may choose among rights, as `KEY=value`.
    pub selectors: Vec<String>,
    /// Free text for the application.
    pub vendor_string: Option<String>,
    /// The publisher's number for this grant.
    pub serial: Option<String>,
    /// To whom it was granted, for people.
    pub licensee: Option<String>,
    /// Who issued it, for people.
    pub issuer: Option<String>,
    /// The day it was issued.
    pub issued: Option<Day>,
    /// What to show to people.
    pub notice: Option<String>,
    /// For how many days a server may keep personal data about its use, 0 to 3 660; `None`: as its policy says.
    pub retention_days: Option<u16>,
}

/// Declares an enum whose values have a word in licence files and a number in SPEC 7.3.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $value:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $value,)*
        }

        impl $name {
            /// Every value, in the order of their numbers in SPEC 7.3.
            pub const ALL: &[Self] = &[$(Self::$value),*];

            /// The word for it in licence files.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)*
                }
            }
        }
    };
}

words! {
    /// Which of several exclusive certificates of a feature makes its pool (L-6).
    #[derive(Default)]
    Dialect {
        /// The last one read, as in Sentinel RMS: it overrides what came before and mutes additive ones, whenever read.
        #[default]
        Replace = "replace",
        /// The first one read, as in LM-X: later exclusive ones are discarded, additive ones make pools of their own.
        First = "first",
    }
}

words! {
    /// Whether lots of one feature make one pool (L-7).
    #[derive(Default)]
    Pooling {
        /// They do: a request may span them.
        #[default]
        Joined = "joined",
        /// Each is a pool by itself, as in LM-X: a request is served from one of them or not at all.
        Separate = "separate",
    }
}

words! {
    /// Whether a place is one where a right may be used (T-3).
    #[derive(Default)]
    Permission {
        /// It is. Nobody looks then.
        #[default]
        Allowed = "allowed",
        /// It is not.
        Refused = "refused",
    }
}

words! {
    /// What kind of business a right is.
    #[derive(Default)]
    Class {
        /// Sold.
        #[default]
        Standard = "standard",
        /// For trying.
        Demo = "demo",
        /// For schools.
        Education = "education",
    }
}

words! {
    /// What becomes of the units of a metered right when a lease ends (L-17).
    Metered {
        /// They are used up.
        Consumed = "consumed",
        /// They come back.
        Reusable = "reusable",
    }
}

words! {
    /// How the components of a right are licensed together (L-14).
    Together {
        /// One component in use holds a whole seat for its holder, and the others with it.
        Package = "package",
        /// Components draw on the same seats, each by itself.
        Suite = "suite",
    }
}

/// What requests must have in common to share a seat: any of these, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareBy(u8);

impl ShareBy {
    /// The same user.
    pub const USER: Self = Self(1);
    /// The same host.
    pub const HOST: Self = Self(2);
    /// The same display.
    pub const DISPLAY: Self = Self(4);
    /// The same share id.
    pub const SHARE_ID: Self = Self(8);
    /// Nothing: everybody shares.
    pub const SITE: Self = Self(16);
    /// Each with the word for it in licence files.
    pub const WORDS: [(Self, &'static str); 5] = [
        (Self::USER, "user"),
        (Self::HOST, "host"),
        (Self::DISPLAY, "display"),
        (Self::SHARE_ID, "share-id"),
        (Self::SITE, "site"),
    ];

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` must be in common.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// As a number, as SPEC 7.3 has it.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From that number: something in common, and nothing besides SITE.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            1..=16 => Some(Self(bits)),
            _ => None,
        }
    }
}

impl fmt::Display for ShareBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = Self::WORDS.iter().filter(|(by, _)| self.has(*by)).map(|(_, word)| *word).collect();
        f.write_str(&words.join(", "))
    }
}

/// Features that are licensed together (L-14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Components {
    /// How.
    pub together: Together,
    /// Which, each up to a version: 1 to 64, in order of their names.
    pub features: Vec<(FeatureName, Version)>,
}

/// What a seat of a feature costs in seats of another (L-14): `3 of TOKENS`, or `3 of TOKENS@2.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// How many.
    pub seats: SeatCount,
    /// Of which feature.
    pub of: FeatureName,
    /// The lowest version of that one's rights that will do; 0.0 takes any.
    pub version: Version,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.seats, self.of)?;
        if self.version == Version::ANY { Ok(()) } else { write!(f, "@{}", self.version) }
    }
}

/// Whose rights stop counting (L-15): `feature:NAME` or `certificate:ID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Superseded {
    /// All other certificates of that feature.
    Feature(FeatureName),
    /// That certificate.
    Certificate(CertificateId),
}

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feature(name) => write!(f, "feature:{name}"),
            Self::Certificate(id) => write!(f, "certificate:{id}"),
        }
    }
}

/// Not `feature:NAME` or `certificate:ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected feature:NAME or certificate: and 16 hexadecimal digits")]
pub struct NotSuperseded;

impl FromStr for Superseded {
    type Err = NotSuperseded;

    fn from_str(text: &str) -> Result<Self, NotSuperseded> {
        match text.split_once(':') {
            Some(("feature", name)) => FeatureName::new(name).map(Self::Feature).map_err(|_| NotSuperseded),
            Some(("certificate", id)) => {
                hex::decode(id).map(|id| Self::Certificate(CertificateId(id))).ok_or(NotSuperseded)
            }
            _ => Err(NotSuperseded),
        }
    }
}
