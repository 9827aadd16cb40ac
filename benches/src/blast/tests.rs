//! The load against an echo of its own, in this process.

use std::{net::SocketAddr, thread};

use super::*;

const ECHO: Echo = Echo { question: 96, answer: 64 };

/// An echo on a thread that ends with the process.
fn echo() -> SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || serve_echo(&socket, ECHO.answer));
    address
}

fn load(server: SocketAddr, sockets: usize, window: usize) -> Blaster<Echo> {
    let sockets = Socket::datagrams(server, sockets).unwrap();
    Blaster::new(ECHO, sockets.into_iter().map(Socket::from).collect(), window)
}

fn run(load: &mut impl Load, pace: Pace) -> Outcome {
    load.run(pace, Duration::from_millis(100), &|| Duration::ZERO).unwrap()
}

#[test]
fn every_question_is_answered_and_its_round_trip_is_timed() {
    let mut load = load(echo(), 4, 3);
    for pace in [Pace::Full, Pace::Alone] {
        let outcome = run(&mut load, pace);
        assert!(outcome.answered > 10 && outcome.lost == 0, "{pace:?}: {outcome:?}");
        assert!(outcome.micros(0.5) > 0.0 && outcome.micros(0.5) <= outcome.micros(0.99), "{pace:?}");
    }
}

#[test]
fn a_pace_is_kept_whether_the_thread_sleeps_or_not() {
    let mut load = load(echo(), 4, 3);
    for pace in [Pace::Rate(1000.0), Pace::Sleepy(1000.0)] {
        let outcome = run(&mut load, pace);
        assert!((50..=150).contains(&outcome.asked), "100 are due in a tenth of a second: {pace:?}, {outcome:?}");
    }
}

#[test]
fn what_is_due_goes_to_each_socket_in_turn_however_slow_the_pace() {
    let servers: Vec<_> = (0..5).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let connected = |server: &std::net::UdpSocket| Socket::datagrams(server.local_addr().unwrap(), 1).unwrap();
    let sockets = servers.iter().flat_map(connected).map(Socket::from).collect();
    run(&mut Blaster::new(ECHO, sockets, 100), Pace::Sleepy(1000.0));
    let heard = servers.iter().map(|server| {
        server.set_nonblocking(true).unwrap();
        (0..).take_while(|_| server.recv(&mut [0; 128]).is_ok()).count()
    });
    let heard: Vec<_> = heard.collect();
    let (least, most) = (heard.iter().min().unwrap(), heard.iter().max().unwrap());
    assert!(*least > 5 && most - least <= 2, "{heard:?}");
}

#[test]
fn what_nobody_answers_is_given_up_and_asked_anew() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut load = load(silent.local_addr().unwrap(), 2, 2);
    let outcome = load.run(Pace::Full, PATIENCE * 3, &|| Duration::ZERO).unwrap();
    assert_eq!(outcome.answered, 0);
    assert!((4..=16).contains(&outcome.lost), "four lanes, two or three times: {outcome:?}");
    assert!(outcome.micros(0.5).is_nan());
}

#[test]
fn an_overrun_lane_counts_what_it_gives_up() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let outcome = run(&mut load(silent.local_addr().unwrap(), 2, 2), Pace::Overrun(10_000.0));
    assert!(outcome.asked > 100 && outcome.lost + 4 >= outcome.asked, "{outcome:?}");
}

#[test]
fn an_answer_to_a_question_that_was_given_up_is_none() {
    let (mut lanes, now) = (Lanes::new(1, 1), Instant::now());
    let late = lanes.begin(0, now).unwrap();
    assert_eq!((lanes.begin(0, now), lanes.free_one(0)), (None, 1));
    let fresh = lanes.begin(0, now).unwrap();
    assert_eq!((lanes.end(0, late), lanes.end(0, fresh), lanes.in_flight(0)), (None, Some(now), 0));
}
