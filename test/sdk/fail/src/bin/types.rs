//! Types that serde does not know, and errors that have no text: the compiler's own words, at the place of the type.
pub struct Opaque;
#[derive(serde::Serialize)]
pub struct OneWay;

#[ssvm::function]
pub fn take(x: Opaque) {} //~ `Opaque`: the trait bound `Opaque: serde::de::DeserializeOwned` is not satisfied

#[ssvm::function]
pub fn take_many(x: &[OneWay]) {} //~ `OneWay`: the trait bound `OneWay: serde::Deserialize<'de>` is not satisfied

#[ssvm::function]
pub fn give() -> Opaque { //~ `Opaque`: the trait bound `Opaque: serde::Serialize` is not satisfied
    Opaque
}

#[ssvm::function]
pub fn maybe() -> Option<Opaque> { //~ `Opaque`: the trait bound `Opaque: serde::Serialize` is not satisfied
    None
}

#[ssvm::function]
pub fn fails() -> Result<u32, Opaque> { //~ `Opaque`: `Opaque` doesn't implement `std::fmt::Display`
    Err(Opaque)
}

fn main() {}
