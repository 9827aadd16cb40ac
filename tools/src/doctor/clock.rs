//! Whether the time is believable: licences have dates, and leases a clock of their own.

use leasehold_protocol::time::UnixMillis;
use leasehold_server::clock_now;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;

use super::Finding;
use crate::{block_on, human, local::RestArgs};

/// No machine runs this program before it was written: 2026-01-01.
const EARLIEST: UnixMillis = UnixMillis(1_767_225_600_000);
/// The last year a licence can name.
const LATEST: UnixMillis = UnixMillis(253_402_300_800_000);

pub(super) fn look() -> Vec<Finding> {
    vec![wall(clock_now().wall), suspended()]
}

fn wall(now: UnixMillis) -> Finding {
    let told = human::instant(now);
    if (EARLIEST..LATEST).contains(&now) {
        Finding::ok("clock", format!("the wall clock says {told}"))
    } else {
        let text = format!("the wall clock says {told}: no licence is in force then");
        Finding::fail("clock", text, "set the clock: timedatectl set-ntp true")
    }
}

/// Leases run on a clock that counts suspend; how far it is from the one that does not tells how long the machine slept.
fn suspended() -> Finding {
    let read = |clock| {
        let time = clock_gettime(clock);
        std::time::Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    let (awake, boot) = (read(ClockId::Monotonic), read(ClockId::Boottime));
    let slept = boot.saturating_sub(awake);
    if slept.as_secs() < 1 {
        return Finding::ok("lease-clock", format!("up for {}, never suspended", human::show(boot)));
    }
    let text = format!("up for {}, of which suspended for {}", human::show(boot), human::show(slept));
    Finding::ok("lease-clock", format!("{text}; leases count both"))
}

/// As much of the server's answer as is judged.
#[derive(Deserialize)]
struct Told {
    effective: String,
    warnings: Vec<String>,
}

/// What the server of this machine holds licence dates against (T-5). Nothing if none runs or its REST is off: then it cannot be asked.
pub(super) fn of_server(server: &RestArgs) -> Option<Finding> {
    let rest = server.rest().ok()?;
    Some(believed(&block_on(rest.get("/api/v1/clock")).ok()?))
}

fn believed(told: &Told) -> Finding {
    match &told.warnings[..] {
        [] => Finding::ok("licence-clock", format!("the server believes its machine's clock: {}", told.effective)),
        warnings => Finding::warn("licence-clock", warnings.join("; "), "leasehold clock"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_machine_that_thinks_it_is_1970_is_told_so() {
        assert_eq!(wall(UnixMillis(0)).level, Level::Fail);
        assert_eq!(wall(EARLIEST).level, Level::Ok);
    }

    #[test]
    fn a_server_that_does_not_believe_its_clock_is_a_warning_in_its_own_words() {
        let told = |warnings: &[&str]| Told {
            effective: "2026-11-22T00:00:00.000Z".into(),
            warnings: warnings.iter().copied().map(str::to_owned).collect(),
        };
        assert_eq!(believed(&told(&[])).level, Level::Ok);
        let finding = believed(&told(&["the machine's clock is 10 d behind", "clients differ"]));
        assert_eq!((finding.level, finding.remedy.as_deref()), (Level::Warn, Some("leasehold clock")));
        assert_eq!(finding.text, "the machine's clock is 10 d behind; clients differ");
    }
}
