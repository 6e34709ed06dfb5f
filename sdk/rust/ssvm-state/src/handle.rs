//! What the host answers with bytes: a number that is closed when it is dropped.
use crate::{raw, Code, Error};

pub(crate) struct Handle(i32);

/// A result that is 0 or above, or the error.
pub(crate) fn check(number: i32) -> Result<i32, Error> {
    if number < 0 {
        Err(Error::last(number))
    } else {
        Ok(number)
    }
}

/// A failure that only says that there is no such thing is `None`.
pub(crate) fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.code == Code::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

impl Handle {
    pub(crate) fn of(number: i32) -> Result<Handle, Error> {
        check(number).map(Handle)
    }

    pub(crate) fn number(&self) -> i32 {
        self.0
    }

    /// All bytes that were not read yet.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Error> {
        let size = unsafe { raw::size(self.0) };
        if size < 0 {
            return Err(Error::last(size as i32));
        }
        let mut bytes = vec![0u8; size as usize];
        // The host writes at most as many bytes as there are.
        let n = check(unsafe { raw::read(self.0, bytes.as_mut_ptr(), bytes.len() as u32) })?;
        bytes.truncate(n as usize);
        Ok(bytes)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        unsafe { raw::close(self.0) };
    }
}

/// Bytes that the host fetches by a function which copies what fits and returns the whole length.
pub(crate) fn copied(copy: impl Fn(*mut u8, u32) -> i32) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0u8; 64];
    loop {
        let n = check(copy(bytes.as_mut_ptr(), bytes.len() as u32))? as usize;
        if n <= bytes.len() {
            bytes.truncate(n);
            return Ok(bytes);
        }
        bytes.resize(n, 0);
    }
}
