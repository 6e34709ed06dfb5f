//! A guest book: entries in SQL, the number of visits under a key, each once an hour for each name.
//!
//!     cargo build --release --target wasm32-wasip1
//!     ssvm run --kv book.kv --sql book.db state-rust.wasm NAME TEXT
use ssvm_state::{kv, sql};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, text] = words.as_slice() else {
        return Err("usage: state-rust NAME TEXT".into());
    };
    sql::run("create table if not exists book(id integer primary key, name text not null, text text not null)", &[])?;
    sql::run("insert into book(name, text) values (?, ?)", &[name.as_str().into(), text.as_str().into()])?;

    let seen = format!("seen/{name}");
    if kv::get(&seen)?.is_none() {
        kv::set_for(&seen, "1", Some(Duration::from_secs(3600)))?;
        kv::increment("visits", 1)?;
    }

    for row in sql::query("select id, name, text from book order by id desc limit ?", &[3.into()])?.rows {
        println!("{:3} {}: {}", row.int(0), row.text(1).unwrap_or(""), row.text(2).unwrap_or(""));
    }
    println!("{} visits", kv::increment("visits", 0)?);
    Ok(())
}
