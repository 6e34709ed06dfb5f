//! Bytes to pixels, with a sentence for each thing that can be wrong. What would not fit into a call's memory is refused by its
//! header.
use image::codecs::{jpeg::JpegDecoder, png::PngDecoder};
use image::{imageops, DynamicImage, ImageDecoder, ImageFormat, RgbImage};
use std::io::Cursor;

use crate::orientation;

/// Of decoded pixels: with the decoder's own needs below the 256 MiB that a call may have.
const DECODED_MAX: u64 = 72 << 20;
/// Sides beyond this are decoded at a half, a quarter or an eighth, which a JPEG allows: the network sees 224 pixels.
const SIDE_WANTED: u16 = 2048;
/// Of a JPEG before it is scaled down: its coefficients may all be in memory, and decoding takes its time before code is native.
const JPEG_PIXELS_MAX: u64 = 26_000_000;

pub struct Picture {
    pub pixels: RgbImage,
    /// As the file has it, before it is turned.
    pub width: u32,
    pub height: u32,
    /// 1 to 8, as Exif counts.
    pub orientation: u16,
}

fn too_large(width: u32, height: u32) -> String {
    format!("the picture is too large: {width} by {height} pixels; send a smaller one")
}

fn read<'a, D: ImageDecoder<'a>>(decoder: D, size: (u32, u32)) -> Result<RgbImage, String> {
    if decoder.total_bytes() > DECODED_MAX {
        return Err(too_large(size.0, size.1));
    }
    match DynamicImage::from_decoder(decoder) {
        Ok(picture) => Ok(picture.into_rgb8()),
        Err(e) => Err(format!("the picture is damaged: {e}")),
    }
}

/// The frame header says how many colours a JPEG has. Four are for printing, in several conventions that the decoder does not tell
/// apart.
fn is_for_print(jpeg: &[u8]) -> bool {
    let mut at = 2;

    while let Some(&[0xff, marker, high, low]) = jpeg.get(at..at + 4) {
        let is_frame = (0xc0..=0xcf).contains(&marker) && ![0xc4, 0xc8, 0xcc].contains(&marker);
        if is_frame {
            return jpeg.get(at + 9) == Some(&4);
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    false
}

fn decode_jpeg(bytes: &[u8]) -> Result<Picture, String> {
    if is_for_print(bytes) {
        return Err("the picture has four colours (CMYK, for printing): save it as RGB".into());
    }
    let mut decoder = JpegDecoder::new(Cursor::new(bytes)).map_err(|e| format!("the picture is damaged: {e}"))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > JPEG_PIXELS_MAX {
        return Err(too_large(width, height));
    }
    if width.min(height) > u32::from(SIDE_WANTED) {
        decoder.scale(SIDE_WANTED, SIDE_WANTED).map_err(|e| format!("the picture is damaged: {e}"))?;
    }
    let pixels = read(decoder, (width, height))?;
    let orientation = orientation::of_jpeg(bytes);
    Ok(Picture { pixels: turned(pixels, orientation), width, height, orientation })
}

fn decode_png(bytes: &[u8]) -> Result<Picture, String> {
    let decoder = PngDecoder::new(Cursor::new(bytes)).map_err(|e| format!("the picture is damaged: {e}"))?;
    let (width, height) = decoder.dimensions();
    Ok(Picture { pixels: read(decoder, (width, height))?, width, height, orientation: 1 })
}

fn turned(p: RgbImage, orientation: u16) -> RgbImage {
    match orientation {
        2 => imageops::flip_horizontal(&p),
        3 => imageops::rotate180(&p),
        4 => imageops::flip_vertical(&p),
        5 => imageops::flip_horizontal(&imageops::rotate90(&p)),
        6 => imageops::rotate90(&p),
        7 => imageops::flip_horizontal(&imageops::rotate270(&p)),
        8 => imageops::rotate270(&p),
        _ => p,
    }
}

pub fn decode(bytes: &[u8]) -> Result<Picture, String> {
    if bytes.is_empty() {
        return Err("there is no picture: send a JPEG or PNG file as the body".into());
    }
    let picture = match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => decode_jpeg(bytes)?,
        Ok(ImageFormat::Png) => decode_png(bytes)?,
        _ => return Err("this is neither a JPEG nor a PNG picture".into()),
    };
    if picture.pixels.width() == 0 || picture.pixels.height() == 0 {
        return Err("the picture has no pixels".into());
    }
    Ok(picture)
}

/// Red, green, blue from 0 to 1, row by row, `side` pixels wide and high: what the network takes.
pub fn to_tensor(picture: &RgbImage, side: u32) -> Vec<f32> {
    let small = imageops::thumbnail(picture, side, side);
    small.iter().map(|byte| f32::from(*byte) / 255.).collect()
}
