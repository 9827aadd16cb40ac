//! Faults put in on purpose, so that a simulator can prove that its checks would notice them. Never in a shipped build:
//! the cargo feature `planted-faults` is off, and without it every question here is a constant "no".

/// A fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Fault {
    /// None.
    #[default]
    None = 0,
    /// The replay window accepts every counter again.
    ReplayAcceptedTwice = 1,
    /// A lease ends one TTL before its deadline.
    ExpiryOneTtlEarly = 2,
    /// Answers to unproved addresses are not held to what came from there.
    AmplificationUnchecked = 3,
    /// A release frees a claim of another client too.
    ForeignRelease = 4,
    /// A request for a live claim gets a second lease.
    ClaimGrantedTwice = 5,
    /// A released claim key is forgotten at once.
    TombstonesForgotten = 6,
    /// A bucket gives out one seat more than it has.
    OneSeatTooMany = 7,
}

impl Fault {
    /// Every fault there is.
    pub const ALL: &[Self] = &[
        Self::ReplayAcceptedTwice,
        Self::ExpiryOneTtlEarly,
        Self::AmplificationUnchecked,
        Self::ForeignRelease,
        Self::ClaimGrantedTwice,
        Self::TombstonesForgotten,
        Self::OneSeatTooMany,
    ];
}

/// Which fault is planted.
#[derive(Debug, Default)]
pub(crate) struct Planted {
    #[cfg(feature = "planted-faults")]
    fault: std::sync::atomic::AtomicU8,
}

impl Planted {
    /// Whether `fault` is the one.
    #[cfg(feature = "planted-faults")]
    pub(crate) fn is(&self, fault: Fault) -> bool {
        // Relaxed: planted before the first datagram, and nothing else depends on it.
        self.fault.load(std::sync::atomic::Ordering::Relaxed) == fault as u8
    }

    /// Whether `fault` is the one: never, in a build without faults.
    #[cfg(not(feature = "planted-faults"))]
    #[expect(clippy::unused_self, reason = "the shape of the build with faults")]
    pub(crate) const fn is(&self, _fault: Fault) -> bool {
        false
    }

    /// Plants `fault` instead of the one before.
    #[cfg(feature = "planted-faults")]
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, std::sync::atomic::Ordering::Relaxed);
    }
}
