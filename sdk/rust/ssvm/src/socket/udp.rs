use super::address::{first, ToAddrs};
use super::fd::{Fd, Socket, BROADCAST, PEEK, RECEIVE_TIME, SEND_TIME};
use super::raw;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

const DATAGRAM: u32 = 1;

/// Sends and receives datagrams.
#[derive(Debug)]
pub struct UdpSocket {
    fd: Fd,
}

impl UdpSocket {
    /// Receives on the first of these addresses that can be had; port 0 is any free one.
    pub fn bind(addrs: impl ToAddrs) -> io::Result<UdpSocket> {
        first(addrs, |address| {
            let fd = Fd::open(raw::family(address), DATAGRAM)?;
            fd.bind(address)?;
            Ok(UdpSocket { fd })
        })
    }
    /// The address that it receives on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.local()
    }
    /// The address that it is connected to.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.peer()
    }
    /// From now on [`send`](UdpSocket::send) goes there, and only what comes from there is received.
    pub fn connect(&self, addrs: impl ToAddrs) -> io::Result<()> {
        first(addrs, |address| self.fd.connect(address))
    }
    /// Sends a datagram to the first of these addresses.
    pub fn send_to(&self, bytes: &[u8], addrs: impl ToAddrs) -> io::Result<usize> {
        match addrs.to_addrs()?.first() {
            Some(address) => self.fd.send_to(bytes, address),
            None => Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no address to send to")),
        }
    }
    /// The next datagram, and where it comes from. What does not fit is lost.
    pub fn recv_from(&self, to: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.fd.receive_from(to, 0)
    }
    /// The same; it will be received again.
    pub fn peek_from(&self, to: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.fd.receive_from(to, PEEK)
    }
    /// Sends a datagram to where it is connected to.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.fd.send(bytes)
    }
    /// The next datagram from there. What does not fit is lost.
    pub fn recv(&self, to: &mut [u8]) -> io::Result<usize> {
        self.fd.receive(to, 0)
    }
    /// For how long receiving may wait; `None`: for ever. What waits longer fails with `WouldBlock`.
    pub fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.fd.set_time(RECEIVE_TIME, time)
    }
    /// The same of sending.
    pub fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.fd.set_time(SEND_TIME, time)
    }
    /// What [`UdpSocket::set_read_timeout`] has set.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.fd.get_time(RECEIVE_TIME)
    }
    /// Calls do not wait, but fail with `WouldBlock`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.fd.set_nonblocking(nonblocking)
    }
    /// Whether it may send to all in its network.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.fd.set_number(BROADCAST, broadcast.into())
    }
    /// The error that is waiting on it, which is then none any more.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.fd.take_error()
    }
}

impl Socket for UdpSocket {
    fn descriptor(&self) -> i32 {
        self.fd.0
    }
}
