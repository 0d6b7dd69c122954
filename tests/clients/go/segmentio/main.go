// Cases of segmentio's kafka-go: produce, consume by partition and in groups, topics. It has no idempotent producer, so that it writes
// nothing while brokers die: franz-go does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"kafkarium/tests/clients/contract"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

const timeout = 30 * time.Second

type cases struct {
	contract.Report
	client *kafka.Client
}

func main() {
	client := &kafka.Client{Addr: kafka.TCP(contract.Bootstrap...), Timeout: timeout}
	c := &cases{Report: contract.Report{Chosen: os.Args[1:]}, client: client}
	ctx := context.Background()
	if contract.FireSeconds == 0 {
		c.records(ctx)
		c.topics(ctx)
	}
	c.Groups(c.kit(ctx))
	c.Done()
}

func (c *cases) records(ctx context.Context) {
	codecs := []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd}
	for _, codec := range codecs {
		name := map[bool]string{true: "none", false: codec.String()}[codec == 0]
		c.Run("produce."+name, func() error {
			return c.roundTrip(ctx, "produce-"+name, &kafka.Writer{Compression: codec})
		})
	}
	for name, acks := range map[string]kafka.RequiredAcks{"1": kafka.RequireOne, "all": kafka.RequireAll} {
		c.Run("acks."+name, func() error { return c.roundTrip(ctx, "acks-"+name, &kafka.Writer{RequiredAcks: acks}) })
	}
	c.Run("consume.offset", func() error {
		topic, count, err := c.filled(ctx, "offset", &kafka.Writer{})
		if err != nil {
			return err
		}
		return verify(ctx, topic, count, map[int32]int64{0: 7, 1: 29, 2: 0})
	})
	c.Run("consume.timestamp", func() error {
		topic, count, err := c.filled(ctx, "timestamp", &kafka.Writer{BatchSize: 1})
		if err != nil {
			return err
		}
		asked := kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
			topic: {kafka.TimeOffsetOf(1, contract.Timestamp(41)), kafka.LastOffsetOf(1)},
		}}
		told, err := c.client.ListOffsets(ctx, &asked)
		if err != nil {
			return err
		}
		// Partition 1 has the records 1, 4, 7 ...: the first not before record 41 is 43, at offset 14.
		found := told.Topics[topic][0]
		if _, has := found.Offsets[14]; !has || found.LastOffset != contract.End(count, 1) {
			return fmt.Errorf("offset 14 and end %d expected, found %+v", contract.End(count, 1), found)
		}
		return verify(ctx, topic, count, map[int32]int64{1: 14})
	})
}

func (c *cases) topics(ctx context.Context) {
	c.Run("topics", func() error {
		topic, err := c.create(ctx, "created")
		if err != nil {
			return err
		}
		found, err := c.described(ctx, topic)
		if err != nil {
			return err
		}
		for _, partition := range found {
			if err := contract.Equal("replicas and ISR", "3 3", fmt.Sprint(len(partition.Replicas), " ", len(partition.Isr))); err != nil {
				return err
			}
		}
		again, err := c.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
			Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}},
		})
		if err != nil || !errors.Is(again.Errors[topic], kafka.TopicAlreadyExists) {
			return fmt.Errorf("created twice: %v %v", again, err)
		}
		if _, err := c.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}}); err != nil {
			return err
		}
		return contract.Eventually("it is gone", func() (bool, error) {
			told, err := c.client.Metadata(ctx, &kafka.MetadataRequest{})
			for _, one := range told.Topics {
				if one.Name == topic {
					return false, nil
				}
			}
			return err == nil, err
		})
	})
}

func (c *cases) described(ctx context.Context, topic string) ([]kafka.Partition, error) {
	told, err := c.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil || len(told.Topics) != 1 || told.Topics[0].Error != nil {
		return nil, err
	}
	return told.Topics[0].Partitions, nil
}

func (c *cases) create(ctx context.Context, name string) (string, error) {
	topic := contract.Topic(name)
	err := contract.Eventually("it is made", func() (bool, error) {
		told, err := c.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
			Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: contract.Partitions, ReplicationFactor: 3}},
		})
		if err == nil {
			err = told.Errors[topic]
		}
		// The client asks again when a broker dies before it has answered.
		return err == nil || contract.FireSeconds > 0 && errors.Is(err, kafka.TopicAlreadyExists), err
	})
	if err != nil {
		return topic, fmt.Errorf("create: %w", err)
	}
	return topic, contract.Eventually("it has leaders", func() (bool, error) {
		found, err := c.described(ctx, topic)
		if err != nil || len(found) != contract.Partitions {
			return false, err
		}
		for _, partition := range found {
			if partition.Error != nil || partition.Leader.ID < 1 {
				return false, nil
			}
		}
		return true, nil
	})
}

// produce writes the records; which partition is each one's is in its header.
func produce(ctx context.Context, topic string, writer *kafka.Writer) (int64, error) {
	writer.Addr, writer.Topic, writer.BatchTimeout = kafka.TCP(contract.Bootstrap...), topic, 5*time.Millisecond
	if writer.RequiredAcks == 0 {
		writer.RequiredAcks = kafka.RequireAll
	}
	writer.Balancer = kafka.BalancerFunc(func(message kafka.Message, _ ...int) int {
		i, _ := strconv.Atoi(string(message.Headers[0].Value))
		return i % contract.Partitions
	})
	defer writer.Close()
	return contract.Rounds(func(first, end int64) error {
		var batch []kafka.Message
		for i := first; i < end; i++ {
			batch = append(batch, kafka.Message{
				Key: []byte(contract.Key(i)), Value: []byte(contract.Value(topic, i)), Time: contract.Timestamp(i),
				Headers: []kafka.Header{{Key: "n", Value: []byte(strconv.FormatInt(i, 10))}},
			})
		}
		return writer.WriteMessages(ctx, batch...)
	})
}

func (c *cases) filled(ctx context.Context, name string, writer *kafka.Writer) (string, int64, error) {
	topic, err := c.create(ctx, name)
	if err != nil {
		return topic, 0, err
	}
	count, err := produce(ctx, topic, writer)
	return topic, count, err
}

func (c *cases) roundTrip(ctx context.Context, name string, writer *kafka.Writer) error {
	topic, count, err := c.filled(ctx, name, writer)
	if err != nil {
		return err
	}
	return verify(ctx, topic, count, contract.All())
}

func record(message kafka.Message) contract.Record {
	headers := ""
	for _, one := range message.Headers {
		headers += one.Key + "=" + string(one.Value)
	}
	return contract.Record{
		Partition: int32(message.Partition), Offset: message.Offset, Key: string(message.Key), Value: string(message.Value),
		Time: message.Time, Headers: headers,
	}
}

func newReader(topic string, partition int, offset int64) (*kafka.Reader, error) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: contract.Bootstrap, Topic: topic, Partition: partition, MaxWait: 100 * time.Millisecond, MinBytes: 1, MaxBytes: 1 << 20,
		ReadBackoffMin: 10 * time.Millisecond, ReadBackoffMax: 200 * time.Millisecond,
	})
	return reader, reader.SetOffset(offset)
}

func verify(ctx context.Context, topic string, records int64, first map[int32]int64) error {
	for partition, offset := range first {
		reader, err := newReader(topic, int(partition), offset)
		if err != nil {
			return err
		}
		err = contract.Verify(topic, records, map[int32]int64{partition: offset}, func() ([]contract.Record, error) {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			message, err := reader.ReadMessage(ctx)
			return []contract.Record{record(message)}, err
		})
		reader.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// written has franz-go write the records, so that none is there twice after a broker has died.
func written(ctx context.Context, topic string) (int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(contract.Bootstrap...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(100*time.Millisecond))
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
