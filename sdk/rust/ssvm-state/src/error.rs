use std::fmt;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// There is no such thing.
    NotFound,
    /// It was not granted.
    Denied,
    /// An argument is wrong.
    Invalid,
    /// It is too large, or too many.
    Limit,
    /// It has changed meanwhile, or a constraint of the database says no.
    Conflict,
    /// What is behind it failed; whether it was done is not known.
    Io,
    /// It took too long.
    Time,
    /// The host has no memory for it.
    Memory,
    /// A number that this crate does not know.
    Other(i32),
}

impl Code {
    pub(crate) fn of(number: i32) -> Code {
        match number {
            -1 => Code::NotFound,
            -2 => Code::Denied,
            -3 => Code::Invalid,
            -5 => Code::Limit,
            -6 => Code::Conflict,
            -7 => Code::Io,
            -8 => Code::Time,
            -10 => Code::Memory,
            other => Code::Other(other),
        }
    }
}

/// Why a call failed: a code for programs, and the host's words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// For programs.
    pub code: Code,
    /// For people.
    pub text: String,
}

impl Error {
    /// The last call's.
    pub(crate) fn last(number: i32) -> Error {
        let mut text = vec![0u8; 256];
        // The host writes at most as many bytes as there are.
        let n = unsafe { crate::raw::error(text.as_mut_ptr(), text.len() as u32) };
        text.truncate(n.max(0) as usize);
        Error { code: Code::of(number), text: String::from_utf8_lossy(&text).into_owned() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            write!(f, "{:?}", self.code)
        } else {
            f.write_str(&self.text)
        }
    }
}

impl std::error::Error for Error {}
