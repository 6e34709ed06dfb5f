//! Functions on pictures: PNG or JPEG in, PNG out. The same input always gives the same bytes.
//!
//! Called as POST /f/image/NAME with the picture as the body; further arguments are in the query string.
mod font;

use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::{imageops, DynamicImage, ImageEncoder, ImageReader, Limits, Rgba, RgbaImage};
use std::io::Cursor;
use wasm_bindgen::prelude::*;

/// The longest side of a picture that is taken.
const SIDE_MAX: u32 = 6000;
/// Bytes that decoding may allocate.
const DECODE_MAX: u64 = 128 << 20;

fn decode(bytes: &[u8]) -> Result<RgbaImage, JsValue> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| JsValue::from_str(&e.to_string()))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODE_MAX);
    reader.limits(limits);
    match reader.decode() {
        Ok(picture) => Ok(picture.into_rgba8()),
        Err(e) => Err(JsValue::from_str(&e.to_string())),
    }
}

/// Pictures without transparency lose the channel; fast compression, since this is for a page and not for an archive.
fn encode(picture: RgbaImage) -> Result<Vec<u8>, JsValue> {
    let mut out = Vec::new();
    let opaque = picture.pixels().all(|p| p.0[3] == 255);
    let picture = if opaque {
        DynamicImage::ImageRgb8(DynamicImage::ImageRgba8(picture).into_rgb8())
    } else {
        DynamicImage::ImageRgba8(picture)
    };
    PngEncoder::new_with_quality(&mut out, CompressionType::Fast, PngFilter::Sub)
        .write_image(picture.as_bytes(), picture.width(), picture.height(), picture.color().into())
        .map_err(|e| JsValue::from_str(&e.to_string()))?;
    Ok(out)
}

/// Rec. 709 luma; transparency stays.
#[wasm_bindgen]
pub fn grayscale(picture: &[u8]) -> Result<Vec<u8>, JsValue> {
    let mut p = decode(picture)?;
    for Rgba([r, g, b, _]) in p.pixels_mut() {
        let y = ((2126 * u32::from(*r) + 7152 * u32::from(*g) + 722 * u32::from(*b) + 5000) / 10000) as u8;
        (*r, *g, *b) = (y, y, y);
    }
    encode(p)
}

/// Left becomes right.
#[wasm_bindgen]
pub fn flip(picture: &[u8]) -> Result<Vec<u8>, JsValue> {
    encode(imageops::flip_horizontal(&decode(picture)?))
}

/// A quarter turn clockwise.
#[wasm_bindgen]
pub fn rotate(picture: &[u8]) -> Result<Vec<u8>, JsValue> {
    encode(imageops::rotate90(&decode(picture)?))
}

/// At most `side` pixels wide and high, in the same proportions; never larger than it was.
#[wasm_bindgen]
pub fn thumbnail(picture: &[u8], side: u32) -> Result<Vec<u8>, JsValue> {
    let p = decode(picture)?;
    let side = side.clamp(1, SIDE_MAX);
    if p.width() <= side && p.height() <= side {
        return encode(p);
    }
    encode(DynamicImage::ImageRgba8(p).thumbnail(side, side).into_rgba8())
}

/// A band along the lower edge with `text` in it.
#[wasm_bindgen]
pub fn watermark(picture: &[u8], text: &str) -> Result<Vec<u8>, JsValue> {
    let mut p = decode(picture)?;
    font::write_band(&mut p, text);
    encode(p)
}
