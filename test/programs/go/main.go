// A Go program as a guest: goroutines, maps, sorting, JSON, hashing, files, garbage collection.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
)

type point struct {
	X    int     `json:"x"`
	Y    float64 `json:"y"`
	Name string  `json:"name,omitempty"`
}

func primes(n int) int {
	sieve := make([]bool, n+1)
	count := 0
	for i := 2; i <= n; i++ {
		if sieve[i] {
			continue
		}
		count++
		for j := i * 2; j <= n; j += i {
			sieve[j] = true
		}
	}
	return count
}

func main() {
	fmt.Println("args", len(os.Args)-1, os.Args[1:])
	fmt.Println("primes", primes(200000))

	var wait sync.WaitGroup
	results := make(chan int, 10)
	for i := 0; i < 10; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			results <- i * i
		}()
	}
	wait.Wait()
	close(results)
	sum := 0
	for r := range results {
		sum += r
	}
	fmt.Println("goroutines", sum)

	text, err := json.Marshal([]point{{1, 2.5, "a"}, {3, -4, ""}})
	fmt.Println("json", string(text), err)
	var back []point
	fmt.Println("json", json.Unmarshal(text, &back), back)

	counts := map[string]int{}
	for _, w := range strings.Fields("a b a c b a") {
		counts[w]++
	}
	keys := make([]string, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		fmt.Print(k, "=", counts[k], " ")
	}
	fmt.Println()
	fmt.Printf("sha256 %x\n", sha256.Sum256([]byte("ssvm")))

	func() {
		defer func() { fmt.Println("recovered", recover()) }()
		var empty []int
		_ = empty[len(os.Args)]
	}()

	if err := os.WriteFile(os.Args[1], []byte(strings.Repeat("line\n", 1000)), 0o600); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	file, err := os.Open(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	lines := 0
	for scan := bufio.NewScanner(file); scan.Scan(); {
		lines++
	}
	fmt.Println("lines", lines)
	_, err = os.Open("/does/not/exist")
	fmt.Println("missing", errors.Is(err, os.ErrNotExist))
	var keep [][]byte
	for i := 0; i < 2000; i++ {
		keep = append(keep, make([]byte, 10000))
		if i%100 == 99 {
			keep = nil
		}
	}
	fmt.Println("kept", len(keep))
	os.Exit(5)
}
