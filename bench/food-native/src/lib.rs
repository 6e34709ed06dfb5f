//! Picture to tensor, as the talk's function does it (demo/food/src/lib.rs).

const SIDE: u32 = 224;

/// Decodes `len` bytes at `picture`: 224 * 224 * 3 floats, for `food_drop`.
///
/// # Safety
/// `picture` has `len` readable bytes.
#[no_mangle]
pub unsafe extern "C" fn food_decode(picture: *const u8, len: usize) -> *mut Vec<f32> {
    let image_data = std::slice::from_raw_parts(picture, len);
    let img = image::load_from_memory(image_data).unwrap().to_rgb8();
    let resized = image::imageops::thumbnail(&img, SIDE, SIDE);
    let mut flat_img: Vec<f32> = Vec::new();
    for rgb in resized.pixels() {
        flat_img.push(rgb[0] as f32 / 255.);
        flat_img.push(rgb[1] as f32 / 255.);
        flat_img.push(rgb[2] as f32 / 255.);
    }
    Box::into_raw(Box::new(flat_img))
}

/// Copies them to where a library can use them, which the vector's memory is not aligned for.
///
/// # Safety
/// `from` is of `food_decode`, `ret` has room for the floats.
#[no_mangle]
pub unsafe extern "C" fn food_copy(from: *const Vec<f32>, ret: *mut f32) {
    std::ptr::copy_nonoverlapping((*from).as_ptr(), ret, (*from).len());
}

/// # Safety
/// `pixels` is of `food_decode`, and not used any more.
#[no_mangle]
pub unsafe extern "C" fn food_drop(pixels: *mut Vec<f32>) {
    drop(Box::from_raw(pixels));
}
