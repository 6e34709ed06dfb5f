//! Calls one function of wasmedge_wasi_socket and prints what it gave, for socket.py to compare with what the other side, which is Python's, saw.
//! Usage: NAME [ARG...]; ports come as arguments.
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd};
use std::time::{Duration, SystemTime};
use wasmedge_wasi_socket::poll::{poll, EventType, Subscription};
use wasmedge_wasi_socket::socket::{
    AddressFamily, IovecRead, Socket, SocketOptLevel, SocketOptName, SocketType, WasiAddrinfo, MSG_PEEK,
};
use wasmedge_wasi_socket::*;

type Answer = io::Result<String>;

fn home(port: &str) -> SocketAddr {
    format!("127.0.0.1:{port}").parse().unwrap()
}

fn tcp() -> io::Result<Socket> {
    Socket::new(AddressFamily::Inet4, SocketType::Stream)
}

fn udp() -> io::Result<Socket> {
    Socket::new(AddressFamily::Inet4, SocketType::Datagram)
}

fn connected(port: &str) -> io::Result<Socket> {
    let s = tcp()?;
    s.connect(&home(port))?;
    Ok(s)
}

fn bound_udp() -> io::Result<Socket> {
    let s = udp()?;
    s.bind(&home("0"))?;
    Ok(s)
}

/// Tells the tester where we are, before we wait.
fn here(a: SocketAddr) {
    println!("port {}", a.port());
    io::stdout().flush().unwrap();
}

fn text(b: &[u8]) -> String {
    String::from_utf8_lossy(b).into_owned()
}

fn read_all(mut s: impl Read) -> Answer {
    let mut all = String::new();
    s.read_to_string(&mut all)?;
    Ok(all)
}

/// Bytes as some functions of the crate want them.
fn unset(buf: &mut [u8]) -> &mut [std::mem::MaybeUninit<u8>] {
    unsafe { &mut *(buf as *mut [u8] as *mut [std::mem::MaybeUninit<u8>]) }
}

fn on(s: &Socket, name: SocketOptName) -> io::Result<()> {
    s.setsockopt(SocketOptLevel::SolSocket, name, 1i32)
}

fn nonblocking(s: &Socket) -> Answer {
    let before = s.nonblocking()?;
    s.set_nonblocking(true)?;
    let during = s.nonblocking()?;
    s.set_nonblocking(false)?;
    Ok(format!("{before} {during} {}", s.nonblocking()?))
}

fn timeouts(s: &Socket) -> Answer {
    let none = s.get_recv_timeout()?.is_none() && s.get_send_timeout()?.is_none();
    s.set_recv_timeout(Some(Duration::from_millis(1500)))?;
    s.set_send_timeout(Some(Duration::from_millis(2500)))?;
    let set = format!("{none} {:?} {:?}", s.get_recv_timeout()?.unwrap(), s.get_send_timeout()?.unwrap());
    s.set_recv_timeout(None)?;
    Ok(format!("{set} {}", s.get_recv_timeout()?.is_none()))
}

fn timed_out(s: &Socket) -> Answer {
    s.set_recv_timeout(Some(Duration::from_millis(50)))?;
    let e = s.recv(&mut [0; 8]).unwrap_err();
    Ok(format!("{:?}", e.kind()))
}

fn vectored(s: &Socket) -> Answer {
    let n = s.send_vectored(&[IoSlice::new(b"one "), IoSlice::new(b"two")], 0)?;
    let (mut a, mut b) = ([0u8; 4], [0u8; 16]);
    let mut bufs = [
        IovecRead { buf: a.as_mut_ptr(), size: a.len() },
        IovecRead { buf: b.as_mut_ptr(), size: b.len() },
    ];
    let (got, flags) = s.recv_vectored(&mut bufs, 0)?;
    Ok(format!("{n} {got} {flags} {}|{}", text(&a), text(&b[..got - 4])))
}

fn peeked(s: &Socket) -> Answer {
    let mut buf = [0; 32];
    s.send(b"peek")?;
    let (n, flags) = s.recv_with_flags(unset(&mut buf), MSG_PEEK)?;
    let first = text(&buf[..n]);
    let again = s.recv(&mut buf)?;
    Ok(format!("{first} {flags} {}", text(&buf[..again])))
}

fn datagram(how: &str) -> Answer {
    let s = bound_udp()?;
    here(s.get_local()?);
    let mut buf = [0; 64];
    let (n, from) = match how {
        "flags" => {
            let (n, from, flags) = s.recv_from_with_flags(unset(&mut buf), MSG_PEEK)?;
            let (again, same) = s.recv_from(&mut buf)?;
            assert_eq!((n, from, flags), (again, same, 0));
            (n, from)
        }
        "vectored" => {
            let mut bufs = [IovecRead { buf: buf.as_mut_ptr(), size: buf.len() }];
            let (n, from, _) = s.recv_from_vectored(&mut bufs, 0)?;
            (n, from)
        }
        _ => s.recv_from(&mut buf)?,
    };
    let sent = match how {
        "vectored" => s.send_to_vectored(&[IoSlice::new(b"back "), IoSlice::new(&buf[..n])], from, 0)?,
        _ => s.send_to(&buf[..n], from)?,
    };
    Ok(format!("{} {} {sent}", text(&buf[..n]), from.port()))
}

fn addrinfo() -> Answer {
    let (mut addrs, mut bufs, mut names) = (vec![], vec![], vec![]);
    let hints = WasiAddrinfo::default();
    let found = WasiAddrinfo::get_addrinfo("127.0.0.1", "8080", &hints, 4, &mut addrs, &mut bufs, &mut names)?;
    let len = found[0].ai_addrlen;
    Ok(format!("{} {len} {} {:?}", found.len(), addrs[0].sa_data_len, &bufs[0][..6]))
}

fn events(port: &str) -> Answer {
    let s = connected(port)?;
    let soon = SystemTime::now() + Duration::from_secs(3600);
    let mut said = String::new();
    for round in 0..3 {
        let subs = [Subscription::io(7, &s, true, round == 0, Some(soon)), Subscription::timeout(9, soon)];
        for e in poll(&subs)? {
            said += match e.event_type {
                EventType::Read => "r",
                EventType::Write => "w",
                EventType::Timeout => "t",
                EventType::Error(_) => "e",
            };
            said += &e.userdata.to_string();
            if matches!(e.event_type, EventType::Write) {
                s.send(b"now")?;
            } else {
                let n = s.recv(&mut [0; 2])?;
                said += &format!("({n})");
            }
        }
        said += " ";
    }
    Ok(said)
}

fn raw_handles(port: &str) -> Answer {
    let mut s = TcpStream::connect(home(port))?;
    s.as_ref().send(b"as_ref ")?;
    s.as_mut().send(b"as_mut ")?;
    let same = s.as_fd().as_raw_fd() == s.as_raw_fd();
    let fd = s.into_raw_fd();
    let s = unsafe { TcpStream::from_raw_fd(fd) };
    let s = TcpStream::from(unsafe { Socket::from_raw_fd(s.into_raw_fd()) });
    s.as_ref().send(b"from")?;
    s.shutdown(Shutdown::Write)?;
    Ok(format!("{same} {}", read_all(&s)?))
}

/// From a listener made by the crate, or made from its descriptor.
fn served(l: TcpListener, how: &str) -> Answer {
    here(l.local_addr()?);
    let mut s = match how {
        "accept" => l.accept(false)?.0,
        "incoming" => l.incoming().next().unwrap()?,
        _ => {
            let l = unsafe { TcpListener::from_raw_fd(l.into_raw_fd()) };
            assert_eq!(l.port, Some(l.local_addr()?.port()));
            l.accept(false)?.0
        }
    };
    let said = read_all(&s)?;
    s.write_all(said.to_uppercase().as_bytes())?;
    Ok(format!("{said} {}", s.peer_addr()?.port()))
}

fn run(args: &[String]) -> Answer {
    let port = args.get(1).map_or("0", |s| s.as_str());
    match args[0].as_str() {
        "new" => Ok(format!("{}", tcp()?.as_raw_fd() != udp()?.as_raw_fd())),
        "new6" => Ok(format!("{}", Socket::new(AddressFamily::Inet6, SocketType::Stream)?.as_raw_fd() > 2)),
        "type" => Ok(format!("{:?} {:?}", tcp()?.r#type()?, udp()?.r#type()?)),
        "device" => Ok(format!("{:?}", udp()?.device()?)),
        "bind_device" => {
            let s = udp()?;
            s.bind_device(Some(b"lo"))?;
            let one = s.device()?.map(|d| text(&d));
            s.bind_device(None)?;
            Ok(format!("{one:?} {:?}", s.device()?))
        }
        "timeouts" => timeouts(&tcp()?),
        "timed_out" => timed_out(&connected(port)?),
        "connect_send_recv" => {
            let s = connected(port)?;
            let n = s.send(b"hello")?;
            let mut buf = [0; 32];
            let got = s.recv(&mut buf)?;
            Ok(format!("{n} {}", text(&buf[..got])))
        }
        "vectored" => vectored(&connected(port)?),
        "recv_with_flags" => peeked(&connected(port)?),
        "send_to" => {
            let n = udp()?.send_to(b"to you", home(port))?;
            Ok(format!("{n}"))
        }
        "recv_from" => datagram("plain"),
        "recv_from_with_flags" => datagram("flags"),
        "recv_from_vectored" => datagram("vectored"),
        "nonblocking" => nonblocking(&tcp()?),
        "would_block" => {
            let s = connected(port)?;
            s.set_nonblocking(true)?;
            Ok(format!("{:?}", s.recv(&mut [0; 8]).unwrap_err().kind()))
        }
        "bind_listen_accept" => {
            let s = tcp()?;
            s.bind(&home("0"))?;
            s.listen(4)?;
            here(s.get_local()?);
            let c = s.accept(true)?;
            let answer = format!("{} {} {}", s.is_listener()?, c.is_listener()?, c.nonblocking()?);
            c.send(b"welcome")?;
            Ok(answer)
        }
        "get_local_peer" => {
            let s = connected(port)?;
            here(s.get_local()?);
            Ok(format!("{} {}", s.get_local()?.ip(), s.get_peer()?))
        }
        "take_error" => {
            let s = tcp()?;
            s.set_nonblocking(true)?;
            let first = s.connect(&home(port)).unwrap_err().kind();
            poll(&[Subscription::io(1, &s, false, true, None)])?;
            Ok(format!("{:?} {:?}", first, s.take_error().unwrap_err().kind()))
        }
        "options" => {
            let s = udp()?;
            on(&s, SocketOptName::SoReuseaddr)?;
            on(&s, SocketOptName::SoBroadcast)?;
            let t = tcp()?;
            on(&t, SocketOptName::SoKeepalive)?;
            t.setsockopt(SocketOptLevel::SolSocket, SocketOptName::SoRcvbuf, 65536i32)?;
            t.setsockopt(SocketOptLevel::SolSocket, SocketOptName::SoSndbuf, 65536i32)?;
            t.setsockopt(SocketOptLevel::SolSocket, SocketOptName::SoLinger, [1i32, 2i32])?;
            Ok(format!(
                "{} {} {} {} {}",
                s.reuse_address()?,
                s.broadcast()?,
                t.keepalive()?,
                t.recv_buffer_size()? >= 65536,
                t.send_buffer_size()? >= 65536
            ))
        }
        "shutdown" => {
            let s = connected(port)?;
            s.send(b"last")?;
            s.shutdown(Shutdown::Write)?;
            let mut buf = [0; 32];
            let n = s.recv(&mut buf)?;
            Ok(format!("{} {:?}", text(&buf[..n]), s.send(b"x").unwrap_err().kind()))
        }
        "get_addrinfo" => addrinfo(),
        "nslookup" => Ok(format!("{:?}", nslookup(port, "http")?)),
        "nslookup_with_host" => Ok(format!("{:?}", nslookup_with_host(port, "http")?)),
        "nslookup_with_dns_server" => Ok(format!("{:?}", nslookup_with_dns_server(port, &args[2], "http")?)),
        "stream" => {
            let mut s = TcpStream::connect(home(port))?;
            s.set_nonblocking(false)?;
            s.write_all(b"by write")?;
            s.flush()?;
            (&s).write_all(b" by &write")?;
            let same = s.peer_addr()?.port() == s.local_addr()?.port();
            s.shutdown(Shutdown::Write)?;
            Ok(format!("{} {same}", read_all(&s)?))
        }
        "stream_by_name" => {
            let s = TcpStream::connect((port, args[2].parse::<u16>().unwrap()))?;
            s.shutdown(Shutdown::Write)?;
            read_all(&s)
        }
        "stream_by_text" => {
            let s = TcpStream::connect(port)?;
            s.shutdown(Shutdown::Write)?;
            read_all(&s)
        }
        "handles" => raw_handles(port),
        "listener_accept" => served(TcpListener::bind("127.0.0.1:0", false)?, "accept"),
        "listener_incoming" => served(TcpListener::bind(("127.0.0.1", 0), false)?, "incoming"),
        "listener_from_fd" => served(TcpListener::bind(home("0"), false)?, "from_fd"),
        "udp_socket" => {
            let s = UdpSocket::bind(home("0"))?;
            here(s.as_ref().get_local()?);
            let mut buf = [0; 64];
            let (n, from) = s.recv_from(&mut buf)?;
            let sent = s.send_to(&buf[..n], from)?;
            Ok(format!("{} {sent}", text(&buf[..n])))
        }
        "poll" => events(port),
        "refused" => Ok(format!("{:?}", tcp()?.connect(&port.parse().unwrap()).map_err(|e| e.kind()))),
        "refused_bind" => Ok(format!("{:?}", tcp()?.bind(&port.parse().unwrap()).map_err(|e| e.kind()))),
        "refused_send" => Ok(format!("{:?}", udp()?.send_to(b"x", port.parse().unwrap()).map_err(|e| e.kind()))),
        "refused_listen" => Ok(format!("{:?}", tcp()?.listen(1).map_err(|e| e.kind()))),
        "refused_name" => Ok(format!("{:?}", nslookup(port, "").map_err(|e| e.raw_os_error()))),
        other => Err(io::Error::other(format!("unknown test {other}"))),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(s) => println!("ok {s}"),
        Err(e) => println!("error {:?} {e}", e.kind()),
    }
}
