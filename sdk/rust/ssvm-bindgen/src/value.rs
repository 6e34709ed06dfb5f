//! Values of the host that the guest knows by a number.

#[cfg(target_family = "wasm")]
mod host {
    #[link(wasm_import_module = "__wbindgen_placeholder__")]
    extern "C" {
        pub fn __wbindgen_string_new(text: *const u8, len: usize) -> u32;
        pub fn __wbindgen_number_new(number: f64) -> u32;
        pub fn __wbindgen_string_get(ret: *mut [usize; 2], value: u32);
        pub fn __wbindgen_number_get(ret: *mut Number, value: u32);
        pub fn __wbindgen_object_clone_ref(value: u32) -> u32;
        pub fn __wbindgen_object_drop_ref(value: u32);
        pub fn __wbindgen_is_null(value: u32) -> u32;
        pub fn __wbindgen_throw(text: *const u8, len: usize) -> !;
    }

    #[repr(C)]
    pub struct Number {
        pub present: u32,
        pub number: f64,
    }
}

/// Programs for other targets can be checked and tested; values are texts without contents there.
#[cfg(not(target_family = "wasm"))]
mod host {
    pub unsafe fn __wbindgen_string_new(_: *const u8, _: usize) -> u32 {
        0
    }
    pub unsafe fn __wbindgen_number_new(_: f64) -> u32 {
        0
    }
    pub unsafe fn __wbindgen_string_get(ret: *mut [usize; 2], _: u32) {
        *ret = [0, 0];
    }
    pub unsafe fn __wbindgen_number_get(ret: *mut Number, _: u32) {
        (*ret).present = 0;
    }
    pub unsafe fn __wbindgen_object_clone_ref(value: u32) -> u32 {
        value
    }
    pub unsafe fn __wbindgen_object_drop_ref(_: u32) {}
    pub unsafe fn __wbindgen_is_null(value: u32) -> u32 {
        u32::from(value == super::FIXED + 1)
    }
    pub unsafe fn __wbindgen_throw(text: *const u8, len: usize) -> ! {
        panic!("{}", String::from_utf8_lossy(std::slice::from_raw_parts(text, len)))
    }

    pub struct Number {
        pub present: u32,
        pub number: f64,
    }
}

/// A text or a number of the host's, mostly the text of an error.
#[derive(Debug)]
pub struct JsValue {
    handle: u32,
}

/// Bytes of a picture. JavaScript has an array of its own for them; here they are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamped<T>(pub T);

const FIXED: u32 = 128; // the host's numbers of undefined, null, true, false

impl JsValue {
    /// Nothing was given.
    pub const UNDEFINED: JsValue = JsValue { handle: FIXED };
    /// Nothing is there.
    pub const NULL: JsValue = JsValue { handle: FIXED + 1 };

    /// Is it [`JsValue::NULL`]?
    pub fn is_null(&self) -> bool {
        // SAFETY: no memory is involved.
        unsafe { host::__wbindgen_is_null(self.handle) != 0 }
    }

    /// A text.
    #[allow(clippy::should_implement_trait)] // its name in wasm-bindgen
    pub fn from_str(text: &str) -> JsValue {
        // SAFETY: the host reads the text, which lives through the call.
        JsValue { handle: unsafe { host::__wbindgen_string_new(text.as_ptr(), text.len()) } }
    }

    /// A number.
    pub fn from_f64(number: f64) -> JsValue {
        // SAFETY: no memory is involved.
        JsValue { handle: unsafe { host::__wbindgen_number_new(number) } }
    }

    /// The text, when it is one.
    pub fn as_string(&self) -> Option<String> {
        let mut found = [0usize; 2];

        // SAFETY: the host writes two words: where in our memory, allocated by it with our allocator, the text is, and its length.
        unsafe {
            host::__wbindgen_string_get(&mut found, self.handle);
            if found[0] == 0 {
                return None;
            }
            String::from_utf8(Vec::from_raw_parts(found[0] as *mut u8, found[1], found[1])).ok()
        }
    }

    /// The number, when it is one.
    pub fn as_f64(&self) -> Option<f64> {
        let mut found = host::Number { present: 0, number: 0.0 };

        // SAFETY: the host writes the structure.
        unsafe { host::__wbindgen_number_get(&mut found, self.handle) };
        (found.present != 0).then_some(found.number)
    }

    pub(crate) fn of_handle(handle: u32) -> JsValue {
        JsValue { handle }
    }

    /// The number that the host knows it by, which is the host's to free.
    pub(crate) fn into_handle(self) -> u32 {
        let handle = self.handle;

        std::mem::forget(self);
        handle
    }
}

impl Clone for JsValue {
    fn clone(&self) -> JsValue {
        // SAFETY: no memory is involved.
        JsValue { handle: unsafe { host::__wbindgen_object_clone_ref(self.handle) } }
    }
}

impl Drop for JsValue {
    fn drop(&mut self) {
        // SAFETY: no memory is involved.
        unsafe { host::__wbindgen_object_drop_ref(self.handle) };
    }
}

impl From<&str> for JsValue {
    fn from(text: &str) -> JsValue {
        JsValue::from_str(text)
    }
}

impl From<String> for JsValue {
    fn from(text: String) -> JsValue {
        JsValue::from_str(&text)
    }
}

impl From<f64> for JsValue {
    fn from(number: f64) -> JsValue {
        JsValue::from_f64(number)
    }
}

/// The text of a text, the digits of a number.
impl std::fmt::Display for JsValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.as_string() {
            Some(text) => f.write_str(&text),
            None => self.as_f64().map_or(Ok(()), |number| number.fmt(f)),
        }
    }
}

/// An error made of any other, so that `?` works.
#[derive(Debug)]
pub struct JsError {
    value: JsValue,
}

impl JsError {
    /// An error of this text.
    pub fn new(text: &str) -> JsError {
        JsError { value: JsValue::from_str(text) }
    }
}

impl<E: std::error::Error> From<E> for JsError {
    fn from(e: E) -> JsError {
        JsError::new(&e.to_string())
    }
}

impl From<JsError> for JsValue {
    fn from(e: JsError) -> JsValue {
        e.value
    }
}

/// # Safety
/// None is needed beyond the host's reading of the text.
pub(crate) unsafe fn throw(text: &str) -> ! {
    host::__wbindgen_throw(text.as_ptr(), text.len())
}
