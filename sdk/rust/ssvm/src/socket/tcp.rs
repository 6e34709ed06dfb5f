use super::address::{first, ToAddrs};
use super::fd::{poll, Fd, Interest, Socket, KEEPALIVE, LINGER, PEEK, RECEIVE_TIME, REUSEADDR, SEND_TIME};
use super::raw::{self, check};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

const STREAM: u32 = 2;
const BACKLOG: u32 = 128;

/// A connection.
#[derive(Debug)]
pub struct TcpStream {
    fd: Fd,
}

impl TcpStream {
    /// Connects to the first of these addresses that answers.
    pub fn connect(addrs: impl ToAddrs) -> io::Result<TcpStream> {
        first(addrs, |address| {
            let fd = Fd::open(raw::family(address), STREAM)?;
            fd.connect(address)?;
            Ok(TcpStream { fd })
        })
    }
    /// Connects, if it does not take longer than that.
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        let stream = TcpStream { fd: Fd::open(raw::family(address), STREAM)? };

        stream.set_nonblocking(true)?;
        match stream.fd.connect(address) {
            Err(e) if waits(&e) => {
                if poll(&[Interest::write(&stream)], Some(timeout))?.is_empty() {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the time to connect is over"));
                }
                if let Some(e) = stream.take_error()? {
                    return Err(e);
                }
            }
            other => other?,
        }
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
    /// The address at the other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.fd.peer()
    }
    /// The address at this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.local()
    }
    /// Ends one direction, or both.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let flags = match how {
            Shutdown::Read => 1,
            Shutdown::Write => 2,
            Shutdown::Both => 3,
        };
        // SAFETY: no memory is involved.
        check(unsafe { raw::sock_shutdown(self.fd.0, flags) })
    }
    /// Reads bytes, which will be read again.
    pub fn peek(&self, to: &mut [u8]) -> io::Result<usize> {
        self.fd.receive(to, PEEK)
    }
    /// For how long a read may wait; `None`: for ever. A read that waits longer fails with `WouldBlock`.
    pub fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.fd.set_time(RECEIVE_TIME, time)
    }
    /// The same of a write.
    pub fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.fd.set_time(SEND_TIME, time)
    }
    /// What [`TcpStream::set_read_timeout`] has set.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        self.fd.get_time(RECEIVE_TIME)
    }
    /// What [`TcpStream::set_write_timeout`] has set.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        self.fd.get_time(SEND_TIME)
    }
    /// Calls do not wait, but fail with `WouldBlock`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.fd.set_nonblocking(nonblocking)
    }
    /// Whether a silent connection is asked from time to time if it is still there.
    pub fn set_keepalive(&self, keepalive: bool) -> io::Result<()> {
        self.fd.set_number(KEEPALIVE, keepalive.into())
    }
    /// For how long closing waits until all is sent; `None`: it does not wait, and all is sent if that can be. `ssvm serve` has no such option.
    pub fn set_linger(&self, time: Option<Duration>) -> io::Result<()> {
        let seconds = time.map_or(0, |t| t.as_secs().min(i32::MAX as u64) as i32);
        let halves = [i32::from(time.is_some()).to_le_bytes(), seconds.to_le_bytes()].concat();

        self.fd.set(LINGER, &halves)
    }
    /// The error that is waiting on it, which is then none any more.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.fd.take_error()
    }
}

/// Connecting goes on behind the call.
fn waits(e: &io::Error) -> bool {
    const INPROGRESS: i32 = 26; // of WASI

    e.kind() == io::ErrorKind::WouldBlock || e.raw_os_error() == Some(INPROGRESS)
}

impl Read for &TcpStream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.fd.receive(to, 0)
    }
}
impl Write for &TcpStream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.fd.send(from)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl Read for TcpStream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        (&*self).read(to)
    }
}
impl Write for TcpStream {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        (&*self).write(from)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits for connections.
#[derive(Debug)]
pub struct TcpListener {
    fd: Fd,
}

impl TcpListener {
    /// Listens on the first of these addresses that can be had; port 0 is any free one.
    pub fn bind(addrs: impl ToAddrs) -> io::Result<TcpListener> {
        first(addrs, |address| {
            let fd = Fd::open(raw::family(address), STREAM)?;

            fd.set_number(REUSEADDR, 1)?;
            fd.bind(address)?;
            // SAFETY: no memory is involved.
            check(unsafe { raw::sock_listen(fd.0, BACKLOG) })?;
            Ok(TcpListener { fd })
        })
    }
    /// The address that it listens on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.fd.local()
    }
    /// The next connection, and where it comes from.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut fd = -1;

        // SAFETY: the host writes the number.
        check(unsafe { raw::sock_accept(self.fd.0, 0, &mut fd) })?;
        let stream = TcpStream { fd: Fd(fd) };
        let from = stream.peer_addr()?;
        Ok((stream, from))
    }
    /// Connections without end.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }
    /// [`TcpListener::accept`] does not wait, but fails with `WouldBlock`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.fd.set_nonblocking(nonblocking)
    }
}

/// The connections of [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;
    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl Socket for TcpStream {
    fn descriptor(&self) -> i32 {
        self.fd.0
    }
}
impl Socket for TcpListener {
    fn descriptor(&self) -> i32 {
        self.fd.0
    }
}
