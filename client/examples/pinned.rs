//! Trust one server only: by its fingerprint, or by a publisher's key that its certificate must be signed with.
//!
//! `LEASEHOLD_SERVER='host#0123456789abcdef0123456789abcdef' cargo run --example pinned -- VR_MODE`
//! `LEASEHOLD_SERVER=host cargo run --example pinned -- VR_MODE publisher.pub`

use std::process::ExitCode;

use leasehold::{Client, protocol::licence::PublisherKey};

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
    let feature = std::env::args().nth(1).unwrap_or_else(|| "VR_MODE".to_owned());
    // Only the servers LEASEHOLD_SERVER names: nobody else is asked.
    let mut builder = Client::builder().broadcast(false);
    if let Some(path) = std::env::args().nth(2) {
        // A program that is shipped would use include_str! for this.
        builder = builder.publisher_key(PublisherKey::parse(&std::fs::read_to_string(path)?)?);
    }
    let client = builder.open().await?;
    let lease = client.checkout(&feature).await?;
    if let Some(server) = client.server() {
        println!("holding {} from {} with key {}", lease.feature(), server.address, server.fingerprint);
    }
    lease.checkin().await?;
    client.close().await;
    println!("given back");
    Ok(())
}
