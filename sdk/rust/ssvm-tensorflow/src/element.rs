//! What tensors are made of.

mod sealed {
    pub trait Sealed {}
}

/// A type that a tensor can have: numbers, and `bool`.
pub trait Element: Copy + Default + sealed::Sealed {
    /// TensorFlow's number for it.
    const TYPE: u32;

    /// `count` elements that `fill` writes as bytes.
    #[doc(hidden)]
    fn read(count: usize, fill: impl FnOnce(*mut u8)) -> Vec<Self> {
        let mut values = vec![Self::default(); count];

        fill(values.as_mut_ptr().cast());
        values
    }
}

macro_rules! elements {
    ($($type:ty = $number:literal),*) => {
        $(
            impl sealed::Sealed for $type {}
            impl Element for $type {
                const TYPE: u32 = $number;
            }
        )*
    };
}
elements!(f32 = 1, f64 = 2, i32 = 3, u8 = 4, i16 = 5, i8 = 6, i64 = 9, u16 = 17, u32 = 22, u64 = 23);

impl sealed::Sealed for bool {}
impl Element for bool {
    const TYPE: u32 = 10;

    /// Not every byte is a `bool`.
    fn read(count: usize, fill: impl FnOnce(*mut u8)) -> Vec<bool> {
        u8::read(count, fill).into_iter().map(|byte| byte != 0).collect()
    }
}
