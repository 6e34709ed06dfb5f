/// Declares imports of the host, and for other targets functions that refuse: programs can be checked and tested everywhere.
macro_rules! imports {
    (from $module:literal, elsewhere $refused:expr; $($(#[$doc:meta])* fn $name:ident = $import:literal($($arg:ident: $type:ty),*) $(-> $ret:ty)?;)*) => {
        #[cfg(target_family = "wasm")]
        #[link(wasm_import_module = $module)]
        extern "C" {
            $(
                $(#[$doc])*
                #[link_name = $import]
                pub fn $name($($arg: $type),*) $(-> $ret)?;
            )*
        }
        $(
            $(#[$doc])*
            #[cfg(not(target_family = "wasm"))]
            pub unsafe fn $name($(_: $type),*) $(-> $ret)? {
                $($refused as $ret)?
            }
        )*
    };
}
