//! State for WebAssembly guests: keys and values ([`kv`]), SQL ([`sql`]), secrets ([`secret`]), a durable queue ([`queue`]), other servers
//! ([`http`]) and other functions ([`call`]).
//!
//! The host's functions are in one module, [`raw`]. Compiled for anything but WebAssembly all of them refuse, so that programs which use
//! this crate can be checked and tested everywhere.
#![warn(missing_docs)]

pub mod call;
mod error;
mod handle;
pub mod http;
pub mod kv;
pub mod queue;
pub mod raw;
pub mod secret;
pub mod sql;

pub use error::{Code, Error};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
