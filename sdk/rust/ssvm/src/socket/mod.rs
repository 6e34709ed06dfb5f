//! Sockets like those of `std::net`, which `wasm32-wasip1` lacks: connections, listeners, datagrams and names, where the host allows.
//!
//! ```
//! use ssvm::socket::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! fn main() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let mut client = TcpStream::connect(listener.local_addr()?)?;
//!     let (mut server, from) = listener.accept()?;
//!     assert_eq!(from, client.local_addr()?);
//!     client.write_all(b"hello")?;
//!     client.shutdown(std::net::Shutdown::Write)?;
//!     let mut said = String::new();
//!     server.read_to_string(&mut said)?;
//!     assert_eq!(said, "hello");
//!     Ok(())
//! }
//! ```
//!
//! Many connections in one program: [`set_nonblocking`](TcpStream::set_nonblocking) and [`poll`].
//!
//! ```
//! use ssvm::socket::{poll, Interest, UdpSocket};
//! use std::time::Duration;
//!
//! # fn main() -> std::io::Result<()> {
//! let a = UdpSocket::bind("127.0.0.1:0")?;
//! let b = UdpSocket::bind("127.0.0.1:0")?;
//! b.send_to(b"ping", a.local_addr()?)?;
//! let ready = poll(&[Interest::read(&a), Interest::read(&b)], Some(Duration::from_secs(5)))?;
//! assert_eq!(ready, [0]);
//! let mut bytes = [0; 16];
//! let (n, from) = a.recv_from(&mut bytes)?;
//! assert_eq!((&bytes[..n], from), (&b"ping"[..], b.local_addr()?));
//! # Ok(())
//! # }
//! ```
mod address;
mod fd;
mod raw;
mod tcp;
mod udp;

pub use address::{lookup_host, ToAddrs};
pub use fd::{poll, Interest, Socket};
pub use tcp::{Incoming, TcpListener, TcpStream};
pub use udp::UdpSocket;
