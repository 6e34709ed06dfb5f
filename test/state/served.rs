//! A function that uses what only a server has: other functions, and the queue. Its body is the name of the function to call.
use ssvm_state::{call, queue, Code};
use std::io::Read;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut name = String::new();
    std::io::stdin().read_to_string(&mut name)?;
    let answer = call::function(&name, "POST", "/x?y=1").field("X-A", "b").body(b"env\nHTTP_X_A\n").send()?;
    assert_eq!((answer.status, answer.text().trim_end()), (200, "env: b"));
    assert_eq!(answer.field("content-type"), Some("text/plain"));
    assert_eq!(call::function("other", "POST", "").send().unwrap_err().code, Code::Denied);
    assert!(queue::push(&name, "", "set\nfrom-rust\n1\n0\n", Duration::ZERO)? > 0);
    assert_eq!(queue::push("other", "", "", Duration::ZERO).unwrap_err().code, Code::Denied);
    println!("Content-Type: text/plain\n\nall is well");
    Ok(())
}
