//! The safe way: errors instead of empty results, shapes that are checked before the host sees them.
use crate::element::Element;
use crate::session::{ModelType, Session};
use std::fmt;
use std::mem::size_of;

/// Why there is no result. The host's log has its side of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The host refused the model: damaged, with operations that it does not allow, or no library for its format.
    Model,
    /// A shape that does not have as many elements as were given: the shape, and their number.
    Shape(Vec<i64>, usize),
    /// The model failed: an unknown name, an input that is missing or has the wrong shape or type, or the time was up.
    Run,
    /// The run gave no output of this name.
    NoOutput(String),
    /// The output's bytes are no whole number of elements: its name, and the number of bytes.
    Type(String, usize),
    /// The picture is damaged, too large, or of another format.
    Picture,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Model => f.write_str("the host refused the model; its log says why"),
            Error::Shape(shape, n) => write!(f, "{n} elements do not have the shape {shape:?}"),
            Error::Run => f.write_str("the model failed; the host's log says why"),
            Error::NoOutput(name) => write!(f, "there is no output '{name}'"),
            Error::Type(name, n) => write!(f, "the {n} bytes of '{name}' are no whole number of such elements"),
            Error::Picture => f.write_str("the picture cannot be decoded"),
        }
    }
}

impl std::error::Error for Error {}

/// Elements, row by row, with a shape that fits them.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a, T> {
    shape: &'a [i64],
    data: &'a [T],
}

impl<'a, T: Element> Tensor<'a, T> {
    /// [`Error::Shape`] unless the product of `shape` is the number of elements. An empty shape is a scalar.
    pub fn new(shape: &'a [i64], data: &'a [T]) -> Result<Tensor<'a, T>, Error> {
        let count = shape.iter().try_fold(1usize, |n, side| n.checked_mul(usize::try_from(*side).ok()?));

        if count != Some(data.len()) {
            return Err(Error::Shape(shape.to_vec(), data.len()));
        }
        Ok(Tensor { shape, data })
    }

    /// The length of each side.
    pub fn shape(&self) -> &[i64] {
        self.shape
    }

    /// The elements, row by row.
    pub fn data(&self) -> &[T] {
        self.data
    }
}

/// A model that the host has taken.
#[derive(Clone, Copy, Debug)]
pub struct Graph<'a> {
    model: &'a [u8],
    model_type: ModelType,
}

impl<'a> Graph<'a> {
    /// A frozen graph or a `.tflite` file: its bytes say which. The host is asked now, and again for each run: it keeps what it has
    /// loaded, so that this costs little.
    pub fn load(model: &'a [u8]) -> Result<Graph<'a>, Error> {
        let model_type = match model.get(4..8) {
            Some(b"TFL3") => ModelType::TensorFlowLite,
            _ => ModelType::TensorFlow,
        };
        if !Session::new(model, model_type).is_open() {
            return Err(Error::Model);
        }
        Ok(Graph { model, model_type })
    }

    /// What the model's bytes are.
    pub fn model_type(&self) -> ModelType {
        self.model_type
    }

    /// A run to give inputs to. Runs do not know of each other.
    pub fn run(&self) -> Run {
        Run { session: Session::new(self.model, self.model_type) }
    }
}

/// Inputs of one run.
#[derive(Debug)]
pub struct Run {
    session: Session,
}

impl Run {
    /// An input, copied. The name may end in `:INDEX`.
    pub fn input<T: Element>(mut self, name: &str, tensor: Tensor<'_, T>) -> Result<Run, Error> {
        if !self.session.is_open() {
            return Err(Error::Model);
        }
        self.session.add_input(name, tensor.data, tensor.shape);
        Ok(self)
    }

    /// Computes one output. Its type is for the caller to know: the interface tells how many bytes an output has, not of what.
    pub fn fetch<T: Element>(self, name: &str) -> Result<Vec<T>, Error> {
        let mut all = self.fetch_all(&[name])?;

        all.pop().ok_or(Error::Run)
    }

    /// Computes outputs of one type.
    pub fn fetch_all<T: Element>(mut self, names: &[&str]) -> Result<Vec<Vec<T>>, Error> {
        for name in names {
            self.session.add_output(name);
        }
        if !self.session.try_run() {
            return Err(Error::Run);
        }
        names.iter().map(|name| self.output(name)).collect()
    }

    fn output<T: Element>(&self, name: &str) -> Result<Vec<T>, Error> {
        let tensor = self.session.find_output(name);
        if tensor == 0 {
            return Err(Error::NoOutput(name.to_string()));
        }
        let len = self.session.len(tensor);
        if len % size_of::<T>() != 0 {
            return Err(Error::Type(name.to_string(), len));
        }
        Ok(self.session.read(tensor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_counted() {
        assert!(Tensor::new(&[2, 3], &[0u8; 6]).is_ok());
        assert!(Tensor::new(&[], &[1f32]).is_ok());
        assert_eq!(Tensor::new(&[2, 3], &[0u8; 5]).unwrap_err(), Error::Shape(vec![2, 3], 5));
        assert!(Tensor::new(&[-1], &[0u8; 1]).is_err());
        assert!(Tensor::new(&[i64::MAX, i64::MAX], &[0u8; 1]).is_err());
    }

    #[test]
    fn without_a_host_nothing_loads() {
        assert_eq!(Graph::load(b"model").unwrap_err(), Error::Model);
    }
}
