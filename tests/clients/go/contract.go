package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What every client writes and every reader expects: record i goes to partition i mod 3 and is the (i / 3)-th there, so that an
// offset tells which record it has to be. A record lost, twice or out of order shows at its offset.
const (
	partitions = 3
	// How soon a changed leader is asked for; the client's own five seconds would be most of the time.
	metadataMinAge = 100 * time.Millisecond
)

var (
	bootstrap   = strings.Split(os.Getenv("BOOTSTRAP"), ",")
	prefix      = os.Getenv("PREFIX")
	epochMS     = number("EPOCH_MS")
	fireSeconds = number("FIRE_SECONDS")
	records     = number("RECORDS")
)

func number(name string) int64 {
	value, err := strconv.ParseInt(os.Getenv(name), 10, 64)
	if err != nil {
		panic(err)
	}
	return value
}

func key(i int64) string { return fmt.Sprintf("key-%d", i%10) }

func value(topic string, i int64) string {
	return fmt.Sprintf("%s/%d/%s", topic, i, strings.Repeat("abcdefghij", int(i%20)))
}

func timestamp(i int64) time.Time { return time.UnixMilli(epochMS + 10*(i%100_000)) }

// produce writes the records with these options; for as long as brokers die, if they do. It gives how many.
func produce(ctx context.Context, topic string, options ...kgo.Opt) (int64, error) {
	options = append([]kgo.Opt{
		kgo.SeedBrokers(bootstrap...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5 * time.Millisecond),
		kgo.UnknownTopicRetries(-1),
		kgo.MetadataMinAge(metadataMinAge),
	}, options...)
	client, err := kgo.NewClient(options...)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	deadline := time.Now().Add(time.Duration(fireSeconds) * time.Second)
	i := int64(0)
	for i < records || (fireSeconds > 0 && time.Now().Before(deadline)) {
		var batch []*kgo.Record
		for range records {
			batch = append(batch, &kgo.Record{
				Topic: topic, Partition: int32(i % partitions), Timestamp: timestamp(i),
				Key: []byte(key(i)), Value: []byte(value(topic, i)),
				Headers: []kgo.RecordHeader{{Key: "n", Value: []byte(strconv.FormatInt(i, 10))}},
			})
			i++
		}
		if err := client.ProduceSync(ctx, batch...).FirstErr(); err != nil {
			return 0, fmt.Errorf("produce: %w", err)
		}
	}
	return i, nil
}

// end says how many of so many records are in a partition.
func end(records int64, partition int32) int64 {
	return (records - int64(partition) + partitions - 1) / partitions
}

// verify reads partitions from their offsets to the end of so many records and checks each.
func verify(ctx context.Context, topic string, records int64, from map[int32]kgo.Offset, first map[int32]int64) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap...),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	next := map[int32]int64{}
	missing := int64(0)
	for partition := range from {
		next[partition] = first[partition]
		missing += end(records, partition) - first[partition]
	}
	for missing > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("still at %v of %d records: %w", next, records, err)
		}
		if errs := fetches.Errors(); len(errs) > 0 && fireSeconds == 0 {
			return fmt.Errorf("fetch: %w", errs[0].Err)
		}
		for _, record := range fetches.Records() {
			if err := check(topic, record, next[record.Partition]); err != nil {
				return err
			}
			next[record.Partition]++
			missing--
		}
	}
	return nil
}

func verifyAll(ctx context.Context, topic string, records int64) error {
	start := kgo.NewOffset().AtStart()
	return verify(ctx, topic, records, map[int32]kgo.Offset{0: start, 1: start, 2: start}, map[int32]int64{})
}

func check(topic string, record *kgo.Record, offset int64) error {
	i := record.Offset*partitions + int64(record.Partition)
	what := func(of string) string { return fmt.Sprintf("%s of record %d", of, i) }
	header := ""
	for _, one := range record.Headers {
		header += one.Key + "=" + string(one.Value)
	}
	for _, err := range []error{
		equal(what("offset"), offset, record.Offset),
		equal(what("value"), value(topic, i), string(record.Value)),
		equal(what("key"), key(i), string(record.Key)),
		equal(what("timestamp"), timestamp(i).UnixMilli(), record.Timestamp.UnixMilli()),
		equal(what("headers"), fmt.Sprintf("n=%d", i), header),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}
