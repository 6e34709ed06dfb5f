//! A socket's descriptor, and what is common to all kinds.
use super::raw::{self, check, Span, Tagged, Wish};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

const LEVEL: u32 = 0; // SOL_SOCKET
pub(super) const REUSEADDR: u32 = 0;
const ERROR: u32 = 2;
pub(super) const BROADCAST: u32 = 4;
pub(super) const KEEPALIVE: u32 = 7;
pub(super) const LINGER: u32 = 9;
pub(super) const RECEIVE_TIME: u32 = 11;
pub(super) const SEND_TIME: u32 = 12;
pub(super) const PEEK: u32 = 1;
const FLAG_NONBLOCK: u32 = 4;

/// Closed when it is dropped.
#[derive(Debug)]
pub(super) struct Fd(pub i32);

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        unsafe { raw::fd_close(self.0) };
    }
}

impl Fd {
    pub fn open(family: u32, kind: u32) -> io::Result<Fd> {
        let mut fd = -1;

        // SAFETY: the host writes the number.
        check(unsafe { raw::sock_open(family, kind, &mut fd) })?;
        Ok(Fd(fd))
    }
    pub fn bind(&self, address: &SocketAddr) -> io::Result<()> {
        // SAFETY: the host reads the address.
        check(unsafe { raw::sock_bind(self.0, &Tagged::of(address.ip()).room(), address.port().into()) })
    }
    pub fn connect(&self, address: &SocketAddr) -> io::Result<()> {
        // SAFETY: the host reads the address.
        check(unsafe { raw::sock_connect(self.0, &Tagged::of(address.ip()).room(), address.port().into()) })
    }
    pub fn receive(&self, to: &mut [u8], flags: u32) -> io::Result<usize> {
        let span = Span { at: to.as_mut_ptr(), len: to.len() as u32 };
        let (mut n, mut out) = (0, 0);

        // SAFETY: the host writes as many bytes as there are at most; it has two or four bytes for the flags.
        check(unsafe { raw::sock_recv(self.0, &span, 1, flags, &mut n, &mut out) })?;
        Ok(n as usize)
    }
    pub fn receive_from(&self, to: &mut [u8], flags: u32) -> io::Result<(usize, SocketAddr)> {
        let span = Span { at: to.as_mut_ptr(), len: to.len() as u32 };
        let mut from = Tagged::empty();
        let (mut port, mut n, mut out) = (0, 0, 0);

        // SAFETY: as above.
        check(unsafe { raw::sock_recv_from(self.0, &span, 1, &mut from.room(), flags, &mut port, &mut n, &mut out) })?;
        Ok((n as usize, from.address(port)?))
    }
    pub fn send(&self, from: &[u8]) -> io::Result<usize> {
        let span = Span { at: from.as_ptr(), len: from.len() as u32 };
        let mut n = 0;

        // SAFETY: the host reads the bytes.
        check(unsafe { raw::sock_send(self.0, &span, 1, 0, &mut n) })?;
        Ok(n as usize)
    }
    pub fn send_to(&self, from: &[u8], to: &SocketAddr) -> io::Result<usize> {
        let span = Span { at: from.as_ptr(), len: from.len() as u32 };
        let mut n = 0;

        // SAFETY: the host reads the bytes and the address.
        check(unsafe { raw::sock_send_to(self.0, &span, 1, &Tagged::of(to.ip()).room(), to.port().into(), 0, &mut n) })?;
        Ok(n as usize)
    }
    pub fn local(&self) -> io::Result<SocketAddr> {
        let (mut address, mut port) = (Tagged::empty(), 0);

        // SAFETY: the host writes the address.
        check(unsafe { raw::sock_getlocaladdr(self.0, &mut address.room(), &mut port) })?;
        address.address(port)
    }
    pub fn peer(&self) -> io::Result<SocketAddr> {
        let (mut address, mut port) = (Tagged::empty(), 0);

        // SAFETY: the host writes the address.
        check(unsafe { raw::sock_getpeeraddr(self.0, &mut address.room(), &mut port) })?;
        address.address(port)
    }
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        // SAFETY: no memory is involved.
        check(unsafe { raw::fd_fdstat_set_flags(self.0, if nonblocking { FLAG_NONBLOCK } else { 0 }) })
    }

    // ---- Options ----

    pub fn set(&self, option: u32, value: &[u8]) -> io::Result<()> {
        // SAFETY: the host reads the bytes.
        check(unsafe { raw::sock_setsockopt(self.0, LEVEL, option, value.as_ptr(), value.len() as u32) })
    }
    pub fn set_number(&self, option: u32, value: i32) -> io::Result<()> {
        self.set(option, &value.to_le_bytes())
    }
    pub fn get<const N: usize>(&self, option: u32) -> io::Result<[u8; N]> {
        let (mut value, mut len) = ([0; N], N as u32);

        // SAFETY: the host writes at most so many bytes.
        check(unsafe { raw::sock_getsockopt(self.0, LEVEL, option, value.as_mut_ptr(), &mut len) })?;
        Ok(value)
    }
    pub fn get_number(&self, option: u32) -> io::Result<i32> {
        self.get::<4>(option).map(i32::from_le_bytes)
    }
    /// Two i64: seconds and microseconds; none is no limit.
    pub fn set_time(&self, option: u32, time: Option<Duration>) -> io::Result<()> {
        self.set(option, &time_bytes(time)?)
    }
    pub fn get_time(&self, option: u32) -> io::Result<Option<Duration>> {
        self.get::<16>(option).map(|bytes| time_of(&bytes))
    }
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(check(self.get_number(ERROR)? as u32).err())
    }
}

fn time_bytes(time: Option<Duration>) -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let Some(time) = time else { return Ok(bytes) };

    if time.is_zero() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a time of 0 would be no limit: None"));
    }
    let us = if time.as_secs() == 0 { time.subsec_micros().max(1) } else { time.subsec_micros() };
    bytes[..8].copy_from_slice(&i64::try_from(time.as_secs()).unwrap_or(i64::MAX).to_le_bytes());
    bytes[8..].copy_from_slice(&i64::from(us).to_le_bytes());
    Ok(bytes)
}

fn time_of(bytes: &[u8; 16]) -> Option<Duration> {
    let half = |i: usize| u64::from_le_bytes(<[u8; 8]>::try_from(&bytes[i..i + 8]).unwrap_or_default());
    let time = Duration::from_secs(half(0)) + Duration::from_micros(half(8));

    (!time.is_zero()).then_some(time)
}

// ---- Waiting for several ----

/// What has a descriptor that can be waited for.
pub trait Socket {
    /// The number of its descriptor.
    fn descriptor(&self) -> i32;
}

/// What [`poll`] waits for: that a socket can be read (or accepted from), or written (or is connected).
#[derive(Clone, Copy, Debug)]
pub struct Interest {
    fd: i32,
    tag: u8,
}

impl Interest {
    /// That there are bytes, a connection, or the end.
    pub fn read(socket: &impl Socket) -> Interest {
        Interest { fd: socket.descriptor(), tag: raw::READ }
    }
    /// That there is room for bytes.
    pub fn write(socket: &impl Socket) -> Interest {
        Interest { fd: socket.descriptor(), tag: raw::WRITE }
    }
}

/// Waits until one of these has come, or the time is over (`None`: for ever). Which of them have come, by their places; none: the time is over.
pub fn poll(interests: &[Interest], timeout: Option<Duration>) -> io::Result<Vec<usize>> {
    let mut wishes: Vec<Wish> = interests.iter().zip(0..).map(|(i, n)| Wish::fd(n, i.tag, i.fd)).collect();

    if let Some(timeout) = timeout {
        wishes.push(Wish::time(u64::MAX, timeout));
    }
    if wishes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is nothing to wait for"));
    }
    let events = raw::wait(&wishes)?;
    Ok(events.iter().filter(|e| e.userdata != u64::MAX).map(|e| e.userdata as usize).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back() {
        for time in [None, Some(Duration::from_micros(1)), Some(Duration::new(3, 500_000_000))] {
            assert_eq!(time_of(&time_bytes(time).unwrap()), time);
        }
        assert_eq!(time_of(&time_bytes(Some(Duration::from_nanos(1))).unwrap()), Some(Duration::from_micros(1)));
        assert!(time_bytes(Some(Duration::ZERO)).is_err());
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(poll(&[], None).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
