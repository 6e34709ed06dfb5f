//! Looks into model files for the names of their nodes, so that a model that does not fit is explained. Not a loader.

/// A FlatBuffer of TensorFlow Lite carries this at byte 4.
pub fn is_tflite(model: &[u8]) -> bool {
    model.get(4..8) == Some(b"TFL3")
}

/// One field of a protocol buffer: its number, and its bytes when it has a length.
fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let key = varint(rest)?;
    let len = match key & 7 {
        0 => {
            varint(rest)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(rest)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (field, behind) = (rest.get(..len)?, rest.get(len..)?);
    *rest = behind;
    Some((key >> 3, field))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;

    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Name and operation of each node of a GraphDef (field 1; in it 1 and 2). None: it is no such file.
fn nodes(mut graph: &[u8]) -> Option<Vec<(&str, &str)>> {
    let mut nodes = Vec::new();

    while !graph.is_empty() {
        let (number, mut node) = next_field(&mut graph)?;
        if number != 1 {
            continue;
        }
        let (mut name, mut op) = ("", "");
        while !node.is_empty() {
            match next_field(&mut node)? {
                (1, text) => name = std::str::from_utf8(text).ok()?,
                (2, text) => op = std::str::from_utf8(text).ok()?,
                _ => (),
            }
        }
        if op.is_empty() {
            return None; // an ONNX file begins with a number in the place of a node
        }
        nodes.push((name, op));
    }
    Some(nodes)
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ")
}

/// A GraphDef must have the two nodes. Other formats are left to the library that reads them.
pub fn check(model: &[u8], input: &str, output: &str) -> Result<(), String> {
    if is_tflite(model) {
        return Ok(());
    }
    let Some(nodes) = nodes(model).filter(|n| !n.is_empty()) else {
        return Err("the model is neither a frozen graph (.pb) nor a .tflite file".into());
    };
    if !nodes.iter().any(|(name, _)| *name == input) {
        let inputs = quoted(nodes.iter().filter(|(_, op)| *op == "Placeholder").map(|(name, _)| *name));
        return Err(format!("the graph has no node '{input}'; its inputs are: {inputs}"));
    }
    if !nodes.iter().any(|(name, _)| *name == output) {
        let outputs = quoted(nodes.iter().filter(|(_, op)| *op == "Softmax").map(|(name, _)| *name));
        let last = nodes.last().map_or("", |(name, _)| *name);
        return Err(format!("the graph has no node '{output}'; it has the softmax nodes: {outputs}; and ends with '{last}'"));
    }
    Ok(())
}
