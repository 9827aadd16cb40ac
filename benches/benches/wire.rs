//! What one heartbeat costs on the wire's side: encoding, sealing, opening, decoding, and what a stranger's datagram
//! costs before it is dropped.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use leasehold_benches::{renew, request, seeded};
use leasehold_protocol::{
    codec,
    crypto::{
        Keypair, SiteKey, TransportKey, mac::MacKey, noise::Initiator, noise::Responder, open_datagram, seal_datagram,
    },
    frame::{self, Frames},
    message::{ClientFrame, Request},
    packet::{self, PacketType},
    vocab::RealmId,
};

fn bodies(c: &mut Criterion) {
    let mut group = c.benchmark_group("body");
    let body = request();
    let mut bytes = Vec::new();
    codec::encode(&body, &mut bytes).unwrap();
    group.bench_function("request/encode", |b| {
        let mut out = Vec::with_capacity(512);
        b.iter(|| {
            out.clear();
            codec::encode(black_box(&body), &mut out)
        });
    });
    group.bench_function("request/decode", |b| b.iter(|| codec::decode::<Request>("request", black_box(&bytes))));
    let frame = ClientFrame::Renew(renew());
    let mut plaintext = Vec::new();
    frame.append_to(&mut plaintext).unwrap();
    frame::pad(&mut plaintext, 0);
    group.bench_function("renew/encode", |b| {
        let mut out = Vec::with_capacity(64);
        b.iter(|| {
            out.clear();
            black_box(&frame).append_to(&mut out).unwrap();
            frame::pad(&mut out, 0);
        });
    });
    group.bench_function("renew/decode", |b| {
        b.iter(|| Frames::new(black_box(&plaintext)).next().map(|raw| ClientFrame::decode(raw.unwrap()).unwrap()));
    });
    group.finish();
}

fn sealing(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal");
    let key = TransportKey::new(&[7; 32]);
    for len in [64usize, 512, packet::PLAINTEXT_MAX] {
        let plaintext = vec![5; len];
        let mut sealed = Vec::new();
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("seal/{len}"), |b| {
            let mut counter = 0;
            b.iter(|| {
                counter += 1;
                seal_datagram(&key, PacketType::DataToServer, 9, counter, black_box(&plaintext), &mut sealed);
            });
        });
        seal_datagram(&key, PacketType::DataToServer, 9, 1, &plaintext, &mut sealed);
        let mut datagram = sealed.clone();
        group.bench_function(format!("open/{len}"), |b| {
            b.iter(|| {
                datagram.copy_from_slice(&sealed);
                open_datagram(&key, black_box(&mut datagram)).map(<[u8]>::len)
            });
        });
    }
    group.finish();
}

fn strangers(c: &mut Criterion) {
    let mut group = c.benchmark_group("stranger");
    let (client, server) = (Keypair::generate(&mut seeded(1)), Keypair::generate(&mut seeded(2)));
    let (site, realm) = (SiteKey([3; 32]), RealmId(4));
    let mac = MacKey::hello(&server.public(), &site);
    let hello = [9; 168];
    group.bench_function("garbage/refuse", |b| b.iter(|| packet::read_to_server(black_box(&hello)).is_err()));
    group.bench_function("mac1/refuse", |b| b.iter(|| mac.verify(black_box(&hello[..136]), &[0; 16])));
    let info = leasehold_benches::client_info();
    let (_, one) = Initiator::start(&client, &server.public(), &site, realm, &info, &mut seeded(5)).unwrap();
    group.bench_function("noise/accept and reply", |b| {
        b.iter(|| {
            let responder = Responder::accept(&server, &site, realm, black_box(&one), &mut seeded(6)).unwrap();
            responder.reply(&leasehold_benches::server_info()).unwrap().0
        });
    });
    group.finish();
}

criterion_group!(benches, bodies, sealing, strangers);
criterion_main!(benches);
