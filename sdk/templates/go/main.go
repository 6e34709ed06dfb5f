// At /greet, and at /f/@NAME@: a CGI program (RFC 3875). The request's body is standard input, the rest of it is in the
// environment; fields, an empty line and the answer's body go to standard output.
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
