//! A function of a server: its request's body has a verb, and a word in each further line.
use rust_storage_interface_library::ssvm_storage::{load, store};
use ssvm_process_interface::Command;
use std::io::Read;

fn main() {
    let mut body = String::new();
    std::io::stdin().read_to_string(&mut body).unwrap();
    let words: Vec<&str> = body.lines().collect();

    print!("Content-Type: text/plain\n\n");
    match words[0] {
        "run" => {
            let o = Command::new(words[1]).args(&words[3..]).timeout(words[2].parse().unwrap()).stdin("in").output();
            print!("{} [{}] [{}]", o.status, String::from_utf8_lossy(&o.stdout), String::from_utf8_lossy(&o.stderr));
        }
        "store" => println!("{}", store::store_as_i32_vector(words[1..].iter().map(|w| w.parse().unwrap()).collect())),
        "load" => println!("{:?}", load::load_as_i32_vector(words[1])),
        other => panic!("no verb {other}"),
    }
}
