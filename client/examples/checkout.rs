//! Check a seat out, work, give it back. The server is found by itself, or named in `LEASEHOLD_SERVER`.
//!
//! `cargo run --example checkout -- VR_MODE`

use std::process::ExitCode;

use leasehold::{CheckoutError, Client};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let feature = std::env::args().nth(1).unwrap_or_else(|| "VR_MODE".to_owned());
    match run(&feature).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

async fn run(feature: &str) -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::discover().await?;
    if let Some(server) = client.server() {
        println!("server {} with key {}", server.address, server.fingerprint);
    }
    let lease = match client.checkout(feature).await {
        Ok(lease) => lease,
        Err(CheckoutError::Denied(denied)) if denied.may_clear() => {
            println!("{denied}");
            return Err("come back later".into());
        }
        Err(e) => return Err(e.into()),
    };
    println!("holding {} seat of {}, lease {}", lease.seats(), lease.feature(), lease.id());
    tokio::select! {
        result = work() => println!("the work came to {result}"),
        lost = lease.lost() => println!("stopped early: {lost}"),
    }
    lease.checkin().await?;
    println!("given back");
    Ok(())
}

/// What the program is for.
async fn work() -> u32 {
    (1..=10).sum()
}
