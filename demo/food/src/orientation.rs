//! Which way up a JPEG is: tag 0x0112 of its Exif block. Everything that is not as it should be means "as it is".

const SOI: usize = 2; // bytes of the marker that a JPEG begins with
const APP1: u8 = 0xe1;
const SOS: u8 = 0xda; // the picture itself: no blocks behind it
const TAG: u16 = 0x0112;
const SHORT: u16 = 3;
const ENTRY: usize = 12; // bytes of an entry in a directory

/// Numbers of a TIFF block, in either byte order.
struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl Tiff<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        let b = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(b) } else { u16::from_be_bytes(b) })
    }

    fn u32(&self, at: usize) -> Option<usize> {
        let b = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) } as usize)
    }
}

fn of_exif(bytes: &[u8]) -> Option<u16> {
    let little = match bytes.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let tiff = Tiff { bytes, little };
    let directory = tiff.u32(4)?;
    for i in 0..usize::from(tiff.u16(directory)?) {
        let entry = directory.checked_add(2 + i * ENTRY)?;
        if tiff.u16(entry)? == TAG && tiff.u16(entry + 2)? == SHORT {
            return tiff.u16(entry + 8);
        }
    }
    None
}

fn find(jpeg: &[u8]) -> Option<u16> {
    let mut at = SOI;

    loop {
        let head = jpeg.get(at..at + 4)?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if head[0] != 0xff || head[1] == SOS || len < 2 {
            return None;
        }
        let block = jpeg.get(at + 4..at + 2 + len)?;
        if head[1] == APP1 && block.starts_with(b"Exif\0\0") {
            return of_exif(&block[6..]);
        }
        at += 2 + len;
    }
}

/// 1 (as it is) to 8.
pub fn of_jpeg(bytes: &[u8]) -> u16 {
    find(bytes).filter(|o| (1..=8).contains(o)).unwrap_or(1)
}
