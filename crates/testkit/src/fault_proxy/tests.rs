//! Each fault, in front of a server that sends back what it gets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Instant;

use super::*;
use crate::wait;

const PATIENCE: Duration = Duration::from_secs(20);

/// Sends back what it gets, on every connection, as long as the test process lives.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    address
}

fn proxy() -> FaultProxy {
    FaultProxy::start(echo()).expect("a proxy")
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn ask(stream: &mut TcpStream, text: &str) -> std::io::Result<String> {
    stream.write_all(text.as_bytes())?;
    answer(stream, text.len())
}

fn answer(stream: &mut TcpStream, length: usize) -> std::io::Result<String> {
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8(answer).expect("the text that was sent"))
}

fn connected(proxy: &FaultProxy) -> TcpStream {
    let mut stream = connect(proxy);
    assert_eq!(ask(&mut stream, "hello").expect("an echo"), "hello");
    stream
}

fn kind<T: std::fmt::Debug>(result: std::io::Result<T>) -> ErrorKind {
    result.expect_err("it fails").kind()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait::until(what, PATIENCE, || Ok(is_so().then_some(()))).expect("it comes true");
}

#[test]
fn without_faults_bytes_and_ends_pass_and_are_counted() {
    let proxy = proxy();
    let mut stream = connected(&proxy);
    stream.shutdown(Shutdown::Write).expect("it is open");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an end in order");
    assert!(rest.is_empty());
    until("the connection to be over", || proxy.counts().open == 0);
    let expected = Counts {
        connections: 1,
        forwarded: 1,
        open: 0,
        to_server: 5,
        to_client: 5,
        swallowed: 0,
    };
    assert_eq!(proxy.counts(), expected);
}

#[test]
fn more_than_the_buffers_hold_passes_whole() {
    let proxy = proxy();
    let mut stream = connect(&proxy);
    let mut writer = stream.try_clone().expect("a clone");
    let sent: Vec<u8> = (0..8_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let to_send = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&to_send)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("all of it");
    writing.join().expect("no panic").expect("it is written");
    assert!(received == sent, "{} bytes", received.len());
}

#[test]
fn latency_is_added_to_each_way_and_healed() {
    let proxy = proxy();
    let mut stream = connected(&proxy);
    let latency = Duration::from_millis(60);
    proxy.set(Faults::round_trip(latency));
    let asked = Instant::now();
    ask(&mut stream, "slow").expect("an echo");
    assert!(
        asked.elapsed() >= latency,
        "never earlier, whatever the machine does"
    );

    // What is on its way when the fault is healed does not wait for its end.
    proxy.set(Faults::round_trip(Duration::from_hours(1)));
    stream.write_all(b"later").expect("it is open");
    proxy.heal();
    assert_eq!(answer(&mut stream, 5).expect("an echo"), "later");
}

#[test]
fn jitter_keeps_the_order() {
    let proxy = proxy();
    let mut stream = connected(&proxy);
    proxy.set(Faults::both(Flow {
        jitter: Duration::from_millis(10),
        ..Flow::default()
    }));
    let text: String = ('a'..='z').collect();
    for letter in text.chars() {
        stream
            .write_all(letter.to_string().as_bytes())
            .expect("open");
    }
    assert_eq!(answer(&mut stream, 26).expect("all letters"), text);
}

#[test]
fn faults_for_new_connections_leave_those_that_are_there() {
    let proxy = proxy();
    let mut old = connected(&proxy);
    proxy.set_for_new(Faults::hung());
    let mut new = connect(&proxy);
    new.write_all(b"wait").expect("the kernel takes it");
    assert_eq!(ask(&mut old, "still here").expect("an echo"), "still here");
    until("the new one to be accepted", || proxy.counts().open == 2);
    assert_eq!(proxy.counts().forwarded, 1);
    proxy.heal();
    assert_eq!(answer(&mut new, 4).expect("it was only late"), "wait");
}

#[test]
fn cut_ends_connections_in_order_and_refuses_new_ones_until_healed() {
    let proxy = proxy();
    let mut stream = connected(&proxy);
    proxy.cut();
    assert_eq!(stream.read(&mut [0]).expect("an end, no error"), 0);
    let refused = TcpStream::connect(proxy.address());
    assert_eq!(kind(refused), ErrorKind::ConnectionRefused);
    assert_eq!((proxy.counts().open, proxy.counts().connections), (0, 1));
    proxy.heal();
    connected(&proxy);
}

#[test]
fn reset_is_an_error_for_those_that_are_there_and_new_ones() {
    let proxy = proxy();
    let mut stream = connected(&proxy);
    proxy.reset();
    assert_eq!(kind(stream.read(&mut [0])), ErrorKind::ConnectionReset);
    let late = TcpStream::connect(proxy.address()).and_then(|mut late| late.read(&mut [0]));
    assert_eq!(kind(late), ErrorKind::ConnectionReset);
    until("the attempt to be counted", || {
        proxy.counts().connections == 2
    });
    proxy.heal();
    connected(&proxy);
}

#[test]
fn ended_connections_can_be_replaced_at_once() {
    let proxy = proxy();
    let (mut first, mut second) = (connected(&proxy), connected(&proxy));
    proxy.end_connections(Ending::Reset);
    assert_eq!(kind(first.read(&mut [0])), ErrorKind::ConnectionReset);
    assert_eq!(kind(second.read(&mut [0])), ErrorKind::ConnectionReset);
    connected(&proxy);
}

#[test]
fn half_open_swallows_and_closes_nothing_and_is_reset_when_healed() {
    let proxy = proxy();
    let (mut spoken, mut silent) = (connected(&proxy), connected(&proxy));
    proxy.set(Faults::half_open());
    spoken.write_all(b"anybody?").expect("the kernel takes it");
    until("the bytes to be swallowed", || {
        proxy.counts().swallowed == 8
    });
    assert_eq!((proxy.counts().to_server, proxy.counts().open), (10, 2));
    proxy.heal();
    assert_eq!(kind(spoken.read(&mut [0])), ErrorKind::ConnectionReset);
    // Nothing of it was lost.
    assert_eq!(ask(&mut silent, "and me?").expect("an echo"), "and me?");
}

#[test]
fn half_open_keeps_an_end_from_the_peer() {
    let proxy = proxy();
    let stream = connected(&proxy);
    proxy.set(Faults::half_open());
    drop(stream);
    connect(&proxy);
    until("the other to be accepted", || {
        proxy.counts().connections == 2
    });
    assert_eq!(proxy.counts().open, 2, "the proxy keeps both");
    proxy.heal();
    until("both to be over", || proxy.counts().open == 0);
}

#[test]
fn one_direction_can_be_stalled_alone_and_loses_nothing() {
    let proxy = proxy();
    let mut stream = connected(&proxy);
    proxy.set(Faults {
        to_client: Flow {
            passage: Passage::Stalled,
            ..Flow::default()
        },
        ..Faults::default()
    });
    stream.write_all(b"one").expect("it is open");
    until("the server to have it", || proxy.counts().to_server == 8);
    stream.write_all(b"two").expect("it is open");
    until("the server to have it", || proxy.counts().to_server == 11);
    assert_eq!(proxy.counts().to_client, 5);
    proxy.heal();
    assert_eq!(answer(&mut stream, 6).expect("all of it"), "onetwo");
}

#[test]
fn a_stalled_direction_holds_no_more_than_its_buffers() {
    let proxy = proxy();
    let mut stream = connected(&proxy);
    proxy.set(Faults::hung());
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout");
    let megabyte = vec![0; 1 << 20];
    // The kernel's buffers of both ends hold some megabytes.
    let full = (0..64).find_map(|_| stream.write_all(&megabyte).err());
    assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
}

#[test]
fn a_hung_connect_is_accepted_and_never_forwarded() {
    let proxy = proxy();
    proxy.set(Faults::default().with_connects(Connects::Hung));
    let mut stream = connect(&proxy);
    until("it to be accepted", || proxy.counts().connections == 1);
    assert_eq!((proxy.counts().forwarded, proxy.counts().open), (0, 1));
    proxy.end_connections(Ending::Close);
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
}

#[test]
fn a_slow_close_comes_later_than_the_bytes() {
    let proxy = proxy();
    let mut stream = connected(&proxy);
    proxy.set(Faults {
        to_server: Flow {
            close_delay: Duration::from_hours(1),
            ..Flow::default()
        },
        ..Faults::default()
    });
    stream.write_all(b"last words").expect("it is open");
    stream.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(answer(&mut stream, 10).expect("an echo"), "last words");
    assert_eq!(proxy.counts().open, 1, "the server does not know yet");
    proxy.heal();
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
}

#[test]
fn bandwidth_is_limited_from_below() {
    let proxy = proxy();
    let mut stream = connected(&proxy);
    proxy.set(Faults {
        to_server: Flow {
            bytes_per_second: NonZeroU32::new(100_000),
            ..Flow::default()
        },
        ..Faults::default()
    });
    let text = "x".repeat(20_000);
    let asked = Instant::now();
    assert_eq!(ask(&mut stream, &text).expect("an echo"), text);
    // The pause behind the last piece is not waited for.
    let least = Duration::from_millis(180);
    assert!(asked.elapsed() >= least, "{:?}", asked.elapsed());
}

#[test]
fn a_connection_is_cut_in_the_middle_of_a_message() {
    let proxy = proxy();
    let mut old = connected(&proxy);
    proxy.set(Faults {
        to_client: Flow {
            cut_after: Some(7),
            ..Flow::default()
        },
        ..Faults::default()
    });
    let mut new = connect(&proxy);
    for stream in [&mut old, &mut new] {
        assert_eq!(ask(stream, "four").expect("within the limit"), "four");
        stream.write_all(b"more").expect("it is open");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("an end, no error");
        assert_eq!(rest, "mor");
    }
    assert_eq!(proxy.counts().to_client, 5 + 7 + 7);
}

#[test]
fn a_server_that_is_not_there_is_a_reset() {
    let port = crate::net::free_port().expect("a free port");
    let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], port))).expect("a proxy");
    let mut stream = connect(&proxy);
    assert_eq!(kind(stream.read(&mut [0])), ErrorKind::ConnectionReset);
    assert_eq!(
        (proxy.counts().connections, proxy.counts().forwarded),
        (1, 0)
    );
}

#[test]
fn dropping_the_proxy_ends_its_connections_and_frees_its_port() {
    let proxy = proxy();
    let mut stream = connected(&proxy);
    let address = proxy.address();
    drop(proxy);
    assert_ne!(stream.read(&mut [0]).ok(), Some(1));
    let refused = TcpStream::connect(address);
    assert_eq!(kind(refused), ErrorKind::ConnectionRefused);
}

#[test]
fn a_url_is_led_through_the_proxy() {
    let server = echo();
    let (proxy, url) =
        FaultProxy::in_front_of(&format!("redis://:p%40ss@{server}/3?x=y")).expect("a proxy");
    assert_eq!(url, format!("redis://:p%40ss@{}/3?x=y", proxy.address()));
    connected(&proxy);
    FaultProxy::in_front_of("localhost:1").expect_err("that is no URL");
    FaultProxy::in_front_of("redis://nowhere").expect_err("there is no port");
}
