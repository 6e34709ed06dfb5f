//! `#[ssvm::function]`: what `#[wasm_bindgen]` has, and types of serde as JSON. A type is known by how it is written.
use proc_macro2::{Span, TokenStream as Tokens, TokenTree};
use quote::{format_ident, quote, quote_spanned, ToTokens};
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Error, FnArg, GenericArgument, GenericParam, Item, ItemFn, LitStr, Pat, Path, PathArguments, ReturnType, Type};

use crate::options::{Options, Spelling};

/// `#[ssvm::function(name = "other", crate = path::to::ssvm)]`
pub fn options(input: ParseStream) -> syn::Result<Options> {
    let spelling = Spelling {
        key: "name",
        unknown: |key| format!("there is no option '{key}': name = \"...\" and crate = ... are all"),
        name: |input| named(input.parse()?),
    };

    Options::parse(input, syn::parse_quote!(::ssvm), &spelling)
}

fn named(name: LitStr) -> syn::Result<LitStr> {
    if name.value().is_empty() || name.value().contains('\0') {
        return Err(Error::new_spanned(&name, "this is no name for a function"));
    }
    Ok(name)
}

// ---- Types ----

const NUMBERS: [&str; 12] = ["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "isize", "usize", "f32", "f64"];

/// How a type is carried.
enum Shape<'a> {
    Plain,             // as it is
    Json,              // as text
    OptionOf(&'a Type), // of one of the two above
}

/// The type is a path whose last word is this, with so many types behind it.
fn generic<'a>(t: &'a Type, word: &str) -> Option<Vec<&'a Type>> {
    let Type::Path(p) = t else { return None };
    let last = p.path.segments.last().filter(|s| s.ident == word)?;

    match &last.arguments {
        PathArguments::None => Some(Vec::new()),
        PathArguments::AngleBracketed(a) => {
            Some(a.args.iter().filter_map(|g| if let GenericArgument::Type(t) = g { Some(t) } else { None }).collect())
        }
        PathArguments::Parenthesized(_) => None,
    }
}

fn is_word(t: &Type, words: &[&str]) -> bool {
    matches!(t, Type::Path(p) if p.path.segments.last().is_some_and(|s| s.arguments.is_none() && words.iter().any(|w| s.ident == w)))
}

fn is_unit(t: &Type) -> bool {
    matches!(t, Type::Tuple(tuple) if tuple.elems.is_empty())
}

fn is_plain(t: &Type) -> bool {
    if is_word(t, &NUMBERS) || is_word(t, &["bool", "char", "String", "JsValue"]) {
        return true;
    }
    match (generic(t, "Vec").as_deref(), generic(t, "Box").as_deref()) {
        (Some([of]), _) => is_word(of, &NUMBERS) || is_word(of, &["String"]),
        (_, Some([Type::Slice(of)])) => is_word(&of.elem, &NUMBERS),
        _ => false,
    }
}

/// What stands between types and the outside.
fn check_type(t: &Type) -> syn::Result<()> {
    let why = match t {
        Type::ImplTrait(_) | Type::Infer(_) => "an exported function says which type it is",
        Type::TraitObject(_) => "a trait object has no values that could come from outside, or go there",
        Type::Ptr(_) => "a pointer means nothing outside of the module",
        Type::BareFn(_) => "a function cannot be passed to or from a host",
        Type::Never(_) => "a function that never returns has no result",
        Type::Macro(_) | Type::Verbatim(_) => "write the type itself",
        Type::Slice(_) => "a slice is behind &, or write Vec",
        Type::Paren(p) => return check_type(&p.elem),
        Type::Group(g) => return check_type(&g.elem),
        _ => return Ok(()),
    };
    Err(Error::new_spanned(&t, why))
}

/// Where tokens of a type borrow from somebody else than the module itself.
fn borrowed(tokens: Tokens) -> Option<Span> {
    let mut before: Option<Span> = None; // of a `&` or `'`
    let mut tick = false;

    for token in tokens {
        match &token {
            TokenTree::Punct(p) if p.as_char() == '\'' => (before, tick) = (before.or(Some(p.span())), true),
            TokenTree::Ident(i) if tick => {
                if i != "static" {
                    return before;
                }
                (before, tick) = (None, false);
            }
            _ if before.is_some() => return before,
            TokenTree::Punct(p) if p.as_char() == '&' => before = Some(p.span()),
            TokenTree::Group(g) => {
                if let Some(span) = borrowed(g.stream()) {
                    return Some(span);
                }
            }
            _ => {}
        }
    }
    before
}

fn shape(t: &Type) -> syn::Result<Shape<'_>> {
    check_type(t)?;
    if is_plain(t) {
        return Ok(Shape::Plain);
    }
    if let Some([of]) = generic(t, "Option").as_deref() {
        check_type(of)?;
        if generic(of, "Option").is_none() && generic(of, "Result").is_none() && !is_unit(of) {
            return Ok(Shape::OptionOf(of));
        }
    }
    Ok(Shape::Json)
}

// ---- Arguments ----

/// How one argument comes in: the parameters of the export, the statements that make the value, its descriptor, what is passed on.
struct Argument {
    params: Tokens,
    take: Tokens,
    describe: Tokens,
    value: Tokens,
    json: bool,
}

/// What all arguments are made with.
struct Site<'a> {
    path: &'a Path,
    function: String,
    error: Tokens, // `return` with the JsValue `e`
}

impl Site<'_> {
    /// An argument that the trait takes; `json` turns the text `x` into the value.
    fn argument(&self, i: usize, of: Tokens, pass: Tokens, json: Option<Tokens>) -> Argument {
        let (a, b, c, x) = (format_ident!("__a{i}"), format_ident!("__b{i}"), format_ident!("__c{i}"), format_ident!("__x{i}"));
        let error = &self.error;
        let read = json.as_ref().map(|read| quote!(let #x = match #read { Ok(value) => value, Err(e) => #error };));

        Argument {
            params: quote!(#a: #of::A, #b: #of::B, #c: #of::C),
            take: quote!(#[allow(unused_mut)] let mut #x = unsafe { #of::take(#a, #b, #c) }; #read),
            describe: quote!(#of::describe();),
            value: pass,
            json: json.is_some(),
        }
    }

    fn owned(&self, i: usize, name: &str, t: &Type, pass: Tokens) -> syn::Result<Argument> {
        let path = self.path;
        let x = format_ident!("__x{i}");
        let (function, number) = (&self.function, i + 1);

        if is_unit(t) {
            return Err(Error::new_spanned(&t, "an argument that is () is none: leave it out"));
        }
        let shape = shape(t)?;
        let json = |of: &Type| {
            if let Some(span) = borrowed(of.to_token_stream()) {
                return Err(Error::new(span, "what borrows cannot be made of JSON: write a type that owns, such as String or Vec"));
            }
            Ok(quote_spanned!(of.span()=> #path::abi::from_json::<#of>))
        };
        Ok(match shape {
            Shape::Plain => self.argument(i, quote_spanned!(t.span()=> <#t as #path::abi::Take>), pass, None),
            Shape::OptionOf(of) => match of {
                Type::Reference(r) if r.mutability.is_none() && is_word(&r.elem, &["str"]) => {
                    self.argument(i, quote!(<Option<String> as #path::abi::Take>), quote!(#x.as_deref()), None)
                }
                _ if is_plain(of) => self.argument(i, quote_spanned!(t.span()=> <#t as #path::abi::Take>), pass, None),
                _ => {
                    let read = json(of)?;
                    let read = quote!(#path::abi::from_option(#x, #read, #function, #number, #name));
                    self.argument(i, quote!(<Option<#path::abi::JsonText> as #path::abi::Take>), pass, Some(read))
                }
            },
            Shape::Json => {
                let read = json(t)?;
                let read = quote!(#read(#x, #function, #number, #name));
                self.argument(i, quote!(<#path::abi::JsonText as #path::abi::Take>), pass, Some(read))
            }
        })
    }

    fn typed(&self, i: usize, name: &str, t: &Type) -> syn::Result<Argument> {
        let path = self.path;
        let x = format_ident!("__x{i}");
        let Type::Reference(r) = t else { return self.owned(i, name, t, quote!(#x)) };
        let elem = &*r.elem;
        let lent = matches!(elem, Type::Slice(s) if is_word(&s.elem, &NUMBERS));

        if r.mutability.is_some() {
            if !lent {
                return Err(Error::new_spanned(&t, "behind &mut there is a slice of numbers, which the caller has back; or return the value"));
            }
            return Ok(self.argument(i, quote_spanned!(t.span()=> <#elem as #path::abi::TakeMut>), quote!(&mut #x), None));
        }
        if lent || is_word(elem, &["str", "JsValue"]) {
            return Ok(self.argument(i, quote_spanned!(t.span()=> <#elem as #path::abi::TakeRef>), quote!(&#x), None));
        }
        match elem {
            Type::Slice(s) => {
                let of = &s.elem;
                let vec: Type = syn::parse_quote_spanned!(of.span()=> Vec<#of>);
                self.owned(i, name, &vec, quote!(&#x))
            }
            _ => self.owned(i, name, elem, quote!(&#x)),
        }
    }
}

// ---- Results ----

/// A result: its type on the way, and the expression that makes it of `value`.
struct Answer {
    carried: Tokens,
    make: Tokens,
    json: bool,
}

fn result(site: &Site, t: Option<&Type>) -> syn::Result<Answer> {
    let path = site.path;
    let error = &site.error;
    let plain = |carried: Tokens| Answer { carried, make: quote!(value), json: false };

    let Some(t) = t.filter(|t| !is_unit(t)) else { return Ok(plain(quote!(()))) };
    let shape = shape(t)?;
    if let Some(span) = borrowed(t.to_token_stream()) {
        return Err(Error::new(span, "a result is not borrowed: write a type that owns, such as String or Vec, or &'static str"));
    }
    if matches!(t, Type::Reference(r) if is_word(&r.elem, &["str"])) {
        return Ok(plain(quote!(#t)));
    }
    let text = quote!(#path::abi::JsonText);
    let to_json = |of: &Type| quote_spanned!(of.span()=> #path::abi::to_json::<#of>);
    Ok(match shape {
        Shape::Plain => plain(quote_spanned!(t.span()=> #t)),
        Shape::OptionOf(of) if is_plain(of) => plain(quote_spanned!(t.span()=> #t)),
        Shape::OptionOf(of) => {
            let write = to_json(of);
            let make = quote!(match &value { Some(value) => match #write(value) { Ok(text) => Some(text), Err(e) => #error }, None => None });
            Answer { carried: quote!(Option<#text>), make, json: true }
        }
        Shape::Json => {
            let write = to_json(t);
            Answer { carried: text, make: quote!(match #write(&value) { Ok(text) => text, Err(e) => #error }), json: true }
        }
    })
}

/// The type of the good result, if there is one, and whether there is a bad one.
fn good(output: &ReturnType) -> syn::Result<(Option<&Type>, bool)> {
    let ReturnType::Type(_, t) = output else { return Ok((None, false)) };

    match generic(t, "Result").as_deref() {
        None => Ok((Some(t), false)),
        Some([of, ..]) => Ok((Some(of), true)),
        Some([]) => Err(Error::new_spanned(&t, "write what it is when all is well: Result<T, E>, or Result<T> of a crate's own")),
    }
}

// ---- The function ----

fn check(f: &ItemFn) -> syn::Result<()> {
    let sig = &f.sig;

    if let Some(t) = &sig.asyncness {
        return Err(Error::new_spanned(&t, "an exported function is not async: nothing would run it"));
    }
    if let Some(t) = &sig.unsafety {
        return Err(Error::new_spanned(&t, "an exported function is safe: its arguments come from anybody"));
    }
    for p in &sig.generics.params {
        if !matches!(p, GenericParam::Lifetime(_)) {
            return Err(Error::new_spanned(&p, "an exported function has no type parameters: which one would the caller mean?"));
        }
    }
    Ok(())
}

fn arguments(site: &Site, f: &ItemFn) -> syn::Result<Vec<Argument>> {
    let mut arguments = Vec::new();
    let mut wrong: Option<Error> = None;

    for (i, input) in f.sig.inputs.iter().enumerate() {
        let made = match input {
            FnArg::Receiver(r) => Err(Error::new_spanned(&r, "a method cannot be exported: write a function")),
            FnArg::Typed(t) => {
                let name = if let Pat::Ident(p) = &*t.pat { p.ident.to_string() } else { String::new() };
                site.typed(i, &name, &t.ty)
            }
        };
        match (made, &mut wrong) {
            (Ok(argument), _) => arguments.push(argument),
            (Err(e), Some(all)) => all.combine(e),
            (Err(e), none) => *none = Some(e),
        }
    }
    wrong.map_or(Ok(arguments), Err)
}

fn export(options: &Options, f: &ItemFn) -> syn::Result<Tokens> {
    check(f)?;
    let path = &options.path;
    let name = &f.sig.ident;
    let exported = options.name.as_ref().map_or_else(|| name.to_string().trim_start_matches("r#").to_string(), LitStr::value);
    let describe = format!("__wbindgen_describe_{exported}");
    let error = quote!(return #path::abi::Give::give(Err::<__Good, #path::abi::JsValue>(e)));
    let site = Site { path, function: exported.clone(), error };
    let arguments = arguments(&site, f)?;
    let (t, has_error) = good(&f.sig.output)?;
    let answer = result(&site, t)?;
    let fallible = has_error || answer.json || arguments.iter().any(|a| a.json);
    let carried = &answer.carried;
    let returned = if fallible { quote!(Result<__Good, #path::abi::JsValue>) } else { quote!(__Good) };
    let count = arguments.len() as u32;
    let params = arguments.iter().map(|a| &a.params);
    let takes = arguments.iter().map(|a| &a.take);
    let describes = arguments.iter().map(|a| &a.describe);
    let values = arguments.iter().map(|a| &a.value);
    let site_error = &site.error;
    let of_error = match &f.sig.output {
        ReturnType::Type(_, t) => generic(t, "Result").and_then(|of| of.get(1).map(|e| e.span())).unwrap_or_else(|| t.span()),
        ReturnType::Default => Span::call_site(),
    };
    let unwrap = has_error.then(|| {
        let text = quote_spanned!(of_error=> #path::abi::error(&e));
        quote!(let value = match value { Ok(value) => value, Err(e) => { let e = #text; #site_error } };)
    });
    let make = &answer.make;
    let give = if fallible { quote!(Ok(#make)) } else { quote!(#make) };
    Ok(quote! {
        #f
        #[allow(improper_ctypes_definitions, clippy::missing_safety_doc, clippy::all, unused_unsafe, unsafe_op_in_unsafe_fn, dead_code)]
        const _: () = {
            type __Good = #carried;
            #[cfg_attr(target_family = "wasm", export_name = #exported)]
            pub unsafe extern "C" fn __ssvm_export(#(#params),*) -> #path::abi::Area<#returned> {
                #(#takes)*
                #[allow(clippy::let_unit_value)]
                let value = #name(#(#values),*);
                #unwrap
                <#returned as #path::abi::Give>::give(#give)
            }
            #[cfg_attr(target_family = "wasm", export_name = #describe)]
            pub extern "C" fn __ssvm_describe() {
                #path::abi::tell_function(#count);
                #(#describes)*
                <#returned as #path::abi::Give>::describe();
                <#returned as #path::abi::Give>::describe();
            }
            #[cfg_attr(target_family = "wasm", link_section = "__wasm_bindgen_unstable")]
            static __SSVM_SECTION: [u8; #path::abi::SECTION.len()] = #path::abi::SECTION;
        };
    })
}

/// The item with what exports it, or with what is wrong: the function itself stays, so that there are no other errors.
pub fn expand(options: &Options, item: &Item) -> Tokens {
    let made = match item {
        Item::Fn(f) => export(options, f),
        Item::Struct(_) | Item::Enum(_) => {
            Err(Error::new_spanned(&item, "a type is not exported: derive serde's Serialize and Deserialize, and functions carry it as JSON"))
        }
        other => Err(Error::new_spanned(&other, "only functions can be exported")),
    };

    made.unwrap_or_else(|e| {
        let e = e.to_compile_error();
        quote!(#item #e)
    })
}
