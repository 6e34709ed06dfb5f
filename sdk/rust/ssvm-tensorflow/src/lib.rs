//! TensorFlow and picture decoding for WebAssembly guests.
//!
//! [`Session`] and the `load_*` functions have the names and signatures of the crate `ssvm_tensorflow_interface` 0.1: calls are chained,
//! and what fails gives an empty vector, or one of zeros. [`Graph`], [`Tensor`] and [`picture`] do the same with errors and checked shapes.
//!
//! The host's functions are in one module, [`raw`]. Compiled for anything but WebAssembly all of them fail, so that programs which use
//! this crate can be checked and tested everywhere.
#![warn(missing_docs)]

mod element;
mod graph;
pub mod picture;
pub mod raw;
mod session;

pub use element::Element;
pub use graph::{Error, Graph, Run, Tensor};
pub use picture::{
    load_jpg_image_to_bgr32f, load_jpg_image_to_bgr8, load_jpg_image_to_rgb32f, load_jpg_image_to_rgb8,
    load_png_image_to_bgr32f, load_png_image_to_bgr8, load_png_image_to_rgb32f, load_png_image_to_rgb8,
};
pub use session::{ModelType, Session};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
