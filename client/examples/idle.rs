//! A program that tells how long its user has been away, and gives its seat to whoever waits for it.
//!
//! ```console
//! $ leasehold demo &                        # with a policy: [[reclaim]] id = "idle", idle-s = 60, features = "all"
//! $ cargo run -p leasehold --example idle
//! ```

use std::time::Duration;

use leasehold::{Activity, Client};

/// What a real program asks its window system: how long nobody has touched anything.
const fn seconds_without_input(ticks: u32) -> u32 {
    ticks * TICK_S
}

const TICK_S: u32 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::discover().await?;
    let lease = client.checkout("VR_MODE").await?;
    let (mut asked, mut ticks) = (lease.let_goes(), 0);
    let mut tick = tokio::time::interval(Duration::from_secs(TICK_S.into()));
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let idle_s = seconds_without_input(ticks);
                ticks += 1;
                // busy: a long computation runs; unsaved: a document is not saved. Either keeps the seat.
                lease.set_activity(Activity { idle_s, busy: false, unsaved: false });
            }
            Some(plea) = asked.next() => match plea.until {
                Some(_) => {
                    println!("{} wait and nobody is here: saving, and giving the seat back ({})", plea.waiting, plea.rule);
                    lease.checkin().await?;
                    return Ok(());
                }
                None => println!("nobody needs it any more"),
            },
            lost = lease.lost() => {
                println!("lost: {lost}");
                return Ok(());
            }
        }
    }
}
