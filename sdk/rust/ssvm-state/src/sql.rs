//! SQL. One statement is one transaction; its parameters are values, never text that is pasted into it.
use crate::handle::{check, copied, Handle};
use crate::{raw, Error};

/// A parameter, or what a column of a row has.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(v: i64) -> Value {
        Value::Int(v)
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Value {
        Value::Int(v.into())
    }
}
impl From<bool> for Value {
    fn from(v: bool) -> Value {
        Value::Int(v.into())
    }
}
impl From<f64> for Value {
    fn from(v: f64) -> Value {
        Value::Float(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Value {
        Value::Text(v.into())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Value {
        Value::Text(v)
    }
}
impl From<&[u8]> for Value {
    fn from(v: &[u8]) -> Value {
        Value::Blob(v.into())
    }
}
impl From<Vec<u8>> for Value {
    fn from(v: Vec<u8>) -> Value {
        Value::Blob(v)
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Value {
        v.map_or(Value::Null, Into::into)
    }
}

/// The values of one row, in the order of the columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The column as a whole number; 0 when it is none.
    pub fn int(&self, column: usize) -> i64 {
        match self.0.get(column) {
            Some(Value::Int(v)) => *v,
            Some(Value::Float(v)) => *v as i64,
            _ => 0,
        }
    }
    /// The column as a number; 0 when it is none.
    pub fn float(&self, column: usize) -> f64 {
        match self.0.get(column) {
            Some(Value::Int(v)) => *v as f64,
            Some(Value::Float(v)) => *v,
            _ => 0.0,
        }
    }
    /// The column as text; `None` when it is none.
    pub fn text(&self, column: usize) -> Option<&str> {
        match self.0.get(column) {
            Some(Value::Text(v)) => Some(v),
            _ => None,
        }
    }
    /// The column's bytes; `None` when it is neither a blob nor text.
    pub fn bytes(&self, column: usize) -> Option<&[u8]> {
        match self.0.get(column) {
            Some(Value::Blob(v)) => Some(v),
            Some(Value::Text(v)) => Some(v.as_bytes()),
            _ => None,
        }
    }
}

/// What a statement gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Rows that were inserted, updated and deleted.
    pub changes: i64,
}

fn put(params: &mut Vec<u8>, value: &Value) {
    let (letter, bytes): (u8, &[u8]) = match value {
        Value::Null => return params.push(0),
        Value::Int(v) => {
            params.push(1);
            return params.extend(v.to_le_bytes());
        }
        Value::Float(v) => {
            params.push(2);
            return params.extend(v.to_le_bytes());
        }
        Value::Text(v) => (3, v.as_bytes()),
        Value::Blob(v) => (4, v),
    };
    params.push(letter);
    params.extend((bytes.len() as u32).to_le_bytes());
    params.extend(bytes);
}

fn start(text: &str, values: &[Value]) -> Result<Handle, Error> {
    let mut params = Vec::new();
    values.iter().for_each(|v| put(&mut params, v));
    let number = unsafe { raw::sql_query(text.as_ptr(), text.len() as u32, params.as_ptr(), params.len() as u32) };
    Handle::of(number)
}

fn value(rows: i32, column: u32) -> Result<Value, Error> {
    let bytes = || copied(|to, len| unsafe { raw::sql_bytes(rows, column, to, len) });
    Ok(match check(unsafe { raw::sql_type(rows, column) })? {
        1 => Value::Int(unsafe { raw::sql_int(rows, column) }),
        2 => Value::Float(unsafe { raw::sql_float(rows, column) }),
        3 => Value::Text(String::from_utf8_lossy(&bytes()?).into_owned()),
        4 => Value::Blob(bytes()?),
        _ => Value::Null,
    })
}

/// Runs a statement that gives rows. `?` stands for the next value (`$1`, `$2`, ... where the server keeps the data in PostgreSQL).
pub fn query(text: &str, values: &[Value]) -> Result<Rows, Error> {
    let handle = start(text, values)?;
    let rows = handle.number();
    let ncolumns = check(unsafe { raw::sql_columns(rows) })? as u32;
    let mut ret = Rows { columns: Vec::new(), rows: Vec::new(), changes: unsafe { raw::sql_changes(rows) } };
    for column in 0..ncolumns {
        let name = copied(|to, len| unsafe { raw::sql_name(rows, column, to, len) })?;
        ret.columns.push(String::from_utf8_lossy(&name).into_owned());
    }
    while check(unsafe { raw::sql_next(rows) })? > 0 {
        ret.rows.push(Row((0..ncolumns).map(|c| value(rows, c)).collect::<Result<_, _>>()?));
    }
    Ok(ret)
}

/// Runs a statement for what it does. The rows that it inserted, updated and deleted.
pub fn run(text: &str, values: &[Value]) -> Result<i64, Error> {
    let handle = start(text, values)?;
    Ok(unsafe { raw::sql_changes(handle.number()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_spelled() {
        let mut params = Vec::new();
        for v in [Value::Null, 258i64.into(), 1.5.into(), "é".into(), Value::Blob(vec![9])] {
            put(&mut params, &v);
        }
        assert_eq!(
            params,
            b"\0\x01\x02\x01\0\0\0\0\0\0\x02\0\0\0\0\0\0\xf8\x3f\x03\x02\0\0\0\xc3\xa9\x04\x01\0\0\0\x09"
        );
        assert_eq!(Value::from(None::<i64>), Value::Null);
        assert_eq!(Value::from(Some("a")), Value::Text("a".into()));
    }

    #[test]
    fn columns_are_read() {
        let row = Row(vec![7.into(), 2.5.into(), "a".into(), Value::Blob(vec![1]), Value::Null]);
        assert_eq!((row.int(0), row.int(1), row.int(2), row.int(9)), (7, 2, 0, 0));
        assert_eq!((row.float(0), row.float(1)), (7.0, 2.5));
        assert_eq!((row.text(2), row.text(0)), (Some("a"), None));
        assert_eq!((row.bytes(2), row.bytes(3), row.bytes(4)), (Some(&b"a"[..]), Some(&[1u8][..]), None));
    }
}
