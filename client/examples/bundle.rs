//! A program that needs seats of several features together, and says what will do otherwise.
//!
//! ```console
//! $ leasehold demo &
//! $ cargo run -p leasehold --example bundle
//! ```

use leasehold::{CheckoutError, Client, Item};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::discover().await?;
    // 2 to 4 SOLVER and a VR_MODE; or CAD_PRO, which has both. Never a part of it.
    let wanted = [Item::new("SOLVER").seats(4).at_least(2), Item::new("VR_MODE").version("5.0")];
    let held = match client.bundle(wanted).or([Item::new("CAD_PRO")]).await {
        Ok(held) => held,
        Err(CheckoutError::Denied(denied)) => {
            println!("nothing was taken; {} is in the way: {}", denied.feature, denied.sentence);
            return Ok(());
        }
        Err(e) => return Err(e.into()),
    };
    for lease in held.leases() {
        println!("alternative {}: {} of {}", held.alternative(), lease.seats(), lease.feature());
    }
    held.checkin().await?;
    client.close().await;
    Ok(())
}
