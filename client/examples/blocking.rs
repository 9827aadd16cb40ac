//! The same without an executor: every call waits on this thread, heartbeats run on one of their own.
//!
//! `cargo run --example blocking -- VR_MODE`

use std::{process::ExitCode, time::Duration};

use leasehold::blocking::Client;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let feature = std::env::args().nth(1).unwrap_or_else(|| "VR_MODE".to_owned());
    let client = Client::discover()?;
    // If every seat is out, ask again when the server says so, for ten seconds at most.
    let lease = client.checkout(&feature).seats(1).retry_for(Duration::from_secs(10)).send()?;
    println!("holding {} seat, lease {}, {:?}", lease.seats(), lease.id(), lease.state());

    let sum: u64 = (1..=1_000_000).sum();
    println!("the work came to {sum}");

    lease.checkin()?;
    println!("given back");
    client.close();
    Ok(())
}
