package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"kafkarium/tests/clients/contract"

	"github.com/twmb/franz-go/pkg/kgo"
)

// How soon a changed leader is asked for; the client's own five seconds would be most of the time.
const metadataMinAge = 100 * time.Millisecond

// produce writes the records with these options; for as long as brokers die, if they do. It gives how many.
func produce(ctx context.Context, topic string, options ...kgo.Opt) (int64, error) {
	options = append([]kgo.Opt{
		kgo.SeedBrokers(contract.Bootstrap...),
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
	return contract.Rounds(func(first, end int64) error {
		var batch []*kgo.Record
		for i := first; i < end; i++ {
			batch = append(batch, &kgo.Record{
				Topic: topic, Partition: int32(i % contract.Partitions), Timestamp: contract.Timestamp(i),
				Key: []byte(contract.Key(i)), Value: []byte(contract.Value(topic, i)),
				Headers: []kgo.RecordHeader{{Key: "n", Value: []byte(strconv.FormatInt(i, 10))}},
			})
		}
		return client.ProduceSync(ctx, batch...).FirstErr()
	})
}

// verify reads partitions from their offsets to the end of so many records and checks each.
func verify(ctx context.Context, topic string, records int64, from map[int32]kgo.Offset, first map[int32]int64) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(contract.Bootstrap...),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	return contract.Verify(topic, records, first, func() ([]contract.Record, error) { return poll(ctx, client, 0) })
}

// poll gives the next records that there are within a second; all of them if that is no number.
func poll(ctx context.Context, client *kgo.Client, most int) ([]contract.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	fetches := client.PollRecords(ctx, most)
	if errs := fetches.Errors(); len(errs) > 0 && ctx.Err() == nil && contract.FireSeconds == 0 {
		return nil, fmt.Errorf("fetch: %w", errs[0].Err)
	}
	var found []contract.Record
	for _, record := range fetches.Records() {
		headers := ""
		for _, one := range record.Headers {
			headers += one.Key + "=" + string(one.Value)
		}
		found = append(found, contract.Record{
			Partition: record.Partition, Offset: record.Offset, Key: string(record.Key), Value: string(record.Value),
			Time: record.Timestamp, Headers: headers,
		})
	}
	return found, nil
}

func verifyAll(ctx context.Context, topic string, records int64) error {
	start := kgo.NewOffset().AtStart()
	return verify(ctx, topic, records, map[int32]kgo.Offset{0: start, 1: start, 2: start}, contract.All())
}
