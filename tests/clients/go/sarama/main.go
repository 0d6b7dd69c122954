// Cases of sarama: produce, consume by partition and in groups, transactions, admin.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"time"

	"kafkarium/tests/clients/contract"

	"github.com/IBM/sarama"
)

type cases struct {
	contract.Report
	admin sarama.ClusterAdmin
}

func main() {
	sarama.Logger = log.New(io.Discard, "", 0)
	admin, err := sarama.NewClusterAdmin(contract.Bootstrap, configured())
	if err != nil {
		panic(err)
	}
	defer admin.Close()
	c := &cases{Report: contract.Report{Chosen: os.Args[1:]}, admin: admin}
	c.records()
	if contract.FireSeconds == 0 {
		c.topics()
	}
	c.Groups(c.kit())
	c.transactions()
	c.Done()
}

func configured() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V4_0_0_0
	config.Metadata.Retry.Backoff = 100 * time.Millisecond
	config.Metadata.Retry.Max = 100
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Retry.Max = 300
	config.Producer.Retry.Backoff = 100 * time.Millisecond
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Retry.Backoff = 100 * time.Millisecond
	config.Consumer.Return.Errors = true
	return config
}

func idempotent(config *sarama.Config) {
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
}

func (c *cases) records() {
	codecs := []sarama.CompressionCodec{
		sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD,
	}
	for _, codec := range codecs {
		c.Run("produce."+codec.String(), func() error {
			return c.roundTrip("produce-"+codec.String(), func(config *sarama.Config) {
				config.Producer.Compression = codec
				idempotent(config)
			})
		})
	}
	if contract.FireSeconds > 0 {
		return
	}
	for name, acks := range map[string]sarama.RequiredAcks{"1": sarama.WaitForLocal, "all": sarama.WaitForAll} {
		c.Run("acks."+name, func() error {
			return c.roundTrip("acks-"+name, func(config *sarama.Config) { config.Producer.RequiredAcks = acks })
		})
	}
	c.Run("consume.offset", func() error {
		topic, count, err := c.filled("offset", idempotent)
		if err != nil {
			return err
		}
		return verify(topic, count, map[int32]int64{0: 7, 1: 29, 2: 0})
	})
	c.Run("consume.timestamp", func() error {
		topic, count, err := c.filled("timestamp", func(config *sarama.Config) { config.Producer.Flush.MaxMessages = 1 })
		if err != nil {
			return err
		}
		client, err := sarama.NewClient(contract.Bootstrap, configured())
		if err != nil {
			return err
		}
		defer client.Close()
		// Partition 1 has the records 1, 4, 7 ...: the first not before record 41 is 43, at offset 14.
		offset, err := client.GetOffset(topic, 1, contract.Timestamp(41).UnixMilli())
		if err != nil {
			return err
		}
		if err := contract.Equal("offset", 14, offset); err != nil {
			return err
		}
		return verify(topic, count, map[int32]int64{1: 14})
	})
}

func (c *cases) topics() {
	c.Run("topics", func() error {
		topic, err := c.create("created")
		if err != nil {
			return err
		}
		found, err := c.admin.DescribeTopics([]string{topic})
		if err != nil {
			return err
		}
		for _, partition := range found[0].Partitions {
			if err := contract.Equal("replicas and ISR", "3 3", fmt.Sprint(len(partition.Replicas), " ", len(partition.Isr))); err != nil {
				return err
			}
		}
		err = c.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false)
		if !errors.Is(err, sarama.ErrTopicAlreadyExists) {
			return fmt.Errorf("created twice: %v", err)
		}
		if err := c.admin.CreatePartitions(topic, 5, nil, false); err != nil {
			return err
		}
		if err := contract.Eventually("five partitions", func() (bool, error) {
			found, err := c.admin.DescribeTopics([]string{topic})
			return err == nil && len(found[0].Partitions) == 5, err
		}); err != nil {
			return err
		}
		if err := c.admin.DeleteTopic(topic); err != nil {
			return err
		}
		return contract.Eventually("it is gone", func() (bool, error) {
			listed, err := c.admin.ListTopics()
			_, has := listed[topic]
			return err == nil && !has, err
		})
	})
	c.Run("configs", func() error {
		topic, err := c.create("configured")
		if err != nil {
			return err
		}
		value := "7200000"
		if err := c.admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &value}, false); err != nil {
			return err
		}
		return contract.Eventually("retention.ms is 7200000", func() (bool, error) {
			resource := sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}}
			entries, err := c.admin.DescribeConfig(resource)
			return err == nil && len(entries) == 1 && entries[0].Value == value, err
		})
	})
}

func (c *cases) create(name string) (string, error) {
	topic := contract.Topic(name)
	err := contract.Eventually("it is made", func() (bool, error) {
		err := c.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: contract.Partitions, ReplicationFactor: 3}, false)
		// The client asks again when a broker dies before it has answered.
		return err == nil || contract.FireSeconds > 0 && errors.Is(err, sarama.ErrTopicAlreadyExists), err
	})
	if err != nil {
		return topic, fmt.Errorf("create: %w", err)
	}
	return topic, contract.Eventually("it has leaders", func() (bool, error) {
		found, err := c.admin.DescribeTopics([]string{topic})
		if err != nil || found[0].Err != sarama.ErrNoError || len(found[0].Partitions) != contract.Partitions {
			return false, err
		}
		for _, partition := range found[0].Partitions {
			if partition.Err != sarama.ErrNoError || partition.Leader < 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

func produce(topic string, configure func(*sarama.Config)) (int64, error) {
	config := configured()
	configure(config)
	producer, err := sarama.NewSyncProducer(contract.Bootstrap, config)
	if err != nil {
		return 0, err
	}
	defer producer.Close()
	return contract.Rounds(func(first, end int64) error {
		var batch []*sarama.ProducerMessage
		for i := first; i < end; i++ {
			batch = append(batch, &sarama.ProducerMessage{
				Topic: topic, Partition: int32(i % contract.Partitions), Timestamp: contract.Timestamp(i),
				Key: sarama.StringEncoder(contract.Key(i)), Value: sarama.StringEncoder(contract.Value(topic, i)),
				Headers: []sarama.RecordHeader{{Key: []byte("n"), Value: []byte(strconv.FormatInt(i, 10))}},
			})
		}
		return producer.SendMessages(batch)
	})
}

func (c *cases) filled(name string, configure func(*sarama.Config)) (string, int64, error) {
	topic, err := c.create(name)
	if err != nil {
		return topic, 0, err
	}
	count, err := produce(topic, configure)
	return topic, count, err
}

func (c *cases) roundTrip(name string, configure func(*sarama.Config)) error {
	topic, count, err := c.filled(name, configure)
	if err != nil {
		return err
	}
	return verify(topic, count, contract.All())
}

func record(message *sarama.ConsumerMessage) contract.Record {
	headers := ""
	for _, one := range message.Headers {
		headers += string(one.Key) + "=" + string(one.Value)
	}
	return contract.Record{
		Partition: message.Partition, Offset: message.Offset, Key: string(message.Key), Value: string(message.Value),
		Time: message.Timestamp, Headers: headers,
	}
}

// A reader reads partitions without a group.
type reader struct {
	consumer   sarama.Consumer
	partitions []sarama.PartitionConsumer
	messages   chan *sarama.ConsumerMessage
}

func newReader(topic string, first map[int32]int64, isolation sarama.IsolationLevel) (*reader, error) {
	config := configured()
	config.Consumer.IsolationLevel = isolation
	consumer, err := sarama.NewConsumer(contract.Bootstrap, config)
	if err != nil {
		return nil, err
	}
	r := &reader{consumer: consumer, messages: make(chan *sarama.ConsumerMessage, 256)}
	for partition, offset := range first {
		one, err := consumer.ConsumePartition(topic, partition, offset)
		if err != nil {
			r.close()
			return nil, err
		}
		r.partitions = append(r.partitions, one)
		go func() {
			for message := range one.Messages() {
				r.messages <- message
			}
		}()
		go func() {
			for err := range one.Errors() {
				log.Printf("read: %v", err)
			}
		}()
	}
	return r, nil
}

// poll gives what has come by now, after a while nothing.
func (r *reader) poll() ([]contract.Record, error) {
	var found []contract.Record
	select {
	case message := <-r.messages:
		found = append(found, record(message))
		for len(r.messages) > 0 {
			found = append(found, record(<-r.messages))
		}
	case <-time.After(time.Second):
	}
	return found, nil
}

func (r *reader) close() {
	for _, one := range r.partitions {
		one.AsyncClose()
	}
	go func() {
		for range r.messages {
		}
	}()
	r.consumer.Close()
}

func verify(topic string, records int64, first map[int32]int64) error {
	reader, err := newReader(topic, first, sarama.ReadUncommitted)
	if err != nil {
		return err
	}
	defer reader.close()
	return contract.Verify(topic, records, first, reader.poll)
}
