// At /greet, and at /f/@NAME@: a CGI program (RFC 3875). The request's body is standard input, the rest of it is in the
// environment; fields, an empty line and the answer's body go to standard output.
//
// What more there is; ssvm.yaml says what the function may use (grants: {kv: on}, {allow-http: example.org}). Functions of the host are
// imports, which doc/format/state.md lists:
//
//     @external("ssvm_state", "kv_increment")
//     declare function kvIncrement(key: usize, len: u32, by: i64, ttlMs: u64, result: usize): i32;
//
//     @external("ssvm_state", "http_request") ...
//
// What goes to standard error is in the log: `ssvm logs @NAME@`.
const bytes = new ArrayBuffer(256);
const len = process.stdin.read(bytes);
const name = len > 0 ? String.UTF8.decodeUnsafe(changetype<usize>(bytes), len) : "world";

process.stdout.write("Content-Type: text/plain; charset=utf-8\n\nHello, " + name + "!\n");
