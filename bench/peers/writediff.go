// What containerd does for a layer: archive.WriteDiff of two directories, into a file.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/archive"
)

func main() {
	out, err := os.Create(os.Args[3])
	if err == nil {
		err = archive.WriteDiff(context.Background(), out, os.Args[1], os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "writediff:", err)
		os.Exit(2)
	}
}
