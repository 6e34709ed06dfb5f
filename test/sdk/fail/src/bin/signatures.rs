//! Functions that cannot be exported. Behind each mistake: where the compiler puts it (a part of the line), and what it says.
#[ssvm::function]
pub async fn later() {} //~ `async`: an exported function is not async: nothing would run it

#[ssvm::function]
pub unsafe fn risky() {} //~ `unsafe`: an exported function is safe: its arguments come from anybody

#[ssvm::function]
pub fn any<T: Copy>(x: T) {} //~ `T: Copy`: an exported function has no type parameters: which one would the caller mean?

#[ssvm::function]
pub fn which(x: impl Copy, y: *const u8) {} //~ `impl Copy`: an exported function says which type it is
//~^ `*const u8`: a pointer means nothing outside of the module

#[ssvm::function]
pub fn boxed(x: &dyn Send) {} //~ `dyn Send`: a trait object has no values that could come from outside, or go there

#[ssvm::function]
pub fn callback(f: fn(u32) -> u32) {} //~ `fn(u32) -> u32`: a function cannot be passed to or from a host

#[ssvm::function]
pub fn empty(x: ()) {} //~ `()`: an argument that is () is none: leave it out

#[ssvm::function]
pub fn change(x: &mut String) {} //~ `&mut String`: behind &mut there is a slice of numbers, which the caller has back; or return the value

#[ssvm::function]
pub fn lent(x: Vec<&str>) {} //~ `&`: what borrows cannot be made of JSON: write a type that owns, such as String or Vec

#[ssvm::function]
pub fn lent_for<'a>(x: std::borrow::Cow<'a, str>) {} //~ `'a`: what borrows cannot be made of JSON: write a type that owns, such as String or Vec

#[ssvm::function]
pub fn first(x: &str) -> &str { //~ `&`: a result is not borrowed: write a type that owns, such as String or Vec, or &'static str
    x
}

#[ssvm::function]
pub fn never() -> ! { //~ `!`: a function that never returns has no result
    loop {}
}

#[ssvm::function]
pub fn hidden() -> impl Copy { //~ `impl Copy`: an exported function says which type it is
    1
}

#[ssvm::function]
pub fn format() -> std::fmt::Result { //~ `std::fmt::Result`: write what it is when all is well: Result<T, E>, or Result<T> of a crate's own
    Ok(())
}

#[ssvm::function]
struct Thing; //~ `struct Thing;`: a type is not exported: derive serde's Serialize and Deserialize, and functions carry it as JSON

#[ssvm::function]
const N: u32 = 1; //~ `const N: u32 = 1;`: only functions can be exported

impl Thing {
    #[ssvm::function]
    pub fn method(&self) {} //~ `&self`: a method cannot be exported: write a function
}

#[ssvm::function(js_name = "x")] //~ `js_name`: there is no option 'js_name': name = "..." and crate = ... are all
pub fn options() {}

#[ssvm::function(name = "")] //~ `""`: this is no name for a function
pub fn unnamed() {}

fn main() {}
