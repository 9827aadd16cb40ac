//! List every server in reach, without using any: this machine, the network, and `LEASEHOLD_SERVER`.
//!
//! `cargo run --example discover`

use std::process::ExitCode;

use leasehold::{DiscoverOptions, discover};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let servers = discover(DiscoverOptions::default()).await?;
    for server in &servers {
        println!("{}#{} realm {} in {:?}", server.address, server.fingerprint, server.realm, server.answered_in);
    }
    println!("{} found", servers.len());
    Ok(())
}
