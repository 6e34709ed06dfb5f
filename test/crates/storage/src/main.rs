//! Every function of `rust_storage_interface_library`, one case each; `run.py` names the case.
use rust_storage_interface_library::ssvm_storage::{load, store};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, PartialEq, Debug, Default, Clone)]
struct Record {
    name: String,
    bytes: Vec<u8>,
    number: i64,
    yes: bool,
}

fn record(n: i64) -> Record {
    Record { name: "a record".into(), bytes: (0..200).collect(), number: n, yes: n > 0 }
}

#[link(wasm_import_module = "ssvm_native")]
extern "C" {
    fn ssvm_storage_beginStoreTx(key: *const u8);
    fn ssvm_storage_beginLoadTx(key: *const u8);
    fn ssvm_storage_endStoreTx();
    fn ssvm_storage_storeI32(v: i32);
    fn ssvm_storage_loadI32() -> i32;
    fn ssvm_storage_storeI64(v: i64);
    fn ssvm_storage_loadI64() -> i64;
    fn ssvm_storage_createUUID(key: *mut u8);
    fn ssvm_storage_endLoadTx();
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let key = args.get(2).cloned().unwrap_or_default();

    match args[1].as_str() {
        "struct" => {
            let k = store::store(record(7));
            assert_eq!(load::load_as_struct(&k, Record::default()), record(7));
            println!("key {k}");
        }
        "bool" => assert!(load::load_as_bool(&store::store(true)) && !load::load_as_bool(&store::store(false))),
        "char" => assert_eq!(load::load_as_char(&store::store('\u{1f980}')), '\u{1f980}'),
        "i8" => assert_eq!(load::load_as_i8(&store::store(-128i8)), -128),
        "i16" => assert_eq!(load::load_as_i16(&store::store(i16::MIN)), i16::MIN),
        "i32" => assert_eq!(load::load_as_i32(&store::store(i32::MIN)), i32::MIN),
        "i64" => assert_eq!(load::load_as_i64(&store::store(i64::MIN)), i64::MIN),
        "u8" => assert_eq!(load::load_as_u8(&store::store(255u8)), 255),
        "string" => {
            for text in ["", "a", "ab", "abc", "abcd", "Grüße 🦀", &"x".repeat(100_000)] {
                let k = store::store(text.to_string());
                assert_eq!(load::load_as_string(&k), text);
            }
        }
        "i32_vector" => {
            let k = store::store_as_i32_vector(vec![1, -1, i32::MAX, i32::MIN, 0]);
            assert_eq!(load::load_as_i32_vector(&k), [1, -1, i32::MAX, i32::MIN, 0]);
            println!("key {k}");
        }
        "update" => {
            let k = store::store(record(1));
            store::update(&k, record(-2));
            assert_eq!(load::load_as_struct(&k, Record::default()), record(-2));
            println!("key {k}");
        }
        "update_as_i32_vector" => {
            let k = store::store_as_i32_vector(vec![1, 2, 3]);
            store::update_as_i32_vector(&k, vec![9]);
            assert_eq!(load::load_as_i32_vector(&k), [9]);
        }
        "codec" => {
            let words = store::serialize_unknown_to_vec_i32("hello".to_string());
            println!("words {words:?}");
            assert_eq!(load::deserialize_vec_i32_to_string(words), "hello");
            assert_eq!(store::type_of(1u8), "u8");
        }
        // What another run has kept.
        "load" => assert_eq!(load::load_as_struct(&key, Record::default()), record(7)),
        "load_update" => store::update(&key, record(8)),
        "load_vector" => println!("vector {:?}", load::load_as_i32_vector(&key)),
        "missing" => println!("{}", load::load_as_i32(&"0".repeat(32))),
        // Below the crate: numbers of both sizes, the end of a record, keys.
        "raw" => unsafe {
            let k = [b'k'; 32];
            ssvm_storage_beginStoreTx(k.as_ptr());
            ssvm_storage_storeI64(-2);
            ssvm_storage_storeI32(-3);
            ssvm_storage_endStoreTx();
            ssvm_storage_beginLoadTx(k.as_ptr());
            assert_eq!((ssvm_storage_loadI64(), ssvm_storage_loadI32()), (-2, -3));
            ssvm_storage_endLoadTx();
        },
        "past_the_end" => unsafe {
            let k = [b'k'; 32];
            ssvm_storage_beginStoreTx(k.as_ptr());
            ssvm_storage_storeI32(1);
            ssvm_storage_endStoreTx();
            ssvm_storage_beginLoadTx(k.as_ptr());
            ssvm_storage_loadI64();
        },
        "uncommitted" => unsafe {
            ssvm_storage_beginStoreTx([b'u'; 32].as_ptr());
            ssvm_storage_storeI32(1);
        },
        "key" => unsafe {
            let mut k = [b'?'; 40];
            ssvm_storage_createUUID(k.as_mut_ptr());
            assert!(k[..32].iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')), "{k:?}");
            assert_eq!(k[32], 0);
            assert_eq!(&k[33..], [b'?'; 7]);
            println!("key {}", String::from_utf8_lossy(&k[..32]));
        },
        "fill" => loop {
            store::store_as_i32_vector(vec![7; 100_000]);
        },
        other => panic!("no case {other}"),
    }
}
