//! The host's functions as they are imported. Addresses and lengths are of this module's memory; handles are the host's numbers, 0 is
//! none. [`crate::Session`] and [`crate::Graph`] are made of them.
#![allow(clippy::too_many_arguments)]

/// Declares imports of one host module, and for other targets functions that fail: each returns what is written behind `else`.
macro_rules! imports {
    ($module:literal: $($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? $(= $failed:expr)?;)*) => {
        #[cfg(target_family = "wasm")]
        #[link(wasm_import_module = $module)]
        extern "C" {
            $($(#[$doc])* pub fn $name($($arg: $type),*) $(-> $ret)?;)*
        }
        $(
            $(#[$doc])*
            /// # Safety
            /// There is no host here: it does nothing.
            #[cfg(not(target_family = "wasm"))]
            pub unsafe fn $name($($arg: $type),*) $(-> $ret)? {
                $(let _ = $arg;)*
                $($failed)?
            }
        )*
    };
}

imports! { "ssvm_tensorflow":
    /// A frozen graph; 0: refused, and the host's log says why.
    fn ssvm_tensorflow_create_session(model: *const u8, model_len: u32) -> u64 = 0;
    /// Ends the session; 0 is ignored.
    fn ssvm_tensorflow_delete_session(session: u64);
    /// 0 when it went well.
    fn ssvm_tensorflow_run_session(session: u64) -> u32 = 1;
    /// An output that was appended and computed; it belongs to the session. 0: there is none.
    fn ssvm_tensorflow_get_output_tensor(session: u64, name: *const u8, name_len: u32, index: u32) -> u64 = 0;
    /// Its bytes; 0 for tensor 0.
    fn ssvm_tensorflow_get_tensor_len(tensor: u64) -> u32 = 0;
    /// Copies all of them.
    fn ssvm_tensorflow_get_tensor_data(tensor: u64, ret: *mut u8);
    /// The tensor is copied. `dims` are `rank` numbers of 64 bits; `element` is a number of [`crate::Element::TYPE`].
    fn ssvm_tensorflow_append_input(session: u64, name: *const u8, name_len: u32, index: u32, dims: *const i64, rank: u32, element: u32, data: *const u8, len: u32);
    /// An output to compute.
    fn ssvm_tensorflow_append_output(session: u64, name: *const u8, name_len: u32, index: u32);
    /// Forgets the inputs.
    fn ssvm_tensorflow_clear_input(session: u64);
    /// Forgets the outputs.
    fn ssvm_tensorflow_clear_output(session: u64);
}

imports! { "ssvm_tensorflowlite":
    /// A .tflite file; 0: refused, and the host's log says why.
    fn ssvm_tensorflowlite_create_session(model: *const u8, model_len: u32) -> u64 = 0;
    /// Ends the session; 0 is ignored.
    fn ssvm_tensorflowlite_delete_session(session: u64);
    /// 0 when it went well.
    fn ssvm_tensorflowlite_run_session(session: u64) -> u32 = 1;
    /// An output by its name; it belongs to the session. 0: there is none.
    fn ssvm_tensorflowlite_get_output_tensor(session: u64, name: *const u8, name_len: u32) -> u64 = 0;
    /// Its bytes; 0 for tensor 0.
    fn ssvm_tensorflowlite_get_tensor_len(tensor: u64) -> u32 = 0;
    /// Copies all of them.
    fn ssvm_tensorflowlite_get_tensor_data(tensor: u64, ret: *mut u8);
    /// Copies into the input of that name; shape and type are the model's.
    fn ssvm_tensorflowlite_append_input(session: u64, name: *const u8, name_len: u32, data: *const u8, len: u32);
}

imports! { "ssvm_image":
    /// Decodes and resizes to exactly `width` by `height` pixels of three bytes. 0 when it went well.
    fn ssvm_image_load_jpg_to_rgb8(file: *const u8, len: u32, width: u32, height: u32, ret: *mut u8) -> u32 = 1;
    /// The same with blue first.
    fn ssvm_image_load_jpg_to_bgr8(file: *const u8, len: u32, width: u32, height: u32, ret: *mut u8) -> u32 = 1;
    /// Three `f32` from 0 to 1.
    fn ssvm_image_load_jpg_to_rgb32f(file: *const u8, len: u32, width: u32, height: u32, ret: *mut u8) -> u32 = 1;
    /// The same with blue first.
    fn ssvm_image_load_jpg_to_bgr32f(file: *const u8, len: u32, width: u32, height: u32, ret: *mut u8) -> u32 = 1;
    /// As the functions for JPEG.
    fn ssvm_image_load_png_to_rgb8(file: *const u8, len: u32, width: u32, height: u32, ret: *mut u8) -> u32 = 1;
    /// As the functions for JPEG.
    fn ssvm_image_load_png_to_bgr8(file: *const u8, len: u32, width: u32, height: u32, ret: *mut u8) -> u32 = 1;
    /// As the functions for JPEG.
    fn ssvm_image_load_png_to_rgb32f(file: *const u8, len: u32, width: u32, height: u32, ret: *mut u8) -> u32 = 1;
    /// As the functions for JPEG.
    fn ssvm_image_load_png_to_bgr32f(file: *const u8, len: u32, width: u32, height: u32, ret: *mut u8) -> u32 = 1;
}
