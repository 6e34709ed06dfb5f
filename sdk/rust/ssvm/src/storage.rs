//! Storage: values under keys that nobody can guess. Where the host keeps them is its matter (`ssvm run --storage FILE`); what has a
//! name of its own is better kept in [`kv`](crate::kv).
//!
//! ```
//! use ssvm::storage::{self, Key};
//!
//! let key = storage::store("some bytes");
//! assert_eq!(storage::load(&key), b"some bytes");
//! storage::update(&key, [1, 2, 3]);
//!
//! let kept = key.to_string(); // 32 hex digits, for another run
//! let key: Key = kept.parse().unwrap();
//! assert_eq!(storage::load(&key), [1, 2, 3]);
//! ```
//!
//! A key under which nothing is stored, a store that is full: both end the program with a trap, since the host's interface has no errors.
//!
//! Records are those of the crate `rust_storage_interface_library`: what was stored with the one is read with the other. Its `store` and `update` keep what
//! bincode makes of a value, which [`load`] returns, its `..._as_i32_vector` are [`store_words`], [`update_words`] and [`load_words`], and its texts
//! [`store_text`], [`update_text`] and [`load_text`].
use std::fmt;
use std::str::FromStr;

mod raw {
    imports! {
        from "ssvm_native", elsewhere 0;
        /// Writes 33 bytes.
        fn create_uuid = "ssvm_storage_createUUID"(key: *mut u8);
        fn begin_store = "ssvm_storage_beginStoreTx"(key: *const u8);
        fn begin_load = "ssvm_storage_beginLoadTx"(key: *const u8);
        fn store_i32 = "ssvm_storage_storeI32"(value: i32);
        fn load_i32 = "ssvm_storage_loadI32"() -> i32;
        fn end_store = "ssvm_storage_endStoreTx"();
        fn end_load = "ssvm_storage_endLoadTx"();
    }
}

const DIGITS: usize = 32;

/// A key: 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; DIGITS + 1]); // the host writes a NUL behind them

impl Key {
    /// A key that was never there.
    #[allow(clippy::new_without_default)] // each is another one
    pub fn new() -> Key {
        let mut key = Key([b'0'; DIGITS + 1]);

        // SAFETY: the host writes 33 bytes.
        unsafe { raw::create_uuid(key.0.as_mut_ptr()) };
        key.0[DIGITS] = 0;
        key
    }
    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0[..DIGITS]).unwrap_or_default()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.as_str())
    }
}

/// What is not 32 lower-case hex digits is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey;

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key is 32 lower-case hex digits")
    }
}

impl std::error::Error for NoKey {}

impl FromStr for Key {
    type Err = NoKey;
    fn from_str(text: &str) -> Result<Key, NoKey> {
        let mut key = Key([0; DIGITS + 1]);

        if text.len() != DIGITS || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NoKey);
        }
        key.0[..DIGITS].copy_from_slice(text.as_bytes());
        Ok(key)
    }
}

// ---- Words ----

/// Stores words under a new key.
pub fn store_words(words: &[i32]) -> Key {
    let key = Key::new();

    update_words(&key, words);
    key
}

/// Stores words under this key, in place of what was there. All or nothing.
pub fn update_words(key: &Key, words: &[i32]) {
    // SAFETY: the host reads 32 bytes, of 33.
    unsafe {
        raw::begin_store(key.0.as_ptr());
        raw::store_i32(words.len() as i32);
        words.iter().for_each(|word| raw::store_i32(*word));
        raw::end_store();
    }
}

/// The words under this key.
pub fn load_words(key: &Key) -> Vec<i32> {
    // SAFETY: the host reads 32 bytes, of 33. Of more words than there are, the host makes a trap.
    unsafe {
        raw::begin_load(key.0.as_ptr());
        let n = raw::load_i32().max(0);
        let words = (0..n).map(|_| raw::load_i32()).collect();
        raw::end_load();
        words
    }
}

// ---- Bytes, three of them in the decimal digits of a word ----

const THREE: i32 = 1_000_000_000;
const TWO: i32 = 2_000_000_000;

fn pack(bytes: &[u8]) -> Vec<i32> {
    let digits = |bytes: &[u8]| bytes.iter().fold(0, |sum, b| sum * 1000 + i32::from(*b));

    bytes
        .chunks(3)
        .map(|chunk| {
            digits(chunk)
                + match chunk.len() {
                    3 => THREE,
                    2 => TWO,
                    _ => 0,
                }
        })
        .collect()
}

fn unpack(words: &[i32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(words.len() * 3);

    for word in words {
        let n = if *word >= TWO {
            2
        } else if *word >= THREE {
            3
        } else {
            1
        };
        let digits = word % THREE;
        bytes.extend([digits / 1_000_000, digits / 1000 % 1000, digits % 1000][3 - n..].iter().map(|b| *b as u8));
    }
    bytes
}

/// Stores bytes under a new key.
pub fn store(bytes: impl AsRef<[u8]>) -> Key {
    store_words(&pack(bytes.as_ref()))
}

/// Stores bytes under this key, in place of what was there. All or nothing.
pub fn update(key: &Key, bytes: impl AsRef<[u8]>) {
    update_words(key, &pack(bytes.as_ref()));
}

/// The bytes under this key.
pub fn load(key: &Key) -> Vec<u8> {
    unpack(&load_words(key))
}

// ---- Texts, as bincode writes them: a length of eight bytes, then UTF-8 ----

fn of_text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// Stores a text under a new key.
pub fn store_text(text: &str) -> Key {
    store(of_text(text))
}

/// Stores a text under this key, in place of what was there. All or nothing.
pub fn update_text(key: &Key, text: &str) {
    update(key, of_text(text));
}

/// The text under this key. `None`: what is there is none.
pub fn load_text(key: &Key) -> Option<String> {
    text_of(&load(key))
}

fn text_of(bytes: &[u8]) -> Option<String> {
    let (head, text) = (bytes.get(..8)?, bytes.get(8..)?);
    let n = u64::from_le_bytes(head.try_into().ok()?);

    (n == text.len() as u64).then(|| String::from_utf8(text.to_vec()).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_digits_of_words() {
        assert_eq!(pack(&[1, 2, 3, 255, 254, 253, 7]), [1_001_002_003, 1_255_254_253, 7]);
        assert_eq!(pack(&[9, 8]), [2_000_009_008]);
        assert_eq!(pack(&[255; 5]), [1_255_255_255, 2_000_255_255]);
        for n in 0..300usize {
            let bytes: Vec<u8> = (0..n).map(|i| (i * 7) as u8).collect();
            assert_eq!(unpack(&pack(&bytes)), bytes);
        }
        unpack(&[i32::MIN, i32::MAX, -1]);
    }

    #[test]
    fn texts_are_those_of_bincode() {
        assert_eq!(of_text("hé"), b"\x03\0\0\0\0\0\0\0h\xc3\xa9");
        assert_eq!(text_of(&of_text("hé")).as_deref(), Some("hé"));
        assert_eq!(text_of(b"\x04\0\0\0\0\0\0\0abc"), None);
        assert_eq!(text_of(b"\x01\0\0\0\0\0\0\0\xff"), None);
        assert_eq!(text_of(b"\x01"), None);
    }

    #[test]
    fn keys_are_hex() {
        let digits = "0123456789abcdef0123456789abcdef";
        let key: Key = digits.parse().unwrap();
        assert_eq!((key.as_str(), format!("{key:?}")), (digits, format!("Key({digits})")));
        for bad in ["", "0123", &digits.to_uppercase(), &digits.replace('0', "g"), &format!("{digits}0")] {
            assert_eq!(bad.parse::<Key>(), Err(NoKey));
        }
    }
}
