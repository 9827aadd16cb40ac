//! The tokio codec over real sockets on loopback.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use leasehold_protocol::{
    codec::DatagramCodec,
    packet::{self, Packet},
};
use tokio::net::UdpSocket;
use tokio_util::{
    codec::{Decoder, Encoder},
    udp::UdpFramed,
};

use crate::vectors;

async fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

#[tokio::test]
async fn datagrams_travel_both_ways_through_udp_framed() {
    let (server, server_address) = socket().await;
    let (client, client_address) = socket().await;
    let mut server = UdpFramed::new(server, DatagramCodec::for_server());
    let mut client = UdpFramed::new(client, DatagramCodec::for_client());
    for page in vectors::datagrams() {
        let to_server = page.bytes[1] & 1 == 0;
        let (from, to) = if to_server { (&mut client, &mut server) } else { (&mut server, &mut client) };
        let (sender, receiver) =
            if to_server { (client_address, server_address) } else { (server_address, client_address) };
        from.send((&page.bytes[..], receiver)).await.expect("sent");
        let (datagram, source) = to.next().await.expect("open").expect("read");
        assert_eq!((&datagram[..], source), (&page.bytes[..], sender), "{}", page.name);
    }
}

#[tokio::test]
async fn a_bad_datagram_is_an_error_and_the_next_good_one_is_read() {
    let (server, server_address) = socket().await;
    let (client, _) = socket().await;
    let mut server = UdpFramed::new(server, DatagramCodec::for_server());
    let good = vectors::discover().bytes;
    for bad in [&b"noise"[..], &vectors::hello2().bytes, &good[..191], &[0x1e; 1200]] {
        client.send_to(bad, server_address).await.expect("sent");
        client.send_to(&good, server_address).await.expect("sent");
        let error = server.next().await.expect("open").expect_err("bad");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        let (datagram, _) = server.next().await.expect("open").expect("good");
        assert!(matches!(packet::read_to_server(&datagram), Ok(Packet::Discover(_))));
    }
}

#[test]
fn the_codec_takes_whole_datagrams_and_writes_none_too_long() {
    let mut codec = DatagramCodec::for_client();
    let mut buffer = BytesMut::new();
    assert!(codec.decode(&mut buffer).expect("nothing yet").is_none());
    buffer.extend_from_slice(&vectors::retry().bytes);
    assert_eq!(codec.decode(&mut buffer).expect("a retry"), Some(Bytes::from(vectors::retry().bytes)));
    assert!(buffer.is_empty());
    assert!(codec.encode(&[0; 1201], &mut buffer).is_err());
    assert!(buffer.is_empty());
}
