// The records that diff-runner reads: little endian, strings and byte vectors with a 32-bit length before them.
//   'V' valid:u8 module message
//   'X' module outcome, then while complete: 'c' call... 'g' global... 'm' memory... 't' table... 0
//   'G' module, calls as in 'X' with the gas after each, 0
use std::io::{Result, Write};

pub struct Out<W: Write>(W);

// What running something led to.
#[derive(Clone, Copy, PartialEq)]
pub enum Outcome {
    Ok,
    Trap(u8), // number of trap.def
    Exception,
    Unknown, // a limit of the other engine: nothing can be said from here on
}

pub enum Value {
    Bits(u8, u128), // i I f F v
    Ref(bool),      // is it null?
}

impl<W: Write> Out<W> {
    pub fn new(w: W) -> Self {
        Out(w)
    }
    pub fn u8(&mut self, x: u8) -> Result<()> {
        self.0.write_all(&[x])
    }
    pub fn u32(&mut self, x: u32) -> Result<()> {
        self.0.write_all(&x.to_le_bytes())
    }
    pub fn u64(&mut self, x: u64) -> Result<()> {
        self.0.write_all(&x.to_le_bytes())
    }
    pub fn bytes(&mut self, b: &[u8]) -> Result<()> {
        self.u32(b.len() as u32)?;
        self.0.write_all(b)
    }
    pub fn outcome(&mut self, o: Outcome) -> Result<()> {
        match o {
            Outcome::Ok => self.0.write_all(&[0, 0]),
            Outcome::Trap(code) => self.0.write_all(&[1, code]),
            Outcome::Exception => self.0.write_all(&[2, 0]),
            Outcome::Unknown => self.0.write_all(&[3, 0]),
        }
    }
    pub fn value(&mut self, v: &Value) -> Result<()> {
        match v {
            Value::Bits(kind, bits) => {
                self.u8(*kind)?;
                self.0.write_all(&bits.to_le_bytes())
            }
            Value::Ref(null) => {
                self.u8(b'r')?;
                self.0.write_all(&u128::from(!*null).to_le_bytes())
            }
        }
    }
    pub fn values(&mut self, vs: &[Value]) -> Result<()> {
        self.u32(vs.len() as u32)?;
        vs.iter().try_for_each(|v| self.value(v))
    }
    pub fn finish(&mut self) -> Result<()> {
        self.0.flush()
    }
}

pub fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a over 64-bit words, then over the bytes that are left.
    let mut h = 0xcbf2_9ce4_8422_2325u64;
    let mut words = bytes.chunks_exact(8);
    for w in &mut words {
        h = (h ^ u64::from_le_bytes(w.try_into().unwrap())).wrapping_mul(0x100_0000_01b3);
    }
    for b in words.remainder() {
        h = (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
    }
    h
}
