//! The queue: functions that are called later, at least once.
use crate::handle::check;
use crate::{raw, Error};
use std::time::Duration;

/// Has a function of the tenant called with this body, by POST, not before the delay is over. When this returns, it is in the database. The
/// job's number, which the called function sees as `SSVM-Job-Id`.
pub fn push(function: &str, path: &str, body: impl AsRef<[u8]>, delay: Duration) -> Result<i64, Error> {
    let body = body.as_ref();
    let mut id = 0i64;
    check(unsafe {
        raw::queue_push(
            function.as_ptr(),
            function.len() as u32,
            path.as_ptr(),
            path.len() as u32,
            body.as_ptr(),
            body.len() as u32,
            delay.as_millis() as u64,
            &mut id,
        )
    })?;
    Ok(id)
}
