//! A server of HTTP/1.1 with kept connections, on the published crate alone: many connections in one thread, by poll. Usage: CONNECTIONS; prints
//! its port, and when that many have come and gone the number of requests.
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use wasmedge_wasi_socket::poll::{poll, EventType, Subscription};
use wasmedge_wasi_socket::{TcpListener, TcpStream};

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

/// The first whole request: its method, path, body's length, and its own.
fn request(input: &[u8]) -> Option<(String, String, usize, usize)> {
    let end = input.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&input[..end]);
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_string(), first.next()?.to_string());
    let length = lines
        .filter_map(|l| l.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, v)| v.trim().parse().ok())
        .unwrap_or(0);
    (input.len() >= end + length).then_some((method, path, length, end + length))
}

/// Answers all that has come; false: the connection is over.
fn serve(c: &mut Connection, requests: &mut usize) -> io::Result<bool> {
    let mut buf = [0; 8192];
    let n = c.stream.read(&mut buf)?;
    c.input.extend_from_slice(&buf[..n]);
    while let Some((method, path, length, used)) = request(&c.input) {
        let body = format!("{method} {path} {length}\n");
        write!(c.stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
        c.input.drain(..used);
        *requests += 1;
    }
    Ok(n > 0)
}

fn main() -> io::Result<()> {
    let mut left: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    let listener = TcpListener::bind("127.0.0.1:0", true)?;
    let mut open: HashMap<u64, Connection> = HashMap::new();
    let mut requests = 0;
    println!("port {}", listener.local_addr()?.port());
    io::stdout().flush()?;
    while left > 0 {
        let mut subs = vec![Subscription::io(0, &listener, true, false, None)];
        subs.extend(open.iter().map(|(id, c)| Subscription::io(*id, &c.stream, true, false, None)));
        for e in poll(&subs)? {
            if e.userdata == 0 {
                while let Ok((stream, _)) = listener.accept(false) {
                    open.insert(stream.as_raw_fd() as u64, Connection { stream, input: vec![] });
                }
                continue;
            }
            let c = open.get_mut(&e.userdata).unwrap();
            let on = match e.event_type {
                EventType::Error(_) => false,
                _ => serve(c, &mut requests).unwrap_or(false),
            };
            if !on {
                open.remove(&e.userdata);
                left -= 1;
            }
        }
    }
    println!("requests {requests}");
    Ok(())
}
