//! What stands in the brackets of both attributes: a name for the host, and where the crate is.
use syn::parse::ParseStream;
use syn::{Error, Ident, LitStr, Path, Token};

pub struct Options {
    pub name: Option<LitStr>,
    pub path: Path,
}

/// What an attribute calls the name, what it says of other options, and what may stand behind `=`.
pub struct Spelling {
    pub key: &'static str,
    pub unknown: fn(&Ident) -> String,
    pub name: fn(ParseStream) -> syn::Result<LitStr>,
}

impl Options {
    pub fn parse(input: ParseStream, path: Path, spelling: &Spelling) -> syn::Result<Options> {
        let mut options = Options { name: None, path };

        while !input.is_empty() {
            if input.peek(Token![crate]) {
                input.parse::<Token![crate]>()?;
                input.parse::<Token![=]>()?;
                options.path = input.parse()?;
            } else {
                let key: Ident = input.parse()?;
                if key != spelling.key {
                    return Err(Error::new_spanned(&key, (spelling.unknown)(&key)));
                }
                input.parse::<Token![=]>()?;
                options.name = Some((spelling.name)(input)?);
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}
