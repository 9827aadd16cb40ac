//! What a server has, and how much of it is out.
//!
//! `cargo run --example list_features`

use std::process::ExitCode;

use leasehold::Client;

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
    let client = Client::discover().await?;
    let features = client.features().await?;
    println!("{:<24} {:>8} {:>8} {:>8}", "feature", "version", "seats", "out");
    for feature in &features {
        let seats = feature.count.map_or_else(|| "any".to_owned(), |count| count.to_string());
        println!("{:<24} {:>8} {seats:>8} {:>8}", feature.name, feature.version, feature.used);
    }
    println!("{} features", features.len());
    Ok(())
}
