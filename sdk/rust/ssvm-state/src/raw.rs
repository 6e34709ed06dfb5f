//! The host's functions as they are imported: addresses and lengths are of this module's memory, a result below 0 is a code
//! ([`crate::Code`]), handles are above 0. The rest of the crate is made of them.
#![allow(clippy::too_many_arguments)]

#[cfg(not(target_family = "wasm"))]
const DENIED: i32 = -2;

/// Declares imports, and for other targets functions that refuse.
macro_rules! imports {
    ($($(#[$doc:meta])* fn $name:ident = $import:literal($($arg:ident: $type:ty),*) -> $ret:ty;)*) => {
        #[cfg(target_family = "wasm")]
        #[link(wasm_import_module = "ssvm_state")]
        extern "C" {
            $(
                $(#[$doc])*
                #[link_name = $import]
                pub fn $name($($arg: $type),*) -> $ret;
            )*
        }
        $(
            $(#[$doc])*
            /// # Safety
            /// There is no host here: it does nothing.
            #[cfg(not(target_family = "wasm"))]
            pub unsafe fn $name($($arg: $type),*) -> $ret {
                $(let _ = $arg;)*
                DENIED as $ret
            }
        )*
    };
}

imports! {
    /// Why the last call failed: copies what fits, returns the whole length.
    fn error = "error"(to: *mut u8, len: u32) -> i32;
    /// The next bytes of a handle; 0 at the end.
    fn read = "read"(handle: i32, to: *mut u8, len: u32) -> i32;
    /// How many bytes a handle has in all.
    fn size = "size"(handle: i32) -> i64;
    /// Lets a handle go.
    fn close = "close"(handle: i32) -> i32;

    /// A handle of a key's value.
    fn kv_get = "kv_get"(key: *const u8, key_len: u32) -> i32;
    /// Stores a value for so long; 0: until it is deleted.
    fn kv_set = "kv_set"(key: *const u8, key_len: u32, value: *const u8, value_len: u32, ttl_ms: u64) -> i32;
    /// Stores a value if the present one is `old`; with a length of `u32::MAX`, if there is none.
    fn kv_cas = "kv_cas"(key: *const u8, key_len: u32, old: *const u8, old_len: u32, value: *const u8, value_len: u32, ttl_ms: u64) -> i32;
    /// Takes a key away.
    fn kv_delete = "kv_delete"(key: *const u8, key_len: u32) -> i32;
    /// Adds to a decimal number.
    fn kv_increment = "kv_increment"(key: *const u8, key_len: u32, by: i64, ttl_ms: u64, ret: *mut i64) -> i32;
    /// A handle of keys.
    fn kv_list = "kv_list"(prefix: *const u8, prefix_len: u32, after: *const u8, after_len: u32, limit: u32) -> i32;

    /// Runs a statement; a handle of its rows.
    fn sql_query = "sql_query"(text: *const u8, len: u32, params: *const u8, params_len: u32) -> i32;
    /// Goes to the next row: 1, or 0 when there is none.
    fn sql_next = "sql_next"(rows: i32) -> i32;
    /// How many columns the rows have.
    fn sql_columns = "sql_columns"(rows: i32) -> i32;
    /// Rows that the statement changed.
    fn sql_changes = "sql_changes"(rows: i32) -> i64;
    /// The name of a column: copies what fits, returns the whole length.
    fn sql_name = "sql_name"(rows: i32, column: u32, to: *mut u8, len: u32) -> i32;
    /// The type of a column of this row: 0 null, 1 integer, 2 float, 3 text, 4 blob.
    fn sql_type = "sql_type"(rows: i32, column: u32) -> i32;
    /// A column of this row as a whole number.
    fn sql_int = "sql_int"(rows: i32, column: u32) -> i64;
    /// A column of this row as a number.
    fn sql_float = "sql_float"(rows: i32, column: u32) -> f64;
    /// A column of this row as bytes: copies what fits, returns the whole length.
    fn sql_bytes = "sql_bytes"(rows: i32, column: u32, to: *mut u8, len: u32) -> i32;

    /// A handle of a secret.
    fn secret_get = "secret_get"(name: *const u8, len: u32) -> i32;
    /// Has a function called later.
    fn queue_push = "queue_push"(function: *const u8, function_len: u32, path: *const u8, path_len: u32, body: *const u8, body_len: u32, delay_ms: u64, ret_id: *mut i64) -> i32;
    /// Asks another server; a handle of the answer.
    fn http_request = "http_request"(method: *const u8, method_len: u32, url: *const u8, url_len: u32, fields: *const u8, fields_len: u32, body: *const u8, body_len: u32, timeout_ms: u64) -> i32;
    /// The status of an answer.
    fn http_status = "http_status"(answer: i32) -> i32;
    /// A handle of an answer's fields.
    fn http_fields = "http_fields"(answer: i32) -> i32;
    /// Asks another function of the tenant; a handle of the answer.
    fn call = "call"(function: *const u8, function_len: u32, method: *const u8, method_len: u32, path: *const u8, path_len: u32, fields: *const u8, fields_len: u32, body: *const u8, body_len: u32, timeout_ms: u64) -> i32;
}
