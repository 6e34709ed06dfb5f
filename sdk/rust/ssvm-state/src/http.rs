//! Requests to other servers: only where the host allows.
use crate::handle::Handle;
use crate::{raw, Code, Error};
use std::time::Duration;

/// A request that is being made.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    // By a pointer, so that who only asks servers does not import what asks functions.
    ask: fn(&Request, u64) -> i32,
    pub(crate) function: &'a str, // "": a server
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) fields: String,
    pub(crate) body: &'a [u8],
    bad: bool,
    timeout: Option<Duration>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200, 404, ...
    pub status: u16,
    /// Names, as they came, and values.
    pub fields: Vec<(String, String)>,
    /// The bytes.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first field of that name, in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
    /// The body as text; what is none is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request with any method.
pub fn request<'a>(method: &'a str, url: &'a str) -> Request<'a> {
    Request::new(ask_server, "", method, url)
}

/// GET.
pub fn get(url: &str) -> Request<'_> {
    request("GET", url)
}

/// POST with a body.
pub fn post<'a>(url: &'a str, body: &'a [u8]) -> Request<'a> {
    request("POST", url).body(body)
}

fn ask_server(r: &Request, timeout_ms: u64) -> i32 {
    unsafe {
        raw::http_request(
            r.method.as_ptr(),
            r.method.len() as u32,
            r.target.as_ptr(),
            r.target.len() as u32,
            r.fields.as_ptr(),
            r.fields.len() as u32,
            r.body.as_ptr(),
            r.body.len() as u32,
            timeout_ms,
        )
    }
}

impl<'a> Request<'a> {
    pub(crate) fn new(ask: fn(&Request, u64) -> i32, function: &'a str, method: &'a str, target: &'a str) -> Self {
        Request { ask, function, method, target, fields: String::new(), body: b"", bad: false, timeout: None }
    }

    /// Adds a field. One with a line's end in it makes [`Request::send`] fail.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.bad |= [name, value].iter().any(|s| s.contains(['\r', '\n', '\0'])) || name.is_empty() || name.contains(':');
        self.fields += &format!("{name}: {value}\r\n");
        self
    }
    /// The body.
    pub fn body(mut self, body: &'a [u8]) -> Self {
        self.body = body;
        self
    }
    /// For how long to wait; 30 seconds if nothing is said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
    /// Asks, and waits for the answer. Every status is an answer.
    pub fn send(&self) -> Result<Answer, Error> {
        if self.bad {
            return Err(Error { code: Code::Invalid, text: "a field's name or value has a line's end in it".into() });
        }
        let ms = self.timeout.map_or(0, |t| (t.as_millis() as u64).max(1));
        read(&Handle::of((self.ask)(self, ms))?)
    }
}

fn read(answer: &Handle) -> Result<Answer, Error> {
    let status = crate::handle::check(unsafe { raw::http_status(answer.number()) })? as u16;
    let fields = Handle::of(unsafe { raw::http_fields(answer.number()) })?.bytes()?;
    Ok(Answer { status, fields: split(&String::from_utf8_lossy(&fields)), body: answer.bytes()? })
}

fn split(lines: &str) -> Vec<(String, String)> {
    lines
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_string(), value.trim().to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split() {
        let answer = Answer { status: 200, fields: split("A: 1\r\nb:  x:y \r\n"), body: vec![] };
        assert_eq!((answer.field("a"), answer.field("B"), answer.field("c")), (Some("1"), Some("x:y"), None));
    }

    #[test]
    fn fields_do_not_smuggle() {
        let bad = get("http://a").field("X", "1\r\nHost: b").send().unwrap_err();
        assert_eq!(bad.code, Code::Invalid);
        assert_eq!(get("http://a").field("X", "1").send().unwrap_err().code, Code::Denied);
    }
}
