//! The host's functions for sockets, as guests of the second version call them, and what they read and write.
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

imports! {
    from "wasi_snapshot_preview1", elsewhere REFUSED;
    fn sock_open = "sock_open_v2"(family: u32, kind: u32, ret: *mut i32) -> u32;
    fn sock_bind = "sock_bind_v2"(fd: i32, address: *const Room, port: u32) -> u32;
    fn sock_listen = "sock_listen_v2"(fd: i32, backlog: u32) -> u32;
    fn sock_accept = "sock_accept_v2"(fd: i32, flags: u32, ret: *mut i32) -> u32;
    fn sock_connect = "sock_connect_v2"(fd: i32, address: *const Room, port: u32) -> u32;
    fn sock_recv = "sock_recv_v2"(fd: i32, to: *const Span, count: u32, flags: u32, ret: *mut u32, ret_flags: *mut u32) -> u32;
    fn sock_recv_from = "sock_recv_from_v2"(fd: i32, to: *const Span, count: u32, address: *mut Room, flags: u32, ret_port: *mut u32, ret: *mut u32, ret_flags: *mut u32) -> u32;
    fn sock_send = "sock_send_v2"(fd: i32, from: *const Span, count: u32, flags: u32, ret: *mut u32) -> u32;
    fn sock_send_to = "sock_send_to_v2"(fd: i32, from: *const Span, count: u32, address: *const Room, port: u32, flags: u32, ret: *mut u32) -> u32;
    fn sock_shutdown = "sock_shutdown"(fd: i32, how: u32) -> u32;
    fn sock_getsockopt = "sock_getsockopt"(fd: i32, level: u32, name: u32, value: *mut u8, len: *mut u32) -> u32;
    fn sock_setsockopt = "sock_setsockopt"(fd: i32, level: u32, name: u32, value: *const u8, len: u32) -> u32;
    fn sock_getlocaladdr = "sock_getlocaladdr_v2"(fd: i32, address: *mut Room, ret_port: *mut u32) -> u32;
    fn sock_getpeeraddr = "sock_getpeeraddr_v2"(fd: i32, address: *mut Room, ret_port: *mut u32) -> u32;
    fn sock_getaddrinfo = "sock_getaddrinfo"(node: *const u8, node_len: u32, service: *const u8, service_len: u32, hints: *const Info, res: *mut *mut Info, max: u32, ret: *mut u32) -> u32;
    fn fd_close = "fd_close"(fd: i32) -> u32;
    fn fd_fdstat_set_flags = "fd_fdstat_set_flags"(fd: i32, flags: u32) -> u32;
    fn poll_oneoff = "poll_oneoff"(what: *const Wish, ret: *mut Event, count: u32, ret_count: *mut u32) -> u32;
}

#[cfg(any(test, not(target_family = "wasm")))]
const REFUSED: u32 = 52; // NOSYS

// ---- Errors ----

/// 77 and above are this extension's.
const RESOLVER: [(&str, io::ErrorKind); 11] = [
    ("the name has no address of that family", io::ErrorKind::NotFound),
    ("the name cannot be looked up now", io::ErrorKind::TimedOut),
    ("a flag of the look-up is wrong", io::ErrorKind::InvalidInput),
    ("the look-up has failed", io::ErrorKind::Other),
    ("this family of addresses is not known", io::ErrorKind::InvalidInput),
    ("there is no memory for the look-up", io::ErrorKind::OutOfMemory),
    ("the name has no address", io::ErrorKind::NotFound),
    ("there is no such name", io::ErrorKind::NotFound),
    ("this service is not known", io::ErrorKind::NotFound),
    ("this type of socket is not known", io::ErrorKind::InvalidInput),
    ("the look-up has failed in the system", io::ErrorKind::Other),
];

pub fn check(errno: u32) -> io::Result<()> {
    if errno == 0 {
        return Ok(());
    }
    if let Some((text, kind)) = (errno as usize).checked_sub(77).and_then(|i| RESOLVER.get(i)) {
        return Err(io::Error::new(*kind, *text));
    }
    if cfg!(not(target_family = "wasm")) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "sockets of ssvm are in WebAssembly alone"));
    }
    Err(io::Error::from_raw_os_error(errno as i32))
}

// ---- Addresses ----

/// A pointer and a length: of bytes, and of what an address is written in.
#[repr(C)]
pub struct Span {
    pub at: *const u8,
    pub len: u32,
}
#[repr(C)]
pub struct Room {
    at: *mut Tagged,
    len: u32,
}

/// An address with its family in front.
#[repr(C)]
pub struct Tagged {
    pub family: u16,
    pub bytes: [u8; 126],
}

pub const INET4: u32 = 1;
pub const INET6: u32 = 2;

impl Tagged {
    pub fn empty() -> Tagged {
        Tagged { family: 0, bytes: [0; 126] }
    }
    pub fn of(address: IpAddr) -> Tagged {
        let mut t = Tagged::empty();
        match address {
            IpAddr::V4(a) => {
                t.family = INET4 as u16;
                t.bytes[..4].copy_from_slice(&a.octets());
            }
            IpAddr::V6(a) => {
                t.family = INET6 as u16;
                t.bytes[..16].copy_from_slice(&a.octets());
            }
        }
        t
    }
    pub fn room(&mut self) -> Room {
        Room { at: self, len: std::mem::size_of::<Tagged>() as u32 }
    }
    pub fn address(&self, port: u32) -> io::Result<SocketAddr> {
        let ip = match u32::from(self.family) {
            INET4 => IpAddr::from(<[u8; 4]>::try_from(&self.bytes[..4]).unwrap_or_default()),
            INET6 => IpAddr::from(<[u8; 16]>::try_from(&self.bytes[..16]).unwrap_or_default()),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no Internet address")),
        };
        Ok(SocketAddr::new(ip, port as u16))
    }
}

pub fn family(address: &SocketAddr) -> u32 {
    if address.is_ipv4() {
        INET4
    } else {
        INET6
    }
}

// ---- Names ----

const NODES: usize = 16;
const DATA: usize = 28; // 26 are needed
const NAME: usize = 30;

#[repr(C)]
pub struct Info {
    flags: u16,
    family: u8,
    kind: u8,
    protocol: u8,
    len: u32,
    address: *mut Sock,
    name: *mut u8,
    name_len: u32,
    next: *mut Info,
}

#[repr(C)]
struct Sock {
    family: u8,
    len: u32,
    data: *mut u8,
}

fn read_sock(sock: &Sock, data: &[u8; DATA]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([data[0], data[1]]);

    match u32::from(sock.family) {
        INET4 => Some(SocketAddr::from((Ipv4Addr::from(<[u8; 4]>::try_from(&data[2..6]).ok()?), port))),
        INET6 => Some(SocketAddr::from((Ipv6Addr::from(<[u8; 16]>::try_from(&data[6..22]).ok()?), port))),
        _ => None,
    }
}

/// The addresses of a name, with this port.
pub fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let service = port.to_string();
    let mut data = [[0u8; DATA]; NODES];
    let mut names = [[0u8; NAME]; NODES];
    let mut socks: Vec<Sock> = data.iter_mut().map(|d| Sock { family: 0, len: DATA as u32, data: d.as_mut_ptr() }).collect();
    let blank = |address, name| Info { flags: 0, family: 0, kind: 2, protocol: 1, len: 0, address, name, name_len: 0, next: std::ptr::null_mut() };
    let mut infos: Vec<Info> = socks.iter_mut().zip(&mut names).map(|(s, n)| blank(s as *mut Sock, n.as_mut_ptr())).collect();
    let hints = blank(std::ptr::null_mut(), std::ptr::null_mut());
    let first = infos.as_mut_ptr();
    let mut res = first;
    let mut count = 0;

    // SAFETY: nodes are linked in the order in which they lie, and what they point at lives through the call.
    unsafe {
        for i in 1..NODES {
            (*first.add(i - 1)).next = first.add(i);
        }
        check(sock_getaddrinfo(host.as_ptr(), host.len() as u32, service.as_ptr(), service.len() as u32, &hints, &mut res, NODES as u32, &mut count))?;
    }
    let mut found: Vec<SocketAddr> = Vec::new();
    for (sock, data) in socks.iter().zip(&data).take(count as usize) {
        if let Some(mut address) = read_sock(sock, data) {
            address.set_port(port);
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    Ok(found)
}

// ---- Waiting ----

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Wish {
    userdata: u64,
    tag: u64, // a byte, and a union of eight bytes' alignment
    id: u64,  // u32: a descriptor, or of a clock its number
    timeout: u64,
    precision: u64,
    flags: u16,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    pub userdata: u64,
    pub error: u16,
    tag: u8,
    nbytes: u64,
    flags: u16,
}

const CLOCK_MONOTONIC: u64 = 1;
pub const READ: u8 = 1;
pub const WRITE: u8 = 2;

impl Wish {
    pub fn fd(userdata: u64, tag: u8, fd: i32) -> Wish {
        Wish { userdata, tag: tag.into(), id: fd as u64, timeout: 0, precision: 0, flags: 0 }
    }
    pub fn time(userdata: u64, timeout: Duration) -> Wish {
        let ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        Wish { userdata, tag: 0, id: CLOCK_MONOTONIC, timeout: ns, precision: 0, flags: 0 }
    }
}

/// What has happened of this, at least one.
pub fn wait(wishes: &[Wish]) -> io::Result<Vec<Event>> {
    let mut events = vec![Event { userdata: 0, error: 0, tag: 0, nbytes: 0, flags: 0 }; wishes.len()];
    let mut n = 0;

    // SAFETY: there are as many events as wishes.
    check(unsafe { poll_oneoff(wishes.as_ptr(), events.as_mut_ptr(), wishes.len() as u32, &mut n) })?;
    events.truncate(n as usize);
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_there_and_back() {
        for text in ["127.0.0.1:80", "[2001:db8::7]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Tagged::of(address.ip()).address(address.port().into()).unwrap(), address);
        }
        assert!(Tagged::empty().address(1).is_err());
    }

    #[test]
    fn wishes_and_events_lie_as_in_wasi() {
        assert_eq!((std::mem::size_of::<Wish>(), std::mem::size_of::<Event>()), (48, 32));
        assert_eq!((std::mem::offset_of!(Wish, id), std::mem::offset_of!(Wish, timeout), std::mem::offset_of!(Event, nbytes)), (16, 24, 16));
    }

    #[test]
    fn nodes_are_read() {
        let mut data = [0u8; DATA];
        data[..6].copy_from_slice(&[0, 80, 10, 0, 0, 1]);
        let sock = |family| Sock { family, len: 0, data: std::ptr::null_mut() };
        assert_eq!(read_sock(&sock(1), &data), Some("10.0.0.1:80".parse().unwrap()));
        data[2..].fill(0);
        data[21] = 1;
        assert_eq!(read_sock(&sock(2), &data), Some("[::1]:80".parse().unwrap()));
        assert_eq!(read_sock(&sock(3), &data), None);
    }

    #[test]
    fn errors_have_kinds() {
        assert_eq!(check(84).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(check(REFUSED).unwrap_err().kind(), io::ErrorKind::Unsupported);
        assert!(check(0).is_ok());
    }
}
