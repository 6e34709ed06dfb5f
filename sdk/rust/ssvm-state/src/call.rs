//! Calls of other functions of the same tenant, in the same process: as a request to a server, without one.
use crate::http::Request;
use crate::raw;

/// A request to a function; `path` is what is behind its name, "" or "/...". See [`Request`] for fields, body and time.
pub fn function<'a>(name: &'a str, method: &'a str, path: &'a str) -> Request<'a> {
    Request::new(ask_function, name, method, path)
}

fn ask_function(r: &Request, timeout_ms: u64) -> i32 {
    unsafe {
        raw::call(
            r.function.as_ptr(),
            r.function.len() as u32,
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
