// Package contract is what every client writes and every reader expects, how a case's verdict is told, and what the members of a
// group may do.
package contract

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Record i goes to partition i mod 3 and is the (i / 3)-th there, so that an offset tells which record it has to be. A record
// lost, twice or out of order shows at its offset.
const (
	Partitions = 3
	// The shortest time that a lot of records takes under fire, so that the fastest of clients does not write more in a minute
	// than its readers get through.
	lotTime = 20 * time.Millisecond
)

var (
	Bootstrap   = strings.Split(os.Getenv("BOOTSTRAP"), ",")
	prefix      = os.Getenv("PREFIX")
	epochMS     = number("EPOCH_MS")
	FireSeconds = number("FIRE_SECONDS")
	Records     = number("RECORDS")
)

func number(name string) int64 {
	value, err := strconv.ParseInt(os.Getenv(name), 10, 64)
	if err != nil {
		panic(err)
	}
	return value
}

// A Record as a reader was given it.
type Record struct {
	Partition int32
	Offset    int64
	Key       string
	Value     string
	Time      time.Time
	Headers   string
}

func Topic(name string) string { return prefix + "-" + name }

func Key(i int64) string { return fmt.Sprintf("key-%d", i%10) }

func Value(topic string, i int64) string {
	return fmt.Sprintf("%s/%d/%s", topic, i, strings.Repeat("abcdefghij", int(i%20)))
}

func Timestamp(i int64) time.Time { return time.UnixMilli(epochMS + 10*i) }

// Rounds calls write with the numbers of records that have to be acknowledged before the next: once, or for as long as brokers
// die. It gives how many records that are.
func Rounds(write func(first, end int64) error) (int64, error) {
	deadline := time.Now().Add(time.Duration(FireSeconds) * time.Second)
	i := int64(0)
	for i < Records || (FireSeconds > 0 && time.Now().Before(deadline)) {
		begun := time.Now()
		if err := write(i, i+Records); err != nil {
			return 0, fmt.Errorf("produce: %w", err)
		}
		i += Records
		if FireSeconds > 0 {
			time.Sleep(time.Until(begun.Add(lotTime)))
		}
	}
	return i, nil
}

// End says how many of so many records are in a partition.
func End(records int64, partition int32) int64 {
	return (records - int64(partition) + Partitions - 1) / Partitions
}

// Check compares a record with what has to be at its offset.
func Check(topic string, record Record) error {
	i := record.Offset*Partitions + int64(record.Partition)
	what := func(of string) string { return fmt.Sprintf("%s of record %d", of, i) }
	for _, err := range []error{
		Equal(what("value"), Value(topic, i), record.Value),
		Equal(what("key"), Key(i), record.Key),
		Equal(what("timestamp"), Timestamp(i).UnixMilli(), record.Time.UnixMilli()),
		Equal(what("headers"), fmt.Sprintf("n=%d", i), record.Headers),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// Verify reads partitions from their offsets to the end of so many records and checks each; read gives what comes next.
func Verify(topic string, records int64, first map[int32]int64, read func() ([]Record, error)) error {
	next := map[int32]int64{}
	missing := int64(0)
	for partition, offset := range first {
		next[partition] = offset
		missing += End(records, partition) - offset
	}
	deadline := time.Now().Add(patience)
	for missing > 0 {
		found, err := read()
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still at %v of %d records", next, records)
		}
		for _, record := range found {
			if err := Equal(fmt.Sprintf("offset in partition %d", record.Partition), next[record.Partition], record.Offset); err != nil {
				return err
			}
			if err := Check(topic, record); err != nil {
				return err
			}
			next[record.Partition]++
			missing--
		}
	}
	return nil
}

// All begins at the beginning of each partition.
func All() map[int32]int64 { return map[int32]int64{0: 0, 1: 0, 2: 0} }
