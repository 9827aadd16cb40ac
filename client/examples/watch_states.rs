//! Follow how a lease is doing: healthy, retrying, grace, lost, and back. Ends when Enter is pressed or input ends.
//!
//! `cargo run --example watch_states -- VR_MODE`

use std::{io::Read, process::ExitCode, thread};

use leasehold::{Client, LeaseEvent, LeaseState};
use tokio::sync::oneshot;

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
    let client = Client::discover().await?;
    let lease = client.checkout(&feature).await?;
    let mut states = lease.states();
    say(lease.now());
    let (enter, mut pressed) = oneshot::channel();
    thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        let _ = enter.send(());
    });
    loop {
        tokio::select! {
            _ = &mut pressed => break,
            event = states.next() => match event {
                Some(event) => say(event),
                None => break,
            },
        }
    }
    lease.checkin().await?;
    println!("given back");
    Ok(())
}

fn say(event: LeaseEvent) {
    let left = event.until.and_then(|until| until.duration_since(event.at).ok()).unwrap_or_default();
    match event.state {
        LeaseState::Healthy => println!("healthy for the next {} s", left.as_secs()),
        LeaseState::Retrying { .. } => println!("the server does not answer; safe for {} s more", left.as_secs()),
        LeaseState::Grace { .. } => println!("on grace for {} s: save your work", left.as_secs()),
        LeaseState::Lost { why, .. } => println!("lost: {why}; it may come back"),
        LeaseState::Asking | LeaseState::Released => {}
    }
}
