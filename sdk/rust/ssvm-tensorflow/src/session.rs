//! The session of ssvm_tensorflow_interface: chained calls, failures show as empty results.
use crate::element::Element;
use crate::raw;
use std::mem::size_of;

/// What the model's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelType {
    /// A frozen graph (`.pb`).
    TensorFlow = 0,
    /// A FlatBuffer (`.tflite`). Inputs have the shape and type of the model, and outputs need not be asked for.
    TensorFlowLite = 1,
}

/// A model with inputs and outputs. The names of a [`ModelType::TensorFlow`] model may end in `:INDEX`, which is 0 otherwise.
#[derive(Debug)]
pub struct Session {
    handle: u64,
    model_type: ModelType,
}

/// "operation:1" is output 1 of "operation".
fn split_index(name: &str) -> (&str, u32) {
    match name.rsplit_once(':') {
        Some((operation, index)) => index.parse().map_or((name, 0), |index| (operation, index)),
        None => (name, 0),
    }
}

impl Session {
    /// A session for the model. What the host refuses, for a reason that its log has, gives no outputs.
    pub fn new<S: AsRef<[u8]>>(model_buf: S, mod_type: ModelType) -> Session {
        let model = model_buf.as_ref();
        let (p, len) = (model.as_ptr(), model.len() as u32);
        // SAFETY: the host reads the model's bytes, which live through the call.
        let handle = unsafe {
            match mod_type {
                ModelType::TensorFlow => raw::ssvm_tensorflow_create_session(p, len),
                ModelType::TensorFlowLite => raw::ssvm_tensorflowlite_create_session(p, len),
            }
        };
        Session { handle, model_type: mod_type }
    }

    /// Did the host take the model?
    pub(crate) fn is_open(&self) -> bool {
        self.handle != 0
    }

    /// An input: its elements, row by row, and its shape.
    pub fn add_input<T: Element>(&mut self, name: &str, tensor_buf: &[T], shape: &[i64]) -> &mut Session {
        let (data, len) = (tensor_buf.as_ptr().cast(), std::mem::size_of_val(tensor_buf) as u32);

        // SAFETY: the host reads name, shape and elements, which live through the call.
        unsafe {
            if self.model_type == ModelType::TensorFlow {
                let (name, index) = split_index(name);
                raw::ssvm_tensorflow_append_input(
                    self.handle,
                    name.as_ptr(),
                    name.len() as u32,
                    index,
                    shape.as_ptr(),
                    shape.len() as u32,
                    T::TYPE,
                    data,
                    len,
                );
            } else {
                raw::ssvm_tensorflowlite_append_input(self.handle, name.as_ptr(), name.len() as u32, data, len);
            }
        }
        self
    }

    /// An output that `run` shall compute.
    pub fn add_output(&mut self, name: &str) -> &mut Session {
        if self.model_type == ModelType::TensorFlow {
            let (name, index) = split_index(name);
            // SAFETY: the host reads the name, which lives through the call.
            unsafe { raw::ssvm_tensorflow_append_output(self.handle, name.as_ptr(), name.len() as u32, index) };
        }
        self
    }

    /// Forgets the inputs.
    pub fn clear_input(&mut self) -> &mut Session {
        if self.model_type == ModelType::TensorFlow {
            // SAFETY: no memory is involved.
            unsafe { raw::ssvm_tensorflow_clear_input(self.handle) };
        }
        self
    }

    /// Forgets the outputs.
    pub fn clear_output(&mut self) -> &mut Session {
        if self.model_type == ModelType::TensorFlow {
            // SAFETY: no memory is involved.
            unsafe { raw::ssvm_tensorflow_clear_output(self.handle) };
        }
        self
    }

    /// Computes the outputs.
    pub fn run(&mut self) -> &mut Session {
        self.try_run();
        self
    }

    pub(crate) fn try_run(&mut self) -> bool {
        // SAFETY: no memory is involved.
        let status = unsafe {
            match self.model_type {
                ModelType::TensorFlow => raw::ssvm_tensorflow_run_session(self.handle),
                ModelType::TensorFlowLite => raw::ssvm_tensorflowlite_run_session(self.handle),
            }
        };
        status == 0
    }

    /// The elements of a computed output; empty when there is none.
    pub fn get_output<T: Element>(&self, name: &str) -> Vec<T> {
        self.read(self.find_output(name))
    }

    /// 0: none.
    pub(crate) fn find_output(&self, name: &str) -> u64 {
        // SAFETY: the host reads the name, which lives through the call.
        unsafe {
            if self.model_type == ModelType::TensorFlow {
                let (name, index) = split_index(name);
                raw::ssvm_tensorflow_get_output_tensor(self.handle, name.as_ptr(), name.len() as u32, index)
            } else {
                raw::ssvm_tensorflowlite_get_output_tensor(self.handle, name.as_ptr(), name.len() as u32)
            }
        }
    }

    /// Bytes.
    pub(crate) fn len(&self, tensor: u64) -> usize {
        // SAFETY: no memory is involved.
        let len = unsafe {
            match self.model_type {
                ModelType::TensorFlow => raw::ssvm_tensorflow_get_tensor_len(tensor),
                ModelType::TensorFlowLite => raw::ssvm_tensorflowlite_get_tensor_len(tensor),
            }
        };
        len as usize
    }

    /// What does not fill an element at the end is dropped.
    pub(crate) fn read<T: Element>(&self, tensor: u64) -> Vec<T> {
        let len = self.len(tensor);

        if len == 0 {
            return Vec::new();
        }
        let mut values = T::read(len.div_ceil(size_of::<T>()), |ret| {
            // SAFETY: ret has room for the tensor's `len` bytes.
            unsafe {
                match self.model_type {
                    ModelType::TensorFlow => raw::ssvm_tensorflow_get_tensor_data(tensor, ret),
                    ModelType::TensorFlowLite => raw::ssvm_tensorflowlite_get_tensor_data(tensor, ret),
                }
            }
        });
        values.truncate(len / size_of::<T>());
        values
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: no memory is involved.
        unsafe {
            match self.model_type {
                ModelType::TensorFlow => raw::ssvm_tensorflow_delete_session(self.handle),
                ModelType::TensorFlowLite => raw::ssvm_tensorflowlite_delete_session(self.handle),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_behind_the_last_colon() {
        assert_eq!(split_index("a"), ("a", 0));
        assert_eq!(split_index("a/b:2"), ("a/b", 2));
        assert_eq!(split_index("a:b:1"), ("a:b", 1));
        assert_eq!(split_index("a:b"), ("a:b", 0));
        assert_eq!(split_index("a:"), ("a:", 0));
    }

    #[test]
    fn without_a_host_outputs_are_empty() {
        let mut session = Session::new(b"model", ModelType::TensorFlow);
        session.add_input("x", &[1f32], &[1]).add_output("y").run().clear_input().clear_output();
        assert!(session.get_output::<f32>("y").is_empty());
    }
}
