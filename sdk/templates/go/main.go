// At /greet, and at /f/@NAME@: a CGI program (RFC 3875). The request's body is standard input, the rest of it is in the
// environment; fields, an empty line and the answer's body go to standard output.
//
// What more there is; ssvm.yaml says what the function may use (grants: {kv: on}, {allow-http: example.org}). Functions of the host are
// imports, which doc/format/state.md lists:
//
//	//go:wasmimport ssvm_state kv_increment
//	func kvIncrement(key unsafe.Pointer, len uint32, by int64, ttlMs uint64, result unsafe.Pointer) int32
//
//	//go:wasmimport ssvm_state http_request
//
// What goes to standard error is in the log: `ssvm logs @NAME@`.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	name, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if len(name) == 0 {
		name = []byte("world")
	}
	fmt.Printf("Content-Type: text/plain; charset=utf-8\n\nHello, %s!\n", name)
}
