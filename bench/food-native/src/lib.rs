//! Picture to tensor, as the talk's function does it (demo/food/src/lib.rs).

const SIDE: u32 = 224;

/// Decodes `len` bytes at `picture` and writes 224 * 224 * 3 floats to `ret`.
///
/// # Safety
/// `picture` has `len` readable bytes, `ret` room for the floats.
#[no_mangle]
pub unsafe extern "C" fn food_decode(picture: *const u8, len: usize, ret: *mut f32) {
    let image_data = std::slice::from_raw_parts(picture, len);
    let img = image::load_from_memory(image_data).unwrap().to_rgb8();
    let resized = image::imageops::thumbnail(&img, SIDE, SIDE);
    let mut flat_img: Vec<f32> = Vec::new();
    for rgb in resized.pixels() {
        flat_img.push(rgb[0] as f32 / 255.);
        flat_img.push(rgb[1] as f32 / 255.);
        flat_img.push(rgb[2] as f32 / 255.);
    }
    std::ptr::copy_nonoverlapping(flat_img.as_ptr(), ret, flat_img.len());
}
