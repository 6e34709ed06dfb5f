//! A guest that uses every part of the crate which `ssvm run` has, and checks what it gets. Argument: a server that may be asked.
use ssvm_state::{http, kv, secret, sql, Code};
use std::time::Duration;

fn keys() -> Result<(), ssvm_state::Error> {
    assert_eq!(kv::get("a")?, None);
    kv::set("a", b"\0\xff")?;
    assert_eq!(kv::get(b"a")?, Some(vec![0, 255]));
    assert!(kv::compare_and_set("b", None, "1")?);
    assert!(!kv::compare_and_set("b", None, "2")?);
    assert!(kv::compare_and_set("b", Some(b"1"), "3")?);
    assert_eq!(kv::increment("b", 4)?, 7);
    assert_eq!(kv::list("", "", 0)?, [b"a".to_vec(), b"b".to_vec()]);
    assert_eq!(kv::list("", "a", 1)?, [b"b".to_vec()]);
    assert!(kv::delete("a")? && !kv::delete("a")?);
    kv::set_for("c", "", Some(Duration::from_millis(30)))?;
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(kv::get("c")?, None);
    let e = kv::set("", "").unwrap_err();
    assert_eq!(e.code, Code::Invalid);
    assert!(!e.to_string().is_empty());
    assert_eq!(kv::set(vec![b'k'; 513], "").unwrap_err().code, Code::Limit);
    Ok(())
}

fn statements() -> Result<(), ssvm_state::Error> {
    sql::run("create table t(a integer, b real, c text, d blob)", &[])?;
    let long = "x".repeat(1000);
    let n = sql::run("insert into t values (?, ?, ?, ?), (null, null, '', x'')", &[7.into(), 0.5.into(), long.as_str().into(), vec![0u8, 9].into()])?;
    assert_eq!(n, 2);
    let got = sql::query("select a, b, c, d from t order by a is null", &[])?;
    assert_eq!(got.columns, ["a", "b", "c", "d"]);
    let row = &got.rows[0];
    assert_eq!((row.int(0), row.float(1), row.text(2), row.bytes(3)), (7, 0.5, Some(long.as_str()), Some(&[0u8, 9][..])));
    assert_eq!(got.rows[1].0, [sql::Value::Null, sql::Value::Null, "".into(), vec![].into()]);
    assert_eq!(sql::query("select", &[]).unwrap_err().code, Code::Invalid);
    Ok(())
}

fn requests(server: &str) -> Result<(), ssvm_state::Error> {
    let answer = http::post(&format!("{server}/echo"), b"body").field("X-A", "b").timeout(Duration::from_secs(20)).send()?;
    assert_eq!((answer.status, answer.text().as_str()), (200, "POST /echo body"));
    assert_eq!(answer.field("x-peer"), Some("yes"));
    assert_eq!(http::get(&format!("{server}/status?404")).send()?.status, 404);
    assert_eq!(http::get("http://example.org/").send().unwrap_err().code, Code::Denied);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).ok_or("usage: guest SERVER")?;
    keys()?;
    statements()?;
    assert_eq!((secret::get("KEY")?.as_deref(), secret::get("NONE")?), (Some("k"), None));
    requests(&server)?;
    println!("all is well");
    Ok(())
}
