// At /greet, and at /f/@NAME@: a CGI program (RFC 3875). The request's body is standard input, the rest of it is in the
// environment; fields, an empty line and the answer's body go to standard output.
const bytes = new ArrayBuffer(256);
const len = process.stdin.read(bytes);
const name = len > 0 ? String.UTF8.decodeUnsafe(changetype<usize>(bytes), len) : "world";

process.stdout.write("Content-Type: text/plain; charset=utf-8\n\nHello, " + name + "!\n");
