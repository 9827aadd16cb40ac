//! Every golden vector, laid down field by field from the clauses of SPEC.

mod answers;
mod licence;
mod packets;
mod requests;
mod ticket;

use leasehold_protocol::message::{ClientFrame, ServerFrame};

use crate::page::Page;

/// A frame of one side and the page that explains its bytes.
pub struct FrameVector<F> {
    pub page: Page,
    pub frame: F,
}

pub use licence::{secret as publisher_secret, texts as licence_texts, whole as licences};
pub use packets::{
    data_to_client, data_to_server, discover, handshake, hello1, hello1_with_cookie, hello2, offer, retry,
};
pub use ticket::{sealed as sealed_ticket, ticket};

/// Frames a client sends.
pub fn client_frames() -> Vec<FrameVector<ClientFrame>> {
    requests::all()
}

/// Frames a server sends.
pub fn server_frames() -> Vec<FrameVector<ServerFrame>> {
    answers::all()
}

/// Whole datagrams.
pub fn datagrams() -> Vec<Page> {
    vec![
        hello1(),
        retry(),
        hello1_with_cookie(),
        hello2(),
        data_to_server(),
        data_to_client(),
        discover(),
        offer("offer-0-peers", 0),
        offer("offer-4-peers", 4),
    ]
}

/// All pages there are, each with its files in `testdata/`.
pub fn all() -> Vec<Page> {
    let mut pages = datagrams();
    pages.extend(client_frames().into_iter().map(|vector| vector.page));
    pages.extend(server_frames().into_iter().map(|vector| vector.page));
    pages.extend([ticket::page(), ticket::sealed_page()]);
    pages.extend(licence::whole().into_iter().map(|vector| vector.page));
    pages
}
