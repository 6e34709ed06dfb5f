//! What this program has used of its gas, its time and its memory, and what is left. Nothing needs to be granted.
//!
//! A call is one from outside: the run of a program, a request. `None` says that there is no such number: it is not counted, or nothing
//! limits it.
//!
//! ```
//! use ssvm::meter;
//! use std::time::Duration;
//!
//! let before = meter::gas_used();
//! let text = "words ".repeat(1000);
//! if let (Some(before), Some(after)) = (before, meter::gas_used()) {
//!     println!("{} bytes cost {} gas", text.len(), after - before);
//! }
//! if meter::wall_left().is_some_and(|left| left < Duration::from_millis(100)) {
//!     println!("there is no time for more");
//! }
//! assert!(meter::memory_peak() >= meter::memory_used());
//! ```
use std::time::Duration;

mod raw {
    imports! {
        from "ssvm_meter", elsewhere -1;
        fn gas_used = "gas_used"() -> i64;
        fn gas_left = "gas_left"() -> i64;
        fn cpu_used = "cpu_used"() -> i64;
        fn cpu_left = "cpu_left"() -> i64;
        fn wall_used = "wall_used"() -> i64;
        fn wall_left = "wall_left"() -> i64;
        fn memory_used = "memory_used"() -> i64;
        fn memory_peak = "memory_peak"() -> i64;
        fn memory_limit = "memory_limit"() -> i64;
    }
}

fn known(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

fn time(number: i64) -> Option<Duration> {
    known(number).map(Duration::from_nanos)
}

/// Gas that was used. `None`: it is not counted.
pub fn gas_used() -> Option<u64> {
    // SAFETY: no memory is involved, here and below.
    known(unsafe { raw::gas_used() })
}

/// Gas that may still be used. `None`: nothing limits it.
pub fn gas_left() -> Option<u64> {
    known(unsafe { raw::gas_left() })
}

/// The CPU's time that this call has used, the host's work for it included.
pub fn cpu_used() -> Duration {
    time(unsafe { raw::cpu_used() }).unwrap_or_default()
}

/// The CPU's time that it may still use. `None`: nothing limits it.
pub fn cpu_left() -> Option<Duration> {
    time(unsafe { raw::cpu_left() })
}

/// Time since this call began.
pub fn wall_used() -> Duration {
    time(unsafe { raw::wall_used() }).unwrap_or_default()
}

/// Time until its deadline. `None`: there is none.
pub fn wall_left() -> Option<Duration> {
    time(unsafe { raw::wall_left() })
}

/// Bytes of memory now, with what the host holds for this program.
pub fn memory_used() -> u64 {
    known(unsafe { raw::memory_used() }).unwrap_or_default()
}

/// The most that [`memory_used`] has been.
pub fn memory_peak() -> u64 {
    known(unsafe { raw::memory_peak() }).unwrap_or_default()
}

/// Bytes that [`memory_used`] may reach. `None`: nothing limits it.
pub fn memory_limit() -> Option<u64> {
    known(unsafe { raw::memory_limit() })
}
