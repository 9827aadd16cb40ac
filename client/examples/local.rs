//! A right that needs no server: granted from a licence file on this machine, or, if that does not grant, by a server.
//!
//! ```text
//! cargo run --example local -- acme.pub LICENCES:license-host CAD
//! ```

use leasehold::{CheckoutError, Client, protocol::licence::PublisherKey};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(key), Some(path), Some(feature)) = (words.next(), words.next(), words.next()) else {
        return Err("usage: local PUBLISHER.pub SEARCH-PATH FEATURE".into());
    };
    let key = PublisherKey::parse(&std::fs::read_to_string(key)?)?;
    let client = Client::builder().publisher_key(key).search_path(&path).open().await?;
    for why in client.refused_licences() {
        eprintln!("not used: {why}");
    }
    match client.checkout(&feature).await {
        Ok(lease) if lease.is_local() => println!("{feature}: granted on this machine, with no server"),
        Ok(lease) => println!("{feature}: granted by a server, lease {}", lease.id()),
        Err(CheckoutError::Denied(denied)) => println!("{feature}: {}", denied.sentence),
        Err(e) => return Err(e.into()),
    }
    Ok(())
}
