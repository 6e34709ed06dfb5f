//! Keys and values. A key is 1 to 512 bytes, a value any bytes. Each call is atomic, and durable when it returns.
use crate::handle::{check, found, Handle};
use crate::{raw, Code, Error};
use std::time::Duration;

fn millis(ttl: Option<Duration>) -> u64 {
    // 0 is the host's "until it is deleted".
    ttl.map_or(0, |t| (t.as_millis() as u64).max(1))
}

fn len(bytes: &[u8]) -> u32 {
    bytes.len() as u32
}

/// The value, if there is one.
pub fn get(key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
    let key = key.as_ref();
    found(Handle::of(unsafe { raw::kv_get(key.as_ptr(), len(key)) }).and_then(|h| h.bytes()))
}

/// Stores a value, until it is deleted.
pub fn set(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), Error> {
    set_for(key, value, None)
}

/// Stores a value; it is forgotten after that time.
pub fn set_for(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<(), Error> {
    let (key, value) = (key.as_ref(), value.as_ref());
    check(unsafe { raw::kv_set(key.as_ptr(), len(key), value.as_ptr(), len(value), millis(ttl)) })?;
    Ok(())
}

/// Stores a value only if the present one is `old` (`None`: if there is none). Whether it was stored.
pub fn compare_and_set(key: impl AsRef<[u8]>, old: Option<&[u8]>, value: impl AsRef<[u8]>) -> Result<bool, Error> {
    let (key, value) = (key.as_ref(), value.as_ref());
    let (old, old_len) = old.map_or((std::ptr::null(), u32::MAX), |o| (o.as_ptr(), len(o)));
    let result = check(unsafe { raw::kv_cas(key.as_ptr(), len(key), old, old_len, value.as_ptr(), len(value), 0) });
    match result {
        Ok(_) => Ok(true),
        Err(e) if e.code == Code::Conflict => Ok(false),
        Err(e) => Err(e),
    }
}

/// Takes a key away. Whether it was there.
pub fn delete(key: impl AsRef<[u8]>) -> Result<bool, Error> {
    let key = key.as_ref();
    Ok(found(check(unsafe { raw::kv_delete(key.as_ptr(), len(key)) }))?.is_some())
}

/// Adds to a decimal number, which is 0 before it is there. The sum.
pub fn increment(key: impl AsRef<[u8]>, by: i64) -> Result<i64, Error> {
    increment_for(key, by, None)
}

/// The same; a number that is made by it is forgotten after that time.
pub fn increment_for(key: impl AsRef<[u8]>, by: i64, ttl: Option<Duration>) -> Result<i64, Error> {
    let key = key.as_ref();
    let mut sum = 0i64;
    check(unsafe { raw::kv_increment(key.as_ptr(), len(key), by, millis(ttl), &mut sum) })?;
    Ok(sum)
}

/// Keys that begin with `prefix` and come behind `after`, in the order of their bytes, at most `limit` (and 1000). The next page begins
/// behind the last one.
pub fn list(prefix: impl AsRef<[u8]>, after: impl AsRef<[u8]>, limit: u32) -> Result<Vec<Vec<u8>>, Error> {
    let (prefix, after) = (prefix.as_ref(), after.as_ref());
    let number = unsafe { raw::kv_list(prefix.as_ptr(), len(prefix), after.as_ptr(), len(after), limit) };
    Ok(split(&Handle::of(number)?.bytes()?))
}

/// Each a length of four bytes and the bytes.
fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    while bytes.len() >= 4 {
        let (head, rest) = bytes.split_at(4);
        let n = (u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize).min(rest.len());
        keys.push(rest[..n].to_vec());
        bytes = &rest[n..];
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split() {
        assert_eq!(split(b"\x01\0\0\0a\0\0\0\0\x02\0\0\0bc"), [b"a".to_vec(), b"".to_vec(), b"bc".to_vec()]);
        assert!(split(b"").is_empty());
    }

    #[test]
    fn a_time_is_never_none() {
        assert_eq!(millis(None), 0);
        assert_eq!(millis(Some(Duration::from_micros(1))), 1);
        assert_eq!(millis(Some(Duration::from_secs(2))), 2000);
    }

    #[test]
    fn nothing_is_there_without_a_host() {
        assert_eq!(get("a").unwrap_err().code, Code::Denied);
        assert_eq!(delete("a").unwrap_err().code, Code::Denied);
    }
}
