//! The ABI of wasm-bindgen 0.2.100 for what can do without JavaScript: how values come in and go out as numbers, and the words that
//! describe them. Public for what the attribute makes; not for people.
use crate::value::{Clamped, JsValue};

const VERSION: &[u8] = br#"{"schema_version":"0.2.100","version":"0.2.100"}"#;
const HEAD: usize = 4;

/// The custom section that names the version: a length, then JSON.
pub const SECTION: [u8; HEAD + VERSION.len()] = {
    let mut section = [0; HEAD + VERSION.len()];
    let mut i = 0;

    section[0] = VERSION.len() as u8;
    while i < VERSION.len() {
        section[HEAD + i] = VERSION[i];
        i += 1;
    }
    section
};

/// Words of a descriptor.
#[derive(Clone, Copy)]
enum Word {
    I8 = 0,
    U8 = 1,
    I16 = 2,
    U16 = 3,
    I32 = 4,
    U32 = 5,
    I64 = 6,
    U64 = 7,
    F32 = 10,
    F64 = 11,
    Bool = 12,
    Function = 13,
    String = 16,
    Ref = 17,
    RefMut = 18,
    Slice = 20,
    Vector = 21,
    Value = 22,
    Char = 27,
    Option = 28,
    Result = 29,
    Unit = 30,
    Clamped = 31,
}

const SMALL_NONE: u32 = 0x00ff_ffff; // bool, char and integers below 32 bits
const NUMBER_NONE: f64 = 4_294_967_297.0; // 32-bit numbers, which travel as f64

#[cfg(target_family = "wasm")]
mod host {
    #[link(wasm_import_module = "__wbindgen_placeholder__")]
    extern "C" {
        pub fn __wbindgen_describe(word: u32);
        pub fn __wbindgen_copy_to_typed_array(p: *const u8, len: usize, array: u32);
    }
}

#[cfg(not(target_family = "wasm"))]
mod host {
    pub unsafe fn __wbindgen_describe(_: u32) {}
    pub unsafe fn __wbindgen_copy_to_typed_array(_: *const u8, _: usize, _: u32) {}
}

fn tell_number(word: u32) {
    // SAFETY: no memory is involved.
    unsafe { host::__wbindgen_describe(word) };
}

fn tell(word: Word) {
    tell_number(word as u32);
}

/// The head of a function's descriptor.
pub fn tell_function(count: u32) {
    tell(Word::Function);
    tell_number(0); // its place in a table, which nobody needs
    tell_number(count);
}

/// An argument that the function owns. A, B, C: the parameters that it takes; `()` is none.
pub trait Take: Sized {
    type A;
    type B;
    type C;
    /// # Safety
    /// The numbers come from the host, made for this type; used once.
    unsafe fn take(a: Self::A, b: Self::B, c: Self::C) -> Self;
    fn describe();
}

/// An argument behind `&`.
pub trait TakeRef {
    type A;
    type B;
    type C;
    type Owner: std::ops::Deref<Target = Self>;
    /// # Safety
    /// As [`Take::take`].
    unsafe fn take(a: Self::A, b: Self::B, c: Self::C) -> Self::Owner;
    fn describe();
}

/// An argument behind `&mut`: the host has it back when the owner ends.
pub trait TakeMut {
    type A;
    type B;
    type C;
    type Owner: std::ops::DerefMut<Target = Self>;
    /// # Safety
    /// As [`Take::take`].
    unsafe fn take(a: Self::A, b: Self::B, c: Self::C) -> Self::Owner;
    fn describe();
}

/// A result. Its fields are up to four numbers; those that are `()` are none.
pub trait Give {
    type A;
    type B;
    type C;
    type D;
    fn give(self) -> Fields<Self::A, Self::B, Self::C, Self::D>;
    fn describe();
}

/// One number is returned as it is, more of them lie where the caller's first parameter points: what C does with such a structure.
#[repr(C)]
pub struct Fields<A, B = (), C = (), D = ()>(pub A, pub B, pub C, pub D);

/// What an export returns.
pub type Area<T> = Fields<<T as Give>::A, <T as Give>::B, <T as Give>::C, <T as Give>::D>;

/// A type that is one number on its way: how, and what stands for None.
trait Scalar: Sized {
    type Abi;
    const WORD: Word;
    fn from_abi(abi: Self::Abi) -> Self;
    fn into_abi(self) -> Self::Abi;
}

macro_rules! scalars {
    ($($type:ty, $abi:ty, $word:ident, |$from:ident| $from_abi:expr;)*) => {
        $(
            impl Scalar for $type {
                type Abi = $abi;
                const WORD: Word = Word::$word;
                fn from_abi($from: $abi) -> $type {
                    $from_abi
                }
                fn into_abi(self) -> $abi {
                    self as $abi
                }
            }
            impl Take for $type {
                type A = $abi;
                type B = ();
                type C = ();
                unsafe fn take(a: $abi, _: (), _: ()) -> $type {
                    <$type>::from_abi(a)
                }
                fn describe() {
                    tell(Word::$word);
                }
            }
            impl Give for $type {
                type A = $abi;
                type B = ();
                type C = ();
                type D = ();
                fn give(self) -> Fields<$abi> {
                    Fields(self.into_abi(), (), (), ())
                }
                fn describe() {
                    tell(Word::$word);
                }
            }
        )*
    };
}
scalars! {
    i8, i32, I8, |v| v as i8;
    u8, u32, U8, |v| v as u8;
    i16, i32, I16, |v| v as i16;
    u16, u32, U16, |v| v as u16;
    i32, i32, I32, |v| v;
    u32, u32, U32, |v| v;
    isize, i32, I32, |v| v as isize;
    usize, u32, U32, |v| v as usize;
    i64, i64, I64, |v| v;
    u64, u64, U64, |v| v;
    f32, f32, F32, |v| v;
    f64, f64, F64, |v| v;
    bool, u32, Bool, |v| v != 0;
    char, u32, Char, |v| char::from_u32(v).unwrap_or(char::REPLACEMENT_CHARACTER);
}

/// Option of what has a number to spare.
macro_rules! options_of_small {
    ($($type:ty),*) => {
        $(
            impl Take for Option<$type> {
                type A = u32;
                type B = ();
                type C = ();
                unsafe fn take(a: u32, _: (), _: ()) -> Option<$type> {
                    (a != SMALL_NONE).then(|| <$type>::from_abi(a as _))
                }
                fn describe() {
                    tell(Word::Option);
                    tell(<$type>::WORD);
                }
            }
            impl Give for Option<$type> {
                type A = u32;
                type B = ();
                type C = ();
                type D = ();
                fn give(self) -> Fields<u32> {
                    Fields(self.map_or(SMALL_NONE, |v| v.into_abi() as u32), (), (), ())
                }
                fn describe() {
                    <Self as Take>::describe();
                }
            }
        )*
    };
}
options_of_small!(i8, u8, i16, u16, bool, char);

/// Option of what an f64 holds with numbers to spare.
macro_rules! options_of_numbers {
    ($($type:ty),*) => {
        $(
            impl Take for Option<$type> {
                type A = f64;
                type B = ();
                type C = ();
                unsafe fn take(a: f64, _: (), _: ()) -> Option<$type> {
                    (a != NUMBER_NONE).then_some(a as $type)
                }
                fn describe() {
                    tell(Word::Option);
                    tell(<$type>::WORD);
                }
            }
            impl Give for Option<$type> {
                type A = f64;
                type B = ();
                type C = ();
                type D = ();
                fn give(self) -> Fields<f64> {
                    Fields(self.map_or(NUMBER_NONE, |v| v as f64), (), (), ())
                }
                fn describe() {
                    <Self as Take>::describe();
                }
            }
        )*
    };
}
options_of_numbers!(i32, u32, isize, usize, f32);

/// Option with a flag beside the number.
macro_rules! options_of_wide {
    ($($type:ty),*) => {
        $(
            impl Take for Option<$type> {
                type A = u32;
                type B = $type;
                type C = ();
                unsafe fn take(a: u32, b: $type, _: ()) -> Option<$type> {
                    (a != 0).then_some(b)
                }
                fn describe() {
                    tell(Word::Option);
                    tell(<$type>::WORD);
                }
            }
            impl Give for Option<$type> {
                type A = u32;
                type B = $type;
                type C = ();
                type D = ();
                fn give(self) -> Fields<u32, $type> {
                    Fields(u32::from(self.is_some()), self.unwrap_or_default(), (), ())
                }
                fn describe() {
                    <Self as Take>::describe();
                }
            }
        )*
    };
}
options_of_wide!(i64, u64, f64);

/// What is a pointer and a length on its way: both sides allocate with `__wbindgen_malloc`, and who gets it frees it.
trait Block: Sized {
    /// # Safety
    /// The host has allocated and filled it for us; used once.
    unsafe fn from_block(p: usize, len: usize) -> Self;
    fn into_block(self) -> (usize, usize);
    fn tell();
}

impl Block for String {
    unsafe fn from_block(p: usize, len: usize) -> String {
        // The host sends UTF-8.
        String::from_utf8_unchecked(Vec::from_block(p, len))
    }
    fn into_block(self) -> (usize, usize) {
        self.into_bytes().into_block()
    }
    fn tell() {
        tell(Word::String);
    }
}

/// Numbers whose bytes are the same on both sides.
trait Plain: Scalar {}
macro_rules! plain {
    ($($type:ty),*) => { $(impl Plain for $type {})* };
}
plain!(i8, u8, i16, u16, i32, u32, i64, u64, isize, usize, f32, f64);

impl<T: Plain> Block for Vec<T> {
    unsafe fn from_block(p: usize, len: usize) -> Vec<T> {
        Vec::from_raw_parts(p as *mut T, len, len)
    }
    fn into_block(self) -> (usize, usize) {
        let block = Box::leak(self.into_boxed_slice());

        (block.as_mut_ptr() as usize, block.len())
    }
    fn tell() {
        tell(Word::Vector);
        tell(T::WORD);
    }
}

impl<T: Plain> Block for Box<[T]> {
    unsafe fn from_block(p: usize, len: usize) -> Box<[T]> {
        Vec::from_block(p, len).into_boxed_slice()
    }
    fn into_block(self) -> (usize, usize) {
        self.into_vec().into_block()
    }
    fn tell() {
        Vec::<T>::tell();
    }
}

/// Texts are values of the host's in an array.
impl Block for Vec<String> {
    unsafe fn from_block(p: usize, len: usize) -> Vec<String> {
        let handles = Vec::<u32>::from_block(p, len);

        handles.into_iter().map(|h| JsValue::of_handle(h).as_string().unwrap_or_default()).collect()
    }
    fn into_block(self) -> (usize, usize) {
        let handles: Vec<u32> = self.into_iter().map(|text| JsValue::from(text).into_handle()).collect();

        handles.into_block()
    }
    fn tell() {
        tell(Word::Vector);
        tell(Word::String);
    }
}

impl<T: Block> Block for Clamped<T> {
    unsafe fn from_block(p: usize, len: usize) -> Clamped<T> {
        Clamped(T::from_block(p, len))
    }
    fn into_block(self) -> (usize, usize) {
        self.0.into_block()
    }
    fn tell() {
        tell(Word::Clamped);
        T::tell();
    }
}

/// Text that is JSON: an argument or a result of any type that serde knows. For hosts that do not look it is text.
pub struct JsonText(pub String);

impl Block for JsonText {
    unsafe fn from_block(p: usize, len: usize) -> JsonText {
        JsonText(String::from_block(p, len))
    }
    fn into_block(self) -> (usize, usize) {
        self.0.into_block()
    }
    fn tell() {
        tell(Word::Clamped);
        tell(Word::String);
    }
}

macro_rules! blocks {
    ($([$($bound:tt)*] $type:ty;)*) => {
        $(
            impl<$($bound)*> Take for $type {
                type A = usize;
                type B = usize;
                type C = ();
                unsafe fn take(p: usize, len: usize, _: ()) -> $type {
                    <$type>::from_block(p, len)
                }
                fn describe() {
                    <$type>::tell();
                }
            }
            impl<$($bound)*> Give for $type {
                type A = usize;
                type B = usize;
                type C = ();
                type D = ();
                fn give(self) -> Fields<usize, usize> {
                    let (p, len) = self.into_block();
                    Fields(p, len, (), ())
                }
                fn describe() {
                    <$type>::tell();
                }
            }
            /// No pointer is None.
            impl<$($bound)*> Take for Option<$type> {
                type A = usize;
                type B = usize;
                type C = ();
                unsafe fn take(p: usize, len: usize, _: ()) -> Option<$type> {
                    if p == 0 { None } else { Some(<$type>::from_block(p, len)) }
                }
                fn describe() {
                    tell(Word::Option);
                    <$type>::tell();
                }
            }
            impl<$($bound)*> Give for Option<$type> {
                type A = usize;
                type B = usize;
                type C = ();
                type D = ();
                fn give(self) -> Fields<usize, usize> {
                    let (p, len) = self.map_or((0, 0), Block::into_block);
                    Fields(p, len, (), ())
                }
                fn describe() {
                    <Self as Take>::describe();
                }
            }
        )*
    };
}
blocks! {
    [] String;
    [] Vec<String>;
    [] Clamped<Vec<u8>>;
    [] JsonText;
    [T: Plain] Vec<T>;
    [T: Plain] Box<[T]>;
}

/// A text of the module's own is copied.
impl Give for &'static str {
    type A = usize;
    type B = usize;
    type C = ();
    type D = ();
    fn give(self) -> Fields<usize, usize> {
        self.to_string().give()
    }
    fn describe() {
        String::tell();
    }
}

// ---- Borrowed arguments: the host allocates, we free ----

impl TakeRef for str {
    type A = usize;
    type B = usize;
    type C = ();
    type Owner = String;
    unsafe fn take(p: usize, len: usize, _: ()) -> String {
        String::from_block(p, len)
    }
    fn describe() {
        tell(Word::Ref);
        tell(Word::String);
    }
}

impl<T: Plain> TakeRef for [T] {
    type A = usize;
    type B = usize;
    type C = ();
    type Owner = Vec<T>;
    unsafe fn take(p: usize, len: usize, _: ()) -> Vec<T> {
        Vec::from_block(p, len)
    }
    fn describe() {
        tell(Word::Ref);
        tell(Word::Slice);
        tell(T::WORD);
    }
}

impl TakeRef for JsValue {
    type A = u32;
    type B = ();
    type C = ();
    type Owner = std::mem::ManuallyDrop<JsValue>;
    unsafe fn take(handle: u32, _: (), _: ()) -> Self::Owner {
        std::mem::ManuallyDrop::new(JsValue::of_handle(handle))
    }
    fn describe() {
        tell(Word::Ref);
        tell(Word::Value);
    }
}

/// Gives the elements back to the host's array.
pub struct Lent<T> {
    values: Vec<T>,
    array: u32,
}

impl<T> std::ops::Deref for Lent<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.values
    }
}

impl<T> std::ops::DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        let bytes = std::mem::size_of_val(self.values.as_slice());

        // SAFETY: the host reads the elements.
        unsafe { host::__wbindgen_copy_to_typed_array(self.values.as_ptr().cast(), bytes, self.array) };
    }
}

impl<T: Plain> TakeMut for [T] {
    type A = usize;
    type B = usize;
    type C = u32;
    type Owner = Lent<T>;
    unsafe fn take(p: usize, len: usize, array: u32) -> Lent<T> {
        Lent { values: Vec::from_block(p, len), array }
    }
    fn describe() {
        tell(Word::RefMut);
        tell(Word::Slice);
        tell(T::WORD);
    }
}

// ---- Values of the host, nothing, and errors ----

impl Take for JsValue {
    type A = u32;
    type B = ();
    type C = ();
    unsafe fn take(handle: u32, _: (), _: ()) -> JsValue {
        JsValue::of_handle(handle)
    }
    fn describe() {
        tell(Word::Value);
    }
}

impl Give for JsValue {
    type A = u32;
    type B = ();
    type C = ();
    type D = ();
    fn give(self) -> Fields<u32> {
        Fields(self.into_handle(), (), (), ())
    }
    fn describe() {
        tell(Word::Value);
    }
}

impl Give for () {
    type A = ();
    type B = ();
    type C = ();
    type D = ();
    fn give(self) -> Fields<()> {
        Fields((), (), (), ())
    }
    fn describe() {
        tell(Word::Unit);
    }
}

/// The fields of the good result, then the error, then whether it is one.
impl<T, E> Give for Result<T, E>
where
    T: Give<C = (), D = ()>,
    T::A: Default,
    T::B: Default,
    E: Into<JsValue>,
{
    type A = T::A;
    type B = T::B;
    type C = u32;
    type D = u32;
    fn give(self) -> Fields<T::A, T::B, u32, u32> {
        match self {
            Ok(value) => {
                let Fields(a, b, (), ()) = value.give();
                Fields(a, b, 0, 0)
            }
            Err(e) => Fields(T::A::default(), T::B::default(), e.into().into_handle(), 1),
        }
    }
    fn describe() {
        tell(Word::Result);
        T::describe();
    }
}
