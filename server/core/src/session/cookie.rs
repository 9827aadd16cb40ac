//! The secret behind cookies, drawn anew every two minutes.

use std::{net::SocketAddr, sync::Mutex};

use leasehold_protocol::{Entropy, crypto::mac::CookieSecret, time::Mono, vocab::RealmId};

use crate::lock;

/// The secret in use and the one before it. Rotates when somebody asks, so that an idle server need not wake for it.
pub(crate) struct CookieJar(Mutex<Jar>);

struct Jar {
    current: CookieSecret,
    previous: CookieSecret,
    since: Mono,
}

/// How long a secret is handed out, in milliseconds; a cookie lives that long to twice that long.
const ROTATE_MS: u64 = 120_000;

impl CookieJar {
    pub(crate) fn new(entropy: &mut dyn Entropy) -> Self {
        let (current, previous) = (draw(entropy), draw(entropy));
        Self(Mutex::new(Jar { current, previous, since: Mono(0) }))
    }

    /// The cookie for a client at `from` that calls its session `client_sid`, and whether `shown` is one.
    pub(crate) fn check(
        &self,
        now: Mono,
        entropy: &mut dyn Entropy,
        (from, client_sid, realm): (SocketAddr, u32, RealmId),
        shown: &[u8; 16],
    ) -> Result<(), [u8; 16]> {
        let mut jar = lock(&self.0);
        jar.rotate(now, entropy);
        let secrets = [&jar.current, &jar.previous];
        if secrets.iter().any(|secret| secret.verify(shown, from, client_sid, realm)) {
            return Ok(());
        }
        Err(jar.current.cookie(from, client_sid, realm))
    }
}

impl Jar {
    fn rotate(&mut self, now: Mono, entropy: &mut dyn Entropy) {
        let age_ms = now.ms_since(self.since);
        if age_ms < ROTATE_MS {
            return;
        }
        let retired = std::mem::replace(&mut self.current, draw(entropy));
        // After a long quiet the last secret is too old to be the previous one.
        self.previous = if age_ms < 2 * ROTATE_MS { retired } else { draw(entropy) };
        self.since = now;
    }
}

fn draw(entropy: &mut dyn Entropy) -> CookieSecret {
    let mut secret = [0; 32];
    entropy.fill(&mut secret);
    CookieSecret(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeded() -> impl Entropy {
        let mut next = 0u8;
        move |bytes: &mut [u8]| {
            next += 1;
            bytes.fill(next);
        }
    }

    #[test]
    fn a_cookie_is_good_for_two_rotations_and_for_its_own_address_alone() {
        let (mut entropy, who) = (seeded(), ("10.0.0.1:5".parse().unwrap(), 7, RealmId(1)));
        let jar = CookieJar::new(&mut entropy);
        let cookie = jar.check(Mono(1), &mut entropy, who, &[0; 16]).unwrap_err();
        assert_eq!(jar.check(Mono(1), &mut entropy, who, &cookie), Ok(()));
        assert_eq!(jar.check(Mono(120_000), &mut entropy, who, &cookie), Ok(()));
        assert_eq!(jar.check(Mono(239_999), &mut entropy, who, &cookie), Ok(()));
        for other in [("10.0.0.1:6".parse().unwrap(), 7, RealmId(1)), (who.0, 8, RealmId(1)), (who.0, 7, RealmId(2))] {
            assert!(jar.check(Mono(239_999), &mut entropy, other, &cookie).is_err());
        }
        assert!(jar.check(Mono(240_000), &mut entropy, who, &cookie).is_err());
    }

    #[test]
    fn after_a_long_quiet_no_old_cookie_is_good() {
        let (mut entropy, who) = (seeded(), ("10.0.0.1:5".parse().unwrap(), 7, RealmId(1)));
        let jar = CookieJar::new(&mut entropy);
        let cookie = jar.check(Mono(0), &mut entropy, who, &[0; 16]).unwrap_err();
        assert!(jar.check(Mono(10_000_000), &mut entropy, who, &cookie).is_err());
    }
}
