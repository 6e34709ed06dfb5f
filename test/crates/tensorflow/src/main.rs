//! `ssvm_tensorflow_interface` links: everything of it is imported, and called where there is no model.
use ssvm_tensorflow_interface::*;

fn main() {
    for kind in [ModelType::TensorFlow, ModelType::TensorFlowLite] {
        let mut session = Session::new(b"no model", kind);
        session.add_input("in", &[1.0f32], &[1]).add_output("out").run();
        assert!(session.get_output::<f32>("out").is_empty());
        session.clear_input().clear_output();
    }
    let no_picture = b"no picture";
    for load in [load_jpg_image_to_rgb8, load_jpg_image_to_bgr8, load_png_image_to_rgb8, load_png_image_to_bgr8] {
        assert_eq!(load(no_picture, 2, 1), [0; 6]);
    }
    for load in [load_jpg_image_to_rgb32f, load_jpg_image_to_bgr32f, load_png_image_to_rgb32f, load_png_image_to_bgr32f] {
        assert_eq!(load(no_picture, 2, 1), [0.0; 6]);
    }
}
