// Cases of franz-go: produce, consume by partition and in groups, transactions, admin.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"kafkarium/tests/clients/contract"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type cases struct {
	contract.Report
	admin *kadm.Client
}

func main() {
	client, err := kgo.NewClient(kgo.SeedBrokers(contract.Bootstrap...))
	if err != nil {
		panic(err)
	}
	defer client.Close()
	c := &cases{Report: contract.Report{Chosen: os.Args[1:]}, admin: kadm.NewClient(client)}
	ctx := context.Background()
	c.records(ctx)
	c.Groups(c.kit(ctx))
	c.transactions(ctx)
	if contract.FireSeconds == 0 {
		c.acks(ctx)
		c.topics(ctx)
		c.cluster(ctx)
	}
	c.Done()
}

func (c *cases) records(ctx context.Context) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		c.Run("produce."+name, func() error {
			return c.roundTrip(ctx, "produce-"+name, kgo.ProducerBatchCompression(codecs[name]))
		})
	}
	c.Run("consume.offset", func() error {
		topic, count, err := c.filled(ctx, "offset")
		if err != nil {
			return err
		}
		from := map[int32]kgo.Offset{0: kgo.NewOffset().At(7), 2: kgo.NewOffset().At(29)}
		return verify(ctx, topic, count, from, map[int32]int64{0: 7, 2: 29})
	})
	c.Run("consume.timestamp", func() error {
		topic, count, err := c.filled(ctx, "timestamp", kgo.MaxBufferedRecords(1))
		if err != nil {
			return err
		}
		// Partition 1 has the records 1, 4, 7 ...: the first not before record 41 is 43, at offset 14.
		from := map[int32]kgo.Offset{1: kgo.NewOffset().AfterMilli(contract.Timestamp(41).UnixMilli())}
		return verify(ctx, topic, count, from, map[int32]int64{1: 14})
	})
}

func (c *cases) acks(ctx context.Context) {
	acks := map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}
	for _, name := range []string{"0", "1", "all"} {
		c.Run("acks."+name, func() error {
			return c.roundTrip(ctx, "acks-"+name, kgo.RequiredAcks(acks[name]), kgo.DisableIdempotentWrite())
		})
	}
}

func (c *cases) topics(ctx context.Context) {
	c.Run("topic.create", func() error {
		topic, err := c.create(ctx, "created")
		if err != nil {
			return err
		}
		details, err := c.admin.ListTopics(ctx, topic)
		if err != nil {
			return err
		}
		for _, partition := range details[topic].Partitions.Sorted() {
			if len(partition.Replicas) != 3 || len(partition.ISR) != 3 || partition.Leader < 1 {
				return fmt.Errorf("partition %+v is not on three brokers", partition)
			}
		}
		_, err = c.admin.CreateTopic(ctx, 1, 1, nil, topic)
		if !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("created twice: %v", err)
		}
		return contract.Equal("partitions", 3, len(details[topic].Partitions))
	})
	c.Run("topic.configs", func() error {
		topic, err := c.create(ctx, "configured")
		if err != nil {
			return err
		}
		set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("7200000")}}
		altered, err := c.admin.AlterTopicConfigs(ctx, set, topic)
		if err != nil {
			return err
		}
		if err := altered[0].Err; err != nil {
			return err
		}
		return contract.Eventually("retention.ms is 7200000", func() (bool, error) {
			described, err := c.admin.DescribeTopicConfigs(ctx, topic)
			if err != nil {
				return false, err
			}
			for _, config := range described[0].Configs {
				if config.Key == "retention.ms" {
					return config.MaybeValue() == "7200000", nil
				}
			}
			return false, fmt.Errorf("retention.ms is not described")
		})
	})
	c.Run("topic.offsets", func() error {
		topic, _, err := c.filled(ctx, "offsets")
		if err != nil {
			return err
		}
		deleted := kadm.Offsets{}
		deleted.Add(kadm.Offset{Topic: topic, Partition: 0, At: 10})
		if _, err := c.admin.DeleteRecords(ctx, deleted); err != nil {
			return err
		}
		starts, err := c.admin.ListStartOffsets(ctx, topic)
		if err != nil {
			return err
		}
		ends, err := c.admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		found := fmt.Sprint(starts[topic][0].Offset, starts[topic][1].Offset, ends[topic][0].Offset)
		return contract.Equal("start of 0, start of 1, end of 0", fmt.Sprint(10, 0, contract.Records/contract.Partitions), found)
	})
	c.Run("topic.delete", func() error {
		topic, err := c.create(ctx, "deleted")
		if err != nil {
			return err
		}
		if _, err := c.admin.DeleteTopic(ctx, topic); err != nil {
			return err
		}
		return contract.Eventually("it is gone", func() (bool, error) {
			details, err := c.admin.ListTopics(ctx)
			return err == nil && !details.Has(topic), err
		})
	})
}

func (c *cases) cluster(ctx context.Context) {
	c.Run("cluster", func() error {
		metadata, err := c.admin.BrokerMetadata(ctx)
		if err != nil {
			return err
		}
		return contract.Equal("brokers", "[1 2 3]", fmt.Sprint(metadata.Brokers.NodeIDs()))
	})
	c.Run("log-dirs", func() error {
		topic, _, err := c.filled(ctx, "stored")
		if err != nil {
			return err
		}
		return contract.Eventually("every broker holds as much", func() (bool, error) {
			all, err := c.admin.DescribeAllLogDirs(ctx, nil)
			if err != nil {
				return false, err
			}
			sizes := map[int64]int{}
			all.Each(func(dir kadm.DescribedLogDir) {
				if replica, ok := dir.Topics.Lookup(topic, 1); ok {
					sizes[replica.Size]++
				}
			})
			return len(sizes) == 1 && sizes[0] == 0 && len(all) == 3, nil
		})
	})
}

func (c *cases) create(ctx context.Context, name string) (string, error) {
	topic := contract.Topic(name)
	made := func() (bool, error) {
		_, err := c.admin.CreateTopic(ctx, contract.Partitions, 3, nil, topic)
		// The client asks again when a broker dies before it has answered.
		return err == nil || contract.FireSeconds > 0 && errors.Is(err, kerr.TopicAlreadyExists), err
	}
	if err := contract.Eventually("it is made", made); err != nil {
		return topic, fmt.Errorf("create: %w", err)
	}
	return topic, contract.Eventually("it has leaders", func() (bool, error) {
		details, err := c.admin.ListTopics(ctx, topic)
		if err != nil || details[topic].Err != nil || len(details[topic].Partitions) != contract.Partitions {
			return false, err
		}
		for _, partition := range details[topic].Partitions {
			if partition.Err != nil || partition.Leader < 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

func (c *cases) filled(ctx context.Context, name string, options ...kgo.Opt) (string, int64, error) {
	topic, err := c.create(ctx, name)
	if err != nil {
		return topic, 0, err
	}
	count, err := produce(ctx, topic, options...)
	return topic, count, err
}

func (c *cases) roundTrip(ctx context.Context, name string, options ...kgo.Opt) error {
	topic, count, err := c.filled(ctx, name, options...)
	if err != nil {
		return err
	}
	return verifyAll(ctx, topic, count)
}
