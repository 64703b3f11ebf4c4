// What containerd's walk finds between two directories: fs.Changes of continuity, one line a change.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"github.com/containerd/continuity/fs"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	tell := func(kind fs.ChangeKind, path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		switch kind {
		case fs.ChangeKindAdd:
			fmt.Fprintf(out, "A %s\x00", path)
		case fs.ChangeKindModify:
			fmt.Fprintf(out, "M %s\x00", path)
		case fs.ChangeKindDelete:
			fmt.Fprintf(out, "D %s\x00", path)
		}
		return nil // what is left are hard links that did not change
	}
	err := fs.Changes(context.Background(), os.Args[1], os.Args[2], tell)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "changes:", err)
		os.Exit(2)
	}
}
