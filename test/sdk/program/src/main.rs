//! A program that uses sockets, commands, storage and the meter, and checks what it gets. Arguments: the ports of a TCP and of a UDP server on this machine
//! that send back what they get.
use ssvm::process::Command;
use ssvm::socket::{lookup_host, poll, Interest, TcpListener, TcpStream, UdpSocket};
use ssvm::storage::{self, Key};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(20);

fn connections(port: u16) -> io::Result<()> {
    let mut s = TcpStream::connect(("127.0.0.1", port))?;
    assert_eq!(s.peer_addr()?.port(), port);
    s.set_keepalive(true)?;
    s.set_read_timeout(Some(LONG))?;
    assert_eq!((s.read_timeout()?, s.write_timeout()?), (Some(LONG), None));
    let sent: Vec<u8> = (0..200_000u32).map(|i| (i * 7) as u8).collect();
    let mut got = vec![0; sent.len()];
    for (a, b) in sent.chunks(10_000).zip(got.chunks_mut(10_000)) {
        s.write_all(a)?;
        s.read_exact(b)?;
    }
    assert!(got == sent);
    s.write_all(b"last")?;
    let mut four = [0; 4];
    while s.peek(&mut four)? < 4 {}
    s.read_exact(&mut four)?;
    assert_eq!(&four, b"last");
    s.set_read_timeout(Some(SHORT))?;
    assert_eq!(s.read(&mut four).unwrap_err().kind(), ErrorKind::WouldBlock);
    s.set_read_timeout(None)?;
    s.shutdown(Shutdown::Write)?;
    assert_eq!(s.read(&mut four)?, 0);
    s.set_linger(Some(Duration::ZERO))?;
    assert!(s.take_error()?.is_none());
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    drop(TcpStream::connect_timeout(&address, LONG)?);
    // What was not granted.
    assert_eq!(TcpStream::connect("10.1.2.3:9").unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(TcpStream::connect("nowhere:x").unwrap_err().kind(), ErrorKind::InvalidInput);
    Ok(())
}

fn listening() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..5 {
        clients.push(TcpStream::connect(listener.local_addr()?)?);
        assert_eq!(poll(&[Interest::read(&listener)], Some(LONG))?, [0]);
        servers.push(listener.accept()?.0);
    }
    let all: Vec<Interest> = servers.iter().map(Interest::read).collect();
    assert_eq!(poll(&all, Some(SHORT))?, []);
    clients[3].write_all(b"x")?;
    assert_eq!(poll(&all, Some(LONG))?, [3]);
    assert_eq!(poll(&[Interest::write(&clients[0])], None)?, [0]);
    drop(clients);
    let mut rest = Vec::new();
    servers[3].read_to_end(&mut rest)?;
    assert_eq!(rest, b"x");
    listener.set_nonblocking(false)?;
    let _client = TcpStream::connect(listener.local_addr()?)?;
    listener.incoming().next().expect("one")?;
    Ok(())
}

fn datagrams(port: u16) -> io::Result<()> {
    let a = UdpSocket::bind("127.0.0.1:0")?;
    a.set_read_timeout(Some(LONG))?;
    a.send_to(b"one", ("127.0.0.1", port))?;
    let mut bytes = [0; 64];
    assert_eq!(a.peek_from(&mut bytes)?.0, 3);
    let (n, from) = a.recv_from(&mut bytes)?;
    assert_eq!((&bytes[..n], from), (&b"one"[..], SocketAddr::from(([127, 0, 0, 1], port))));
    a.connect(("127.0.0.1", port))?;
    assert_eq!(a.peer_addr()?.port(), port);
    a.send(b"two")?;
    assert_eq!(a.recv(&mut bytes)?, 3);
    a.set_nonblocking(true)?;
    assert_eq!(a.recv(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
    a.set_broadcast(true)?;
    Ok(())
}

fn names() -> io::Result<()> {
    assert!(lookup_host("localhost", 7)?.contains(&([127, 0, 0, 1], 7).into()));
    assert_eq!(lookup_host("127.0.0.1", 7)?, [([127, 0, 0, 1], 7).into()]);
    assert!(lookup_host("no-such-name.invalid", 7).is_err());
    Ok(())
}

fn commands() {
    let long = "line\n".repeat(200_000);
    let counted = Command::new("cat").stdin(&long).output();
    assert!(counted.success() && counted.stdout == long.as_bytes());
    let shown = Command::new("env").env("A", "1").env("A", "2").output();
    assert_eq!(shown.text(), "A=2\n");
    let late = Command::new("sleep").arg("60").timeout(Duration::from_millis(200)).output();
    assert!(late.timed_out() && !late.denied());
    assert_eq!(Command::new("cat").args(["/", "--nowhere"]).output().status, 1);
    let refused = Command::new("true").output();
    assert!(refused.denied() && refused.text_of_stderr().contains("--allow-command"), "{refused:?}");
}

fn kept() {
    let text = storage::store_text("héllo");
    assert_eq!(storage::load_text(&text).as_deref(), Some("héllo"));
    let words = storage::store_words(&[1, -2, i32::MAX]);
    assert_ne!(text, words);
    assert_eq!(storage::load_words(&words), [1, -2, i32::MAX]);
    storage::update_words(&words, &[]);
    assert_eq!(storage::load_words(&words), []);
    storage::update_text(&text, "again");
    let again: Key = text.to_string().parse().expect("a key");
    assert_eq!(storage::load_text(&again).as_deref(), Some("again"));
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(storage::load(&storage::store(&all)), all);
}

fn measured() {
    use ssvm::meter;
    let gas = meter::gas_used().expect("counted");
    assert!(meter::gas_left().is_some_and(|left| left > 0));
    assert!(meter::gas_used().is_some_and(|now| now > gas));
    assert!(!meter::cpu_used().is_zero() && meter::wall_used() >= Duration::from_millis(200));
    assert!(meter::wall_left().is_some_and(|left| left < Duration::from_secs(100)));
    assert!(meter::memory_used() >= 65536 && meter::memory_peak() >= meter::memory_used());
    assert!(meter::memory_limit().is_some() && meter::cpu_left().is_none());
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ports: Vec<u16> = std::env::args().skip(1).map(|a| a.parse()).collect::<Result<_, _>>()?;
    connections(ports[0])?;
    listening()?;
    datagrams(ports[1])?;
    names()?;
    commands();
    kept();
    measured();
    println!("all is well");
    Ok(())
}
