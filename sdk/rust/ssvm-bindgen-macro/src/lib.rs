//! `#[wasm_bindgen]` for exported functions, and `#[ssvm::function]`. What they make calls the crate ssvm-bindgen, which has the rules of the ABI.
mod function;
mod options;

use proc_macro::TokenStream;
use proc_macro2::{Span, TokenStream as Tokens};
use quote::{format_ident, quote};
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{parse_macro_input, Error, FnArg, Ident, Item, ItemFn, LitStr, Path, ReturnType, Type};

use options::{Options, Spelling};

/// `#[wasm_bindgen(js_name = "other", crate = path::to::ssvm_bindgen)]`
fn read_options(input: ParseStream) -> syn::Result<Options> {
    let spelling = Spelling {
        key: "js_name",
        unknown: |key| format!("'{key}' needs a JavaScript host; js_name and crate do not"),
        name: |input| {
            if input.peek(LitStr) {
                return input.parse();
            }
            let name: Ident = input.parse()?;
            Ok(LitStr::new(&name.to_string(), name.span()))
        },
    };

    Options::parse(input, syn::parse_quote!(::wasm_bindgen), &spelling)
}

/// How one argument comes in: the parameters of the export, the statement that makes the value, its descriptor, what is passed on.
struct Argument {
    params: Tokens,
    take: Tokens,
    describe: Tokens,
    value: Tokens,
}

fn argument(path: &Path, i: usize, t: &Type) -> Argument {
    let (a, b, c, x) = (format_ident!("a{i}"), format_ident!("b{i}"), format_ident!("c{i}"), format_ident!("x{i}"));
    let (of, inner, value) = match t {
        Type::Reference(r) if r.mutability.is_some() => ("TakeMut", &*r.elem, quote!(&mut #x)),
        Type::Reference(r) => ("TakeRef", &*r.elem, quote!(&#x)),
        _ => ("Take", t, quote!(#x)),
    };
    let mutable = if of == "TakeMut" { quote!(mut) } else { quote!() };
    let of = Ident::new(of, Span::call_site());
    let of = quote!(<#inner as #path::abi::#of>);
    Argument {
        params: quote!(#a: #of::A, #b: #of::B, #c: #of::C),
        take: quote!(let #mutable #x = #of::take(#a, #b, #c);),
        describe: quote!(#of::describe();),
        value,
    }
}

fn check(f: &ItemFn) -> syn::Result<()> {
    let sig = &f.sig;

    if let Some(t) = &sig.asyncness {
        return Err(Error::new(t.span(), "an async function needs a JavaScript host"));
    }
    if !sig.generics.params.is_empty() {
        return Err(Error::new(sig.generics.span(), "an exported function has no type parameters and no named lifetimes"));
    }
    Ok(())
}

fn export(options: &Options, f: &ItemFn) -> syn::Result<Tokens> {
    check(f)?;
    let path = &options.path;
    let name = &f.sig.ident;
    let exported = options.name.as_ref().map_or_else(|| name.to_string(), LitStr::value);
    let describe = format!("__wbindgen_describe_{exported}");
    let result = match &f.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, t) => quote!(#t),
    };
    let mut arguments = Vec::new();

    for (i, input) in f.sig.inputs.iter().enumerate() {
        match input {
            FnArg::Typed(t) => arguments.push(argument(path, i, &t.ty)),
            FnArg::Receiver(r) => return Err(Error::new(r.span(), "methods need a JavaScript host: export a function")),
        }
    }
    let count = arguments.len() as u32;
    let params = arguments.iter().map(|a| &a.params);
    let takes = arguments.iter().map(|a| &a.take);
    let describes = arguments.iter().map(|a| &a.describe);
    let values = arguments.iter().map(|a| &a.value);
    Ok(quote! {
        #f
        #[cfg(target_family = "wasm")]
        const _: () = {
            #[export_name = #exported]
            #[allow(improper_ctypes_definitions, clippy::missing_safety_doc)]
            pub unsafe extern "C" fn __ssvm_export(#(#params),*) -> #path::abi::Area<#result> {
                #(#takes)*
                <#result as #path::abi::Give>::give(#name(#(#values),*))
            }
            #[export_name = #describe]
            pub extern "C" fn __ssvm_describe() {
                #path::abi::tell_function(#count);
                #(#describes)*
                <#result as #path::abi::Give>::describe();
                <#result as #path::abi::Give>::describe();
            }
            #[link_section = "__wasm_bindgen_unstable"]
            static SECTION: [u8; #path::abi::SECTION.len()] = #path::abi::SECTION;
        };
    })
}

/// Lets the host call the function with strings, bytes and numbers.
#[proc_macro_attribute]
pub fn wasm_bindgen(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options with read_options);
    let item = parse_macro_input!(item as Item);
    let made = match &item {
        Item::Fn(f) => export(&options, f),
        Item::ForeignMod(f) => Err(Error::new(f.span(), "functions of JavaScript are not here; println! and eprintln! are")),
        other => Err(Error::new(other.span(), "only functions can be exported without a JavaScript host")),
    };
    made.unwrap_or_else(|e| e.to_compile_error()).into()
}

/// Lets the host call the function with strings, bytes, numbers and JSON. The crate `ssvm` has it as `#[ssvm::function]`.
#[proc_macro_attribute]
pub fn function(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options with function::options);
    let item = parse_macro_input!(item as Item);

    function::expand(&options, &item).into()
}
