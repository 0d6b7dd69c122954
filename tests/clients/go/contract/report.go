package contract

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// How long anything may take.
const patience = time.Minute

// A Report runs cases and tells of each on a line of its own; `done` at the end says that none is missing.
type Report struct {
	Chosen []string
	failed bool
}

func (r *Report) Run(name string, body func() error) {
	chosen := len(r.Chosen) == 0
	for _, prefix := range r.Chosen {
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

func (r *Report) Done() {
	fmt.Println("done")
	if r.failed {
		os.Exit(1)
	}
}

func Equal[T comparable](what string, expected, found T) error {
	if expected != found {
		return fmt.Errorf("%s: expected %v, found %v", what, expected, found)
	}
	return nil
}

// Eventually asks again and again until it is so.
func Eventually(what string, condition func() (bool, error)) error {
	deadline := time.Now().Add(patience)
	for {
		holds, err := condition()
		// Whoever is asked while brokers die may fail to answer.
		if (err != nil && FireSeconds == 0) || holds {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
