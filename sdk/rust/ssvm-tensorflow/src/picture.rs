//! Decoding and resizing by the host: faster than in the guest, and without a decoder in the module. JPEG and PNG; transparency is
//! dropped; the picture is stretched to exactly the size that is asked for.
use crate::graph::Error;
use crate::raw;

const CHANNELS: usize = 3;

/// What each pixel becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

fn is_png(file: &[u8]) -> bool {
    file.starts_with(b"\x89PNG")
}

fn count(width: u32, height: u32) -> Result<usize, Error> {
    let pixels = (width as usize).checked_mul(height as usize);

    // 32-bit memories hold no more than this many floats.
    pixels.and_then(|n| n.checked_mul(CHANNELS)).filter(|n| *n > 0 && *n <= u32::MAX as usize / 4).ok_or(Error::Picture)
}

/// Three bytes a pixel, row by row.
pub fn decode_u8(file: &[u8], width: u32, height: u32, order: Order) -> Result<Vec<u8>, Error> {
    let mut pixels = vec![0; count(width, height)?];
    let (p, len, ret) = (file.as_ptr(), file.len() as u32, pixels.as_mut_ptr());
    // SAFETY: the host reads the file and writes width * height * 3 bytes.
    let status = unsafe {
        match (is_png(file), order) {
            (false, Order::Rgb) => raw::ssvm_image_load_jpg_to_rgb8(p, len, width, height, ret),
            (false, Order::Bgr) => raw::ssvm_image_load_jpg_to_bgr8(p, len, width, height, ret),
            (true, Order::Rgb) => raw::ssvm_image_load_png_to_rgb8(p, len, width, height, ret),
            (true, Order::Bgr) => raw::ssvm_image_load_png_to_bgr8(p, len, width, height, ret),
        }
    };
    if status == 0 { Ok(pixels) } else { Err(Error::Picture) }
}

/// Three numbers from 0 to 1 a pixel, row by row.
pub fn decode_f32(file: &[u8], width: u32, height: u32, order: Order) -> Result<Vec<f32>, Error> {
    let mut pixels = vec![0f32; count(width, height)?];
    let (p, len, ret) = (file.as_ptr(), file.len() as u32, pixels.as_mut_ptr().cast());
    // SAFETY: the host reads the file and writes width * height * 3 floats.
    let status = unsafe {
        match (is_png(file), order) {
            (false, Order::Rgb) => raw::ssvm_image_load_jpg_to_rgb32f(p, len, width, height, ret),
            (false, Order::Bgr) => raw::ssvm_image_load_jpg_to_bgr32f(p, len, width, height, ret),
            (true, Order::Rgb) => raw::ssvm_image_load_png_to_rgb32f(p, len, width, height, ret),
            (true, Order::Bgr) => raw::ssvm_image_load_png_to_bgr32f(p, len, width, height, ret),
        }
    };
    if status == 0 { Ok(pixels) } else { Err(Error::Picture) }
}

macro_rules! load {
    ($($name:ident -> $element:ty, $host:ident;)*) => {
        $(
            /// As in ssvm_tensorflow_interface: all zeros when the picture cannot be decoded.
            ///
            /// # Panics
            /// When the size has no room in memory.
            pub fn $name(img_buf: &[u8], w: u32, h: u32) -> Vec<$element> {
                let mut pixels = vec![<$element>::default(); count(w, h).expect("size of a picture")];
                // SAFETY: the host reads the file and writes w * h * 3 elements.
                unsafe { raw::$host(img_buf.as_ptr(), img_buf.len() as u32, w, h, pixels.as_mut_ptr().cast()) };
                pixels
            }
        )*
    };
}
load! {
    load_jpg_image_to_rgb8 -> u8, ssvm_image_load_jpg_to_rgb8;
    load_jpg_image_to_bgr8 -> u8, ssvm_image_load_jpg_to_bgr8;
    load_jpg_image_to_rgb32f -> f32, ssvm_image_load_jpg_to_rgb32f;
    load_jpg_image_to_bgr32f -> f32, ssvm_image_load_jpg_to_bgr32f;
    load_png_image_to_rgb8 -> u8, ssvm_image_load_png_to_rgb8;
    load_png_image_to_bgr8 -> u8, ssvm_image_load_png_to_bgr8;
    load_png_image_to_rgb32f -> f32, ssvm_image_load_png_to_rgb32f;
    load_png_image_to_bgr32f -> f32, ssvm_image_load_png_to_bgr32f;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked() {
        assert_eq!(count(2, 3), Ok(18));
        assert!(count(0, 3).is_err());
        assert!(count(65535, 65535).is_err());
    }

    #[test]
    fn without_a_host_nothing_is_decoded() {
        assert_eq!(decode_u8(b"", 1, 1, Order::Rgb), Err(Error::Picture));
        assert_eq!(load_png_image_to_bgr8(b"", 1, 1), [0, 0, 0]);
    }
}
