use super::raw;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The addresses of a name or of an address, with this port.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let addresses = ssvm::socket::lookup_host("localhost", 80)?;
/// assert!(addresses.iter().all(|a| a.ip().is_loopback() && a.port() == 80));
/// # Ok(())
/// # }
/// ```
pub fn lookup_host(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
        Err(_) => raw::look_up(host, port),
    }
}

/// What can be connected or bound to: addresses, and names with ports.
pub trait ToAddrs {
    /// The addresses, to be tried in this order.
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>>;
}

macro_rules! addresses {
    ($($type:ty),*) => {
        $(impl ToAddrs for $type {
            fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
                Ok(vec![(*self).into()])
            }
        })*
    };
}
addresses!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

/// A name or an address, and a port.
impl ToAddrs for (&str, u16) {
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        lookup_host(self.0, self.1)
    }
}

/// `NAME:PORT`, `1.2.3.4:PORT`, `[1::2]:PORT`
impl ToAddrs for str {
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.parse() {
            return Ok(vec![address]);
        }
        let bad = || io::Error::new(io::ErrorKind::InvalidInput, "an address is HOST:PORT");
        let (host, port) = self.rsplit_once(':').ok_or_else(bad)?;
        lookup_host(host, port.parse().map_err(|_| bad())?)
    }
}

impl ToAddrs for String {
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.as_str().to_addrs()
    }
}

impl ToAddrs for [SocketAddr] {
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.to_vec())
    }
}

impl<T: ToAddrs + ?Sized> ToAddrs for &T {
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        (**self).to_addrs()
    }
}

/// The first that works; else why the last one did not.
pub(super) fn first<T>(addrs: impl ToAddrs, mut try_one: impl FnMut(&SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "there is no address to try");

    for address in addrs.to_addrs()? {
        match try_one(&address) {
            Ok(it) => return Ok(it),
            Err(e) => last = e,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_addresses() {
        let one = |text: &str| text.to_addrs().map(|a| a[0].to_string());
        assert_eq!(one("127.0.0.1:80").unwrap(), "127.0.0.1:80");
        assert_eq!(one("[::1]:8080").unwrap(), "[::1]:8080");
        assert_eq!(("10.0.0.1", 7).to_addrs().unwrap()[0].to_string(), "10.0.0.1:7");
        for bad in ["", "localhost", "localhost:", "localhost:x", "localhost:65536"] {
            assert_eq!(one(bad).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        // Elsewhere there is no host.
        #[cfg(not(target_family = "wasm"))]
        assert_eq!(one("localhost:1").unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn all_are_tried() {
        let all: Vec<SocketAddr> = vec!["1.1.1.1:1".parse().unwrap(), "2.2.2.2:2".parse().unwrap()];
        let mut tried = Vec::new();
        let got = first(&all[..], |a| {
            tried.push(a.port());
            if a.port() == 2 {
                Ok(*a)
            } else {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
        });
        assert_eq!((got.unwrap(), tried), (all[1], vec![1, 2]));
        assert_eq!(first(&all[..0], |_| Ok(())).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
