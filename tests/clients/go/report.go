package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// A report runs cases and tells of each on a line of its own; `done` at the end says that none is missing.
type report struct {
	chosen []string
	failed bool
}

func (r *report) run(name string, body func() error) {
	chosen := len(r.chosen) == 0
	for _, prefix := range r.chosen {
		chosen = chosen || strings.HasPrefix(name, prefix)
	}
	if !chosen {
		return
	}
	if err := body(); err != nil {
		r.failed = true
		fmt.Printf("not ok %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Printf("ok %s\n", name)
}

func (r *report) done() {
	fmt.Println("done")
	if r.failed {
		os.Exit(1)
	}
}

func equal[T comparable](what string, expected, found T) error {
	if expected != found {
		return fmt.Errorf("%s: expected %v, found %v", what, expected, found)
	}
	return nil
}

// eventually asks again and again until it is so.
func eventually(what string, condition func() (bool, error)) error {
	deadline := time.Now().Add(time.Minute)
	for {
		holds, err := condition()
		if err != nil || holds {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within a minute: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
