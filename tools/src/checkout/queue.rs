//! Waiting in queues, and at several servers at once.

use std::time::Duration;

use futures_util::future::join_all;
use leasehold::{Client, Lease, Place, Places, first_of};

use super::{Args, asked, denial, open, tell_lease, tell_server};
use crate::{
    connect::ConnectArgs,
    exit::Failure,
    human,
    output::{FAINT, paint},
    say,
};

/// Waits at all of `servers`, a list with commas or semicolons, and keeps the first seat there is. Those that are out of reach are told and
/// left out.
pub(super) async fn at_all(args: &Args, servers: &str, patience: Duration) -> Result<(Client, Lease), Failure> {
    let named: Vec<&str> = servers.split([',', ';']).map(str::trim).filter(|server| !server.is_empty()).collect();
    let opened = named.iter().map(|server| async move {
        let connect = ConnectArgs { server: Some((*server).to_owned()), ..args.connect.clone() };
        open(args, &connect).await
    });
    let (mut clients, mut failed) = (Vec::new(), None);
    for (server, opened) in named.iter().zip(join_all(opened).await) {
        match opened {
            Ok(client) => clients.push(((*server).to_owned(), client)),
            Err(failure) => {
                say!("leasehold: {server} is left out: {}", failure.what());
                failed = Some(failure);
            }
        }
    }
    let Some((_, first)) = clients.first() else {
        return Err(failed.unwrap_or_else(|| Failure::usage("no server is named")));
    };
    clients.iter().for_each(|(_, client)| tell_server(client));
    let mut tellers = Vec::new();
    let checkouts: Vec<_> = clients
        .iter()
        .map(|(server, client)| {
            let (checkout, places) = asked(args, client).wait(patience).places();
            let at = Some(server.clone());
            tellers.push(tokio::spawn(async move { tell(places, patience, at.as_deref()).await }));
            checkout
        })
        .collect();
    let answer = first_of(checkouts).await;
    tellers.iter().for_each(tokio::task::JoinHandle::abort);
    match answer {
        Ok((which, lease)) => {
            tell_lease(&lease);
            let (_, client) = clients.swap_remove(which);
            // What the others are to be told may take as long as it does.
            clients.into_iter().for_each(|(_, other)| drop(tokio::spawn(other.close())));
            Ok((client, lease))
        }
        Err(e) => Err(denial::failure(args, first, e).await),
    }
}

/// Tells the places a checkout comes to.
pub(super) async fn tell(mut places: Places, patience: Duration, at: Option<&str>) {
    let (mut told, limit) = (None, human::show(patience));
    let at = at.map_or(String::new(), |server| format!(" at {server}"));
    while let Some(place) = places.next().await {
        if told.replace((place.place, place.length)) != Some((place.place, place.length)) {
            say!("{}", paint(FAINT, format_args!("leasehold: {}{at}, up to {limit}", in_words(&place))));
        }
    }
}

/// `place 3 of 12 in the queue (no-seat), some 4 min to go`.
fn in_words(place: &Place) -> String {
    let expected = place.expected.map_or(String::new(), |wait| format!(", some {} to go", human::show(wait)));
    format!("place {} of {} in the queue ({}){expected}", place.place, place.length, place.why)
}
