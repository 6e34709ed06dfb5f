/// At /greet, and at /f/@NAME@/greet: the request's body is the argument, the result is the answer. Types of your own, with serde's attributes, are JSON.
#[ssvm::function]
pub fn greet(name: &str) -> String {
    let name = if name.is_empty() { "world" } else { name };
    format!("Hello, {name}!\n")
}

// What more there is; ssvm.yaml says what the function may use:
//
//     let visits = ssvm::kv::increment(name, 1)?; // grants: {kv: on}
//     let page = ssvm::http::get("https://example.org/").send()?.text(); // grants: {allow-http: example.org}
//     eprintln!("greeted {name}"); // into the log: `ssvm logs @NAME@`
//
// `?` wants a result: `-> Result<String, ssvm::Error>`.
