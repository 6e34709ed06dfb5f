//! Secrets: what the operator gave, and no log or list shows.
use crate::handle::{found, Handle};
use crate::{raw, Code, Error};

/// The secret's bytes, if there is one of that name.
pub fn bytes(name: &str) -> Result<Option<Vec<u8>>, Error> {
    found(Handle::of(unsafe { raw::secret_get(name.as_ptr(), name.len() as u32) }).and_then(|h| h.bytes()))
}

/// The secret as text, if there is one of that name.
pub fn get(name: &str) -> Result<Option<String>, Error> {
    bytes(name)?
        .map(|b| {
            String::from_utf8(b).map_err(|_| Error { code: Code::Invalid, text: format!("the secret {name} is not text") })
        })
        .transpose()
}
